"""Reads /etc/ld.so.cache in the format of glibc 2.2 and later, with the hwcaps extension of 2.33 (ld-so.md §8)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

_MAGIC_OLD = b"ld.so-1.7.0"
_MAGIC_NEW = b"glibc-ld.so.cache1.1"
_EXTENSION_MAGIC = 0xEAA42174
_HWCAPS_TAG = 1
_SIZE_LIMIT = 1 << 26
_NAMED_HWCAP = 1 << 62

_LEADING_ZEROS = re.compile(rb"(?<![0-9])0+(?=[0-9])")


class CacheEntry(NamedTuple):
    """One line of the cache: flags of the ABI, the path, and what the processor and the kernel must be for it.

    Where `is_named` is set it is for a glibc-hwcaps subdirectory, None where the cache has none of that number, and for
    processors of the ISA level `level` and above, 0 for all. Else `legacy_hwcap` are the bits that it needs, as they
    were up to glibc 2.36. `os_version` is that of the kernel, a byte for each of its three numbers.
    """

    flags: int
    path: str
    is_named: bool
    subdirectory: str | None
    level: int
    legacy_hwcap: int
    os_version: int


class Cache:
    """The entries of one cache file; those of a name are decoded when it is looked up."""

    def __init__(
        self, data: bytes, start: int, records: dict[bytes, list[tuple[int, ...]]], subdirectories: tuple[str, ...]
    ) -> None:
        self._data, self._start, self._records, self._subdirectories = data, start, records, subdirectories

    def look_up(self, name: str) -> tuple[CacheEntry, ...]:
        """The entries for a library name, in the order of the file."""
        entries = []
        for flags, _, value, os_version, hwcap in self._records.get(cache_key(os.fsencode(name)), ()):
            path = _string(self._data, self._start + value)
            if path is None:
                continue
            named = hwcap >> 42 == _NAMED_HWCAP >> 42
            index = hwcap & 0xFFFFFFFF
            subdirectory = self._subdirectories[index] if named and index < len(self._subdirectories) else None
            level = hwcap >> 32 & 0x3FF if named else 0
            legacy = 0 if named else hwcap
            entries.append(CacheEntry(flags, os.fsdecode(path), named, subdirectory, level, legacy, os_version))
        return tuple(entries)

    def names(self) -> tuple[bytes, ...]:
        """Every library name that the cache has, as `cache_key` writes it."""
        return tuple(self._records)


NO_CACHE = Cache(b"", 0, {}, ())


def cache_key(name: bytes) -> bytes:
    """The form under which names are compared: runs of digits count as numbers (ld-so.md G-104)."""
    return _LEADING_ZEROS.sub(b"", name) if b"0" in name else name


def read_cache(path: str, *, little_endian: bool = True) -> Cache:
    """The entries; none where the file is missing, foreign or damaged (G-107).

    Read once for each state of the file: a later `ldconfig` is seen, as the loader sees it (G-100).
    """
    try:
        status = os.stat(path)
        return _read_cache(path, (status.st_ino, status.st_size, status.st_mtime_ns), little_endian)
    except OSError:
        return NO_CACHE


@lru_cache(maxsize=4)
def _read_cache(path: str, identity: tuple[int, int, int], little_endian: bool) -> Cache:
    with open(path, "rb") as file:
        data = file.read(min(identity[1], _SIZE_LIMIT))
    try:
        return _parse(data, "<" if little_endian else ">")
    except ValueError:
        return NO_CACHE


def _parse(data: bytes, order: str) -> Cache:
    start = 0
    if data.startswith(_MAGIC_OLD):
        count = int.from_bytes(data[12:16], "little" if order == "<" else "big")
        start = (16 + count * 12 + 7) & ~7
    if data[start : start + len(_MAGIC_NEW)] != _MAGIC_NEW:
        return _parse_old(data, order) if start else NO_CACHE
    header = Struct(order + "20sIIB3xI12x")
    entry = Struct(order + "iIIIQ")
    if len(data) < start + header.size:
        return NO_CACHE
    _, count, _, flags, extension = header.unpack_from(data, start)
    if flags and flags & 3 != (2 if order == "<" else 3):
        return NO_CACHE
    table = data[start + header.size : start + header.size + count * entry.size]
    if len(table) < count * entry.size:
        return NO_CACHE
    subdirectories = _subdirectories(data, start, extension, order)
    return Cache(data, start, _by_name(data, start, entry.iter_unpack(table)), subdirectories)


def _parse_old(data: bytes, order: str) -> Cache:
    """The format before glibc 2.2, which is still read where nothing newer follows it."""
    entry = Struct(order + "iII")
    count = int.from_bytes(data[12:16], "little" if order == "<" else "big")
    start = 16 + count * entry.size
    if len(data) < start:
        return NO_CACHE
    records = ((*record, 0, 0) for record in entry.iter_unpack(data[16:start]))
    return Cache(data, start, _by_name(data, start, records), ())


def _by_name(data: bytes, start: int, records: Iterable[tuple[int, ...]]) -> dict[bytes, list[tuple[int, ...]]]:
    found: dict[bytes, list[tuple[int, ...]]] = {}
    find = data.find
    for record in records:
        at = start + record[1]
        end = find(b"\0", at)
        if end < 0:
            continue
        name = data[at:end]
        key = cache_key(name) if b"0" in name else name
        if key in found:
            found[key].append(record)
        else:
            found[key] = [record]
    return found


def _string(data: bytes, offset: int) -> bytes | None:
    """The text at a place; one that the end of the file cuts ends there, in the zeros behind it."""
    if not 0 <= offset < len(data):
        return None
    end = data.find(b"\0", offset)
    return data[offset : end if end >= 0 else len(data)]


def _subdirectories(data: bytes, start: int, extension: int, order: str) -> tuple[str, ...]:
    """The glibc-hwcaps names that entries point to by index (extension tag 1)."""
    word, section = Struct(order + "I"), Struct(order + "IIII")
    if not extension or len(data) < extension + 8 or word.unpack_from(data, extension)[0] != _EXTENSION_MAGIC:
        return ()
    count = word.unpack_from(data, extension + 4)[0]
    for i in range(min(count, 64)):
        at = extension + 8 + i * section.size
        if len(data) < at + section.size:
            break
        tag, _, offset, size = section.unpack_from(data, at)
        if tag != _HWCAPS_TAG or size % 4 or len(data) < offset + size:
            continue
        names = [_string(data, start + at[0]) for at in word.iter_unpack(data[offset : offset + size])]
        return tuple(os.fsdecode(name or b"") for name in names)
    return ()
