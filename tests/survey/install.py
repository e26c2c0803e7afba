"""Installs the packages of the survey, one by one, into an environment of its own for each Python."""

from __future__ import annotations

import glob
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / ".cache" / "survey"
LIST = Path(__file__).with_name("packages.txt")
VERSIONS = ("3.11", "3.13")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A line of packages.txt: what pip is asked for, and for which Pythons (none named: for all)."""

    requirement: str
    pythons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The distribution's name, normalised (PEP 503)."""
        return re.sub(r"[-_.]+", "-", re.split(r"[=<>\[ ]", self.requirement)[0]).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment of the survey and the version of its Python, as "3.11"."""

    version: str
    directory: Path

    @property
    def python(self) -> str:
        """The path of its interpreter."""
        return str(self.directory / "bin" / "python")

    @property
    def site(self) -> str:
        """Where its packages are."""
        return str(self.directory / "lib" / f"python{self.version}" / "site-packages")

    def distributions(self) -> dict[str, importlib.metadata.Distribution]:
        """What is installed, by normalised name."""
        found = importlib.metadata.distributions(path=[self.site])
        return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one for one in found}


def wanted_packages() -> tuple[Wanted, ...]:
    """The lines of packages.txt."""
    lines = (line.split("#")[0].strip() for line in LIST.read_text().splitlines())
    parts = [line.partition(";") for line in lines if line]
    return tuple(Wanted(requirement=text.strip(), pythons=tuple(pythons.split())) for text, _, pythons in parts)


def environment(version: str) -> Environment | None:
    """The environment for a version of Python, made where it is not there yet; None where this machine has no such
    Python."""
    made = Environment(version=version, directory=ROOT / f"python{version}")
    if not os.path.exists(made.python):
        interpreter = next(_interpreters(version), None)
        if interpreter is None:
            return None
        subprocess.run([interpreter, "-m", "venv", "--without-pip", str(made.directory)], check=True)
    return made


def _interpreters(version: str) -> Iterator[str]:
    """Interpreters of that version: on the path, of the system, of pyenv."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    names = (f"/usr/bin/python{version}", shutil.which(f"python{version}"), sys.executable)
    for path in (*names, *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python{version}"))):
        if path is None or not os.path.exists(path):
            continue
        told = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-I", "-c", told], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            yield path


def install(place: Environment) -> Iterator[tuple[Wanted, str]]:
    """Install what is missing; gives each package that could not be had, with pip's last line."""
    known = place.distributions()
    for one in wanted_packages():
        if one.name in known or (one.pythons and place.version not in one.pythons):
            continue
        refused = place.directory / f"refused-{one.name}"
        if not refused.exists():
            command = [sys.executable, "-m", "pip", "--python", place.python, "install", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--no-compile", "--no-cache-dir", one.requirement]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                continue
            refused.write_text(done.stderr)
        lines = refused.read_text().strip().splitlines()
        yield one, next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
