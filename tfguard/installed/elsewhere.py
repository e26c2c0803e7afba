"""Other Pythons of this machine that have what this one lacks: looked for in the usual places, none of them run."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from tfguard.hosts.root import Root
from tfguard.installed.distributions import Distribution, distributions_among
from tfguard.installed.python import Python

_PREFIX_LIMIT = 200
# Below the user's home, or below /opt: folders that are environments themselves or hold some.
_ENVIRONMENTS = ("venv", ".venv", "env", ".env")
_HOLDERS = (".pyenv/versions", ".virtualenvs", ".local/share/virtualenvs", ".conda/envs", ".local/share/uv/python")
_CONDA = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", "conda")
_LIBRARY = re.compile(r"python3\.(\d+)t?")


class OtherPython(NamedTuple):
    """An interpreter with a distribution: `executable` is None where only its packages were found."""

    executable: str | None
    version: tuple[int, int]
    distribution: Distribution


class Interpreter(NamedTuple):
    """An interpreter of this machine, found by its file name."""

    executable: str
    version: tuple[int, int]


def pythons_with(
    python: Python, names: Collection[str], root: Root, *, conda: str | None = None
) -> tuple[OtherPython, ...]:
    """The environments that have one of these distributions, nearest first, this Python's own left out."""
    found: dict[str, OtherPython] = {}
    own = root.realpath(python.prefix)
    for prefix in _prefixes(python, root, conda):
        if root.realpath(prefix) == own:
            continue
        for version, site in _sites(prefix, root):
            for one in distributions_among(site, root.names_in(site), root):
                if one.name in names:
                    found.setdefault(root.realpath(site), OtherPython(_executable(prefix, version, root), version, one))
    return tuple(found.values())


def interpreters(python: Python, root: Root) -> tuple[Interpreter, ...]:
    """The Pythons that are on PATH or in the usual places, newest first."""
    found: dict[tuple[int, int], str] = {}
    for directory in (*python.commands, *(os.path.join(one, "bin") for one in _prefixes(python, root, None))):
        if directory.rstrip("/").endswith("shims"):
            continue  # pyenv's and asdf's: scripts that may refuse
        for name in root.names_in(directory):
            if (match := _LIBRARY.fullmatch(name)) and not name.endswith("t"):
                found.setdefault((3, int(match[1])), os.path.join(directory, name))
    return tuple(Interpreter(path, version) for version, path in sorted(found.items(), reverse=True))


def _prefixes(python: Python, root: Root, conda: str | None) -> Iterator[str]:
    """Where environments usually are, the one that is meant to be active first."""
    seen: set[str] = set()
    for count, prefix in enumerate(_all_prefixes(python, root, conda)):
        if count >= _PREFIX_LIMIT:
            return
        if prefix not in seen:
            seen.add(prefix)
            yield prefix


def _all_prefixes(python: Python, root: Root, conda: str | None) -> Iterator[str]:
    yield from (one for one in (python.virtual_env, conda) if one)
    folder = python.cwd
    for _ in range(4):
        yield from (os.path.join(folder, one) for one in _ENVIRONMENTS if folder)
        folder = os.path.dirname(folder)
    yield from (os.path.dirname(one.rstrip("/")) for one in python.commands if one.rstrip("/").endswith("bin"))
    for base in (python.home, *python.system_prefixes):
        yield from (os.path.join(base, one) for one in (*_ENVIRONMENTS, *_CONDA))
        for holder in (*_HOLDERS, *(f"{one}/envs" for one in _CONDA)):
            folder = os.path.join(base, holder)
            yield from (os.path.join(folder, name) for name in root.names_in(folder))
    yield from (python.base_prefix, *python.system_prefixes, os.path.join(python.home, ".local"))


def _sites(prefix: str, root: Root) -> Iterator[tuple[tuple[int, int], str]]:
    for name in root.names_in(os.path.join(prefix, "lib")):
        if match := _LIBRARY.fullmatch(name):
            for site in ("site-packages", "dist-packages"):
                yield (3, int(match[1])), os.path.join(prefix, "lib", name, site)


def _executable(prefix: str, version: tuple[int, int], root: Root) -> str | None:
    for name in (f"python{version[0]}.{version[1]}", "python3", "python"):
        path = os.path.join(prefix, "bin", name)
        if root.exists(path):
            return path
    return None
