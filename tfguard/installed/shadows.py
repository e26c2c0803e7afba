"""Files and folders that Python finds before what an import needs: first on the path, and under its name."""

from __future__ import annotations

import os
from typing import NamedTuple

from tfguard.hosts.root import Root
from tfguard.installed.names import importable
from tfguard.installed.python import Python

# What lies at the top of TensorFlow's source and in no wheel of it (tensorflow/tensorflow on GitHub).
_OF_A_SOURCE_TREE = ("BUILD", "tensorflow.bzl")


class Shadow(NamedTuple):
    """A file or folder that stands in for a module: its name, its path, and the directory of the true one.

    `standard` says that the true one is of the standard library. `is_folder` is false for a single file.
    """

    name: str
    path: str
    standard: bool
    is_folder: bool


def directories_before(python: Python, library: str) -> tuple[str, ...]:
    """The directories of the path that come before one of them, none of them the standard library."""
    before: list[str] = []
    for one in python.path:
        if os.path.normpath(one or ".") == os.path.normpath(library):
            break
        before.append(one or os.curdir)
    return tuple(before)


def find_shadows(python: Python, modules: dict[str, str], standard: frozenset[str], root: Root) -> tuple[Shadow, ...]:
    """What stands before the modules of the standard library, and before others in the directory given for each.

    A folder counts where it is a package: one without an `__init__.py` gives way to a true one further on. A module
    that is imported already is past being shadowed.
    """
    found: list[Shadow] = []
    standard -= python.builtins
    for directory in directories_before(python, python.library):
        for name in importable(tuple(root.names_in(directory)), standard, python.suffixes):
            found += _shadow(python, directory, name, root, standard=True)
    for module, home in modules.items():
        for directory in directories_before(python, home):
            for name in importable(tuple(root.names_in(directory)), frozenset((module,)), python.suffixes):
                found += _shadow(python, directory, name, root, standard=False)
    return tuple(dict.fromkeys(found))


def _shadow(python: Python, directory: str, name: str, root: Root, *, standard: bool) -> list[Shadow]:
    path = os.path.join(directory, name)
    module = name.partition(".")[0]
    is_folder = root.is_directory(path)
    if is_folder and not any(root.exists(os.path.join(path, f"__init__{end}")) for end in (".py", ".pyc")):
        return []
    imported = python.imported.get(module)
    place = os.path.join(path, "__init__.py") if is_folder else path
    if imported is not None and root.realpath(imported) != root.realpath(place):
        return []
    if name == "__pycache__" or (not standard and is_folder):
        return []  # another installation of a whole package: that is for its distribution to say
    return [Shadow(module, os.path.normpath(path), standard, is_folder)]


def is_source_tree(directory: str, root: Root) -> bool:
    """Whether a folder called tensorflow is the one in TensorFlow's source."""
    return all(root.exists(os.path.join(directory, one)) for one in _OF_A_SOURCE_TREE)
