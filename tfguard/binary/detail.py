"""Describes a library for a person: sections, compiler, notes, symbol counts, none of which the loader reads.

pyelftools and macholib do the parsing. Both trust what a file claims, so they get a stream that ends their work after
a fixed number of reads, and whatever they raise becomes the `problem` of a description that has the facts before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO, UnsupportedOperation
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tfguard.binary.elf import look_at
from tfguard.binary.kinds import Kind, recognise

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

# libtensorflow_cc takes 240,000 reads and 1.5 MB, nearly all for a hash table of 436,000 symbols
_MOST_READS = 1_000_000
_MOST_BYTES = 256 << 20
_LARGEST_READ = 16 << 20
_MOST_SECTIONS = 10_000
_MOST_NOTES = 200
_MOST_VERSIONS = 2_000
_COMMENT_LIMIT = 1 << 16
_COMMANDS_LIMIT = 1 << 20
_MOST_SLICES = 30


class Section(NamedTuple):
    """One section header; `type` without its SHT_, `flags` as the letters of readelf, `size` in bytes."""

    name: str
    type: str
    size: int
    flags: str


class Slice(NamedTuple):
    """What the load commands of one Mach-O image say."""

    architecture: str
    type: str
    install_name: str | None
    libraries: tuple[str, ...]
    rpaths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is known about a file beyond what its loader reads.

    `compilers` are the texts of .comment. `properties` are (name, value), from the notes. `symbols` counts the
    entries of each symbol table by its section's name. `stripped` says that there is no full symbol table; None where
    no section headers tell. `problem` is empty, or why the description stops here.
    """

    path: str
    kind: Kind
    size: int = 0
    sections: tuple[Section, ...] = ()
    compilers: tuple[str, ...] = ()
    build_id: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    debug_info: bool = False
    stripped: bool | None = None
    symbols: tuple[tuple[str, int], ...] = ()
    versions_defined: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    problem: str = ""


def describe(path: str) -> Detail:
    """Everything that can be said about the file at `path`; never raises, whatever is there."""
    head = look_at(path)
    detail = Detail(path=path, kind=recognise(head), size=head.size)
    error_number = head.errno or head.read_errno
    if error_number:
        return replace(detail, problem=os.strerror(error_number))
    readers = {"elf": _read_elf, "macho": _read_macho}
    reader = readers.get(detail.kind.kind)
    if reader is None:
        return detail
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            for so_far in reader(detail, file):
                detail = so_far
    except Exception as error:  # the edge of foreign parsers, on files that may be damaged in any way
        return replace(detail, problem=_reason(error))
    return detail


def compiler_of(path: str) -> str | None:
    """The compilers named in the .comment section of an ELF file, joined with "; "; None where none can be read."""
    head = look_at(path)
    if head.kind != "regular" or not head.start.startswith(b"\x7fELF"):
        return None
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            elf = _opened(file)
            for section in islice(elf.iter_sections(), _MOST_SECTIONS):
                if section.name == ".comment":
                    return "; ".join(_comments(file, section["sh_offset"], section["sh_size"])) or None
    except Exception:  # the edge of a foreign parser; this is evidence, missing where it cannot be had
        return None
    return None


def _open_at_once(path: str, flags: int) -> int:
    # a FIFO put there since look_at must not make this wait
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:200] if words else type(error).__name__


class _TooMuch(Exception):
    """The file makes its parser read more than any real library needs."""


class _Bounded:
    """A stream for a parser that believes what it reads: few enough reads, none of them huge."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.reads = 0
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > _MOST_READS or self.bytes > _MOST_BYTES or not 0 <= size <= _LARGEST_READ:
            raise _TooMuch("its tables are larger than any real library's")
        data = self.file.read(size)
        self.bytes += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def fileno(self) -> int:
        raise UnsupportedOperation("no descriptor")


# ELF.


def _opened(file: BinaryIO) -> ELFFile:
    from elftools.elf.elffile import ELFFile

    return ELFFile(cast("BinaryIO", _Bounded(file)))  # it seeks, tells and reads, no more


def _read_elf(detail: Detail, file: BinaryIO) -> Iterator[Detail]:
    from elftools.elf.gnuversions import GNUVerDefSection
    from elftools.elf.segments import NoteSegment

    elf = _opened(file)
    sections: list[Section] = []
    symbols: list[tuple[str, int]] = []
    past_end = ""
    definitions: GNUVerDefSection | None = None
    for section in islice(elf.iter_sections(), 1, _MOST_SECTIONS):
        kind, offset, size = section["sh_type"], section["sh_offset"], section["sh_size"]
        name = str(section.name)
        sections.append(Section(name, _without(kind, "SHT_"), size, _flags(section["sh_flags"])))
        if kind in ("SHT_SYMTAB", "SHT_DYNSYM"):
            symbols.append((name, size // (section["sh_entsize"] or 24)))
        if kind != "SHT_NOBITS" and offset + size > detail.size:
            past_end = past_end or f"section {name} ends past the end of the file"
        if name == ".comment":
            detail = replace(detail, compilers=_comments(file, offset, size))
        if isinstance(section, GNUVerDefSection):
            definitions = section
        detail = replace(detail, sections=tuple(sections), symbols=tuple(symbols))
        yield detail
    if sections:
        names = [section.name for section in sections]
        detail = replace(
            detail,
            debug_info=any(name.startswith((".debug_info", ".zdebug_info")) for name in names),
            stripped=not any(section.type == "SYMTAB" for section in sections),
        )
        yield detail
    for segment in islice(elf.iter_segments(), _MOST_SECTIONS):
        if isinstance(segment, NoteSegment):
            for note in islice(segment.iter_notes(), _MOST_NOTES):
                detail = _with_note(detail, note["n_name"], note["n_type"], note["n_desc"])
                yield detail
    if definitions is not None:
        names = []
        for _, auxiliaries in islice(definitions.iter_versions(), _MOST_VERSIONS):
            names += [str(entry.name) for entry in islice(auxiliaries, 1)]
        detail = replace(detail, versions_defined=tuple(names))
    yield replace(detail, problem=past_end)


def _without(word: object, prefix: str) -> str:
    return f"type {word:#x}" if isinstance(word, int) else str(word).removeprefix(prefix)


def _flags(flags: int) -> str:
    # gABI, table "Section Attribute Flags"; the letters are readelf's
    letters = ((1, "W"), (2, "A"), (4, "X"), (0x10, "M"), (0x20, "S"), (0x400, "T"), (0x800, "C"))
    return "".join(letter for bit, letter in letters if flags & bit)


def _comments(file: BinaryIO, offset: int, size: int) -> tuple[str, ...]:
    """The strings of .comment; each input file of the link left one, linkers keep each once."""
    data = os.pread(file.fileno(), min(size, _COMMENT_LIMIT), offset)
    texts = (part.decode("utf-8", "replace").strip() for part in data.split(b"\0"))
    return tuple(dict.fromkeys(text for text in texts if text.isprintable() and text))


def _with_note(detail: Detail, owner: object, kind: object, value: object) -> Detail:
    """The description with what one note adds; most notes add nothing."""
    if kind == "NT_GNU_BUILD_ID":
        return replace(detail, build_id=str(value))
    added: list[tuple[str, str]] = []
    if kind == "NT_GNU_ABI_TAG":
        tag = cast("dict[str, object]", value)
        system = str(tag["abi_os"]).removeprefix("ELF_NOTE_OS_").capitalize()
        added.append(("ABI tag", f"{system} {tag['abi_major']}.{tag['abi_minor']}.{tag['abi_tiny']}"))
    elif kind == "NT_GNU_PROPERTY_TYPE_0":
        for item in cast("list[dict[str, object]]", value)[:_MOST_NOTES]:
            known = _PROPERTIES.get(str(item["pr_type"]))
            bits = item["pr_data"]
            if known is not None and isinstance(bits, int):
                title, words = known
                set_bits = [word for place, word in enumerate(words) if bits >> place & 1]
                added.append((title, ", ".join(set_bits) or f"{bits:#x}"))
    elif owner == "FDO" and kind == 0xCAFE1A7E:  # systemd.io/PACKAGE_METADATA_FOR_EXECUTABLE_FILES
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        added.append(("package", text.rstrip("\0")[:400]))
    new = tuple(one for one in added if one not in detail.properties)
    return replace(detail, properties=detail.properties + new) if new else detail


_ISA = ("x86-64-baseline", "x86-64-v2", "x86-64-v3", "x86-64-v4")
# bit names of each property, lowest first (x86-64 and AArch64 psABI)
_PROPERTIES = {
    "GNU_PROPERTY_X86_ISA_1_NEEDED": ("x86 ISA needed", _ISA),
    "GNU_PROPERTY_X86_ISA_1_USED": ("x86 ISA used", _ISA),
    "GNU_PROPERTY_X86_FEATURE_1_AND": ("x86 features", ("IBT", "SHSTK", "LAM_U48", "LAM_U57")),
    "GNU_PROPERTY_AARCH64_FEATURE_1_AND": ("AArch64 features", ("BTI", "PAC", "GCS")),
}


# Mach-O.


def _read_macho(detail: Detail, file: BinaryIO) -> Iterator[Detail]:
    for offset, size in _slices(file, detail.size):
        detail = replace(detail, slices=(*detail.slices, _slice(file, offset, size)))
        yield detail


def _slices(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Offset and size of each image in the file."""
    from macholib.mach_o import FAT_MAGIC, FAT_MAGIC_64, fat_arch, fat_arch64, fat_header

    magic = int.from_bytes(os.pread(file.fileno(), 4, 0), "big")
    if magic not in (FAT_MAGIC, FAT_MAGIC_64):
        yield 0, size
        return
    entry = fat_arch if magic == FAT_MAGIC else fat_arch64
    table = BytesIO(os.pread(file.fileno(), 4096, 0))
    for _ in range(min(int(fat_header.from_fileobj(table).nfat_arch), _MOST_SLICES)):
        architecture = entry.from_fileobj(table)
        yield int(architecture.offset), int(architecture.size)


def _slice(file: BinaryIO, offset: int, size: int) -> Slice:
    from macholib import mach_o
    from macholib.MachO import MachOHeader

    start = os.pread(file.fileno(), 32, offset)
    order = ">" if start[:3] == b"\xfe\xed\xfa" else "<"
    magic, cpu, subtype, kind, _, commands_size = Struct(order + "6I").unpack_from(start)
    layout = mach_o.mach_header_64 if magic == mach_o.MH_MAGIC_64 else mach_o.mach_header
    if magic not in (mach_o.MH_MAGIC, mach_o.MH_MAGIC_64):
        raise ValueError(f"no Mach-O image at offset {offset}")
    if commands_size > _COMMANDS_LIMIT:
        raise _TooMuch(f"{commands_size} bytes of load commands")
    # the load commands only: macholib would read the contents of every section too
    commands = BytesIO(os.pread(file.fileno(), 32 + commands_size, offset))
    header = MachOHeader(None, commands, 0, size, magic, layout, order, True)
    named: dict[int, list[str]] = {}
    for command, _, data in header.commands:
        if isinstance(data, bytes):
            named.setdefault(int(command.cmd), []).append(os.fsdecode(data.partition(b"\0")[0]))
    libraries = (mach_o.LC_LOAD_DYLIB, mach_o.LC_LOAD_WEAK_DYLIB, mach_o.LC_REEXPORT_DYLIB)
    name = str(mach_o.CPU_TYPE_NAMES.get(cpu, f"cputype {cpu}")).lower()
    return Slice(
        architecture="arm64e" if name == "arm64" and subtype & 0xFFFFFF == 2 else name,
        type=str(mach_o.MH_FILETYPE_NAMES.get(kind, f"type {kind}")),
        install_name=next(iter(named.get(mach_o.LC_ID_DYLIB, ())), None),
        libraries=tuple(one for command in libraries for one in named.get(command, ())),
        rpaths=tuple(named.get(mach_o.LC_RPATH, ())),
    )
