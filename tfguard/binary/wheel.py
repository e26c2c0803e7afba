"""Wheels as they would lie once installed, read without unpacking: of each member only the parts that are asked for."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from tfguard.binary.macho import Identity, Source, read_head
from tfguard.macho_image import MachoHead, Table

# What inflating one member may cost: TensorFlow's largest has 0.75 GB.
_MEMBER_LIMIT = 4 << 30
_KEPT_LIMIT = 1 << 29
_AT_ONCE = 1 << 20
_HEAD_SIZE = 1 << 16
# Folders of a wheel's .data directory whose contents go into site-packages (PEP 427).
_INTO_SITE = ("purelib", "platlib")

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class Member(NamedTuple):
    """A file of a wheel: the wheel's path, the name inside, size in bytes once unpacked, its place in the archive."""

    wheel: str
    name: str
    size: int
    offset: int


def _identity(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _archive(path: str, identity: tuple[int, int, int]) -> zipfile.ZipFile:
    """An open wheel: the list of a large one takes a tenth of a second to read."""
    return zipfile.ZipFile(path)


class MemberSource:
    """The bytes of a member. They come forward only: what will be read is best said before, in one `keep`."""

    def __init__(self, member: Member) -> None:
        self.size = member.size
        self._member = member
        self._kept: list[tuple[int, bytes]] = []

    def read(self, size: int, offset: int) -> bytes:
        if size <= 0 or not 0 <= offset < self.size:
            return b""
        size = min(size, self.size - offset)
        for start, data in self._kept:
            if start <= offset and offset + size <= start + len(data):
                return data[offset - start : offset - start + size]
        if offset + size <= _HEAD_SIZE:
            self._pass_over([(0, min(_HEAD_SIZE, self.size))])
        else:
            self._pass_over([(offset, size)])
        start, data = self._kept[-1]
        return data[offset - start : offset - start + size]

    def keep(self, tables: tuple[Table, ...]) -> None:
        """Read these parts in one pass over the member."""
        wanted = sorted((one.offset, one.size) for one in tables if 0 <= one.offset < self.size)
        self._pass_over([(at, min(size, self.size - at)) for at, size in wanted])

    def copy(self, tables: Sequence[Table], file: BinaryIO) -> None:
        """Write these parts to their places in a file, in one pass over the member; what cannot be had is left out."""
        if self.size > _MEMBER_LIMIT:
            return
        try:
            with _archive(self._member.wheel, _identity(self._member.wheel)).open(self._member.name) as stream:
                for at, size in sorted(tables):
                    stream.seek(at)
                    file.seek(at)
                    left = min(size, self.size - at)
                    while left > 0 and (data := stream.read(min(left, _AT_ONCE))):
                        file.write(data)
                        left -= len(data)
        except _BROKEN:
            return

    def close(self) -> None:
        self._kept.clear()

    def _pass_over(self, places: list[tuple[int, int]]) -> None:
        """Inflate from the start and keep these places; what cannot be had is empty."""
        if self.size > _MEMBER_LIMIT or sum(size for _, size in places) > _KEPT_LIMIT:
            self._kept += [(at, b"") for at, _ in places]
            return
        try:
            with _archive(self._member.wheel, _identity(self._member.wheel)).open(self._member.name) as stream:
                for at, size in places:
                    stream.seek(at)  # one that lies behind the last is reached by going on, others from the start
                    self._kept.append((at, stream.read(size)))
        except _BROKEN:
            have = {at for at, _ in self._kept}
            self._kept += [(at, b"") for at, _ in places if at not in have]


@dataclass(frozen=True, slots=True)
class Wheels:
    """The files of wheels, as though they were installed together into one directory, `site`; nothing else exists."""

    paths: tuple[str, ...]
    site: str
    _members: dict[str, Member] = field(default_factory=dict, compare=False, repr=False)
    _folders: dict[str, set[str]] = field(default_factory=dict, compare=False, repr=False)
    _heads: dict[str, MachoHead] = field(default_factory=dict, compare=False, repr=False)

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
        member = self._index().get(os.path.normpath(path))
        if member is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return MemberSource(member)

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
                for info in _archive(wheel, _identity(wheel)).infolist():
                    if not info.is_dir() and (place := self._place(info.filename)) is not None:
                        self._members[place] = Member(wheel, info.filename, info.file_size, info.header_offset)
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
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\\" in name or not parts:
            return None
        if parts[0].endswith(".data"):
            if len(parts) < 3 or parts[1] not in _INTO_SITE:
                return None
            parts = parts[2:]
        return f"{self.site}/{'/'.join(parts)}"
