"""Writes small Mach-O files from scratch: what no linker would make as well (dyld.md §9, §10)."""

from __future__ import annotations

import hashlib
import struct
import uuid as _uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

PAGE = 0x4000
CPU = {
    "x86_64": (0x01000007, 3),
    "x86_64h": (0x01000007, 8),
    "arm64": (0x0100000C, 0),
    "arm64e": (0x0100000C, 0x80000002),
}
FILE_TYPES = {"object": 1, "execute": 2, "dylib": 6, "bundle": 8}
LOADS = {"load": 0xC, "weak": 0x80000018, "reexport": 0x8000001F, "upward": 0x80000023}
PLATFORMS = {"macos": 1, "ios": 2, "catalyst": 6, "ios-simulator": 7}

Need = str | tuple[str, str]
Symbol = tuple[int, str] | tuple[int, str, bool]
Value = int | tuple[int, str]  # flags of an export, or (ordinal, name) of one passed on


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How a file is signed: the flags of its code directory, team, entitlements, page size in bytes."""

    flags: int = 0x20002
    team: str | None = None
    entitlements: bytes = b""
    page: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Macho:
    """One thin file.

    `needs` are names or (name, kind) with a kind of LOADS; `imports` are (ordinal, name[, weak]) with -2 for flat
    look-up; `exports` maps names to flags or (ordinal, name). `chained` takes chained fixups instead of opcodes.
    `sign` None means: as its architecture wants it. `extra` are raw load commands.
    """

    arch: str = "arm64"
    filetype: str = "dylib"
    install_name: str | None = None
    needs: Sequence[Need] = ("/usr/lib/libSystem.B.dylib",)
    rpaths: Sequence[str] = ()
    imports: Sequence[Symbol] = ()
    exports: Mapping[str, Value] = field(default_factory=dict)
    platform: str | None = "macos"
    minos: str = "12.0"
    sdk: str = "14.0"
    chained: bool = False
    sign: Signing | bool | None = None
    flags: int = 0x85
    extra: Sequence[bytes] = ()
    current: str = "1.0"
    compatibility: str = "1.0"
    code: bytes = b"\xc0\x03\x5f\xd6" * 64


def version(text: str) -> int:
    """A version as load commands pack it."""
    major, minor, patch = ([int(part) for part in text.split(".")] + [0, 0])[:3]
    return major << 16 | minor << 8 | patch


def uleb(number: int) -> bytes:
    """A number as ULEB128."""
    found = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        found.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(found)


def trie(exports: Mapping[str, Value]) -> bytes:
    """An export trie."""
    if not exports:
        return b""

    def terminal(value: Value) -> bytes:
        if isinstance(value, int):
            body = uleb(value) + uleb(0x3000)
        else:
            body = uleb(8) + uleb(value[0]) + value[1].encode() + b"\0"
        return uleb(len(body)) + body

    nodes: list[tuple[bytes, list[tuple[bytes, int]]]] = []

    def make(items: list[tuple[bytes, Value]]) -> int:
        here = len(nodes)
        nodes.append((b"\0", []))
        if items[0][0] == b"":
            nodes[here] = (terminal(items[0][1]), nodes[here][1])
            items = items[1:]
        while items:
            count = 1
            while count < len(items) and items[count][0][:1] == items[0][0][:1]:
                count += 1
            first, last = items[0][0], items[count - 1][0]
            common = 0
            while common < min(len(first), len(last)) and first[common] == last[common]:
                common += 1
            child = make([(name[common:], value) for name, value in items[:count]])
            nodes[here][1].append((first[:common], child))
            items = items[count:]
        return here

    make(sorted((name.encode(), value) for name, value in exports.items()))
    offsets = [0] * len(nodes)
    while True:  # how long an offset is written depends on the offsets
        data, places = b"", []
        for information, children in nodes:
            places.append(len(data))
            data += information + bytes([len(children)])
            data += b"".join(edge + b"\0" + uleb(offsets[child]) for edge, child in children)
        if places == offsets:
            return data
        offsets = places


def _imports(symbols: Sequence[Symbol]) -> list[tuple[int, str, bool]]:
    return [(one[0], one[1], one[2] if len(one) > 2 else False) for one in symbols]


def bind_opcodes(symbols: Sequence[Symbol]) -> bytes:
    """The bind opcodes for these symbols, one pointer each."""
    found = bytearray()
    for index, (ordinal, name, weak) in enumerate(_imports(symbols)):
        if ordinal <= 0:
            found += bytes([0x30 | (ordinal & 0xF)])
        elif ordinal < 16:
            found += bytes([0x10 | ordinal])
        else:
            found += b"\x20" + uleb(ordinal)
        found += bytes([0x40 | weak]) + name.encode() + b"\0" + b"\x51\x71" + uleb(8 * index) + b"\x90"
    return bytes(found) + b"\0"


def chained_fixups(symbols: Sequence[Symbol], segments: int) -> bytes:
    """The blob of LC_DYLD_CHAINED_FIXUPS, imports of format 1, no chains."""
    names, entries = b"\0", b""
    for ordinal, name, weak in _imports(symbols):
        entries += struct.pack("<I", (ordinal & 0xFF) | weak << 8 | len(names) << 9)
        names += name.encode() + b"\0"
    starts = struct.pack("<I", segments) + bytes(4 * segments)
    imports_at = 32 + (len(starts) + 7 & ~7)
    header = struct.pack("<7I", 0, 32, imports_at, imports_at + len(entries), len(symbols), 1, 0)
    return header.ljust(32, b"\0") + starts.ljust(imports_at - 32, b"\0") + entries + names


def signature(data: bytes, identifier: str, how: Signing) -> bytes:
    """An ad-hoc signature over these bytes."""
    pages = -(-len(data) // how.page)
    names = identifier.encode() + b"\0" + (how.team.encode() + b"\0" if how.team else b"")
    entitled = struct.pack(">2I", 0xFADE7171, 8 + len(how.entitlements)) + how.entitlements if how.entitlements else b""
    special = hashlib.sha256(entitled).digest() + bytes(128) if entitled else b""
    hashes_at = 88 + len(names) + len(special)
    size, shift = hashes_at + 32 * pages, how.page.bit_length() - 1
    directory = struct.pack(
        ">9I4BI", 0xFADE0C02, size, 0x20400, how.flags, hashes_at, 88, len(special) // 32, pages, len(data),
        32, 2, 0, shift, 0,
    )  # fmt: skip
    directory += struct.pack(">3I4Q", 0, 88 + len(identifier) + 1 if how.team else 0, 0, 0, 0, len(data), 0)
    directory += names + special
    directory += b"".join(
        hashlib.sha256(data[page * how.page : (page + 1) * how.page]).digest() for page in range(pages)
    )
    blobs = [(0, directory)] + ([(5, entitled)] if entitled else [])
    at, index = 12 + 8 * len(blobs), b""
    for kind, blob in blobs:
        index += struct.pack(">2I", kind, at)
        at += len(blob)
    return struct.pack(">3I", 0xFADE0CC0, at, len(blobs)) + index + b"".join(blob for _, blob in blobs)


def string_command(command: int, text: str) -> bytes:
    """A load command that holds nothing but a string, such as LC_RPATH."""
    raw = text.encode() + b"\0"
    size = 12 + len(raw) + 7 & ~7
    return struct.pack("<3I", command, size, 12) + raw.ljust(size - 12, b"\0")


def dylib_command(command: int, name: str, current: str = "1.0", compatibility: str = "1.0") -> bytes:
    """A load command that names a library."""
    raw = name.encode() + b"\0"
    size = 24 + len(raw) + 7 & ~7
    head = struct.pack("<6I", command, size, 24, 2, version(current), version(compatibility))
    return head + raw.ljust(size - 24, b"\0")


def build_version(platform: str, minos: str, sdk: str) -> bytes:
    """LC_BUILD_VERSION."""
    return struct.pack("<6I", 0x32, 24, PLATFORMS[platform], version(minos), version(sdk), 0)


def segment(name: str, vm: tuple[int, int], place: tuple[int, int], protection: int, section: bytes = b"") -> bytes:
    """LC_SEGMENT_64; `vm` and `place` are start and size in memory and in the file."""
    return (
        struct.pack("<2I16s4Q4I", 0x19, 72 + len(section), name.encode(), *vm, *place, protection, protection,
                    len(section) // 80, 0)
        + section
    )  # fmt: skip


def _section(name: str, of: str, vm: int, size: int, offset: int, kind: int) -> bytes:
    return struct.pack("<16s16s2Q8I", name.encode(), of.encode(), vm, size, offset, 3, 0, 0, kind, 0, 0, 0)


def write(image: Macho) -> bytes:
    """The bytes of one thin file."""
    cpu, subtype = CPU[image.arch]
    identifier = (image.install_name or "a.out").rpartition("/")[2]
    commands: list[bytes] = []
    if image.install_name is not None:
        commands.append(dylib_command(0xD, image.install_name, image.current, image.compatibility))
    for need in image.needs:
        name, kind = (need, "load") if isinstance(need, str) else need
        commands.append(dylib_command(LOADS[kind], name))
    commands += [string_command(0x8000001C, one) for one in image.rpaths]
    unique = _uuid.uuid5(_uuid.NAMESPACE_URL, identifier)
    commands.append(struct.pack("<2I", 0x1B, 24) + unique.bytes)
    if image.platform is not None:
        commands.append(build_version(image.platform, image.minos, image.sdk))
    commands += image.extra
    at = 2 * PAGE  # where __LINKEDIT begins
    exports = trie(image.exports)
    if image.chained:
        fixups = chained_fixups(image.imports, 3)
        tables = fixups.ljust(len(fixups) + 7 & ~7, b"\0")
        commands.append(struct.pack("<4I", 0x80000034, 16, at, len(fixups)))
        commands.append(struct.pack("<4I", 0x80000033, 16, at + len(tables), len(exports)))
    else:
        binds = bind_opcodes(image.imports)
        tables = binds.ljust(len(binds) + 7 & ~7, b"\0")
        words = (at, len(binds), 0, 0, 0, 0, at + len(tables) if exports else 0, len(exports))
        commands.append(struct.pack("<12I", 0x80000022, 48, 0, 0, *words))
    tables += exports
    tables = tables.ljust(len(tables) + 15 & ~15, b"\0")
    commands.append(struct.pack("<6I", 2, 24, at + len(tables), 0, at + len(tables), 16))
    tables += bytes(16)
    commands.append(struct.pack("<20I", 0xB, 80, *[0] * 18))
    signing = _signing(image)
    size = 0
    if signing is not None:
        size = len(signature(bytes(at + len(tables)), identifier, signing))
        commands.append(struct.pack("<4I", 0x1D, 16, at + len(tables), size))
    end = len(tables) + size
    text = _section("__text", "__TEXT", 0x3000, len(image.code), 0x3000, 0x80000400)
    data = _section("__data", "__DATA", PAGE, PAGE, PAGE, 0)
    commands = [
        segment("__TEXT", (0, PAGE), (0, PAGE), 5, text),
        segment("__DATA", (PAGE, PAGE), (PAGE, PAGE), 3, data),
        segment("__LINKEDIT", (at, -(-end // PAGE) * PAGE), (at, end), 1),
        *commands,
    ]
    blob = b"".join(commands)
    head = struct.pack(
        "<8I", 0xFEEDFACF, cpu, subtype, FILE_TYPES[image.filetype], len(commands), len(blob), image.flags, 0
    )
    front = (head + blob).ljust(0x3000, b"\0") + image.code
    body = front.ljust(at, b"\0") + tables
    return body + signature(body, identifier, signing) if signing is not None else body


def _signing(image: Macho) -> Signing | None:
    if isinstance(image.sign, Signing):
        return image.sign
    wanted = image.arch.startswith("arm64") if image.sign is None else image.sign
    return Signing() if wanted else None


def signed_again(data: bytes, image: Macho) -> bytes:
    """The file with a new signature over its changed bytes, in the place of the old one."""
    signing = _signing(image) or Signing()
    identifier = (image.install_name or "a.out").rpartition("/")[2]
    old = data.rindex(struct.pack(">I", 0xFADE0CC0))
    return data[:old] + signature(data[:old], identifier, signing)


def fat(*slices: bytes, align: int = 14, fat64: bool = False) -> bytes:
    """A universal file of thin ones."""
    base = 1 << align
    header = bytearray(struct.pack(">2I", 0xCAFEBABF if fat64 else 0xCAFEBABE, len(slices)))
    body = b""
    for one in slices:
        cpu, subtype = struct.unpack_from("<2I", one, 4)
        at = base + len(body)
        header += (
            struct.pack(">2I2Q2I", cpu, subtype, at, len(one), align, 0)
            if fat64
            else struct.pack(">5I", cpu, subtype, at, len(one), align)
        )
        body += one.ljust(-(-len(one) // base) * base, b"\0")
    return bytes(header.ljust(base, b"\0")) + body


__all__ = ["Macho", "Signing", "fat", "replace", "signed_again", "write"]
