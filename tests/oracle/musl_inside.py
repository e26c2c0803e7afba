"""Asks musl and tfguard the same questions, from a process that has the tree of a world of musl as its root."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace

from tests.oracle.inside import Told, death_of, predict, prediction_of, run, told_by
from tests.oracle.musl_worlds import MuslWorld
from tests.support.real_loader import Answer, Load, Prediction, Reality
from tfguard.binary import packed
from tfguard.binary import program as program_file
from tfguard.hosts import live
from tfguard.hosts.foreign_host import host_of_program
from tfguard.hosts.host import Host
from tfguard.image import Image
from tfguard.loader import musl, musl_file, musl_search, musl_symbols

# What the prediction imports only when it needs it must be there before the root is another.
_NEEDED_LATER = (packed, musl, musl_file, musl_search, musl_symbols, program_file)

# The exit status of musl where a program cannot be started.
_NOT_STARTED = 127


def ask_musl(world: MuslWorld, load: Load, program: str = "ask_loader") -> Answer | str:
    """Prediction and reality: first of the start of the program, then of each load; a text where it cannot be asked.

    The loads are foretold twice: for the process as its start was played, and for the one that tfguard would find
    itself in after it.
    """
    if load.program is not None or load.opener is not None or load.no_write_execute:
        return "it is asked of a process that only a Python of the world could be"
    environment = {name: value for name, value in load.environment.items() if name.startswith("LD_")}
    played = host_of_program(f"/{program}", environment=environment, cwd=load.cwd or "/")
    assert played.start is not None
    said = replace(prediction_of(played.start), tried=())
    with tempfile.TemporaryFile() as errors:
        words, ended = run(world, load, program, environment, errors.fileno())
        errors.seek(0)
        lines = os.fsdecode(errors.read())
    if not words:
        message = lines.rstrip("\n") if ended == _NOT_STARTED else None
        was = Reality(message=message, died=death_of(ended) if message is None else None)
        return Answer(pairs=((said, was),), seconds=0)
    told = told_by(words, ended, len(load.names))
    if isinstance(told, str):
        return told
    if told.trouble is not None:
        return f"before any question: {told.trouble}"
    mapped = tuple(path for path in told.started_with if path and path != world.loader)
    began = ((said, Reality(mapped=mapped)),)
    answers = []
    for host in (played, _found(played, told)):
        predictions = predict(host, load)
        if isinstance(predictions, str):
            return predictions
        answers.append(_answer(began, predictions, told))
    return next((one for one in answers if one.disagreement is not None), answers[0])


def _answer(began: tuple[tuple[Prediction, Reality], ...], predictions: list[Prediction], told: Told) -> Answer:
    loads = zip((replace(one, tried=()) for one in predictions), told.loads, strict=False)
    return Answer(pairs=(*began, *loads), seconds=0)


def _found(played: Host, told: Told) -> Host:
    """The host that this_host() would make of the process."""
    main = played.loaded[0].image
    assert isinstance(main, Image)
    images = live._loaded_images(list(told.started_with), main, played.environment)
    return replace(played, foreign=None, loaded=images)
