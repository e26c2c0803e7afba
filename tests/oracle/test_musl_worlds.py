"""The worlds of musl that are built on this machine: random forests in each."""

from __future__ import annotations

import os

import pytest

from tests.oracle.agreement import forests_agree
from tests.oracle.musl_forest import grow_musl
from tests.oracle.musl_worlds import MUSL_WORLDS, PATH_FILE, MuslWorld

FORESTS = int(os.environ.get("TFGUARD_TEST_WORLD_FORESTS", "300")) // 3


@pytest.mark.parametrize("world", MUSL_WORLDS, ids=lambda world: world.name)
def test_forests(world: MuslWorld) -> None:
    """No verdict, message, file or order differs, of the program's start and of its loads."""
    forests_agree(world, FORESTS, kinds_of_end=4)


def test_forests_have_what_is_musls() -> None:
    """Path files, line ends between directories, names that stand for musl itself, programs to be started with more."""
    forests = [grow_musl(seed, "/r") for seed in range(100)]
    libraries = [plant.library for one in forests for plant in one.plants if plant.library is not None]

    assert forests == [grow_musl(seed, "/r") for seed in range(100)]
    assert any(plant.path == PATH_FILE for one in forests for plant in one.plants)
    assert any("\n" in (one.runpath or one.rpath or "") for one in libraries)
    assert any("\n" in one.environment.get("LD_LIBRARY_PATH", "") for one in forests)
    assert any("LD_PRELOAD" in one.environment for one in forests)
    assert any("libc.so" in one.needed for one in libraries)
    assert {one.program for one in forests} > {"ask_loader", "ask_loader_token"}
