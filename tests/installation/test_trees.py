"""The installation of a tree: sound it is silent, broken it is told from outside what its own import dies of inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installation.environment import codes
from tests.installation.tree import Tree, can_be_entered

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not can_be_entered(), reason="only root may change its root"),
]


@dataclass(frozen=True)
class Breakage:
    """A way to break a tree, what its import says inside ("" where it lives), and the first finding."""

    id: str
    apply: Callable[[Tree], None]
    code: str
    severity: str
    says: str


def remove(name: str) -> Callable[[Tree], None]:
    return lambda tree: shutil.rmtree(tree.site / name)


def _get(tree: Tree, requirement: str, *options: str) -> None:
    """Other wheels put there from outside, as people make layers and images."""
    command = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--only-binary=:all:", *options]
    subprocess.run([*command, "--upgrade", "--target", str(tree.site), requirement], check=True, capture_output=True)


def _without(tree: Tree, *patterns: str) -> None:
    for pattern in patterns:
        for path in tree.site.glob(pattern):
            shutil.rmtree(path)


def _version(tree: Tree, name: str) -> str:
    (metadata,) = tree.site.glob(f"{name}-*.dist-info")
    return metadata.name.removesuffix(".dist-info").partition("-")[2]


def _other_python(tree: Tree) -> None:
    version = _version(tree, "numpy")
    _without(tree, "numpy", "numpy-*")
    _get(tree, f"numpy=={version}", "--python-version", f"3.{sys.version_info[1] + 1}")


def _other_processor(tree: Tree) -> None:
    _without(tree, "tensorflow", "tensorflow*.dist-info")
    where = ("--platform", "manylinux_2_27_aarch64", "--platform", "manylinux_2_17_aarch64")
    _get(tree, "tensorflow==2.21.0", *where, "--python-version", f"3.{sys.version_info[1]}")


def _two(tree: Tree) -> None:
    """2.20 over the 2.21 of tensorflow-cpu, the metadata of both left there."""
    (metadata,) = tree.site.glob("tensorflow_cpu-*.dist-info")
    aside = tree.root / metadata.name
    metadata.rename(aside)
    _get(tree, "tensorflow==2.20.0")
    aside.rename(metadata)


HERE = (
    Breakage("no-python-folder", remove("tensorflow/python"), "TFG404", "error", "No module named 'tensorflow.python'"),
    Breakage("no-folder", remove("tensorflow"), "TFG404", "error", "No module named 'tensorflow'"),
)
DOWNLOADED = (
    Breakage("two-tensorflows", _two, "TFG403", "warning", ""),
    Breakage("for-another-processor", _other_processor, "TFG402", "error", "cannot open shared object file"),
    Breakage("for-another-python", _other_python, "TFG402", "error", "No module named 'numpy._core._multiarray_umath'"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    folder = tmp_path_factory.mktemp("trees")
    yield Tree.of_this_environment(folder / "sound")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tree(sound: Tree, tmp_path: Path) -> Iterator[Tree]:
    yield sound.copied(tmp_path / "tree")
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_nothing_is_found(sound: Tree) -> None:
    """It starts inside, and from outside there is not one finding."""
    assert sound.last_words() == ""
    assert sound.findings() == []


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.id)
def test_broken(tree: Tree, case: Breakage) -> None:
    """The cause stands first."""
    case.apply(tree)

    assert case.says in tree.last_words()
    assert codes(tree.findings())[:1] == [(case.code, case.severity)]


@pytest.mark.slow
@pytest.mark.parametrize("case", HERE + DOWNLOADED, ids=lambda case: case.id)
def test_broken_and_mended(tree: Tree, case: Breakage) -> None:
    """The remedy is pasted inside, where the system's installer has the Python; then its import works."""
    case.apply(tree)

    before = tree.last_words()
    findings = tree.findings()
    assert (case.says in before) if case.says else (before == ""), before[-2000:]
    assert codes(findings)[:1] == [(case.code, case.severity)], findings
    command = findings[0].remedies[0][1]
    assert command is not None
    done = tree.carry_out(command)

    assert done.returncode == 0, (command, done.stderr[-2000:])
    assert tree.last_words() == ""
    assert codes(tree.findings()) == []
