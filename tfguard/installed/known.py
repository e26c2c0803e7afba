"""What is known of releases and written down as data: their wheels, and what their imports were seen to die of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tfguard.installed.distributions import Distribution
from tfguard.installed.families import MODULES, family_of
from tfguard.installed.names import Release, number, release_of, table, within
from tfguard.installed.python import Python

_OLD_NAMES = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_PEP600 = "manylinux"


class Death(NamedTuple):
    """An import that was seen to die: `distribution` from one release to below another, beside versions of `beside`.

    An open end is (); `missing` says that it dies when `beside` is not there. `says` is the last line of the import.
    """

    distribution: str
    first: Release
    below: Release
    beside: str
    lowest: Release
    under: Release
    missing: bool
    says: str

    def is_of(self, name: str, version: str) -> bool:
        """Whether it is about this distribution, or for TensorFlow about one of the same package."""
        family = family_of("tensorflow") if self.distribution == "tensorflow" else (self.distribution,)
        return name in family and within(release_of(version), self.first, self.below)

    def among(self, here: Mapping[str, Distribution]) -> Distribution | None:
        """The distribution that it is about, of those that are installed."""
        names = family_of("tensorflow") if self.distribution == "tensorflow" else (self.distribution,)
        whom = next((here[one] for one in names if one in here), None)
        return whom if whom is not None and self.is_of(whom.name, whom.version) else None

    def meets(self, version: str) -> bool:
        """Whether this version of the one beside it is deadly."""
        return not self.missing and within(release_of(version), self.lowest, self.under)


class Wheels(NamedTuple):
    """The wheels of one release: for which Pythons, oldest and newest, and platform tags."""

    distribution: str
    release: Release
    oldest: Release
    newest: Release
    platforms: tuple[str, ...]

    @property
    def version(self) -> str:
        """The release as it is written."""
        return ".".join(map(str, self.release))

    @property
    def requirement(self) -> str:
        """What pip is asked for to have it: `tensorflow==2.21.0`."""
        return f"{self.distribution}=={self.version}"


def deaths() -> tuple[Death, ...]:
    """The table of imports that were seen to die."""
    found = []
    for line in table("requirements.txt"):
        whom, first, below, kind, beside, rest = line.split(maxsplit=5)
        if kind == "needs":
            for name in (beside, *rest.split()):
                says = f"ModuleNotFoundError: No module named '{MODULES.get(name, name.replace('-', '_'))}'"
                found.append(Death(whom, number(first), number(below), name, (), (), True, says))
        elif kind == "without":
            found.append(Death(whom, number(first), number(below), beside, (), (), True, rest))
        else:
            lowest, under, says = rest.split(maxsplit=2)
            found.append(Death(whom, number(first), number(below), beside, number(lowest), number(under), False, says))
    return tuple(found)


def standard_names() -> frozenset[str]:
    """The modules of the standard library that `import tensorflow` was seen to import from files."""
    return frozenset(word for line in table("standard_library.txt") for word in line.split())


def all_wheels() -> tuple[Wheels, ...]:
    """The wheels of TensorFlow's releases, oldest first."""
    found = []
    for line in table("wheels.txt"):
        name, release, pythons, *platforms = line.split()
        oldest, _, newest = pythons.partition("-")
        found.append(Wheels(name, number(release), number(oldest), number(newest), tuple(platforms)))
    return tuple(found)


def fitting(wheels: tuple[Wheels, ...], python: Python, libc: str, libc_version: Release) -> Wheels | None:
    """The newest release with a wheel for this Python on this system."""
    fits = [one for one in wheels if _fits(one, python, libc, libc_version)]
    return max(fits, key=lambda one: one.release, default=None)


def published(name: str, version: str, python: Python, libc: str, libc_version: Release) -> Wheels | None:
    """What pip can get of TensorFlow for this Python on this system in place of a distribution of it.

    The very one where there is a wheel of it, else another of the same release, else the newest; None where the release
    itself is not in the table.
    """
    release = release_of(version)
    wheels = all_wheels()
    if not any((one.distribution, one.release) == (name, release) for one in wheels):
        return None
    fits = [one for one in wheels if _fits(one, python, libc, libc_version)]
    return max(
        fits,
        key=lambda one: (
            one.release == release,
            one.distribution == name,
            one.release,
            one.distribution == "tensorflow",
        ),
        default=None,
    )


def _fits(wheels: Wheels, python: Python, libc: str, libc_version: Release) -> bool:
    return wheels.oldest <= python.version[:2] <= wheels.newest and runs_on(wheels, python, libc, libc_version)


def runs_on(wheels: Wheels, python: Python, libc: str, libc_version: Release) -> bool:
    """Whether one of its platform tags is for this system and processor, whatever the Python."""
    if python.implementation != "cpython" or python.bits != 64:
        return False
    return any(_platform_fits(one, python, libc, libc_version) for one in wheels.platforms)


def _platform_fits(tag: str, python: Python, libc: str, libc_version: Release) -> bool:
    if tag.startswith(_PEP600):
        return (
            python.system == "linux"
            and libc == "glibc"
            and tag.endswith(f"_{python.machine}")
            and (libc_version >= _glibc_of(tag))
        )
    if tag.startswith("macosx"):
        return python.system == "darwin" and tag.endswith(f"_{python.machine}")
    return tag.startswith("win") and python.system == "win32" and python.machine in ("amd64", "x86_64")


def _glibc_of(tag: str) -> Release:
    """PEP 600: manylinux_2_17_x86_64 asks for glibc 2.17; and the names of old."""
    old = _OLD_NAMES.get(tag.partition("_")[0])
    return old if old is not None else tuple(int(part) for part in tag.split("_")[1:3])
