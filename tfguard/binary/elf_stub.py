"""Writes a stub of a library: an ELF file with nothing but its names, for the loader's search and checks to meet."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from tfguard.binary.hashes import sysv_hash
from tfguard.image import (
    DT_HASH,
    DT_NEEDED,
    DT_SONAME,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERDEFNUM,
    DT_VERSYM,
    ET_DYN,
    PT_DYNAMIC,
    PT_GNU_STACK,
    PT_LOAD,
)

_DT_SYMENT = 11
_READ_WRITE = 6
_GLOBAL = 1 << 4
_BASE = 1  # VER_FLG_BASE
_HEADERS_END = 64 + 3 * 56


class _Strings:
    """A string table that grows."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._at: dict[bytes, int] = {b"": 0}

    def add(self, text: bytes) -> int:
        """Where a text is, put there where it was not."""
        if text not in self._at:
            self._at[text] = len(self.data)
            self.data += text + b"\0"
        return self._at[text]


def stub(
    machine: int,
    soname: str,
    *,
    needed: Sequence[str] = (),
    versions: Sequence[str] = (),
    symbols: Iterable[tuple[bytes, str | None]] = (),
) -> bytes:
    """The bytes of a 64-bit little-endian shared object that defines these versions and symbols.

    A symbol is its name and its version, None for one without, which any reference matches. A version that no symbol
    has is defined as well.
    """
    wanted = list(dict.fromkeys(symbols))
    defined = list(dict.fromkeys((*versions, *(version for _, version in wanted if version is not None))))
    index = {version: number for number, version in enumerate(defined, 2)}
    strings = _Strings()
    entries = [(DT_NEEDED, strings.add(name.encode())) for name in needed]
    entries.append((DT_SONAME, strings.add(soname.encode())))
    table, versyms = bytes(24), [0]
    for name, version in wanted:
        # a value that is not 0 in a section that is not 0 defines it (ld-so.md G-132)
        table += struct.pack("<IBBHQQ", strings.add(name), _GLOBAL, 0, 1, 0x40, 8)
        versyms.append(1 if version is None else index[version])
    tables = [(DT_SYMTAB, table), (DT_HASH, _hash_table([name for name, _ in wanted]))]
    if defined:
        tables.append((DT_VERSYM, struct.pack(f"<{len(versyms)}H", *versyms)))
        tables.append((DT_VERDEF, _verdef(soname, defined, strings)))
        entries.append((DT_VERDEFNUM, len(defined) + 1))
    tables.append((DT_STRTAB, bytes(strings.data)))
    body = bytearray()
    for tag, data in tables:
        body += bytes(-len(body) % 8)
        entries.append((tag, _HEADERS_END + len(body)))
        body += data
    body += bytes(-len(body) % 8)
    entries += [(DT_STRSZ, len(strings.data)), (_DT_SYMENT, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in entries)
    at = _HEADERS_END + len(body)
    return _headers(machine, at, len(dynamic)) + bytes(body) + dynamic


def _headers(machine: int, dynamic_at: int, dynamic_size: int) -> bytes:
    ident = b"\x7fELF\2\1\1" + bytes(9)
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, ET_DYN, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    end = dynamic_at + dynamic_size
    for kind, at, size, align in ((PT_LOAD, 0, end, 0x10000), (PT_DYNAMIC, dynamic_at, dynamic_size, 8),
                                  (PT_GNU_STACK, 0, 0, 16)):  # fmt: skip
        header += struct.pack("<IIQQQQQQ", kind, _READ_WRITE, at, at, at, size, size, align)
    return header


def _hash_table(names: list[bytes]) -> bytes:
    buckets = [0] * max(1, len(names) // 2)
    chain = [0] * (len(names) + 1)
    for index, name in enumerate(names, 1):
        bucket = sysv_hash(name) % len(buckets)
        chain[index], buckets[bucket] = buckets[bucket], index
    return struct.pack(f"<{2 + len(buckets) + len(chain)}I", len(buckets), len(chain), *buckets, *chain)


def _verdef(soname: str, defined: list[str], strings: _Strings) -> bytes:
    table = b""
    entries = [(_BASE, 1, soname), *((0, index, name) for index, name in enumerate(defined, 2))]
    for number, (flags, index, name) in enumerate(entries, 1):
        following = 28 if number < len(entries) else 0
        raw = name.encode()
        table += struct.pack("<HHHHIII", 1, flags, index, 1, sysv_hash(raw), 20, following)
        table += struct.pack("<II", strings.add(raw), 0)
    return table
