"""Writes small shared objects from a description: files no linker would make, and ordinary ones.

For x86-64, aarch64 and i386, all little-endian; types of relocations are given as those of x86-64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tfguard.binary.hashes import gnu_hash, sysv_hash
from tfguard.image import (
    DT_AUXILIARY,
    DT_FILTER,
    DT_FLAGS,
    DT_FLAGS_1,
    DT_GNU_HASH,
    DT_HASH,
    DT_JMPREL,
    DT_NEEDED,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELAENT,
    DT_RELASZ,
    DT_RELR,
    DT_RELSZ,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERDEFNUM,
    DT_VERNEED,
    DT_VERNEEDNUM,
    DT_VERSYM,
    EM_386,
    EM_AARCH64,
    EM_X86_64,
    ET_DYN,
    PF_W,
    PF_X,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_GNU_STACK,
    PT_LOAD,
    PT_NOTE,
    Filtee,
)

DT_PLTGOT, DT_SYMENT, DT_RELENT, DT_RELRSZ, DT_RELRENT = 3, 11, 19, 35, 37
PF_R = 4
R_64, R_COPY, R_GLOB_DAT, R_JUMP_SLOT, R_RELATIVE = 1, 5, 6, 7, 8
STB_LOCAL, STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 0, 1, 2, 10
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_TLS, STT_GNU_IFUNC = 0, 1, 2, 3, 6, 10
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN, STV_PROTECTED = 0, 1, 2, 3
SHN_UNDEF, SHN_DATA, SHN_ABS = 0, 7, 0xFFF1

_NO_TAG = -1
_REQUESTS = (DT_NEEDED, DT_FILTER, DT_AUXILIARY)
# The same relocations of i386 have the numbers of x86-64; sizes of symbols do not exist elsewhere.
_AARCH64_TYPES = {R_64: 257, R_COPY: 1024, R_GLOB_DAT: 1025, R_JUMP_SLOT: 1026, R_RELATIVE: 1027}


class _Layout(NamedTuple):
    """What differs between the classes: structures, sizes, and which tables hold relocations."""

    bits: int
    header: struct.Struct
    segment: struct.Struct
    symbol: struct.Struct
    relocation: struct.Struct
    dynamic: struct.Struct
    word: str
    table: int
    table_size: int
    entry_size: int

    @property
    def bytes(self) -> int:
        """The size of an address."""
        return self.bits // 8


def _layout_of(bits: int, header: str, segment: str, symbol: str, relocation: str, dynamic: str) -> _Layout:
    wide = bits == 64
    return _Layout(
        bits=bits,
        header=struct.Struct(f"<{header}"),
        segment=struct.Struct(f"<{segment}"),
        symbol=struct.Struct(f"<{symbol}"),
        relocation=struct.Struct(f"<{relocation}"),
        dynamic=struct.Struct(f"<{dynamic}"),
        word="Q" if wide else "I",
        table=DT_RELA if wide else DT_REL,
        table_size=DT_RELASZ if wide else DT_RELSZ,
        entry_size=DT_RELAENT if wide else DT_RELENT,
    )


_WIDE = _layout_of(64, "16sHHIQQQIHHHHHH", "IIQQQQQQ", "IBBHQQ", "QQq", "QQ")
_NARROW = _layout_of(32, "16sHHIIIIIHHHHHH", "IIIIIIII", "IIIBBH", "II", "II")


def _layout(machine: int) -> _Layout:
    return _NARROW if machine == EM_386 else _WIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A defined symbol; its value is the address of a word of its own unless given."""

    name: str
    version: str | None = None
    hidden: bool = False
    binding: int = STB_GLOBAL
    type: int = STT_OBJECT
    visibility: int = STV_DEFAULT
    section: int = SHN_DATA
    value: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """An undefined symbol with one relocation; `version` of `file` where both are given."""

    name: str
    file: str | None = None
    version: str | None = None
    binding: int = STB_GLOBAL
    visibility: int = STV_DEFAULT
    relocation: int = R_GLOB_DAT
    hidden: bool = False
    weak_need: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What the file shall say.

    `needs` are (file, version) pairs beyond those of the imports. `versions` are defined beyond those of the exports;
    the base version is the soname. `extra` tags come before DT_NULL, `replaced` gives other values to tags that the
    writer sets (None leaves the tag out). `stack` are the flags of PT_GNU_STACK, None leaves it out. `page` is
    the alignment of segments in bytes.
    """

    soname: str | None = None
    needed: tuple[str, ...] = ()
    filtees: tuple[Filtee, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    flags: int = 0
    flags_1: int = 0
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    versions: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    has_gnu_hash: bool = True
    has_sysv_hash: bool = False
    has_versym: bool = True
    relr: bool = False
    isa_needed: int | None = None
    stack: int | None = 6
    machine: int = EM_X86_64
    page: int = 0x1000
    type: int = ET_DYN
    extra: tuple[tuple[int, int], ...] = ()
    replaced: Mapping[int, int | None] = field(default_factory=dict)


class _Strings:
    """The string table, filled as names come up."""

    def __init__(self) -> None:
        self.data = b"\0"
        self._known: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.data)
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return self._known[text]


class _Body:
    """The tables behind the program headers, each at a multiple of 8; `at` has their offsets by tag."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.data = b""
        self.at: dict[int, int] = {}

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    def put(self, tag: int, data: bytes) -> int:
        self.data += bytes(-self.end % 8)
        self.at[tag] = self.end
        self.data += data
        return self.at[tag]


class _Versions(NamedTuple):
    """Versions defined, (version, weak) pairs needed by file, and the index of each, by file (None: own) and name."""

    defined: list[str]
    needs: dict[str, list[tuple[str, bool]]]
    indexes: dict[tuple[str | None, str | None], int]


def write(library: Library) -> bytes:
    """The bytes of the file: a read-only segment with the tables, a writable one with the dynamic section and data."""
    strings = _Strings()
    names = [(tag, strings.add(name)) for tag, name in _requests(library)]
    for tag, text in ((DT_SONAME, library.soname), (DT_RPATH, library.rpath), (DT_RUNPATH, library.runpath)):
        if text is not None:
            names.append((tag, strings.add(text)))
    exports = sorted(library.exports, key=lambda one: gnu_hash(one.name.encode()) % _bucket_count(library))
    versions = _versions(library)
    tables = _tables(library, exports, versions, strings)
    for name in (*(one.name for one in library.imports), *(one.name for one in exports)):
        strings.add(name)

    layout = _layout(library.machine)
    property_note = _property_note(library.isa_needed, layout)
    count = 3 + (library.stack is not None) + 2 * bool(property_note)
    body = _Body(layout.header.size + layout.segment.size * count)
    note_at = body.put(_NO_TAG, property_note)
    for tag, data in (*tables, (DT_STRTAB, strings.data)):
        body.put(tag, data)
    tags = names + _sizes(library, versions, strings)
    import_count = len(library.imports)
    data_at = -(-(body.end + 24 * (2 * import_count + len(exports) + 1) + 64) // library.page) * library.page
    dynamic_size = layout.dynamic.size * (len(tags) + len(body.at) + len(library.extra) + 12)
    got_at = data_at + dynamic_size
    words_at = got_at + layout.bytes * (3 + import_count)
    body.put(DT_SYMTAB, _symbols(library.imports, exports, strings, words_at, layout))
    _put_relocations(body, library, got_at)
    dynamic = _dynamic(library, tags, {**body.at, DT_PLTGOT: got_at})
    assert len(dynamic) <= dynamic_size
    assert body.end <= data_at
    words = b"".join(struct.pack(f"<{layout.word}", 1000 + index) for index in range(len(exports)))
    writable = dynamic.ljust(dynamic_size, b"\0") + bytes(words_at - got_at) + words
    segments = [
        (PT_LOAD, PF_R | PF_X, 0, body.end, library.page),
        (PT_LOAD, PF_R | PF_W, data_at, len(writable), library.page),
        (PT_DYNAMIC, PF_R | PF_W, data_at, len(dynamic), 8),
    ]
    if library.stack is not None:
        segments.append((PT_GNU_STACK, library.stack, 0, 0, 16))
    if property_note:
        segments += [(kind, PF_R, note_at, len(property_note), 8) for kind in (PT_NOTE, PT_GNU_PROPERTY)]
    return (_headers(library, segments) + body.data).ljust(data_at, b"\0") + writable


def _requests(library: Library) -> Iterator[tuple[int, str]]:
    """The tag and the name of each library that is needed, and of each filtee, in file order."""
    for index in range(len(library.needed) + 1):
        for filtee in library.filtees:
            if min(filtee.after, len(library.needed)) == index:
                yield DT_AUXILIARY if filtee.optional else DT_FILTER, filtee.name
        if index < len(library.needed):
            yield DT_NEEDED, library.needed[index]


def _headers(library: Library, segments: list[tuple[int, int, int, int, int]]) -> bytes:
    layout = _layout(library.machine)
    ident = b"\x7fELF" + bytes((layout.bits // 32, 1, 1)) + bytes(9)
    sizes = layout.header.size, layout.segment.size
    header = layout.header.pack(
        ident, library.type, library.machine, 1, 0, sizes[0], 0, 0, *sizes, len(segments), sizes[0], 0, 0
    )
    for kind, flags, offset, size, align in segments:
        place = (offset, offset, offset, size, size)
        fields = (kind, flags, *place, align) if layout.bits == 64 else (kind, *place, flags, align)
        header += layout.segment.pack(*fields)
    return header


def _bucket_count(library: Library) -> int:
    return max(1, len(library.exports) // 2)


def _versions(library: Library) -> _Versions:
    named = (one.version for one in library.exports if one.version is not None)
    defined = list(dict.fromkeys((*library.versions, *named)))
    needs: dict[str, list[tuple[str, bool]]] = {}
    wanted = [(one.file, one.version, one.weak_need) for one in library.imports]
    for file, version, weak in (*wanted, *((file, version, False) for file, version in library.needs)):
        if file is not None and version is not None:
            entries = needs.setdefault(file, [])
            if all(version != known for known, _ in entries):
                entries.append((version, weak))
    return _Versions(defined, needs, _version_indexes(defined, needs))


def _tables(library: Library, exports: list[Export], versions: _Versions, strings: _Strings) -> list[tuple[int, bytes]]:
    tables: list[tuple[int, bytes]] = []
    layout = _layout(library.machine)
    if library.has_gnu_hash:
        tables.append((DT_GNU_HASH, _gnu_hash_table(exports, 1 + len(library.imports), _bucket_count(library), layout)))
    if library.has_sysv_hash:
        everyone = [*(one.name for one in library.imports), *(one.name for one in exports)]
        tables.append((DT_HASH, _sysv_hash_table(everyone)))
    if library.has_versym and versions.indexes:
        wanted = [(one.file, one.version, one.hidden) for one in library.imports]
        wanted += [(None, one.version, one.hidden) for one in exports]
        words = [(1 if name is None else versions.indexes[file, name]) | hidden << 15 for file, name, hidden in wanted]
        tables.append((DT_VERSYM, struct.pack(f"<{len(words) + 1}H", 0, *words)))
    if versions.defined:
        tables.append((DT_VERDEF, _verdef(library.soname or "", versions.defined, strings)))
    if versions.needs:
        tables.append((DT_VERNEED, _verneed(versions.needs, versions.indexes, strings)))
    return tables


def _put_relocations(body: _Body, library: Library, got_at: int) -> None:
    layout = _layout(library.machine)
    slots, others = b"", b""
    for index, one in enumerate(library.imports):
        kind = _AARCH64_TYPES.get(one.relocation, one.relocation) if library.machine == EM_AARCH64 else one.relocation
        info = (index + 1) << (32 if layout.bits == 64 else 8) | kind
        fields = (got_at + layout.bytes * (3 + index), info, *((0,) if layout.table == DT_RELA else ()))
        if one.relocation == R_JUMP_SLOT:
            slots += layout.relocation.pack(*fields)
        else:
            others += layout.relocation.pack(*fields)
    for tag, chosen in ((layout.table, others), (DT_JMPREL, slots)):
        if chosen:
            body.put(tag, chosen)
    if library.relr:
        body.put(DT_RELR, struct.pack(f"<{layout.word}", got_at))


def _dynamic(library: Library, tags: list[tuple[int, int]], places: dict[int, int]) -> bytes:
    entries: dict[int, int | None] = {**dict(tags), **places, **library.replaced}
    del entries[_NO_TAG]
    listed = [(tag, value) for tag, value in tags if tag in _REQUESTS]
    listed += [(tag, value) for tag, value in entries.items() if tag not in _REQUESTS and value is not None]
    pack = _layout(library.machine).dynamic.pack
    return b"".join(pack(tag, value) for tag, value in (*listed, *library.extra, (0, 0)))


def _version_indexes(
    defined: list[str], needs: dict[str, list[tuple[str, bool]]]
) -> dict[tuple[str | None, str | None], int]:
    indexes: dict[tuple[str | None, str | None], int] = {}
    for version in defined:
        indexes[None, version] = len(indexes) + 2
    for file, entries in needs.items():
        for version, _ in entries:
            indexes[file, version] = len(indexes) + 2
    return indexes


def _sizes(library: Library, versions: _Versions, strings: _Strings) -> list[tuple[int, int]]:
    """The tags that are no names and no addresses."""
    layout = _layout(library.machine)
    slots = sum(one.relocation == R_JUMP_SLOT for one in library.imports)
    plain = len(library.imports) - slots
    record = layout.relocation.size
    optional = (
        (versions.defined, ((DT_VERDEFNUM, len(versions.defined) + 1),)),
        (versions.needs, ((DT_VERNEEDNUM, len(versions.needs)),)),
        (plain, ((layout.table_size, record * plain), (layout.entry_size, record))),
        (slots, ((DT_PLTRELSZ, record * slots), (DT_PLTREL, layout.table))),
        (library.relr, ((DT_RELRSZ, layout.bytes), (DT_RELRENT, layout.bytes))),
        (library.flags, ((DT_FLAGS, library.flags),)),
        (library.flags_1, ((DT_FLAGS_1, library.flags_1),)),
    )
    tags = [(DT_STRSZ, len(strings.data)), (DT_SYMENT, layout.symbol.size)]
    for is_there, more in optional:
        tags += more if is_there else ()
    return tags


def _symbols(
    imports: tuple[Import, ...], exports: list[Export], strings: _Strings, words_at: int, layout: _Layout
) -> bytes:
    table = bytes(layout.symbol.size)

    def add(name: str, info: int, visibility: int, section: int, value: int, size: int) -> bytes:
        if layout.bits == 64:
            return layout.symbol.pack(strings.add(name), info, visibility, section, value, size)
        return layout.symbol.pack(strings.add(name), value, size, info, visibility, section)

    for one in imports:
        table += add(one.name, one.binding << 4, one.visibility, SHN_UNDEF, 0, 0)
    for index, export in enumerate(exports):
        value = words_at + layout.bytes * index if export.value is None else export.value
        table += add(export.name, export.binding << 4 | export.type, export.visibility, export.section, value, 8)
    return table


def _gnu_hash_table(exports: list[Export], first: int, bucket_count: int, layout: _Layout) -> bytes:
    hashes = [gnu_hash(one.name.encode()) for one in exports]
    bloom = 0
    shift = 6
    for h in hashes:
        bloom |= 1 << (h & (layout.bits - 1)) | 1 << ((h >> shift) & (layout.bits - 1))
    buckets = [0] * bucket_count
    chain = []
    for index, h in enumerate(hashes):
        bucket = h % bucket_count
        buckets[bucket] = buckets[bucket] or first + index
        is_last = index + 1 == len(hashes) or hashes[index + 1] % bucket_count != bucket
        chain.append(h & ~1 | is_last)
    head = struct.pack(f"<IIII{layout.word}", bucket_count, first, 1, shift, bloom)
    return head + struct.pack(f"<{bucket_count + len(chain)}I", *buckets, *chain)


def _sysv_hash_table(names: list[str]) -> bytes:
    bucket_count = max(1, len(names) // 2)
    buckets = [0] * bucket_count
    chain = [0] * (len(names) + 1)
    for index, name in enumerate(names, 1):
        bucket = sysv_hash(name.encode()) % bucket_count
        chain[index], buckets[bucket] = buckets[bucket], index
    return struct.pack(f"<{2 + bucket_count + len(chain)}I", bucket_count, len(chain), *buckets, *chain)


def _verdef(soname: str, defined: list[str], strings: _Strings) -> bytes:
    table = b""
    entries = [(1, 1, soname), *((0, index, name) for index, name in enumerate(defined, 2))]
    for number, (flags, index, name) in enumerate(entries, 1):
        following = 28 if number < len(entries) else 0
        table += struct.pack("<HHHHIII", 1, flags, index, 1, sysv_hash(name.encode()), 20, following)
        table += struct.pack("<II", strings.add(name), 0)
    return table


def _verneed(
    needs: dict[str, list[tuple[str, bool]]], indexes: dict[tuple[str | None, str | None], int], strings: _Strings
) -> bytes:
    table = b""
    for number, (file, entries) in enumerate(needs.items(), 1):
        following = 16 + 16 * len(entries) if number < len(needs) else 0
        table += struct.pack("<HHIII", 1, len(entries), strings.add(file), 16, following)
        for position, (version, weak) in enumerate(entries, 1):
            next_one = 16 if position < len(entries) else 0
            flags = 2 if weak else 0
            table += struct.pack(
                "<IHHII",
                sysv_hash(version.encode()), flags, indexes[file, version], strings.add(version), next_one,
            )  # fmt: skip
    return table


def _property_note(isa_needed: int | None, layout: _Layout) -> bytes:
    if isa_needed is None:
        return b""
    value = struct.pack("<III", 0xC0008002, 4, isa_needed).ljust(16 if layout.bits == 64 else 12, b"\0")
    return struct.pack("<III4s", 4, len(value), 5, b"GNU\0") + value
