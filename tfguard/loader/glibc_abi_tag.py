"""The note that says which kernel a library is for, which glibc up to 2.35 holds against the one that runs (G-32)."""

from __future__ import annotations

import os
import struct

from tfguard.hosts.host import Host
from tfguard.image import PT_NOTE, Head
from tfguard.loader.glibc_file import SKIP_KERNEL, Refusal

_TAG_SIZE = 32
_NOTES_LIMIT = 1 << 16


def refused_abi_tag(head: Head, host: Host) -> Refusal | None:
    """A refusal of the kind SKIP_KERNEL where the file says that it is for another system or a newer kernel."""
    for segment in head.segments or ():
        if segment.type != PT_NOTE or segment.filesz < _TAG_SIZE or segment.align not in (4, 8):
            continue
        size = min(segment.filesz, _NOTES_LIMIT)
        notes = _bytes(head, host, segment.offset, size)
        if len(notes) < size:
            return Refusal("headers-past-end", "G-32", "cannot read file data", detail="a note lies past its end")
        tag = _tag_in(notes, segment.align, host)
        if tag is None:
            continue
        system, kernel = tag
        if not system and (not host.kernel or kernel <= host.kernel):
            return None
        wanted = ".".join(str(kernel >> shift & 0xFF) for shift in (16, 8, 0))
        return Refusal(SKIP_KERNEL, "G-32", None, detail="another system than Linux" if system else f"Linux {wanted}")
    return None


def _tag_in(notes: bytes, align: int, host: Host) -> tuple[int, int] | None:
    """The system and the kernel of the first tag among the notes of a segment."""
    order = "<" if host.little_endian else ">"
    wanted = struct.pack(f"{order}III4s", 4, 16, 1, b"GNU\0")
    at = 0
    while len(notes) - at >= _TAG_SIZE:
        if notes.startswith(wanted, at):
            system, *kernel = struct.unpack_from(f"{order}4I", notes, at + 16)
            return system, (kernel[0] & 0xFF) << 16 | (kernel[1] & 0xFF) << 8 | kernel[2] & 0xFF
        name, described = struct.unpack_from(f"{order}II", notes, at)
        at += -(-(12 + name) // align) * align + -(-described // align) * align
    return None


def _bytes(head: Head, host: Host, offset: int, size: int) -> bytes:
    """A part of the file: nearly always of its first page, which is read already."""
    if offset + size <= len(head.start) or offset >= head.size:
        return head.start[offset : offset + size]
    try:
        fd = os.open(host.outside(head.path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.pread(fd, size, offset)
    except OSError:
        return b""
    finally:
        os.close(fd)
