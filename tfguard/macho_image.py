"""What a Mach-O file says about itself: plain facts, no judgement (mach-o/loader.h, mach-o/fat.h).

Named tuples as in `image`: a hundred of them are made for one import of TensorFlow.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tfguard.image import Damage

CPU_X86_64 = 0x01000007
CPU_ARM64 = 0x0100000C

MH_OBJECT = 1
MH_EXECUTE = 2
MH_DYLIB = 6
MH_BUNDLE = 8

MH_TWOLEVEL = 0x80
MH_PIE = 0x200000
MH_NO_DYNAMIC_ACCESS = 0x400

LC_SYMTAB = 0x2
LC_DYSYMTAB = 0xB
LC_LOAD_DYLIB = 0xC
LC_ID_DYLIB = 0xD
LC_SEGMENT_64 = 0x19
LC_UUID = 0x1B
LC_CODE_SIGNATURE = 0x1D
LC_DYLD_INFO = 0x22
LC_VERSION_MIN_MACOSX = 0x24
LC_BUILD_VERSION = 0x32
LC_REQ_DYLD = 0x80000000
LC_LOAD_WEAK_DYLIB = 0x18 | LC_REQ_DYLD
LC_RPATH = 0x1C | LC_REQ_DYLD
LC_REEXPORT_DYLIB = 0x1F | LC_REQ_DYLD
LC_DYLD_INFO_ONLY = 0x22 | LC_REQ_DYLD
LC_LOAD_UPWARD_DYLIB = 0x23 | LC_REQ_DYLD
LC_DYLD_EXPORTS_TRIE = 0x33 | LC_REQ_DYLD
LC_DYLD_CHAINED_FIXUPS = 0x34 | LC_REQ_DYLD

PLATFORM_MACOS = 1

Version = tuple[int, int, int]

_PLATFORMS = {
    1: "macOS", 2: "iOS", 3: "tvOS", 4: "watchOS", 5: "bridgeOS", 6: "macCatalyst", 7: "iOS-simulator",
    8: "tvOS-simulator", 9: "watchOS-simulator", 10: "driverKit", 11: "visionOS", 12: "visionOS-simulator",
}  # fmt: skip
_FILE_TYPES = {
    1: "object file",
    2: "executable",
    4: "core file",
    6: "dynamic library",
    8: "bundle",
    10: "debug symbols",
}


@lru_cache(maxsize=64)
def architecture_name(cputype: int, cpusubtype: int) -> str:
    """The name of a cputype and cpusubtype as dyld prints it (dyld.md D-19)."""
    subtype = cpusubtype & 0xFFFFFF
    if cputype == CPU_X86_64:
        return {3: "x86_64", 8: "x86_64h"}.get(subtype, f"x86_64 (subtype {subtype})")
    if cputype == CPU_ARM64:
        if subtype == 2:
            return "arm64e" if cpusubtype & 0x80000000 else "arm64e.old"
        return "arm64"
    return {
        7: "i386", 12: {6: "armv6", 9: "armv7", 11: "armv7s", 12: "armv7k"}.get(subtype, "arm"), 18: "ppc",
        0x01000012: "ppc64", 0x0200000C: "arm64_32",
    }.get(cputype, f"cputype {cputype:#x}")  # fmt: skip


def platform_name(number: int) -> str:
    """The name of a platform number (LC_BUILD_VERSION) in the spelling of today's dyld (D-21, D-23)."""
    return _PLATFORMS.get(number, f"platform {number}")


def file_type_name(filetype: int) -> str:
    """What a file type is called in a sentence."""
    return _FILE_TYPES.get(filetype, f"file of type {filetype}")


def unpack_version(word: int) -> Version:
    """The packed version of a load command: 16 bits major, 8 minor, 8 patch."""
    return word >> 16, word >> 8 & 0xFF, word & 0xFF


def version_text(version: tuple[int, ...]) -> str:
    """Major and minor, and the patch where it is not 0 (D-64)."""
    return f"{version[0]}.{version[1]}" + (f".{version[2]}" if len(version) > 2 and version[2] else "")


class Dependent(NamedTuple):
    """One needed library of an image, in the order that numbers them (D-42); versions are packed words."""

    name: str
    current: int
    compatibility: int
    weak: bool = False
    reexport: bool = False
    upward: bool = False


class MachoSegment(NamedTuple):
    """One LC_SEGMENT_64; addresses and sizes in bytes, `offset` from the start of the slice."""

    name: str
    vmaddr: int
    vmsize: int
    offset: int
    filesize: int
    max_protection: int
    protection: int
    sections: int
    flags: int


class Build(NamedTuple):
    """For which platform and systems an image was built."""

    platform: int
    minos: Version
    sdk: Version


class Table(NamedTuple):
    """A place in the slice: offset and size in bytes."""

    offset: int
    size: int


_NO_TABLE = Table(0, 0)


class MachoImage(NamedTuple):
    """One slice that dyld can read, as its header and load commands describe it.

    `path`, `device`, `inode`, `size` (bytes) and `modified` (ns) are the whole file's, `offset` and `length` the
    slice's place in it. `commands` are the raw load commands. Tables are empty where there is none. `symbols` is
    (symoff, nsyms, stroff, strsize) of LC_SYMTAB, `has_dysymtab` whether there is an LC_DYSYMTAB.
    """

    path: str
    device: int
    inode: int
    size: int
    modified: int
    offset: int
    length: int
    cputype: int
    cpusubtype: int
    filetype: int
    flags: int
    ncmds: int
    commands: bytes
    segments: tuple[MachoSegment, ...]
    dependents: tuple[Dependent, ...]
    rpaths: tuple[str, ...]
    install_name: str | None
    current: int
    compatibility: int
    uuid: bytes | None
    builds: tuple[Build, ...]
    bind: Table = _NO_TABLE
    weak_bind: Table = _NO_TABLE
    lazy_bind: Table = _NO_TABLE
    exports: Table = _NO_TABLE
    chained_fixups: Table = _NO_TABLE
    signature: Table = _NO_TABLE
    symbols: tuple[int, int, int, int] = (0, 0, 0, 0)
    has_dysymtab: bool = False

    @property
    def soname(self) -> str | None:
        """The install name, under the name that ELF images have for it."""
        return self.install_name

    @property
    def needed(self) -> tuple[str, ...]:
        """The names of the needed libraries, in file order."""
        return tuple(one.name for one in self.dependents)

    @property
    def architecture(self) -> str:
        """The architecture's name as dyld prints it."""
        return architecture_name(self.cputype, self.cpusubtype)

    @property
    def build(self) -> Build | None:
        """What it says of macOS, else of the first platform it names, None where it names none."""
        return next((one for one in self.builds if one.platform == PLATFORM_MACOS), next(iter(self.builds), None))

    @property
    def sdk(self) -> Version:
        """The SDK it was built with; where it does not say, the one that dyld takes it for (D-22)."""
        return self.build.sdk if self.build is not None else self._assumed

    @property
    def minos(self) -> Version:
        """The oldest system it was built for; where it does not say, the one that dyld takes it for (D-22)."""
        return self.build.minos if self.build is not None else self._assumed

    @property
    def _assumed(self) -> Version:
        return (11, 0, 0) if self.cputype == CPU_ARM64 else (10, 5, 0)

    @property
    def section_end(self) -> int:
        """Nothing that dyld reads lies behind the segments."""
        return 0

    @property
    def load_end(self) -> int:
        """The first offset in the slice behind all segments."""
        return max((one.offset + one.filesize for one in self.segments), default=0)


class MachoSlice(NamedTuple):
    """One image of a file: where it lies, what the fat header says of it, and what was read there.

    For a thin file there is one, with `fat_architecture` None. `start` are its first 32 bytes at most, `architecture`
    what its own header says, None where it has no Mach-O header.
    """

    offset: int
    length: int
    fat_architecture: tuple[int, int] | None
    start: bytes
    architecture: tuple[int, int] | None
    filetype: int
    content: MachoImage | Damage


class MachoHead(NamedTuple):
    """What opening a path gives, as dyld would meet it.

    `errno` is that of open(2), `read_errno` that of read(2). `kind` is "regular", "directory", "fifo", "other" or,
    when it was not opened, "". `fat_count` is what a fat header claims, None for a thin file; `slices` are the
    slices whose headers are in the file.
    """

    path: str
    errno: int = 0
    read_errno: int = 0
    kind: str = ""
    size: int = 0
    device: int = 0
    inode: int = 0
    modified: int = 0
    start: bytes = b""
    fat_count: int | None = None
    fat64: bool = False
    slices: tuple[MachoSlice, ...] = ()
