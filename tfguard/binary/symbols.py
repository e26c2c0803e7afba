"""Looks symbols up in an image as ld.so does: through the hash table, without walking the symbol table.

An op refers to some fifty symbols and TensorFlow's main library defines 436,000: each look-up touches a Bloom word,
a bucket and a short chain. Few look-ups read those words one by one; many read the tables whole (some 17 MB there).
The string table (82 MB there) is never read whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from itertools import repeat
from typing import Literal, NamedTuple

from tfguard.binary.columns import Column, OnDemand, unsigned
from tfguard.binary.elf import file_offset, format_of, read_strings
from tfguard.binary.hashes import gnu_hash, sysv_hash
from tfguard.binary.relocations import (
    relocated_symbols,
    relocations,
    relocations_of_types,
    targets_within,
    unknown_type,
)
from tfguard.binary.versions import Versions, versions_of
from tfguard.image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERSYM,
    EM_386,
    EM_AARCH64,
    EM_X86_64,
    Damage,
    Image,
    VersionNeed,
)

_STT_TLS = 6
_SHN_ABS = 0xFFF1
# NOTYPE, OBJECT, FUNC, COMMON, TLS, GNU_IFUNC: ld-so.md G-132
_DEFINING_TYPES = frozenset((0, 1, 2, 5, 6, 10))
# JUMP_SLOT of each machine
_CALLS = {EM_X86_64: frozenset((7,)), EM_AARCH64: frozenset((1026,)), EM_386: frozenset((7,))}
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_BINDINGS = frozenset((_GLOBAL, _WEAK, _UNIQUE))
# The bytes st_info of these bindings, and st_other of default and protected visibility: whole tables are held to them.
_ANY_KIND = frozenset(info for info in range(256) if info >> 4 in _BINDINGS)
_STRONG_KIND = frozenset(info for info in _ANY_KIND if info >> 4 != _WEAK)
_SEEN_OUTSIDE = frozenset(other for other in range(256) if other & 3 in (0, 3))

_SMALL_TABLE = 1 << 16
_MANY = 300
# Bytes that are copied in the time that one more read takes.
_WORTH_A_READ = 2048
# A chain step costs some 60 ns; a hostile table could make every look-up walk all of it.
_STEP_LIMIT = 4_000_000
_SYMBOL_LIMIT = 1 << 22
_TABLE_LIMIT = 1 << 26
_SCAN_BLOCK = 1 << 22


class Reference(NamedTuple):
    """A symbol that relocation must find somewhere: raw name, the version needed or None, place in the table."""

    name: bytes
    need: VersionNeed | None
    position: int


# From a tuple of the fields: tens of thousands are made of each of these two.
_REFERENCE = partial(tuple.__new__, Reference)


class Definition(NamedTuple):
    """A symbol-table entry of that name which the loader accepts as a definition (G-132); `versym` raw, or None."""

    position: int
    type: int
    value: int
    versym: int | None


_DEFINITION = partial(tuple.__new__, Definition)


class Entry(NamedTuple):
    """One entry of the symbol table as it stands: st_info, st_other, st_shndx, st_value, and its version index."""

    name: bytes
    position: int
    info: int
    other: int
    section: int
    value: int
    versym: int | None


class _GnuHash(NamedTuple):
    """DT_GNU_HASH: the first hashed symbol, the counts, and its three tables."""

    first: int
    bucket_count: int
    bloom_size: int
    shift: int
    bloom: Column
    buckets: Column
    chains: Column
    whole: bool


class SymbolTable:
    """The dynamic symbols of one image, on an open descriptor that this object closes."""

    def __init__(self, image: Image, hashes: dict[bytes, int] | None = None) -> None:
        """Open the image's file; raises OSError where that is no longer possible or the file was replaced.

        `hashes` keeps the GNU hashes of names over several tables.
        """
        self._hashes = hashes if hashes is not None else {}
        self.image = image
        self.damage: Damage | None = None
        self._fd = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._fd)
        if (status.st_ino, status.st_dev) != (image.inode, image.device):
            os.close(self._fd)
            raise OSError(f"{image.path} was replaced while it was read")
        self._format = format_of(image)
        self._order = "<" if image.little_endian else ">"
        self._gnu: _GnuHash | None = None
        self._found: dict[bytes, tuple[Definition, ...]] = {}
        self._out_of_sight: set[bytes] = set()
        # names that a program has only an entry of its own for, by which it calls another object's function
        self.call_entries: set[bytes] = set()
        self._symtab = self._offset(DT_SYMTAB)
        self._strtab = self._offset(DT_STRTAB)
        self._versym = self._offset(DT_VERSYM)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)

    @cached_property
    def versions(self) -> Versions:
        """The version tables; empty where the file can no longer be read."""
        return versions_of(self.image) or Versions((), {}, None, frozenset(), False, False)

    def _offset(self, tag: int) -> int | None:
        address = self.image.dynamic.get(tag)
        where = file_offset(self.image.segments, address) if address is not None else None
        return where[0] if where else None

    # --- what this image refers to

    def references(self, *, weak: bool = False) -> list[Reference]:
        """Every symbol that must be found elsewhere or the load fails, in symbol-table order.

        Undefined entries with global or unique binding and default or protected visibility (G-133); weak ones never
        fail and are given only where asked for. Not every one need be used by a relocation: hold a failure against
        `relocated_symbols()`.
        """
        kinds = _ANY_KIND if weak else _STRONG_KIND
        if self._symtab is None or self._strtab is None:
            return []
        size = self._format.symbol.size
        count = min(self._undefined_count(), max(self.image.size - self._symtab, 0) // size)
        data = os.pread(self._fd, count * size, self._symtab)
        data = data[: len(data) - len(data) % size]
        if self.image.elf_class == 64:
            wanted = [
                (name, position)
                for position, (name, info, other, shndx, _, _) in enumerate(self._format.symbol.iter_unpack(data))
                if not shndx and info in kinds and other in _SEEN_OUTSIDE
            ]
        else:
            wanted = [
                (name, position)
                for position, (name, _, _, info, other, shndx) in enumerate(self._format.symbol.iter_unpack(data))
                if not shndx and info in kinds and other in _SEEN_OUTSIDE
            ]
        names = read_strings(self._fd, self._strtab, [offset for offset, _ in wanted])
        count = len(data) // size
        versyms = self._unsigned(self._versym, 2, count) if self._versym is not None else ()
        needs: list[VersionNeed | None] = [None] * 0x8000
        for need in self.versions.needs:
            needs[need.number & 0x7FFF] = need
        texts = [names[offset] or b"" for offset, _ in wanted]
        positions = [position for _, position in wanted]
        versioned = len(versyms) > (positions[-1] if positions else 0)
        wants = [needs[versyms[position] & 0x7FFF] for position in positions] if versioned else repeat(None)
        return list(map(_REFERENCE, zip(texts, wants, positions, strict=False)))

    def _undefined_count(self) -> int:
        """How many leading entries of the symbol table can hold undefined symbols."""
        where = self._offset(DT_GNU_HASH)
        if where is not None:
            header = self._unsigned(where, 4, 4)
            # GNU ld writes symoffset 1 and empty buckets for an object that exports nothing.
            if len(header) == 4 and header[1] > 1:
                return min(header[1], _SYMBOL_LIMIT)
        else:
            where = self._offset(DT_HASH)
            if where is not None and len(header := self._unsigned(where, 4, 2)) == 2:
                return min(header[1], _SYMBOL_LIMIT)
        return min(max(relocated_symbols(self.image, self._fd), default=-1) + 1, _SYMBOL_LIMIT)

    def relocated_symbols(self, *, lazy: bool = False) -> Iterable[int]:
        """The symbol position of every relocation that has one, in the order of ld.so (G-135).

        With `lazy` without those that lazy binding puts off (G-134).
        """
        return relocated_symbols(self.image, self._fd, lazy=lazy)

    def relocations(self) -> Iterable[tuple[int, int]]:
        """(r_offset, r_info) of every relocation, in the order of ld.so."""
        return relocations(self.image, self._fd)

    def relocations_of_types(self, types: frozenset[int]) -> Iterable[tuple[int, int]]:
        """(type, symbol position) of the relocations of these types."""
        return relocations_of_types(self.image, self._fd, types)

    def unknown_relocation(self, known: frozenset[int]) -> tuple[int, int] | None:
        """(type, symbol position) of the first relocation of none of these types; not all of a long table is read."""
        return unknown_type(self.image, self._fd, known)

    @cached_property
    def called(self) -> frozenset[int]:
        """The positions of symbols that relocations of calls name: for those a call entry is no definition (G-132)."""
        kinds = _CALLS.get(self.image.machine, frozenset())
        return frozenset(position for _, position in self.relocations_of_types(kinds))

    def relocation_targets(self, ranges: tuple[tuple[int, int], ...]) -> Iterable[int]:
        """The addresses within these ranges that relocations write to, as far as the tables are looked at."""
        return targets_within(self.image, self._fd, ranges)

    def packed_constructor(self) -> int | None:
        """What the file has for the first constructor that a packed relocation completes; None where none is."""
        from tfguard.binary.packed import packed_constructor  # wanted for old releases of musl alone

        return packed_constructor(self.image, self._fd)

    def symbol(self, position: int) -> tuple[Reference, bool] | None:
        """The entry at a position, and whether it binds to itself (G-133); None where there is none to read."""
        symbol = self._format.symbol
        if self._symtab is None or self._strtab is None:
            return None
        data = os.pread(self._fd, symbol.size, self._symtab + position * symbol.size)
        if len(data) < symbol.size:
            return None
        if self.image.elf_class == 64:
            name_at, info, other, shndx, _, _ = symbol.unpack(data)
        else:
            name_at, _, _, info, other, shndx = symbol.unpack(data)
        name = read_strings(self._fd, self._strtab, (name_at,))[name_at] or b""
        need = None
        if not shndx and self._versym is not None and (versym := self._unsigned(self._versym + 2 * position, 2, 1)):
            need = next((one for one in self.versions.needs if not (one.number ^ versym[0]) & 0x7FFF), None)
        return Reference(name, need, position), not info >> 4 or other & 3 in (1, 2)

    def relocations_calls_first(self) -> Iterable[tuple[int, int]]:
        """(r_offset, r_info) of every relocation, in the order of musl: DT_JMPREL before DT_REL and DT_RELA (M-24)."""
        return relocations(self.image, self._fd, calls_first=True)

    def _unsigned(self, offset: int, size: int, count: int) -> Sequence[int]:
        """`count` unsigned integers at a file offset, fewer where the file ends."""
        count = min(count, max(self.image.size - offset, 0) // size)
        if count * size > _TABLE_LIMIT:
            raise ValueError(f"a table of {count * size} bytes is no linker's")
        return unsigned(self._fd, offset, size, count, self._order)

    # --- what this image defines

    def satisfies(self, references: Sequence[Reference]) -> list[bool]:
        """For each reference: does this image hold a definition that the loader accepts (G-126, G-127)?"""
        found = self.find([reference.name for reference in references])
        if not self.versions.has_table:
            return [bool(found[name]) for name, _, _ in references]
        return [bool(there := found[name]) and self._accepts(there, need) for name, need, _ in references]

    def accepts(self, name: bytes, need: VersionNeed | None) -> bool:
        """Whether a definition of `name` here satisfies a reference with that version need."""
        return self.satisfies((Reference(name, need, 0),))[0]

    def _accepts(self, found: tuple[Definition, ...], need: VersionNeed | None) -> bool:
        """The version match of one name in an image that has a version table."""
        if need is not None:
            names = self._version_names
            for definition in found:
                versym = definition.versym or 0
                own = names.get(versym & 0x7FFF)
                if own == need.version:
                    return True
                if own is None and not need.number & 0x8000 and not versym & 0x8000:
                    return True
            return False
        visible = 0
        for definition in found:
            versym = definition.versym or 0
            if versym & 0x7FFF < 3:
                return True
            visible += not versym & 0x8000
        return visible == 1

    @cached_property
    def _version_names(self) -> dict[int, str]:
        """The version name of each index: those needed of others count as well (G-124)."""
        versions = self.versions
        return {**{need.number & 0x7FFF: need.version for need in versions.needs}, **versions.definitions}

    def exported_like(self, fragment: bytes, *, limit: int) -> list[bytes]:
        """Up to `limit` names that this image defines and that contain `fragment`; reads the whole string table."""
        where = file_offset(self.image.segments, self.image.dynamic.get(DT_STRTAB, -1))
        found: dict[bytes, None] = {}
        if where is None or not fragment:
            return []
        at, left = where[0], min(where[1], self.image.dynamic.get(DT_STRSZ, where[1]))
        rest = b""
        while left > 0 and len(found) < limit:
            block = os.pread(self._fd, min(left, _SCAN_BLOCK), at)
            if not block:
                break
            at, left = at + len(block), left - len(block)
            whole, _, tail = (rest + block).rpartition(b"\0")
            rest = tail[-_SMALL_TABLE:]
            hit = whole.find(fragment)
            while hit >= 0 and len(found) < limit:
                start = whole.rfind(b"\0", 0, hit) + 1
                end = whole.find(b"\0", hit)
                name = whole[start : end if end >= 0 else len(whole)]
                if name not in found and self.find((name,))[name]:
                    found[name] = None
                hit = whole.find(fragment, start + len(name))
        return list(found)

    def find(self, names: Sequence[bytes]) -> dict[bytes, tuple[Definition, ...]]:
        """The definitions of each name (empty where there is none), all versions of it."""
        known = self._found
        missing = [name for name in names if name not in known]
        if missing:
            try:
                self._add_definitions(self._hits(missing))
            except (IndexError, ValueError, OverflowError) as error:
                self.damage = Damage(kind="hash-table", detail=f"the symbol tables cannot be read ({error})")
            for name in missing:
                known.setdefault(name, ())
        return known

    def has_entry(self, name: bytes) -> bool:
        """Whether the loader comes to an entry of that name at all: a definition, or a hidden or local one."""
        return bool(self.find((name,))[name]) or name in self._out_of_sight

    def entries_named(self, names: Sequence[bytes]) -> dict[bytes, list[Entry]]:
        """The entries of each name that the hash table leads to, definitions or not, in the order of their chain."""
        found: dict[bytes, list[Entry]] = {name: [] for name in names}
        try:
            hits = self._hits(list(found))
            entries = {one.position: one for one in self.entries_at(position for _, position in hits)}
        except (IndexError, ValueError, OverflowError) as error:
            self.damage = Damage(kind="hash-table", detail=f"the symbol tables cannot be read ({error})")
            return found
        for name, position in hits:
            entry = entries.get(position)
            if entry is not None and entry.name == name:
                found[name].append(entry)
        return found

    def entries_at(self, positions: Iterable[int]) -> list[Entry]:
        """The entries at these places of the symbol table, each once; those behind the end of the file are left out."""
        symbol, wide = self._format.symbol, self.image.elf_class == 64
        raw: list[tuple[int, int, int, int, int, int, int | None]] = []
        order: Literal["little", "big"] = "little" if self._order == "<" else "big"
        for position in dict.fromkeys(positions):
            data = os.pread(self._fd, symbol.size, (self._symtab or 0) + position * symbol.size)
            if len(data) < symbol.size:
                continue
            if wide:
                name, info, other, section, value, _ = symbol.unpack(data)
            else:
                name, value, _, info, other, section = symbol.unpack(data)
            versym = None
            if self._versym is not None:
                versym = int.from_bytes(os.pread(self._fd, 2, self._versym + position * 2), order)
            raw.append((name, position, info, other, section, value, versym))
        names = read_strings(self._fd, self._strtab or 0, [one[0] for one in raw])
        return [Entry(names[one[0]] or b"", *one[1:]) for one in raw]

    def _hits(self, names: list[bytes]) -> list[tuple[bytes, int]]:
        if self._symtab is None or self._strtab is None:
            raise ValueError("no segment has its symbols or their names")
        where = self._offset(DT_GNU_HASH)
        if where is not None:
            return self._look_up_gnu(names, where)
        where = self._offset(DT_HASH)
        return self._look_up_sysv(names, where) if where is not None else []

    def _table(self, offset: int, length: int, size: int, *, whole: bool) -> Sequence[int] | OnDemand:
        if whole or length * size <= _SMALL_TABLE:
            return self._unsigned(offset, size, length)
        return OnDemand(self._fd, offset, length, size, self._order)

    def _gnu_hash(self, where: int, *, whole: bool) -> _GnuHash | None:
        """The parts of DT_GNU_HASH at a file offset; kept, and read whole once many names are asked for."""
        if self._gnu is None or (whole and not self._gnu.whole):
            header = self._unsigned(where, 4, 4)
            bucket_count, first, bloom_size, shift = header[0], header[1], header[2], header[3]
            if not bucket_count or not bloom_size:
                return None
            width = self.image.elf_class // 8
            bloom = self._table(where + 16, bloom_size, width, whole=whole)
            bucket_at = where + 16 + bloom_size * width
            buckets = self._table(bucket_at, bucket_count, 4, whole=whole)
            chain_at = bucket_at + bucket_count * 4
            room = max(self.image.size - chain_at, 0) // 4
            chains: Column = OnDemand(self._fd, chain_at, room, 4, self._order)
            if whole and not isinstance(buckets, OnDemand):
                chains = self._unsigned(chain_at, 4, min(room, _chain_length(max(buckets), first, chains)))
            self._gnu = _GnuHash(first, bucket_count, bloom_size, shift, bloom, buckets, chains, whole)
        return self._gnu

    def _look_up_gnu(self, names: list[bytes], where: int) -> list[tuple[bytes, int]]:
        parts = self._gnu_hash(where, whole=len(names) > _MANY)
        if parts is None:
            return []
        first, bucket_count, bloom_size, shift, bloom, buckets, chains, _ = parts
        bits = self.image.elf_class
        hashes = self._hashes
        hits: list[tuple[bytes, int]] = []
        mask, low, word_shift = bloom_size - 1, bits - 1, 6 if bits == 64 else 5
        steps = 0
        for name in names:
            h = hashes.get(name)
            if h is None:
                h = hashes[name] = gnu_hash(name)
            word = bloom[(h >> word_shift) & mask]
            if not (word >> (h & low)) & (word >> ((h >> shift) & low)) & 1:
                continue
            position = buckets[h % bucket_count]
            if not position:
                continue
            while True:
                entry = chains[position - first]
                if not (entry ^ h) >> 1:
                    hits.append((name, position))
                if entry & 1:
                    break
                position += 1
                steps += 1
                if steps > _STEP_LIMIT:
                    raise ValueError("its chains are longer than any linker makes them")
        return hits

    def _look_up_sysv(self, names: list[bytes], where: int) -> list[tuple[bytes, int]]:
        bucket_count, chain_count = self._unsigned(where, 4, 2)
        if not bucket_count:
            return []
        many = len(names) > _MANY
        buckets = self._table(where + 8, bucket_count, 4, whole=many)
        chains = self._table(where + 8 + bucket_count * 4, chain_count, 4, whole=many)
        hits = []
        for name in names:
            position = buckets[sysv_hash(name) % bucket_count]
            while position:
                hits.append((name, position))
                position = chains[position]
                if len(hits) > _STEP_LIMIT:
                    raise ValueError("its chains are longer than any linker makes them")
        return hits

    def _add_definitions(self, hits: list[tuple[bytes, int]]) -> None:
        """Keep those hits whose symbol really has that name and counts as a definition."""
        symbol, wide = self._format.symbol, self.image.elf_class == 64
        fd, size, symtab, strtab, versyms = self._fd, symbol.size, self._symtab or 0, self._strtab or 0, self._versym
        order: Literal["little", "big"] = "little" if self._order == "<" else "big"
        found, pread, unpack = self._found, os.pread, symbol.unpack_from
        low, symbols, versions = self._around(hits)
        for name, position in hits:
            place = position - low
            if not symbols and len(data := pread(fd, size, symtab + position * size)) < size:
                raise IndexError(position)
            entry = unpack(symbols, place * size) if symbols else unpack(data)
            if wide:
                name_at, info, other, shndx, value, _ = entry
            else:
                name_at, value, _, info, other, shndx = entry
            kind = info & 15
            if (not value and shndx != _SHN_ABS and kind != _STT_TLS) or kind not in _DEFINING_TYPES:
                continue
            if pread(fd, len(name) + 1, strtab + name_at) != name + b"\0":
                continue
            if info >> 4 not in _BINDINGS or other & 3 in (1, 2):
                self._out_of_sight.add(name)
                continue
            if not shndx:
                self.call_entries.add(name)
            if versions:
                versym: int | None = versions[place]
            else:
                versym = int.from_bytes(pread(fd, 2, versyms + position * 2), order) if versyms is not None else None
            definition = _DEFINITION((position, kind, value, versym))
            found[name] = (*found[name], definition) if name in found else (definition,)

    def _around(self, hits: list[tuple[bytes, int]]) -> tuple[int, bytes, Sequence[int]]:
        """The lowest position, and all symbols and version indices from there to the highest, where one read is less.

        Both empty where the hits lie far apart.
        """
        positions = [position for _, position in hits]
        low = min(positions, default=0)
        count, size = max(positions, default=0) + 1 - low, self._format.symbol.size
        if count * size > min(len(hits) * _WORTH_A_READ, _TABLE_LIMIT):
            return low, b"", ()
        symbols = os.pread(self._fd, count * size, (self._symtab or 0) + low * size)
        versions = self._unsigned(self._versym + low * 2, 2, count) if self._versym is not None else ()
        whole = len(symbols) == count * size and (self._versym is None or len(versions) == count)
        return (low, symbols, versions) if whole else (low, b"", ())


def _chain_length(last: int, first: int, chains: Column) -> int:
    """The number of chain words: the last chain begins at the highest bucket and ends with an odd word."""
    if last < first:
        return 0
    for position in range(last, last + (1 << 16)):
        if chains[position - first] & 1:
            return position - first + 1
    raise ValueError("its last chain has no end")
