"""Holds what tfguard says of a file against what ld.so does with it, in a fork of this process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from tests.support.real_loader import Reality, mapped_in_fork
from tfguard.hosts.host import Host
from tfguard.loader.glibc import Process
from tfguard.loader.trace import Trace

LOADS, REFUSED, DIES, CONSTRUCTOR = "loads", "refused", "dies", "dies in a constructor"


class Compared(NamedTuple):
    """One file: how its load really ended, the loader's words (or what it died of), and what was said wrongly of it.

    `wrong` is None where verdict, message, files and their order are the loader's own; files that constructors open
    later are not counted. `rule` is that of the refusal.
    """

    path: str
    outcome: str
    words: str
    rule: str
    wrong: str | None


def compare(path: str, host: Host, *, patience: int = 60) -> Compared:
    """Predict the load of one file, do it in a fork, and hold the two against each other."""
    with Process(host) as process:
        said = process.dlopen(path)
    was = mapped_in_fork(path, collect=True, patience=patience)
    outcome = LOADS if was.loads else REFUSED if was.died is None else DIES
    if was.died is not None and said.failure is None and _reaches_constructors(path, said, patience):
        outcome = CONSTRUCTOR
    failure = said.failure
    return Compared(
        path=path,
        outcome=outcome,
        words=was.message or was.died or "",
        rule=failure.rule if failure is not None else "",
        wrong=None if outcome is CONSTRUCTOR else _wrong(path, said, was, patience),
    )


def _wrong(path: str, said: Trace, was: Reality, patience: int) -> str | None:
    failure = said.failure
    if was.loads:
        if failure is not None:
            return f"false alarm: {path}: {failure.says} ({failure.detail})" if failure.certain else None
        images = tuple(image.path for image in said.images)
        more = was.mapped[len(images) :] if was.mapped[: len(images)] == images else None
        if more is None or (more and not _opened_by_constructors(path, images, more, patience)):
            part = next((i for i, (a, b) in enumerate(zip(images, was.mapped, strict=False)) if a != b), len(images))
            return f"other files: {path}, from the {part + 1}th on: {images[part:][:3]}, but {was.mapped[part:][:3]}"
        return None
    if failure is None:
        return f"missed: {path}: {was}"
    if (failure.message, failure.signal) != (was.message, was.died):
        return f"other words: {path}: {failure.says}; {was}"
    return None


def _story(path: str, images: tuple[str, ...], patience: int) -> tuple[bytes, bytes]:
    """What ld.so itself tells of a load: before it runs the first constructor of the new objects, and from there on."""
    command = [sys.executable, "-I", "-S", "-c", "import _ctypes, sys; _ctypes.dlopen(sys.argv[1], 2)", path]
    environment = {**os.environ, "LD_DEBUG": "files"}
    try:
        told = subprocess.run(command, env=environment, capture_output=True, timeout=patience, check=False).stderr
    except subprocess.TimeoutExpired as expired:
        told = expired.stderr or b""
    places = (told.find(b"calling init: " + os.fsencode(image) + b"\n") for image in images)
    first = min((place for place in places if place >= 0), default=len(told))
    return told[:first], told[first:]


def _reaches_constructors(path: str, said: Trace, patience: int) -> bool:
    """Whether ld.so has bound everything and runs constructors when the process dies."""
    return bool(_story(path, tuple(image.path for image in said.images), patience)[1])


def _opened_by_constructors(path: str, images: tuple[str, ...], more: tuple[str, ...], patience: int) -> bool:
    """Whether the further objects are there because a constructor of the predicted ones has called dlopen."""
    before, after = _story(path, images, patience)
    names = [os.fsencode(os.path.basename(one)) for one in more]
    return all(b"/" + name not in before and b"file=" + name not in before and name in after for name in names)
