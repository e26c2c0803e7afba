"""Lays an ELF file of a wheel out as a file that has only what a loader reads of it, the rest is a hole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

from tfguard.binary.elf import FORMATS, file_offset, wide_segments
from tfguard.binary.member import MemberSource, merged
from tfguard.image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_JMPREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELASZ,
    DT_RELR,
    DT_RELSZ,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERNEED,
    DT_VERSYM,
    PF_X,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_LOAD,
    PT_NOTE,
    Segment,
)
from tfguard.macho_image import Table

# A member up to this size is kept whole: cheaper than to look what of it is needed.
_SMALL = 1 << 22
# What is kept on the chance that the tables are there, before it is known where they are.
_AT_ONCE = 1 << 26
# What one table may have: the names in TensorFlow's largest library take 82 MB.
_TABLE_LIMIT = 1 << 28
_HEAD = 1 << 16
_DYNAMIC_LIMIT = 1 << 20
_COPIED = 1 << 20
_DT_RELRSZ = 35
# The tables, each with the tag of its size where it has one.
_TABLES = {
    DT_HASH: None, DT_GNU_HASH: None, DT_STRTAB: DT_STRSZ, DT_SYMTAB: None, DT_VERSYM: None, DT_VERNEED: None,
    DT_VERDEF: None, DT_RELA: DT_RELASZ, DT_REL: DT_RELSZ, DT_JMPREL: DT_PLTRELSZ, DT_RELR: _DT_RELRSZ,
}  # fmt: skip


class FileSource:
    """An open file in the place of a wheel's member."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file

    def copy(self, tables: Sequence[Table], file: BinaryIO) -> None:
        """Write these parts to their places in another file."""
        for at, size in tables:
            self._file.seek(at)
            file.seek(at)
            left = min(size, self.size - at)
            while left > 0 and (data := self._file.read(min(left, _COPIED))):
                file.write(data)
                left -= len(data)


def lay_out(source: MemberSource | FileSource, place: str) -> None:
    """Write a member to a file of its full length, of which only the parts that a loader looks at have bytes.

    What is no ELF file with tables is written as far as its first bytes. Raises OSError where nothing can be written.
    """
    with open(place, "x+b") as file:
        if source.size <= _SMALL:
            source.copy((Table(0, source.size),), file)
            return
        source.copy((Table(0, _HEAD),), file)
        head = _read(file, Table(0, _HEAD))
        segments = _segments(head)
        parts = _first_parts(segments, source.size)
        if parts:
            source.copy(parts, file)
            dynamic = next((one for one in segments if one.type == PT_DYNAMIC), None)
            data = _read(file, Table(dynamic.offset, min(dynamic.filesz, _DYNAMIC_LIMIT))) if dynamic else b""
            if missing := _tables_beyond(head, segments, data, parts, source.size):
                source.copy(missing, file)
        if file.seek(0, os.SEEK_END):  # a member that does not unpack is a file without bytes
            file.truncate(source.size)


def _read(file: BinaryIO, table: Table) -> bytes:
    file.flush()
    return os.pread(file.fileno(), table.size, table.offset) if table.offset < 1 << 62 else b""


def _segments(head: bytes) -> tuple[Segment, ...]:
    """The program headers of a 64-bit file, none where there are none in its first bytes."""
    if head[:6] not in (b"\x7fELF\2\1", b"\x7fELF\2\2") or len(head) < 64:
        return ()
    fmt = FORMATS[2, head[5]]
    _, _, _, _, _, phoff, _, _, _, entry, count, _, _, _ = fmt.header.unpack_from(head)
    table = head[phoff : phoff + count * entry]
    if entry != fmt.segment.size or len(table) < count * entry:
        return ()
    return wide_segments(fmt, table)


def _first_parts(segments: tuple[Segment, ...], size: int) -> list[Table]:
    """What can be said before the dynamic section is read: the read-only tables in front of the code, notes, itself."""
    parts = []
    loads = [one for one in segments if one.type == PT_LOAD]
    if loads and not loads[0].flags & PF_X and not loads[0].offset and loads[0].filesz <= _AT_ONCE:
        # linkers put dynamic symbols, names, versions and relocations there, before read-only data
        parts.append(Table(0, loads[0].filesz))
    for one in segments:
        if one.type in (PT_DYNAMIC, PT_NOTE, PT_GNU_PROPERTY):
            parts.append(Table(one.offset, min(one.filesz, _DYNAMIC_LIMIT if one.type == PT_DYNAMIC else _HEAD)))
    return [one for one in merged(parts) if one.offset < size]


def _tables_beyond(
    head: bytes, segments: tuple[Segment, ...], dynamic: bytes, have: list[Table], size: int
) -> list[Table]:
    """The tables that the dynamic section names and that are not among the parts at hand."""
    fmt = FORMATS[2, head[5]]
    entries = dict(fmt.dynamic.iter_unpack(dynamic[: len(dynamic) - len(dynamic) % fmt.dynamic.size]))
    places = {tag: place for tag in _TABLES if (place := file_offset(segments, entries.get(tag, -1))) is not None}
    starts = sorted(offset for offset, _ in places.values())
    found = []
    for tag, (offset, room) in places.items():
        size_tag = _TABLES[tag]
        following = next((one for one in starts if one > offset), offset + room)
        length = min(entries.get(size_tag, 0) if size_tag is not None else following - offset, room, _TABLE_LIMIT)
        is_there = any(one.offset <= offset and offset + length <= one.offset + one.size for one in have)
        if length > 0 and offset < size and not is_there:
            found.append(Table(offset, length))
    return list(merged(found))


def write_start(source: MemberSource, place: str, limit: int) -> None:
    """Write a member as it is, at most `limit` bytes of it."""
    with open(place, "xb") as file:
        source.copy((Table(0, limit),), file)
