"""Reads of an ELF file what ld.so reads: ELF header, program headers, dynamic section and its strings.

Only bounded `os.pread` on one descriptor: no mmap, because a file that somebody cuts while it is mapped kills the
reader with SIGBUS, and no section headers, because the loader never looks at them (ld-so.md G-33). Every size and
count in the file is a claim until it is held against the file's length.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable
from functools import partial
from struct import Struct
from typing import NamedTuple

from tfguard.binary.properties import isa_needed
from tfguard.image import (
    DT_AUXILIARY,
    DT_FILTER,
    DT_NEEDED,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DT_STRTAB,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_LOAD,
    Damage,
    Filtee,
    Head,
    Image,
    Segment,
)

# Enough for the ELF header and 70 program headers: one read for nearly every file.
_FIRST_READ = 4096
_DYNAMIC_LIMIT = 1 << 20
_STRING_CHUNK = 4096
_STRING_LIMIT = 1 << 20
_STRINGS_AT_ONCE = 1 << 22
_STRING_GAP = 1 << 13
_STRING_TAIL = 512
_NOTE_LIMIT = 4096
_ST_NOEXEC = 8

_NAME_TAGS = frozenset((DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_AUXILIARY, DT_FILTER))
_O_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Format(NamedTuple):
    """The struct layouts of one class and byte order (gABI chapters 4 and 5)."""

    header: Struct
    segment: Struct
    dynamic: Struct
    symbol: Struct
    half: Struct
    word: Struct
    address: Struct
    rela: Struct
    rel: Struct


def _format(order: str, elf_class: int) -> Format:
    if elf_class == 2:
        layouts = ("16sHHIQQQIHHHHHH", "IIQQ8xQQQ", "qQ", "IBBHQQ", "H", "I", "Q", "QQq", "QQ")
    else:
        layouts = ("16sHHIIIIIHHHHHH", "IIIIIIII", "iI", "IIIBBH", "H", "I", "I", "IIi", "II")
    return Format(*(Struct(order + layout) for layout in layouts))


FORMATS = {(elf_class, data): _format(order, elf_class) for elf_class in (1, 2) for data, order in ((1, "<"), (2, ">"))}


def format_of(image: Image) -> Format:
    """The struct layouts for this image's class and byte order."""
    return FORMATS[image.elf_class // 32, 1 if image.little_endian else 2]


def look_at(path: str, *, ident: bytes | None = None) -> Head:
    """Open `path` and say what the loader would find there.

    Never raises for anything the path or the file can be, and never blocks: a FIFO is opened without waiting, and
    only regular files are read. At most about 1 MiB is read whatever the file claims. `ident` stands in for the first
    bytes of the file: for a loader that takes every file for one of its own kind.
    """
    try:
        fd = os.open(path, _O_FLAGS)
    except OSError as error:
        return Head(path=path, errno=error.errno or errno.EIO)
    except ValueError:  # a name with a NUL byte in it
        return Head(path=path, errno=errno.ENOENT)
    try:
        return _look_at_open(path, fd, ident)
    except OSError as error:
        return Head(path=path, kind="regular", read_errno=error.errno or errno.EIO)
    finally:
        os.close(fd)


def _look_at_open(path: str, fd: int, ident: bytes | None) -> Head:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            return Head(path=path, kind="directory", read_errno=errno.EISDIR)
        return Head(path=path, kind="fifo" if stat.S_ISFIFO(status.st_mode) else "other")
    if ident is not None:
        return _read_head(path, fd, status, ident)
    # Mount options are no property of the file: they can change while it stays the same.
    noexec = os.fstatvfs(fd).f_flag & _ST_NOEXEC
    key = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, noexec)
    head = _known.get(key)
    if head is None:
        head = _read_head(path, fd, status, None)
        # What changed just now may change once more within the same tick of the file system's clock.
        if time.time_ns() - status.st_ctime_ns > _SETTLED:
            if len(_known) >= _KNOWN_LIMIT:
                _known.clear()
            _known[key] = head
    return head


# What was read, by name and state of the file: the same few libraries serve every load that is played.
_known: dict[tuple[str, int, int, int, int, int, int], Head] = {}
_KNOWN_LIMIT = 512
_SETTLED = 2_000_000_000


def _read_head(path: str, fd: int, status: os.stat_result, ident: bytes | None) -> Head:
    start = os.pread(fd, _FIRST_READ, 0)
    if ident is not None and len(start) >= len(ident):
        start = ident + start[len(ident) :]
    segments: tuple[Segment, ...] | None = None
    content: Image | Damage | None = None
    if start[:4] == b"\x7fELF" and start[4:6] in _IDENTS and len(start) >= FORMATS[start[4], start[5]].header.size:
        found = _read_segments(fd, start)
        if isinstance(found, Damage):
            content = found
        else:
            segments = found
            content = _read_image(path, fd, status, start, segments)
    return Head(
        path=path,
        kind="regular",
        size=status.st_size,
        device=status.st_dev,
        inode=status.st_ino,
        start=start,
        segments=segments,
        content=content,
    )


_IDENTS = (b"\x01\x01", b"\x01\x02", b"\x02\x01", b"\x02\x02")


def _read_segments(fd: int, start: bytes) -> tuple[Segment, ...] | Damage:
    fmt = FORMATS[start[4], start[5]]
    _, _, _, _, _, phoff, _, _, _, phentsize, phnum, _, _, _ = fmt.header.unpack_from(start)
    if phentsize != fmt.segment.size:
        return Damage(kind="program-header-size", detail=f"e_phentsize is {phentsize}, not {fmt.segment.size}")
    length = phnum * phentsize
    table = start[phoff : phoff + length]
    if len(table) < length:
        # an offset beyond 2**63 is a claim that pread would refuse: no file has bytes there
        table = os.pread(fd, length, phoff) if phoff < 1 << 62 else b""
    if len(table) < length:
        return Damage(kind="program-headers-past-end", detail=f"{phnum} program headers claimed at offset {phoff}")
    if start[4] == 2:
        return wide_segments(fmt, table)
    return tuple(
        Segment(kind, flags, offset, vaddr, filesz, memsz, align)
        for kind, offset, vaddr, _, filesz, memsz, flags, align in fmt.segment.iter_unpack(table)
    )


def wide_segments(fmt: Format, table: bytes) -> tuple[Segment, ...]:
    """The program headers of a 64-bit file: the struct's order, which passes over p_paddr, is that of Segment."""
    return tuple(map(partial(tuple.__new__, Segment), fmt.segment.iter_unpack(table)))


def _read_image(
    path: str, fd: int, status: os.stat_result, start: bytes, segments: tuple[Segment, ...]
) -> Image | Damage:
    fmt = FORMATS[start[4], start[5]]
    _, kind, machine, _, _, _, shoff, _, _, _, _, shentsize, shnum, _ = fmt.header.unpack_from(start)
    dynamic_segment, isa = None, 0
    for segment in segments:
        if segment.type == PT_DYNAMIC and segment.filesz:
            dynamic_segment = segment  # the last one counts, as in the loader's scan
        elif segment.type == PT_GNU_PROPERTY and segment.offset < 1 << 62:
            isa = isa_needed(_note(fd, start, segment), little_endian=start[5] == 1, wide=start[4] == 2)
    if dynamic_segment is None or dynamic_segment.vaddr == 0:
        return Damage(kind="no-dynamic-section", detail="no PT_DYNAMIC program header with bytes in the file")
    entries = _read_dynamic(fd, fmt, segments, dynamic_segment)
    if isinstance(entries, Damage):
        return entries
    dynamic = dict(entries)
    names = [entry for entry in entries if entry[0] in _NAME_TAGS]
    strings = _read_strings(fd, dynamic, segments, names)
    if isinstance(strings, Damage):
        return strings
    needed = tuple(strings[value] for tag, value in names if tag == DT_NEEDED)
    single = {tag: strings[value] for tag, value in names if tag != DT_NEEDED}
    return Image(
        path=path,
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        elf_class=start[4] * 32,
        little_endian=start[5] == 1,
        type=kind,
        machine=machine,
        segments=segments,
        dynamic=dynamic,
        needed=needed,
        soname=single.get(DT_SONAME),
        rpath=single.get(DT_RPATH),
        runpath=single.get(DT_RUNPATH),
        section_end=shoff + shnum * shentsize if shoff else 0,
        modified=status.st_mtime_ns,
        isa_needed=isa,
        noexec=bool(os.fstatvfs(fd).f_flag & _ST_NOEXEC),
        filtees=_filtees(names, strings) if DT_FILTER in single or DT_AUXILIARY in single else (),
    )


def _filtees(names: list[tuple[int, int]], strings: dict[int, str]) -> tuple[Filtee, ...]:
    found, needed = [], 0
    for tag, value in names:
        if tag == DT_NEEDED:
            needed += 1
        elif tag in (DT_FILTER, DT_AUXILIARY):
            found.append(Filtee(strings[value], tag == DT_AUXILIARY, needed))
    return tuple(found)


def _note(fd: int, start: bytes, segment: Segment) -> bytes:
    """The bytes of a note segment, which linkers put right behind the program headers."""
    size = min(segment.filesz, _NOTE_LIMIT)
    note = start[segment.offset : segment.offset + size]
    return note if len(note) == size else os.pread(fd, size, segment.offset)


def _read_dynamic(
    fd: int, fmt: Format, segments: tuple[Segment, ...], dynamic_segment: Segment
) -> list[tuple[int, int]] | Damage:
    # The loader uses the mapped address, not p_offset.
    where = file_offset(segments, dynamic_segment.vaddr)
    if where is None:
        return Damage(kind="dynamic-section-unmapped", detail=f"no PT_LOAD maps address {dynamic_segment.vaddr:#x}")
    offset, available = where
    data = os.pread(fd, min(available, _DYNAMIC_LIMIT, max(dynamic_segment.memsz, fmt.dynamic.size)), offset)
    if not data:
        return Damage(kind="dynamic-section-past-end", detail=f"the dynamic section would start at offset {offset}")
    entries: list[tuple[int, int]] = []
    whole = len(data) - len(data) % fmt.dynamic.size
    for tag, value in fmt.dynamic.iter_unpack(data[:whole]):
        if tag == 0:
            break
        entries.append((tag, value))
    return entries


def _read_strings(
    fd: int, dynamic: dict[int, int], segments: tuple[Segment, ...], names: list[tuple[int, int]]
) -> dict[int, str] | Damage:
    if not names:
        return {}
    where = file_offset(segments, dynamic.get(DT_STRTAB, -1))
    if where is None:
        return Damage(kind="string-table-unmapped", detail=f"DT_STRTAB is {dynamic.get(DT_STRTAB, 0):#x}")
    base, available = where
    offsets = {value for _, value in names}
    last = max(offsets)
    if last >= available or base + last >= 1 << 62:
        return Damage(kind="string-table-unmapped", detail=f"no segment has bytes {last} bytes into the string table")
    strings: dict[int, str] = {}
    for offset, raw in read_strings(fd, base, offsets).items():
        if raw is None:
            return Damage(kind="string-past-end", detail=f"a name in the dynamic section would be at offset {offset}")
        strings[offset] = raw.decode("utf-8", "surrogateescape")
    return strings


def file_offset(segments: tuple[Segment, ...], vaddr: int) -> tuple[int, int] | None:
    """Where in the file a virtual address lies, and how many bytes its PT_LOAD has from there on."""
    for segment in segments:
        if segment.type == PT_LOAD and segment.vaddr <= vaddr < segment.vaddr + segment.filesz:
            offset = segment.offset + vaddr - segment.vaddr
            return (offset, segment.vaddr + segment.filesz - vaddr) if offset < 1 << 62 else None
    return None


def read_strings(fd: int, base: int, offsets: Iterable[int]) -> dict[int, bytes | None]:
    """The strings at these offsets into a string table at file offset `base`, in few reads; None as `read_string`.

    Linkers put the names that one table needs close together, even in a string table of 80 MB.
    """
    strings: dict[int, bytes | None] = {}
    ordered = sorted(set(offsets))
    start, count = 0, len(ordered)
    while start < count:
        end, first = start + 1, ordered[start]
        while end < count and ordered[end] - ordered[end - 1] < _STRING_GAP and ordered[end] - first < _STRINGS_AT_ONCE:
            end += 1
        at = base + first
        block = os.pread(fd, ordered[end - 1] - first + _STRING_TAIL, at) if 0 <= at < 1 << 62 else b""
        find = block.find
        for offset in ordered[start:end]:
            place = offset - first
            stop = find(b"\0", place)
            strings[offset] = block[place:stop] if stop >= 0 else read_string(fd, base + offset)
        start = end
    return strings


def read_string(fd: int, offset: int) -> bytes | None:
    """The NUL-terminated string at a file offset; None where it starts or runs past the end of the file.

    A string longer than 1 MiB counts as not terminated.
    """
    parts: list[bytes] = []
    if not 0 <= offset < 1 << 62:
        return None
    for _ in range(_STRING_LIMIT // _STRING_CHUNK):
        chunk = os.pread(fd, _STRING_CHUNK, offset)
        head, found, _ = chunk.partition(b"\0")
        parts.append(head)
        if found:
            return b"".join(parts)
        if len(chunk) < _STRING_CHUNK:
            return None
        offset += len(chunk)
    return None
