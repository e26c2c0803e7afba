"""Recognises by its first bytes what a file is that should be a library and is not one of this system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct

from tfguard.image import Head, machine_name

_WORD_LE, _WORD_BE = Struct("<I"), Struct(">I")
_ELF_TYPES = {1: "relocatable object", 2: "executable", 3: "shared object", 4: "core dump"}
_ELF_TYPE_MACHINE_VERSION = {1: Struct("<HHI"), 2: Struct(">HHI")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a file is: `kind` is one word of the list at `recognise`, `detail` a phrase for the reader.

    `facts` are names and values worth a line of their own, in the order to show them.
    """

    kind: str
    detail: str
    facts: tuple[tuple[str, str], ...] = ()


def recognise(head: Head) -> Kind:
    """Say what a regular file is, from its size and first 4096 bytes; never raises and reads nothing.

    Words: elf, empty, zeros, wiped-elf, macho, pe, archive, bitcode, zip, gzip, xz, bzip2, zstd, git-lfs-pointer,
    html (also JSON, XML and plain text that a server sent instead of the file), linker-script, symlink-text,
    python-source, text, unknown.
    """
    start = head.start
    if head.kind != "regular":
        return Kind(kind="unknown", detail=f"not a regular file ({head.kind or 'not opened'})")
    if not start:
        return Kind(kind="empty", detail="an empty file") if not head.size else Kind(kind="unknown", detail="unread")
    if start.startswith(b"\x7fELF"):
        return _elf(start)
    if not start.strip(b"\0"):
        where = f"all {head.size} bytes" if head.size <= len(start) else f"the first {len(start)} of {head.size} bytes"
        return Kind(kind="zeros", detail=f"{where} are zero")
    found = _wiped_elf(start) or _macho(start) or _pe(start) or _archive(start) or _packed(start)
    return found or _text(start, head.size) or _unknown(start)


def _unknown(start: bytes) -> Kind:
    return Kind(kind="unknown", detail=f"data of no known format, beginning {start[:8].hex(' ')}")


# Programs and libraries.


def _elf(start: bytes) -> Kind:
    layout = _ELF_TYPE_MACHINE_VERSION.get(start[5] if len(start) > 5 else 0)
    if layout is None or len(start) < 24:
        return Kind(kind="elf", detail="ELF, cut or damaged in its first bytes")
    kind, machine, _ = layout.unpack_from(start, 16)
    bits = {1: "32-bit ", 2: "64-bit "}.get(start[4], "")
    order = "big-endian " if start[5] == 2 else ""
    name = machine_name(machine)
    detail = f"ELF {bits}{order}{name} {_ELF_TYPES.get(kind, f'file of type {kind}')}"
    return Kind(kind="elf", detail=detail, facts=(("machine", name),))


def _wiped_elf(start: bytes) -> Kind | None:
    """An ELF header in all but its first four bytes (gABI: e_ident, e_type, e_machine, e_version, e_ehsize)."""
    if len(start) < 64 or start[4] not in (1, 2) or start[5] not in (1, 2) or start[6] != 1:
        return None
    kind, machine, version = _ELF_TYPE_MACHINE_VERSION[start[5]].unpack_from(start, 16)
    at = 52 if start[4] == 2 else 40
    header_size = int.from_bytes(start[at : at + 2], "little" if start[5] == 1 else "big")
    if kind not in _ELF_TYPES or version != 1 or header_size != at + 12:
        return None
    if machine_name(machine).startswith("machine "):
        return None
    state = "zeroed" if start[:4] == bytes(4) else f"overwritten with {start[:4].hex(' ')}"
    return Kind(kind="wiped-elf", detail=f"{_elf(start).detail} with its first four bytes {state}")


_THIN = {
    b"\xfe\xed\xfa\xce": (Struct(">IIIII"), 28),
    b"\xce\xfa\xed\xfe": (Struct("<IIIII"), 28),
    b"\xfe\xed\xfa\xcf": (Struct(">IIIII"), 32),
    b"\xcf\xfa\xed\xfe": (Struct("<IIIII"), 32),
}
_FAT = {b"\xca\xfe\xba\xbe": 20, b"\xca\xfe\xba\xbf": 32}
_MOST_SLICES = 30  # a Java class file has the same magic and 45 or more here
_MACHO_TYPES = {1: "object file", 2: "executable", 6: "dynamic library", 8: "bundle", 10: "debug symbol file"}
_LC_BUILD_VERSION = 0x32
_LC_VERSION_MIN = {0x24: "macOS", 0x25: "iOS", 0x2F: "tvOS", 0x30: "watchOS"}


def _macho(start: bytes) -> Kind | None:
    magic = start[:4]
    if magic in _THIN and len(start) < 24:
        return Kind(kind="macho", detail="Mach-O, cut in its first bytes")
    if magic in _THIN:
        order, header_size = _THIN[magic]
        cpu, subtype, kind, count, _ = order.unpack_from(start, 4)
        word = _WORD_BE if order.format.startswith(">") else _WORD_LE
        system = _platform(start, word, header_size, count)
        facts = (("architecture", _cpu_name(cpu, subtype)),)
        return Kind(kind="macho", detail=f"Mach-O {facts[0][1]} {_macho_type(kind)} ({system})", facts=facts)
    if magic in _FAT and len(start) >= 8:
        (count,) = _WORD_BE.unpack_from(start, 4)
        if not 1 <= count <= _MOST_SLICES:
            return Kind(kind="unknown", detail="a Java class file") if count > _MOST_SLICES else None
        names = []
        for at in range(8, min(8 + count * _FAT[magic], len(start) - 8), _FAT[magic]):
            names.append(_cpu_name(*Struct(">II").unpack_from(start, at)))
        listed = ", ".join(names)
        return Kind(
            kind="macho", detail=f"Mach-O universal file for {listed} (macOS)", facts=(("architectures", listed),)
        )
    return None


def _cpu_name(cpu: int, subtype: int) -> str:
    from macholib.mach_o import CPU_TYPE_NAMES

    name = str(CPU_TYPE_NAMES.get(cpu, f"cputype {cpu}")).lower()
    return "arm64e" if name == "arm64" and subtype & 0xFFFFFF == 2 else name  # CPU_SUBTYPE_ARM64E


def _macho_type(kind: int) -> str:
    from macholib.mach_o import MH_FILETYPE_NAMES

    return _MACHO_TYPES.get(kind) or str(MH_FILETYPE_NAMES.get(kind, f"file of type {kind}"))


def _platform(start: bytes, word: Struct, at: int, count: int) -> str:
    from macholib.mach_o import PLATFORM_NAMES

    for _ in range(min(count, 512)):
        if at + 12 > len(start):
            break
        (command,), (size,), (value,) = (word.unpack_from(start, at + offset) for offset in (0, 4, 8))
        if command == _LC_BUILD_VERSION:
            return str(PLATFORM_NAMES.get(value, f"platform {value}"))
        if command in _LC_VERSION_MIN:
            return _LC_VERSION_MIN[command]
        at += max(size, 8)
    return "macOS"


_COFF_MACHINES = {
    0x014C: "x86",
    0x01C4: "ARM",
    0x8664: "x86-64",
    0xAA64: "ARM64",
    0xA641: "ARM64EC",
}
_IMAGE_FILE_DLL = 0x2000


def _pe(start: bytes) -> Kind | None:
    if not start.startswith(b"MZ"):
        return None
    at = _WORD_LE.unpack_from(start, 0x3C)[0] if len(start) >= 0x40 else 0
    if start[at : at + 4] != b"PE\0\0" or at + 24 > len(start):
        # some tools put a large program for DOS first; what follows it was not read
        return Kind(kind="pe", detail="DOS or Windows program")
    machine, characteristics = Struct("<H16xH").unpack_from(start, at + 4)
    name = _COFF_MACHINES.get(machine, f"machine {machine:#x}")
    shape = "DLL" if characteristics & _IMAGE_FILE_DLL else "program"
    return Kind(kind="pe", detail=f"PE {name} {shape} (Windows)", facts=(("architecture", name),))


def _archive(start: bytes) -> Kind | None:
    thin = start.startswith(b"!<thin>\n")
    if not thin and not start.startswith(b"!<arch>\n"):
        return None
    if b"__IMPORT_DESCRIPTOR_" in start or b"\0__imp_" in start:
        return Kind(kind="archive", detail="import library for a Windows DLL (no code in it)")
    member = start.find(b"\x7fELF", 8)
    objects = ""
    if member >= 0 and len(start) >= member + 24 and start[member + 5] in (1, 2):
        machine = _ELF_TYPE_MACHINE_VERSION[start[member + 5]].unpack_from(start, member + 16)[1]
        objects = f" of {machine_name(machine)} objects"
    return Kind(kind="archive", detail=f"{'thin archive' if thin else 'static library'}{objects} (ar)")


_PACKED = (
    (b"PK\x03\x04", "zip", "zip file"),
    (b"PK\x05\x06", "zip", "empty zip file"),
    (b"\x1f\x8b", "gzip", "gzip-compressed data"),
    (b"\xfd7zXZ\0", "xz", "xz-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd-compressed data"),
    (b"BC\xc0\xde", "bitcode", "LLVM bitcode"),
    (b"\xde\xc0\x17\x0b", "bitcode", "LLVM bitcode"),
)


def _packed(start: bytes) -> Kind | None:
    for magic, kind, detail in _PACKED:
        if start.startswith(magic):
            wheel = kind == "zip" and b".dist-info/" in start
            return Kind(kind=kind, detail="Python wheel (zip file)" if wheel else detail)
    if re.match(rb"BZh[1-9]1AY&SY", start):
        return Kind(kind="bzip2", detail="bzip2-compressed data")
    return None


# Text in the place of a library. The patterns are compiled when one is needed: nearly no file is text.

_LFS = rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1[\r\n]"
_LFS_OID = rb"\noid ([a-z0-9]{1,20}:[0-9a-f]{1,128})"
_LFS_SIZE = rb"\nsize ([0-9]{1,20})"
_LIBRARY_NAME = r"[^\s/]{1,200}(?:\.so(?:\.[0-9]+){0,4}|\.dylib|\.dll|\.pyd)"
_LINKER_WORD = r"(?:GROUP|INPUT|OUTPUT_FORMAT|OUTPUT_ARCH|SEARCH_DIR|SECTIONS|ENTRY|VERSION)\s{0,9}[({]"
_LINKER_FILE = r"[^\s()]{1,200}\.so[.0-9]{0,20}"
_MARKUP = ("<!doctype html", "<html", "<head", "<body", "<title")
_STATUS_LINE = r"(?:HTTP/[0-9.]{1,3} )?[45][0-9]{2}:? [A-Z][A-Za-z -]{2,40}$"
_JSON_ERROR = r'"(?:message|error|errors|detail|error_description)"\s{0,9}:\s{0,9}"([^"]{1,120})"'
_XML_CODE = r"(?i)<code>([^<]{1,80})</code>"
_TITLE = r"(?i)<title[^>]{0,80}>\s{0,80}([^<]{1,120})"
_PYTHON_LINE = r"(?m)^(?:import \w|from [\w.]{1,80} import |def \w{1,80}\(|class \w{1,80}[(:])"
_NOT_TEXT = r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]"


def _text(start: bytes, size: int) -> Kind | None:
    text = _decoded(start)
    if text is None:
        return None
    if re.match(_LFS, start):
        return _git_lfs_pointer(start)
    body = text.removeprefix("\ufeff").lstrip()
    return (
        _answer_of_a_server(body)
        or _linker_script(body)
        or _symlink_text(text, size)
        or _source(body)
        or Kind(kind="text", detail=f"a text file, beginning {_shown(body)}" if body else "a file of white space")
    )


def _decoded(start: bytes) -> str | None:
    """The bytes as UTF-8 text, None where they are none; the end may be cut inside a character."""
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or error.start == 0:
            return None
        text = start[: error.start].decode("utf-8")
    return None if re.search(_NOT_TEXT, text) else text


def _git_lfs_pointer(start: bytes) -> Kind:
    start = start.replace(b"\r\n", b"\n")
    oid, size = re.search(_LFS_OID, start), re.search(_LFS_SIZE, start)
    facts = [("oid", oid[1].decode())] if oid else []
    facts += [("size", f"{int(size[1])} bytes")] if size else []
    of = f" for a file of {int(size[1])} bytes" if size else ""
    return Kind(kind="git-lfs-pointer", detail=f"Git LFS pointer{of}", facts=tuple(facts))


def _answer_of_a_server(body: str) -> Kind | None:
    lower = body[:2000].lower()
    markup = lower
    while markup.startswith(("<?xml", "<!--")):
        markup = markup.partition(">")[2].lstrip()
    if markup.startswith(_MARKUP):
        title = re.search(_TITLE, body)
        facts = (("title", " ".join(title[1].split())),) if title else ()
        return Kind(kind="html", detail="HTML page" + (f" {_shown(facts[0][1])}" if facts else ""), facts=facts)
    if markup.startswith(("<error>", "<error ")):
        code = re.search(_XML_CODE, body)
        facts = (("code", code[1].strip()),) if code else ()
        return Kind(kind="html", detail="XML error of a server" + (f": {facts[0][1]}" if facts else ""), facts=facts)
    if body.startswith(("{", "[")):
        error = re.search(_JSON_ERROR, body)
        if error:
            return Kind(
                kind="html", detail=f"JSON error of a server: {_shown(error[1])}", facts=(("message", error[1]),)
            )
        return None
    line = body.strip()
    if len(line) <= 60 and re.match(_STATUS_LINE, line):
        return Kind(kind="html", detail=f"error text of a server: {line}", facts=(("message", line),))
    return None


def _linker_script(body: str) -> Kind | None:
    signed = body.startswith("/* GNU ld script")
    rest = body
    while rest.startswith("/*"):
        rest = rest.partition("*/")[2].lstrip()
    if not signed and not re.match(_LINKER_WORD, rest):
        return None
    named = re.search(_LINKER_FILE, rest)
    facts = (("names", named[0]),) if named else ()
    return Kind(kind="linker-script", detail="linker script (text for ld, not for the loader)", facts=facts)


def _symlink_text(text: str, size: int) -> Kind | None:
    target = text.rstrip("\r\n")
    if size > 1024 or not target.isprintable() or not re.fullmatch(_LIBRARY_NAME, target.rpartition("/")[2]):
        return None
    return Kind(
        kind="symlink-text", detail=f"symbolic link saved as text, to {_shown(target)}", facts=(("target", target),)
    )


def _source(body: str) -> Kind | None:
    first = body.partition("\n")[0]
    if first.startswith("#!"):
        python = "python" in first
        return Kind(kind="python-source" if python else "text", detail=f"script, beginning {_shown(first)}")
    return Kind(kind="python-source", detail="Python source") if re.search(_PYTHON_LINE, body) else None


def _shown(text: str) -> str:
    line = "".join(letter for letter in text.strip().partition("\n")[0] if letter.isprintable())
    return f'"{line[:60]}..."' if len(line) > 60 else f'"{line}"'
