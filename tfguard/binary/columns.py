"""Tables of unsigned integers in a file: read whole, or item by item where few of many are wanted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal, Protocol


class Column(Protocol):
    def __getitem__(self, index: int, /) -> int: ...


class OnDemand:
    """A table of unsigned integers in the file, read item by item."""

    __slots__ = ("fd", "length", "offset", "order", "size")

    def __init__(self, fd: int, offset: int, length: int, size: int, order: str) -> None:
        self.fd, self.offset, self.length, self.size, self.order = fd, offset, length, size, order

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.length:
            raise IndexError(index)
        data = os.pread(self.fd, self.size, self.offset + index * self.size)
        if len(data) < self.size:
            raise IndexError(index)
        return int.from_bytes(data, "little" if self.order == "<" else "big")


def unsigned(fd: int, offset: int, size: int, count: int, order: str) -> Sequence[int]:
    """`count` unsigned integers of `size` bytes at a file offset, fewer where the file ends, read at once."""
    data = os.pread(fd, size * count, offset)
    view = memoryview(data[: len(data) - len(data) % size])
    if order == _NATIVE:
        return view.cast(_CODES[size])
    byte_order: Literal["little", "big"] = "little" if order == "<" else "big"
    return [int.from_bytes(view[i : i + size], byte_order) for i in range(0, len(view), size)]


_NATIVE = "<" if sys.byteorder == "little" else ">"
_CODES: dict[int, Literal["H", "I", "Q"]] = {2: "H", 4: "I", 8: "Q"}
