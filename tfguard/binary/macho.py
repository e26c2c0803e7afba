"""Reads of a Mach-O file what dyld reads first: fat header, Mach-O header and load commands of every slice.

Bounded reads at given offsets through a `Source`, so that a file on disk and a member of a wheel are read alike; no
mmap, for the reason given in `binary.elf`. Every size and count in the file is a claim until it is held against the
file's length. Layouts: mach-o/fat.h and mach-o/loader.h (dyld.md D-15, D-90).
"""

from __future__ import annotations

import errno
import os
import stat
from struct import Struct
from typing import NamedTuple, Protocol

from tfguard.image import Damage
from tfguard.macho_image import (
    CPU_ARM64,
    LC_BUILD_VERSION,
    LC_CODE_SIGNATURE,
    LC_DYLD_CHAINED_FIXUPS,
    LC_DYLD_EXPORTS_TRIE,
    LC_DYLD_INFO,
    LC_DYLD_INFO_ONLY,
    LC_DYSYMTAB,
    LC_ID_DYLIB,
    LC_LOAD_DYLIB,
    LC_LOAD_UPWARD_DYLIB,
    LC_LOAD_WEAK_DYLIB,
    LC_REEXPORT_DYLIB,
    LC_RPATH,
    LC_SEGMENT_64,
    LC_SYMTAB,
    LC_UUID,
    LC_VERSION_MIN_MACOSX,
    PLATFORM_MACOS,
    Build,
    Dependent,
    MachoHead,
    MachoImage,
    MachoSegment,
    MachoSlice,
    Table,
    unpack_version,
)

# Enough for the header and the load commands of nearly every library: one read.
_FIRST_READ = 4096
# The most that load commands of a real image take is some tens of KB; dyld2 itself stopped at 32 KB.
_COMMANDS_LIMIT = 1 << 22
# dyld takes no more than 16 (D-17); what a longer header claims is kept as a number.
_SLICES_LIMIT = 64

_FAT, _FAT_64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
_MAGIC_32, _MAGIC_64 = b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"
_FAT_ARCH, _FAT_ARCH_64 = Struct(">5I"), Struct(">2I2Q2I")
_COUNT = Struct(">I")
_HEADER = Struct("<7I")  # the 64-bit header has one reserved word more
_COMMAND = Struct("<2I")
_SEGMENT = Struct("<16s4Q4I")
_DYLIB = Struct("<4I")
_WORD, _PAIR, _TRIPLE, _QUAD = Struct("<I"), Struct("<2I"), Struct("<3I"), Struct("<4I")
_TABLES = Struct("<10I")
_O_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_LOADS = {
    LC_LOAD_DYLIB: (False, False, False),
    LC_LOAD_WEAK_DYLIB: (True, False, False),
    LC_REEXPORT_DYLIB: (False, True, False),
    LC_LOAD_UPWARD_DYLIB: (False, False, True),
}
# The other LC_VERSION_MIN_ commands: iOS, tvOS, watchOS, as platform numbers.
_VERSION_MIN = {LC_VERSION_MIN_MACOSX: PLATFORM_MACOS, 0x25: 2, 0x2F: 3, 0x30: 4}
_FLAGGED_TIMESTAMP = 0x1A741800  # a dependent whose kind is in a word of flags (D-42)


class Source(Protocol):
    """The bytes of one file: `read` gives what there is of `size` bytes from `offset` on."""

    @property
    def size(self) -> int: ...

    def read(self, size: int, offset: int) -> bytes: ...

    def keep(self, tables: tuple[Table, ...]) -> None:
        """Say which parts will be read, so that a source that only runs forward passes over the file once."""

    def close(self) -> None: ...


class DiskSource:
    """A file on disk, open until `close`."""

    __slots__ = ("_fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def read(self, size: int, offset: int) -> bytes:
        # an offset beyond 2**62 is a claim that pread would refuse: no file has bytes there
        return os.pread(self._fd, size, offset) if 0 <= offset < 1 << 62 and size > 0 else b""

    def keep(self, tables: tuple[Table, ...]) -> None:
        """Nothing to do: a file on disk is read at any place."""

    def close(self) -> None:
        os.close(self._fd)


class Identity(NamedTuple):
    """What tells one file from another: device, inode, time of last change in nanoseconds."""

    device: int
    inode: int
    modified: int


def look_at_macho(path: str) -> MachoHead:
    """Open `path` and say what dyld would find there.

    Never raises for anything the path or the file can be, and never blocks. At most a few MiB are read whatever the
    file claims.
    """
    try:
        fd = os.open(path, _O_FLAGS)
    except OSError as error:
        return MachoHead(path=path, errno=error.errno or errno.EIO)
    except ValueError:  # a name with a NUL byte in it
        return MachoHead(path=path, errno=errno.ENOENT)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            kind = "directory" if stat.S_ISDIR(status.st_mode) else "fifo" if stat.S_ISFIFO(status.st_mode) else "other"
            return MachoHead(path=path, kind=kind)
        identity = Identity(status.st_dev, status.st_ino, status.st_mtime_ns)
        return read_head(path, DiskSource(fd, status.st_size), identity)
    except OSError as error:
        return MachoHead(path=path, kind="regular", read_errno=error.errno or errno.EIO)
    finally:
        os.close(fd)


def open_source(path: str) -> DiskSource:
    """The file's bytes, to be closed by the caller; raises OSError."""
    fd = os.open(path, _O_FLAGS)
    return DiskSource(fd, os.fstat(fd).st_size)


def read_head(path: str, source: Source, identity: Identity) -> MachoHead:
    """Read the headers of a regular file: what it is, and every slice of it."""
    start = source.read(_FIRST_READ, 0)
    count: int | None = None
    places: list[tuple[int, int, tuple[int, int] | None]] = []
    if start[:4] in (_FAT, _FAT_64) and len(start) >= 8:
        (count,) = _COUNT.unpack_from(start, 4)
        places = _fat_architectures(source, start, count)
    else:
        places = [(0, source.size, None)]
    return MachoHead(
        path=path,
        kind="regular",
        size=source.size,
        device=identity.device,
        inode=identity.inode,
        modified=identity.modified,
        start=start,
        fat_count=count,
        fat64=start[:4] == _FAT_64,
        slices=tuple(_read_slice(path, source, identity, start, *place) for place in places),
    )


def _fat_architectures(source: Source, start: bytes, count: int) -> list[tuple[int, int, tuple[int, int] | None]]:
    layout = _FAT_ARCH_64 if start[:4] == _FAT_64 else _FAT_ARCH
    # In a 32-bit header one entry behind the last counts where it is for arm64 (D-16).
    wanted = min(count, _SLICES_LIMIT) + (layout is _FAT_ARCH and count <= _SLICES_LIMIT)
    end = 8 + wanted * layout.size
    table = start[8:end] if end <= len(start) else source.read(end - 8, 8)
    found: list[tuple[int, int, tuple[int, int] | None]] = []
    for number, entry in enumerate(layout.iter_unpack(table[: len(table) - len(table) % layout.size])):
        cputype, cpusubtype, offset, size = entry[:4]
        if number < count or (cputype == CPU_ARM64 and cpusubtype & 0xFFFFFF in (0, 1)):
            found.append((offset, size, (cputype, cpusubtype)))
    return found


def _read_slice(
    path: str,
    source: Source,
    identity: Identity,
    start: bytes,
    offset: int,
    length: int,
    fat: tuple[int, int] | None,
) -> MachoSlice:
    first = start if fat is None else source.read(_FIRST_READ, offset)
    first = first[: max(length, 0)]
    if first[:4] not in (_MAGIC_64, _MAGIC_32) or len(first) < _HEADER.size + 4:
        damage = Damage(kind="not-macho", detail=f"it begins {first[:8].hex(' ')}" if first else "there are no bytes")
        return MachoSlice(offset, length, fat, first[:32], None, 0, damage)
    wide = first[:4] == _MAGIC_64
    _, cputype, cpusubtype, filetype, ncmds, sizeofcmds, flags = _HEADER.unpack_from(first)
    header_size = _HEADER.size + 4 * wide
    content: MachoImage | Damage
    if header_size + sizeofcmds > length or sizeofcmds > _COMMANDS_LIMIT:
        content = Damage(
            kind="commands-past-end", detail=f"load commands of {sizeofcmds} bytes in a file of {length} bytes"
        )
    else:
        commands = first[header_size : header_size + sizeofcmds]
        if len(commands) < sizeofcmds:
            commands = source.read(sizeofcmds, offset + header_size)
        if len(commands) < sizeofcmds:
            content = Damage(kind="commands-past-end", detail=f"the file ends in its {sizeofcmds} bytes of commands")
        else:
            facts = _Facts(offset=offset, length=length, wide=wide)
            damage_found = facts.read(commands, ncmds)
            content = damage_found or MachoImage(
                path=path,
                device=identity.device,
                inode=identity.inode,
                size=source.size,
                modified=identity.modified,
                offset=offset,
                length=length,
                cputype=cputype,
                cpusubtype=cpusubtype,
                filetype=filetype,
                flags=flags,
                ncmds=ncmds,
                commands=commands,
                segments=tuple(facts.segments),
                dependents=tuple(facts.dependents),
                rpaths=tuple(facts.rpaths),
                install_name=facts.install_name,
                current=facts.versions[0],
                compatibility=facts.versions[1],
                uuid=facts.uuid,
                builds=tuple(facts.builds),
                has_dysymtab=facts.has_dysymtab,
                symbols=facts.symbols,
                **facts.tables,
            )
    return MachoSlice(offset, length, fat, first[:32], (cputype, cpusubtype), filetype, content)


class _Facts:
    """What the load commands say, collected in their order."""

    def __init__(self, *, offset: int, length: int, wide: bool) -> None:
        self.offset, self.length, self.wide = offset, length, wide
        self.segments: list[MachoSegment] = []
        self.dependents: list[Dependent] = []
        self.rpaths: list[str] = []
        self.install_name: str | None = None
        self.versions = (0, 0)
        self.uuid: bytes | None = None
        self.builds: list[Build] = []
        self.tables: dict[str, Table] = {}
        self.symbols = (0, 0, 0, 0)
        self.has_dysymtab = False

    def read(self, commands: bytes, ncmds: int) -> Damage | None:
        """Go through the commands as dyld does: each has at least 8 bytes, a multiple of 4 or 8, and ends in time."""
        at, end = 0, len(commands)
        step = 7 if self.wide else 3
        for number in range(1, ncmds + 1):
            if at + 8 > end:
                return _malformed(number, ncmds, "off end of load commands")
            command, size = _COMMAND.unpack_from(commands, at)
            if size < 8:
                return _malformed(number, ncmds, f"size (0x{size:X}) too small")
            if size & step:
                return _malformed(number, ncmds, f"size (0x{size:X}) is not pointer sized")
            if at + size > end:
                return _malformed(number, ncmds, f"size (0x{size:X}) is too large")
            if (read := _READERS.get(command)) is not None and (wrong := read(self, commands, at, size, command)):
                return Damage(kind="command", detail=f"load command #{number} {wrong}")
            at += size
        return None

    def _segment(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size < 72:
            return f"LC_SEGMENT_64 has only {size} bytes"
        name, *words = _SEGMENT.unpack_from(commands, at + 8)
        self.segments.append(MachoSegment(_text(name.partition(b"\0")[0]), *words))
        return None

    def _dylib(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size < 24:
            return f"has only {size} bytes for a library"
        where, timestamp, current, compatibility = _DYLIB.unpack_from(commands, at + 8)
        name = _string(commands, at, size, where)
        if name is None:
            return _bad_string(where, size)
        if command == LC_ID_DYLIB:
            self.install_name = name
            self.versions = (current, compatibility)
            return None
        weak, reexport, upward = _LOADS[command]
        if where == 28 and timestamp == _FLAGGED_TIMESTAMP and command in (LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB):
            (flags,) = _WORD.unpack_from(commands, at + 24)
            weak, reexport, upward = bool(flags & 1), bool(flags & 2), bool(flags & 4)
        self.dependents.append(Dependent(name, current, compatibility, weak, reexport, upward))
        return None

    def _rpath(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size < 12:
            return f"LC_RPATH has only {size} bytes"
        (where,) = _WORD.unpack_from(commands, at + 8)
        path = _string(commands, at, size, where)
        if path is None:
            return _bad_string(where, size)
        self.rpaths.append(path)
        return None

    def _uuid(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size >= 24:
            self.uuid = commands[at + 8 : at + 24]
        return None

    def _build(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if command == LC_BUILD_VERSION and size >= 24:
            platform, minos, sdk = _TRIPLE.unpack_from(commands, at + 8)
            self.builds.append(Build(platform, unpack_version(minos), unpack_version(sdk)))
        elif command != LC_BUILD_VERSION and size >= 16:
            minos, sdk = _PAIR.unpack_from(commands, at + 8)
            self.builds.append(Build(_VERSION_MIN[command], unpack_version(minos), unpack_version(sdk)))
        return None

    def _symtab(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size >= 24:
            self.symbols = _QUAD.unpack_from(commands, at + 8)
        return None

    def _dysymtab(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        self.has_dysymtab = True
        return None

    def _dyld_info(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size >= 48:
            words = _TABLES.unpack_from(commands, at + 8)
            for index, name in enumerate(("bind", "weak_bind", "lazy_bind", "exports"), start=1):
                self.tables[name] = Table(words[2 * index], words[2 * index + 1])
        return None

    def _table(self, commands: bytes, at: int, size: int, command: int) -> str | None:
        if size >= 16:
            self.tables[_TABLE_NAMES[command]] = Table(*_PAIR.unpack_from(commands, at + 8))
        return None


_TABLE_NAMES = {
    LC_CODE_SIGNATURE: "signature",
    LC_DYLD_EXPORTS_TRIE: "exports",
    LC_DYLD_CHAINED_FIXUPS: "chained_fixups",
}
_READERS = {
    LC_SEGMENT_64: _Facts._segment,
    LC_RPATH: _Facts._rpath,
    LC_UUID: _Facts._uuid,
    LC_SYMTAB: _Facts._symtab,
    LC_DYSYMTAB: _Facts._dysymtab,
    LC_DYLD_INFO: _Facts._dyld_info,
    LC_DYLD_INFO_ONLY: _Facts._dyld_info,
    LC_BUILD_VERSION: _Facts._build,
    LC_ID_DYLIB: _Facts._dylib,
    **dict.fromkeys(_LOADS, _Facts._dylib),
    **dict.fromkeys(_VERSION_MIN, _Facts._build),
    **dict.fromkeys(_TABLE_NAMES, _Facts._table),
}


def _malformed(number: int, count: int, what: str) -> Damage:
    return Damage(kind="malformed-command", detail=f"load command {number} of {count}: {what}")


def _bad_string(where: int, size: int) -> str:
    if where >= size:
        return f"string offset ({where}) outside its size ({size})"
    return "string extends beyond end of load command"


def _string(commands: bytes, at: int, size: int, where: int) -> str | None:
    """The NUL-terminated string of a command, None where it does not end inside it."""
    stop = commands.find(b"\0", at + where, at + size) if where < size else -1
    return _text(commands[at + where : stop]) if stop >= 0 else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
