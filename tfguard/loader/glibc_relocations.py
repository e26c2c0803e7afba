"""Relocations of a type that glibc does not know: none that a linker makes, damage or a linker to come (G-143)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.image import EM_AARCH64, EM_X86_64
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.binary.symbols import SymbolTable

# ld-so.md G-140
_KNOWN = {
    EM_X86_64: frozenset((0, 1, 2, 5, 6, 7, 8, 10, 16, 17, 18, 32, 33, 36, 37, 38)),
    EM_AARCH64: frozenset((0, 256, 257, 258, *range(1024, 1033))),
}


def refused_relocation(link: LinkMap, table: SymbolTable, failure: Failure | None) -> Failure | None:
    """The refusal of a relocation of unknown type, or `failure`, another one of the same object, where it is first.

    Of a long table only the beginning and the end are looked at, as for text relocations.
    """
    image = link.image
    known = _KNOWN.get(image.machine) if image is not None else None
    found = table.unknown_relocation(known) if known is not None else None
    if found is None:
        return failure
    kind, symbol = found
    if failure is not None and failure.references:
        # the symbol of a relocation is looked up before its type is looked at
        first = next((one for one in table.relocated_symbols() if one in (symbol, failure.references[0].position)), 0)
        if first == failure.references[0].position:
            return failure
    digits = f"{kind:02x}" if kind < 0x100 else f"{kind:08x}"
    return Failure(
        kind="relocation-type",
        rule="G-143",
        message=f"{link.path}: unexpected reloc type 0x{digits}",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        detail=f"a relocation of type 0x{digits}, which its loader does not know",
    )
