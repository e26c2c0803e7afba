"""Reads parts of a wheel's member without unpacking it, in one pass forward over its compressed bytes.

`zipfile` has the list of an archive and reads what is compressed in a rare way. The two usual ways are read here: of a
library of 700 MB the tables end where 400 MB are unpacked, and a checksum over the rest would cost as much again.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import BinaryIO, NamedTuple

from tfguard.macho_image import Table

# What inflating one member may cost: TensorFlow's largest has 0.75 GB.
_MEMBER_LIMIT = 4 << 30
_AT_ONCE = 1 << 18
_PACKED_AT_ONCE = 1 << 16
_HEAD_SIZE = 1 << 16
_LOCAL = Struct("<4s22x2H")  # a member's own header: signature, ... length of the name, of what is behind it
_ENCRYPTED = 0x1

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class Member(NamedTuple):
    """A file of a wheel: the wheel's path, the name inside, size in bytes once unpacked, its place in the archive."""

    wheel: str
    name: str
    size: int
    offset: int


class Budget:
    """What the members of all wheels together may cost: bytes kept in memory, bytes passed over.

    An archive of a few MB can claim petabytes: its members may share their compressed bytes.
    """

    __slots__ = ("kept", "passed")

    def __init__(self, kept: int = 1 << 30, passed: int = 32 << 30) -> None:
        self.kept = kept
        self.passed = passed

    def allows(self, places: Sequence[Table]) -> bool:
        """Whether these parts of one member can be had; they count from then on."""
        self.kept -= sum(one.size for one in places)
        self.passed -= max((one.offset + one.size for one in places), default=0)
        return self.kept >= 0 and self.passed >= 0


class MemberSource:
    """The bytes of a member. They come forward only: what will be read is best said before, in one `keep`."""

    def __init__(self, member: Member, budget: Budget | None = None) -> None:
        self.size = member.size
        self._member = member
        self._budget = budget or Budget()
        self._kept: list[tuple[int, bytes]] = []

    def read(self, size: int, offset: int) -> bytes:
        if size <= 0 or not 0 <= offset < self.size:
            return b""
        size = min(size, self.size - offset)
        if (kept := self._at_hand(size, offset)) is not None:
            return kept
        self.keep((Table(0, _HEAD_SIZE) if offset + size <= _HEAD_SIZE else Table(offset, size),))
        start, data = self._kept[-1]
        return data[offset - start : offset - start + size]

    def keep(self, tables: Sequence[Table]) -> None:
        """Read these parts in one pass over the member, where they are not at hand; what cannot be had is empty."""
        places = self._inside(one for one in tables if self._at_hand(one.size, one.offset) is None)
        chunks: list[list[bytes]] = [[] for _ in places]
        if self._budget.allows(places):
            for number, _, chunk in self._pass_over(places):
                chunks[number].append(chunk)
        self._kept += [(place.offset, b"".join(parts)) for place, parts in zip(places, chunks, strict=True)]

    def copy(self, tables: Sequence[Table], file: BinaryIO) -> None:
        """Write these parts to their places in a file, in one pass over the member; what cannot be had is left out."""
        for _, at, chunk in self._pass_over(self._inside(tables)):
            file.seek(at)
            file.write(chunk)

    def close(self) -> None:
        self._kept.clear()

    def _at_hand(self, size: int, offset: int) -> bytes | None:
        for start, data in self._kept:
            if start <= offset and offset + size <= start + len(data):
                return data[offset - start : offset - start + size]
        return None

    def _inside(self, tables: Iterable[Table]) -> list[Table]:
        """The parts as far as the member goes, in order, none over another."""
        inside = (Table(at, min(size, self.size - at)) for at, size in tables if 0 <= at < self.size and size > 0)
        return list(merged(inside))

    def _pass_over(self, places: Sequence[Table]) -> Iterator[tuple[int, int, bytes]]:
        """The bytes of these places piece by piece: the number of the place, where the piece lies, and the piece."""
        if self.size > _MEMBER_LIMIT:
            return
        try:
            yield from _pieces(_archive(self._member.wheel, _identity(self._member.wheel)), self._member.name, places)
        except _BROKEN:
            return


def _pieces(archive: zipfile.ZipFile, name: str, places: Sequence[Table]) -> Iterator[tuple[int, int, bytes]]:
    info = archive.getinfo(name)
    if archive.fp is None or info.flag_bits & _ENCRYPTED or info.compress_type not in (
        zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED,
    ):  # fmt: skip
        with archive.open(info) as stream:
            yield from _forward(stream.read, places)
        return
    fd = archive.fp.fileno()
    signature, *lengths = _LOCAL.unpack(os.pread(fd, _LOCAL.size, info.header_offset).ljust(_LOCAL.size, b"\0"))
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile(f"no member begins at {info.header_offset}")
    start = info.header_offset + _LOCAL.size + sum(lengths)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        yield from _forward(_Deflated(fd, start, info.compress_size).read1, places)
        return
    for number, (at, size) in enumerate(places):
        end = min(at + size, info.compress_size)
        for piece in range(at, end, _AT_ONCE):
            yield number, piece, os.pread(fd, min(_AT_ONCE, end - piece), start + piece)


def _forward(read: Callable[[int], bytes], places: Sequence[Table]) -> Iterator[tuple[int, int, bytes]]:
    """Places of a stream, which are in order; `read` gives its next bytes, at most so many, and none at its end."""
    position = 0
    for number, (at, size) in enumerate(places):
        while position < at + size:
            piece = read(min(_AT_ONCE, (at if position < at else at + size) - position))
            if not piece:
                return
            if position >= at:
                yield number, position, piece
            position += len(piece)


class _Deflated:
    """A deflated member as a stream; zlib lets go of the interpreter's lock while it works."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd, self._at, self._end = fd, start, start + size
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._packed = b""

    def read1(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        while not self._inflate.eof:
            if not self._packed:
                self._packed = os.pread(self._fd, min(_PACKED_AT_ONCE, self._end - self._at), self._at)
                self._at += len(self._packed)
            is_last = not self._packed
            piece = self._inflate.decompress(self._packed, most)
            self._packed = self._inflate.unconsumed_tail
            if piece or is_last:
                return piece
        return b""


def merged(tables: Iterable[Table]) -> Iterator[Table]:
    """Tables in order, those that lie over one another as one: then one pass reads all."""
    current: Table | None = None
    for one in sorted(tables):
        if current is not None and one.offset < current.offset + current.size:
            current = Table(current.offset, max(current.size, one.offset + one.size - current.offset))
        else:
            if current is not None:
                yield current
            current = one
    if current is not None:
        yield current


def _identity(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _archive(path: str, identity: tuple[int, int, int]) -> zipfile.ZipFile:
    """An open wheel: the list of a large one takes a tenth of a second to read."""
    return zipfile.ZipFile(path)


def files_of(wheel: str) -> Iterator[Member]:
    """The files in the list of a wheel. Raises OSError and zipfile.BadZipFile for what is none."""
    for info in _archive(wheel, _identity(wheel)).infolist():
        if not info.is_dir():
            yield Member(wheel, info.filename, info.file_size, info.header_offset)
