"""Finds the parts of a truncated file that the loader is certain to touch."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfguard.binary.elf import file_offset
from tfguard.binary.relocations import relocations
from tfguard.image import (
    DT_GNU_HASH,
    DT_JMPREL,
    DT_PLTRELSZ,
    DT_RELA,
    DT_RELASZ,
    DT_VERNEED,
    PF_W,
    PT_DYNAMIC,
    PT_LOAD,
    Hole,
    Image,
)

_SCANNED_RELOCATIONS = 200_000


def holes(image: Image, page_size: int) -> Iterator[Hole]:
    """The holes that kill a loader, in the order in which it meets them.

    A page that the file still reaches into is there, its rest zero; a page wholly behind the end is SIGBUS when
    touched (mmap(2)).
    """
    end = -(-image.size // page_size) * page_size

    def lies_behind(offset: int | None) -> bool:
        return offset is not None and offset >= end

    for segment in image.segments:
        if segment.type != PT_LOAD or not segment.flags & PF_W or segment.memsz <= segment.filesz:
            continue
        last = segment.offset + segment.filesz
        if last % page_size and lies_behind(last):
            yield Hole("zero-filled page", last, "SIGBUS")
    for segment in image.segments:
        if segment.type == PT_DYNAMIC and lies_behind(image.offset_of(segment.vaddr)):
            yield Hole("dynamic section", image.offset_of(segment.vaddr), "SIGBUS")
    tables = (
        ("symbol hash table", DT_GNU_HASH, 4),
        ("version needs", DT_VERNEED, 4),
        ("relocations", DT_RELA, image.dynamic.get(DT_RELASZ, 0)),
        ("relocations", DT_JMPREL, image.dynamic.get(DT_PLTRELSZ, 0)),
    )
    for what, tag, size in tables:
        address = image.dynamic.get(tag)
        where = file_offset(image.segments, address) if address is not None else None
        if where is not None and size and lies_behind(where[0] + size - 1):
            yield Hole(what, where[0], "SIGBUS")
    if (target := _relocated_hole(image, end)) is not None:
        yield Hole("relocated data", target, "SIGBUS")


def _relocated_hole(image: Image, end: int) -> int | None:
    """The file offset of a place behind `end` that a relocation writes to."""
    try:
        fd = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for count, (address, _) in enumerate(relocations(image, fd)):
            if count > _SCANNED_RELOCATIONS:
                return None
            offset = image.offset_of(address)
            if offset is not None and offset >= end:
                return offset
    finally:
        os.close(fd)
    return None
