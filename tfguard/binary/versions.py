"""Reads the symbol version tables of an image: what it needs of others, what it defines, each symbol's index."""

# Annotations are no strings in this file: a NamedTuple, or data class, would compile each, at the cost of every import.

import os
from struct import Struct
from typing import NamedTuple

from tfguard.binary.elf import file_offset, read_strings
from tfguard.image import (
    DT_STRTAB,
    DT_VERDEF,
    DT_VERNEED,
    DT_VERSYM,
    Damage,
    Image,
    VersionNeed,
)

_VER_FLG_BASE = 1
_VER_FLG_WEAK = 2
# More entries than this is a claim no linker makes; the tables are chains that a hostile file can bend into a circle.
_ENTRY_LIMIT = 20_000
_NAME_LIMIT = 4096
_BLOCK = 4096


class Versions(NamedTuple):
    """The version tables of one image.

    `needs` in the order of DT_VERNEED. `definitions` maps the index of DT_VERDEF entries to the version name, without
    the base entry, whose name (the file's own) is `base`: it counts as a version that exists (ld-so.md G-122) and
    not as the version of a symbol. `defined_names` are all that satisfy a need. `has_symbol_versions` says that
    DT_VERSYM is there. `highest` is the highest number that any entry gives its version.
    """

    needs: tuple[VersionNeed, ...]
    definitions: dict[int, str]
    base: str | None
    defined_names: frozenset[str]
    has_definitions: bool
    has_symbol_versions: bool
    highest: int = 0
    damage: Damage | None = None

    @property
    def has_table(self) -> bool:
        """Whether the loader keeps a version table for this image (DT_VERSYM and any index above 0, G-124)."""
        return self.has_symbol_versions and self.highest > 0


class _Broken(ValueError):
    """A version table that leaves the file."""


# What was read, by the file's identity: the same few system libraries serve every load that is played.
_known: dict[tuple[int, int, int, int], Versions] = {}
_KNOWN_LIMIT = 1024


def versions_of(image: Image) -> Versions | None:
    """The version tables of `image`, read once for each state of its file; None where it can no longer be read."""
    key = (image.device, image.inode, image.size, image.modified)
    found = _known.get(key)
    if found is None:
        try:
            fd = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            found = read_versions(image, fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        _known[key] = found
    return found


def read_versions(image: Image, fd: int) -> Versions:
    """The version tables of `image`, from its open descriptor (gABI symbol versioning, LSB 10.7)."""
    dynamic = image.dynamic
    try:
        needed = _needs(image, fd)
        defined = _definitions(image, fd)
        base = _table(image, DT_STRTAB)
        offsets = {one[0] for one in needed} | {one[1] for one in needed} | {one[0] for one in defined}
        if offsets and base is None:
            raise _Broken("there is no string table")
        names = read_strings(fd, base, offsets) if base is not None else {}
        text = {offset: _decoded(raw) for offset, raw in names.items()}
    except _Broken as error:
        damage = Damage(kind="version-table", detail=str(error))
        return Versions((), {}, None, frozenset(), DT_VERDEF in dynamic, DT_VERSYM in dynamic, 0, damage)
    needs = tuple(
        [VersionNeed(text[file], text[version], bool(flags & _VER_FLG_WEAK), number)
         for file, version, flags, number in needed]
    )  # fmt: skip
    definitions = {number & 0x7FFF: text[name] for name, flags, number in defined if not flags & _VER_FLG_BASE}
    own = next((text[name] for name, flags, _ in defined if flags & _VER_FLG_BASE), None)
    every = frozenset(definitions.values()) | (frozenset() if own is None else {own})
    highest = max([one[3] & 0x7FFF for one in needed] + [one[2] & 0x7FFF for one in defined], default=0)
    return Versions(needs, definitions, own, every, DT_VERDEF in dynamic, DT_VERSYM in dynamic, highest)


def _decoded(raw: bytes | None) -> str:
    if raw is None or len(raw) > _NAME_LIMIT:
        raise _Broken("a version name leaves the file or has no end")
    return raw.decode("utf-8", "surrogateescape")


def _table(image: Image, tag: int) -> int | None:
    address = image.dynamic.get(tag)
    if address is None:
        return None
    where = file_offset(image.segments, address)
    if where is None:
        raise _Broken(f"no segment has bytes at address {address:#x}")
    return where[0]


class _Chain:
    """Records at chained offsets from the start of a table: nearly always in its first block."""

    def __init__(self, fd: int, at: int) -> None:
        self._fd, self._at = fd, at
        self.block = os.pread(fd, _BLOCK, at)

    def record(self, layout: Struct, offset: int) -> tuple[int, ...]:
        if offset + layout.size <= len(self.block):
            return layout.unpack_from(self.block, offset)
        data = os.pread(self._fd, layout.size, self._at + offset)
        if len(data) < layout.size:
            raise _Broken(f"a version table would go on at file offset {self._at + offset}")
        return layout.unpack(data)


def _needs(image: Image, fd: int) -> list[tuple[int, int, int, int]]:
    """(file name, version name, flags, number) of each entry of DT_VERNEED, names as string-table offsets."""
    at = _table(image, DT_VERNEED)
    if at is None:
        return []
    entry, aux = _LAYOUTS[image.little_endian][:2]
    chain = _Chain(fd, at)
    unpack, block, inside = aux.unpack_from, chain.block, len(chain.block) - aux.size
    needs: list[tuple[int, int, int, int]] = []
    offset = 0
    # DT_VERNEEDNUM is not read by the loader: vn_next of 0 ends the chain.
    while len(needs) < _ENTRY_LIMIT:
        _, count, file, first, following = chain.record(entry, offset)
        place = offset + first
        for _ in range(count):
            _, flags, number, name, step = unpack(block, place) if place <= inside else chain.record(aux, place)
            needs.append((file, name, flags, number))
            if not step or len(needs) >= _ENTRY_LIMIT:
                break
            place += step
        if not following or count == 0:
            break
        offset += following
    return needs


def _definitions(image: Image, fd: int) -> list[tuple[int, int, int]]:
    """(name, flags, number) of each entry of DT_VERDEF, the name as a string-table offset."""
    at = _table(image, DT_VERDEF)
    if at is None:
        return []
    entry, aux = _LAYOUTS[image.little_endian][2:]
    chain = _Chain(fd, at)
    definitions: list[tuple[int, int, int]] = []
    offset = 0
    while len(definitions) < _ENTRY_LIMIT:
        _, flags, number, _, _, first, following = chain.record(entry, offset)
        definitions.append((chain.record(aux, offset + first)[0], flags, number))
        if not following:
            break
        offset += following
    return definitions


_LAYOUTS = {
    little: tuple(Struct(order + layout) for layout in ("HHIII", "IHHII", "HHHHIII", "II"))
    for little, order in ((True, "<"), (False, ">"))
}
