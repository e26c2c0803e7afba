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


# How many LEB128 numbers follow an opcode; those of the second table bind.
_NUMBERS = {0x50: 0, 0x60: 1, 0x70: 1, 0x80: 1, 0x90: 0, 0xA0: 1, 0xB0: 0, 0xC0: 2}
_BINDS = frozenset((0x90, 0xA0, 0xB0, 0xC0))


def from_bind_opcodes(stream: bytes, *, lazy: bool = False) -> list[Import] | Damage:
    """The imports of one stream of bind opcodes, each once, in the order in which they are bound."""
    found: dict[tuple[int, bytes, bool], None] = {}
    at, end = 0, len(stream)
    ordinal, name, weak = 0, b"", False
    while 0 <= at < end:
        byte = stream[at]
        at += 1
        opcode, immediate = byte & 0xF0, byte & 0x0F
        numbers = _NUMBERS.get(opcode)
        if numbers is not None:
            if opcode in _BINDS:
                found[ordinal, name, weak] = None
            for _ in range(numbers):
                at = _behind_leb(stream, at)
        elif opcode == 0x40:
            stop = stream.find(b"\0", at)
            if stop < 0:
                return Damage(kind="bind-opcodes", detail="a symbol name runs past the end of the bind opcodes")
            name, weak, at = stream[at:stop], bool(immediate & 1), stop + 1
        elif opcode in (0x10, 0x30):  # of the second kind are those that are no number of a library
            ordinal = immediate - 16 if opcode == 0x30 and immediate else immediate
        elif opcode == 0x20:
            ordinal, at = _uleb(stream, at)
        elif opcode == 0xD0 and immediate < 2:  # threaded: the size of a table, or a run that binds what is in it
            at = at if immediate else _behind_leb(stream, at)
        elif opcode != 0x00:
            return Damage(kind="bind-opcodes", detail=f"bad bind opcode 0x{byte:02X}")
        elif not lazy:  # in the lazy stream it stands between any two
            break
    if at < 0:
        return Damage(kind="bind-opcodes", detail="a number runs past the end of the bind opcodes")
    return [Import(*one) for one in found]


def _behind_leb(stream: bytes, at: int) -> int:
    """The place behind a LEB128 number, -1 where it does not end."""
    end = len(stream)
    if at < 0:
        return -1
    while at < end:
        if stream[at] < 0x80:
            return at + 1
        at += 1
    return -1


def _uleb(stream: bytes, at: int) -> tuple[int, int]:
    """The ULEB128 number at a place and the place behind it, which is -1 where it does not end or is too long."""
    value = shift = 0
    end = min(len(stream), at + 10)
    while 0 <= at < end:
        byte = stream[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1


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
