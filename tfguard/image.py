"""What a file says about itself: plain facts, no judgement.

Named tuples, not data classes: every import of TensorFlow waits for this module, and makes a hundred of them.
"""

# Annotations are no strings in this file: a NamedTuple, or data class, would compile each, at the cost of every import.

from typing import NamedTuple

EM_386 = 3
EM_X86_64 = 62
EM_AARCH64 = 183

PT_LOAD = 1
PT_DYNAMIC = 2
PT_INTERP = 3
PT_NOTE = 4
PT_TLS = 7
PT_GNU_STACK = 0x6474E551
PT_GNU_PROPERTY = 0x6474E553

PF_X = 1
PF_W = 2

ET_REL = 1
ET_EXEC = 2
ET_DYN = 3

DT_NEEDED = 1
DT_PLTRELSZ = 2
DT_HASH = 4
DT_STRTAB = 5
DT_SYMTAB = 6
DT_RELA = 7
DT_RELASZ = 8
DT_RELAENT = 9
DT_STRSZ = 10
DT_SONAME = 14
DT_RPATH = 15
DT_REL = 17
DT_RELSZ = 18
DT_RELENT = 19
DT_PLTREL = 20
DT_DEBUG = 21
DT_TEXTREL = 22
DT_JMPREL = 23
DT_BIND_NOW = 24
DT_INIT_ARRAY = 25
DT_INIT_ARRAYSZ = 27
DT_RUNPATH = 29
DT_FLAGS = 30
DT_RELRSZ = 35
DT_RELR = 36
DT_GNU_HASH = 0x6FFFFEF5
DT_VERSYM = 0x6FFFFFF0
DT_RELACOUNT = 0x6FFFFFF9
DT_RELCOUNT = 0x6FFFFFFA
DT_FLAGS_1 = 0x6FFFFFFB
DT_VERDEF = 0x6FFFFFFC
DT_VERDEFNUM = 0x6FFFFFFD
DT_VERNEED = 0x6FFFFFFE
DT_VERNEEDNUM = 0x6FFFFFFF
DT_AUXILIARY = 0x7FFFFFFD
DT_FILTER = 0x7FFFFFFF

DF_TEXTREL = 4
DF_BIND_NOW = 8
DF_STATIC_TLS = 0x10

DF_1_NOW = 1
DF_1_NODEFLIB = 0x800
DF_1_NOOPEN = 0x40
DF_1_PIE = 0x08000000

_MACHINES = {
    EM_386: "i386",
    EM_X86_64: "x86-64",
    EM_AARCH64: "aarch64",
    2: "SPARC",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "S/390",
    40: "ARM",
    43: "SPARC v9",
    50: "IA-64",
    243: "RISC-V",
    247: "BPF",
    258: "LoongArch",
}


def machine_name(e_machine: int) -> str:
    """The usual short name of an ELF machine number (gABI, e_machine)."""
    return _MACHINES.get(e_machine, f"machine {e_machine}")


class Segment(NamedTuple):
    """One program header; offsets and sizes in bytes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


class VersionNeed(NamedTuple):
    """One entry of DT_VERNEED: `version` wanted of the object called `file`."""

    file: str
    version: str
    weak: bool
    number: int


class Filtee(NamedTuple):
    """A library whose symbols come before those of the object that names it: DT_FILTER, or DT_AUXILIARY if optional.

    `after` is how many DT_NEEDED stand in front of it.
    """

    name: str
    optional: bool
    after: int


class Image(NamedTuple):
    """A loadable ELF object as its program headers and dynamic section describe it.

    Strings are decoded with the file system encoding. `dynamic` maps a DT_ tag to its (last) value, as the loader
    keeps them; DT_NEEDED is in `needed`, in file order. `modified` is the file's time of last change in nanoseconds,
    `isa_needed` the bits of GNU_PROPERTY_X86_ISA_1_NEEDED, `noexec` says that its file system forbids execution.
    `filtees` are in file order too.
    """

    path: str
    device: int
    inode: int
    size: int
    elf_class: int
    little_endian: bool
    type: int
    machine: int
    segments: tuple[Segment, ...]
    dynamic: dict[int, int]
    needed: tuple[str, ...]
    soname: str | None
    rpath: str | None
    runpath: str | None
    section_end: int
    modified: int = 0
    isa_needed: int = 0
    noexec: bool = False
    filtees: tuple[Filtee, ...] = ()

    @property
    def flags_1(self) -> int:
        """DT_FLAGS_1, 0 where there is none."""
        return self.dynamic.get(DT_FLAGS_1, 0)

    @property
    def load_end(self) -> int:
        """The first file offset behind all PT_LOAD segments, in bytes."""
        end = 0
        for kind, _, offset, _, size, _, _ in self.segments:
            if kind == PT_LOAD and offset + size > end:
                end = offset + size
        return end

    @property
    def span(self) -> int:
        """How much address space the loader reserves for all PT_LOAD segments, in bytes, up to a page."""
        loads = [s for s in self.segments if s.type == PT_LOAD]
        return max((s.vaddr + s.memsz for s in loads), default=0) - min((s.vaddr for s in loads), default=0)

    @property
    def has_text_relocations(self) -> bool:
        """DT_TEXTREL, or DF_TEXTREL in DT_FLAGS: the loader writes into code."""
        return DT_TEXTREL in self.dynamic or bool(self.dynamic.get(DT_FLAGS, 0) & DF_TEXTREL)

    def offset_of(self, vaddr: int) -> int | None:
        """The file offset of a virtual address, or None where no PT_LOAD maps file bytes there."""
        for segment in self.segments:
            if segment.type == PT_LOAD and segment.vaddr <= vaddr < segment.vaddr + segment.filesz:
                return segment.offset + vaddr - segment.vaddr
        return None


class Hole(NamedTuple):
    """A part of the file that the loader reads and that is not there."""

    what: str
    offset: int | None
    signal: str


class Damage(NamedTuple):
    """Why an ELF file has no Image: the loader's check that it fails, by the name of the field.

    `kind` is one of the words in `binary.elf`; `detail` says have and need.
    """

    kind: str
    detail: str


class Head(NamedTuple):
    """What opening a path gives: errno, kind of file, first bytes, and the image where it is ELF.

    `errno` is that of open(2), `read_errno` that of read(2), 0 where there was none. `kind` is "regular",
    "directory", "fifo", "other" or, when it was not opened, "".
    """

    path: str
    errno: int = 0
    read_errno: int = 0
    kind: str = ""
    size: int = 0
    device: int = 0
    inode: int = 0
    start: bytes = b""
    segments: tuple[Segment, ...] | None = None
    content: Image | Damage | None = None
