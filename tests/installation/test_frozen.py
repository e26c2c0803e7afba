"""Frozen and zipped applications: sound ones stay silent, what was left out is named, and the remedy mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installation.environment import Environment
from tests.support.packages import ROOT

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SMALL = """
import sys
import tfguard
numpy = tfguard.safe_import("numpy")
assert int(numpy.arange(4).sum()) == 6
print(tfguard.check_import("numpy"))
print("it works", getattr(sys, "frozen", False))
"""
LARGE = """
from typing import TYPE_CHECKING
import tfguard
if TYPE_CHECKING:
    import tensorflow
print(tfguard.check_import("tensorflow"))
tf = tfguard.safe_import()
assert int(tf.reduce_sum(tf.constant([1, 2, 3]))) == 6
print("it works")
"""
REQUIRED = ("numpy", "packaging", "pyelftools", "macholib", "typing-extensions")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the tools that freeze, and tfguard by path."""
    found = Environment.copied(tmp_path_factory.mktemp("freezers"))
    found.pip("install", "pyinstaller", "cx_Freeze", "pex", "shiv", *REQUIRED)
    (found.site / "tfguard-here.pth").write_text(f"{ROOT}\n")
    return found


def run(environment: Environment, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return environment.carry_out(" ".join(map(str, command)))


def pyinstaller(environment: Environment, *options: str) -> Path:
    done = run(environment, "pyinstaller --noconfirm your_script.py", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    dist = environment.project / "dist"
    return next(one for one in (dist / "your_script" / "your_script", dist / "your_script") if one.is_file())


def onedir(environment: Environment) -> Path:
    return pyinstaller(environment, "--hidden-import numpy")


def onefile(environment: Environment) -> Path:
    return pyinstaller(environment, "--onefile --hidden-import numpy")


def with_metadata(environment: Environment) -> Path:
    """Their RECORDs list files that lie in the archive, and on no disk."""
    return pyinstaller(environment, "--hidden-import numpy --copy-metadata numpy --copy-metadata tensorflow-cpu")


def cx_freeze(environment: Environment) -> Path:
    done = run(environment, "cxfreeze build --script your_script.py --includes numpy --build-exe build/cx")
    assert done.returncode == 0, done.stderr[-2000:]
    return environment.project / "build" / "cx" / "your_script"


def zipapp(environment: Environment) -> Path:
    """tfguard itself is imported from the archive."""
    folder = environment.project / "app"
    shutil.copytree(ROOT / "tfguard", folder / "tfguard", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(environment.project / "your_script.py", folder / "__main__.py")
    assert run(environment, "python -m zipapp app -o app.pyz -p", environment.python).returncode == 0
    return environment.project / "app.pyz"


def _site(environment: Environment) -> Path:
    """A folder with tfguard and the program."""
    folder = environment.project / "site"
    shutil.copytree(ROOT / "tfguard", folder / "tfguard", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(environment.project / "your_script.py", folder)
    return folder


def pex(environment: Environment) -> Path:
    options = f"--python {environment.python} -D {_site(environment)} -m your_script -o app.pex"
    done = run(environment, "pex", *REQUIRED, options)
    assert done.returncode == 0, done.stderr[-2000:]
    return environment.project / "app.pex"


def shiv(environment: Environment) -> Path:
    packed = f"--python {environment.python} --site-packages {_site(environment)} -o app.pyz"
    done = run(environment, "shiv", packed, *REQUIRED)
    assert done.returncode == 0, done.stderr[-2000:]
    environment.variables["SHIV_ROOT"] = str(environment.project / "unpacked")
    environment.variables["SHIV_MODULE"] = "your_script"
    return environment.project / "app.pyz"


FREEZERS: tuple[Callable[[Environment], Path], ...] = (onedir, onefile, with_metadata, cx_freeze, zipapp, pex, shiv)


def start(environment: Environment, application: Path) -> str:
    """What it prints; in another folder, so that nothing is found beside it that was not put into it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
    shown = {one: environment.variables[one] for one in environment.variables if one.startswith("SHIV")}
    done = subprocess.run(
        [str(application)], env={**kept, **shown}, cwd="/", capture_output=True, text=True, timeout=600, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def project(environment: Environment) -> Environment:
    """The environment with an empty folder to work in."""
    shutil.rmtree(environment.project)
    environment.project.mkdir()
    (environment.project / "your_script.py").write_text(SMALL)
    return environment


@pytest.mark.parametrize("freeze", FREEZERS, ids=lambda one: one.__name__)
def test_nothing_is_found(project: Environment, freeze: Callable[[Environment], Path]) -> None:
    """The import is checked, not one finding, and it works."""
    said = start(project, freeze(project))

    assert "numpy: ok, " in said, said[-3000:]
    assert "it works" in said
    assert "GuardWarning" not in said


@pytest.mark.parametrize("command", ["pyinstaller your_script.py", "cxfreeze build --script your_script.py"])
def test_left_out(project: Environment, command: str) -> None:
    """A package that only a text names is in no frozen application; the remedy freezes it again, with the package."""
    assert run(project, command).returncode == 0

    application = next(one for one in project.project.rglob("your_script") if one.is_file() and "EXE" not in one.parts)
    before = start(project, application)
    command = next(
        line.strip() for line in before.splitlines() if line.strip().startswith(command.split(maxsplit=1)[0] + " ")
    )
    again = run(project, command, "--noconfirm" if command.startswith("py") else "")

    assert "TFG421 left-out-of-the-application: numpy was not put into this frozen application" in before
    assert again.returncode == 0, again.stderr[-2000:]
    assert "it works" in start(project, application)


def test_broken_in_the_application(project: Environment) -> None:
    """A library cut short in the application's folder: a warning, since no source there says that it is needed."""
    application = onedir(project)
    (library,) = application.parent.rglob("_multiarray_umath.*.so")
    content = library.read_bytes()
    library.unlink()
    library.write_bytes(content[: len(content) // 2])

    assert "GuardWarning: TFG116 truncated-file: " in start(project, application)


def test_tensorflow(project: Environment) -> None:
    """TensorFlow itself, frozen."""
    (project.project / "your_script.py").write_text(LARGE)

    said = start(project, pyinstaller(project))

    assert "tensorflow: ok, " in said, said[-3000:]
    assert "it works" in said
