"""Reads /etc/ld.so.cache in the format of glibc 2.2 and later, with the hwcaps extension of 2.33 (ld-so.md §8)."""

from __future__ import annotations

import os
import re
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
    """One line of the cache: flags of the ABI, the path, and the glibc-hwcaps subdirectory or None.

    `legacy_hwcap` is set where the hwcap field has the meaning it had up to glibc 2.36.
    """

    flags: int
    path: str
    hwcap: str | None
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
            named = bool(hwcap & _NAMED_HWCAP) and not hwcap >> 42 & ~(_NAMED_HWCAP >> 42)
            index = hwcap & 0xFFFFFFFF
            known = named and index < len(self._subdirectories)
            subdirectory = self._subdirectories[index] if known else None
            entries.append(CacheEntry(flags, os.fsdecode(path), subdirectory, 0 if named else hwcap, os_version))
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
        return NO_CACHE  # only the old format: no glibc of this century writes it alone
    header = Struct(order + "20sIIB3xI12x")
    entry = Struct(order + "iIIIQ")
    if len(data) < start + header.size:
        return NO_CACHE
    _, count, _, flags, extension = header.unpack_from(data, start)
    if flags & 3 not in (0, 2 if order == "<" else 3):
        return NO_CACHE
    table = data[start + header.size : start + header.size + count * entry.size]
    if len(table) < count * entry.size:
        return NO_CACHE
    subdirectories = _subdirectories(data, start, extension, order)
    records: dict[bytes, list[tuple[int, ...]]] = {}
    find = data.find
    for record in entry.iter_unpack(table):
        at = start + record[1]
        end = find(b"\0", at)
        if end >= 0:
            records.setdefault(cache_key(data[at:end]), []).append(record)
    return Cache(data, start, records, subdirectories)


def _string(data: bytes, offset: int) -> bytes | None:
    end = data.find(b"\0", offset)
    return data[offset:end] if 0 <= offset <= end else None


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
