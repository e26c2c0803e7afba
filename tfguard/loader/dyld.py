"""Plays a dlopen of macOS: search, file, needed libraries, symbols, to a trace (dyld.md §4 to §8).

One process for both engines: that of macOS 12 and later, and in `dyld2_locate` what differs in 10.15 and 11 (D-02).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac
from tfguard.loader import dyld2_locate, dyld_locate, dyld_messages
from tfguard.loader.dyld_image import Chain, DyldImage, loaded_images
from tfguard.loader.dyld_locate import Found
from tfguard.loader.dyld_search import Query
from tfguard.loader.refused import Refused
from tfguard.loader.tables import Tables
from tfguard.loader.trace import REFUSES_SIGNATURE, Failure, Lookup, Mapped, Trace
from tfguard.macho_image import Dependent

if TYPE_CHECKING:
    from tfguard.binary.macho_symbols import MachoSymbols

RTLD_NOW = 2
RTLD_LOCAL = 4

# What dyld adds to an image that names no library at all (D-42).
_LIBSYSTEM = Dependent("/usr/lib/libSystem.B.dylib", 0, 0)


class DyldProcess:
    """A process on a Mac in which loads are played one after another: what one maps, the next finds loaded.

    Starts as the host's process stands. Use it as a context manager: it keeps the files that it looks symbols up in
    open until the end.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.mac = host.mac or Mac()
        self.links: list[DyldImage] = loaded_images(self.mac)
        self.main = next((link for link in self.links if link.is_main), None)
        self.python = next((link for link in self.links if link.path == self.mac.caller and link.image), None)
        # what was looked up: (library, name) to whether it exports it, and name to whether any image does
        self.resolved: dict[tuple[int, bytes], bool] = {}
        self.flat: dict[bytes, bool] = {}
        self._tables = Tables(self._opened)

    @property
    def knows_all(self) -> bool:
        """Whether the symbols of every image can be read."""
        return self.main is not None and all(link.image is not None for link in self.links)

    def __enter__(self) -> DyldProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def loaded_as(self, name: str) -> DyldImage | None:
        """The loaded image that a path or an install name means."""
        return next((link for link in self.links if link.matches(name)), None)

    def table(self, link: DyldImage) -> MachoSymbols | None:
        """The symbols of an image, None where its file cannot be read."""
        return self._tables.of(link)

    def _opened(self, link: DyldImage) -> MachoSymbols | None:
        from tfguard.binary.macho_symbols import MachoSymbols  # most imports look no symbol up

        image = link.image
        return MachoSymbols(image, self.mac.files.open(image.path)) if image is not None else None

    def dlopen(
        self,
        name: str,
        *,
        caller: DyldImage | None = None,
        mode: int = RTLD_NOW,
        symbols: bool = True,
        pages: bool = False,
    ) -> Trace:
        """Play `dlopen(name, mode)`; with `symbols=False` the look-up of symbols is left out.

        `caller` is the image whose code calls dlopen, by default the one with the interpreter: its LC_RPATHs count
        (D-43). With `pages` the hashes of all pages are checked too, which reads the files whole (D-73). A load that
        fails leaves the process as it was.
        """
        before = len(self.links)
        load = _Load(self, name, caller if caller is not None else self.python, mode)
        trace = load.run(symbols=symbols, pages=pages)
        if trace.failure is not None:
            self._tables.let_go(self.links[before:])
            gone = {id(link) for link in self.links[before:]}
            del self.links[before:]
            self.resolved = {key: found for key, found in self.resolved.items() if key[0] not in gone}
            self.flat.clear()
        for link in self.links:
            link.new = False
        return trace


class _Load:
    """One dlopen in a process."""

    def __init__(self, process: DyldProcess, name: str, caller: DyldImage | None, mode: int) -> None:
        self.process = process
        self.mac = process.mac
        self.name = name
        self.caller = caller
        self.mode = mode
        self.lookups: list[Lookup] = []
        self.images: list[Mapped] = []

    def run(self, *, symbols: bool, pages: bool) -> Trace:
        failure: Failure | None = None
        try:
            self._load(symbols=symbols, pages=pages)
        except Refused as refused:
            failure = refused.failure
        return Trace(
            target=self.name,
            lookups=tuple(self.lookups),
            images=tuple(self.images),
            failure=failure,
            scope=tuple(link.path for link in self.process.links),
            resolved=symbols and failure is None,
        )

    def _load(self, *, symbols: bool, pages: bool) -> None:
        if not self.name:
            return
        main = self.process.main
        chain: Chain = tuple(one for one in (self.caller, main) if one is not None)
        found = self._locate(Query(self.name, self.mac, chain, static=False), None)
        if not found.succeeded:
            raise Refused(self._unlocated(found, None, None))
        top = self._take(found, self.name, None)
        if not top.new or top.cached:
            return
        self._needed(top, (top, top, *chain) if self.mac.is_dyld4 else (top, *_once(chain)))
        new = [link for link in self.process.links if link.new]
        if symbols:
            self._bind(new)
        if pages:
            self._pages(new)

    def _locate(self, query: Query, requirer: DyldImage | None) -> Found:
        locate = dyld_locate.locate if self.mac.is_dyld4 else dyld2_locate.locate
        found = locate(query, self.process.links)
        path = found.loaded.path if found.loaded is not None else (found.cached or found.path)
        lookup = Lookup(query.name, requirer.path if requirer is not None else None, found.attempts, path or None)
        self.lookups.append(lookup)
        return found

    def _take(self, found: Found, name: str, requirer: DyldImage | None) -> DyldImage:
        """Put what was found into the process, where it is not there yet."""
        if found.loaded is not None:
            return found.loaded
        step = found.attempts[-1].step
        if found.cached is not None:
            image = DyldImage(found.cached, None, cached=True, parent=requirer, step=step)
            self.process.links.append(image)
            return image
        assert found.image is not None
        real = self.mac.files.real_path(dyld_locate.absolute(found.path, self.mac)) or found.path
        local = requirer is None and bool(self.mode & RTLD_LOCAL)  # what it needs stays visible
        image = DyldImage(real, found.image, local=local, parent=requirer, step=step, given=found.path)
        self.process.links.append(image)
        if not all(self.process.flat.values()):  # it may define what was looked up in vain
            self.process.flat = {key: met for key, met in self.process.flat.items() if met}
        self.images.append(Mapped(real, name, requirer.path if requirer is not None else None, step, found.image))
        return image

    def _needed(self, link: DyldImage, chain: Chain) -> None:
        """All that an image needs, in file order; then what each of these needs (D-44)."""
        assert link.image is not None
        fresh: list[DyldImage] = []
        for needed in link.image.dependents or (_LIBSYSTEM,):
            found = self._locate(Query(needed.name, self.mac, chain, static=True), link)
            refused = None if not found.succeeded else self._incompatible(needed, found, link)
            if not found.succeeded or refused is not None:
                if needed.weak and not needed.reexport:
                    link.dependents.append(None)  # silent, whatever the reason (D-45)
                    continue
                raise Refused(refused or self._unlocated(found, needed, link))
            before = len(self.process.links)
            child = self._take(found, needed.name, link)
            link.dependents.append(child)
            if len(self.process.links) > before and not child.cached:
                fresh.append(child)
        for child in fresh:
            self._needed(child, (child, *chain))

    def _incompatible(self, needed: Dependent, found: Found, link: DyldImage) -> Failure | None:
        """An older library than was linked to; only dyld of 10.15 and 11 looks at that (D-47)."""
        image = found.image or (found.loaded.image if found.loaded is not None else None)
        if self.mac.is_dyld4 or image is None or needed.compatibility in (0xFFFFFFFF, 0):
            return None
        if image.compatibility >= needed.compatibility or image.minos >= (10, 14):
            return None
        message = dyld_messages.incompatible(needed, image, link)
        return self._failure("incompatible-version", "D-47", message, image.path, needed.name, link)

    def _unlocated(self, found: Found, needed: Dependent | None, link: DyldImage | None) -> Failure:
        """The search came to nothing: what was missing, or what is wrong with the file that was there."""
        name = needed.name if needed is not None else self.name
        if needed is None or link is None:
            text = found.reason
        else:
            text = dyld_messages.not_loaded(needed.name, link, found.reason, self.mac)
        path, refusal = found.refusals[0] if found.refusals else (name, None)
        lookup = self.lookups[-1]
        message: str | None = self._outer(text)
        if refusal is not None and refusal.text is None:
            message = None
        return Failure(
            kind=refusal.kind if refusal is not None else "dylib-missing",
            rule=refusal.rule if refusal is not None else "D-61" if needed is not None else "D-62",
            message=message,
            path=path,
            name=name,
            requirer=link.path if link is not None else None,
            signal=None if message is not None else REFUSES_SIGNATURE,
            certain=(refusal is None or refusal.certain) and self._is_sure(found),
            detail=refusal.detail if refusal is not None else "",
            lookup=lookup,
            others=tuple((where, one.kind) for where, one in found.refusals[1:] if where != path),
        )

    def _is_sure(self, found: Found) -> bool:
        """Whether no place was left out because something of the process is not known."""
        return all(one.certain for _, one in found.refusals)

    def _outer(self, text: str) -> str:
        return dyld_messages.outer(self.name, self.mode, text, self.mac)

    def _failure(self, kind: str, rule: str, text: str, path: str, name: str, requirer: DyldImage | None) -> Failure:
        return Failure(
            kind=kind,
            rule=rule,
            message=self._outer(text),
            path=path,
            name=name,
            requirer=requirer.path if requirer is not None else None,
            lookup=self.lookups[-1],
        )

    def _bind(self, new: list[DyldImage]) -> None:
        """Look up every import of the new images; dyld stops at the first that is missing (D-85)."""
        from tfguard.loader.dyld_symbols import unmet

        for link in new:
            missing = unmet(self.process, link)
            if not missing:
                continue
            first = next((one for one in missing if one.certain), missing[0])
            provider = self.process.loaded_as(first.library)
            text = dyld_messages.symbol_not_found(first, link, provider, self.mac)
            table = self.process.table(link)
            raise Refused(
                Failure(
                    kind="macho-symbol",
                    rule="D-81" if not first.library else "D-80",
                    message=self._outer(text),
                    path=link.path,
                    name=self.name,
                    requirer=link.parent.path if link.parent is not None else None,
                    certain=first.certain and (table is None or table.damage is None),
                    provider=provider.path if provider is not None else None,
                    unmet=missing,
                )
            )

    def _pages(self, new: list[DyldImage]) -> None:
        """Compare every page with the hash that was signed: a changed one kills the process when it is used (D-73)."""
        from tfguard.binary.macho_signature import Signature, changed_pages, read_signature

        for link in new:
            if link.image is None or not link.image.signature.size:
                continue
            try:
                source = self.mac.files.open(link.image.path)
            except OSError:
                continue
            try:
                signature = read_signature(link.image, source)
                changed = changed_pages(link.image, source, signature) if isinstance(signature, Signature) else []
            finally:
                source.close()
            if changed:
                raise Refused(_changed(link, changed, self.mac, signature))


def _changed(link: DyldImage, changed: list[int], mac: Mac, signature: object) -> Failure:
    from tfguard.binary.macho_signature import Signature

    assert isinstance(signature, Signature)
    size = signature.page_size
    count = f"{len(changed)} or more" if len(changed) >= 16 else str(len(changed))
    return Failure(
        kind="changed-pages",
        rule="D-73",
        message=None,
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
        signal="SIGKILL",
        certain=mac.architecture.startswith("arm64"),  # what Intel Macs do with it was not tried
        detail=f"{count} of {signature.pages} pages, the first at byte {changed[0] * size}",
    )


def _once(chain: Chain) -> Chain:
    return tuple(dict.fromkeys(chain))
