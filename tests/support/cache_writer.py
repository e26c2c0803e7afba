"""Writes an ld.so.cache with the entries that a test wants, sorted as the loader's search needs them (G-101)."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

NAMED = 1 << 62
_HEADER = struct.Struct("<20sIIB3xI12x")
_RECORD = struct.Struct("<iIIIQ")
_OLD_RECORD = struct.Struct("<iII")
_EXTENSION_MAGIC = 0xEAA42174


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A name and where it is; `hwcap` is NAMED and the number of a subdirectory, or what it was up to glibc 2.36."""

    name: str
    path: str
    flags: int = 0x303
    os_version: int = 0
    hwcap: int = 0


def cache(
    entries: Sequence[Entry],
    *,
    subdirectories: Sequence[str] = (),
    byte_order: int = 2,
    extension_magic: int = _EXTENSION_MAGIC,
) -> bytes:
    """The new part, with an extension where there are subdirectories; `byte_order` is the flag for it."""
    ordered = sorted(entries, key=lambda one: _ORDER(one.name), reverse=True)
    strings = b""
    start = _HEADER.size + _RECORD.size * len(ordered)

    def add(text: str) -> int:
        nonlocal strings
        at = start + len(strings)
        strings += text.encode("utf-8", "surrogateescape") + b"\0"
        return at

    records = b"".join(
        _RECORD.pack(one.flags, add(one.name), add(one.path), one.os_version, one.hwcap) for one in ordered
    )
    names = struct.pack(f"<{len(subdirectories)}I", *map(add, subdirectories))
    strings += bytes(-len(strings) % 4)
    extension = start + len(strings)
    head = _HEADER.pack(b"glibc-ld.so.cache1.1", len(ordered), len(strings), byte_order, extension if names else 0)
    data = head + records + strings
    if names:
        data += struct.pack("<IIIIII", extension_magic, 1, 1, 0, extension + 24, len(names)) + names
    return data


def old_part(entries: Sequence[Entry]) -> bytes:
    """The part that came before glibc 2.2, padded for a new part to follow."""
    ordered = sorted(entries, key=lambda one: _ORDER(one.name), reverse=True)
    strings, records = b"", b""
    for one in ordered:
        name = len(strings)
        strings += one.name.encode() + b"\0"
        records += _OLD_RECORD.pack(one.flags, name, len(strings))
        strings += one.path.encode() + b"\0"
    data = b"ld.so-1.7.0\0" + struct.pack("<I", len(ordered)) + records
    return data + strings


def before(new_part: bytes) -> bytes:
    """An empty old part, and a new one behind it whose extension, if any, is where it now is in the file."""
    return struct.pack("<12sI", b"ld.so-1.7.0", 0) + new_part


def compare(one: str, two: str) -> int:
    """Negative, zero or positive as the loader orders names: runs of digits as numbers, a digit after all else."""
    pieces = [re.findall(r"\d+|\D", text) for text in (one, two)]
    for a, b in zip(*pieces, strict=False):
        if a.isdigit() != b.isdigit():
            return 1 if a.isdigit() else -1
        if a != b and (not a.isdigit() or int(a) != int(b)):
            return int(a) - int(b) if a.isdigit() else ord(a) - ord(b)
    return len(pieces[0]) - len(pieces[1])


_ORDER = functools.cmp_to_key(compare)
