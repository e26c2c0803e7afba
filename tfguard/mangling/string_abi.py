"""Spells a mangled name as a compiler does under the other value of `_GLIBCXX_USE_CXX11_ABI`."""

from __future__ import annotations

import re
from collections.abc import Callable

from tfguard.mangling.graph import Graph, NotUnderstood, in_std, of_char
from tfguard.mangling.parser import parsed
from tfguard.mangling.source_names import source_names
from tfguard.mangling.writer import written

# What libstdc++ has once in std and once in std::__cxx11, by _GLIBCXX_BEGIN_NAMESPACE_CXX11 in its headers.
_IN_CXX11 = frozenset(
    re.findall(
        r"\w+",
        "list _List_base basic_stringbuf basic_istringstream basic_ostringstream basic_stringstream collate "
        "collate_byname messages messages_byname money_get money_put moneypunct moneypunct_byname numpunct "
        "numpunct_byname time_get time_get_byname basic_regex regex_traits sub_match match_results regex_iterator "
        "regex_token_iterator",
    )
)
_FILESYSTEM_IN_CXX11 = frozenset(
    ("path", "filesystem_error", "directory_entry", "directory_iterator", "recursive_directory_iterator")
)


def other_abi_spelling(name: bytes) -> tuple[bytes, ...]:
    """How the same function is called when built with the other `_GLIBCXX_USE_CXX11_ABI`; empty where unknown.

    A name with `std::__cxx11` or the tag `B5cxx11` gets its old spelling, any other its new one. A function whose
    name shows no std::string may return one: its new spelling is that with the tag, and exists only if it does.
    """
    read = parsed(name)
    if read is None:
        return ()
    graph, root = read
    old = _old_spelling(graph, root)
    other = old if old != root else _new_spelling(graph, root)
    if other == root:
        other = _tagged(graph, root)
    spelling = written(graph, other)
    if spelling is None or other == root:
        return ()
    # a name that no compiler wrote can turn into one that reads otherwise
    twin = spelling.encode("latin-1")
    return (twin,) if same_function(name, twin) else ()


def same_function(a: bytes, b: bytes) -> bool:
    """True where the two names are one function, whichever string ABI each is built with.

    Overloads are told apart, save in names that have parts not understood here (lambdas, local names, most
    expressions): of those only the source names are compared.
    """
    if a == b:
        return True
    one, two = parsed(a), parsed(b)
    if one is not None and two is not None:
        return written(one[0], _old_spelling(*one)) == written(two[0], _old_spelling(*two))
    if not (a.startswith(b"_Z") and b.startswith(b"_Z")):
        return False
    return one is None and two is None and source_names(a) == source_names(b)


def _old_spelling(graph: Graph, root: int) -> int:
    cxx11 = graph.add("source", "__cxx11")
    basic_string, short = in_std(graph, "basic_string"), graph.add("abbreviation", "Sb")
    string = of_char(graph, short)

    def change(graph: Graph, number: int) -> int:
        node = graph.nodes[number]
        if node.kind == "scoped" and node.parts[1] == cxx11:
            return node.parts[0]
        if node.kind == "tagged" and node.text == "cxx11":
            return node.parts[0]
        if number == basic_string:
            return short
        return graph.add("abbreviation", "Ss") if number == string else number

    return _changed(graph, root, change)


def _new_spelling(graph: Graph, root: int) -> int:
    std, filesystem = in_std(graph), in_std(graph, "filesystem")
    cxx11 = in_std(graph, "__cxx11")
    basic_string = in_std(graph, "__cxx11", "basic_string")

    def change(graph: Graph, number: int) -> int:
        node = graph.nodes[number]
        if node == ("abbreviation", "Ss", ()):
            return of_char(graph, basic_string)
        if node == ("abbreviation", "Sb", ()):
            return basic_string
        if node.kind == "scoped":
            last = graph.nodes[node.parts[1]].text
            if node.parts[0] == std and last in _IN_CXX11:
                return graph.add("scoped", "", cxx11, node.parts[1])
            if node.parts[0] == filesystem and last in _FILESYSTEM_IN_CXX11:
                inner = graph.add("scoped", "", filesystem, graph.add("source", "__cxx11"))
                return graph.add("scoped", "", inner, node.parts[1])
        return number

    return _changed(graph, root, change)


def _changed(graph: Graph, root: int, change: Callable[[Graph, int], int]) -> int:
    try:
        return graph.rebuilt(root, change)
    except (NotUnderstood, RecursionError):
        return root


def _tagged(graph: Graph, root: int) -> int:
    """The function with the tag of one that returns a std::string; itself where no such function can be."""
    kind, _, parts = graph.nodes[root]
    if kind != "encoding":
        return root

    def tag(number: int) -> int | None:
        kind, text, parts = graph.nodes[number]
        if kind in ("source", "operator"):
            return graph.add("tagged", "cxx11", number)
        if kind in ("member", "scoped"):
            last = tag(parts[-1])
            return None if last is None else graph.add(kind, text, *parts[:-1], last)
        return None  # a function template has its return type in its name; a constructor has none

    name = tag(parts[0])
    return root if name is None else graph.add("encoding", "", name, *parts[1:])
