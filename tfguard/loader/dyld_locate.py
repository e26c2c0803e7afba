"""Goes through the candidates for one name as dyld of macOS 12 and later does, to an image or to the reasons (D-32)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tfguard.hosts.mac import Mac, might_be_cached
from tfguard.loader.dyld_file import Refusal, refused_file, refused_stat
from tfguard.loader.dyld_image import DyldImage
from tfguard.loader.dyld_search import Candidate, Query, candidates, has_rpath
from tfguard.loader.trace import ALREADY_LOADED, SHARED_CACHE, TAKEN, Attempt
from tfguard.macho_image import MachoHead, MachoImage


class Found(NamedTuple):
    """What a search comes to: an image that is loaded already, or one to map, or neither and dyld's reason.

    `refusals` are those of the files that were there, in order.
    """

    attempts: tuple[Attempt, ...]
    loaded: DyldImage | None = None
    image: MachoImage | None = None
    cached: str | None = None
    path: str = ""
    reason: str = ""
    refusals: tuple[tuple[str, Refusal], ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether there is something to load."""
        return self.loaded is not None or self.image is not None or self.cached is not None


def locate(query: Query, images: Sequence[DyldImage]) -> Found:
    """Play the search for one name."""
    name, mac = query.name, query.mac
    implicit = f"@rpath/{name}" if query.is_relative and "/" not in name else name
    if implicit.startswith("@rpath/") and (match := _matching(implicit, images)) is not None:
        return Found((Attempt("already_loaded", match.path, ALREADY_LOADED),), loaded=match)
    if not mac.version >= (13,) and name.startswith("/") and mac.cache.holds(name):
        return Found((Attempt("shared_cache", name, SHARED_CACHE),), cached=name)  # D-33: nothing goes before it
    play = _Play(query, images)
    found = play.run()
    if not found.succeeded and (real := _real_path(query)) is not None:
        again = play.again(replace(query, name=real))
        found = again._replace(attempts=found.attempts + again.attempts, refusals=found.refusals + again.refusals)
    if found.succeeded:
        return found
    return found._replace(reason=_reason(query, play.items))


def _matching(path: str, images: Sequence[DyldImage]) -> DyldImage | None:
    return next((one for one in images if one.matches(path)), None)


class _Play:
    """One search; `items` are what it would say of every candidate that is not taken."""

    def __init__(self, query: Query, images: Sequence[DyldImage]) -> None:
        self.query = query
        self.images = images
        self.items: list[str] = []

    def again(self, query: Query) -> Found:
        """The same with another name, what is said behind what was said before."""
        self.query = query
        return self.run()

    def run(self) -> Found:
        """Try one candidate after the other."""
        attempts: list[Attempt] = []
        refusals: list[tuple[str, Refusal]] = []
        mac = self.query.mac
        for candidate in candidates(self.query):
            step, path = candidate.step, candidate.path
            if (match := _matching(path, self.images)) is not None:
                attempts.append(Attempt(step, path, ALREADY_LOADED))
                return Found(tuple(attempts), loaded=match, refusals=tuple(refusals))
            if not mac.allows_path_variables and not path.startswith("/"):
                self._refused(attempts, candidate, "relative path not allowed in hardened program")
                continue
            if not candidate.on_disk and mac.cache.holds(path, guessed=candidate.guessed):
                attempts.append(Attempt(step, path, SHARED_CACHE))
                return Found(tuple(attempts), cached=path, refusals=tuple(refusals))
            head = mac.files.look_at(absolute(path, mac))
            refusal = refused_stat(head, mac)
            if refusal is not None and refusal.kind in ("missing", "not-a-file"):
                suffix = ", not in dyld cache" if self._says_cache(candidate) else ""
                self._refused(attempts, candidate, f"{refusal.text}{suffix}", refusal.text or "")
                if refusal.kind == "not-a-file":
                    refusals.append((path, refusal))
                continue
            if (same := same_file(head, self.images)) is not None:
                attempts.append(Attempt(step, path, ALREADY_LOADED))
                return Found(tuple(attempts), loaded=same, refusals=tuple(refusals))
            result = refusal or refused_file(head, mac, static=self.query.static)
            if isinstance(result, MachoImage):
                attempts.append(Attempt(step, path, TAKEN))
                return Found(tuple(attempts), image=result, path=path, refusals=tuple(refusals))
            refusals.append((path, result))
            why = result.text if result.text is not None else f"code signature invalid ({result.detail})"
            self._refused(attempts, candidate, why.replace(head.path, path) if head.path != path else why)
        return Found(tuple(attempts), refusals=tuple(refusals))

    def _says_cache(self, candidate: Candidate) -> bool:
        return self.query.mac.version >= (13,) and not candidate.on_disk and might_be_cached(candidate.path)

    def _refused(self, attempts: list[Attempt], candidate: Candidate, why: str, outcome: str = "") -> None:
        attempts.append(Attempt(candidate.step, candidate.path, outcome or why))
        self.items.append(f"'{quoted(candidate.path, self.query.mac)}' ({why})")


def absolute(path: str, mac: Mac) -> str:
    """The path as the kernel takes it: relative ones begin in the working directory."""
    return path if path.startswith("/") else f"{mac.cwd.rstrip('/')}/{path}"


def quoted(path: str, mac: Mac) -> str:
    """A path between quotes: in macOS 12.5 to 12.7 what would end them is a blank (D-61)."""
    return path.replace("'", " ") if (12, 5) <= mac.version < (13,) else path


def same_file(head: MachoHead, images: Sequence[DyldImage]) -> DyldImage | None:
    """The loaded image of the same device, inode and time (D-51)."""
    wanted = (head.device, head.inode, head.modified)
    for one in images:
        facts = one.image
        if facts is not None and facts.inode and (facts.device, facts.inode, facts.modified) == wanted:
            return one
    return None


def _real_path(query: Query) -> str | None:
    """What the search is made for once more: the real path of the file, or of its directory and the leaf (D-30 6)."""
    name, mac = query.name, query.mac
    if name.startswith("@") or (not mac.allows_path_variables and not name.startswith("/")):
        return None
    if mac.version >= (13,) and not query.static and "/" not in name:
        return None
    full = absolute(name, mac)
    real = mac.files.real_path(full)
    if real is None:
        directory, _, leaf = full.rpartition("/")
        above = mac.files.real_path(directory or "/")
        real = f"{above.rstrip('/')}/{leaf}" if above is not None else None
    return real if real is not None and not name.startswith(real) else None


def _reason(query: Query, items: list[str]) -> str:
    """The reason as the message has it (D-37, D-62)."""
    mac = query.mac
    if items:
        reason = f"tried: {', '.join(items)}"
    elif query.name.startswith("@rpath/") and mac.version >= (14,):
        reason = "no LC_RPATH's found"
        if has_rpath(query.chain):
            reason = (
                "no LC_RPATH's used.  They may be invalid, eg, not start with '@loader_path' or '@executable_path'"
                if mac.version >= (15,)
                else ""
            )
    else:
        reason = ""
    if query.name.startswith("@") and not mac.allows_at_paths:
        reason += ", (security policy does not allow @ path expansion)"
    return reason
