"""Wheels as they would lie once installed: one directory of files, none of which is unpacked."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tfguard.binary.ahead import Ahead, Once
from tfguard.binary.macho import Identity, Source, read_head
from tfguard.binary.member import Budget, Member, MemberSource, files_of
from tfguard.macho_image import MachoHead, Table

# Folders of a wheel's .data directory whose contents go into site-packages (PEP 427).
_INTO_SITE = ("purelib", "platlib")
_TO_LOOK_INTO = ("/.", "//", ".data/", "\\")
# Up to this size a file is read in less time than another thread is told of it.
LARGE = 1 << 18


@dataclass(frozen=True, slots=True)
class Wheels:
    """The files of wheels, as though they were installed together into one directory, `site`; nothing else exists."""

    paths: tuple[str, ...]
    site: str
    _members: dict[str, Member] = field(default_factory=dict, compare=False, repr=False)
    _folders: dict[str, set[str]] = field(default_factory=dict, compare=False, repr=False)
    _heads: dict[str, MachoHead] = field(default_factory=dict, compare=False, repr=False)
    _begun: dict[str, tuple[MemberSource, Once]] = field(default_factory=dict, compare=False, repr=False)
    budget: Budget = field(default_factory=Budget, compare=False, repr=False)

    def look_at(self, path: str) -> MachoHead:
        path = os.path.normpath(path)
        known = self._heads.get(path)
        if known is not None:
            return known
        member = self._index().get(path)
        if member is None:
            if path in self._folders:
                return MachoHead(path=path, kind="directory")
            return MachoHead(path=path, errno=errno.ENOENT)
        source = MemberSource(member)
        # a wheel has no inodes: the number of the member stands in
        identity = Identity(self.paths.index(member.wheel) + 1, member.offset + 1, 0)
        head = self._heads[path] = read_head(path, source, identity)
        source.close()
        return head

    def real_path(self, path: str) -> str | None:
        path = os.path.normpath(path)
        return path if path in self._index() or path in self._folders else None

    def open(self, path: str) -> Source:
        path = os.path.normpath(path)
        if (begun := self._begun.pop(path, None)) is not None:
            source, once = begun
            once.finish()
            return source
        member = self._index().get(path)
        if member is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return MemberSource(member, self.budget)

    def read_ahead(self, tables: Mapping[str, Sequence[Table]]) -> Ahead:
        """Read these parts of large files in other threads until the block is left, the largest file first.

        They are at hand for the first who opens the file.
        """
        index = self._index()
        far = {path: max((one.offset + one.size for one in parts), default=0) for path, parts in tables.items()}
        for path in sorted((one for one in far if one in index), key=lambda one: -far[one]):
            source = MemberSource(index[path], self.budget)
            self._begun[path] = source, Once(partial(source.keep, tables[path]))
        return Ahead(once for _, once in self._begun.values())

    def names_in(self, path: str) -> tuple[str, ...]:
        self._index()
        return tuple(sorted(self._folders.get(os.path.normpath(path), ())))

    def quarantine(self, path: str) -> str | None:
        return None  # what an installer unpacks has no attributes

    def below(self, path: str) -> Iterator[str]:
        prefix = f"{os.path.normpath(path)}/"
        yield from sorted(one for one in self._index() if one.startswith(prefix))

    def members(self) -> dict[str, Member]:
        """Every file by its path once installed."""
        return dict(self._index())

    def _index(self) -> dict[str, Member]:
        """The same, read when first asked for."""
        if not self._members:
            for wheel in self.paths:
                for member in files_of(wheel):
                    if (place := self._place(member.name)) is not None:
                        self._members[place] = member
            for path in self._members:
                child = path
                while child != "/" and child:
                    folder, _, leaf = child.rpartition("/")
                    names = self._folders.setdefault(folder or "/", set())
                    if leaf in names:
                        break
                    names.add(leaf)
                    child = folder
        return self._members

    def _place(self, name: str) -> str | None:
        """Where a member goes; None for one that would leave the directory, or goes elsewhere."""
        is_plain = name[:1] not in ("", ".", "/") and not any(one in name for one in _TO_LOOK_INTO)
        if is_plain:
            return f"{self.site}/{name}"
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\\" in name or not parts:
            return None
        if parts[0].endswith(".data"):
            if len(parts) < 3 or parts[1] not in _INTO_SITE:
                return None
            parts = parts[2:]
        return f"{self.site}/{'/'.join(parts)}"
