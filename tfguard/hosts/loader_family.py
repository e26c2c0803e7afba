"""Which loader a file is, by its content alone: glibc's or musl's, its version, the places that it was built with."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.hosts.loader_file import glibc_facts
from tfguard.hosts.root import HERE, Root

_LIMIT = 1 << 23
_GLIBC_VERSION = re.compile(rb"(?:GNU C Library|ld\.so) [^\0\n]{0,120}release version (\d+)\.(\d+)")
_MUSL = re.compile(rb"musl libc \(([\w.-]+)\)")
_MUSL_VERSION = re.compile(rb"\0(\d+)\.(\d+)\.(\d+)(?:-[\w-]+)?\0")
_MUSL_PATH = re.compile(rb"\0(/[\w./-]+(?::/[\w./-]+)+)\0")
# The first release that applies packed relative relocations (V-30).
_MUSL_RELR = (1, 2, 4)


class LoaderFile(NamedTuple):
    """What the file of a loader tells of it.

    `family` is "glibc", "musl" or "" for what is neither. `features` are what the model asks for: of musl
    "packed-relocations", that it applies DT_RELR. `directories` are the compiled-in ones, `cache` the path of
    ld.so.cache. `version` is that of glibc where this very file has it, or of musl without its last number; `name` is
    what musl calls the machine.
    """

    family: str
    features: frozenset[str] = frozenset()
    directories: tuple[str, ...] = ()
    cache: str | None = None
    version: tuple[int, int] | None = None
    name: str = ""


def read_loader(path: str) -> LoaderFile:
    """What a loader's file tells (ld-so.md H-01 to H-04); of a file that is no loader: family ""."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
    except OSError:
        return LoaderFile("")
    if (machine := _MUSL.search(data)) is not None:
        found = _MUSL_VERSION.search(data)
        major, minor, patch = (int(one) for one in found.groups()) if found is not None else _MUSL_RELR
        return LoaderFile(
            "musl",
            features=frozenset(("packed-relocations",)) if (major, minor, patch) >= _MUSL_RELR else frozenset(),
            directories=_musl_path(data),
            version=(major, minor) if found is not None else None,
            name=machine[1].decode("ascii"),
        )
    features, directories = glibc_facts(data)
    if not directories:
        return LoaderFile("")
    cache = re.search(rb"\0(/[^\0]{0,4000}/ld\.so\.cache)\0", data)
    return LoaderFile(
        "glibc", features, directories, os.fsdecode(cache[1]) if cache is not None else None, glibc_version(data)
    )


def _musl_path(data: bytes) -> tuple[str, ...]:
    paths = [one.split(b":") for one in _MUSL_PATH.findall(data)]
    known: list[bytes] = next((one for one in paths if any(entry.endswith(b"/lib") for entry in one)), [])
    return tuple(os.fsdecode(one) for one in known)


def glibc_version(data: bytes) -> tuple[int, int] | None:
    """The release that libc.so.6, or a loader of glibc 2.33 and later, names itself (H-03)."""
    found = _GLIBC_VERSION.search(data)
    return (int(found[1]), int(found[2])) if found is not None else None


def system_directories(found: LoaderFile, path: str, root: Root = HERE) -> tuple[str, ...]:
    """The directories searched last: glibc's compiled-in ones, or what the path file of musl says (M-04).

    `path` is that of the loader: the path file lies below the parent of its directory.
    """
    if found.family != "musl":
        return found.directories
    prefix = os.path.dirname(os.path.dirname(path)).rstrip("/") if path.startswith("/") else ""
    text = root.read(f"{prefix}/etc/ld-musl-{found.name}.path", 1 << 20)
    if text is None:
        return found.directories or ("/lib", "/usr/local/lib", "/usr/lib")
    return tuple(entries_of(os.fsdecode(text.partition(b"\0")[0])))


def entries_of(text: str) -> list[str]:
    """The directories of a list of musl's: colons and line ends part them, empty ones are passed over (M-03)."""
    return [one for one in re.split("[:\n]", text) if one]
