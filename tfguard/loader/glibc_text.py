"""Relocations that write into a segment which is not writable: text relocations (ld-so.md G-56)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.hosts.host import Host
from tfguard.image import PF_W, PF_X, PT_LOAD, Image
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.binary.symbols import SymbolTable


def refused_text(link: LinkMap, host: Host) -> Failure | None:
    """The refusal of marked text relocations where no memory may be writable and executable, or None."""
    image = link.image
    if image is None or not host.refuses_write_execute or not image.has_text_relocations:
        return None
    if not any(one.type == PT_LOAD and one.flags & PF_X and not one.flags & PF_W for one in image.segments):
        return None
    return Failure(
        kind="write-execute",
        rule="G-56",
        message=f"{link.path}: cannot make segment writable for relocation: Permission denied",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        detail="it has text relocations (DT_TEXTREL)",
    )


def unmarked_text_relocation(link: LinkMap, table: SymbolTable, host: Host) -> Failure | None:
    """The death of the process at a relocation into a read-only segment of an object without the mark, or None.

    Of a long table only the beginning and the end are looked at: a linker sorts it by address, and the text comes
    first.
    """
    image = link.image
    if image is None or image.has_text_relocations:
        return None
    closed = _closed_ranges(image, host.page_size)
    place = next(iter(table.relocation_targets(closed)), None)
    if place is None:
        return None
    return Failure(
        kind="text-relocation",
        rule="G-56",
        message=None,
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        signal="SIGSEGV",
        detail=f"a relocation writes to {place:#x}, in a segment that is not writable, and there is no DT_TEXTREL",
    )


def _closed_ranges(image: Image, page_size: int) -> tuple[tuple[int, int], ...]:
    """The addresses, from start to behind the end, of segments that no page of a writable one reaches into."""
    loads = [one for one in image.segments if one.type == PT_LOAD and one.memsz]
    opened = [
        (one.vaddr // page_size * page_size, -(-(one.vaddr + one.memsz) // page_size) * page_size)
        for one in loads
        if one.flags & PF_W
    ]
    closed = [(one.vaddr, one.vaddr + one.memsz) for one in loads if not one.flags & PF_W]
    return tuple((a, b) for a, b in closed if not any(a < end and start < b for start, end in opened))
