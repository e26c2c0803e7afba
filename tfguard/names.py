"""Reads mangled C++ names (Itanium C++ ABI, chapter 5.1): readable, and under the other `_GLIBCXX_USE_CXX11_ABI`.

A name is parsed to a graph in which equal parts are one node, because a later part of a mangled name refers to an
earlier one by number and those numbers shift when `std::string` is spelled otherwise. A spelling is only given where
the graph, written back, is the name as it was. itanium-demangler does the printing; it gets the name without back
references and of bounded length, since it needs 7 seconds for a crafted name of 175 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_LONGEST = 4096
_DEEPEST = 100
_LONGEST_PLAIN = 6000
_MOST_NODES = 4000
_DISPLAY = 400

_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OPERATORS = _words(
    "nw na dl da aw ps ng ad de co pl mi ml dv rm an or eo aS pL mI mL dV rM aN oR eO ls rs lS rS eq ne lt gt le ge ss "
    "nt aa oo pp mm cm pm pt cl ix qu"
)
_BUILTINS = frozenset("vwbcahstijlmxynofdegz")
_D_BUILTINS = frozenset(("Dd", "De", "Df", "Dh", "Di", "Ds", "Du", "Da", "Dc", "Dn"))
_ABBREVIATIONS = frozenset(("St", "Sa", "Sb", "Ss", "Si", "So", "Sd"))
_CONSTRUCTORS = frozenset(("C1", "C2", "C3", "D0", "D1", "D2"))
_QUALIFIERS = re.compile(r"[rVK]+|Do")
_NUMBER = re.compile(r"[0-9]{1,5}")
_REFERENCE = re.compile(r"S([0-9A-Z]{0,3})_")
_PARAMETER = re.compile(r"T[0-9]{0,3}_")
_LITERAL = re.compile(r"n?[0-9a-f]{0,32}E")
_OFFSET = re.compile(r"n?[0-9]{1,9}_")


# What libstdc++ has once in std and once in std::__cxx11, by _GLIBCXX_BEGIN_NAMESPACE_CXX11 in its headers.
_IN_CXX11 = _words(
    "list _List_base basic_stringbuf basic_istringstream basic_ostringstream basic_stringstream collate "
    "collate_byname messages messages_byname money_get money_put moneypunct moneypunct_byname numpunct "
    "numpunct_byname time_get time_get_byname basic_regex regex_traits sub_match match_results regex_iterator "
    "regex_token_iterator"
)
_FILESYSTEM_IN_CXX11 = _words("path filesystem_error directory_entry directory_iterator recursive_directory_iterator")


def readable(name: bytes | str, width: int = _DISPLAY) -> str:
    """The symbol as C++ source would spell it; the name itself where it is no C++ or cannot be read.

    `std::string` is the old ABI's, `std::__cxx11::string` the new one's. Needs the package itanium-demangler
    (`pip install "tfguard[names]"`), without it every name stays mangled. At most `width` characters, with `...` for
    the middle of a longer one, all of them printable ASCII. Never raises.
    """
    text = _text(name)
    shown = _demangled(text) or text
    if not (shown.isascii() and shown.isprintable()):
        shown = shown.encode("unicode_escape").decode("ascii")
    return _cut(shown, width)


def other_abi_spelling(name: bytes) -> tuple[bytes, ...]:
    """How the same function is called when built with the other `_GLIBCXX_USE_CXX11_ABI`; empty where unknown.

    A name with `std::__cxx11` or the tag `B5cxx11` gets its old spelling, any other its new one. A function whose
    name shows no std::string may return one: its new spelling is that with the tag, and exists only if it does.
    """
    parsed = _parsed(_text(name))
    if parsed is None:
        return ()
    graph, root = parsed
    old = _old_spelling(graph, root)
    other = old if old != root else _new_spelling(graph, root)
    if other == root:
        other = _tagged(graph, root)
    spelling = _written(graph, other)
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
    one, two = _parsed(_text(a)), _parsed(_text(b))
    if one is not None and two is not None:
        return _written(one[0], _old_spelling(*one)) == _written(two[0], _old_spelling(*two))
    if not (a.startswith(b"_Z") and b.startswith(b"_Z")):
        return False
    return one is None and two is None and source_names(a) == source_names(b)


_SOURCE_TOKEN = re.compile(
    rb"S[0-9A-Z]*_|T[0-9]*_|[CD][0-9]|A[0-9]+_|L[a-z]n?[0-9]+E|_Z|B(?P<tag>[0-9]{1,5})|(?P<length>[0-9]{1,5})|.",
    re.DOTALL,
)
_ABI_NAMES = frozenset((b"__cxx11", b"basic_string", b"char_traits"))


def source_names(name: bytes) -> tuple[bytes, ...]:
    """The identifiers in a mangled name, in their order, without ABI tags and what differs between the string ABIs.

    Works on any name, also one that this module cannot parse; (name,) for one that is not C++.
    """
    if not name.startswith(b"_Z"):
        return (name,)
    found: list[bytes] = []
    at = 0
    name = name[:_LONGEST]
    while (token := _SOURCE_TOKEN.match(name, at)) is not None:
        at = token.end()
        length = int(token["length"] or token["tag"] or 0)
        identifier = name[at : at + length]
        at += length
        if token["length"] and identifier and identifier not in _ABI_NAMES:
            found.append(identifier)
    return tuple(found)


def abseil_tags(name: bytes) -> tuple[str, ...]:
    """The Abseil releases a name belongs to, as in `absl::lts_20250814::Status`: its inline namespaces, each once."""
    return tuple(dict.fromkeys(tag.decode("ascii") for tag in _ABSEIL.findall(name)))


_ABSEIL = re.compile(rb"4absl12(lts_[0-9]{8})")


# The graph of a name.


class _Node(NamedTuple):
    """`kind` and `text` as the parser sets them; `parts` are the numbers of other nodes, all smaller."""

    kind: str
    text: str
    parts: tuple[int, ...]


_STD = _Node("abbreviation", "St", ())


class _Graph:
    """The nodes of one name; equal nodes have one number, so comparing and copying never walk a shared part twice."""

    __slots__ = ("nodes", "numbers")

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self.numbers: dict[_Node, int] = {}

    def add(self, kind: str, text: str = "", *parts: int) -> int:
        node = _Node(kind, text, parts)
        number = self.numbers.get(node)
        if number is None:
            if len(self.nodes) >= _MOST_NODES:
                raise _NotUnderstood
            number = self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return number

    def rebuilt(self, root: int, change: Callable[[_Graph, int], int]) -> int:
        """The node with `change` applied to all below it and then to itself."""
        done: dict[int, int] = {}

        def build(number: int) -> int:
            if number not in done:
                kind, text, parts = self.nodes[number]
                done[number] = change(self, self.add(kind, text, *map(build, parts)))
            return done[number]

        return build(root)


class _NotUnderstood(Exception):
    """The name is damaged, too large, or has a part that this module leaves alone."""


def _text(name: bytes | str) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name


def _parsed(text: str) -> tuple[_Graph, int] | None:
    """The graph of a mangled name and its root; None unless writing it gives the name back."""
    if not text.startswith("_Z") or len(text) > _LONGEST:
        return None
    parser = _Parser(text)
    try:
        root = parser.encoding()
    except (_NotUnderstood, RecursionError):
        return None
    if parser.at != len(text) or _written(parser.graph, root) != text:
        return None
    return parser.graph, root


def _written(graph: _Graph, root: int) -> str | None:
    try:
        return "_Z" + _Writer(graph, {}).encoding(root)
    except (_NotUnderstood, RecursionError):
        return None


class _Parser:
    """One walk over a name; each method reads one production of the ABI's grammar and returns its node."""

    def __init__(self, text: str) -> None:
        self.graph = _Graph()
        self.text = text
        self.at = 2
        self.depth = 0
        self.seen: list[int] = []
        self.known: set[int] = set()

    def accept(self, *tokens: str) -> str:
        """Read one of the tokens if it comes next; else read nothing and return ""."""
        for token in tokens:
            if self.text.startswith(token, self.at):
                self.at += len(token)
                return token
        return ""

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def remember(self, number: int) -> int:
        """Make a node one that a later `S<number>_` can name; each is named once."""
        if number not in self.known:
            self.known.add(number)
            self.seen.append(number)
        return number

    def until_end(self, item: Callable[[], int]) -> list[int]:
        items: list[int] = []
        while not self.accept("E"):
            items.append(item())
        return items

    def encoding(self) -> int:
        special = self.accept("TV", "TT", "TI", "TS", "TH", "TW", "GV", "Th", "Tv")
        if special in ("Th", "Tv"):
            for _ in special if special == "Tv" else "1":
                offset = self.match(_OFFSET)
                if offset is None:
                    raise _NotUnderstood
                special += offset[0]
            return self.graph.add("special", special, self.encoding())
        if special:
            inner = self.name() if special in ("TH", "TW", "GV") else self.type()
            return self.graph.add("special", special, inner)
        name = self.name()
        types: list[int] = []
        while self.at < len(self.text) and self.text[self.at] not in "E.":
            types.append(self.type())
        return self.graph.add("encoding", "", name, *types)

    def name(self) -> int:
        """<name>: of a function, a variable or a class; itself not yet one that can be referred to."""
        if self.accept("N"):
            return self.nested_name()
        reference = self.reference()
        if reference is not None:
            node = self.graph.nodes[reference]
            if node == _STD:
                return self.maybe_template(self.graph.add("scoped", "", reference, self.unqualified()))
            if not self.accept("I"):
                return reference
            return self.template(reference)
        return self.maybe_template(self.unqualified())

    def maybe_template(self, name: int) -> int:
        return self.template(self.remember(name)) if self.accept("I") else name

    def template(self, name: int) -> int:
        return self.graph.add("template", "", name, *self.until_end(self.argument))

    def nested_name(self) -> int:
        qualifiers = self.match(_QUALIFIERS)
        member = (qualifiers[0] if qualifiers else "") + self.accept("R", "O")
        current: int | None = None
        while True:
            if current is not None and self.accept("I"):
                current = self.template(current)
            elif current is None and self.text[self.at : self.at + 1] == "S":
                current = self.reference()
            elif current is None and self.text[self.at : self.at + 1] == "T":
                current = self.parameter()
            else:
                part = self.unqualified()
                current = part if current is None else self.graph.add("scoped", "", current, part)
            if current is None:
                raise _NotUnderstood
            if self.accept("E"):
                break
            if self.graph.nodes[current].kind != "abbreviation":
                self.remember(current)
        return self.graph.add("member", member, current) if member else current

    def reference(self) -> int | None:
        """<substitution>: the node it stands for; None where none comes next."""
        short = self.text[self.at : self.at + 2]
        if short in _ABBREVIATIONS:
            self.at += 2
            return self.graph.add("abbreviation", short)
        found = self.match(_REFERENCE)
        if found is None:
            return None
        index = int(found[1], 36) + 1 if found[1] else 0
        if index >= len(self.seen):
            raise _NotUnderstood
        return self.seen[index]

    def unqualified(self) -> int:
        code = self.text[self.at : self.at + 2]
        if code == "cv":
            self.at += 2
            number = self.graph.add("conversion", "", self.type())
        elif code in _OPERATORS or code in _CONSTRUCTORS:
            self.at += 2
            number = self.graph.add("operator" if code in _OPERATORS else "constructor", code)
        else:
            local = self.accept("L")
            number = self.graph.add("source", self.identifier(), *([self.graph.add("local")] if local else []))
        while self.accept("B"):
            number = self.graph.add("tagged", self.identifier(), number)
        return number

    def identifier(self) -> str:
        length = self.match(_NUMBER)
        if length is None:
            raise _NotUnderstood
        start, self.at = self.at, self.at + int(length[0])
        if self.at > len(self.text) or self.at == start:
            raise _NotUnderstood
        return self.text[start : self.at]

    def argument(self) -> int:
        """<template-arg>."""
        if self.accept("J"):
            return self.graph.add("pack", "", *self.until_end(self.argument))
        if self.accept("XadL_Z"):
            return self.symbol("address", "EE")
        if self.accept("L_Z"):
            return self.symbol("symbol", "E")
        if self.accept("L"):
            kind = self.type()
            value = self.match(_LITERAL)
            if value is None:
                raise _NotUnderstood
            return self.graph.add("literal", value[0][:-1], kind)
        return self.type()

    def symbol(self, kind: str, end: str) -> int:
        number = self.graph.add(kind, "", self.encoding())
        if not self.accept(end):
            raise _NotUnderstood
        return number

    def parameter(self) -> int:
        found = self.match(_PARAMETER)
        if found is None:
            raise _NotUnderstood
        return self.graph.add("parameter", found[0])

    def type(self) -> int:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NotUnderstood
        number = self._type()
        self.depth -= 1
        return number

    def _type(self) -> int:
        first, two = self.text[self.at : self.at + 1], self.text[self.at : self.at + 2]
        if first in _BUILTINS or two in _D_BUILTINS:
            self.at += len(first if first in _BUILTINS else two)
            return self.graph.add("builtin", first if first in _BUILTINS else two)
        if first == "S" and two != "St":
            reference = self.reference()
            if reference is None:
                raise _NotUnderstood
            if not self.accept("I"):
                return reference
            return self.remember(self.template(reference))
        return self.remember(self.new_type(first, two))

    def new_type(self, first: str, two: str) -> int:
        """A type that can be referred to from here on."""
        qualifiers = self.match(_QUALIFIERS)
        if qualifiers is not None:
            # a qualified function type is one thing, not a qualifier on another: ABI 5.1.5
            inner = self.function() if self.accept("F") else self.type()
            return self.graph.add("qualified", qualifiers[0], inner)
        if first and first in "PROCG":
            self.at += 1
            return self.graph.add("indirect", first, self.type())
        if two == "Dp":
            self.at += 2
            return self.graph.add("expansion", "", self.type())
        if self.accept("F"):
            return self.function()
        if self.accept("A"):
            number = self.match(_NUMBER)
            if number is not None:
                size = self.graph.add("number", number[0])
            else:
                size = self.parameter() if self.text.startswith("T", self.at) else self.graph.add("number")
            if not self.accept("_"):
                raise _NotUnderstood
            return self.graph.add("array", "", size, self.type())
        if self.accept("M"):
            owner = self.type()
            return self.graph.add("pointer to member", "", owner, self.type())
        if first == "T":
            parameter = self.parameter()
            return self.template(self.remember(parameter)) if self.accept("I") else parameter
        if self.accept("u"):
            return self.graph.add("vendor type", self.identifier())
        return self.name()

    def function(self) -> int:
        types: list[int] = []
        while True:
            ending = self.accept("E", "RE", "OE")
            if ending:
                return self.graph.add("function", ending, *types)
            types.append(self.type())


class _Writer:
    """Writes a graph as a mangled name, with back references where `seen` is a table to keep, without where None."""

    def __init__(self, graph: _Graph, seen: dict[int, str] | None) -> None:
        self.graph = graph
        self.seen = seen
        self.spent = 0

    def remember(self, number: int) -> None:
        if self.seen is not None and number not in self.seen:
            count = len(self.seen) - 1
            digits = ""
            while count >= 0 and (count or not digits):
                count, digit = divmod(count, 36)
                digits = _BASE36[digit] + digits
            self.seen[number] = f"S{digits}_"

    def reference(self, number: int) -> str:
        self.spent += 1
        if self.spent > _LONGEST_PLAIN:
            raise _NotUnderstood
        return self.seen.get(number, "") if self.seen is not None else ""

    def all(self, parts: tuple[int, ...]) -> str:
        return "".join(map(self.argument, parts))

    def encoding(self, number: int) -> str:
        kind, text, parts = self.graph.nodes[number]
        if kind != "special":
            return self.name(parts[0]) + "".join(map(self.type, parts[1:]))
        if text[:2] in ("Th", "Tv"):
            return text + self.encoding(parts[0])
        return text + (self.name(parts[0]) if text in ("TH", "TW", "GV") else self.type(parts[0]))

    def name(self, number: int) -> str:
        known = self.reference(number)
        if known:
            return known
        node = self.graph.nodes[number]
        if node.kind == "member":
            return f"N{node.text}{self.prefix(node.parts[0], last=True)}E"
        if node.kind == "scoped" and not self.in_std(number):
            return f"N{self.prefix(number, last=True)}E"
        if node.kind != "template":
            return self.unscoped(number)
        base = node.parts[0]
        kind = self.graph.nodes[base].kind
        if kind == "scoped" and not self.in_std(base):
            return f"N{self.prefix(number, last=True)}E"
        text = self.reference(base) or self.unscoped(base)
        if kind != "abbreviation":
            self.remember(base)
        return f"{text}I{self.all(node.parts[1:])}E"

    def in_std(self, number: int) -> bool:
        return self.graph.nodes[self.graph.nodes[number].parts[0]] == _STD

    def unscoped(self, number: int) -> str:
        kind, text, parts = self.graph.nodes[number]
        if kind == "scoped":
            return "St" + self.unscoped(parts[1])
        if kind in ("abbreviation", "operator", "constructor", "parameter"):
            return text
        if kind == "source":
            return f"{'L' if parts else ''}{len(text)}{text}"
        if kind == "tagged":
            return f"{self.unscoped(parts[0])}B{len(text)}{text}"
        if kind == "conversion":
            return "cv" + self.type(parts[0])
        raise _NotUnderstood

    def prefix(self, number: int, *, last: bool = False) -> str:
        known = "" if last else self.reference(number)
        if known:
            return known
        kind, _, parts = self.graph.nodes[number]
        if kind == "scoped":
            written = self.prefix(parts[0]) + self.unscoped(parts[1])
        elif kind == "template":
            written = f"{self.prefix(parts[0])}I{self.all(parts[1:])}E"
        else:
            written = self.unscoped(number)
        if not last and kind != "abbreviation":
            self.remember(number)
        return written

    def argument(self, number: int) -> str:
        kind, text, parts = self.graph.nodes[number]
        if kind == "pack":
            return f"J{self.all(parts)}E"
        if kind == "address":
            return f"XadL_Z{self.encoding(parts[0])}EE"
        if kind == "symbol":
            return f"L_Z{self.encoding(parts[0])}E"
        if kind == "literal":
            return f"L{self.type(parts[0])}{text}E"
        return self.type(number)

    def type(self, number: int) -> str:
        kind, text, _ = self.graph.nodes[number]
        if kind in ("builtin", "abbreviation"):
            return text
        known = self.reference(number)
        if known:
            return known
        written = self.new_type(number)
        if len(written) > _LONGEST_PLAIN:
            raise _NotUnderstood
        self.remember(number)
        return written

    def new_type(self, number: int) -> str:
        kind, text, parts = self.graph.nodes[number]
        if kind == "qualified":
            function = self.graph.nodes[parts[0]].kind == "function"
            return text + (self.new_type(parts[0]) if function else self.type(parts[0]))
        if kind == "indirect":
            return text + self.type(parts[0])
        if kind == "expansion":
            return "Dp" + self.type(parts[0])
        if kind == "function":
            return f"F{''.join(map(self.type, parts))}{text}"
        if kind == "array":
            size = self.graph.nodes[parts[0]].text
            return f"A{size}_{self.type(parts[1])}"
        if kind == "pointer to member":
            return f"M{self.type(parts[0])}{self.type(parts[1])}"
        if kind == "vendor type":
            return f"u{len(text)}{text}"
        return self.name(number)


# The two string ABIs.


def _std(graph: _Graph, *names: str) -> int:
    number = graph.add("abbreviation", "St")
    for name in names:
        number = graph.add("scoped", "", number, graph.add("source", name))
    return number


def _of_char(graph: _Graph, base: int) -> int:
    """`base<char, std::char_traits<char>, std::allocator<char>>`."""
    char = graph.add("builtin", "c")
    traits = graph.add("template", "", _std(graph, "char_traits"), char)
    allocator = graph.add("template", "", graph.add("abbreviation", "Sa"), char)
    return graph.add("template", "", base, char, traits, allocator)


def _old_spelling(graph: _Graph, root: int) -> int:
    cxx11 = graph.add("source", "__cxx11")
    basic_string, short = _std(graph, "basic_string"), graph.add("abbreviation", "Sb")
    string = _of_char(graph, short)

    def change(graph: _Graph, number: int) -> int:
        node = graph.nodes[number]
        if node.kind == "scoped" and node.parts[1] == cxx11:
            return node.parts[0]
        if node.kind == "tagged" and node.text == "cxx11":
            return node.parts[0]
        if number == basic_string:
            return short
        return graph.add("abbreviation", "Ss") if number == string else number

    return _changed(graph, root, change)


def _new_spelling(graph: _Graph, root: int) -> int:
    std, filesystem = _std(graph), _std(graph, "filesystem")
    cxx11 = _std(graph, "__cxx11")
    basic_string = _std(graph, "__cxx11", "basic_string")

    def change(graph: _Graph, number: int) -> int:
        node = graph.nodes[number]
        if node == ("abbreviation", "Ss", ()):
            return _of_char(graph, basic_string)
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


def _changed(graph: _Graph, root: int, change: Callable[[_Graph, int], int]) -> int:
    try:
        return graph.rebuilt(root, change)
    except (_NotUnderstood, RecursionError):
        return root


def _tagged(graph: _Graph, root: int) -> int:
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


# Printing.

# A marker: the constructor it stands before is a template, and a template's first type would be read as its result.
_UNPRINTED = re.compile(r"<(?:Qual|Cast|Func|Array|Member)?Node |\{")
_NO_RETURN_TYPE = "no::return::type "
_PLAIN_NUMBER = re.compile(
    r"\((?:int|long|short|long long|unsigned int|unsigned long|unsigned short|unsigned long long)\)(n?)([0-9]+)"
)


# as c++filt has them
_SPECIAL_WORDS = {
    "vtt for ": "VTT for ",
    "virtual thunk for ": "virtual thunk to ",
    "non-virtual thunk for ": "non-virtual thunk to ",
}
_SPECIAL = re.compile("|".join(_SPECIAL_WORDS))
_THREAD_LOCAL = {"_ZTH": "TLS init function for ", "_ZTW": "TLS wrapper function for "}


def _demangled(text: str) -> str | None:
    if text[:4] in _THREAD_LOCAL:
        inner = _demangled("_Z" + text[4:])
        return inner and _THREAD_LOCAL[text[:4]] + inner
    parsed = _parsed(text)
    if parsed is None:
        return None
    try:
        from itanium_demangler import parse
    except ImportError:
        return None
    graph, root = parsed
    try:
        plain, suffix = _plain(graph, root)
        mangled = "_Z" + _Writer(graph, None).encoding(plain)
        if len(mangled) > _LONGEST_PLAIN:
            return None
        tree = parse(mangled)
        shown = "" if tree is None else str(tree)
    except Exception:  # a foreign parser on names out of any file
        return None
    if not shown or _UNPRINTED.search(shown):
        return None
    shown = _PLAIN_NUMBER.sub(lambda found: "-" * len(found[1]) + found[2], shown)
    shown = shown.replace("(bool)1", "true").replace("(bool)0", "false").removeprefix(_NO_RETURN_TYPE)
    if special := _SPECIAL.match(shown):
        shown = _SPECIAL_WORDS[special[0]] + shown[special.end() :]
    return shown + suffix


def _plain(graph: _Graph, root: int) -> tuple[int, str]:
    """The name in the words itanium-demangler prints rightly, and what is to follow what it prints.

    It puts the `const` of a member function before the parentheses, does not resolve all template parameters and
    prints constructors as `{ctor}`; so these are resolved here.
    """
    kind, text, parts = graph.nodes[root]
    if kind == "special":
        inner, suffix = _plain(graph, parts[0]) if graph.nodes[parts[0]].kind == "encoding" else (parts[0], "")
        if graph.nodes[parts[0]].kind != "encoding":
            inner = _Expansion(graph, ()).one(parts[0])
        return graph.add("special", text, inner), suffix
    name, suffix = parts[0], ""
    node = graph.nodes[name]
    if node.kind == "member":
        words = {"K": " const", "V": " volatile", "r": " restrict", "R": " &", "O": " &&"}
        suffix = "".join(words.get(letter, "") for letter in reversed(node.text))
        name = node.parts[0]
        node = graph.nodes[name]
    arguments = node.parts[1:] if node.kind == "template" else ()
    expansion = _Expansion(graph, arguments)
    types = expansion.several(parts[1:])
    if len(types) < len(parts) - 1 and len(types) == (1 if arguments else 0):
        types.append(graph.add("builtin", "v"))
    if arguments and _is_constructor(graph, node.parts[0]):
        types.insert(0, _scoped(graph, "no", "return", "type"))
    return graph.add("encoding", "", expansion.one(name), *types), suffix


def _is_constructor(graph: _Graph, number: int) -> bool:
    node = graph.nodes[number]
    return node.kind == "scoped" and graph.nodes[node.parts[1]].kind == "constructor"


def _scoped(graph: _Graph, first: str, *others: str) -> int:
    number = graph.add("source", first)
    for other in others:
        number = graph.add("scoped", "", number, graph.add("source", other))
    return number


_SHORT_NAMES = {
    "Sa": "allocator",
    "Sb": "basic_string",
    "Ss": "string",
    "Si": "istream",
    "So": "ostream",
    "Sd": "iostream",
}


class _Expansion:
    """Puts the template arguments in the place of the parameters, and packs in the place of their expansions."""

    def __init__(self, graph: _Graph, arguments: tuple[int, ...], depth: int = 0) -> None:
        self.graph = graph
        self.arguments = arguments
        self.depth = depth
        self.done: dict[int, int] = {}

    def several(self, numbers: tuple[int, ...]) -> list[int]:
        found: list[int] = []
        for number in numbers:
            node = self.graph.nodes[number]
            if node.kind == "pack":
                found += self.several(node.parts)
            elif node.kind == "expansion":
                found += self.expanded(node.parts[0])
            else:
                found.append(self.one(number))
        return found

    def expanded(self, pattern: int) -> list[int]:
        packs = sorted(self.packs_in(pattern, set()))
        if not packs or self.depth > 2:
            raise _NotUnderstood
        length = min(len(self.graph.nodes[self.arguments[index]].parts) for index in packs)
        found: list[int] = []
        for item in range(length):
            arguments = list(self.arguments)
            for index in packs:
                arguments[index] = self.graph.nodes[self.arguments[index]].parts[item]
            found.append(_Expansion(self.graph, tuple(arguments), self.depth + 1).one(pattern))
        return found

    def packs_in(self, number: int, visited: set[int]) -> set[int]:
        if number in visited:
            return set()
        visited.add(number)
        kind, text, parts = self.graph.nodes[number]
        if kind == "parameter":
            index = self.index(text)
            return {index} if self.graph.nodes[self.arguments[index]].kind == "pack" else set()
        return set().union(*(self.packs_in(part, visited) for part in parts))

    def index(self, text: str) -> int:
        index = int(text[1:-1]) + 1 if text != "T_" else 0
        if index >= len(self.arguments):
            raise _NotUnderstood
        return index

    def one(self, number: int) -> int:
        if number not in self.done:
            self.done[number] = self.built(number)
        return self.done[number]

    def built(self, number: int) -> int:
        graph = self.graph
        kind, text, parts = graph.nodes[number]
        if kind == "parameter":
            argument = self.arguments[self.index(text)]
            return _Expansion(graph, (), self.depth).one(argument)
        if kind in ("address", "symbol"):
            return self.one(graph.nodes[parts[0]].parts[0])
        if kind in ("pack", "expansion"):
            raise _NotUnderstood
        if kind == "array":
            size = graph.nodes[self.one(parts[0])]
            return graph.add("array", "", graph.add("number", size.text), self.one(parts[1]))
        if kind in ("indirect", "qualified"):
            return self.declared(kind, text, self.one(parts[0]))
        if _is_constructor(graph, number):
            letter = "~" if graph.nodes[parts[1]].text.startswith("D") else ""
            last = graph.add("source", letter + self.class_name(parts[0]))
            return graph.add("scoped", "", self.one(parts[0]), last)
        if kind == "source":
            return graph.add("source", text)
        built = graph.add(kind, text, *self.several(parts))
        if built == _of_char(graph, _std(graph, "__cxx11", "basic_string")):
            return _std(graph, "__cxx11", "string")
        return built

    def declared(self, kind: str, text: str, inner: int) -> int:
        """A reference or a qualifier on what an argument turned out to be: `T&&` of `int&` is `int&`."""
        graph = self.graph
        under = graph.nodes[inner]
        if kind == "qualified" and under.kind == "array":
            return graph.add("array", "", under.parts[0], self.declared(kind, text, under.parts[1]))
        if kind == "qualified" and under == (kind, text, under.parts):
            return inner
        if under.kind == "indirect" and {text, under.text} <= {"R", "O"}:
            return graph.add("indirect", "O" if text == under.text == "O" else "R", under.parts[0])
        return graph.add(kind, text, inner)

    def class_name(self, number: int) -> str:
        kind, text, parts = self.graph.nodes[number]
        if kind in ("source", "abbreviation"):
            return _SHORT_NAMES.get(text, text)
        if number == _of_char(self.graph, _std(self.graph, "__cxx11", "basic_string")):
            return "string"
        return self.class_name(parts[1] if kind == "scoped" else parts[0])


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    kept = max(width - 3, 2)
    return f"{text[: kept - kept // 2]}...{text[-(kept // 2) :]}"
