"""The export trie of a Mach-O image, walked symbol by symbol (dyld.md D-93)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

WEAK_DEFINITION = 0x04
REEXPORT = 0x08
STUB_AND_RESOLVER = 0x10

_VISITS_LIMIT = 4096
_NO_TEXT = -1


class Export(NamedTuple):
    """What a trie says of a symbol: flags, and for one passed on the ordinal and the name it has there."""

    flags: int
    ordinal: int = 0
    name: bytes = b""


class _Node(NamedTuple):
    """A node as read: where its terminal information begins and ends, its children by the first byte of the edge."""

    start: int
    end: int
    children: dict[int, list[tuple[bytes, int]]]


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
            if at == size and node.end > node.start:
                return self._terminal(node, name)
            edges = node.children.get(name[at] if at < size else _NO_TEXT, ())
            for edge, child in edges or node.children.get(_NO_TEXT, ()):
                if name.startswith(edge, at):
                    at += len(edge)
                    offset = child
                    break
            else:
                return None
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
            for children in node.children.values():
                for edge, child in children:
                    if child not in seen and len(prefix) + len(edge) <= _VISITS_LIMIT * 16:
                        seen.add(child)
                        pending.append((child, prefix + edge))

    def _read(self, offset: int) -> _Node | None:
        data = self._data
        size = len(data)
        if offset >= size:
            return None
        length, start = data[offset], offset + 1
        if length > 0x7F:
            length, start = _uleb(data, offset)
        end = start + length
        if start < 0 or end >= size:
            return None
        at = end + 1
        children: dict[int, list[tuple[bytes, int]]] = {}
        for _ in range(data[end]):
            stop = data.find(b"\0", at)
            if stop < 0:
                return None
            edge = data[at:stop]
            child, at = _uleb(data, stop + 1)
            if at < 0 or child >= size:
                return None
            # linkers also make edges without text, to a node that holds nothing but what a name is
            children.setdefault(edge[0] if edge else _NO_TEXT, []).append((edge, child))
        return _Node(start, end, children)

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
