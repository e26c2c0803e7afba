"""Reads the GNU property note of an image: the x86 ISA levels it needs (x86-64 psABI, .note.gnu.property)."""

from __future__ import annotations

import os
import struct

from tfguard.image import PT_GNU_PROPERTY, Image

_NT_GNU_PROPERTY_TYPE_0 = 5
_X86_ISA_1_NEEDED = 0xC0008002
_NOTE_LIMIT = 4096


def read_isa_needed(image: Image) -> int:
    """The bits of GNU_PROPERTY_X86_ISA_1_NEEDED: 1 baseline, 2 v2, 4 v3, 8 v4; 0 where there is none (G-53)."""
    segment = next((one for one in image.segments if one.type == PT_GNU_PROPERTY), None)
    if segment is None or segment.offset >= 1 << 62:
        return 0
    try:
        fd = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        data = os.pread(fd, min(segment.filesz, _NOTE_LIMIT), segment.offset)
    finally:
        os.close(fd)
    order = "<" if image.little_endian else ">"
    align = 8 if image.elf_class == 64 else 4
    if len(data) < 16:
        return 0
    name_size, size, kind = struct.unpack_from(order + "III", data)
    if (name_size, kind, data[12:16]) != (4, _NT_GNU_PROPERTY_TYPE_0, b"GNU\0"):
        return 0
    at, end = 16, min(16 + size, len(data))
    while at + 12 <= end:
        tag, length = struct.unpack_from(order + "II", data, at)
        if tag == _X86_ISA_1_NEEDED and length == 4:
            return int(struct.unpack_from(order + "I", data, at + 8)[0])
        at += 8 + (length + align - 1) // align * align
    return 0
