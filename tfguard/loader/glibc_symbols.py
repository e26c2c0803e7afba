"""The look-up of undefined symbols that glibc's ld.so makes for RTLD_NOW (ld-so.md §11).

Only the verdict is needed: a reference is met when any object of its scope holds a definition that the loader
accepts, so objects are asked in the order that finds most soonest. The loader's own order is kept for what it
decides: which object fails first, and which of its symbols is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.binary.symbols import Reference, SymbolTable
from tfguard.hosts.host import Host
from tfguard.image import DF_1_NOW, DF_BIND_NOW, DT_BIND_NOW, DT_FLAGS
from tfguard.loader.glibc_relocations import refused_relocation
from tfguard.loader.glibc_text import refused_text, unmarked_text_relocation
from tfguard.loader.glibc_tls import StaticTls, refused_static_tls
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.loader.glibc import Process


def unresolved(
    process: Process, order: list[LinkMap], scope: list[LinkMap], *, starting: bool = False
) -> Failure | None:
    """The failure of the first object, in relocation order, that refers to a symbol nobody in its scope defines.

    `starting` says that a program is started: function calls are bound lazily there (G-134), and thread-local
    variables have room (G-153).
    """
    everyone = _providers(process, scope)
    members = {id(link) for link in everyone}
    room: StaticTls | None = None
    for link in order:
        if not link.new:
            continue
        table = process.table(link)
        if table is None:
            continue
        if (failure := refused_text(link, process.host)) is not None:
            return failure
        found = [_refused_provider(process, link, table, scope)]
        open_references = _still_open(process, link, table, everyone, members)
        if open_references:
            lazy = starting and not _binds_now(link, process.host)
            found.append(_confirm(process, link, table, open_references, everyone, lazy=lazy))
        failure = _first_of(found, table)
        if not starting:
            failure = refused_relocation(link, table, failure)
        if (write := unmarked_text_relocation(link, table, process.host)) is not None:
            return write._replace(certain=failure is None)  # which comes first is not looked at
        if failure is not None:
            return failure
        if starting:
            continue
        failure, room = refused_static_tls(process, link, table, scope, room)
        if failure is not None:
            return failure
    process.static_tls = room or process.static_tls
    return None


def _first_of(found: list[Failure | None], table: SymbolTable) -> Failure | None:
    """The failure whose relocation the loader comes to first (G-135)."""
    failures = [failure for failure in found if failure is not None]
    if len(failures) < 2:
        return failures[0] if failures else None
    by_position = {failure.references[0].position: failure for failure in reversed(failures)}
    return next((by_position[index] for index in table.relocated_symbols() if index in by_position), failures[0])


def _providers(process: Process, scope: list[LinkMap]) -> list[LinkMap]:
    """The objects of the local and the global scope (G-130), those that define most of what is asked first."""
    found = {id(link): link for link in scope}
    found.update({id(link): link for link in process.links if link.is_global})
    return sorted(found.values(), key=lambda link: -(link.image.size if link.image is not None else 0))


def _still_open(
    process: Process, link: LinkMap, table: SymbolTable, everyone: list[LinkMap], members: set[int]
) -> list[Reference]:
    known = process.resolved
    pending: list[Reference] = []
    by_file: dict[str, list[Reference]] = {}
    for reference in table.references():
        name, need, _ = reference
        provider = known.get((name, need.version if need is not None else None))
        if provider is not None and id(provider) in members:
            continue
        if need is None:
            pending.append(reference)
        else:
            by_file.setdefault(need.file, []).append(reference)
    for file, references in by_file.items():
        provider = process.loaded_as(file)
        if provider is not None and id(provider) in members:
            pending += _ask(process, provider, references, table)
        else:
            pending += references
    # What an object leaves undefined it hardly ever defines itself: it is asked last.
    for provider in (*(one for one in everyone if one is not link), *(one for one in everyone if one is link)):
        if not pending:
            break
        pending = _ask(process, provider, pending, table)
    return pending


def _ask(process: Process, provider: LinkMap, references: list[Reference], own: SymbolTable) -> list[Reference]:
    """The references of `own` that `provider` does not meet; those it meets are remembered."""
    table = process.table(provider)
    if table is None:
        return references
    rest: list[Reference] = []
    answers = table.satisfies(references)
    entries = table.call_entries
    for reference, met in zip(references, answers, strict=True):
        if met and entries and reference.name in entries:
            if reference.position in own.called:
                rest.append(reference)
        elif met:
            need = reference.need
            process.resolved[reference.name, need.version if need is not None else None] = provider
        else:
            rest.append(reference)
    return rest


def _refused_provider(process: Process, link: LinkMap, table: SymbolTable, scope: list[LinkMap]) -> Failure | None:
    """The assertion of glibc up to 2.40 on a versioned reference into a file without any version table (G-124)."""
    if "asserts-version-table" not in process.host.features:
        return None
    asserting = {
        need.file: provider
        for need in table.versions.needs
        if (provider := process.loaded_as(need.file)) is not None
        and (provider.is_global or provider in scope)
        and (provided := process.table(provider)) is not None
        and not provided.versions.has_table
    }
    if not asserting:
        return None
    references = {one.position: one for one in table.references(weak=True)}
    for position in table.relocated_symbols():
        reference = references.pop(position, None)
        if reference is None or reference.need is None or reference.need.file not in asserting:
            continue
        provider = asserting[reference.need.file]
        provided = process.table(provider)
        if provided is None or not provided.has_entry(reference.name):
            continue
        if _met_before(process, provider, reference, scope):
            continue
        return Failure(
            kind="version-table",
            rule="G-124",
            message=None,
            path=provider.path,
            name=reference.need.file,
            requirer=link.path,
            signal="exit 127",
            detail=f"{reference.need.file} has no version table and should define version {reference.need.version}",
            needs=(reference.need,),
            references=(reference,),
            provider=provider.path,
        )
    return None


def _met_before(process: Process, provider: LinkMap, reference: Reference, scope: list[LinkMap]) -> bool:
    """Whether an object that is searched before `provider` has the symbol already."""
    for link in [link for link in process.links if link.is_global] + scope:
        if link is provider:
            return False
        table = process.table(link)
        if table is not None and table.accepts(reference.name, reference.need):
            return True
    return False


def _binds_now(link: LinkMap, host: Host) -> bool:
    """Whether the functions that an object calls are looked up when it is loaded (G-134)."""
    image = link.image
    if image is None or host.environment.get("LD_BIND_NOW"):
        return True
    flags = image.dynamic.get(DT_FLAGS, 0)
    return bool(flags & DF_BIND_NOW or image.flags_1 & DF_1_NOW or DT_BIND_NOW in image.dynamic)


def _confirm(
    process: Process,
    link: LinkMap,
    table: SymbolTable,
    candidates: list[Reference],
    everyone: list[LinkMap],
    *,
    lazy: bool = False,
) -> Failure | None:
    """Hold the open references against the relocations, the objects that could not be read and the live process."""
    by_position = {reference.position: reference for reference in candidates}
    ordered: dict[int, Reference] = {}
    for index in table.relocated_symbols(lazy=lazy):
        if index in by_position and index not in ordered:
            ordered[index] = by_position[index]
            if len(ordered) == len(by_position):
                break
    missing = [reference for reference in ordered.values() if not _seen_globally(process, reference)]
    if not missing:
        return None
    first = missing[0]
    version = f", version {first.need.version}" if first.need is not None else ""
    blind = any(_may_define_more(process, one) for one in everyone)
    return Failure(
        kind="symbol",
        rule="G-130",
        message=f"{link.path}: undefined symbol: {first.name.decode('utf-8', 'surrogateescape')}{version}",
        path=link.path,
        name="",
        requirer=link.parent.path if link.parent is not None else None,
        certain=not blind,
        references=tuple(missing),
    )


def _may_define_more(process: Process, link: LinkMap) -> bool:
    """Whether an object of the scope could not be read."""
    if link.image is None:
        return "vdso" not in link.path
    table = process.table(link)
    return table is None or table.damage is not None


def _seen_globally(process: Process, reference: Reference) -> bool:
    """Whether the live process has the symbol in its global scope through an object thought to be local (I-12)."""
    ask = process.host.sees_global_symbol
    if ask is None:
        return False
    for link in process.links:
        if link.new or link.is_global:
            continue
        table = process.table(link)
        if table is not None and table.accepts(reference.name, reference.need):
            return ask(reference.name)
    return False
