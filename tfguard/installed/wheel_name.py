"""Whether pip would take a wheel on a named Linux system, by the tags in its name (PEP 425, PEP 600, PEP 656)."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.hosts.linux_system import LinuxSystem

_GLIBC = re.compile(r"manylinux_2_(\d+)_(\w+)|manylinux(1|2010|2014)_(\w+)")
_MUSL = re.compile(r"musllinux_1_(\d+)_(\w+)")
_OLD_NAMES = {"1": 5, "2010": 12, "2014": 17}
_CPYTHON = re.compile(r"cp3(\d+)")


class WheelTags(NamedTuple):
    """The three sets of tags in a wheel's name: ("cp311",), ("cp311",), ("manylinux_2_17_x86_64", ...)."""

    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]


def tags_of(path: str) -> WheelTags | None:
    """The tags in a wheel's file name; None where that has none."""
    parts = os.path.basename(path).removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        return None
    pythons, abis, platforms = (tuple(one.split(".")) for one in parts[-3:])
    return WheelTags(pythons, abis, platforms)


def python_of(tags: WheelTags) -> tuple[int, int] | None:
    """The Python that a wheel is for: the very one of its tag, the oldest for a stable ABI; None where any will do."""
    numbers = [int(match[1]) for one in tags.pythons if (match := _CPYTHON.fullmatch(one))]
    return (3, min(numbers)) if numbers else None


def takes_any_newer(tags: WheelTags) -> bool:
    """Whether newer Pythons than the one named take the wheel too."""
    return bool({"abi3", "none"} & set(tags.abis))


def refused_python(tags: WheelTags, python: tuple[int, int]) -> str | None:
    """The Python that a wheel is for, where that is not this one."""
    for one in tags.pythons:
        match = _CPYTHON.fullmatch(one)
        if match is None and one in ("py3", f"py3{python[1]}", "py2"):
            return None
        if match is not None and (int(match[1]) == python[1] or (takes_any_newer(tags) and int(match[1]) <= python[1])):
            return None
    other = python_of(tags)
    return f"Python {other[0]}.{other[1]}" if other is not None else ", ".join(tags.pythons)


def refused_platform(tags: WheelTags, system: LinuxSystem) -> str | None:
    """Why none of the platform tags fits the system, in words that follow "is"; None where one does."""
    reasons = [_refused(one, system) for one in tags.platforms]
    return None if None in reasons else reasons[0]


def is_only_newer(tags: WheelTags, system: LinuxSystem) -> bool:
    """Whether a wheel is for this C library and processor, if for a newer system."""
    mark = "manylinux" if system.loader == "glibc" else "musllinux"
    return any(one.startswith(mark) and one.endswith(f"_{system.processor}") for one in tags.platforms)


def _refused(tag: str, system: LinuxSystem) -> str | None:
    if tag in ("any", f"linux_{system.processor}"):
        return None
    have = ".".join(map(str, system.version))
    if (glibc := _GLIBC.fullmatch(tag)) is not None:
        minor, processor = int(glibc[1] or _OLD_NAMES[glibc[3]]), glibc[2] or glibc[4]
        if processor != system.processor:
            return f"for {processor}, and this system is for {system.processor}"
        if system.loader != "glibc":
            return f"for glibc, and this system has {system.loader}"
        return None if minor <= system.version[1] else f"for glibc 2.{minor} and later, and this system has {have}"
    if (musl := _MUSL.fullmatch(tag)) is not None:
        if musl[2] != system.processor:
            return f"for {musl[2]}, and this system is for {system.processor}"
        if system.loader != "musl":
            return f"for musl, and this system has {system.loader}"
        return None if int(musl[1]) <= system.version[1] else f"for musl 1.{musl[1]} and later, this one has {have}"
    return f"for {tag}"
