"""The symbols that a Mach-O image imports: bind opcodes, chained fixups, else the symbol table (dyld.md D-91, D-92)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from tfguard.image import Damage

MAIN = -1  # ordinals that are no number of a library (D-84)
FLAT = -2
WEAK = -3

_FIXUPS_HEADER = Struct("<7I")
_WORD, _LONG = Struct("<I"), Struct("<Q")
_FORMATS = {1: (_WORD, 4, 8), 2: (_WORD, 8, 8), 3: (_LONG, 16, 16)}  # layout, bytes an entry, bits of the ordinal
_NLIST = Struct("<IBBHQ")
_N_STAB, _N_TYPE, _N_EXT, _N_WEAK_REF = 0xE0, 0x0E, 0x01, 0x0040
_NAMES_LIMIT = 1 << 22


class Import(NamedTuple):
    """A symbol that dyld binds at load: where it looks (1 is the first needed library), whether it may be missing."""

    ordinal: int
    name: bytes
    weak: bool


# How many LEB128 numbers follow a byte, by its value; -1 for one that is no step of a run of pointers. Those from 0x90
# to 0xCF bind.
_STEPS = {0x50: 0, 0x60: 1, 0x70: 1, 0x80: 1, 0x90: 0, 0xA0: 1, 0xB0: 0, 0xC0: 2}
_ORDINALS = frozenset((0x10, 0x20, 0x30))
_NUMBERS = tuple(_STEPS.get(byte & 0xF0, -1) for byte in range(256))


def from_bind_opcodes(stream: bytes, *, lazy: bool = False) -> list[Import] | Damage:
    """The imports of one stream of bind opcodes, each once, in the order in which they are bound."""
    found: dict[tuple[int, bytes, bool], None] = {}
    at, end = 0, len(stream)
    ordinal, name, weak = 0, b"", False
    is_noted = False  # a symbol may be bound to thousands of pointers
    try:
        while at < end:
            byte = stream[at]
            at += 1
            numbers = _NUMBERS[byte]
            if numbers >= 0:
                if byte >= 0x90 and not is_noted:
                    found[ordinal, name, weak] = None
                    is_noted = True
                for _ in range(numbers):
                    while stream[at] > 0x7F:
                        at += 1
                    at += 1
                continue
            opcode, immediate = byte & 0xF0, byte & 0x0F
            is_noted = False
            if opcode == 0x40:
                stop = stream.find(b"\0", at)
                if stop < 0:
                    return Damage(kind="bind-opcodes", detail="a symbol name runs past the end of the bind opcodes")
                name, weak, at = stream[at:stop], bool(immediate & 1), stop + 1
            elif opcode in _ORDINALS:
                ordinal, at = _ordinal(stream, at, byte)
            elif opcode == 0xD0 and immediate < 2:  # threaded: the size of a table, or a run that binds what is in it
                at = at if immediate else _uleb(stream, at)[1]
            elif opcode != 0x00:
                return Damage(kind="bind-opcodes", detail=f"bad bind opcode 0x{byte:02X}")
            elif not lazy:  # in the lazy stream it stands between any two
                break
    except IndexError:
        return Damage(kind="bind-opcodes", detail="a number runs past the end of the bind opcodes")
    return [Import(*one) for one in found]


def _ordinal(stream: bytes, at: int, byte: int) -> tuple[int, int]:
    """The ordinal that an opcode sets, and the place behind it; 0x30 sets those that are no number of a library."""
    if byte & 0xF0 == 0x20:
        return _uleb(stream, at)
    return byte & 0x0F if byte & 0xF0 == 0x10 else -(-byte & 0x0F), at


def _uleb(stream: bytes, at: int) -> tuple[int, int]:
    """The ULEB128 number at a place and the place behind it; IndexError where it does not end or is too long."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError(at)


def from_chained_fixups(blob: bytes) -> list[Import] | Damage:
    """The imports table of LC_DYLD_CHAINED_FIXUPS; the chains themselves add nothing to it."""
    if len(blob) < _FIXUPS_HEADER.size:
        return Damage(kind="chained-fixups", detail=f"a header of {len(blob)} bytes")
    version, _, imports_at, symbols_at, count, form, symbols_form = _FIXUPS_HEADER.unpack_from(blob)
    if version != 0 or symbols_form != 0 or form not in _FORMATS:
        return Damage(kind="chained-fixups", detail=f"unknown version or format ({version}, {form}, {symbols_form})")
    layout, size, bits = _FORMATS[form]
    if imports_at + count * size > len(blob) or symbols_at > len(blob):
        return Damage(kind="chained-fixups", detail=f"{count} imports do not fit into {len(blob)} bytes")
    found: list[Import] = []
    most = 1 << bits
    special = most - 16  # D-92: above that, ordinals are negative
    for number in range(count):
        (word,) = layout.unpack_from(blob, imports_at + number * size)
        ordinal = word & (most - 1)
        name_at = symbols_at + (word >> 9 if form != 3 else word >> 32)
        stop = blob.find(b"\0", name_at)
        if stop < 0:
            return Damage(kind="chained-fixups", detail="a symbol name runs past the end of the fixups")
        weak = bool(word >> bits & 1)
        found.append(Import(ordinal - most if ordinal > special else ordinal, blob[name_at:stop], weak))
    return list(dict.fromkeys(found))


def symbol_table(nlists: bytes, strings: bytes, *, defined: bool) -> list[Import] | Damage:
    """The external symbols of LC_SYMTAB that are defined here, or else those looked up elsewhere, with their ordinal.

    Only images of old linkers, which have neither bind opcodes nor an export trie, are bound by it.
    """
    found: list[Import] = []
    whole = len(nlists) - len(nlists) % _NLIST.size
    for name_at, kind, _, description, value in _NLIST.iter_unpack(nlists[:whole]):
        if kind & _N_STAB or not kind & _N_EXT:
            continue
        is_undefined = kind & _N_TYPE == 0 and value == 0
        if is_undefined == defined:
            continue
        stop = strings.find(b"\0", name_at, name_at + _NAMES_LIMIT)
        if stop < 0:
            return Damage(kind="symbol-table", detail="a symbol name runs past the end of the string table")
        ordinal = description >> 8
        special = {0xFE: FLAT, 0xFF: MAIN}
        found.append(Import(special.get(ordinal, ordinal), strings[name_at:stop], bool(description & _N_WEAK_REF)))
    return found
