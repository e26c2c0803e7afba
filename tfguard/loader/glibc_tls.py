"""The room that ld.so keeps free for thread-local variables of later loads, and objects too big for it (§12)."""

from __future__ import annotations

import re

from tfguard.binary.symbols import SymbolTable
from tfguard.host import Host
from tfguard.image import DT_FLAGS, EM_AARCH64, EM_X86_64, PT_TLS, Segment
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

_DF_STATIC_TLS = 0x10
# R_X86_64_TPOFF64, R_AARCH64_TLS_TPREL
_STATIC_RELOCATION = {EM_X86_64: 18, EM_AARCH64: 1030}
# The area is rounded up to its alignment, which can add a little to the surplus (G-152).
_ROUNDING = 64
_TUNABLE = re.compile(r"glibc\.rtld\.(nns|optional_static_tls)=(\w+)")


def refused_static_tls(link: LinkMap, host: Host, table: SymbolTable) -> Failure | None:
    """The refusal of an object whose own thread-local block alone is more than the room left at start (G-150).

    What earlier loads took of that room is not on record, so that a block which would fit alone passes.
    """
    image = link.image
    # The flag itself decides nothing, but a linker sets it wherever it writes such a relocation.
    if image is None or not image.dynamic.get(DT_FLAGS, 0) & _DF_STATIC_TLS:
        return None
    block = next((segment for segment in image.segments if segment.type == PT_TLS), None)
    surplus = _surplus(host)
    if block is None or surplus is None or block.memsz <= surplus + _ROUNDING or not _uses_own(block, host, table):
        return None
    return Failure(
        kind="static-tls",
        rule="G-150",
        message=f"{link.path}: cannot allocate memory in static TLS block",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        detail=f"its thread-local block has {block.memsz} bytes, the loader keeps {surplus} free",
    )


def _surplus(host: Host) -> int | None:
    """What ld.so keeps free, in bytes (G-152); None where a tunable cannot be read."""
    values = {"nns": 4, "optional_static_tls": 512}
    for name, text in _TUNABLE.findall(host.environment.get("GLIBC_TUNABLES", "")):
        try:
            values[name] = int(text, 0)
        except ValueError:
            return None
    if host.version < (2, 32):
        return 1664 if values["optional_static_tls"] == 512 else None
    return 288 * values["nns"] + values["optional_static_tls"]


def _uses_own(block: Segment, host: Host, table: SymbolTable) -> bool:
    """Whether a relocation asks for the place of the object's own block: one without a symbol does."""
    wanted = _STATIC_RELOCATION.get(host.machine)
    return block.memsz > 0 and any(info == wanted for _, info in table.relocations())
