"""Names and numbers of distributions as folders and tables spell them: what the cheapest look needs, and no more."""

from __future__ import annotations

import os

_DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")
_TABLE_LIMIT = 1 << 20
# A folder with more names than this is not somebody's project.
_NAMES_LOOKED_AT = 50_000

Release = tuple[int, ...]


def canonical(name: str) -> str:
    """A name as all spellings of it compare (PEP 503)."""
    return name.replace("_", "-").replace(".", "-").lower()


def listing(directory: str) -> tuple[str, ...]:
    """The sorted names in a directory, none where it cannot be read."""
    try:
        return tuple(sorted(os.listdir(directory)))
    except (OSError, ValueError):
        return ()


def dist_info(folder: str) -> tuple[str, str] | None:
    """Canonical name and version that a folder of metadata is called after, None for any other."""
    if not folder.endswith(".dist-info") or folder.startswith("~"):
        return None
    name, dash, version = folder[:-10].rpartition("-")
    return (canonical(name), version) if dash else None


def importable(names: tuple[str, ...], wanted: frozenset[str], suffixes: tuple[str, ...]) -> list[str]:
    """The names of a directory that `import` of one of the wanted modules could take; no file is touched."""
    if len(names) > _NAMES_LOOKED_AT:
        return []
    endings = (".py", ".pyc", *suffixes)
    return [one for one in names if one.partition(".")[0] in wanted and (one in wanted or one.endswith(endings))]


def release_of(version: str) -> Release:
    """The numbers that a version begins with: (2, 21, 0) of 2.21.0rc1; what follows does not count here."""
    numbers = []
    for part in version.split("+", maxsplit=1)[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def number(text: str) -> Release:
    """A release as tables spell it, () where that is open."""
    return () if text == "-" else tuple(map(int, text.split(".")))


def within(release: Release, first: Release, below: Release) -> bool:
    """Whether a release is from one on to below another, where these are not open."""
    return bool(release) and release >= first and (not below or release[: len(below)] < below)


def table(name: str) -> list[str]:
    """The lines of a data file, comments left out."""
    try:
        fd = os.open(os.path.join(_DATA, name), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return []
    try:
        text = os.read(fd, _TABLE_LIMIT).decode("ascii")
    finally:
        os.close(fd)
    return [line for line in text.splitlines() if line and line[0] != "#"]
