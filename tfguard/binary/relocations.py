"""Reads the relocation tables of an image in the order in which ld.so applies them."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator

from tfguard.binary.elf import file_offset, format_of
from tfguard.image import (
    DT_JMPREL,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELACOUNT,
    DT_RELASZ,
    DT_RELCOUNT,
    DT_RELSZ,
    EM_AARCH64,
    EM_X86_64,
    Image,
)

# NONE, RELATIVE, RELATIVE64: applied without a look at the symbol they name (dl-machine.h).
_WITHOUT_SYMBOL = {EM_X86_64: frozenset((0, 8, 38)), EM_AARCH64: frozenset((0, 1027))}

# Records are decoded in blocks: the table of TensorFlow's main library is some 40 MB.
_BLOCK_RECORDS = 1 << 15
_END_RECORDS = 1 << 7
_SIZE_LIMIT = 1 << 30


def relocations(image: Image, fd: int, *, lazy: bool = False, calls_first: bool = False) -> Iterator[tuple[int, int]]:
    """(r_offset, r_info) of each relocation: DT_RELA or DT_REL first, then DT_JMPREL (ld-so.md G-135).

    With `lazy` those of DT_JMPREL are left out, which lazy binding puts off to the first call (G-134). With
    `calls_first` the order is that of musl: DT_JMPREL, DT_REL, DT_RELA (M-24).
    """
    for record, data in _blocks(image, fd, lazy=lazy, calls_first=calls_first):
        for entry in record.iter_unpack(data):
            yield entry[0], entry[1]


def relocated_symbols(image: Image, fd: int, *, lazy: bool = False) -> Iterator[int]:
    """The symbol index of every relocation that looks one up, in table order; `lazy` as in `relocations`."""
    shift = 32 if image.elf_class == 64 else 8
    mask = (1 << shift) - 1
    without = _WITHOUT_SYMBOL.get(image.machine, frozenset((0,)))
    for _, info in relocations(image, fd, lazy=lazy):
        if (symbol := info >> shift) and info & mask not in without:
            yield symbol


def relocations_of_types(image: Image, fd: int, types: frozenset[int]) -> Iterator[tuple[int, int]]:
    """(type, symbol index) of every relocation of these types, in table order.

    Those that DT_RELACOUNT counts are left out: ld.so takes them for RELATIVE whatever they say. Types that share
    their low byte with a wanted one cost time; a record of no such byte costs none.
    """
    wide = image.elf_class == 64
    shift, width = (32, 8) if wide else (8, 4)
    low = width if image.little_endian else 2 * width - 1
    marks = frozenset(kind & 0xFF for kind in types)
    for record, data in _blocks(image, fd, skip_relative=True):
        column = data[low :: record.size]
        if not any(mark in column for mark in marks):
            continue
        for position, byte in enumerate(column):
            if byte in marks:
                info = record.unpack_from(data, position * record.size)[1]
                if (kind := info & ((1 << shift) - 1)) in types:
                    yield kind, info >> shift


def targets_within(image: Image, fd: int, ranges: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """The addresses in these ranges that relocations write to; of a long table its beginning and its end are read."""
    width = image.elf_class // 8
    mask = 0xFFFFFFFF if width == 8 else 0xFF
    for record, data in _blocks(image, fd, ends_only=True):
        if image.little_endian == (sys.byteorder == "little"):
            places = memoryview(data).cast("Q" if width == 8 else "I")[:: record.size // width].tolist()
        else:
            places = [entry[0] for entry in record.iter_unpack(data)]
        low, high = min(places), max(places)
        if any(low < end and start <= high for start, end in ranges):
            for position, place in enumerate(places):
                if any(start <= place < end for start, end in ranges):
                    info = record.unpack_from(data, position * record.size)[1]
                    if info & mask:
                        yield place


def unknown_type(image: Image, fd: int, known: frozenset[int]) -> tuple[int, int] | None:
    """(type, symbol index) of the first relocation of a type that is not known; as much is read as above.

    Those that DT_RELACOUNT counts are left out, as above.
    """
    shift = 32 if image.elf_class == 64 else 8
    mask = (1 << shift) - 1
    for record, data in _blocks(image, fd, ends_only=True, skip_relative=True):
        if image.little_endian == (sys.byteorder == "little") and shift == 32:
            words = memoryview(data).cast("I")
            kinds = words[2 if image.little_endian else 3 :: record.size // 4].tolist()
            if known.issuperset(kinds):
                continue
        for entry in record.iter_unpack(data):
            if (kind := entry[1] & mask) not in known:
                return kind, entry[1] >> shift
    return None


def _blocks(
    image: Image,
    fd: int,
    *,
    lazy: bool = False,
    calls_first: bool = False,
    skip_relative: bool = False,
    ends_only: bool = False,
) -> Iterator[tuple[struct.Struct, bytes]]:
    """The tables in pieces of whole records, each with the layout of its records."""
    fmt = format_of(image)
    dynamic = image.dynamic
    tables = [
        (dynamic.get(DT_RELA), dynamic.get(DT_RELASZ, 0), fmt.rela, dynamic.get(DT_RELACOUNT, 0)),
        (dynamic.get(DT_REL), dynamic.get(DT_RELSZ, 0), fmt.rel, dynamic.get(DT_RELCOUNT, 0)),
        (
            dynamic.get(DT_JMPREL),
            dynamic.get(DT_PLTRELSZ, 0),
            fmt.rela if dynamic.get(DT_PLTREL, DT_RELA) == DT_RELA else fmt.rel,
            0,
        ),
    ]
    if lazy:
        tables.pop()
    for address, size, record, relative in tables[::-1] if calls_first else tables:
        where = file_offset(image.segments, address) if address is not None else None
        if where is None or (ends_only and (size % record.size or size > where[1])):
            continue  # what ld.so makes of such a size is not clear
        at = where[0]
        left = min(size, where[1], max(image.size - at, 0), _SIZE_LIMIT) // record.size
        if skip_relative:
            skipped = min(relative, left)
            at, left = at + skipped * record.size, left - skipped
        block = _END_RECORDS if ends_only else _BLOCK_RECORDS
        while left > 0:
            data = os.pread(fd, min(left, block) * record.size, at)
            data = data[: len(data) - len(data) % record.size]
            if not data:
                break
            yield record, data
            at += len(data)
            left -= len(data) // record.size
            if ends_only and left > block:
                at, left = at + (left - block) * record.size, block
