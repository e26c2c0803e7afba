"""Parses a mangled C++ name to a graph, by the grammar of the Itanium C++ ABI, chapter 5.1."""

from __future__ import annotations

import re
from collections.abc import Callable

from tfguard.mangling.graph import STD, Graph, NotUnderstood
from tfguard.mangling.writer import written

_LONGEST = 4096
_DEEPEST = 100

_OPERATORS = frozenset(
    re.findall(
        "[a-zA-Z]+",
        "nw na dl da aw ps ng ad de co pl mi ml dv rm an or eo aS pL mI mL dV rM aN oR eO ls rs lS rS eq ne lt gt le "
        "ge ss nt aa oo pp mm cm pm pt cl ix qu",
    )
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


def parsed(name: bytes | str) -> tuple[Graph, int] | None:
    """The graph of a mangled name and its root; None unless writing it gives the name back."""
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if not text.startswith("_Z") or len(text) > _LONGEST:
        return None
    parser = _Parser(text)
    try:
        root = parser.encoding()
    except (NotUnderstood, RecursionError):
        return None
    if parser.at != len(text) or written(parser.graph, root) != text:
        return None
    return parser.graph, root


class _Parser:
    """One walk over a name; each method reads one production of the ABI's grammar and returns its node."""

    def __init__(self, text: str) -> None:
        self.graph = Graph()
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
                    raise NotUnderstood
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
            if node == STD:
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
                raise NotUnderstood
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
            raise NotUnderstood
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
            raise NotUnderstood
        start, self.at = self.at, self.at + int(length[0])
        if self.at > len(self.text) or self.at == start:
            raise NotUnderstood
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
                raise NotUnderstood
            return self.graph.add("literal", value[0][:-1], kind)
        return self.type()

    def symbol(self, kind: str, end: str) -> int:
        number = self.graph.add(kind, "", self.encoding())
        if not self.accept(end):
            raise NotUnderstood
        return number

    def parameter(self) -> int:
        found = self.match(_PARAMETER)
        if found is None:
            raise NotUnderstood
        return self.graph.add("parameter", found[0])

    def type(self) -> int:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotUnderstood
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
                raise NotUnderstood
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
                raise NotUnderstood
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
