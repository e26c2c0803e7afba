"""Puts a name into the words that itanium-demangler prints rightly: its template parameters are resolved."""

from __future__ import annotations

from tfguard.mangling.graph import Graph, NotUnderstood, in_std, of_char

# A marker: the constructor it stands before is a template, and a template's first type would be read as its result.
NO_RETURN_TYPE = ("no", "return", "type")


_SHORT_NAMES = {
    "Sa": "allocator",
    "Sb": "basic_string",
    "Ss": "string",
    "Si": "istream",
    "So": "ostream",
    "Sd": "iostream",
}


def in_plain_words(graph: Graph, root: int) -> tuple[int, str]:
    """The name in the words itanium-demangler prints rightly, and what is to follow what it prints.

    It puts the `const` of a member function before the parentheses, does not resolve all template parameters and
    prints constructors as `{ctor}`; so these are resolved here.
    """
    kind, text, parts = graph.nodes[root]
    if kind == "special":
        inner, suffix = in_plain_words(graph, parts[0]) if graph.nodes[parts[0]].kind == "encoding" else (parts[0], "")
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
        types.insert(0, _scoped(graph, *NO_RETURN_TYPE))
    return graph.add("encoding", "", expansion.one(name), *types), suffix


def _is_constructor(graph: Graph, number: int) -> bool:
    node = graph.nodes[number]
    return node.kind == "scoped" and graph.nodes[node.parts[1]].kind == "constructor"


def _scoped(graph: Graph, first: str, *others: str) -> int:
    number = graph.add("source", first)
    for other in others:
        number = graph.add("scoped", "", number, graph.add("source", other))
    return number


class _Expansion:
    """Puts the template arguments in the place of the parameters, and packs in the place of their expansions."""

    def __init__(self, graph: Graph, arguments: tuple[int, ...], depth: int = 0) -> None:
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
            raise NotUnderstood
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
            raise NotUnderstood
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
            raise NotUnderstood
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
        if built == of_char(graph, in_std(graph, "__cxx11", "basic_string")):
            return in_std(graph, "__cxx11", "string")
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
        if number == of_char(self.graph, in_std(self.graph, "__cxx11", "basic_string")):
            return "string"
        return self.class_name(parts[1] if kind == "scoped" else parts[0])
