"""The structure checks of dyld of macOS 10.15 and 11, in its order and with its words (dyld.md D-27).

Most are made only where the program, not the library, was built with a recent SDK: those are not certain here.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from tfguard.macho_image import LC_CODE_SIGNATURE, LC_DYSYMTAB, LC_SYMTAB, MachoImage, MachoSegment, Table

_HEADER_SIZE = 32
_NLIST_SIZE = 16
_MOST_SYMBOLS = 0x10000000
_COMMAND = Struct("<2I")
_READ, _WRITE, _EXECUTE = 1, 2, 4
_SIZES = {LC_CODE_SIGNATURE: ("LC_CODE_SIGNATURE", 16), LC_SYMTAB: ("LC_SYMTAB", 24), LC_DYSYMTAB: ("LC_DYSYMTAB", 80)}


class Malformed(NamedTuple):
    """What is wrong, in dyld's words, and whether every program's dyld says so."""

    text: str
    certain: bool


def malformed(image: MachoImage) -> Malformed | None:
    """The first thing that is wrong with an image, None where dyld of 10.15 and 11 takes it."""
    for text, certain in _checks(image):
        return Malformed(f"malformed mach-o image: {text}", certain)
    return None


def _checks(image: MachoImage) -> Iterator[tuple[str, bool]]:
    names = [one.name for one in image.segments]
    if names.count("__LINKEDIT") > 1:
        yield "multiple __LINKEDIT segments", True
    first: MachoSegment | None = None
    for one in image.segments:
        yield from _segment(one, image, first)
        if first is None and one.offset == 0 and one.filesize:
            first = one
    yield from _sizes(image)
    if "__LINKEDIT" not in names:
        yield "missing __LINKEDIT segment", True
        return
    if first is None:
        yield "missing __TEXT segment that maps start of file", True
    yield from ((text, False) for text in _overlaps(image.segments))
    last = image.segments[len(names) - 1 - names[::-1].index("__LINKEDIT")]
    if max(one.offset for one in image.segments) != last.offset:
        yield "__LINKEDIT must be last segment", False
    if not (image.symbols[0] or image.bind.size or image.exports.size or image.chained_fixups.size):
        yield "missing LC_SYMTAB, LC_DYLD_INFO, or LC_DYLD_CHAINED_FIXUPS", False
    if not image.has_dysymtab:
        yield "missing LC_DYSYMTAB", True
    start, end = last.offset, last.offset + last.filesize
    yield from ((text, False) for text in _tables(image, start, end))
    yield from _symbols(image, start, end)


def _segment(one: MachoSegment, image: MachoImage, first: MachoSegment | None) -> Iterator[tuple[str, bool]]:
    name = one.name
    if name == "__LINKEDIT":
        if one.offset == 0:
            yield "__LINKEDIT has fileoff==0 which overlaps mach_header", True
    else:
        for field, bits in (("initprot", one.protection), ("maxprot", one.max_protection)):
            if bits & ~7:
                yield f"{name} segment has invalid permission bits (0x{bits:X}) in {field}", True
        if one.protection and not one.protection & _READ:
            yield f"{name} segment is not mapped readable", True
    if one.offset == 0 and one.filesize:
        yield from _start_of_file(one, image, first)
    yield from ((text, False) for text in _ranges(one, image))


def _start_of_file(one: MachoSegment, image: MachoImage, first: MachoSegment | None) -> Iterator[tuple[str, bool]]:
    if not one.protection & _READ:
        yield f"{one.name} segment maps start of file but is not readable", True
    if one.protection & _WRITE:
        yield f"{one.name} segment maps start of file but is writable", False
    if one.filesize < _HEADER_SIZE + len(image.commands):
        yield f"{one.name} segment does not map all of load commands", True
    if first is not None:
        yield f"multiple segments map start of file: {first.name} {one.name}", True


def _ranges(one: MachoSegment, image: MachoImage) -> Iterator[str]:
    name = one.name
    if one.vmsize >= 1 << 63:
        yield f"segment load command {name} vmsize too large in {image.path}"
    if one.vmaddr + one.vmsize >= 1 << 64:
        yield f"segment load command {name} wraps around address space"
    if one.vmsize != one.filesize:
        if not one.protection:
            if one.filesize and one.vmsize:
                yield f"unaccessable segment {name} has non-zero filesize and vmsize"
        elif one.vmsize < one.filesize:
            yield f"segment {name} has vmsize < filesize"
        elif one.protection & _EXECUTE:
            yield f"segment {name} has vmsize != filesize and is executable"
    if one.offset < len(image.commands) and one.filesize:
        if one.offset:
            yield f"segment {name} does not span all load commands"
        if one.protection != _READ | _EXECUTE:
            yield f"load commands found in segment {name} with wrong permissions"


def _sizes(image: MachoImage) -> Iterator[tuple[str, bool]]:
    at, signatures = 0, 0
    for _ in range(image.ncmds):
        command, size = _COMMAND.unpack_from(image.commands, at)
        if command in _SIZES and size != _SIZES[command][1]:
            yield f"{_SIZES[command][0]} size wrong", True
        signatures += command == LC_CODE_SIGNATURE
        at += size
    if signatures > 1:
        yield "multiple LC_CODE_SIGNATURE load commands", True


def _overlaps(segments: tuple[MachoSegment, ...]) -> Iterator[str]:
    for index, one in enumerate(segments):
        for other in segments[:index] + segments[index + 1 :]:
            if other.vmaddr < one.vmaddr + one.vmsize and one.vmaddr < other.vmaddr + other.vmsize:
                yield f"segment {one.name} vm overlaps segment {other.name}"
            if other.offset < one.offset + one.filesize and one.offset < other.offset + other.filesize:
                yield f"segment {one.name} file content overlaps segment {other.name}"


def _tables(image: MachoImage, start: int, end: int) -> Iterator[str]:
    """The tables of LC_DYLD_INFO lie in __LINKEDIT one behind the other, those of chained fixups somewhere in it."""
    if image.chained_fixups.size:
        for one in (image.chained_fixups, image.exports):
            if one.size and one.offset < start:
                yield "dyld chained fixups info underruns __LINKEDIT"
            if one.offset + one.size > end:
                yield "dyld chained fixups info overruns __LINKEDIT"
        return
    before, behind = "rebase", start
    rows: tuple[tuple[str, Table], ...] = (
        ("bind", image.bind),
        ("weak bind", image.weak_bind),
        ("lazy bind", image.lazy_bind),
        ("export", image.exports),
    )
    for name, one in rows:
        if one.size:
            if one.size & 0x80000000:
                yield f"dyld {name} info size overflow"
            if one.offset < behind:
                yield f"dyld {name} info overlaps {before} info"
            behind = one.offset + one.size
            if behind > end:
                yield f"dyld {name} info overruns __LINKEDIT"
        before = name


def _symbols(image: MachoImage, start: int, end: int) -> Iterator[tuple[str, bool]]:
    at, count, strings, strings_size = image.symbols
    size = count * _NLIST_SIZE
    if count and at < start:
        yield "symbol table underruns __LINKEDIT", True
    if count > _MOST_SYMBOLS:
        yield "symbol table too large", True
    if size > end - start:
        yield "symbol table overruns __LINKEDIT", True
    if at + size > strings:
        yield "symbol table overlaps symbol strings", True
    if strings + strings_size > end:
        # programs of old SDKs may let them run on to the end of the page
        yield "symbol strings overrun __LINKEDIT", strings + strings_size > -(-end // 4096) * 4096
