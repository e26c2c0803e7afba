"""Trees judged from outside against the loader inside: one of this system's own libraries, and the worlds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.oracle.inside import in_world
from tests.oracle.outside import Seen, broken, judge_objects, judge_python, objects_of
from tests.oracle.worlds import WORLDS, Unavailable, World, build_programs
from tests.roots.programs import system_files
from tests.support.build import COMMAND
from tests.support.here import is_glibc_x86_64
from tfguard.hosts.live import this_host

OBJECTS = 60

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and a C compiler")


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tree with this system's loader and C library, and some other libraries: what they need may be missing."""
    tree = tmp_path_factory.mktemp("own")
    system_files(tree)
    libc = next(tree.glob("**/libc.so.6"))
    for folder in this_host().system_directories:
        for path in sorted(Path(folder).glob("lib*.so.*"))[:OBJECTS]:
            copy = libc.parent / path.name
            if path.is_file() and not copy.exists():
                shutil.copy(os.path.realpath(path), copy)
    world = World(
        name="own", suite="", glibc=this_host().version, libraries=str(libc.parent.relative_to(tree)), place=tree
    )
    shutil.copy(next(tree.glob("lib64/ld-linux*")), libc.parent)
    try:
        build_programs(world)
        in_world(world, None, lambda: None)
    except Unavailable as reason:
        pytest.skip(str(reason))
    return world


def _words(seen: Seen) -> str:
    return "\n".join(f"{name}: {words}" for name, words in seen.differ.items())


def test_own_libraries(own_world: World) -> None:
    """Verdict, message, files and their order, of libraries as they are and broken in each way by hand."""
    paths = objects_of(own_world.tree)
    sound = judge_objects(own_world, paths)
    with broken(own_world, paths) as copies:
        spoiled = judge_objects(own_world, copies)

    assert not sound.differ, _words(sound)
    assert not spoiled.differ, _words(spoiled)
    assert sound.ends["loads"] > 10
    assert len(spoiled.ends) > 10


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_worlds(world: World) -> None:
    """A few objects of each world that is built, and its Python; `make lab` judges all."""
    if not world.is_built:
        pytest.skip("not built: make lab")
    objects = objects_of(world.tree)
    modules = [path for path in objects if "/lib-dynload/" in path]
    chosen = objects[:: len(objects) // (10 if world.emulator else 40)]
    try:
        sound = judge_objects(world, chosen)
        with broken(world, chosen) as copies:
            spoiled = judge_objects(world, copies)
        python = judge_python(world, modules)
    except Unavailable as reason:
        pytest.skip(str(reason))

    assert not sound.differ, _words(sound)
    assert not spoiled.differ, _words(spoiled)
    assert not python.differ, _words(python)
    assert python.asked == len(modules) > 10
