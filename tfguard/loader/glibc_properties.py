"""The processor check of glibc's ld.so: the x86 ISA level that an object is marked with (ld-so.md G-53)."""

from __future__ import annotations

from tfguard.hosts.host import Host
from tfguard.image import EM_X86_64
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

_HIGHEST_LEVEL = 4


def refused_properties(link: LinkMap, host: Host) -> Failure | None:
    """The refusal of an object that is marked as needing a higher ISA level than the processor has, or None."""
    if link.image is None or host.machine != EM_X86_64 or "isa-level" not in host.features:
        return None
    needed = link.image.isa_needed
    available = (1 << host.isa_level) - 1
    if not needed & ~available:
        return None
    level = (needed & ~available).bit_length()
    # a tree says nothing of the processor that will run it; no processor has a level that there is no name for
    known = host.foreign is None or host.root.is_here or level > _HIGHEST_LEVEL
    has = "the processor has" if known else "the processor is taken for one of"
    return Failure(
        kind="isa-level",
        rule="G-53",
        message=f"{link.path}: CPU ISA level is lower than required",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        certain=known,
        detail=f"needs x86-64-v{level}, {has} x86-64-v{host.isa_level}",
    )
