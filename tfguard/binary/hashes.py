"""The hash functions of the two kinds of symbol hash table."""

from __future__ import annotations


def gnu_hash(name: bytes) -> int:
    """The GNU hash of a symbol name: h = h * 33 + byte, from 5381, 32 bits.

    Evaluated as a number in base 33 by `int()`, each byte split into a digit and a carry digit: several times faster
    than a loop over the bytes.
    """
    size = len(name)
    if size >= _POWER_COUNT:
        h = 5381
        for byte in name:
            h = (h * 33 + byte) & 0xFFFFFFFF
        return h
    if not size:
        return 5381
    return (_POWERS[size] + int(name.translate(_DIGIT), 33) + 33 * int(name.translate(_CARRY), 33)) & 0xFFFFFFFF


_POWER_COUNT = 4000  # int() refuses more than 4300 digits
_DIGITS = b"0123456789abcdefghijklmnopqrstuvw"
_DIGIT = bytes(_DIGITS[byte % 33] for byte in range(256))
_CARRY = bytes(_DIGITS[byte // 33] for byte in range(256))


def _powers() -> tuple[int, ...]:
    values, value = [], 5381
    for _ in range(_POWER_COUNT):
        values.append(value)
        value = value * 33 & 0xFFFFFFFF
    return tuple(values)


_POWERS = _powers()


def sysv_hash(name: bytes) -> int:
    """The hash of DT_HASH (gABI, chapter 5)."""
    h = 0
    for byte in name:
        h = (h << 4) + byte
        h = (h ^ (h & 0xF0000000) >> 24) & 0x0FFFFFFF
    return h
