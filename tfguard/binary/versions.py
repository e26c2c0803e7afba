"""Reads the symbol version tables of an image: what it needs of others, what it defines, each symbol's index."""

from __future__ import annotations

import os
from struct import Struct
from typing import NamedTuple

from tfguard.binary.elf import read_string
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
_ENTRY_LIMIT = 100_000
_BLOCK = 8192


class Versions(NamedTuple):
    """The version tables of one image.

    `needs` in the order of DT_VERNEED. `definitions` maps the index of DT_VERDEF entries to the version name, without
    the base entry, whose name (the file's own) is `base`: it counts as a version that exists (ld-so.md G-122) and
    not as the version of a symbol. `has_symbol_versions` says that DT_VERSYM is there.
    """

    needs: tuple[VersionNeed, ...]
    definitions: dict[int, str]
    base: str | None
    has_definitions: bool
    has_symbol_versions: bool
    damage: Damage | None = None

    @property
    def has_table(self) -> bool:
        """Whether the loader keeps a version table for this image (DT_VERSYM and any index above 0, G-124)."""
        return self.has_symbol_versions and bool(self.needs or self.definitions or self.base)

    @property
    def defined_names(self) -> frozenset[str]:
        """Every version name that satisfies a need for this object (G-122)."""
        return frozenset(self.definitions.values()) | ({self.base} if self.base is not None else frozenset())


class _Window:
    """Small reads at rising file offsets, served from one block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.start = 0
        self.block = b""

    def read(self, offset: int, size: int) -> bytes:
        begin = offset - self.start
        if not 0 <= begin <= len(self.block) - size:
            self.start = offset
            self.block = os.pread(self.fd, _BLOCK, offset) if 0 <= offset < 1 << 62 else b""
            begin = 0
        return self.block[begin : begin + size]


def read_versions(image: Image, fd: int) -> Versions:
    """The version tables of `image`, from its open descriptor (gABI symbol versioning, LSB 10.7)."""
    order = "<" if image.little_endian else ">"
    try:
        needs = tuple(_needs(image, fd, order))
        entries = _definitions(image, fd, order)
        damage = None
    except _Broken as error:
        needs, entries, damage = (), [], Damage(kind="version-table", detail=str(error))
    definitions = {index: name for index, flags, name in entries if not flags & _VER_FLG_BASE}
    base = next((name for _, flags, name in entries if flags & _VER_FLG_BASE), None)
    return Versions(needs, definitions, base, DT_VERDEF in image.dynamic, DT_VERSYM in image.dynamic, damage)


class _Broken(ValueError):
    """A version table that leaves the file."""


def _name(window: _Window, base: int, offset: int) -> str:
    at = base + offset
    piece = window.read(at, 1)
    end = window.block.find(b"\0", at - window.start) if piece else -1
    raw = window.block[at - window.start : end] if end >= 0 else read_string(window.fd, at)
    if raw is None:
        raise _Broken(f"a version name would be at file offset {at}")
    return os.fsdecode(raw)


def _table(image: Image, tag: int) -> int | None:
    address = image.dynamic.get(tag)
    if address is None:
        return None
    offset = image.offset_of(address)
    if offset is None:
        raise _Broken(f"no segment has bytes at address {address:#x}")
    return offset


def _needs(image: Image, fd: int, order: str) -> list[VersionNeed]:
    at = _table(image, DT_VERNEED)
    if at is None:
        return []
    strings = _table(image, DT_STRTAB) or 0
    entry, aux = Struct(order + "HHIII"), Struct(order + "IHHII")
    table, names = _Window(fd), _Window(fd)
    needs: list[VersionNeed] = []
    # DT_VERNEEDNUM is not read by the loader: vn_next of 0 ends the chain.
    while len(needs) < _ENTRY_LIMIT:
        data = table.read(at, entry.size)
        if len(data) < entry.size:
            raise _Broken(f"DT_VERNEED would go on at file offset {at}")
        _, count, file_name, aux_offset, following = entry.unpack(data)
        file = _name(names, strings, file_name)
        aux_at = at + aux_offset
        for _ in range(count):
            data = table.read(aux_at, aux.size)
            if len(data) < aux.size:
                raise _Broken(f"DT_VERNEED would go on at file offset {aux_at}")
            _, flags, index, name, next_aux = aux.unpack(data)
            version = _name(names, strings, name)
            needs.append(VersionNeed(file, version, bool(flags & _VER_FLG_WEAK), index))
            if not next_aux or len(needs) >= _ENTRY_LIMIT:
                break
            aux_at += next_aux
        if not following or count == 0:
            break
        at += following
    return needs


def _definitions(image: Image, fd: int, order: str) -> list[tuple[int, int, str]]:
    at = _table(image, DT_VERDEF)
    if at is None:
        return []
    strings = _table(image, DT_STRTAB) or 0
    entry, aux = Struct(order + "HHHHIII"), Struct(order + "II")
    table, names = _Window(fd), _Window(fd)
    definitions: list[tuple[int, int, str]] = []
    while len(definitions) < _ENTRY_LIMIT:
        data = table.read(at, entry.size)
        if len(data) < entry.size:
            raise _Broken(f"DT_VERDEF would go on at file offset {at}")
        _, flags, index, _, _, aux_offset, following = entry.unpack(data)
        data = table.read(at + aux_offset, aux.size)
        if len(data) < aux.size:
            raise _Broken(f"DT_VERDEF would go on at file offset {at + aux_offset}")
        definitions.append((index & 0x7FFF, flags, _name(names, strings, aux.unpack(data)[0])))
        if not following:
            break
        at += following
    return definitions
