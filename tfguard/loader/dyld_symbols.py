"""Imports against exports: two-level, flat and weak look-up as dyld makes them at load (dyld.md §8).

Of a library in the shared cache nothing can be read: a symbol bound to it counts as there (D-86). A flat look-up asks
every image, so what no image at hand has may still come from the system, unless its name says that it does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tfguard.binary.macho_exports import REEXPORT
from tfguard.binary.macho_imports import FLAT, MAIN, WEAK, Import
from tfguard.loader.dyld_image import DyldImage
from tfguard.loader.trace import Unmet

if TYPE_CHECKING:
    from tfguard.loader.dyld import DyldProcess

# Names of the Python C API: what is not there for them is the interpreter, which is part of every process.
_PYTHON = re.compile(rb"_{1,3}Py[A-Z_]|__?PyPy")
# C++ names with a namespace that is not the standard library's, and names that only TensorFlow uses.
_NOT_THE_SYSTEMS = re.compile(
    rb"__Z(?:T[VTISWH]|GV|Th[n\d_]+|Tv[n\d_]+)*(?:N[VK]?[RO]?)?(?:10tensorflow|3tsl|3xla|6google8protobuf|4absl|4mlir)"
    rb"|_(?:TF|TFE|TSL|SE|SP)_[A-Z]|_{1,3}Py[A-Z_]"
)


def unmet(process: DyldProcess, link: DyldImage) -> tuple[Unmet, ...]:
    """The symbols that an image must have and does not find, in the order of its binds."""
    table = process.table(link)
    if table is None:
        return ()
    found: list[Unmet] = []
    for one in table.imports():
        missing = _look_up(process, link, one)
        if missing is not None and not one.weak:
            found.append(missing)
    return tuple(found)


def _look_up(process: DyldProcess, link: DyldImage, one: Import) -> Unmet | None:
    ordinal, name, _ = one
    if ordinal > 0:
        if ordinal > len(link.dependents):
            return Unmet(name, f"library number {ordinal}, which it does not have")
        provider = link.dependents[ordinal - 1]
        if provider is None:
            return Unmet(name, "unknown")  # a weak library that is not there, and a symbol that must be (D-83)
        # an SDK is not the system: that has symbols besides, and may be newer
        certain = provider.image is not None or process.mac.sdk is None
        return None if exports(process, provider, name) else Unmet(name, provider.path, certain=certain)
    if ordinal == 0:
        return None if exports(process, link, name) else Unmet(name, link.path)
    if ordinal == MAIN:
        main = process.main
        if main is None or main.image is None or exports(process, main, name):
            return None
        return Unmet(name, main.path, certain=False)
    if ordinal in (FLAT, WEAK):
        return _flat(process, link, name, weak=ordinal == WEAK)
    return Unmet(name, f"a library of the unknown kind {ordinal}", certain=False)


def exports(process: DyldProcess, provider: DyldImage, name: bytes) -> bool:
    """Whether an image exports a symbol itself or through what it re-exports, each searched once (D-84)."""
    key = (id(provider), name)
    known = process.resolved.get(key)
    if known is None:
        known = process.resolved[key] = _search(process, provider, name, set())
    return known


def _search(process: DyldProcess, provider: DyldImage, name: bytes, seen: set[int]) -> bool:
    pending, sdk = [(provider, name)], process.mac.sdk
    while pending:
        link, wanted = pending.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        table = process.table(link)
        if table is None or table.damage is not None:
            if link.image is None and sdk is not None and sdk.exports(link.path, wanted) is False:
                continue  # the SDK's text stub of the library does not have it either
            return True  # it cannot be read, and may have it
        found = table.find(wanted)
        if found is not None:
            if not found.flags & REEXPORT:
                return True
            # passed on from a library by its number, under this or another name
            source = link.dependents[found.ordinal - 1] if 0 < found.ordinal <= len(link.dependents) else None
            if source is None:
                return False
            seen.discard(id(source))
            pending.append((source, found.name))
            if len(seen) > len(process.links):
                return True
            continue
        children = zip(link.image.dependents if link.image is not None else (), link.dependents, strict=False)
        pending += [(child, wanted) for needed, child in children if needed.reexport and child is not None]
    return False


def _flat(process: DyldProcess, link: DyldImage, name: bytes, *, weak: bool) -> Unmet | None:
    """A look-up in every image in load order, but in those that were opened with RTLD_LOCAL (D-84)."""
    if process.python is None and process.mac.python and _PYTHON.match(name):
        return None
    if name not in process.flat:
        process.flat[name] = any(_own(process, one, name) for one in process.links if not one.local)
    if process.flat[name] or (link.local and _own(process, link, name)):
        return None
    if process.knows_all or _NOT_THE_SYSTEMS.match(name) is not None:
        return Unmet(name, "weak" if weak else "")
    return None  # a library of the system may have it


def _own(process: DyldProcess, link: DyldImage, name: bytes) -> bool:
    table = process.table(link)
    return table is not None and table.find(name) is not None
