"""Plays a dlopen of glibc's ld.so: every phase in its order, to a trace (ld-so.md G-01)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from tfguard.hosts.host import Host
from tfguard.image import Filtee, Image, VersionNeed, machine_name
from tfguard.loader.glibc_file import (
    SKIP_CLASS,
    SKIP_KERNEL,
    SKIP_MACHINE,
    Refusal,
    refused_mapping,
    refused_truncation,
    with_errno,
)
from tfguard.loader.glibc_filters import NOT_OPENED, Moves
from tfguard.loader.glibc_order import relocation_order
from tfguard.loader.glibc_properties import refused_properties
from tfguard.loader.glibc_search import (
    STEPS,
    Directories,
    Query,
    cache_of,
    detail_of,
    expand_tokens,
    has_token,
    preloaded,
    search,
    try_candidate,
)
from tfguard.loader.glibc_text import refused_text
from tfguard.loader.glibc_versions import refused_versions
from tfguard.loader.link_map import LinkMap, link_maps_of
from tfguard.loader.refused import Refused
from tfguard.loader.tables import Tables
from tfguard.loader.trace import ALREADY_LOADED, STOPPED, TAKEN, WRONG_CLASS, Attempt, Failure, Lookup, Mapped, Trace

if TYPE_CHECKING:
    from tfguard.binary.symbols import SymbolTable
    from tfguard.loader.glibc_tls import StaticTls


class Process:
    """A process in which loads are played one after another: what one maps, the next finds loaded.

    Starts as the host's process stands. Use it as a context manager: it keeps the files that it looks symbols up in
    open until the end.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.links = link_maps_of(host)
        self.main = next((link for link in self.links if link.is_main), None)
        self.directories = Directories(host)
        self._by_name: dict[str, LinkMap] = {}
        self._by_file: dict[tuple[int, int], LinkMap] = {}
        self._tables = Tables(self._opened)
        self._hashes: dict[bytes, int] = {}
        self.resolved: dict[tuple[bytes, str | None], LinkMap] = {}
        self.static_tls: StaticTls | None = None  # looked at only once an object asks for a place in it
        for link in self.links:
            self._index(link)
        if self.main is not None and "LD_PRELOAD" in host.environment:
            self._name_preloads()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def _index(self, link: LinkMap) -> None:
        for name in link.names:
            self._by_name.setdefault(name, link)
        if link.image is not None:
            self._by_name.setdefault(link.image.soname or link.path, link)
            # ld.so keeps no file number of the program and of itself: they are mapped a second time (G-111).
            if not link.is_main and not link.is_loader:
                self._by_file.setdefault((link.image.device, link.image.inode), link)

    def _name_preloads(self) -> None:
        """Of a file that is preloaded by its path and by a bare name too, the loader keeps both names (G-160)."""
        for name, _ in preloaded(self.host):
            if "/" not in name and self.loaded_as(name) is None:
                found = search(Query(name, self.host, self.main, self.main), self.directories).head
                link = self._by_file.get((found.device, found.inode)) if found is not None else None
                if link is not None:
                    self.answers_to(link, name)

    def index_anew(self) -> None:
        """Of several objects that answer to a name the first in load order is taken, which is another now."""
        self._by_name.clear()
        self._by_file.clear()
        for link in self.links:
            self._index(link)

    def loaded_as(self, name: str) -> LinkMap | None:
        """The loaded object that answers to a name (G-110)."""
        return self._by_name.get(name)

    def table(self, link: LinkMap) -> SymbolTable | None:
        """The symbols of an object, None where its file cannot be read."""
        return self._tables.of(link)

    def _opened(self, link: LinkMap) -> SymbolTable | None:
        from tfguard.binary.symbols import SymbolTable  # most imports look no symbol up

        return SymbolTable(link.image, self._hashes) if link.image is not None else None

    def dlopen(
        self, name: str, *, caller: LinkMap | None = None, make_global: bool = False, symbols: bool = True
    ) -> Trace:
        """Play `dlopen(name, RTLD_NOW)`; with `symbols=False` the look-up of symbols is left out.

        `caller` is the object whose code calls dlopen, which matters for a bare name (G-62). A load that fails
        leaves the process as it was (G-02).
        """
        play = _Load(self, name, caller)
        trace = play.run(symbols=symbols)
        if trace.failure is None:
            for link in play.new:
                link.new = False
            if play.root is not None:
                play.root.scope = tuple(play.scope)
            if make_global:
                for link in play.scope:
                    link.is_global = True
        else:
            self._forget(play)
        return trace

    def start_program(self, program: str) -> Trace:
        """Play what ld.so does before a program runs, in a process that has nothing mapped yet.

        `program` is its path, as it was started; kernel and loader are taken to have mapped it already. Functions
        that are looked up on their first call only (G-134) are not looked for.
        """
        play = _Load(self, program, None, starting=True)
        return play.run(symbols=True)

    def _forget(self, play: _Load) -> None:
        gone = {id(link) for link in play.new}
        self.links = [link for link in self.links if id(link) not in gone]
        self._tables.let_go(play.new)
        self.index_anew()
        self.resolved = {key: link for key, link in self.resolved.items() if id(link) not in gone}

    def places(self, name: str, requirer: LinkMap | None) -> Iterator[str]:
        """Every path that a search for a bare name tries, in order, whatever is found on the way."""
        query = Query(name, self.host, requirer, self.main)
        for step in STEPS:
            for place in step(query):
                for entry in place.entries:
                    yield entry if place.is_path else os.path.join(entry, name)

    def cached(self, name: str) -> tuple[str, ...]:
        """The paths that ld.so.cache has for a name, for whatever machine."""
        return tuple(entry.path for entry in cache_of(self.host).look_up(name))

    def not_taken(self, path: str) -> str | None:
        """Why ld.so would not take the file at a path, in words that follow its name; None where it would."""
        head, refusal, _ = try_candidate(path, self.host)
        if head.errno:
            return os.strerror(head.errno).lower()
        if refusal is SKIP_CLASS:
            return f"is a {96 - self.host.elf_class}-bit library"
        if refusal is SKIP_MACHINE:
            order: Literal["little", "big"] = "little" if head.start[5:6] == b"\1" else "big"
            return f"is built for {machine_name(int.from_bytes(head.start[18:20], order))}"
        if refusal is not None and refusal.kind == SKIP_KERNEL:
            return f"is built for {refusal.detail}"
        return None if refusal is None else refusal.text or "cannot be loaded"

    def add(self, link: LinkMap) -> None:
        """Put a mapped object at the end of the load order."""
        self.links.append(link)
        self._index(link)

    def answers_to(self, link: LinkMap, name: str) -> None:
        """Note that an object was asked for by this name (G-110)."""
        link.names.add(name)
        self._by_name.setdefault(name, link)


class _Load:
    """One dlopen in a process; with `starting` the start of the program `name` in place of one."""

    def __init__(self, process: Process, name: str, caller: LinkMap | None, *, starting: bool = False) -> None:
        self.process = process
        self.host = process.host
        self.name = name
        self.caller = caller
        self.starting = starting
        self.notes: list[str] = []
        self.root: LinkMap | None = None
        self.new: list[LinkMap] = []
        self.scope: list[LinkMap] = []
        self.lookups: list[Lookup] = []
        self.images: list[Mapped] = []

    def run(self, *, symbols: bool) -> Trace:
        failure: Failure | None = None
        try:
            self._load(symbols=symbols)
        except Refused as refused:
            failure = refused.failure
        return Trace(
            target=self.name,
            lookups=tuple(self.lookups),
            images=tuple(self.images),
            failure=failure,
            scope=tuple(link.path for link in self.scope),
            resolved=symbols and failure is None,
            notes=tuple(self.notes),
        )

    def _load(self, *, symbols: bool) -> None:
        if not self.name:
            return  # dlopen("") is the main program: G-01 2
        if self.starting:
            root = self._program()
            self._map_dependencies(root, self._preloads(root))
        else:
            root = self._map(self.name, None)
            if root.scope is not None:  # opened before: what it needs is not asked for again
                self.scope = list(root.scope)
                return
            self._map_dependencies(root)
        if not root.new:
            return  # already loaded: nothing is checked again, G-03
        for check in (self._versions, self._properties):
            check()
        self._relocate(root, symbols=symbols)

    def _program(self) -> LinkMap:
        """The program that the kernel has mapped, and the loader itself, which its DT_NEEDED may name."""
        host, process = self.host, self.process
        content = host.look_at(self.name).content
        if not isinstance(content, Image):
            raise Refused(self._failure(_UNREADABLE, self.name, self.name, None, shown=self.name, lookup=None))
        program = LinkMap(self.name, content, is_main=True, step="program")
        program.names.clear()  # the loader records no path for it: what needs it by path maps it again
        process.main = program
        process.add(program)
        if host.foreign is not None and host.foreign.loader:
            loader = host.look_at(host.foreign.loader).content
            own = LinkMap(host.foreign.loader, loader if isinstance(loader, Image) else None)
            own.names.add(own.soname or own.path)
            own.new = False
            own.is_global = True
            process.add(own)
        self.new.append(program)
        self._note(self.name, None, (Attempt("program", self.name, TAKEN),), self.name)
        self.images.append(Mapped(self.name, self.name, None, "program", content))
        return program

    def _preloads(self, program: LinkMap) -> list[LinkMap]:
        """The objects of LD_PRELOAD and ld.so.preload; one that cannot be had is a line on stderr (G-160, G-161)."""
        names = preloaded(self.host)
        found = []
        for name, source in names:
            try:
                found.append(self._map(name, program))
            except Refused as refused:
                if refused.text is None:
                    raise  # it kills the process
                why = f"cannot be preloaded ({refused.text}): ignored."
                self.notes.append(f"ERROR: ld.so: object '{name}' from {source} {why}")
        return found

    def _map(self, name: str, requirer: LinkMap | None) -> LinkMap:
        """Phases 4 to 7 for one name: match, search and open, same file, map (G-01)."""
        process = self.process
        link = process.loaded_as(name)
        if link is not None:
            process.answers_to(link, name)
            self._note(name, requirer, (Attempt("already_loaded", link.path, ALREADY_LOADED),), link.path)
            return link
        if "/" in name:
            path = name
            if requirer is None and "$" in name:  # in a DT_NEEDED they are replaced before anything else (G-76)
                path = expand_tokens(name, self.caller or process.main, self.host) or name
            head, refusal, outcome = try_candidate(path, self.host)
            attempts: tuple[Attempt, ...] = (Attempt("path", path, outcome, detail_of(head, refusal)),)
            number = head.errno or errno.ENOENT
            process.directories.opened(0 if outcome in (TAKEN, STOPPED) else number)
            found, stopped, other_class = (
                head if outcome is TAKEN else None,
                refusal if outcome is STOPPED else None,
                outcome is WRONG_CLASS,
            )
        else:
            caller = requirer if requirer is not None else self.caller
            result = search(Query(name, self.host, caller, process.main), process.directories)
            attempts, number, other_class = result.attempts, result.errno, result.other_class
            found, stopped = (None, result.refusal) if result.refusal is not None else (result.head, None)
        step, path = attempts[-1][:2] if attempts else ("", name)
        lookup = self._note(name, requirer, attempts, path if found is not None else None)
        if stopped is not None:
            self._refuse(stopped, path, name, requirer, shown=path, lookup=lookup)
        if found is None:
            self._missing(name, requirer, lookup, number, other_class=other_class)
        assert found is not None
        same = process._by_file.get((found.device, found.inode))
        if same is not None:
            process.answers_to(same, name)
            return same
        if (refusal := refused_mapping(found, self.host, starting=self.starting)) is not None:
            self._refuse(refusal, path, name, requirer, shown=name, lookup=lookup)
        if not isinstance(found.content, Image):
            raise Refused(self._failure(_UNREADABLE, path, name, requirer, shown=name, lookup=lookup))
        link = LinkMap(path, found.content, parent=requirer, step=step)
        link.names.add(name)
        process.add(link)
        self.new.append(link)
        self.images.append(Mapped(path, name, requirer.path if requirer is not None else None, step, found.content))
        return link

    def _note(self, name: str, requirer: LinkMap | None, attempts: tuple[Attempt, ...], found: str | None) -> Lookup:
        lookup = Lookup(name, requirer.path if requirer is not None else None, attempts, found)
        self.lookups.append(lookup)
        return lookup

    def _missing(self, name: str, requirer: LinkMap | None, lookup: Lookup, number: int, *, other_class: bool) -> None:
        if other_class:
            text = f"wrong ELF class: ELFCLASS{96 - self.host.elf_class}"
            refusal = Refusal("wrong-class", "G-24", text)
        else:
            refusal = Refusal("missing", "G-65", "cannot open shared object file", number)
        self._refuse(refusal, lookup.attempts[-1].path if lookup.attempts else name, name, requirer,
                     shown=name, lookup=lookup)  # fmt: skip

    def _refuse(
        self, refusal: Refusal, path: str, name: str, requirer: LinkMap | None, *, shown: str, lookup: Lookup | None
    ) -> None:
        raise Refused(self._failure(refusal, path, name, requirer, shown=shown, lookup=lookup), refusal.text)

    def _failure(
        self, refusal: Refusal, path: str, name: str, requirer: LinkMap | None, *, shown: str, lookup: Lookup | None
    ) -> Failure:
        message = None if refusal.text is None else f"{shown}: {with_errno(refusal.text, refusal.errno)}"
        if message is not None and self.starting:
            message = f"{self.name}: error while loading shared libraries: {message}"
        return Failure(
            kind=refusal.kind,
            rule=refusal.rule,
            message=message,
            path=path,
            name=name,
            requirer=requirer.path if requirer is not None else None,
            signal=refusal.signal,
            certain=refusal.certain,
            detail=refusal.detail,
            lookup=lookup,
        )

    def _map_dependencies(self, root: LinkMap, preloads: Sequence[LinkMap] = ()) -> None:
        self.root = root
        self.scope = list({id(link): link for link in (root, *preloads)}.values())
        refused: Refused | None = None
        try:
            self._walk(self.scope)
        except Refused as one:
            refused = one
        is_behind = self.scope[0] is not root and not self.starting
        if is_behind and self.host.version <= (2, 31) and (refused is None or not refused.failure.dies):
            raise Refused(self._failure(NOT_OPENED, root.path, root.path, None, shown="", lookup=None))
        if refused is not None:
            raise refused

    def _walk(self, scope: list[LinkMap]) -> None:
        """Map what objects need and add it to the scope: breadth first, each DT_NEEDED in file order (G-115)."""
        seen = {id(link) for link in scope}
        walked: set[int] = set()
        moves = Moves(self.process.links)
        position = 0
        while position < len(scope):
            link = scope[position]
            if id(link) in walked:
                position += 1
                continue
            walked.add(id(link))
            if link.image is not None and link.image.filtees:
                self._map_with_filtees(link, link.image, seen, walked, moves)
                continue
            if link.dependencies is None:
                link.dependencies = tuple(self._needed(link))
            for child in link.dependencies:
                if id(child) not in seen:
                    scope.append(child)
                seen.add(id(child))

    def _needed(self, link: LinkMap) -> Iterator[LinkMap]:
        """What an object needs, mapped where it is not loaded."""
        for needed in link.image.needed if link.image is not None else ():
            if (child := self._child(needed, link)) is not None:
                yield child

    def _map_with_filtees(self, link: LinkMap, image: Image, seen: set[int], walked: set[int], moves: Moves) -> None:
        """Map what an object with filtees needs; these stand among the rest, as in its file (G-85).

        All are asked for anew each time the object is walked, if only to find them loaded.
        """
        found: list[LinkMap] = []
        for index in range(len(image.needed) + 1):
            for filtee in image.filtees:
                if filtee.after != index or (child := self._filtee(filtee, link)) is None:
                    continue
                found.append(child)
                seen.add(id(child))
                if not moves.put_before(link, child, self.scope):
                    continue
                self._put_in_load_order()
                walked.discard(id(child))
                if (refusal := moves.never_end(self.scope, walked)) is not None:
                    self._refuse(refusal, link.path, child.path, link, shown="", lookup=None)
            if index < len(image.needed) and (child := self._child(image.needed[index], link)) is not None:
                found.append(child)
                if id(child) not in seen:
                    self.scope.append(child)
                seen.add(id(child))
        if link.dependencies is None:
            link.dependencies = tuple(found)

    def _put_in_load_order(self) -> None:
        """Follow the order of the process's objects, in which one was moved."""
        self.process.index_anew()
        links = [link for link in self.process.links if link.new]
        positions = {id(link.image): position for position, link in enumerate(links)}
        self.new[:] = links
        self.images.sort(key=lambda one: positions[id(one.image)])

    def _child(self, needed: str, link: LinkMap) -> LinkMap | None:
        name = self._expanded(needed, link)
        return self._map(name, link) if link.new else self._known(name, link)

    def _expanded(self, needed: str, link: LinkMap) -> str:
        if "$" not in needed or not has_token(needed):
            return needed
        if self.host.secure:
            raise Refused(self._failure(_TOKEN_IN_SECURE_MODE, link.path, needed, link, shown=needed, lookup=None))
        return expand_tokens(needed, link, self.host) or needed

    def _filtee(self, filtee: Filtee, link: LinkMap) -> LinkMap | None:
        """The filtee, None where it is optional and cannot be had (G-85)."""
        name = self._expanded(filtee.name, link)
        try:
            return self._map(name, link)
        except Refused as refused:
            if not filtee.optional or refused.failure.dies:
                raise
            return None

    def _known(self, name: str, link: LinkMap) -> LinkMap | None:
        """A dependency of an object that was loaded before: it was found then, by whatever way."""
        return self.process.loaded_as(name)

    def _versions(self) -> None:
        first: Failure | None = None
        lines: list[str] = []
        for link in self.new:
            failure = refused_versions(self.process, link, self.host)
            if failure is None:
                continue
            if not self.starting or failure.kind != "version":
                raise Refused(self._at_start(failure))
            # the start of a program tells of each, a line on stderr, and ends after the last
            first = first or failure
            lines += [self._version_line(need, link) for need in failure.needs]
        if first is not None:
            raise Refused(first._replace(message="\n".join(lines)))

    def _version_line(self, need: VersionNeed, link: LinkMap) -> str:
        provider = self.process.loaded_as(need.file)
        where = provider.path if provider is not None else need.file
        return f"{self.name}: {where}: version `{need.version}' not found (required by {link.path})"

    def _properties(self) -> None:
        """The processor's check of the new objects, dependencies first (G-53)."""
        failures = {id(link): one for link in self.new if (one := refused_properties(link, self.host)) is not None}
        if failures:
            order = self._order()
            first = next((failures[id(link)] for link in order if id(link) in failures), next(iter(failures.values())))
            raise Refused(self._at_start(first))

    def _order(self) -> list[LinkMap]:
        """The order of relocation: the opened object counts as the first of its scope, whatever stands before it."""
        root = self.root
        if root is None or self.scope[:1] == [root]:
            return relocation_order(self.new, self.scope, self.host)
        new, scope = ([root, *(link for link in links if link is not root)] for links in (self.new, self.scope))
        return relocation_order(new, scope, self.host)

    def _at_start(self, failure: Failure) -> Failure:
        """The failure with the words that a program's start puts in front (G-10)."""
        if not self.starting or failure.message is None:
            return failure
        if failure.kind == "isa-level":
            return failure  # told by another function of the loader, which puts nothing in front
        occasion = "symbol lookup error" if failure.kind == "symbol" else "error while loading shared libraries"
        return failure._replace(message=f"{self.name}: {occasion}: {failure.message}")

    def _is_short(self) -> bool:
        """Whether a new object's file ends before its segments do; only then the order decides anything here."""
        return any(link.image is not None and link.image.size < link.image.load_end for link in self.new)

    def _relocate(self, root: LinkMap, *, symbols: bool) -> None:
        in_order = symbols or self._is_short() or self.host.refuses_write_execute
        order = self._order() if in_order else []
        for link in order:
            if link.new and link.image is not None:
                refusal = refused_truncation(link.image, self.host, stage="relocate")
                if refusal is not None:
                    raise Refused(self._failure(refusal, link.path, link.path, link.parent, shown="", lookup=None))
                if not symbols and (failure := refused_text(link, self.host)) is not None:
                    raise Refused(failure)
        if symbols:
            from tfguard.loader.glibc_symbols import unresolved

            failure = unresolved(self.process, order, self.scope, starting=self.starting)
            if failure is not None:
                raise Refused(self._at_start(failure._replace(name=failure.name or root.path)))


_TOKEN_IN_SECURE_MODE = Refusal("token-in-secure-mode", "G-167", "DST not allowed in SUID/SGID programs")
_UNREADABLE = Refusal(
    "damaged", "G-44", None, signal="SIGSEGV", certain=False, detail="its dynamic section cannot be read"
)
