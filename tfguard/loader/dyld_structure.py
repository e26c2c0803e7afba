"""The structure checks that dyld makes from macOS 15.4 on, in its order and with its words (dyld.md D-17, D-28).

Most of them hold for images that were built with a certain SDK or a later one only: dyld calls them policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from struct import Struct

from tfguard.image import Damage
from tfguard.macho_image import (
    CPU_ARM64,
    LC_BUILD_VERSION,
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
    LC_REQ_DYLD,
    LC_RPATH,
    LC_SEGMENT_64,
    LC_SYMTAB,
    LC_UUID,
    LC_VERSION_MIN_MACOSX,
    MH_DYLIB,
    MachoHead,
    MachoImage,
    MachoSegment,
    MachoSlice,
    Version,
    architecture_name,
)

_MOST_SLICES = 16
_KNOWN_TYPES = frozenset((1, 2, 5, 6, 7, 8, 9, 11, 12))
_SG_READ_ONLY = 0x10
_HEADER_SIZE = 32
_COMMAND, _WORD = Struct("<2I"), Struct("<I")
_SECTION = Struct("<16s16s2Q8I")

_LIBRARIES = (LC_ID_DYLIB, LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB, LC_LOAD_UPWARD_DYLIB)
# Commands whose string's offset is the first word behind the size: libraries, LC_RPATH, umbrella and client names.
_WITH_STRING = frozenset((*_LIBRARIES, LC_RPATH, 0x12, 0x13, 0x14, 0x15))
_SIZES = {
    LC_SYMTAB: ("LC_SYMTAB", 24), LC_DYSYMTAB: ("LC_DYSYMTAB", 80), 0x1E: ("LC_SEGMENT_SPLIT_INFO", 16),
    0x36: ("LC_ATOM_INFO", 16), 0x26: ("LC_FUNCTION_STARTS", 16), LC_DYLD_EXPORTS_TRIE: ("LC_DYLD_EXPORTS_TRIE", 16),
    LC_DYLD_CHAINED_FIXUPS: ("LC_DYLD_CHAINED_FIXUPS", 16), 0x21: ("LC_ENCRYPTION_INFO", 20),
    0x2C: ("LC_ENCRYPTION_INFO_64", 24), LC_DYLD_INFO: ("LC_DYLD_INFO_ONLY", 48),
    LC_DYLD_INFO_ONLY: ("LC_DYLD_INFO_ONLY", 48), LC_VERSION_MIN_MACOSX: ("LC_VERSION_MIN_*", 16),
    0x25: ("LC_VERSION_MIN_*", 16), 0x2F: ("LC_VERSION_MIN_*", 16), 0x30: ("LC_VERSION_MIN_*", 16),
    LC_UUID: ("LC_UUID", 24), 0x28 | LC_REQ_DYLD: ("LC_MAIN", 24), 0x37: ("LC_FUNCTION_VARIANTS", 16),
    0x38: ("LC_FUNCTION_VARIANT_FIXUPS", 16),
}  # fmt: skip
# Required commands that dyld knows, besides those above.
_REQUIRED = frozenset((*_LIBRARIES, LC_RPATH, 0x35 | LC_REQ_DYLD, *_SIZES))

# The SDK from which a policy holds, before macOS 26 and from then on (D-28).
_POLICIES = {
    "uuid": ((12,), (12,)),
    "duplicate-dylibs": ((15,), (26,)),
    "linked-dylibs": ((15, 4), (15, 4)),
    "duplicate-rpaths": ((15, 4), (26,)),
    "text-permissions": ((10, 15), (10, 15)),
    "linkedit-permissions": ((10, 11), (10, 11)),
    "data-permissions": ((26,), (26,)),
    "data-const": ((15, 4), (15, 4)),
    "sections": ((11,), (11,)),
    "duplicate-segments": ((999,), (26,)),
    "order": ((10, 15), (10, 15)),
}


def refused_universal(head: MachoHead) -> str | None:
    """What is wrong with a universal file, None where all of it is sound (D-17)."""
    count = head.fat_count or 0
    entry = 32 if head.fat64 else 20
    if head.size < 8 + entry:
        return "fat file too short"
    if count > _MOST_SLICES:
        return f"fat file has too many slices ({count})"
    if 8 + (count + (not head.fat64)) * entry > head.size:
        return "slice headers extend beyond end of file"
    seen: list[MachoSlice] = []
    for one in head.slices:
        name = _fat_name(one, head)
        if one.offset + one.length > head.size:
            return f"{name} slice extends beyond end of file"
        if any(_fat_name(other, head) == name for other in seen):
            return f"duplicate {name} slices"
        if one.architecture is not None:
            aligned = 0x4000 if one.architecture[0] == CPU_ARM64 and one.filetype != 1 else 0x1000
            if one.offset % aligned:
                return "slice is not page aligned"
            own = architecture_name(*one.architecture)
            if own != name:
                return f"cpu type/subtype in slice ({own}) does not match fat header ({name})"
        seen.append(one)
    for index, one in enumerate(seen):
        for other in seen[index + 1 :]:
            if other.offset < one.offset + one.length and one.offset < other.offset + other.length:
                return "overlapping slices"
    return None


def _fat_name(one: MachoSlice, head: MachoHead) -> str:
    name = architecture_name(*(one.fat_architecture or (0, 0)))
    return "arm64e" if name == "arm64e.old" and not head.fat64 else name


def refused_structure(one: MachoSlice, size: int, version: Version) -> str | None:
    """What is wrong with a slice of a file of `size` bytes, None where dyld of this macOS takes it."""
    content = one.content
    if isinstance(content, Damage):
        return _damage_text(one, content, size)
    if content.filetype not in _KNOWN_TYPES:
        return f"unknown filetype {content.filetype}"
    newer = version >= (26,)
    holds = {name: content.sdk >= minimum[newer] for name, minimum in _POLICIES.items()}
    return (
        _commands(content)
        or _uuids(content, holds)
        or _names(content, holds)
        or _duplicates(content, holds)
        or _segments(content, size, holds)
    )


def _damage_text(one: MachoSlice, damage: Damage, size: int) -> str | None:
    if damage.kind == "commands-past-end":
        (length,) = _WORD.unpack_from(one.start, 20)
        return f"load commands length ({length + _HEADER_SIZE}) exceeds length of file ({size})"
    if damage.kind == "command":
        return damage.detail
    return damage.detail.replace("load command ", "malformed load command (", 1).replace(":", ")", 1)


def _each(image: MachoImage) -> Iterator[tuple[int, int, int, int]]:
    """(number from 1, command, offset, size) of each load command."""
    at = 0
    for number in range(1, image.ncmds + 1):
        command, size = _COMMAND.unpack_from(image.commands, at)
        yield number, command, at, size
        at += size


def _commands(image: MachoImage) -> str | None:
    commands = image.commands
    for number, command, at, size in _each(image):
        wrong = f"load command #{number}"
        if command in _WITH_STRING and size >= 12:
            (where,) = _WORD.unpack_from(commands, at + 8)
            if where >= size:
                return f"{wrong} string offset ({where}) outside its size ({size})"
            if commands.find(b"\0", at + where, at + size) < 0:
                return f"{wrong} string extends beyond end of load command"
        elif command in _SIZES:
            name, wanted = _SIZES[command]
            if size != wanted:
                return f"{wrong} {name} size wrong"
        elif command == LC_BUILD_VERSION:
            if size < 24 or size != 24 + 8 * _WORD.unpack_from(commands, at + 20)[0]:
                return f"{wrong} LC_BUILD_VERSION size wrong"
        elif command == LC_SEGMENT_64:
            if size != 72 + 80 * _WORD.unpack_from(commands, at + 64)[0]:
                return f"{wrong} LC_SEGMENT_64 size does not match number of sections"
        elif command & LC_REQ_DYLD and command not in _REQUIRED:
            return f"{wrong} unknown required load command 0x{command:08X}"
    return None


def _uuids(image: MachoImage, holds: dict[str, bool]) -> str | None:
    count = sum(command == LC_UUID for _, command, _, _ in _each(image))
    if count > 1:
        return "too many LC_UUID load commands"
    return "missing LC_UUID load command" if count == 0 and holds["uuid"] else None


def _names(image: MachoImage, holds: dict[str, bool]) -> str | None:
    count = sum(command == LC_ID_DYLIB for _, command, _, _ in _each(image))
    if count > 1:
        return "multiple LC_ID_DYLIB found"
    if image.filetype in (MH_DYLIB, 9):
        return "MH_DYLIB is missing LC_ID_DYLIB" if not count else None
    return "found LC_ID_DYLIB found in non-MH_DYLIB" if count else None


def _duplicates(image: MachoImage, holds: dict[str, bool]) -> str | None:
    needed, rpaths = image.needed, image.rpaths
    twice = next((name for index, name in enumerate(needed[:256]) if name in needed[:index]), None)
    if twice is not None and holds["duplicate-dylibs"]:
        return f"duplicate linked dylib '{twice}'"
    if not needed and holds["linked-dylibs"] and not (image.install_name or "").startswith("/usr/lib/system/"):
        return "missing LC_LOAD_DYLIB (must link with at least libSystem.dylib)"
    twice = next((one for index, one in enumerate(rpaths[:64]) if one in rpaths[:index]), None)
    return f"duplicate LC_RPATH '{twice}'" if twice is not None and holds["duplicate-rpaths"] else None


def _segments(image: MachoImage, size: int, holds: dict[str, bool]) -> str | None:
    sections = _sections(image)
    has_split_info = any(command == 0x1E for _, command, _, _ in _each(image))
    for segment, inside in zip(image.segments, sections, strict=True):
        found = _segment(segment, inside, size, holds, is_split=has_split_info and image.filetype == MH_DYLIB)
        if found is not None:
            return found
    text = next((one for one in image.segments if one.name == "__TEXT"), None)
    if text is None:
        return "missing __TEXT segment"
    if text.offset:
        return "__TEXT segment fileoffset is not zero"
    if text.filesize < _HEADER_SIZE + len(image.commands):
        return "load commands do not fit in __TEXT segment filesize"
    if text.vmsize < _HEADER_SIZE + len(image.commands):
        return "load commands do not fit in __TEXT segment vmsize"
    return _overlaps(image.segments, holds)


def _sections(image: MachoImage) -> list[list[tuple[str, int, int]]]:
    """(name, address, size) of the sections of each segment."""
    found: list[list[tuple[str, int, int]]] = []
    for _, command, at, size in _each(image):
        if command == LC_SEGMENT_64:
            data = image.commands[at + 72 : at + size]
            found.append(
                [
                    (name.partition(b"\0")[0].decode("utf-8", "backslashreplace"), address, length)
                    for name, _, address, length, *_ in _SECTION.iter_unpack(data[: len(data) - len(data) % 80])
                ]
            )
    return found


def _segment(
    segment: MachoSegment, sections: list[tuple[str, int, int]], size: int, holds: dict[str, bool], *, is_split: bool
) -> str | None:
    name, protection = segment.name, segment.protection
    if segment.offset + segment.filesize > size:
        return f"segment '{name}' load command content extends beyond end of file"
    if segment.filesize > segment.vmsize:
        if segment.vmsize == 0 and protection == 0:
            return None  # it is not mapped
        return f"segment '{name}' filesize exceeds vmsize"
    if protection & ~7:
        return f"{name} segment permissions has invalid bits set (0x{protection:08X})"
    wanted = {"__TEXT": (5, "r-x", "text-permissions"), "__LINKEDIT": (1, "r--", "linkedit-permissions"),
              "__DATA": (3, "rw-", "data-permissions"), "__DATA_CONST": (3, "rw-", "data-permissions")}  # fmt: skip
    if name in wanted and holds[wanted[name][2]] and protection != wanted[name][0]:
        return f"{name} segment permissions is not '{wanted[name][1]}'"
    # dyld asks for the flag only of images that it holds to the permissions of data segments
    wants_flag = holds["data-permissions"] and holds["data-const"] and not is_split
    if name == "__DATA_CONST" and wants_flag and not segment.flags & _SG_READ_ONLY:
        return "__DATA_CONST segment missing SG_READ_ONLY flag"
    if segment.vmaddr + segment.vmsize >= 1 << 64:
        return f"'{name}' segment vm range wraps"
    for section, address, length in sections:
        if length >= 1 << 63:
            return f"section '{section}' size too large 0x{length:X}"
        if address < segment.vmaddr:
            start = f"start address 0x{address:X} is before containing segment's address 0x{segment.vmaddr:X}"
            return f"section '{section}' {start}"
        end, last = address + length, segment.vmaddr + segment.vmsize
        if holds["sections"] and end > last:
            return f"section '{section}' end address 0x{end:X} is beyond containing segment's end address 0x{last:X}"
    return None


def _overlaps(segments: tuple[MachoSegment, ...], holds: dict[str, bool]) -> str | None:
    for index, one in enumerate(segments):
        for other in segments[:index] + segments[index + 1 :]:
            if other.vmaddr < one.vmaddr + one.vmsize and other.vmaddr + other.vmsize > one.vmaddr:
                return f"vm range of segment '{one.name}' overlaps segment '{other.name}'"
            if other.offset < one.offset + one.filesize and other.offset + other.filesize > one.offset:
                return f"file range of segment '{one.name}' overlaps segment '{other.name}'"
    names = [one.name for one in segments]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None and holds["duplicate-segments"]:
        return f"duplicate segment name '{twice}'"
    if holds["order"]:
        # the last segment is left out, as dyld does
        for first, second in pairwise(segments[:-1]):
            if second.offset < first.offset and second.filesize:
                return f"segment '{first.name}' file offset out of order"
            if second.vmaddr < first.vmaddr:
                return f"segment '{second.name}' vm address out of order"
    return None
