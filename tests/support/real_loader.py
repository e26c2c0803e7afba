"""Asks the real loader and tfguard the same question in the same process: a child, forked for each question."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.loading import load_library, mapped_objects
from tests.support.own_etc import replace_etc

CHILD = Path(__file__).with_name("loader_child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A question: load `names` one after another, each with its dlopen mode beside RTLD_NOW.

    `before` is loaded for real before the prediction is made. `environment` is that of the process from its start,
    beside what every process of the tests has; `user` is the effective one where it is another. `patience` is in
    seconds: a load still running then counts as waiting for ever. `program` is a program that behaves as this Python
    and is to make the loads, `opener` a library whose function `open_it` is to call dlopen (G-62);
    `no_write_execute` has the kernel deny memory that is writable and executable (PR_SET_MDWE). `etc` are names and
    files that are all that the process has in /etc, None for what the system has there.
    """

    names: tuple[tuple[str, int], ...]
    before: tuple[tuple[str, int], ...] = ()
    cwd: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    patience: int = 20
    program: str | None = None
    opener: str | None = None
    no_write_execute: bool = False
    etc: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What tfguard says of one load; `tried` are the candidates of its searches, where that is asked."""

    images: tuple[str, ...]
    rule: str | None
    message: str | None
    signal: str | None
    certain: bool
    detail: str
    tried: tuple[str, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether the load is said to succeed."""
        return self.rule is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reality:
    """What the loader did: mapped objects in load order, or the message of dlerror(), or how the process died.

    `tried` are the candidates of its searches in existing directories, where it was asked to tell them.
    """

    mapped: tuple[str, ...] = ()
    message: str | None = None
    died: str | None = None
    stderr: str = ""
    tried: tuple[str, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether the load succeeded."""
        return self.message is None and self.died is None

    def __str__(self) -> str:
        if self.loads:
            return f"loads, mapping {list(self.mapped)}"
        return f"fails: {self.message}" if self.message is not None else f"dies: {self.died} {self.stderr}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Prediction and reality of each load of a question, as far as the process lived."""

    pairs: tuple[tuple[Prediction, Reality], ...]
    seconds: float

    @property
    def disagreement(self) -> str | None:
        """The first difference between what was said and what happened, in words, or None."""
        for position, (said, was) in enumerate(self.pairs):
            if (words := _difference(said, was)) is not None:
                return f"load {position + 1}: {words}"
        return None


def _difference(said: Prediction, was: Reality) -> str | None:
    story = f"\n  tfguard: {said}\n  ld.so:   {was}"
    if said.loads != was.loads:
        return f"the verdicts differ{story}"
    if said.tried != was.tried:
        return f"other places tried{story}"
    if was.loads:
        return None if said.images == was.mapped else f"other files or another order{story}"
    if said.message != was.message:
        return f"the messages differ{story}"
    if was.died is not None and said.signal != was.died:
        return f"another death{story}"
    return None


def ask(loads: Sequence[Load], *, python: str = sys.executable) -> list[Answer]:
    """Answers in the order of the questions; those of one program, environment and list of preloads share a child."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, load in enumerate(loads):
        key = (
            load.program or python,
            tuple(sorted(load.environment.items())),
            tuple(sorted(_etc_at_start(load).items())),
        )
        groups.setdefault(key, []).append(position)
    answers: dict[int, Answer] = {}
    for (program, *_), positions in groups.items():
        group = [loads[position] for position in positions]
        answers.update(zip(positions, _ask_one_child(group, str(program)), strict=True))
    return [answers[position] for position in range(len(loads))]


def _etc_at_start(load: Load) -> Mapping[str, str]:
    """What must stand in /etc when the process starts; all else is put there by the fork that loads."""
    return load.etc if load.etc is not None and "ld.so.preload" in load.etc else {}


def _ask_one_child(loads: list[Load], python: str) -> Iterator[Answer]:
    fields = ("names", "before", "cwd", "user", "patience", "opener", "no_write_execute", "etc")
    requests = [{name: getattr(load, name) for name in fields} for load in loads]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "GLIBC_"))}
    environment.update(loads[0].environment)
    etc = _etc_at_start(loads[0])
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            [python, "-I", "-S", str(CHILD), str(out.fileno())],
            input=json.dumps(requests),
            text=True,
            pass_fds=(out.fileno(),),
            env=environment,
            capture_output=True,
            check=False,
            preexec_fn=(lambda: replace_etc(etc)) if etc else None,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the child ended with {done.returncode}: {done.stderr}")
        out.seek(0)
        lines = [json.loads(line) for line in out.read().splitlines()]
    begin = 0
    for load in loads:
        end = next(position for position in range(begin, len(lines)) if "ended" in lines[position])
        yield _answer(load, lines[begin:end], lines[end]["ended"])
        begin = end + 1


def _answer(load: Load, lines: list[dict[str, Any]], ended: dict[str, Any]) -> Answer:  # Any: parsed JSON
    for line in lines:
        if "trouble" in line:
            raise RuntimeError(f"{load}: {line['trouble']}")
    if not lines:
        raise RuntimeError(f"{load}: no prediction was made, the child ended with {ended}")
    said = [_prediction(one) for one in lines[0]["predicted"]]
    was = [Reality(mapped=tuple(line["mapped"]), message=line["message"]) for line in lines[1:]]
    if len(was) < len(said):
        was.append(Reality(died=_death(ended["status"], ended["stderr"]), stderr=ended["stderr"]))
    return Answer(pairs=tuple(zip(said, was, strict=False)), seconds=lines[0]["seconds"])


def _prediction(told: dict[str, Any]) -> Prediction:  # Any: parsed JSON
    failure = told["failure"] or {}
    return Prediction(
        images=tuple(told["images"]),
        rule=failure.get("rule"),
        message=failure.get("message"),
        signal=failure.get("signal"),
        certain=failure.get("certain", True),
        detail=failure.get("detail", ""),
    )


def _death(status: int, stderr: str) -> str:
    if status == -signal.SIGALRM:
        return "waits for ever"
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def mapped_in_fork(
    path: str, *, limits: Sequence[tuple[int, int]] = (), patience: int = 5, collect: bool = False
) -> Reality:
    """Load one file in a fork of this process: quicker than `ask`, for many files.

    `limits` are (resource, value) pairs for setrlimit. The names of the mapped objects are given where asked for.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            try:
                faulthandler.disable()
                os.dup2(errors.fileno(), 2)
                os.dup2(errors.fileno(), 1)
                for number, value in ((resource.RLIMIT_CORE, 0), *limits):
                    resource.setrlimit(number, (value, value))
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(patience)
                known = {address for address, _ in mapped_objects()} if collect else set()
                message = load_library(path, os.RTLD_NOW)
                mapped = [name for address, name in mapped_objects() if address not in known] if collect else []
                os.pwrite(out.fileno(), json.dumps([message, mapped]).encode(), 0)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        errors.seek(0)
        told, stderr = out.read(), os.fsdecode(errors.read())
    if not told:
        return Reality(died=_death(os.waitstatus_to_exitcode(status), stderr), stderr=stderr)
    message, mapped = json.loads(told)
    return Reality(mapped=tuple(mapped), message=message, stderr=stderr)


def verdict_of(was: Reality) -> str:
    """How a load ended, without names: "loads", the loader's words behind the last colon, what killed the process."""
    if was.loads:
        return "loads"
    if was.message is None:
        return str(was.died)
    for words in ("undefined symbol", "version not found"):
        if all(word in was.message for word in words.split()):
            return words
    if was.message.startswith("Error "):  # musl's, one line for each trouble
        return was.message.partition("\n")[0].partition(" (needed by ")[0].rpartition(": ")[2]
    return was.message.split(": ", 1)[-1]
