"""Tells which extension of the processor an x86-64 instruction belongs to, by its first bytes."""

from __future__ import annotations

_LEGACY = frozenset(b"\x66\xf2\xf3\x2e\x36\x3e\x26\x64\x65\x67\xf0")
# The second byte behind 0F, of the instructions that ends the process on purpose (ud2, ud1, ud0).
_ON_PURPOSE = frozenset(b"\x0b\xb9\xff")


def feature_of(code: bytes) -> str:
    """The extension's name as /proc/cpuinfo writes it, "" for what every x86-64 has or is not known.

    "ud2" is no extension: compilers put it where control must never come. By the prefixes of Intel's manual, volume
    2, chapter 2: VEX begins with C4 or C5, EVEX with 62.
    """
    prefixes, rest = _prefixes(code)
    if rest[:1] == b"\x62":
        return "avx512f"
    if rest[:1] == b"\xc5":
        return "avx2" if _is_wide_integer(rest[1:2], rest[2:3]) else "avx"
    if rest[:1] == b"\xc4" and len(rest) >= 4:
        return _three_byte_vex(rest[1] & 0x1F, rest[2], rest[3])
    if rest[:1] == b"\x0f" and len(rest) >= 2:
        return _two_byte(prefixes, rest)
    return ""


def _prefixes(code: bytes) -> tuple[bytes, bytes]:
    at = 0
    while at < len(code) and code[at] in _LEGACY:
        at += 1
    prefixes = code[:at]
    if at < len(code) and code[at] & 0xF0 == 0x40:  # REX
        at += 1
    return prefixes, code[at:]


def _is_wide_integer(second: bytes, opcode: bytes) -> bool:
    """Integer instructions on 256 bits came with AVX2: those with the prefix 66, in the ranges of MMX's opcodes."""
    if not second or not opcode:
        return False
    wide, packed = bool(second[0] & 0x04), second[0] & 0x03 == 1
    integer = 0x60 <= opcode[0] <= 0x6D or 0x74 <= opcode[0] <= 0x76 or opcode[0] >= 0xD1
    return wide and packed and integer and opcode[0] not in (0xE7, 0xE6)


def _three_byte_vex(table: int, second: int, opcode: int) -> str:
    if table == 2:
        if 0x96 <= opcode <= 0xBF:
            return "fma"
        if opcode in (0xF2, 0xF3):
            return "bmi1"
        if opcode in (0xF5, 0xF6, 0xF7):
            return "bmi2"
        if opcode in (0x49, 0x4B, 0x5C, 0x5E):
            return "amx_tile"
        if opcode in (0x18, 0x19, 0x1A, 0x2C, 0x2D, 0x2E, 0x2F, 0x0C, 0x0D, 0x0E, 0x0F):
            return "avx"
        if opcode == 0x13:
            return "f16c"
        wide = bool(second & 0x04)
        return "avx2" if wide or opcode in (0x58, 0x59, 0x5A, 0x78, 0x79, 0x45, 0x46, 0x47, 0x8C, 0x8E) else "avx"
    if table == 3 and opcode == 0xF0:
        return "bmi2"
    if table == 3 and opcode == 0x1D:
        return "f16c"
    if table == 3 and opcode in (0x00, 0x01, 0x02, 0x38, 0x39, 0x46):
        return "avx2"
    return "avx"


def _two_byte(prefixes: bytes, rest: bytes) -> str:
    if rest[1] in _ON_PURPOSE:
        return "ud2"
    if rest[1] == 0xB8 and b"\xf3"[0] in prefixes:
        return "popcnt"
    if rest[1] in (0x38, 0x3A) and len(rest) >= 3:
        if rest[1] == 0x38 and rest[2] in (0xF0, 0xF1):
            return "sse4_2" if b"\xf2"[0] in prefixes else "movbe"
        if rest[1] == 0x38 and 0xDB <= rest[2] <= 0xDF:
            return "aes"
        if rest[2] <= 0x0F or 0x1C <= rest[2] <= 0x1E:
            return "ssse3"
        return "sse4_2" if rest[2] in (0x37, 0x60, 0x61, 0x62, 0x63) else "sse4_1"
    return ""
