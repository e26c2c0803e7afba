"""The parts of one mangled name as a graph in which equal parts are one node.

A later part of a mangled name refers to an earlier one by number, and those numbers shift when `std::string` is
spelled otherwise: a changed name is therefore a changed graph, written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_MOST_NODES = 4000


class Node(NamedTuple):
    """`kind` and `text` as the parser sets them; `parts` are the numbers of other nodes, all smaller."""

    kind: str
    text: str
    parts: tuple[int, ...]


STD = Node("abbreviation", "St", ())


class NotUnderstood(Exception):
    """The name is damaged, too large, or has a part that is left alone here."""


class Graph:
    """The nodes of one name; equal nodes have one number, so comparing and copying never walk a shared part twice."""

    __slots__ = ("nodes", "numbers")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}

    def add(self, kind: str, text: str = "", *parts: int) -> int:
        """The number of the node, a new one where there is none yet; raises NotUnderstood for more than 4000."""
        node = Node(kind, text, parts)
        number = self.numbers.get(node)
        if number is None:
            if len(self.nodes) >= _MOST_NODES:
                raise NotUnderstood
            number = self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return number

    def rebuilt(self, root: int, change: Callable[[Graph, int], int]) -> int:
        """The node with `change` applied to all below it and then to itself."""
        done: dict[int, int] = {}

        def build(number: int) -> int:
            if number not in done:
                kind, text, parts = self.nodes[number]
                done[number] = change(self, self.add(kind, text, *map(build, parts)))
            return done[number]

        return build(root)


def in_std(graph: Graph, *names: str) -> int:
    """`std::a::b` for the names a and b; `std` itself for none."""
    number = graph.add("abbreviation", "St")
    for name in names:
        number = graph.add("scoped", "", number, graph.add("source", name))
    return number


def of_char(graph: Graph, base: int) -> int:
    """`base<char, std::char_traits<char>, std::allocator<char>>`."""
    char = graph.add("builtin", "c")
    traits = graph.add("template", "", in_std(graph, "char_traits"), char)
    allocator = graph.add("template", "", graph.add("abbreviation", "Sa"), char)
    return graph.add("template", "", base, char, traits, allocator)
