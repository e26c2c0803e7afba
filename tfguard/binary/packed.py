"""Reads packed relative relocations (DT_RELR), and which constructors they complete the addresses of."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from tfguard.binary.elf import file_offset
from tfguard.image import DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_RELR, DT_RELRSZ, Image

_BLOCK = 1 << 16
_LIMIT = 1 << 24


def packed_constructor(image: Image, fd: int) -> int | None:
    """What stands in the file for the first constructor whose address a packed relocation completes, or None.

    A constructor is an entry of DT_INIT_ARRAY. A loader that does not know DT_RELR calls it at the address that the
    file has, which is counted from the beginning of the library.
    """
    start, size = image.dynamic.get(DT_INIT_ARRAY), image.dynamic.get(DT_INIT_ARRAYSZ, 0)
    if start is None or not size:
        return None
    first = min((one for one in _targets(image, fd) if start <= one < start + size), default=None)
    where = None if first is None else file_offset(image.segments, first)
    if where is None:
        return None
    data = os.pread(fd, image.elf_class // 8, where[0])
    return int.from_bytes(data, "little" if image.little_endian else "big")


def _targets(image: Image, fd: int) -> Iterator[int]:
    """The addresses that packed relocations write to: a word without its lowest bit is one, others are a bit map."""
    width = image.elf_class // 8
    place = 0
    for (word,) in struct.iter_unpack(("<" if image.little_endian else ">") + ("Q" if width == 8 else "I"),
                                      _table(image, fd)):  # fmt: skip
        if not word & 1:
            yield word
            place = word + width
            continue
        for bit in range(1, 8 * width):
            if word >> bit & 1:
                yield place + (bit - 1) * width
        place += (8 * width - 1) * width


def _table(image: Image, fd: int) -> bytes:
    where = file_offset(image.segments, image.dynamic.get(DT_RELR, 0)) if DT_RELR in image.dynamic else None
    if where is None:
        return b""
    width = image.elf_class // 8
    size = min(image.dynamic.get(DT_RELRSZ, 0), where[1], max(image.size - where[0], 0), _LIMIT)
    data = b"".join(os.pread(fd, min(_BLOCK, size - at), where[0] + at) for at in range(0, size, _BLOCK))
    return data[: len(data) - len(data) % width]
