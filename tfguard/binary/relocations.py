"""Reads the relocation tables of an image in the order in which ld.so applies them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfguard.binary.elf import file_offset, format_of
from tfguard.image import (
    DT_JMPREL,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELASZ,
    DT_RELSZ,
    EM_AARCH64,
    EM_X86_64,
    Image,
)

# NONE, RELATIVE, RELATIVE64: applied without a look at the symbol they name (dl-machine.h).
_WITHOUT_SYMBOL = {EM_X86_64: frozenset((0, 8, 38)), EM_AARCH64: frozenset((0, 1027))}

# Records are decoded in blocks: the table of TensorFlow's main library is some 40 MB.
_BLOCK_RECORDS = 1 << 15
_SIZE_LIMIT = 1 << 30


def relocations(image: Image, fd: int) -> Iterator[tuple[int, int]]:
    """(r_offset, r_info) of each relocation: DT_RELA or DT_REL first, then DT_JMPREL (ld-so.md G-135)."""
    fmt = format_of(image)
    dynamic = image.dynamic
    tables = [
        (dynamic.get(DT_RELA), dynamic.get(DT_RELASZ, 0), fmt.rela),
        (dynamic.get(DT_REL), dynamic.get(DT_RELSZ, 0), fmt.rel),
        (
            dynamic.get(DT_JMPREL),
            dynamic.get(DT_PLTRELSZ, 0),
            fmt.rela if dynamic.get(DT_PLTREL, DT_RELA) == DT_RELA else fmt.rel,
        ),
    ]
    for address, size, record in tables:
        where = file_offset(image.segments, address) if address is not None else None
        if where is None:
            continue
        at = where[0]
        left = min(size, where[1], max(image.size - at, 0), _SIZE_LIMIT) // record.size
        while left > 0:
            data = os.pread(fd, min(left, _BLOCK_RECORDS) * record.size, at)
            data = data[: len(data) - len(data) % record.size]
            if not data:
                break
            for entry in record.iter_unpack(data):
                yield entry[0], entry[1]
            at += len(data)
            left -= len(data) // record.size


def relocated_symbols(image: Image, fd: int) -> Iterator[int]:
    """The symbol index of every relocation that looks one up, in table order."""
    shift = 32 if image.elf_class == 64 else 8
    mask = (1 << shift) - 1
    without = _WITHOUT_SYMBOL.get(image.machine, frozenset((0,)))
    for _, info in relocations(image, fd):
        if (symbol := info >> shift) and info & mask not in without:
            yield symbol
