"""The file system as a process sees it: this machine's own, or a directory tree whose symbolic links stay inside."""

from __future__ import annotations

import errno
import os

_MOST_LINKS = 40  # path_resolution(7)
_O_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)


class Root:
    """What "/" is for a process: `directory` on this machine, "/" where it is this machine's own.

    Paths are given and given back as the process spells them; only `outside` gives a path of this machine. A link,
    be it absolute or one that climbs, never leads out of the directory (ld-so.md H-09).
    """

    __slots__ = ("directory", "is_here")

    def __init__(self, directory: str = "/") -> None:
        """`directory` is taken as it is: an absolute path, best one without links. `is_here` where it is "/"."""
        self.directory = directory
        self.is_here = directory == "/"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Root) and other.directory == self.directory

    def __hash__(self) -> int:
        return hash(self.directory)

    def __repr__(self) -> str:
        return f"Root({self.directory!r})"

    def outside(self, path: str) -> str:
        """Where a file of the process lies on this machine; raises the OSError that opening it would."""
        return path if self.is_here else self.directory + self._resolved(path)

    def inside(self, path: str) -> str:
        """What the process calls a file of this machine; what lies outside keeps its name."""
        if self.is_here or not path.startswith(f"{self.directory}/"):
            return path
        return path[len(self.directory) :]

    def realpath(self, path: str) -> str:
        """The path without symbolic links; one that leads nowhere as it is, but normalised."""
        if self.is_here:
            return os.path.realpath(path)
        try:
            return self._resolved(path)
        except OSError:
            return os.path.normpath(path)

    def exists(self, path: str) -> bool:
        """Whether something is there, links followed."""
        return self._found(path) is not None

    def lexists(self, path: str) -> bool:
        """Whether something is there, be it a link that leads nowhere."""
        place = self._entry(path)
        return place is not None and os.path.lexists(place)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there, links followed."""
        return os.path.isdir(self._found(path) or "")

    def is_file(self, path: str) -> bool:
        """Whether a regular file is there, links followed."""
        return os.path.isfile(self._found(path) or "")

    def link_target(self, path: str) -> str | None:
        """What a symbolic link says, None for what is none."""
        place = self._entry(path)
        try:
            return os.readlink(place) if place is not None else None
        except (OSError, ValueError):
            return None

    def names_in(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none where it cannot be read."""
        try:
            return sorted(os.listdir(self.outside(folder)))
        except (OSError, ValueError):
            return []

    def matching(self, pattern: str) -> list[str]:
        """The paths that a pattern of glob(7) stands for, sorted."""
        import glob  # only where a load has failed
        from fnmatch import fnmatchcase

        if self.is_here:
            return sorted(glob.glob(pattern))
        found = [""]
        for part in pattern.strip("/").split("/"):
            if glob.has_magic(part):
                found = [f"{one}/{name}" for one in found for name in self.names_in(one or "/")
                         if fnmatchcase(name, part) and name.startswith(".") <= part.startswith(".")]  # fmt: skip
            else:
                found = [f"{one}/{part}" for one in found if self.lexists(f"{one}/{part}")]
        return found

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes from the start of a regular file, None where there is none to read."""
        try:
            fd = os.open(self.outside(path), _O_FLAGS)
        except (OSError, ValueError):
            return None
        with open(fd, "rb") as file:
            try:
                return file.read(limit)
            except OSError:  # a directory
                return None

    def _found(self, path: str) -> str | None:
        try:
            place = self.outside(path)
            os.stat(place)
        except (OSError, ValueError):
            return None
        return place

    def _entry(self, path: str) -> str | None:
        """The path on this machine of the entry itself, its last link not followed."""
        if self.is_here:
            return path
        folder, _, name = path.rstrip("/").rpartition("/")
        try:
            return os.path.join(self.outside(folder or "/"), name)
        except (OSError, ValueError):
            return None

    def _resolved(self, path: str) -> str:
        """The path without links, as the process sees it; raises what opening it would (path_resolution(7))."""
        pending = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part in ("", ".", ".."):
                # a file has no entries, be they these three: "libx.so/" and "libx.so/.." are ENOTDIR
                if done and not os.path.isdir(here := "/".join((self.directory, *done))):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), here)
                del done[-1 if part == ".." else len(done) :]
                continue
            here = "/".join((self.directory, *done, part))
            try:
                target = os.readlink(here)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                done.append(part)  # there, and no link
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done.clear()
            pending += target.split("/")[::-1]
        return "/" + "/".join(done)


HERE = Root()
