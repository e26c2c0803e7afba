"""The worlds that are built on this machine: random forests in each, and the shrinking of one that differs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.loader.laid_out import LaidOut, laid_out
from tests.oracle.agreement import forests_agree
from tests.oracle.forest import Forest, Plant, grow
from tests.oracle.lab import ask_cases
from tests.oracle.shrink import shrink
from tests.oracle.worlds import WORLDS, Unavailable, World
from tests.support.build import COMMAND
from tests.support.elf_writer import Library
from tfguard.image import EM_X86_64

FORESTS = int(os.environ.get("TFGUARD_TEST_WORLD_FORESTS", "300"))


@pytest.fixture(scope="module")
def cases() -> Iterator[LaidOut]:
    if not COMMAND:
        pytest.skip("no C compiler on this machine")
    with laid_out() as found:
        yield found


@pytest.mark.parametrize("world", [one for one in WORLDS if one.machine == EM_X86_64], ids=lambda world: world.name)
def test_cases(world: World, cases: LaidOut) -> None:
    """Every named case that is held to the loader of this machine is held to that of the world."""
    if not world.is_built:
        pytest.skip("not built: make lab")
    try:
        asked = ask_cases(world, cases)
    except Unavailable as reason:
        pytest.skip(str(reason))

    assert not asked.differ, "\n".join(f"{name}: {words}" for name, words in asked.differ.items())
    assert asked.agree > 0.85 * len(cases.loads)  # the others ask for a Python in the world


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_forests(world: World) -> None:
    """No verdict, message, file or order differs; `make lab` builds the worlds and asks about many more."""
    result, count = forests_agree(world, FORESTS, kinds_of_end=9)

    assert result.tried > count


def test_a_seed_gives_one_forest() -> None:
    assert grow(7, "/r") == grow(7, "/r")
    assert grow(7, "/r") != grow(8, "/r")


def test_forests_have_filtees() -> None:
    """Of both kinds, in some of the forests."""
    filtees = [
        filtee
        for seed in range(100)
        for plant in grow(seed, "/r").plants
        if plant.library is not None
        for filtee in plant.library.filtees
    ]

    assert {one.optional for one in filtees} == {True, False}


def test_shrinking_keeps_what_matters() -> None:
    """Of a forest that is wrong because one library needs another, these two and one load are left."""
    forest = grow(5, "/r")
    first, second = forest.plants[0].path, forest.plants[-1].path
    bad = Plant(path="d0/libbad.so", library=Library(soname="libbad.so", needed=("a", "b", "c"), rpath="x:y"))
    forest = replace(forest, plants=(*forest.plants, bad), environment={"LD_LIBRARY_PATH": "/a:/b;/c"})

    def is_wrong(one: Forest) -> bool:
        needs_b = any(plant.library is not None and "b" in plant.library.needed for plant in one.plants)
        return needs_b and "/b" in one.environment.get("LD_LIBRARY_PATH", "")

    small = shrink(forest, is_wrong)

    assert small.plants == (Plant(path="d0/libbad.so", library=Library(needed=("b",))),)
    assert len(small.loads) == 1
    assert (small.environment, small.before, small.cwd) == ({"LD_LIBRARY_PATH": "/b"}, (), "")
    assert {first, second} <= {plant.path for plant in forest.plants}
