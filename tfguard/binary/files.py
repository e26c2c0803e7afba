"""Where the files of a system lie that is not this one: a folder with its tree, read as that system would name it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from tfguard.binary.macho import Source, look_at_macho, open_source
from tfguard.binary.quarantine import quarantine_of
from tfguard.hosts.root import Root
from tfguard.macho_image import MachoHead


class Files(Protocol):
    """A file system as dyld sees it: paths in and out are those of the system that is asked about."""

    def look_at(self, path: str) -> MachoHead:
        """What opening a path gives; never raises."""

    def real_path(self, path: str) -> str | None:
        """The path with all links followed, None where there is nothing."""

    def open(self, path: str) -> Source:
        """The bytes of a file, to be closed by the caller; raises OSError."""

    def names_in(self, path: str) -> tuple[str, ...]:
        """What lies in a directory, sorted; nothing where it cannot be read."""

    def quarantine(self, path: str) -> str | None:
        """The value of com.apple.quarantine of a file, None where it has none."""

    def below(self, path: str) -> Iterator[str]:
        """The paths of all files below a directory, without those that are links; a great many at most."""


_FILES_LIMIT = 50_000
_NO_NATIVES = frozenset(("__pycache__", "include"))


@dataclass(frozen=True, slots=True)
class Disk:
    """This machine's disk, or the tree below `root` as that of another system.

    With `ignores_case` names are found whatever
    their case, as on the file system that Macs come with.
    """

    root: str = ""
    ignores_case: bool = False
    _places: dict[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    def look_at(self, path: str) -> MachoHead:
        place = self.place(path)
        if place is None:
            return MachoHead(path=path, errno=errno.ENOENT)
        head = look_at_macho(place)
        return head if place == path else _renamed(head, path)

    def real_path(self, path: str) -> str | None:
        place = self.place(path)
        if place is None or not os.path.exists(place):
            return None
        real = os.path.realpath(place)
        return real[len(self.root) :] or "/" if self.root else real

    def open(self, path: str) -> Source:
        place = self.place(path)
        if place is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return open_source(place)

    def names_in(self, path: str) -> tuple[str, ...]:
        place = self.place(path)
        try:
            return tuple(sorted(os.listdir(place))) if place is not None else ()
        except OSError:
            return ()

    def quarantine(self, path: str) -> str | None:
        place = self.place(path)
        return quarantine_of(place) if place is not None else None

    def below(self, path: str) -> Iterator[str]:
        start = self.place(path)
        if start is None:
            return
        pending, count = [(start, path)], 0
        while pending:
            folder, shown = pending.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda one: one.name)
            except OSError:
                continue
            for entry in entries:
                count += 1
                if count > _FILES_LIMIT:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _NO_NATIVES:
                        pending.append((entry.path, f"{shown}/{entry.name}"))
                elif entry.is_file(follow_symlinks=False):
                    yield f"{shown}/{entry.name}"

    def place(self, path: str) -> str | None:
        """The file's path on this machine, None where there is none."""
        if not self.root:
            return path
        if path not in self._places:
            tree = Root(self.root)
            try:
                self._places[path] = tree.outside(_spelled(path, tree) if self.ignores_case else path)
            except (OSError, ValueError):
                self._places[path] = None
        return self._places[path]


def _spelled(path: str, tree: Root) -> str:
    """The path in the case that its parts have on disk, as far as they are there."""
    done = ""
    for part in path.split("/"):
        if not part:
            continue
        name = part
        if part not in (".", "..") and not tree.lexists(f"{done}/{part}"):
            wanted = part.casefold()
            name = next((one for one in tree.names_in(done or "/") if one.casefold() == wanted), part)
        done = f"{done}/{name}"
    return done


def _renamed(head: MachoHead, path: str) -> MachoHead:
    """The same facts under the path that the file has in its own system."""
    from tfguard.macho_image import MachoImage

    slices = tuple(
        one._replace(content=one.content._replace(path=path)) if isinstance(one.content, MachoImage) else one
        for one in head.slices
    )
    return head._replace(path=path, slices=slices)
