"""Distributions as their folders of metadata tell them: one listing a directory, files read when they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from tfguard.hosts.root import HERE, Root
from tfguard.installed.names import canonical, dist_info

_METADATA_LIMIT = 1 << 22
_RECORD_LIMIT = 1 << 26
_EGG = re.compile(r"(.+?)-([^-]+?)(?:-py\d[\w.]*)?\.egg-info")


class Distribution(NamedTuple):
    """A distribution: canonical name, version, the directory it lies in and its folder (or file) of metadata there.

    `root` is what "/" is for these paths.
    """

    name: str
    version: str
    site: str
    folder: str
    root: Root = HERE

    @property
    def requirement(self) -> str:
        """What pip is asked for to have this very one: `tensorflow-cpu==2.21.0`."""
        return f"{self.name}=={self.version}"

    @property
    def metadata(self) -> str:
        """The path of its folder of metadata."""
        return os.path.join(self.site, self.folder)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def distributions_among(site: str, names: Iterable[str], root: Root = HERE) -> list[Distribution]:
    """The distributions that names in a directory stand for."""
    found = []
    for name in names:
        if (told := dist_info(name)) is not None:
            found.append(Distribution(*told, site, name, root))
        elif name.endswith(".egg-info") and (egg := _EGG.fullmatch(name)):
            found.append(Distribution(canonical(egg[1]), egg[2], site, name, root))
    return found


def distributions_on(path: Iterable[str], root: Root = HERE) -> tuple[Distribution, ...]:
    """All distributions in these directories, in the order of the path: the first of a name is the one in use."""
    return tuple(one for site in path for one in distributions_among(site, root.names_in(site), root))


def by_name(distributions: Iterable[Distribution]) -> dict[str, Distribution]:
    """The one in use of each name."""
    first: dict[str, Distribution] = {}
    for one in distributions:
        first.setdefault(one.name, one)
    return first


def read_text(distribution: Distribution, name: str) -> str:
    """A file of a distribution's metadata, "" where it has none that can be read."""
    limit = _RECORD_LIMIT if name == "RECORD" else _METADATA_LIMIT
    return os.fsdecode(distribution.root.read(os.path.join(distribution.metadata, name), limit) or b"")


def requires(distribution: Distribution) -> tuple[str, ...]:
    """Its requirements as its metadata spells them."""
    if distribution.folder.endswith(".egg-info"):
        return ()  # the requires.txt of old: other systems of packages, which mend their own
    head = read_text(distribution, "METADATA").partition("\n\n")[0]
    return tuple(line[14:].strip() for line in head.splitlines() if line[:14].lower() == "requires-dist:")


def wheel_tags(distribution: Distribution) -> tuple[str, ...]:
    """The tags of the wheel that it was installed from, none where that is not known."""
    return tuple(
        line[4:].strip() for line in read_text(distribution, "WHEEL").splitlines() if line[:4].lower() == "tag:"
    )
