"""A Report's traces as a tree: what the loader maps, in which order, from where, found by which step, for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfguard.loader.trace import SHARED_CACHE
from tfguard.plain import plain, wrap
from tfguard.telling.render import BOLD, RED, RESET, counted

if TYPE_CHECKING:
    from tfguard.loader.trace import Lookup, Mapped, Trace
    from tfguard.report import Report

# The steps as a person calls them; the names of the functions that search stand in the JSON.
_PLACES = {
    "already_loaded": "already loaded",
    "path": "by path",
    "on_disk": "by path",
    "lc_rpath": "LC_RPATH",
    "loader_path": "@loader_path",
    "executable_path": "@executable_path",
    "dyld_library_path": "DYLD_LIBRARY_PATH",
    "dyld_framework_path": "DYLD_FRAMEWORK_PATH",
    "real_path": "by its real path",
    "program": "the program",
    "rpath": "RPATH",
    "ld_library_path": "LD_LIBRARY_PATH",
    "runpath": "RUNPATH",
    "ld_so_cache": "ld.so.cache",
    "default_directories": "default directories",
    "system_path": "system path",
}

# Below this level nothing moves further right: a chain of needed libraries may be as long as somebody makes it.
_DEEPEST = 24


def tree_text(report: Report, *, color: bool = False, verbose: bool = False, width: int = 80) -> str:
    """Every load of the report as a tree, in printable ASCII, without a line end at the end.

    Below each image stands what it needs. The number is an image's place in the order of mapping, over all loads.
    Needed names for which no file is opened follow "loaded already": with the number of the image meant, without one
    where the process had it before. Below a name that is not found stand all places tried, with `verbose` below
    every name.
    """
    if not report.traces:
        return f"{plain(report.target)}: no library to load"
    lines: list[str] = []
    numbers: dict[str, int] = {}
    for trace in report.traces:
        for mapped in trace.images:
            numbers.setdefault(mapped.path, len(numbers) + 1)
        lines += _Drawing(trace, numbers, color=color, verbose=verbose, width=width).lines()
    return "\n".join(lines)


def _place(step: str) -> str:
    return _PLACES.get(step, plain(step))


def _indent(depth: int) -> str:
    return "  " * min(depth, _DEEPEST)


class _Drawing:
    """One trace being drawn: lookups are taken out of the tables as they are written down."""

    def __init__(self, trace: Trace, numbers: dict[str, int], *, color: bool, verbose: bool, width: int) -> None:
        self.trace = trace
        self.numbers = numbers
        self.color = color
        self.verbose = verbose
        self.width = width
        # an image is opened for the first lookup of its name by its requirer
        self.opened = {(one.name, one.requirer): one for one in reversed(trace.images)}
        self.needs: dict[str | None, list[Lookup]] = {}
        for lookup in trace.lookups:
            self.needs.setdefault(lookup.requirer, []).append(lookup)

    def lines(self) -> Iterator[str]:
        """The tree from the top down; not recursive, for the same reason as _DEEPEST."""
        if not self.trace.lookups:
            yield f"     {plain(self.trace.target)}"
        pending = [(one, 0) for one in reversed(self.needs.pop(None, []))]
        while pending:
            lookup, depth = pending.pop()
            mapped = self.opened.pop((lookup.name, lookup.requirer), None)
            yield from self._opened(lookup, mapped, depth)
            if mapped is None:
                continue
            needed = self.needs.pop(mapped.path, [])
            own = [one for one in needed if one.found is None or (one.name, one.requirer) in self.opened]
            yield from self._had([one for one in needed if one not in own], depth + 1)
            pending += [(one, depth + 1) for one in reversed(own)]
        yield from self._end()

    def _opened(self, lookup: Lookup, mapped: Mapped | None, depth: int) -> Iterator[str]:
        start = f"{_indent(depth)}{plain(lookup.name)}"
        if lookup.found is None:
            yield f"     {start} => {self._tinted('not found', RED)}"
        else:
            number = self.numbers[mapped.path] if mapped is not None else ""
            place = _place(lookup.step)
            if mapped is None and lookup.step != "already_loaded":
                place += ", the same file as one loaded already"  # G-111: matched by device and inode
            where = f" => {plain(lookup.found)}" if lookup.found != lookup.name else ""
            yield f"{number:>4} {start}{where}  ({place})"
        if lookup.found is None or self.verbose:
            yield from self._attempts(lookup, depth)

    def _had(self, lookups: list[Lookup], depth: int) -> Iterator[str]:
        had: list[str] = []
        of_the_system: list[str] = []
        for lookup in lookups:
            number = self.numbers.get(lookup.found or "")
            is_cached = bool(lookup.attempts) and lookup.attempts[-1].outcome == SHARED_CACHE
            names = of_the_system if is_cached else had
            names.append(plain(lookup.name) + (f" [{number}]" if number is not None else ""))
        for title, names in (("loaded already", had), ("from the shared cache of macOS", of_the_system)):
            if names:
                indent = " " * 5 + _indent(depth)
                lines = wrap(f"{title}: {', '.join(names)}", self.width - len(indent), indent="  ", unbroken=names)
                yield from (indent + line for line in lines)
        if self.verbose:
            for lookup in lookups:
                yield from self._attempts(lookup, depth)

    def _attempts(self, lookup: Lookup, depth: int) -> Iterator[str]:
        for one in lookup.attempts:
            detail = f" ({plain(one.detail)})" if one.detail else ""
            place = _place(one.step)
            outcome = "" if one.outcome == place else f": {one.outcome}"
            yield f"{'':9}{_indent(depth)}{place}  {plain(one.path)}{outcome}{detail}"

    def _end(self) -> Iterator[str]:
        if self.trace.failure is None:
            return
        mapped = counted(len(self.trace.images), "image", "images")
        ends = "the process dies here" if self.trace.failure.dies else "the load ends here"
        yield f"     {self._tinted(ends, BOLD)}, after {mapped}"
        says = wrap(f"the loader says {plain(self.trace.failure.says)}", self.width - 5, indent="  ")
        yield from (f"     {line}" for line in says)

    def _tinted(self, text: str, tint: str) -> str:
        return f"{tint}{text}{RESET}" if self.color else text
