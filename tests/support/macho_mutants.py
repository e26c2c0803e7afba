"""Makes damaged Mach-O files of sound ones: bits, header and load-command words, tables, cuts; a seed gives one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

_WORDS = (0, 1, 2, 7, 8, 16, 24, 0xFF, 0x1000, 0x4000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 0xCAFEBABE, 0xFEEDFACF)
_COMMANDS = (0x2, 0xB, 0xC, 0xD, 0x19, 0x1B, 0x1D, 0x32, 0x80000018, 0x8000001C, 0x8000001F, 0x80000022, 0x80000033,
             0x80000034, 0x80000099)  # fmt: skip


def mutant(seed: int, sound: Sequence[bytes]) -> bytes:
    """One to four random changes to one of the files."""
    random = Random(seed)
    data = bytearray(random.choice(sound))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if data:
            random.choice(_CHANGES)(data, random)
    return bytes(data)


def _flip_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 4, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _flip_early_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 2, 16))):
        data[random.randrange(min(len(data), 1536))] ^= 1 << random.randrange(8)


def _early_word(data: bytearray, random: Random) -> None:
    """A word of the headers: mostly one of the load commands."""
    _put(data, 4 * random.randrange(min(len(data), 1536) // 4 or 1), random.choice((*_WORDS, len(data))))


def _slice_word(data: bytearray, random: Random) -> None:
    """The same in the slice of a universal file."""
    if data[:3] == b"\xca\xfe\xba" and len(data) > 0x4000 + 1536:
        _put(data, 0x4000 + 4 * random.randrange(384), random.choice((*_WORDS, len(data))))


def _command(data: bytearray, random: Random) -> None:
    """Another number for a load command, or another size."""
    at = 32
    for _ in range(random.randrange(12)):
        if at + 8 > len(data):
            return
        at += struct.unpack_from("<I", data, at + 4)[0] & 0xFFF or 8
    _put(data, at + random.choice((0, 4)), random.choice((*_COMMANDS, *_WORDS)))


def _linkedit(data: bytearray, random: Random) -> None:
    """Bytes of the tables behind the segments: opcodes, trie, fixups, signature."""
    start = min(0x8000, len(data) // 2)
    for _ in range(random.choice((1, 3, 20))):
        data[random.randrange(start, len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _cut(data: bytearray, random: Random) -> None:
    del data[random.choice((random.randrange(len(data)), random.randrange(min(len(data), 2048)))) :]


def _zero(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data))
    size = min(random.choice((4, 64, 4096)), len(data) - at)
    data[at : at + size] = bytes(size)


def _put(data: bytearray, at: int, word: int) -> None:
    if at + 4 <= len(data):
        struct.pack_into("<I" if data[:3] != b"\xca\xfe\xba" or at > 64 else ">I", data, at, word)


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip_bits, _flip_early_bits, _early_word, _early_word, _early_word, _slice_word, _command, _command, _linkedit,
    _linkedit, _cut, _zero,
)  # fmt: skip
