"""The export trie of a Mach-O image, walked symbol by symbol (dyld.md D-93)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

WEAK_DEFINITION = 0x04
REEXPORT = 0x08
STUB_AND_RESOLVER = 0x10

_VISITS_LIMIT = 4096
_NO_EDGE = (b"", 0)  # no edge leads back to the root


class Export(NamedTuple):
    """What a trie says of a symbol: flags, and for one passed on the ordinal and the name it has there."""

    flags: int
    ordinal: int = 0
    name: bytes = b""


class _Node(NamedTuple):
    """A node as read: where its terminal information begins and ends, and its edges, each with the child's place.

    `children` are by the first byte of the edge. `others` are those that begin as another does, and those without text:
    linkers make such edges to a node that holds nothing but what a name is.
    """

    start: int
    end: int
    children: dict[int, tuple[bytes, int]]
    others: list[tuple[bytes, int]]


class ExportTrie:
    """A trie in memory; nodes are read when first met and kept, because names share their beginnings."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._nodes: dict[int, _Node | None] = {}

    def __len__(self) -> int:
        return len(self._data)

    def find(self, name: bytes) -> Export | None:
        """What the trie says of a symbol; None where it is not exported, also where the trie is damaged there."""
        if not self._data:
            return None
        nodes = self._nodes
        offset = at = 0
        size = len(name)
        for _ in range(_VISITS_LIMIT):
            try:
                node = nodes[offset]
            except KeyError:
                node = nodes[offset] = self._read(offset)
            if node is None:
                return None
            start, end, children, others = node
            if at == size and end > start:
                return self._terminal(node, name)
            edge, offset = (children.get(name[at]) if at < size else None) or _NO_EDGE
            if not offset or not name.startswith(edge, at):
                edge, offset = next((one for one in others if name.startswith(one[0], at)), _NO_EDGE)
            at += len(edge)
            if offset == 0:
                return None
        return None

    def __iter__(self) -> Iterator[tuple[bytes, Export]]:
        """Every export with its name. Each node is visited once, whatever edges lead to it."""
        if not self._data:
            return
        seen = {0}
        pending = [(0, b"")]
        while pending:
            offset, prefix = pending.pop()
            node = self._read(offset)
            if node is None:
                continue
            if node.end > node.start and (found := self._terminal(node, prefix)) is not None:
                yield prefix, found
            for edge, child in (*node.children.values(), *node.others):
                if child not in seen and len(prefix) + len(edge) <= _VISITS_LIMIT * 16:
                    seen.add(child)
                    pending.append((child, prefix + edge))

    def _read(self, offset: int) -> _Node | None:
        data = self._data
        size = len(data)
        children: dict[int, tuple[bytes, int]] = {}
        others: list[tuple[bytes, int]] = []
        try:
            length, start = data[offset], offset + 1
            if length > 0x7F:
                length, start = _uleb(data, offset)
            end = start + length
            at = end + 1
            for _ in range(data[end] if start > 0 else 0):
                stop = data.find(0, at)
                if stop < 0:
                    return None
                edge = data[at:stop]
                # a number as `_uleb` reads it, in place: a name has some ten edges
                byte = data[stop + 1]
                at, child, shift = stop + 2, byte & 0x7F, 7
                while byte > 0x7F and shift < 70:
                    byte = data[at]
                    child |= (byte & 0x7F) << shift
                    at, shift = at + 1, shift + 7
                if byte > 0x7F or child >= size:
                    return None
                if edge and edge[0] not in children:
                    children[edge[0]] = edge, child
                else:
                    others.append((edge, child))
        except IndexError:
            return None
        return _Node(start, end, children, others) if start > 0 else None

    def _terminal(self, node: _Node, name: bytes) -> Export | None:
        data = self._data
        flags, at = _uleb(data, node.start)
        if at < 0:
            return None
        if flags & REEXPORT:
            ordinal, at = _uleb(data, at)
            stop = data.find(b"\0", at) if at >= 0 else -1
            return Export(flags, ordinal, data[at:stop] or name) if stop >= 0 else None
        return Export(flags)


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    """The ULEB128 number at a place and the place behind it, which is -1 where it does not end or is too long."""
    value = shift = 0
    end = min(len(data), at + 10)
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1
