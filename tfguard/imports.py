"""Which native modules an import is certain to load, read from the source without running it."""

from __future__ import annotations

import ast
import os
from typing import NamedTuple

from tfguard.installation import Package

_MODULE_LIMIT = 400
_SOURCE_LIMIT = 2_000_000


class Reached(NamedTuple):
    """The modules that importing a package runs whatever happens, and whether one of them loads libraries itself."""

    modules: frozenset[str]
    preloads: bool


def certainly_imported(package: Package) -> Reached:
    """Follow the unconditional imports of a package through its own modules, from `__init__` on.

    An import counts when it stands at the top level of a module that is certain to run: not under `if`, not in a
    `try` whose handlers may swallow the failure. `preloads` is set where a module on the way uses ctypes: it may
    load libraries by hand first, and then a library that no search finds is no error.
    """
    reached: set[str] = set()
    preloads = False
    pending = [package.name]
    while pending and len(reached) < _MODULE_LIMIT:
        name = pending.pop(0)
        if name in reached:
            continue
        reached.add(name)
        source, is_package = _source_of(name, package)
        if source is None:
            continue
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        parent = name if is_package else name.rpartition(".")[0]
        for module in _imports(tree.body, parent):
            preloads = preloads or module == "ctypes" or module.startswith("ctypes.")
            parts = module.split(".")
            if parts[0] == package.name:
                pending += [".".join(parts[: i + 1]) for i in range(len(parts))]
    return Reached(frozenset(reached), preloads)


def _source_of(name: str, package: Package) -> tuple[bytes | None, bool]:
    if package.directory is None:
        return None, False
    stem = os.path.join(package.directory, *name.split(".")[1:])
    for path, is_package in ((os.path.join(stem, "__init__.py"), True), (f"{stem}.py", False)):
        try:
            with open(path, "rb") as file:
                return file.read(_SOURCE_LIMIT), is_package
        except OSError:
            continue
    return None, False


def _imports(body: list[ast.stmt], parent: str) -> list[str]:
    found: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Import):
            found += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parts = parent.split(".")
                kept = parts[: len(parts) - statement.level + 1]
                base = ".".join([*kept, base] if base else kept)
            # `from a import b` runs a.b where b is a module: which of the two it is shows on disk
            found += [base, *(f"{base}.{alias.name}" for alias in statement.names if alias.name != "*")]
        elif isinstance(statement, ast.Try):
            if all(_raises(handler.body) for handler in statement.handlers):
                found += _imports(statement.body, parent)
            found += _imports(statement.finalbody, parent)
        elif isinstance(statement, ast.With):
            found += _imports(statement.body, parent)
    return found


def _raises(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)
