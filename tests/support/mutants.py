"""Makes damaged ELF files of sound ones: bits, header fields, tables, counts, cuts, splices; a seed gives one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

from tests.support.elf_edit import segment_offsets
from tfguard.image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_JMPREL,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_RELA,
    DT_RELASZ,
    DT_STRTAB,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERNEED,
    DT_VERSYM,
    PT_DYNAMIC,
    PT_LOAD,
)

_WORDS = (0, 1, 2, 3, 7, 8, 24, 0xFF, 0x1000, 0x7FFF, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)
_LONG_WORDS = (*_WORDS, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 2**12, 2**64 - 1)
_TABLES = (DT_GNU_HASH, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_VERSYM, DT_VERDEF, DT_VERNEED, DT_RELA, DT_JMPREL)
_SIZES = (DT_RELASZ, DT_PLTRELSZ, DT_PLTREL, 9, 10, 11, 27, 0x6FFFFFFD, 0x6FFFFFFF, 0x6FFFFFFB, 30)


def mutant(seed: int, seeds: Sequence[bytes]) -> bytes:
    """One to four random changes to one of the files."""
    random = Random(seed)
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        change = random.choice(_CHANGES)
        try:
            data = change(data, random, seeds)
        except (struct.error, IndexError, ValueError, OverflowError):
            continue  # an earlier change took away what this one changes
    return bytes(data)


def _flip_bits(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    for _ in range(random.choice((1, 4, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def _flip_early_bits(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    for _ in range(random.choice((1, 2, 16))):
        data[random.randrange(min(len(data), 2048))] ^= 1 << random.randrange(8)
    return data


def _header_field(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    layout, at = random.choice(
        (
            ("<B", random.randrange(16)),
            ("<H", 16),
            ("<H", 18),
            ("<I", 20),
            ("<Q", 32),
            ("<Q", 40),
            ("<H", 54),
            ("<H", 56),
        )
    )
    struct.pack_into(layout, data, at, random.choice(_LONG_WORDS) & (256 ** struct.calcsize(layout) - 1))
    return data


def _segment_field(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    count = min(struct.unpack_from("<H", data, 56)[0], 20)
    place = struct.unpack_from("<Q", data, 32)[0] + 56 * random.randrange(count)
    field = random.choice((0, 4, 8, 16, 32, 40, 48))
    if field < 8:
        struct.pack_into("<I", data, place + field, random.choice((0, 1, 2, 3, 4, 7, 0x6474E551, 0xFFFFFFFF)))
    else:
        near = struct.unpack_from("<Q", data, place + field)[0] + random.choice((-4096, -1, 1, 8, 4096, 1 << 20))
        struct.pack_into("<Q", data, place + field, random.choice((*_LONG_WORDS, near)) & (2**64 - 1))
    return data


def _dynamic_entries(data: bytearray) -> list[int]:
    place = segment_offsets(bytes(data[:4096]), PT_DYNAMIC)[0]
    start, size = struct.unpack_from("<Q", data, place + 8)[0], struct.unpack_from("<Q", data, place + 32)[0]
    return list(range(start, min(start + size, len(data) - 16), 16))


def _dynamic_value(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    at = random.choice(_dynamic_entries(data))
    old = struct.unpack_from("<Q", data, at + 8)[0]
    near = old + random.choice((-8, -1, 1, 4, 4096, 1 << 24))
    struct.pack_into("<Q", data, at + 8, random.choice((*_LONG_WORDS, near, near, near)) & (2**64 - 1))
    return data


def _dynamic_tag(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    at = random.choice(_dynamic_entries(data))
    tag = random.choice((0, 1, 14, 15, 16, 17, 22, 24, 29, 36, *_TABLES, *_SIZES, random.getrandbits(64)))
    struct.pack_into("<Q", data, at, tag)
    return data


def _table_at(data: bytearray, random: Random) -> tuple[int, int]:
    """Tag and file offset of a table that the dynamic section points to."""
    found: list[tuple[int, int]] = []
    loads = [struct.unpack_from("<IIQQQQQQ", data, at) for at in segment_offsets(bytes(data[:4096]), PT_LOAD)]
    for at in _dynamic_entries(data):
        tag, address = struct.unpack_from("<QQ", data, at)
        for _, _, offset, vaddr, _, filesz, _, _ in loads:
            if tag in _TABLES and vaddr <= address < vaddr + filesz:
                found.append((tag, offset + address - vaddr))
    return random.choice(found)


def _table_word(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    """Giant counts, chains without an end, names far away: a word near the beginning of a table."""
    _, start = _table_at(data, random)
    at = start + 4 * random.choice((0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, random.randrange(64)))
    struct.pack_into("<I", data, at, random.choice((*_WORDS, random.getrandbits(32))))
    return data


def _table_circle(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    """Version chains that lead back: small and negative distances in the fields that point onwards."""
    tables = [_table_at(data, random) for _ in range(12)]
    chains = [start for tag, start in tables if tag in (DT_VERNEED, DT_VERDEF)] or [tables[0][1]]
    at = random.choice(chains) + 2 * random.choice((1, 3, 4, 6, 8, 10, 12, 14, 16))
    struct.pack_into("<I", data, at, random.choice((0, 1, 4, 16, 20, 2**32 - 16, 2**32 - 20, 2**32 - 4, 0xFFFF)))
    return data


def _relocation(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    tables = [_table_at(data, random) for _ in range(12)]
    start = random.choice([start for tag, start in tables if tag in (DT_RELA, DT_JMPREL)] or [tables[0][1]])
    at = start + 24 * random.randrange(8) + 8 * random.randrange(3)
    struct.pack_into("<Q", data, at, random.choice((*_LONG_WORDS, random.getrandbits(35) << 32 | 6)) & (2**64 - 1))
    return data


def _cut(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    ends = (random.randrange(len(data)), random.randrange(min(len(data), 1024)), len(data) // 4096 * 4096)
    return data[: random.choice(ends)]


def _splice(data: bytearray, random: Random, pool: Sequence[bytes]) -> bytearray:
    other = random.choice(pool)
    size = random.choice((16, 64, 512, 4096))
    begin, at = random.randrange(len(other)), random.randrange(len(data))
    piece = other[begin : begin + size]
    data[at : at + len(piece)] = piece
    return data


def _zero(data: bytearray, random: Random, _pool: Sequence[bytes]) -> bytearray:
    at = random.randrange(len(data))
    size = min(random.choice((4, 64, 4096)), len(data) - at)
    data[at : at + size] = bytes(size)
    return data


_CHANGES: tuple[Callable[[bytearray, Random, Sequence[bytes]], bytearray], ...] = (
    _flip_bits,
    _flip_early_bits,
    _header_field,
    _segment_field,
    _segment_field,
    _dynamic_value,
    _dynamic_value,
    _dynamic_tag,
    _table_word,
    _table_word,
    _table_circle,
    _relocation,
    _cut,
    _splice,
    _zero,
)
