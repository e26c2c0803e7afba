"""Plays a dlopen of musl's loader, and the start of a program: one file is libc and loader there (ld-so.md §14)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from tfguard.binary.symbols import SymbolTable
from tfguard.hosts.host import Host
from tfguard.hosts.loader_family import entries_of
from tfguard.image import DF_TEXTREL, DT_FLAGS, DT_RELRSZ, DT_TEXTREL, Head, Image, machine_name
from tfguard.loader.glibc_file import Refusal
from tfguard.loader.glibc_text import unmarked_text_relocation
from tfguard.loader.link_map import LinkMap
from tfguard.loader.musl_file import as_of_this_process, error_text, refused
from tfguard.loader.musl_search import is_reserved, lists_for, search
from tfguard.loader.musl_symbols import failures_of, has_tls, missing_of
from tfguard.loader.refused import Refused
from tfguard.loader.tables import Tables
from tfguard.loader.trace import ALREADY_LOADED, STOPPED, TAKEN, UNREADABLE, Attempt, Failure, Lookup, Mapped, Trace

# Names with "64" at the end that musl resolves to the plain ones: the list that it holds begins so (V-31).
_LFS64 = b"aio_cancel\0aio_error\0"
# Below it nothing is mapped, in programs of any kind: the lowest begin here.
_UNMAPPED = 1 << 22


class Process:
    """A process in which loads are played one after another; the counterpart of `loader.glibc.Process`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.links = _links_of(host)
        self.main = next((link for link in self.links if link.is_main), None)
        self.loader = next((link for link in self.links if is_musl(link.path)), None) or _unseen_loader()
        self._tables = Tables(self._opened)
        self._hashes: dict[bytes, int] = {}
        self._plain: frozenset[bytes] | None = None
        # what the last call that failed has left; of what a process did before, nothing is known
        self.errno = 0

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def loaded_as(self, name: str) -> LinkMap | None:
        """The loaded object of this path, or found by this name before (M-08); what is musl itself answers for it."""
        for link in self.links:
            if name and (link.path == name or name in link.names):
                return link
        return self.loader if is_reserved(name) else None

    def table(self, link: LinkMap) -> SymbolTable | None:
        """The symbols of an object, None where its file cannot be read."""
        return self._tables.of(link)

    def let_go(self, links: list[LinkMap]) -> None:
        """Objects that the process has no more."""
        self.links = [link for link in self.links if link not in links]
        self._tables.let_go(links)

    def _opened(self, link: LinkMap) -> SymbolTable | None:
        return SymbolTable(link.image, self._hashes) if link.image is not None else None

    def has_dynamic_tls(self, link: LinkMap) -> bool:
        """Whether an object's thread-local variables have no fixed place: it was not loaded at start (M-25)."""
        return has_tls(link) and link.step != "start"

    def plain_name(self, name: bytes) -> bytes | None:
        """The name that musl resolves one such as open64 to, where it does so itself (V-31)."""
        if not name.endswith(b"64") and name != b"readdir64_r":
            return None
        if self._plain is None:
            path = self.loader.image.path if self.loader.image is not None else ""
            self._plain = _lfs64_names(path)
        plain = b"readdir_r" if name == b"readdir64_r" else name[:-2]
        return plain if self._plain and (plain in self._plain or plain == b"readdir_r") else None

    def dlopen(
        self, name: str, *, caller: LinkMap | None = None, make_global: bool = False, symbols: bool = True
    ) -> Trace:
        """Play `dlopen(name, RTLD_NOW)`; who calls it makes no difference here (M-01)."""
        play = _Load(self, name)
        trace = play.dlopen(symbols=symbols)
        if trace.failure is None:
            for link in play.new:
                link.new = False
            if make_global:
                for link in play.scope:
                    link.is_global = True
        else:
            self.let_go(play.new)
        return trace

    def start_program(self, program: str) -> Trace:
        """Play what musl does before a program runs, in a process that has nothing mapped yet."""
        return _Load(self, program).start()

    def places(self, name: str, requirer: LinkMap | None) -> Iterator[str]:
        """Every path that a search for a bare name tries, in order, whatever is found on the way."""
        for _, text in lists_for(requirer or self.main, self.host):
            for entry in entries_of(text):
                yield f"{entry}/{name}"

    def cached(self, name: str) -> tuple[str, ...]:
        """Nothing: musl has no list of libraries (M-09)."""
        return ()

    def not_taken(self, path: str) -> str | None:
        """Why musl would not map the file at a path, in words that follow its name; None where it would."""
        head = self.host.look_at(path)
        if head.errno:
            return error_text(head.errno).lower()
        own = as_of_this_process(head, path, self.host)
        if refused(own, self.host) is not None:
            return "cannot be loaded"
        machine = int.from_bytes(own.start[18:20], "little" if self.host.little_endian else "big")
        return f"is built for {machine_name(machine)}" if machine != self.host.machine else None


def _unseen_loader() -> LinkMap:
    """musl itself where the list of loaded objects does not have it: what it defines is not known."""
    link = LinkMap("libc.so", None, step="start")
    link.new = False
    link.is_global = True
    return link


def is_musl(path: str) -> bool:
    """Whether a loaded object is musl itself, by its name."""
    return os.path.basename(path).startswith(("ld-musl-", "libc.musl-"))


def _links_of(host: Host) -> list[LinkMap]:
    """The objects that the host's process has loaded: those asked for by a bare name were found by search (M-08)."""
    links = [
        LinkMap(one.path, one.image or _own_image(one.path, host), is_main=position == 0 and not one.path,
                step="start" if one.startup else "")
        for position, one in enumerate(host.loaded)
    ]  # fmt: skip
    asked = {name for link in links if link.image is not None for name in link.image.needed if "/" not in name}
    preloads = {name: search(name, None, host).head for name in _preloads(host) if "/" not in name}
    for link, one in zip(links, host.loaded, strict=True):
        link.new = False
        link.is_global = one.startup
        link.names = asked & {os.path.basename(one.path)}
        if preloads and link.image is not None:  # one preloaded by its path has no name unless a search finds it too
            file = link.image.device, link.image.inode
            link.names |= {name for name, head in preloads.items() if head and (head.device, head.inode) == file}
    by_name = {name: link for link in reversed(links) for name in link.names}
    for link in links:  # the first that needs it has brought it in
        for name in link.image.needed if link.image is not None else ():
            child = by_name.get(name)
            if child is not None and child.parent is None and child is not link and not child.is_main:
                child.parent = link
    return links


def _own_image(path: str, host: Host) -> Image | None:
    """An object that only musl takes for one of this machine, class and byte order (M-10)."""
    content = as_of_this_process(host.look_at(path), path, host).content if path else None
    return content if isinstance(content, Image) else None


def _lfs64_names(path: str) -> frozenset[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 23)
    except OSError:
        return frozenset()
    start = data.find(_LFS64)
    end = data.find(b"\0\0", start)
    return frozenset(data[start:end].split(b"\0")) if start >= 0 else frozenset()


class _Load:
    """One dlopen in a process, or the start of its program."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.host = process.host
        self.name = name
        self.starting = False
        self.new: list[LinkMap] = []
        self.scope: list[LinkMap] = []
        self.lookups: list[Lookup] = []
        self.images: list[Mapped] = []
        self.failures: list[Failure] = []

    # --- the two ways in

    def dlopen(self, *, symbols: bool) -> Trace:
        failure: Failure | None = None
        try:
            if not self.name:
                self._refuse(Refusal("missing", "M-31", "", errno.EINVAL), "", None, None)
            else:
                root = self._map(self.name, self.process.main, None)
                self._map_dependencies([root])
                self.scope = self._group(root)
                if symbols:
                    self._relocate(self.new)
        except Refused as refused_load:
            failure = refused_load.failure
        return self._trace(failure, resolved=symbols and failure is None)

    def start(self) -> Trace:
        """Errors are told as they come and end the program after the last: exit 127."""
        self.starting = True
        failure: Failure | None = None
        try:
            program = self._program()
            for name in _preloads(self.host):
                try:
                    self._map(name, None, None)
                except Refused as refused_load:
                    if refused_load.failure.signal is not None:
                        raise
                    # musl passes over it without a word
            self._map_dependencies(list(self.new))
            everyone = [link for link in self.process.links if link.image is not None or link is self.process.loader]
            self.scope = everyone
            for link in everyone:
                link.is_global = True
            self._relocate([*[link for link in self.new if link is not program], program])
        except Refused as refused_load:
            failure = refused_load.failure
        if failure is None and self.failures:
            says = "\n".join(one.message or "" for one in self.failures)
            failure = self.failures[0]._replace(message=says)
        return self._trace(failure, resolved=failure is None)

    def _trace(self, failure: Failure | None, *, resolved: bool) -> Trace:
        return Trace(
            target=self.name,
            lookups=tuple(self.lookups),
            images=tuple(self.images),
            failure=failure,
            scope=tuple(link.path for link in self.scope),
            resolved=resolved,
        )

    # --- mapping

    def _program(self) -> LinkMap:
        host, process = self.host, self.process
        content = host.look_at(self.name).content
        if not isinstance(content, Image):
            refusal = Refusal("damaged", "M-14", None, signal="SIGSEGV", certain=False)
            raise Refused(self._failure(refusal, self.name, None, None, ""))
        program = LinkMap(self.name, content, is_main=True, step="start")
        process.main = program
        process.links.append(program)
        self.new.append(program)
        self.lookups.append(Lookup(self.name, None, (Attempt("program", self.name, TAKEN),), self.name))
        self.images.append(Mapped(self.name, self.name, None, "program", content))
        if host.foreign is not None and host.foreign.loader:
            loader = host.look_at(host.foreign.loader).content
            process.loader = LinkMap(host.foreign.loader, loader if isinstance(loader, Image) else None, step="start")
            process.loader.new = False
            process.loader.is_global = True
        return program

    def _map(self, name: str, needed_by: LinkMap | None, requirer: LinkMap | None) -> LinkMap:
        """musl's load_library: reserved names, those found before, the search, the same file, another libc."""
        process, host = self.process, self.host
        loader = process.loader
        if is_reserved(name) or name == loader.path:
            return self._own(name, requirer, loader)
        if "/" in name:
            head = host.look_at(name)
            number = head.errno
            outcome = TAKEN if not number else UNREADABLE if number == errno.EACCES else "no such file"
            attempts: tuple[Attempt, ...] = (Attempt("path", name, outcome),)
            found = head if not number else None
            path = name
            process.errno = number or process.errno
        else:
            known = next((one for one in process.links if name in one.names and one is not process.main), None)
            if known is not None:
                self._note(name, requirer, (Attempt("already_loaded", known.path, ALREADY_LOADED),), known.path)
                return known
            result = search(name, needed_by, host, process.errno)
            attempts, number, found = result.attempts, result.errno, result.head
            process.errno = number
            path = attempts[-1].path if found is not None else name
        if found is None:
            lookup = self._note(name, requirer, attempts, None)
            self._refuse(Refusal("missing", "M-05", "", number), name, requirer, lookup)
        assert found is not None
        same = next((one for one in process.links if _is_same(one, found, process)), None)
        if same is not None:
            if path != name:
                same.names = same.names or {os.path.basename(same.path)}
            self._note(name, requirer, attempts, same.path)
            return same
        return self._mapped(name, path, found, needed_by, requirer, attempts)

    def _mapped(
        self, name: str, path: str, found: Head, needed_by: LinkMap | None, requirer: LinkMap | None,
        attempts: tuple[Attempt, ...],
    ) -> LinkMap:  # fmt: skip
        process = self.process
        head = as_of_this_process(found, path, self.host)
        refusal = refused(head, self.host)
        if refusal is not None:
            process.errno = refusal.errno or process.errno
            stopped = attempts[-1]._replace(outcome=STOPPED, detail=error_text(refusal.errno) if refusal.errno else "")
            lookup = self._note(name, requirer, (*attempts[:-1], stopped), None)
            self._refuse(refusal, name, requirer, lookup, path=path)
        assert isinstance(head.content, Image)
        link = LinkMap(path, head.content, parent=needed_by, step="start" if self.starting else attempts[-1].step)
        link.names = {os.path.basename(path)} if path != name else set()
        table = process.table(link)
        if table is not None and _is_a_libc(table):
            # two of them in one process cannot be: the name leads to the one that runs (M-07)
            process.let_go([link])
            return self._own(name, requirer, process.loader)
        self._note(name, requirer, attempts, path)
        process.links.append(link)
        self.new.append(link)
        self.images.append(
            Mapped(path, name, requirer.path if requirer is not None else None, attempts[-1].step, head.content)
        )
        return link

    def _own(self, name: str, requirer: LinkMap | None, loader: LinkMap) -> LinkMap:
        self._note(name, requirer, (Attempt("already_loaded", loader.path, ALREADY_LOADED),), loader.path)
        if loader not in self.process.links:
            self.process.links.append(loader)
        return loader

    def _note(self, name: str, requirer: LinkMap | None, attempts: tuple[Attempt, ...], found: str | None) -> Lookup:
        lookup = Lookup(name, requirer.path if requirer is not None else None, attempts, found)
        self.lookups.append(lookup)
        return lookup

    def _map_dependencies(self, queue: list[LinkMap]) -> None:
        """Each object's DT_NEEDED in the order of the list, new ones at its end."""
        position = 0
        while position < len(queue):
            link = queue[position]
            position += 1
            if link.dependencies is not None or not link.new or link.image is None:
                continue
            found: list[LinkMap] = []
            for name in link.image.needed:
                known = len(self.new)
                try:
                    found.append(self._map(name, link, link))
                except Refused as refused_load:
                    if not self.starting or refused_load.failure.signal is not None:
                        raise
                    self.failures.append(refused_load.failure)
                queue += self.new[known:]
            link.dependencies = tuple(found)

    @staticmethod
    def _group(root: LinkMap) -> list[LinkMap]:
        """The opened object and all it needs, breadth first."""
        queue, seen = [root], {id(root)}
        for link in queue:
            for child in link.dependencies or ():
                if id(child) not in seen:
                    seen.add(id(child))
                    queue.append(child)
        return queue

    # --- relocation

    def _relocate(self, links: list[LinkMap]) -> None:
        process = self.process
        known = [link for link in process.links if link.is_global]
        if process.loader not in known:
            known.append(process.loader)
        scope = list({id(link): link for link in (*known, *self.scope)}.values())
        for link in links:
            for failure in failures_of(process, link, scope):
                if not self.starting:
                    if failure.kind == "symbol":
                        failure = failure._replace(references=missing_of(process, link, scope))  # noqa: PLW2901
                    raise Refused(failure)
                self.failures.append(failure)
                if failure.kind == "dynamic-tls":
                    raise Refused(failure)
            if (died := _unmarked_text_relocation(process, link)) is not None:
                raise Refused(died)
        if "packed-relocations" not in self.host.features and not self.failures:
            for link in reversed(links):  # constructors run when all is relocated, those of what is needed first
                if (died := _packed_relocations(process, link)) is not None:
                    raise Refused(died)

    # --- words

    def _refuse(
        self, refusal: Refusal, name: str, requirer: LinkMap | None, lookup: Lookup | None, *, path: str = ""
    ) -> None:
        raise Refused(self._failure(refusal, name, requirer, lookup, path))

    @staticmethod
    def _failure(refusal: Refusal, name: str, requirer: LinkMap | None, lookup: Lookup | None, path: str) -> Failure:
        message = None
        if refusal.text is not None:
            message = f"Error loading shared library {name}: {error_text(refusal.errno)}"
            message += f" (needed by {requirer.path})" if requirer is not None else ""
        return Failure(
            kind=refusal.kind,
            rule=refusal.rule,
            message=message,
            path=path or (lookup.attempts[-1].path if lookup is not None and lookup.attempts else name),
            name=name,
            requirer=requirer.path if requirer is not None else None,
            signal=refusal.signal,
            certain=refusal.certain,
            detail=refusal.detail,
            lookup=lookup,
        )


def _is_same(link: LinkMap, head: Head, process: Process) -> bool:
    """Whether a file is one that is loaded; of the program and of itself musl keeps no file number (M-08)."""
    if link.is_main or link is process.loader or link.image is None:
        return False
    return (link.image.device, link.image.inode) == (head.device, head.inode)


def _unmarked_text_relocation(process: Process, link: LinkMap) -> Failure | None:
    """The death at a relocation into a read-only segment; of the two marks musl knows only DT_TEXTREL (M-13)."""
    table, image = process.table(link), link.image
    if table is None or image is None or DT_TEXTREL in image.dynamic:
        return None
    dynamic = {tag: value & ~DF_TEXTREL if tag == DT_FLAGS else value for tag, value in image.dynamic.items()}
    plain = LinkMap(link.path, image._replace(dynamic=dynamic), parent=link.parent)
    return unmarked_text_relocation(plain, table, process.host)


def _packed_relocations(process: Process, link: LinkMap) -> Failure | None:
    """The death of what musl leaves unrelocated up to 1.2.3: certain where a constructor is called so (V-30)."""
    table, image = process.table(link), link.image
    if table is None or image is None or not image.dynamic.get(DT_RELRSZ):
        return None
    called = table.packed_constructor()
    return Failure(
        kind="packed-relocations",
        rule="V-30",
        message=None,
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None and not link.parent.is_main else None,
        signal="SIGSEGV",
        certain=called is not None and called < _UNMAPPED,
        detail="no address that DT_RELR names is relocated" if called is None
        else f"a constructor is called at {called:#x}, which is not relocated",
    )  # fmt: skip


def _is_a_libc(table: SymbolTable) -> bool:
    """Whether an object defines what only a C library does (M-07)."""
    names = (b"__libc_start_main", b"stdin")
    found = table.entries_named(names)
    return all(any(one.section and one.value for one in found[name]) for name in names)


def _preloads(host: Host) -> list[str]:
    return [] if host.secure else host.environment.get("LD_PRELOAD", "").replace(":", " ").split()
