"""Remedies that pip carries out, as commands for the Python that was checked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.installed.families import is_known

if TYPE_CHECKING:
    from tfguard.installed.distributions import Distribution
    from tfguard.installed.known import Wheels


def pip(case: Case) -> str:
    """How pip is called for this Python; in one that the system's installer has it must be told that it may."""
    python = case.installed.python if case.installed is not None else None
    executable = python.executable if python is not None else case.host.executable
    is_managed = python.is_managed if python is not None else case.is_managed
    return f"{'PIP_BREAK_SYSTEM_PACKAGES=1 ' if is_managed else ''}{shlex.quote(executable)} -m pip"


def install(case: Case) -> Remedy | None:
    """Install the package that was asked for, None where it is not known what brings it."""
    installed = case.installed
    assert installed is not None
    if installed.fits is not None:
        requirement, why = installed.fits.requirement, f": {installed.fits.requirement} has a wheel for this Python"
    elif is_known(installed.name) and installed.name != "tensorflow":
        requirement, why = installed.name, ""
    else:
        return None
    if not installed.python.is_managed:
        return Remedy(f"Install it here{why}.", f"{pip(case)} install {requirement}")
    python = shlex.quote(installed.python.executable)
    return Remedy(
        "Install it in an environment of its own: this Python is the system's, and pip leaves that alone.",
        f"{python} -m venv {installed.name}-env && {installed.name}-env/bin/python -m pip install {requirement}",
    )


def again(case: Case, distributions: tuple[Distribution, ...], why: str) -> Remedy:
    """Install these very releases again, their files anew."""
    return Remedy(
        f"Install {_and(distributions)} again: {why}.", anew(case, [one.requirement for one in distributions])
    )


def in_place_of(
    case: Case, unwanted: tuple[Distribution, ...], kept: tuple[Distribution, ...], wanted: Wheels
) -> Remedy:
    """Install what there is for this system in place of what there is not, and the others anew."""
    names = " ".join(one.name for one in unwanted)
    get = anew(case, [wanted.requirement, *(one.requirement for one in kept)])
    why = f"{unwanted[0]} is not published for this Python on this system"
    return Remedy(f"Install {wanted.requirement} in its place: {why}.", f"{pip(case)} uninstall -y {names} && {get}")


def anew(case: Case, requirements: list[str]) -> str:
    """The command that installs these and nothing else, every file of them."""
    names = " ".join(map(shlex.quote, requirements))
    return f"{pip(case)} install --force-reinstall --no-deps --no-cache-dir {names}"


def remove_and_install(case: Case, unwanted: tuple[Distribution, ...], wanted: Distribution, why: str) -> Remedy:
    """Remove all of these, then install one of them; one after the other, because each removal takes common files."""
    remove = f"{pip(case)} uninstall -y {' '.join(one.name for one in unwanted)}"
    return Remedy(
        f"Remove all of them, then install one: {why}.", f"{remove} && {pip(case)} install {wanted.requirement}"
    )


def _and(distributions: tuple[Distribution, ...]) -> str:
    if len(distributions) == 1:
        return distributions[0].requirement
    return f"{distributions[0].requirement} and {len(distributions) - 1} more"
