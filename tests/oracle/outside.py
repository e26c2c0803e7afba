"""Judges what lies in a world's tree from outside, by Host.from_root, and asks the loader inside about the same."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.oracle.forest import CUTS, DAMAGES
from tests.oracle.inside import alone, death_of, in_world, prediction_of
from tests.oracle.worlds import PLACE, Unavailable, World
from tests.support import loading
from tests.support.real_loader import Answer, Prediction, Reality, verdict_of
from tfguard import check_library
from tfguard.hosts.foreign_host import host_of_program
from tfguard.hosts.host import Host
from tfguard.hosts.root import Root
from tfguard.loader.processes import start

# Not of the system: mounts, what the comparisons put there, and a wheel that is asked about by itself.
_BROKEN = "broken-"
WHEEL = "opt/tensorflow"
PYTHON = "/usr/bin/python3"
_LEFT_OUT = frozenset(("proc", "dev", "sys", PLACE.strip("/"), WHEEL))


@dataclass(slots=True)
class Seen:
    """How many loads were judged from outside and asked for inside, how they ended, and which differ in what."""

    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    differ: dict[str, str] = field(default_factory=dict)

    def compare(self, name: str, said: Prediction, was: Reality) -> None:
        """Count one load."""
        self.asked += 1
        self.ends[verdict_of(was)] += 1
        words = Answer(pairs=((replace(said, tried=()), was),), seconds=0).disagreement
        if words is not None and (said.certain or was.loads != said.loads):
            self.differ[name] = words


def objects_of(tree: Path) -> list[str]:
    """The files of a tree with ".so" in their names, each once, as a process inside spells them."""
    found: dict[tuple[int, int], str] = {}
    for folder, folders, names in os.walk(tree):
        inside = os.path.relpath(folder, tree)
        folders[:] = sorted(one for one in folders if os.path.normpath(f"{inside}/{one}") not in _LEFT_OUT
                            and not one.startswith(_BROKEN))  # fmt: skip
        for name in sorted(names):
            path = os.path.join(folder, name)
            if ".so" in name and os.path.isfile(path) and not os.path.islink(path):
                status = os.stat(path)
                found.setdefault((status.st_dev, status.st_ino), os.path.normpath(f"/{inside}/{name}"))
    return list(found.values())


def _renamed(text: bytes, other: bytes) -> Callable[[bytes, Random], bytes]:
    """One occurrence of a text replaced by another of its length; a file without it stays as it is."""

    def change(data: bytes, random: Random) -> bytes:
        places = [found.start() for found in re.finditer(re.escape(text), data)]
        if not places:
            return data
        place = random.choice(places)
        return data[:place] + other + data[place + len(text) :]

    return change


_BY_HAND: tuple[Callable[[bytes, Random], bytes], ...] = (
    *DAMAGES,
    *(_renamed(b".so.", b".sq."),) * 2,
    *(_renamed(b"GLIBC_2.", b"GLIBC_9."),) * 2,
    *(
        _renamed(b"\0%s\0" % name, b"\0%s\0" % name.upper())
        for name in (b"malloc", b"free", b"strlen", b"__cxa_finalize")
    ),
)


@contextmanager
def broken(world: World, paths: Sequence[str], seed: int = 0) -> Iterator[list[str]]:
    """A copy of each of these objects, broken in one way after the other, in the tree until the end."""
    place = Path(tempfile.mkdtemp(prefix=_BROKEN, dir=world.tree))
    ways = [one for number, one in enumerate(_BY_HAND) if world.page_size == 0x1000 or number not in CUTS]
    try:
        found = []
        for number, path in enumerate(paths):
            random = Random(seed + number)
            copy = place / str(number) / os.path.basename(path)
            copy.parent.mkdir(parents=True)
            copy.write_bytes(ways[number % len(ways)]((world.tree / path[1:]).read_bytes(), random))
            found.append(f"/{os.path.relpath(copy, world.tree)}")
        yield found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def judge_objects(world: World, paths: Sequence[str]) -> Seen:
    """Each object alone in a process of the program `ask_loader`."""
    was = in_world(world, None, lambda: [alone(world, path) for path in paths])
    host = replace(host_of_program("/ask_loader", Root(os.path.realpath(world.tree))), page_size=world.page_size)
    seen = Seen()
    for path, real in zip(paths, was, strict=True):
        report = check_library(path, host=host)
        assert report.trace is not None
        seen.compare(path, prediction_of(report.trace), real)
        if report.ok != (report.trace.failure is None or not report.trace.failure.certain):
            seen.differ.setdefault(path, f"the report is {'' if report.ok else 'not '}ok, but {report.trace.failure}")
    return seen


# What the tree's own Python does: tell what is mapped, then open its arguments one after another.
_OPEN_ALL = f"""
{Path(loading.__file__).read_text()}
import sys
known = []
def tell(message):
    new = [one for one in mapped_objects() if one not in known]
    known.extend(new)
    print(ascii((message, [name for _, name in new])), flush=True)
tell(None)
for word in sys.argv[1:]:
    mode, _, path = word.partition(":")
    tell(load_library(path, int(mode)))
"""


def python_tells(world: World, loads: Sequence[tuple[str, int]]) -> list[Reality]:
    """What the tree's Python has mapped when it runs, and how these loads, each a path and a mode, went in turn."""
    words = [*world.emulator, PYTHON, "-I", "-S", "-c", _OPEN_ALL, *(f"{mode}:{path}" for path, mode in loads)]
    told = in_world(world, None, lambda: subprocess.run(words, capture_output=True, text=True, check=False, env={}))
    answers = [Reality(message=message, mapped=tuple(names))
               for message, names in map(ast.literal_eval, told.stdout.splitlines())]  # fmt: skip
    if not answers:
        raise Unavailable(f"the Python of {world.name} ended with {told.returncode}: {told.stderr.strip()[-200:]}")
    if len(answers) <= len(loads):
        answers.append(Reality(died=death_of(told.returncode), stderr=told.stderr))
    return answers


def judge_python(world: World, paths: Sequence[str]) -> Seen:
    """The start of the tree's Python, and the loads of these objects, one after another in that process."""
    started, *answers = python_tells(world, [(path, 0) for path in paths])
    host = replace(Host.from_root(world.tree, PYTHON), page_size=world.page_size)
    seen = Seen()
    with start(host) as process:
        said = [one.path for one in host.loaded]
        was = [path for path in started.mapped if not path.startswith("linux-")]
        for path in was[len(said) :]:
            if "/lib-dynload/" in path:  # what the questions themselves need
                said += [one.path for one in process.dlopen(path).images]
        if said != was:
            seen.differ[PYTHON] = f"it is said to start with {said}, and starts with {was}"
        for path, real in zip(paths, answers, strict=False):
            seen.compare(path, prediction_of(process.dlopen(path)), real)
    return seen
