"""The cheap look that every guarded import takes at its installation: is there a reason to look closer?"""

from __future__ import annotations

import os

from tfguard.installation import Package
from tfguard.installed import known, shadows
from tfguard.installed.distributions import Distribution, by_name, distributions_among, listing, wheel_tags
from tfguard.installed.families import family_of
from tfguard.installed.python import Python

# Whose wheels hold modules that the import of TensorFlow is certain to load.
_OF_ONE_PYTHON = ("numpy", "ml-dtypes")


def calls_for_a_survey(package: Package | None, python: Python) -> bool:
    """Whether anything about the installation of a package is out of the ordinary; a few listings, two small files."""
    if package is None or package.origin is None:
        return True
    if package.name != "tensorflow":
        return False
    if package.directory is None or not package.distribution:
        return True
    site = os.path.dirname(package.directory)
    here: list[Distribution] = []
    for directory in python.sites:
        names = listing(directory)
        here += distributions_among(directory, names)
        if directory == site and any(one.startswith("~") for one in names):
            return True
    first = by_name(here)
    family = [one for one in here if one.name in family_of("tensorflow") and one.site == site]
    if len(family) != 1:
        return True
    return (
        any(_is_foreign(one, python) for one in (*family, *(first[name] for name in _OF_ONE_PYTHON if name in first)))
        or _is_deadly(first)
        or _is_shadowed(python, site)
    )


def _is_foreign(distribution: Distribution, python: Python) -> bool:
    """Whether its wheel does not look, at first sight, to be one for this Python on this machine."""
    tags = wheel_tags(distribution)
    tag = f"cp{python.version[0]}{python.version[1]}-"
    return bool(tags) and not any(one.startswith(tag) and one.endswith(f"_{python.machine}") for one in tags)


def _is_deadly(here: dict[str, Distribution]) -> bool:
    for one in known.deaths():
        beside = here.get(one.beside)
        if (one.missing if beside is None else one.meets(beside.version)) and one.among(here) is not None:
            return True
    return False


def _is_shadowed(python: Python, site: str) -> bool:
    before = shadows.directories_before(python, python.library)
    wanted = known.standard_names() if before else frozenset()
    if any(shadows.candidates(one, wanted, python.suffixes) for one in before):
        return True
    return any(
        shadows.candidates(one, shadows.WANTED_BY_TENSORFLOW, python.suffixes)
        for one in shadows.directories_before(python, site)
        if one not in (python.library, os.path.join(python.library, "lib-dynload"))
    )
