"""The checks that glibc's ld.so makes on one file, in its order and with its words (ld-so.md §5, G-50)."""

# Annotations are no strings in this file: a NamedTuple, or data class, would compile each, at the cost of every import.

import errno
import os
import struct
from itertools import pairwise
from typing import NamedTuple

from tfguard.hosts.host import Host, wants_executable_stack
from tfguard.image import (
    DF_1_NOOPEN,
    DF_1_PIE,
    DT_GNU_HASH,
    DT_HASH,
    DT_PLTREL,
    DT_RELA,
    DT_RELAENT,
    DT_RELR,
    EM_AARCH64,
    EM_X86_64,
    ET_DYN,
    ET_EXEC,
    PF_W,
    PF_X,
    PT_DYNAMIC,
    PT_LOAD,
    Damage,
    Head,
    Image,
    Segment,
)


class Refusal(NamedTuple):
    """A check that fails: its kind, rule and text; `errno` where an errno text follows, `signal` where it kills."""

    kind: str
    rule: str
    text: str | None
    errno: int = 0
    signal: str | None = None
    certain: bool = True
    detail: str = ""


DT_RELRENT = 37

SKIP_CLASS = Refusal("wrong-class", "G-24", None)
SKIP_MACHINE = Refusal("wrong-machine", "G-29a", None)
SKIP_KERNEL = "newer-kernel"  # the kind of a refusal that says in its detail which kernel

_WRAPS = (1 << 64) - (1 << 23)
_ABI_VERSION_LIMIT = {EM_X86_64: 4, 183: 3}


def refused_header(head: Head, host: Host) -> Refusal | None:
    """The first header check that an opened file fails, or None (G-21 to G-32).

    SKIP_CLASS, SKIP_MACHINE and the kind SKIP_KERNEL mean that the search passes over the file.
    """
    if head.kind == "directory" or head.read_errno:
        return Refusal("directory" if head.kind == "directory" else "read-error", "G-21", "cannot read file data",
                       head.read_errno)  # fmt: skip
    if head.kind == "fifo":
        return Refusal("special-file", "G-20", None, signal="waits for ever")
    if head.kind != "regular":
        return Refusal("special-file", "G-22", "file too short", certain=False)
    start = head.start
    if len(start) < (64 if host.elf_class == 64 else 52):
        return Refusal("too-short", "G-22", "file too short", detail=f"{head.size} bytes")
    if (found := _refused_ident(start, host)) is not None:
        return found
    order = "<" if host.little_endian else ">"
    e_type, e_machine, e_version = struct.unpack_from(order + "HHI", start, 16)
    if e_version != 1:
        return Refusal("elf-version", "G-29", "ELF file version does not match current one")
    if e_machine != host.machine:
        return SKIP_MACHINE
    if e_type not in (ET_DYN, ET_EXEC):
        return Refusal("not-dynamic", "G-30", "only ET_DYN and ET_EXEC can be loaded")
    if isinstance(head.content, Damage):
        if head.content.kind == "program-header-size":
            return Refusal("header-size", "G-31", "ELF file's phentsize not the expected size")
        if head.content.kind == "program-headers-past-end":
            return _refused_header_place(start, host, head.content.detail)
    if "checks-abi-tag" in host.features:
        from tfguard.loader.glibc_abi_tag import refused_abi_tag

        return refused_abi_tag(head, host)
    return None


def _refused_header_place(start: bytes, host: Host, detail: str) -> Refusal:
    """Program headers where the file has no bytes: a short read, or an offset that pread(2) refuses (G-31)."""
    layout = "Q" if host.elf_class == 64 else "I"
    (place,) = struct.unpack_from(("<" if host.little_endian else ">") + layout, start, 32 if layout == "Q" else 28)
    if place > _WRAPS:
        # the loader's own sum of offset and length wraps, and it reads the stack in front of its buffer
        return Refusal("headers-past-end", "G-31", None, certain=False, detail=detail)
    number = errno.EINVAL if place >= (1 << 63) - 56 else 0
    return Refusal("headers-past-end", "G-31", "cannot read file data", number, detail=detail)


def _refused_ident(start: bytes, host: Host) -> Refusal | None:
    """The identification, byte by byte in the loader's order (G-23 to G-28)."""
    if start[:4] != b"\x7fELF":
        return Refusal("not-elf", "G-23", "invalid ELF header")
    if start[4] != host.elf_class // 32:
        return SKIP_CLASS
    little = 1 if host.little_endian else 2
    if start[5:16] == bytes((little, 1, 0, *bytes(8))):
        return None
    machine = int.from_bytes(start[18:20], "little" if little == 1 else "big")
    if machine != host.machine and _compares_machine_first(host):
        return SKIP_MACHINE  # G-25, Debian's order: before all of the rest
    if start[5] != little:
        wanted = "little" if host.little_endian else "big"
        return Refusal("byte-order", "G-25", f"ELF file data encoding not {wanted}-endian")
    if start[6] != 1:
        return Refusal("elf-version", "G-26", "ELF file version ident does not match current one")
    if start[7] not in (0, 3):
        return Refusal("os-abi", "G-27", "ELF file OS ABI invalid", detail=f"EI_OSABI is {start[7]}")
    if start[8] and not (start[7] == 3 and start[8] < _ABI_VERSION_LIMIT.get(host.machine, 1)):
        return Refusal("os-abi", "G-27", "ELF file ABI version invalid", detail=f"EI_ABIVERSION is {start[8]}")
    if any(start[9:16]):
        return Refusal("padding", "G-28", "nonzero padding in e_ident")
    return None


def _compares_machine_first(host: Host) -> bool:
    """Debian and Ubuntu compare e_machine before the byte order (G-25, H-05)."""
    return any(directory.startswith("/lib/") and "-linux-" in directory for directory in host.system_directories)


def refused_mapping(head: Head, host: Host, *, starting: bool = False) -> Refusal | None:
    """The first map-stage check that the chosen file fails, or None (G-36 to G-50).

    `starting` says that it is needed by a program that starts, where fewer checks are made than for a dlopen.
    """
    segments = head.segments or ()
    loads = [segment for segment in segments if segment.type == PT_LOAD]
    if (refusal := _refused_alignment(loads, host)) is not None:
        return refusal
    if not loads:
        return Refusal("no-segments", "G-37", "object file has no loadable segments")
    if head.start[16:18] == (b"\2\0" if host.little_endian else b"\0\2"):
        return Refusal("executable", "G-40", "cannot dynamically load executable")
    dynamic = [segment for segment in segments if segment.type == PT_DYNAMIC and segment.filesz]
    if not dynamic or not dynamic[-1].vaddr:
        return Refusal("no-dynamic-section", "G-36", "object file has no dynamic section")
    if (refusal := _refused_layout(loads, host)) is not None:
        return refusal
    if isinstance(head.content, Damage):
        return _refused_damage(head, host)
    image = head.content
    if image is None:
        return None
    if image.noexec and any(load.flags & PF_X for load in loads):
        return Refusal("noexec", "G-41", "failed to map segment from shared object")
    if host.refuses_write_execute and any(load.flags & PF_X and load.flags & PF_W for load in loads):
        return Refusal("write-execute", "G-41", "failed to map segment from shared object",
                       detail="one of its segments is writable and executable")  # fmt: skip
    return (
        refused_truncation(image, host, stage="map")
        or _refused_flags(image, host, starting=starting)
        or _refused_hash_table(image)
    )


def _refused_alignment(loads: list[Segment], host: Host) -> Refusal | None:
    """A segment whose address and offset do not fit the pages (G-38, G-39)."""
    for load in loads:
        if "checks-alignment" in host.features:
            if load.align & (host.page_size - 1):
                return Refusal("page-alignment", "G-39", "ELF load command alignment not page-aligned")
            if (load.vaddr - load.offset) & (load.align - 1) if load.align else 0:
                return Refusal("page-alignment", "G-39", "ELF load command address/offset not properly aligned")
        elif (load.vaddr - load.offset) & (host.page_size - 1):
            return Refusal(
                "page-alignment", "G-38", "ELF load command address/offset not page-aligned",
                detail=f"pages of {host.page_size} bytes",
            )  # fmt: skip
    return None


def _refused_layout(loads: list[Segment], host: Host) -> Refusal | None:
    """Segments that cannot be mapped as the loader does it: from the first one's page to the last one's (G-38, G-41).

    Where they do not follow each other without a gap, the last must not begin in a page of the first. So a file made
    for small pages can be refused by a kernel with large ones although each address fits its offset.
    """
    page, first, last = host.page_size, loads[0], loads[-1]
    if last.vaddr + last.memsz <= first.vaddr & -page:
        return Refusal("damaged", "G-41", "failed to map segment from shared object",
                       detail="its last segment lies in front of the first")  # fmt: skip
    if len(loads) < 2 or last.vaddr & -page >= first.vaddr + first.filesz + page - 1 & -page:
        return None
    if any(one.vaddr + one.filesz + page - 1 & -page != two.vaddr & -page for one, two in pairwise(loads)):
        text = "ELF load command address/offset not page-aligned"
        if "checks-alignment" in host.features:
            text = "cannot change memory protections"
        return Refusal("page-alignment", "G-38", text, detail=f"two segments in one page of {page} bytes")
    return None


def _refused_flags(image: Image, host: Host, *, starting: bool) -> Refusal | None:
    if (refusal := _refused_entry_sizes(image, host)) is not None:
        return refusal
    if image.flags_1 & DF_1_PIE and "refuses-pie" in host.features:
        return Refusal("pie", "G-43", "cannot dynamically load position-independent executable")
    if starting:
        return None  # an object needed at start may ask for anything else, an executable stack too (G-42, G-50)
    if image.flags_1 & DF_1_NOOPEN:
        return Refusal("no-dlopen", "G-42", "shared object cannot be dlopen()ed")
    return _refused_stack(image, host)


def _refused_stack(image: Image, host: Host) -> Refusal | None:
    """An executable stack: never granted to a later load from glibc 2.41 on, before that where the kernel allows it."""
    if not wants_executable_stack(image) or host.stack_is_executable:
        return None
    text = "cannot enable executable stack as shared object requires"
    if "no-executable-stack" in host.features:
        return Refusal("executable-stack", "G-50", text, errno.EINVAL)
    if host.refuses_write_execute and not any(
        one.image is not None and wants_executable_stack(one.image) for one in host.loaded
    ):
        return Refusal("write-execute", "G-50", text, errno.EACCES, detail="it asks for an executable stack")
    return None


def _refused_hash_table(image: Image) -> Refusal | None:
    """A hash table where no segment of the file is: the loader reads its header at once (G-46)."""
    tag = DT_GNU_HASH if DT_GNU_HASH in image.dynamic else DT_HASH
    address = image.dynamic.get(tag)
    if address is None or image.offset_of(address) is not None:
        return None
    detail = f"no segment has bytes at the address of its hash table, {address:#x}"
    return Refusal("damaged", "G-46", None, signal="SIGSEGV", certain=False, detail=detail)


def _refused_entry_sizes(image: Image, host: Host) -> Refusal | None:
    """The assertions that the loader makes while it reads the dynamic section (G-48)."""
    if host.machine not in (EM_X86_64, EM_AARCH64):
        return None
    dynamic = image.dynamic
    if dynamic.get(DT_PLTREL, DT_RELA) != DT_RELA:
        return _asserted("DT_PLTREL", dynamic[DT_PLTREL], DT_RELA)
    if DT_RELA in dynamic and (size := dynamic.get(DT_RELAENT)) != 24:
        return _asserted("DT_RELAENT", size, 24)
    if DT_RELR in dynamic and "dt-relr" in host.features and (size := dynamic.get(DT_RELRENT)) != 8:
        return _asserted("DT_RELRENT", size, 8)
    return None


def _asserted(name: str, value: int | None, needed: int) -> Refusal:
    """An assertion on a value; a value that is not there is a null pointer in the same line."""
    if value is None:
        return Refusal("dynamic-section", "G-48", None, signal="SIGSEGV", detail=f"there is no {name}")
    return Refusal("dynamic-section", "G-48", None, signal="exit 127", detail=f"{name} is {value}, not {needed}")


def _refused_damage(head: Head, host: Host) -> Refusal:
    """A dynamic section or a name in it that the file does not hold: the loader dies reading it (G-44)."""
    assert isinstance(head.content, Damage)
    past_end = head.content.kind.endswith("past-end")
    certain = past_end and head.size < max(s.offset + s.filesz for s in head.segments or () if s.type == PT_LOAD)
    return Refusal(
        "truncated" if past_end else "damaged", "G-44", None,
        signal="SIGBUS" if past_end else "SIGSEGV", certain=certain, detail=head.content.detail,
    )  # fmt: skip


def refused_truncation(image: Image, host: Host, *, stage: str) -> Refusal | None:
    """What kills the loader of a file that ends before its last segment does, or None (G-44).

    `stage` is "map" for what is touched while mapping, "relocate" for the tables that are read later.
    """
    if image.size >= image.load_end:
        return None
    from tfguard.binary.holes import holes

    for hole in holes(image, host.page_size):
        if (hole.what in ("dynamic section", "zero-filled page")) == (stage == "map"):
            have = f"{image.size} bytes, its segments end at {image.load_end}"
            return Refusal("truncated", "G-44", None, signal=hole.signal, detail=f"{have}; first missed: {hole.what}")
    return None


def with_errno(text: str, number: int) -> str:
    """The loader's text, followed by the errno text where there is one (G-10)."""
    return f"{text}: {os.strerror(number)}" if number else text
