"""Writes a graph as the mangled name that a compiler would give it, with or without back references."""

from __future__ import annotations

from tfguard.mangling.graph import STD, Graph, NotUnderstood

LONGEST_PLAIN = 6000  # characters of a name without back references

_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def written(graph: Graph, root: int) -> str | None:
    """The mangled name of a graph; None where it would be too long."""
    try:
        return "_Z" + Writer(graph, {}).encoding(root)
    except (NotUnderstood, RecursionError):
        return None


class Writer:
    """Writes a graph as a mangled name, with back references where `seen` is a table to keep, without where None."""

    def __init__(self, graph: Graph, seen: dict[int, str] | None) -> None:
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
        if self.spent > LONGEST_PLAIN:
            raise NotUnderstood
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
        return self.graph.nodes[self.graph.nodes[number].parts[0]] == STD

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
        raise NotUnderstood

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
        if len(written) > LONGEST_PLAIN:
            raise NotUnderstood
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
