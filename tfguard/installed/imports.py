"""Which native modules an import is certain to load, read from the source without running it."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tfguard.installed.installation import Package

_MODULE_LIMIT = 400
_SOURCE_LIMIT = 2_000_000

# What a module that loads libraries by hand, or changes how modules are opened, has in its text.
_BY_HAND = (b"ctypes", b"dlopen")
# Foreign packages whose import brings no library that others search by name. Any other may: `import torch` does.
_BRINGS_NOTHING = frozenset(("numpy",))


class Reached(NamedTuple):
    """The modules that an import runs whatever happens, and whether something may load libraries for them before."""

    modules: frozenset[str]
    preloads: bool


class _Import(NamedTuple):
    """A module that an import statement may name.

    `base` is set where it may be an attribute of that module too, `renamed` where it is bound under another name.
    """

    module: str
    base: str | None = None
    renamed: bool = False


class _Source(NamedTuple):
    """A module's text: None where it has none that can be read, with its parsed form, None where it has none."""

    text: bytes | None
    tree: ast.Module | None
    is_package: bool


def certainly_imported(package: Package, name: str | None = None) -> Reached:
    """Follow the unconditional imports from the package's `__init__` (and those of `name` below it) on.

    An import counts when it stands at the top level of a module that is certain to run: not under `if` or `with`, not
    in a `try` whose handlers may swallow the failure, and not `from a import b` where `a` may have a `b` already.
    `preloads` is set where a module on the way, run for certain or not, loads libraries by hand or imports a foreign
    package, which may do so: then a library that no search finds is no certain error.
    """
    return _Walk(package).run(name or package.name)


def imported_at_once(package: Package) -> frozenset[str]:
    """The modules of its own that a package's `__init__` itself imports whatever happens, with those above them."""
    tree = _read(package.name, package).tree
    found = _certain_imports(tree.body, package.name) if tree is not None else ()
    own = (one.module for one in found if one.base is None and one.module.partition(".")[0] == package.name)
    return frozenset(name for module in own for name in _with_parents(module))


class _Walk:
    """One reading of a package's source."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._sources: dict[str, _Source] = {}

    def run(self, name: str) -> Reached:
        certain: set[str] = set()
        pending = _with_parents(name)
        while pending and len(certain) < _MODULE_LIMIT:
            module = pending.pop(0)
            if module in certain:
                continue
            certain.add(module)
            tree, parent = self._tree(module)
            for one in _certain_imports(tree.body, parent) if tree is not None else ():
                if self._is_own(one.module) and (one.base is None or self._is_module(one, module)):
                    pending += _with_parents(one.module)
        return Reached(frozenset(certain), bool(pending) or self._preloads(certain))

    def _preloads(self, certain: set[str]) -> bool:
        """Whether any module that may run before loads libraries, as far as the source tells."""
        seen: set[str] = set()
        pending = sorted(certain)
        while pending:
            module = pending.pop(0)
            if module in seen:
                continue
            seen.add(module)
            source = self._source(module)
            if source.text is None:
                continue
            if source.tree is None or len(seen) > _MODULE_LIMIT or any(mark in source.text for mark in _BY_HAND):
                return True
            _, parent = self._tree(module)
            for one in _imports_anywhere(source.tree, parent):
                top = one.module.partition(".")[0]
                if self._is_own(one.module):
                    pending += _with_parents(one.module)
                elif top not in sys.stdlib_module_names and top not in _BRINGS_NOTHING:
                    return True
        return False

    def _is_own(self, module: str) -> bool:
        return module.partition(".")[0] == self._package.name

    def _is_module(self, one: _Import, importer: str) -> bool:
        """Whether `from base import name` must load a module: nothing else in `base` can be what is meant."""
        base, _, name = one.module.rpartition(".")
        tree, _ = self._tree(base)
        if tree is None:
            return True
        bound = _bound_names(tree)
        own = 1 if base == importer and not one.renamed else 0  # the statement itself
        return bound[name] <= own and not bound["__getattr__"] and (name.startswith("_") or not bound["*"])

    def _tree(self, module: str) -> tuple[ast.Module | None, str]:
        """A module's parsed text and the package that its relative imports start from."""
        source = self._source(module)
        return source.tree, module if source.is_package else module.rpartition(".")[0]

    def _source(self, module: str) -> _Source:
        if module not in self._sources:
            self._sources[module] = _read(module, self._package)
        return self._sources[module]


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _read(module: str, package: Package) -> _Source:
    for location in package.locations:
        stem = os.path.join(location, *module.split(".")[1:])
        for path, is_package in ((os.path.join(stem, "__init__.py"), True), (f"{stem}.py", False)):
            try:
                with open(package.root.outside(path), "rb") as file:
                    text = file.read(_SOURCE_LIMIT + 1)
            except (OSError, ValueError):
                continue
            if len(text) > _SOURCE_LIMIT:
                return _Source(text, None, is_package)
            return _Source(text, _parsed(text), is_package)
    return _Source(None, None, False)


def _parsed(text: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escape sequences: not our text
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _certain_imports(body: list[ast.stmt], parent: str) -> Iterator[_Import]:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from _named(statement, parent)
        elif isinstance(statement, ast.Try):
            if all(_raises(handler.body) for handler in statement.handlers):
                yield from _certain_imports(statement.body, parent)
            yield from _certain_imports(statement.finalbody, parent)
        elif isinstance(statement, ast.With) and all(_is_harmless(item) for item in statement.items):
            yield from _certain_imports(statement.body, parent)


def _raises(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)


def _is_harmless(item: ast.withitem) -> bool:
    """A `with` may swallow what fails in it, as contextlib.suppress does: only one kind is known not to."""
    return ast.unparse(item.context_expr).split("(")[0] in ("warnings.catch_warnings", "catch_warnings")


def _imports_anywhere(tree: ast.Module, parent: str) -> Iterator[_Import]:
    """All imports of a text but those for type checkers."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _named(node, parent)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


def _named(statement: ast.Import | ast.ImportFrom, parent: str) -> Iterator[_Import]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield _Import(alias.name)
        return
    base = statement.module or ""
    if statement.level:
        parts = parent.split(".")
        kept = parts[: len(parts) - statement.level + 1]
        base = ".".join([*kept, base] if base else kept)
    if not base:
        return  # beyond the top: the import fails
    yield _Import(base)
    for alias in statement.names:
        if alias.name != "*":
            yield _Import(f"{base}.{alias.name}", base, alias.asname not in (None, alias.name))


def _bound_names(tree: ast.Module) -> Counter[str]:
    """How often each name is bound anywhere in a module; "*" counts the star imports."""
    bound: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound[node.name] += 1
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name.partition(".")[0]] += 1
    return bound
