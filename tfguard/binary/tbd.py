"""Reads text stubs of a macOS SDK (.tbd): which symbols a library of the system exports, where its file cannot be had.

Two forms: a small part of YAML up to version 4, JSON from version 5 on. What is not understood is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_LIMIT = 1 << 26
_DOCUMENT = re.compile(r"^---", re.MULTILINE)
_SECTION = re.compile(r"^([a-z-]+):", re.MULTILINE)
_ENTRY = re.compile(r"^  - (?:targets|archs):\s*\[([^\]]*)\]", re.MULTILINE)
_LIST = re.compile(r"^    ([a-z-]+):\s*\[([^\]]*)\]", re.MULTILINE)
_WORD = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"]+)")
_NAME = re.compile(r"^install-name:\s*'?([^'\n]+?)'?\s*$", re.MULTILINE)
# What a list of names stands for: the symbols of an Objective-C class have no names of their own there.
_SPELLED = {
    "symbols": ("",), "weak-symbols": ("",), "weak-def-symbols": ("",), "thread-local-symbols": ("",),
    "objc-classes": ("_OBJC_CLASS_$_", "_OBJC_METACLASS_$_"), "objc-eh-types": ("_OBJC_EHTYPE_$_",),
    "objc-ivars": ("_OBJC_IVAR_$_",),
    "global": ("",), "weak": ("",), "thread_local": ("",), "objc_class": ("_OBJC_CLASS_$_", "_OBJC_METACLASS_$_"),
    "objc_eh_type": ("_OBJC_EHTYPE_$_",), "objc_ivar": ("_OBJC_IVAR_$_",),
}  # fmt: skip


class Stub(NamedTuple):
    """One library of a stub file: its install name, what it exports, and the libraries whose exports it passes on."""

    name: str
    symbols: frozenset[str]
    passes_on: tuple[str, ...]


def stubs_in(text: str, architecture: str) -> Iterator[Stub]:
    """The libraries that a file describes, as a process of this architecture (arm64, x86_64) has them."""
    if text.lstrip()[:1] == "{":
        yield from _of_json(text, architecture)
        return
    for document in _DOCUMENT.split(text):
        name = _NAME.search(document)
        if name is None:
            continue
        sections = {one[1]: one for one in _SECTION.finditer(document)}
        ends = sorted(one.start() for one in sections.values())

        def part(title: str, text: str = document, known: Any = sections, stops: Any = ends) -> str:
            start = known[title].end() if title in known else len(text)  # Any: matches of a pattern
            return text[start : next((one for one in stops if one > start), len(text))]

        symbols: set[str] = set()
        for title in ("exports", "reexports"):
            for what, names in _lists(part(title), architecture):
                symbols.update(prefix + one for prefix in _SPELLED.get(what, ()) for one in names)
        libraries = [one for what, names in _lists(part("reexported-libraries"), architecture) for one in names]
        yield Stub(name[1], frozenset(symbols), tuple(libraries))


def _lists(section: str, architecture: str) -> Iterator[tuple[str, list[str]]]:
    entries = list(_ENTRY.finditer(section))
    for number, entry in enumerate(entries):
        end = entries[number + 1].start() if number + 1 < len(entries) else len(section)
        if any(_is_for(one, architecture) for one in _words(entry[1])):
            for found in _LIST.finditer(section, entry.end(), end):
                yield found[1], _words(found[2])


def _words(text: str) -> list[str]:
    return [one[1] or one[2] or one[3] for one in _WORD.finditer(text)]


def _is_for(target: str, architecture: str) -> bool:
    """Whether a target ("arm64e-macos") is this process: the system's own libraries are arm64e, and serve arm64."""
    processor, _, system = target.partition("-")
    return system in ("", "macos") and processor.startswith(architecture)


def _of_json(text: str, architecture: str) -> Iterator[Stub]:
    import json  # only where an SDK is given

    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(data, dict):
        return
    libraries = [data.get("main_library"), *(data.get("libraries") or ())]
    for one in libraries:
        if isinstance(one, dict):
            names = [each.get("name") for each in _dicts(one.get("install_names"))]
            exported = [*_dicts(one.get("exported_symbols")), *_dicts(one.get("reexported_symbols"))]
            symbols = {
                prefix + symbol
                for entry in exported
                if not entry.get("targets") or any(_is_for(str(each), architecture) for each in entry["targets"])
                for kind in _dicts([entry.get("data"), entry.get("text")])
                for what, listed in kind.items()
                for prefix in _SPELLED.get(str(what), ())
                for symbol in listed
                if isinstance(symbol, str)
            }
            passed = [str(each) for entry in _dicts(one.get("reexported_libraries")) for each in entry.get("names", ())]
            yield from (Stub(name, frozenset(symbols), tuple(passed)) for name in names if isinstance(name, str))


def _dicts(value: object) -> list[dict[str, Any]]:  # Any: parsed JSON
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Sdk:
    """The stubs of a folder laid out as an SDK, or of one file, read as they are asked for."""

    path: str
    architecture: str
    _known: dict[str, Stub] = field(default_factory=dict, compare=False, repr=False)
    _read: set[str] = field(default_factory=set, compare=False, repr=False)

    def exports(self, library: str, symbol: bytes) -> bool | None:
        """Whether a library of the system exports a symbol, by its install name; None where no stub tells."""
        name = symbol.decode("utf-8", "replace")
        pending, seen = [library], {library}
        while pending:
            stub = self._stub(pending.pop())
            if stub is None:
                return None  # of one that it passes on nothing is known
            if name in stub.symbols:
                return True
            pending += [one for one in stub.passes_on if one not in seen]
            seen.update(stub.passes_on)
        return False

    def _stub(self, library: str) -> Stub | None:
        if library not in self._known:
            stem = library.removesuffix(".dylib")
            self._load(f"{self.path}{stem}.tbd" if os.path.isdir(self.path) else self.path)
        return self._known.get(library)

    def _load(self, file: str) -> None:
        if file in self._read:
            return
        self._read.add(file)
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                text = stream.read(_LIMIT)
        except OSError:
            return
        for one in stubs_in(text, self.architecture):
            self._known.setdefault(one.name, one)
