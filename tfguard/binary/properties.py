"""Reads the GNU property note of an image: the x86 ISA levels it needs (x86-64 psABI, .note.gnu.property)."""

from __future__ import annotations

import struct

_NT_GNU_PROPERTY_TYPE_0 = 5
_X86_ISA_1_NEEDED = 0xC0008002


def isa_needed(note: bytes, *, little_endian: bool, wide: bool) -> int:
    """The bits of GNU_PROPERTY_X86_ISA_1_NEEDED: 1 baseline, 2 v2, 4 v3, 8 v4; 0 where there is none (G-53).

    `note` holds the bytes of PT_GNU_PROPERTY, `wide` says that the file is 64-bit.
    """
    order = "<" if little_endian else ">"
    align = 8 if wide else 4
    if len(note) < 16:
        return 0
    name_size, size, kind = struct.unpack_from(order + "III", note)
    if (name_size, kind, note[12:16]) != (4, _NT_GNU_PROPERTY_TYPE_0, b"GNU\0"):
        return 0
    at, end = 16, min(16 + size, len(note))
    while at + 12 <= end:
        tag, length = struct.unpack_from(order + "II", note, at)
        if tag == _X86_ISA_1_NEEDED and length == 4:
            return int(struct.unpack_from(order + "I", note, at + 8)[0])
        at += 8 + (length + align - 1) // align * align
    return 0
