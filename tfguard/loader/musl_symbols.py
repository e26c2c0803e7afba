"""Relocation as musl does it: which symbols it looks for, in which order, and what it refuses (ld-so.md §14.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from tfguard.binary.symbols import Entry, Reference, SymbolTable
from tfguard.image import EM_AARCH64, EM_X86_64, PT_TLS
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.loader.musl import Process

_STT_TLS = 6
_STB_LOCAL, _STB_WEAK = 0, 2
# NOTYPE, OBJECT, FUNC, COMMON, TLS: not GNU_IFUNC (M-21, M-22)
_TYPES = frozenset((0, 1, 2, 5, 6))
_BINDINGS = frozenset((1, 2, 10))


class _Types(NamedTuple):
    """The relocation types that musl knows for a machine (its reloc.h): all, those of calls, of static TLS."""

    known: frozenset[int]
    call: int
    tls: int
    none: frozenset[int] = frozenset((0,))


_TYPES_OF = {
    EM_X86_64: _Types(frozenset((1, 2, 5, 6, 7, 8, 16, 17, 18, 36)), 7, 18),
    EM_AARCH64: _Types(frozenset((257, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031)), 1026, 1030),
}


def failures_of(process: Process, link: LinkMap, scope: list[LinkMap]) -> Iterator[Failure]:
    """What musl says while it relocates one object, in its order: DT_JMPREL first, then DT_REL and DT_RELA (M-24)."""
    types = _TYPES_OF.get(process.host.machine)
    table = process.table(link)
    if types is None or table is None:
        return
    records = [(info & 0xFFFFFFFF, info >> 32) for _, info in table.relocations_calls_first()]
    positions = [position for kind, position in records if position and kind not in types.none]
    entries = {one.position: one for one in table.entries_at(positions)}
    wanted = {one.name for one in entries.values() if one.info >> 4 != _STB_LOCAL}
    definers = _definers(process, list(wanted), scope)
    missing: list[Reference] = []
    said: set[tuple[int, int]] = set()
    first: Failure | None = None
    for kind, position in records:
        if kind in types.none or (kind, position) in said:
            continue
        said.add((kind, position))
        entry = entries.get(position) if position else None
        definer: LinkMap | None = link
        if entry is not None and entry.info >> 4 != _STB_LOCAL:
            definer = definers.defining(entry.name, call=kind == types.call)
            if definer is None and (entry.section or entry.info >> 4 != _STB_WEAK):
                missing.append(Reference(entry.name, None, position))
                failure = _not_found(process, link, entry.name, scope)
                yield failure._replace(references=tuple(missing[-1:]))
                continue
        if kind == types.tls and definer is not None and process.has_dynamic_tls(definer):
            yield _dynamic_tls(link, entry, definer)
        elif kind not in types.known:
            first = _unsupported(process, link, kind)
            yield first


def missing_of(process: Process, link: LinkMap, scope: list[LinkMap]) -> tuple[Reference, ...]:
    """Every symbol of an object that nobody defines, in the order in which musl would come to them."""
    names: dict[bytes, Reference] = {}
    for failure in failures_of(process, link, scope):
        for one in failure.references:
            names.setdefault(one.name, one)
    return tuple(names.values())


class _Definers:
    """Who defines a name first in the scope: for calls, and for all else."""

    def __init__(self, process: Process, tables: list[tuple[LinkMap, SymbolTable | None]], names: list[bytes]) -> None:
        self._called: dict[bytes, LinkMap] = {}
        self._other: dict[bytes, LinkMap] = {}
        for link, table in tables:
            found = table.entries_named(names) if table is not None else {}
            for name, entries in found.items():
                visible = next((one for one in entries if one.versym is None or not one.versym & 0x8000), None)
                if visible is None or not _accepted(visible):
                    continue
                if visible.section:
                    self._called.setdefault(name, link)
                    self._other.setdefault(name, link)
                elif visible.info & 15 != _STT_TLS:
                    self._other.setdefault(name, link)
        loader = process.loader
        for name in names:
            plain = process.plain_name(name)
            if plain is not None and name not in self._other:
                self._called[name] = self._other[name] = loader

    def defining(self, name: bytes, *, call: bool) -> LinkMap | None:
        return (self._called if call else self._other).get(name)


def _definers(process: Process, names: list[bytes], scope: list[LinkMap]) -> _Definers:
    return _Definers(process, [(one, process.table(one)) for one in scope], names)


def _accepted(entry: Entry) -> bool:
    """Whether an entry counts as a definition (M-21); the first of its name that is no hidden version is asked."""
    kind = entry.info & 15
    if not entry.value and kind != _STT_TLS:
        return False
    return kind in _TYPES and entry.info >> 4 in _BINDINGS


def _not_found(process: Process, link: LinkMap, name: bytes, scope: list[LinkMap]) -> Failure:
    tables = [process.table(one) for one in scope if "vdso" not in one.path]
    blind = any(table is None or table.damage is not None for table in tables)
    return Failure(
        kind="symbol",
        rule="M-21",
        message=f"Error relocating {link.path}: {name.decode('utf-8', 'surrogateescape')}: symbol not found",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None and not link.parent.is_main else None,
        certain=not blind,
    )


def _unsupported(process: Process, link: LinkMap, kind: int) -> Failure:
    image = link.image
    foreign = image is not None and image.machine != process.host.machine
    return Failure(
        kind="foreign-machine" if foreign else "relocation-type",
        rule="M-12" if foreign else "M-22",
        message=f"Error relocating {link.path}: unsupported relocation type {kind}",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None and not link.parent.is_main else None,
        detail=f"relocation type {kind}",
    )


def _dynamic_tls(link: LinkMap, entry: Entry | None, definer: LinkMap) -> Failure:
    # without a symbol musl prints a name that it has not set: most often "(null)", and it may die of that
    name = entry.name.decode("utf-8", "surrogateescape") if entry is not None else "(null)"
    text = "initial-exec TLS resolves to dynamic definition in"
    return Failure(
        kind="dynamic-tls",
        rule="M-25",
        message=f"Error relocating {link.path}: {name}: {text} {definer.path}",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None and not link.parent.is_main else None,
        provider=definer.path,
    )


def has_tls(link: LinkMap) -> bool:
    """Whether an object brings thread-local variables."""
    return link.image is not None and any(one.type == PT_TLS and one.memsz for one in link.image.segments)
