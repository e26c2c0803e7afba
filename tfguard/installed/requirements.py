"""What distributions require of each other, held against what is installed: only what does not hold is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tfguard.hosts.host import Host
from tfguard.installed.distributions import Distribution, requires
from tfguard.installed.families import MODULES
from tfguard.installed.installation import find_package
from tfguard.installed.known import Death
from tfguard.installed.names import canonical
from tfguard.installed.python import Python

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_DISTRIBUTIONS_LIMIT = 500


class Unmet(NamedTuple):
    """A requirement that does not hold: who requires what, and what there is in its place, None where nothing is.

    `wanted` is what pip is asked for to meet it together with all others that ask for the same distribution. `says`
    is what the import was seen to die of, None where that is not known: then it may go well all the same. `declared` is
    False where no metadata says so, and only the deaths of imports do.
    """

    requirer: Distribution
    requirement: str
    name: str
    have: Distribution | None
    wanted: str
    says: str | None
    declared: bool = True


def find_unmet(
    roots: tuple[Distribution, ...],
    here: Mapping[str, Distribution],
    deaths: tuple[Death, ...],
    python: Python,
    host: Host,
) -> tuple[Unmet, ...]:
    """The requirements of these distributions, and of what they require in turn, that do not hold in this Python."""
    from packaging.requirements import InvalidRequirement, Requirement

    environment = marker_environment(python)
    found: list[tuple[Distribution, Requirement, Distribution | None]] = []
    asked: dict[str, list[Requirement]] = {}
    pending = list(roots)
    reached = {one.name for one in roots}
    while pending and len(reached) < _DISTRIBUTIONS_LIMIT:
        requirer = pending.pop(0)
        for text in requires(requirer):
            if "extra ==" in text and " or " not in text:
                continue  # for an extra that nobody asked for; parsing it is what costs time here
            try:
                requirement = Requirement(text)
                if requirement.marker is not None and not requirement.marker.evaluate(environment):
                    continue
            except (InvalidRequirement, ValueError, KeyError):  # not ours to judge
                continue
            name = canonical(requirement.name)
            have = here.get(name)
            asked.setdefault(name, []).append(requirement)
            if have is None or not _holds(requirement, have):
                found.append((requirer, requirement, have))
            if have is not None and name not in reached:
                reached.add(name)
                pending.append(have)
    unmet = []
    for requirer, requirement, have in found:
        name = canonical(requirement.name)
        says = deadly(deaths, requirer, name, have, host)
        unmet.append(Unmet(requirer, str(requirement), name, have, _together(name, asked[name]), says))
    return (*unmet, *_undeclared(unmet, reached, here, deaths))


def _undeclared(
    unmet: list[Unmet], reached: set[str], here: Mapping[str, Distribution], deaths: tuple[Death, ...]
) -> Iterator[Unmet]:
    """What an import was seen to die of although no requirement says so: what is older cannot name what came later."""
    for one in deaths:
        requirer, have = one.among(here), here.get(one.beside)
        if requirer is None or have is None or not {requirer.name, have.name} <= reached or not one.meets(have.version):
            continue
        if any(other.requirer == requirer and other.name == one.beside for other in unmet):
            continue
        bound = f"{one.beside}<{_dotted(one.lowest)}" if one.lowest else f"{one.beside}>={_dotted(one.under)}"
        # Where the older one is itself out of bounds, that is what has to be mended.
        wanted = next((other.wanted for other in unmet if other.name == one.distribution), bound)
        yield Unmet(requirer, bound, one.beside, have, wanted, one.says, declared=False)


def deadly(
    deaths: tuple[Death, ...], requirer: Distribution, name: str, have: Distribution | None, host: Host
) -> str | None:
    """What the import of the requirer was seen to die of beside this, None where it was not."""
    for one in deaths:
        if one.beside != name or not one.is_of(requirer.name, requirer.version):
            continue
        if have is None and one.missing and not is_importable(name, host):
            return one.says
        if have is not None and one.meets(have.version):
            return one.says
    return None


def is_importable(distribution: str, host: Host) -> bool:
    """Whether the module that a distribution brings is found there all the same, from wherever."""
    top, _, rest = MODULES.get(distribution, distribution.replace("-", "_")).partition(".")
    package = find_package(top, host)
    if package is None or not rest:
        return package is not None
    return any(host.root.is_directory(os.path.join(one, rest)) for one in package.locations)


def _dotted(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


def _holds(requirement: Requirement, have: Distribution) -> bool:
    from packaging.version import InvalidVersion

    if requirement.url is not None:
        return True
    try:
        return requirement.specifier.contains(have.version, prereleases=True)
    except InvalidVersion:
        return True


def _together(name: str, requirements: list[Requirement]) -> str:
    from packaging.specifiers import SpecifierSet

    bounds = SpecifierSet()
    for one in requirements:
        bounds &= one.specifier
    return f"{name}{bounds}"


def marker_environment(python: Python) -> dict[str, str]:
    """The values of environment markers (PEP 508) for a Python, no extra asked for."""
    full = ".".join(map(str, python.version))
    return {
        "implementation_name": python.implementation,
        "implementation_version": full,
        "os_name": "nt" if python.system == "win32" else "posix",
        "platform_machine": python.machine,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(python.implementation, ""),
        "platform_release": "",
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}.get(python.system, ""),
        "platform_version": "",
        "python_full_version": full,
        "python_version": python.short,
        "sys_platform": python.system,
        "extra": "",
    }
