"""Writes small ELF64 shared objects for x86-64 from a description: files no linker would make, and ordinary ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from tfguard.binary.hashes import gnu_hash, sysv_hash
from tfguard.image import (
    DT_FLAGS,
    DT_FLAGS_1,
    DT_GNU_HASH,
    DT_HASH,
    DT_JMPREL,
    DT_NEEDED,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_RELA,
    DT_RELAENT,
    DT_RELASZ,
    DT_RELR,
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
    EM_X86_64,
    ET_DYN,
    PF_W,
    PF_X,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_GNU_STACK,
    PT_LOAD,
    PT_NOTE,
)

DT_PLTGOT, DT_SYMENT, DT_RELRSZ, DT_RELRENT = 3, 11, 35, 37
PF_R = 4
R_64, R_COPY, R_GLOB_DAT, R_JUMP_SLOT, R_RELATIVE = 1, 5, 6, 7, 8
STB_LOCAL, STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 0, 1, 2, 10
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_TLS, STT_GNU_IFUNC = 0, 1, 2, 3, 6, 10
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN, STV_PROTECTED = 0, 1, 2, 3
SHN_UNDEF, SHN_DATA, SHN_ABS = 0, 7, 0xFFF1

_PAGE = 0x1000
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_DYNAMIC = struct.Struct("<QQ")


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
    writer sets (None leaves the tag out). `stack` are the flags of PT_GNU_STACK, None leaves it out.
    """

    soname: str | None = None
    needed: tuple[str, ...] = ()
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
    type: int = ET_DYN
    extra: tuple[tuple[int, int], ...] = ()
    replaced: Mapping[int, int | None] = field(default_factory=dict)


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"
        self._known: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.data)
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return self._known[text]


def write(library: Library) -> bytes:
    """The bytes of the file: a read-only segment with the tables, a writable one with the dynamic section and data."""
    strings = _Strings()
    names = [(DT_NEEDED, strings.add(name)) for name in library.needed]
    for tag, text in ((DT_SONAME, library.soname), (DT_RPATH, library.rpath), (DT_RUNPATH, library.runpath)):
        if text is not None:
            names.append((tag, strings.add(text)))
    bucket_count = max(1, len(library.exports) // 2)
    exports = sorted(library.exports, key=lambda one: gnu_hash(one.name.encode()) % bucket_count)
    defined = list(dict.fromkeys((*library.versions, *(one.version for one in exports if one.version is not None))))
    needs: dict[str, list[tuple[str, bool]]] = {}
    for file, version, weak in (
        *((one.file, one.version, one.weak_need) for one in library.imports),
        *((file, version, False) for file, version in library.needs),
    ):
        if file is not None and version is not None:
            entries = needs.setdefault(file, [])
            if all(version != known for known, _ in entries):
                entries.append((version, weak))
    indexes = _version_indexes(defined, needs)
    versyms = [0]
    versyms += [
        (indexes[one.file, one.version] if one.version is not None else 1) | one.hidden << 15 for one in library.imports
    ]
    versyms += [(indexes[None, one.version] if one.version is not None else 1) | one.hidden << 15 for one in exports]

    property_note = _property_note(library.isa_needed)
    segment_count = 3 + (library.stack is not None) + 2 * bool(property_note)
    tables: list[tuple[int, bytes]] = []
    if library.has_gnu_hash:
        tables.append((DT_GNU_HASH, _gnu_hash_table(exports, 1 + len(library.imports), bucket_count)))
    if library.has_sysv_hash:
        everyone = [one.name for one in library.imports] + [one.name for one in exports]
        tables.append((DT_HASH, _sysv_hash_table(everyone)))
    if defined or needs:
        if library.has_versym:
            tables.append((DT_VERSYM, struct.pack(f"<{len(versyms)}H", *versyms)))
        if defined:
            tables.append((DT_VERDEF, _verdef(library.soname or "", defined, strings)))
        if needs:
            tables.append((DT_VERNEED, _verneed(needs, indexes, strings)))
    for one in (*library.imports, *exports):
        strings.add(one.name)

    place = 64 + 56 * segment_count
    at: dict[int, int] = {}
    body = b""

    def put(tag: int, data: bytes) -> None:
        nonlocal body
        body += bytes(-(place + len(body)) % 8)
        at[tag] = place + len(body)
        body += data

    note_at = 0
    if property_note:
        put(-1, property_note)
        note_at = at.pop(-1)
    for tag, data in tables:
        put(tag, data)
    put(DT_STRTAB, strings.data)
    plain = [one for one in library.imports if one.relocation != R_JUMP_SLOT]
    slots = [one for one in library.imports if one.relocation == R_JUMP_SLOT]
    tags = _fixed_tags(library, names, defined, needs, strings, plain, slots)
    symbols_size = 24 * (1 + len(library.imports) + len(exports))
    read_only_end = place + len(body) + 8 + symbols_size + 24 * len(library.imports) + 64
    data_at = -(-read_only_end // _PAGE) * _PAGE
    dynamic_size = 16 * (len(tags) + len(at) + len(library.extra) + 12)
    got_at = data_at + dynamic_size
    words_at = got_at + 8 * (3 + len(library.imports))
    put(DT_SYMTAB, _symbols(library.imports, exports, strings, words_at))
    order = {id(one): index for index, one in enumerate(library.imports)}
    for tag, chosen in ((DT_RELA, plain), (DT_JMPREL, slots)):
        if chosen:
            records = [(got_at + 8 * (3 + order[id(one)]), order[id(one)] + 1, one.relocation) for one in chosen]
            put(tag, b"".join(_RELA.pack(slot, symbol << 32 | kind, 0) for slot, symbol, kind in records))
    if library.relr:
        put(DT_RELR, struct.pack("<Q", got_at))
    at[DT_PLTGOT] = got_at
    entries = {**dict(tags), **at, **library.replaced}
    listed = [(tag, value) for tag, value in tags if tag in (DT_NEEDED,)]
    listed += [(tag, value) for tag, value in entries.items() if tag != DT_NEEDED and value is not None]
    dynamic = b"".join(_DYNAMIC.pack(tag, value) for tag, value in (*listed, *library.extra, (0, 0)))
    assert len(dynamic) <= dynamic_size
    assert place + len(body) <= data_at
    words = b"".join(struct.pack("<Q", 1000 + index) for index in range(len(exports)))
    writable = dynamic.ljust(dynamic_size, b"\0") + bytes(8 * (3 + len(library.imports))) + words
    segments = [
        (PT_LOAD, PF_R | PF_X, 0, place + len(body), _PAGE),
        (PT_LOAD, PF_R | PF_W, data_at, len(writable), _PAGE),
        (PT_DYNAMIC, PF_R | PF_W, data_at, len(dynamic), 8),
    ]
    if library.stack is not None:
        segments.append((PT_GNU_STACK, library.stack, 0, 0, 16))
    if property_note:
        segments.append((PT_NOTE, PF_R, note_at, len(property_note), 8))
        segments.append((PT_GNU_PROPERTY, PF_R, note_at, len(property_note), 8))
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1" + bytes(9), library.type, library.machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0,
    )  # fmt: skip
    headers = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, align)
        for kind, flags, offset, size, align in segments
    )
    return (header + headers + body).ljust(data_at, b"\0") + writable


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


def _fixed_tags(
    library: Library,
    names: list[tuple[int, int]],
    defined: list[str],
    needs: dict[str, list[tuple[str, bool]]],
    strings: _Strings,
    plain: list[Import],
    slots: list[Import],
) -> list[tuple[int, int]]:
    tags = [*names, (DT_STRSZ, len(strings.data)), (DT_SYMENT, 24)]
    if defined:
        tags.append((DT_VERDEFNUM, len(defined) + 1))
    if needs:
        tags.append((DT_VERNEEDNUM, len(needs)))
    if plain:
        tags += [(DT_RELASZ, 24 * len(plain)), (DT_RELAENT, 24)]
    if slots:
        tags += [(DT_PLTRELSZ, 24 * len(slots)), (DT_PLTREL, DT_RELA)]
    if library.relr:
        tags += [(DT_RELRSZ, 8), (DT_RELRENT, 8)]
    if library.flags:
        tags.append((DT_FLAGS, library.flags))
    if library.flags_1:
        tags.append((DT_FLAGS_1, library.flags_1))
    return tags


def _symbols(imports: tuple[Import, ...], exports: list[Export], strings: _Strings, words_at: int) -> bytes:
    table = bytes(24)
    for one in imports:
        table += _SYMBOL.pack(strings.add(one.name), one.binding << 4, one.visibility, SHN_UNDEF, 0, 0)
    for index, export in enumerate(exports):
        value = words_at + 8 * index if export.value is None else export.value
        info = export.binding << 4 | export.type
        table += _SYMBOL.pack(strings.add(export.name), info, export.visibility, export.section, value, 8)
    return table


def _gnu_hash_table(exports: list[Export], first: int, bucket_count: int) -> bytes:
    hashes = [gnu_hash(one.name.encode()) for one in exports]
    bloom = 0
    shift = 6
    for h in hashes:
        bloom |= 1 << (h & 63) | 1 << ((h >> shift) & 63)
    buckets = [0] * bucket_count
    chain = []
    for index, h in enumerate(hashes):
        bucket = h % bucket_count
        buckets[bucket] = buckets[bucket] or first + index
        is_last = index + 1 == len(hashes) or hashes[index + 1] % bucket_count != bucket
        chain.append(h & ~1 | is_last)
    head = struct.pack("<IIIIQ", bucket_count, first, 1, shift, bloom)
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


def _property_note(isa_needed: int | None) -> bytes:
    if isa_needed is None:
        return b""
    return struct.pack("<III4sIIII", 4, 16, 5, b"GNU\0", 0xC0008002, 4, isa_needed, 0)


# --- changes to finished files

_HEADER_FIELDS = {
    "magic": (0, "<4s"),
    "ei_class": (4, "<B"),
    "ei_data": (5, "<B"),
    "ei_version": (6, "<B"),
    "ei_osabi": (7, "<B"),
    "ei_abiversion": (8, "<B"),
    "ei_pad": (9, "<B"),
    "e_type": (16, "<H"),
    "e_machine": (18, "<H"),
    "e_version": (20, "<I"),
    "e_phoff": (32, "<Q"),
    "e_shoff": (40, "<Q"),
    "e_phentsize": (54, "<H"),
    "e_phnum": (56, "<H"),
    "e_shentsize": (58, "<H"),
    "e_shnum": (60, "<H"),
    "e_shstrndx": (62, "<H"),
}
_SEGMENT_FIELDS = {
    "type": (0, "<I"),
    "flags": (4, "<I"),
    "offset": (8, "<Q"),
    "vaddr": (16, "<Q"),
    "filesz": (32, "<Q"),
    "memsz": (40, "<Q"),
    "align": (48, "<Q"),
}


def with_header(data: bytes, **fields: int | bytes) -> bytes:
    """A copy with these fields of the ELF header (gABI names) set."""
    changed = bytearray(data)
    for name, value in fields.items():
        offset, layout = _HEADER_FIELDS[name]
        struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def segment_offsets(data: bytes, kind: int) -> list[int]:
    """Where in the file the program headers of a type lie."""
    start, size, count = (
        struct.unpack_from(layout, data, at)[0] for layout, at in (("<Q", 32), ("<H", 54), ("<H", 56))
    )
    places = [start + size * index for index in range(count)]
    return [place for place in places if struct.unpack_from("<I", data, place)[0] == kind]


def with_segment(data: bytes, kind: int, position: int = 0, **fields: int) -> bytes:
    """A copy with fields set in the program header that is the `position`-th of its type."""
    changed = bytearray(data)
    place = segment_offsets(data, kind)[position]
    for name, value in fields.items():
        offset, layout = _SEGMENT_FIELDS[name]
        struct.pack_into(layout, changed, place + offset, value)
    return bytes(changed)


def dynamic_offset(data: bytes, tag: int) -> int:
    """Where in the file the first dynamic entry of a tag lies; raises KeyError where there is none."""
    place = segment_offsets(data, PT_DYNAMIC)[0]
    offset, size = struct.unpack_from("<Q", data, place + 8)[0], struct.unpack_from("<Q", data, place + 32)[0]
    for at in range(offset, offset + size, 16):
        if struct.unpack_from("<Q", data, at)[0] == tag:
            return at
    raise KeyError(tag)


def with_dynamic(data: bytes, tag: int, value: int | None = None, *, new_tag: int | None = None) -> bytes:
    """A copy with another value for the first dynamic entry of this tag, or with another tag in its place."""
    changed = bytearray(data)
    at = dynamic_offset(data, tag)
    if new_tag is not None:
        struct.pack_into("<Q", changed, at, new_tag)
    if value is not None:
        struct.pack_into("<Q", changed, at + 8, value)
    return bytes(changed)


def dynamic_value(data: bytes, tag: int) -> int:
    """The value of the first dynamic entry of a tag."""
    return int(struct.unpack_from("<Q", data, dynamic_offset(data, tag) + 8)[0])
