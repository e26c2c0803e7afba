"""TensorFlow is not installed: for each Python of this machine the remedy as it is printed, and then the import works.

The remedy of a Python that no release has a wheel for is another Python, in an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from glob import glob
from pathlib import Path

import pytest

from tests.installation.environment import SCRIPT
from tests.support.packages import ROOT

pytestmark = pytest.mark.slow

# The Python asked is an environment with tfguard's readers and nothing else; what is said is the text of a terminal.
READERS = ("packaging", "pyelftools", "macholib", "typing-extensions")
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def python_of(version: str) -> Path:
    """An interpreter of that version on this machine."""
    found = [
        *glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python{version}")),
        shutil.which(f"python{version}"),
    ]
    for one in found:
        if one is not None and subprocess.run([one, "-c", ""], capture_output=True, check=False).returncode == 0:
            return Path(one)
    pytest.skip(f"no Python {version} on this machine")


def run(command: str, folder: Path, environment: Path) -> subprocess.CompletedProcess[str]:
    """Paste a command into a shell in an active environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
    variables = {"PATH": f"{environment}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(
        ["bash", "-c", command],
        env={**kept, **variables, "TF_CPP_MIN_LOG_LEVEL": "3", "VIRTUAL_ENV": str(environment)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def remedy_in(text: str) -> str:
    """The first command of a report, as a person copies it."""
    lines = text.partition("\n  fix  ")[2].splitlines()
    return next(line.strip() for line in lines if line.startswith("         "))


@pytest.mark.parametrize("version", VERSIONS)
def test_remedy_as_printed(tmp_path: Path, version: str) -> None:
    """An empty environment, the words of the import, the first line of the finding, the command, the import again."""
    environment = tmp_path / "venv"
    subprocess.run([str(python_of(version)), "-m", "venv", str(environment)], check=True)
    (tmp_path / "your_script.py").write_text(SCRIPT)
    assert run(f"python -m pip -q install {' '.join(READERS)}", tmp_path, environment).returncode == 0

    before = run("python your_script.py", tmp_path, environment)
    said = run("python -m tfguard", tmp_path, environment)
    command = remedy_in(said.stdout)
    done = run(command, tmp_path, environment)
    after = run("python your_script.py", tmp_path, environment)

    assert before.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'tensorflow'"
    assert said.stdout.startswith(f"TFG401 not-installed: tensorflow is not installed in this Python ({version}.")
    assert said.returncode == 1
    assert done.returncode == 0, (command, done.stderr[-2000:])
    assert "it works" in after.stdout, after.stderr[-2000:]
    shutil.rmtree(tmp_path)
