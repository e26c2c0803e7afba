"""Fixtures shared by all tests: a compiler cache and a breakable copy of the installed TensorFlow."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import build
from tests.support.tensorflow_copy import TensorFlowCopy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is marked `tensorflow` in an environment without it (`make test` always installs it)."""
    if importlib.util.find_spec("tensorflow") is None:
        for item in items:
            if item.get_closest_marker("tensorflow") is not None:
                item.add_marker(pytest.mark.skip(reason="TensorFlow is not installed in this environment"))


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> build.Compiler:
    """The system's C compiler; tests that need it are left out where there is none."""
    if not build.COMMAND:
        pytest.skip("no C compiler on this machine")
    return build.Compiler(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def whole_copy(tmp_path_factory: pytest.TempPathFactory) -> TensorFlowCopy:
    """One hard-linked copy of this environment for all tests that break TensorFlow."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed in this environment")
    directory = tmp_path_factory.mktemp("tensorflow")
    for folder in (directory, *directory.parents[:2]):
        folder.chmod(0o755)  # an ordinary user must reach it
    return TensorFlowCopy(directory)


@pytest.fixture
def copy(whole_copy: TensorFlowCopy) -> Iterator[TensorFlowCopy]:
    """The copy, mended after each test."""
    yield whole_copy
    whole_copy.mend()


def needs(program: str) -> pytest.MarkDecorator:
    """Leave a test out where a program is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not on this machine")


__all__ = ["Path", "compiler", "copy", "needs", "whole_copy"]
