"""Finds packages on the sys.path of a Python that is not running, as importlib's own path finder would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tfguard.hosts.root import Root

if TYPE_CHECKING:
    from tfguard.installed.python import Python


class Spec(NamedTuple):
    """Where a top-level name leads: the folders of a package (several of a namespace package), the file that runs."""

    locations: tuple[str, ...]
    origin: str | None


def find_spec(name: str, interpreter: Python, root: Root) -> Spec | None:
    """The first place on the path that has the name (importlib.machinery.PathFinder, FileFinder)."""
    portions: list[str] = []
    endings = (*interpreter.suffixes, ".py", ".pyc")
    for entry in interpreter.path:
        stem = os.path.join(entry, name)
        if root.is_directory(stem):
            for ending in endings:
                if root.is_file(f"{stem}/__init__{ending}"):
                    return Spec((stem,), f"{stem}/__init__{ending}")
        for ending in endings:
            if root.is_file(stem + ending):
                return Spec((), stem + ending)
        if root.is_directory(stem):
            portions.append(stem)
    return Spec(tuple(portions), None) if portions else None
