"""The few checks that musl's loader makes on a file, and its names for errors (ld-so.md §14.2, §14.4)."""

from __future__ import annotations

import errno
import os
import struct

from tfguard.binary.elf import look_at
from tfguard.hosts.host import Host
from tfguard.image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_TEXTREL,
    ET_DYN,
    ET_EXEC,
    PF_X,
    PT_DYNAMIC,
    PT_LOAD,
    Damage,
    Head,
    Image,
)
from tfguard.loader.glibc_file import Refusal, refused_truncation

_TEXTS = {
    0: "No error information",
    errno.ELOOP: "Symbolic link loop",
    errno.ENAMETOOLONG: "Filename too long",
    errno.ENOMEM: "Out of memory",
    errno.EBUSY: "Resource busy",
    errno.EIO: "I/O error",
    errno.EMFILE: "No file descriptors available",
    errno.ENFILE: "Too many open files in system",
    errno.ENXIO: "No such device or address",
}


def error_text(number: int) -> str:
    """An errno in musl's words (M-30)."""
    return _TEXTS.get(number) or os.strerror(number)


def as_of_this_process(head: Head, path: str, host: Host) -> Head:
    """The file as musl reads it: with the process's class and byte order, whatever the file says of itself (M-10)."""
    own = b"\x7fELF" + bytes((host.elf_class // 32, 1 if host.little_endian else 2))
    if head.kind != "regular" or head.start[:6] == own or len(head.start) < 6:
        return head
    try:
        return look_at(host.outside(path), ident=own)
    except (OSError, ValueError):
        return head


def refused(head: Head, host: Host) -> Refusal | None:
    """Why musl does not map an opened file, or what kills it while it does; None where it is mapped (M-11 to M-14).

    `head` is the file as `as_of_this_process` gives it.
    """
    if head.kind == "directory":
        return Refusal("directory", "M-13", "", errno.EISDIR)
    if head.kind == "fifo":
        return Refusal("special-file", "M-13", None, signal="waits for ever")
    if head.kind != "regular" or head.read_errno:
        return Refusal("read-error", "M-13", "", head.read_errno or errno.ENOEXEC, certain=False)
    if len(head.start) < (64 if host.elf_class == 64 else 52):
        return Refusal("too-short", "M-11", "", errno.ENOEXEC, detail=f"{head.size} bytes")
    kind = int.from_bytes(head.start[16:18], "little" if host.little_endian else "big")
    if kind not in (ET_DYN, ET_EXEC):
        return _no_program(head, "not-dynamic")
    if isinstance(head.content, Damage) and head.segments is None:
        return _refused_headers(head, host)
    dynamic = [one for one in head.segments or () if one.type == PT_DYNAMIC]
    if not dynamic or not dynamic[-1].vaddr:
        return _no_program(head, "no-dynamic-section")
    return _refused_mapping(head, host)


def _no_program(head: Head, kind: str) -> Refusal:
    """ENOEXEC; what the file is by its first bytes says more than the check that it fails."""
    if head.start[:4] != b"\x7fELF":
        kind = "not-elf"
    return Refusal(kind, "M-11", "", errno.ENOEXEC)


def _refused_headers(head: Head, host: Host) -> Refusal:
    assert isinstance(head.content, Damage)
    if head.content.kind == "program-headers-past-end":
        wide = host.elf_class == 64
        (place,) = struct.unpack_from(("<" if host.little_endian else ">") + ("Q" if wide else "I"), head.start,
                                      32 if wide else 28)  # fmt: skip
        wraps = place >= (1 << 64) - (1 << 22)  # then it reads what lies in front of its buffer
        number = errno.EINVAL if place >= 1 << 63 and not wraps else errno.ENOEXEC
        return Refusal("headers-past-end", "M-11", "", number, certain=not wraps, detail=head.content.detail)
    # with a stride of another size it finds what happens to stand there, mostly nothing
    return Refusal("header-size", "M-11", "", errno.ENOEXEC, certain=False, detail=head.content.detail)


def _refused_mapping(head: Head, host: Host) -> Refusal | None:
    loads = [one for one in head.segments or () if one.type == PT_LOAD]
    if not loads:
        return Refusal("no-segments", "M-14", "", errno.ENOMEM, certain=False)  # from 1.2.6 on SIGBUS (V-32)
    image = head.content
    if not isinstance(image, Image):
        detail = image.detail if isinstance(image, Damage) else ""
        signal = "SIGBUS" if isinstance(image, Damage) and image.kind.endswith("past-end") else "SIGSEGV"
        return Refusal("damaged", "M-14", None, signal=signal, certain=False, detail=detail)
    if image.noexec and any(load.flags & PF_X for load in loads):
        return Refusal("noexec", "M-13", "", errno.EPERM)
    if DT_TEXTREL in image.dynamic and host.refuses_write_execute:
        return Refusal("text-relocation", "M-13", "", errno.EACCES)
    if (hole := refused_truncation(image, host, stage="map")) is not None:
        return hole._replace(rule="M-13")
    if (hole := refused_truncation(image, host, stage="relocate")) is not None:
        return hole._replace(rule="M-13")
    if DT_GNU_HASH not in image.dynamic and DT_HASH not in image.dynamic:
        return Refusal("damaged", "M-14", None, signal="SIGSEGV", detail="it has neither DT_GNU_HASH nor DT_HASH")
    address = image.dynamic.get(DT_GNU_HASH, image.dynamic.get(DT_HASH, 0))
    if image.offset_of(address) is None:
        detail = f"no segment has bytes at the address of its hash table, {address:#x}"
        return Refusal("damaged", "M-14", None, signal="SIGSEGV", certain=False, detail=detail)
    return None
