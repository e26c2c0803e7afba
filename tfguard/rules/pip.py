"""Remedies that pip carries out, as commands for the Python that was checked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.installed.families import is_known

if TYPE_CHECKING:
    from tfguard.installed.distributions import Distribution


def pip(case: Case) -> str:
    """How pip is called for this Python."""
    assert case.installed is not None
    return f"{shlex.quote(case.installed.python.executable)} -m pip"


def install(case: Case) -> Remedy | None:
    """Install the package that was asked for, None where it is not known what brings it."""
    installed = case.installed
    assert installed is not None
    if installed.fits is not None:
        requirement = f"{installed.fits.distribution}=={installed.fits.version}"
        return Remedy(
            f"Install it here: {requirement} has a wheel for this Python.", f"{pip(case)} install {requirement}"
        )
    if not is_known(installed.name) or installed.name == "tensorflow":
        return None
    return Remedy("Install it here.", f"{pip(case)} install {installed.name}")


def again(case: Case, distributions: tuple[Distribution, ...], why: str) -> Remedy:
    """Install these very releases again, their files anew."""
    names = " ".join(shlex.quote(one.requirement) for one in distributions[:6])
    command = f"{pip(case)} install --force-reinstall --no-deps --no-cache-dir {names}"
    return Remedy(f"Install {_and(distributions)} again: {why}.", command)


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
