"""Changes single fields of finished ELF files: the header of any, program headers and dynamic entries of ELF64."""

from __future__ import annotations

import struct

from tfguard.image import PT_DYNAMIC

_HEADER_FIELDS = {
    "magic": (0, "<4s"),
    "ei_class": (4, "<B"),
    "ei_data": (5, "<B"),
    "ei_version": (6, "<B"),
    "ei_osabi": (7, "<B"),
    "ei_abiversion": (8, "<B"),
    "ei_pad": (9, "<B"),
    "e_type": (16, "<H"),
    "e_machine": (18, "<H"),
    "e_version": (20, "<I"),
    "e_phoff": (32, "<Q"),
    "e_shoff": (40, "<Q"),
    "e_phentsize": (54, "<H"),
    "e_phnum": (56, "<H"),
    "e_shentsize": (58, "<H"),
    "e_shnum": (60, "<H"),
    "e_shstrndx": (62, "<H"),
}
_NARROW_HEADER_FIELDS = _HEADER_FIELDS | {
    "e_phoff": (28, "<I"),
    "e_shoff": (32, "<I"),
    "e_phentsize": (42, "<H"),
    "e_phnum": (44, "<H"),
    "e_shentsize": (46, "<H"),
    "e_shnum": (48, "<H"),
    "e_shstrndx": (50, "<H"),
}
_SEGMENT_FIELDS = {
    "type": (0, "<I"),
    "flags": (4, "<I"),
    "offset": (8, "<Q"),
    "vaddr": (16, "<Q"),
    "filesz": (32, "<Q"),
    "memsz": (40, "<Q"),
    "align": (48, "<Q"),
}


def with_header(data: bytes, **fields: int | bytes) -> bytes:
    """A copy with these fields of the ELF header (gABI names) set."""
    changed = bytearray(data)
    places = _NARROW_HEADER_FIELDS if data[4] == 1 else _HEADER_FIELDS
    for name, value in fields.items():
        offset, layout = places[name]
        struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def segment_offsets(data: bytes, kind: int) -> list[int]:
    """Where in the file the program headers of a type lie."""
    start, size, count = (
        struct.unpack_from(layout, data, at)[0] for layout, at in (("<Q", 32), ("<H", 54), ("<H", 56))
    )
    places = [start + size * index for index in range(count)]
    return [place for place in places if struct.unpack_from("<I", data, place)[0] == kind]


def with_segment(data: bytes, kind: int, position: int = 0, **fields: int) -> bytes:
    """A copy with fields set in the program header that is the `position`-th of its type."""
    changed = bytearray(data)
    place = segment_offsets(data, kind)[position]
    for name, value in fields.items():
        offset, layout = _SEGMENT_FIELDS[name]
        struct.pack_into(layout, changed, place + offset, value)
    return bytes(changed)


def segment_value(data: bytes, kind: int, position: int, field: str) -> int:
    """The value of a field in the program header that is the `position`-th of its type."""
    offset, layout = _SEGMENT_FIELDS[field]
    return int(struct.unpack_from(layout, data, segment_offsets(data, kind)[position] + offset)[0])


def dynamic_offset(data: bytes, tag: int) -> int:
    """Where in the file the first dynamic entry of a tag lies; raises KeyError where there is none."""
    place = segment_offsets(data, PT_DYNAMIC)[0]
    offset, size = struct.unpack_from("<Q", data, place + 8)[0], struct.unpack_from("<Q", data, place + 32)[0]
    for at in range(offset, offset + size, 16):
        if struct.unpack_from("<Q", data, at)[0] == tag:
            return at
    raise KeyError(tag)


def with_dynamic(data: bytes, tag: int, value: int | None = None, *, new_tag: int | None = None) -> bytes:
    """A copy with another value for the first dynamic entry of this tag, or with another tag in its place."""
    changed = bytearray(data)
    at = dynamic_offset(data, tag)
    if new_tag is not None:
        struct.pack_into("<Q", changed, at, new_tag)
    if value is not None:
        struct.pack_into("<Q", changed, at + 8, value)
    return bytes(changed)


def dynamic_value(data: bytes, tag: int) -> int:
    """The value of the first dynamic entry of a tag."""
    return int(struct.unpack_from("<Q", data, dynamic_offset(data, tag) + 8)[0])
