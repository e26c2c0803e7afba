"""The cheap look that every guarded import takes at its installation: is there a reason to look closer?"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

from tfguard.installed.families import WANTED_BY_TENSORFLOW, family_of
from tfguard.installed.installation import Package
from tfguard.installed.names import dist_info, importable, listing, number, release_of, table, within

if TYPE_CHECKING:
    from tfguard.installed.python import Python

# Whose wheels hold modules that the import of TensorFlow is certain to load.
_OF_ONE_PYTHON = ("numpy", "ml-dtypes")
_WHEEL_LIMIT = 4096


def calls_for_a_survey(package: Package | None, python: Python | None) -> bool:
    """Whether anything about the installation of a package is out of the ordinary.

    A few listings and five small files: it runs before every import, so it makes no values of what it sees. `python`
    is None for the interpreter that runs this.
    """
    if package is None or package.origin is None:
        return True
    if package.name != "tensorflow" or getattr(sys, "frozen", False):
        return False
    if package.directory is None or not package.distribution:
        return True
    path = python.path if python is not None else sys.path
    library = python.library if python is not None else os.path.dirname(os.__file__)
    site = os.path.dirname(package.directory)
    names = {one: listing(one or os.curdir) for one in path if not one.startswith(library) or "packages" in one}
    if any(one.startswith("~") for one in names.get(site, ())):
        return True
    versions: dict[str, str] = {}
    folders: dict[str, str] = {}
    family = 0
    for directory, found in names.items():
        for one in found:
            told = dist_info(one)
            if told is not None and told[0] not in versions:
                versions[told[0]] = told[1]
                folders[told[0]] = os.path.join(directory, one)
            family += told is not None and directory == site and told[0] in family_of("tensorflow")
    return (
        family != 1
        or _is_foreign(folders, python)
        or _is_deadly(versions)
        or _is_shadowed(list(path), names, library, site)
    )


def _is_foreign(folders: dict[str, str], python: Python | None) -> bool:
    """Whether a wheel does not look, at first sight, to be one for this Python on this machine."""
    version = python.version if python is not None else sys.version_info
    machine = python.machine if python is not None else os.uname().machine if hasattr(os, "uname") else "amd64"
    begin, end = f"Tag: cp{version[0]}{version[1]}-", f"_{machine}"
    for name in (*family_of("tensorflow"), *_OF_ONE_PYTHON):
        if name not in folders:
            continue
        try:
            fd = os.open(os.path.join(folders[name], "WHEEL"), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            continue
        try:
            lines = os.read(fd, _WHEEL_LIMIT).decode("utf-8", "replace").splitlines()
        finally:
            os.close(fd)
        if not any(one.startswith(begin) and one.endswith(end) for one in lines):
            return True
    return False


def _is_deadly(versions: dict[str, str]) -> bool:
    """Whether an import was seen to die beside these; the columns are those of `known.deaths`."""
    for line in table("requirements.txt"):
        whom, first, below, kind, beside, rest = line.split(maxsplit=5)
        names = family_of("tensorflow") if whom == "tensorflow" else (whom,)
        version = next((versions[one] for one in names if one in versions), None)
        if version is None or not within(release_of(version), number(first), number(below)):
            continue
        if kind == "needs":
            if any(one not in versions for one in (beside, *rest.split())):
                return True
        elif kind == "without":
            if beside not in versions:
                return True
        elif beside in versions:
            lowest, under = rest.split(maxsplit=2)[:2]
            if within(release_of(versions[beside]), number(lowest), number(under)):
                return True
    return False


def _is_shadowed(path: list[str], names: dict[str, tuple[str, ...]], library: str, site: str) -> bool:
    """Whether a directory before the standard library, or before TensorFlow's, has modules of their names."""
    suffixes = tuple(EXTENSION_SUFFIXES)
    standard: frozenset[str] | None = None
    before_library = True
    for directory in path:
        if directory == site:
            return False
        before_library = before_library and directory != library
        found = names.get(directory, ())
        if not found:
            continue
        if before_library:
            standard = standard or frozenset(" ".join(table("standard_library.txt")).split())
        wanted = WANTED_BY_TENSORFLOW | (standard or frozenset()) if before_library else WANTED_BY_TENSORFLOW
        if importable(found, wanted, suffixes):
            return True
    return False
