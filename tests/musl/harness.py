"""Asks musl's loader and tfguard the same questions: a small C program that musl started, and its host played."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.real_loader import Answer, Load, Prediction, Reality
from tfguard.binary import versions
from tfguard.hosts.foreign_host import host_of_program
from tfguard.loader.processes import start
from tfguard.loader.trace import Trace

COMMAND = shutil.which("musl-gcc") or ""
_SOURCE = Path(__file__).parents[1] / "oracle" / "ask_loader.c"

# Static TLS is one question with musl, put in forty ways for glibc; its answer names a variable that musl never set.
ONE_FOR_MUSL = ("G-150", "G-151", "G-152", "G-153", "G-154", "G-157", "G-02-room", "G-165-tunables")


def build(folder: Path, *options: str, name: str = "ask_loader") -> Path:
    """The program that asks, linked against musl."""
    program = folder / name
    words = [COMMAND, "-O1", "-Wno-builtin-declaration-mismatch", str(_SOURCE), "-o", str(program), *options]
    subprocess.run(words, check=True, capture_output=True)
    return program


@dataclass(slots=True)
class Asked:
    """One question put to both: what was said and what was, or why it could not be put."""

    answer: Answer | None
    trouble: str = ""


def run(program: Path, load: Load) -> tuple[list[tuple[str, str]], int]:
    """What the program says of the loads, by letter and text, and the status of its end."""
    environment = _environment(load)
    words = [str(program), load.cwd or "", "" if load.user is None else str(load.user), str(load.patience)]
    words.append(str(len(load.before)))
    for name, mode in (*load.before, *load.names):
        words += [str(mode), name]
    with tempfile.TemporaryFile() as out:
        child = os.posix_spawn(
            words[0], words, environment,
            file_actions=((os.POSIX_SPAWN_DUP2, out.fileno(), 3), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                          (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)),
        )  # fmt: skip
        _, status = os.waitpid(child, 0)
        out.seek(0)
        said = [(one[:1].decode(), os.fsdecode(one[1:])) for one in out.read().split(b"\0")[:-1]]
    return said, status


def ask(program: Path, load: Load) -> Asked:
    """The prediction and what happened, for each load."""
    said, status = run(program, load)
    trouble = next((text for kind, text in said if kind == "T"), None)
    if trouble is not None or not said:
        return Asked(None, trouble or "the program did not start")
    was: list[Reality] = []
    for kind, text in said:
        if kind in "EO":
            was.append(Reality(message=text if kind == "E" else None))
        elif kind == "M":
            was[-1] = Reality(mapped=(*was[-1].mapped, text), message=was[-1].message)
    if len(was) < len(load.names):
        was.append(Reality(died=_death(os.waitstatus_to_exitcode(status))))
    predicted = _predict(program, load)
    return Asked(Answer(pairs=tuple(zip(predicted, was, strict=False)), seconds=0))


def _environment(load: Load) -> dict[str, str]:
    return {name: value for name, value in load.environment.items() if name.startswith("LD_")}


def _death(status: int) -> str:
    if status == -signal.SIGALRM:
        return "waits for ever"
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def _predict(program: Path, load: Load) -> list[Prediction]:
    versions._known.clear()
    here = os.getcwd()
    host = host_of_program(str(program), environment=_environment(load), cwd=load.cwd or here)
    os.chdir(load.cwd or here)
    try:
        with start(host) as process:
            for name, mode in load.before:
                assert process.dlopen(name, make_global=bool(mode & os.RTLD_GLOBAL)).failure is None
            if load.user is not None:
                os.setegid(load.user)
                os.seteuid(load.user)
            return [_told(process.dlopen(name, make_global=bool(mode & os.RTLD_GLOBAL))) for name, mode in load.names]
    finally:
        if load.user is not None:
            os.seteuid(0)
            os.setegid(0)
        os.chdir(here)


def _told(trace: Trace) -> Prediction:
    failure = trace.failure
    return Prediction(
        images=tuple(one.path for one in trace.images),
        rule=failure.rule if failure is not None else None,
        message=failure.message if failure is not None else None,
        signal=failure.signal if failure is not None else None,
        certain=failure.certain if failure is not None else True,
        detail=failure.detail if failure is not None else "",
    )
