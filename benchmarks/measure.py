"""Times whole processes, interleaved, and keeps the samples."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

INSIDE = Path(__file__).resolve().parent / "inside.py"


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one figure, in the order taken; in milliseconds unless said otherwise."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(min(self.samples))} to {number(max(self.samples))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to time; it runs in each `every`-th round, with `environment` added to that of all."""

    name: str
    argv: tuple[str, ...]
    every: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What the runs of one command took: wall time, processor time of it and its children, and its exit status."""

    wall: Series
    cpu: Series
    status: int


def number(value: float) -> str:
    """Three digits that matter, and no more decimals than two."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def run_once(argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[float, float, int]:
    """Wall and processor time in ms, and exit status, of one run with its output thrown away."""
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    took = time.perf_counter() - begin
    return took * 1000, (usage.ru_utime + usage.ru_stime) * 1000, os.waitstatus_to_exitcode(status)


def interleaved(commands: Sequence[Command], rounds: int) -> dict[str, Timed]:
    """Run all commands in turn, round after round after one warm-up, so that a busy moment hits all of them alike."""
    environments = {one.name: {**os.environ, **one.environment} for one in commands}
    status = {one.name: run_once(one.argv, environments[one.name])[2] for one in commands}
    walls: dict[str, list[float]] = {one.name: [] for one in commands}
    cpus: dict[str, list[float]] = {one.name: [] for one in commands}
    for turn in range(rounds):
        for one in commands:
            if turn % one.every == 0:
                wall, cpu, _ = run_once(one.argv, environments[one.name])
                walls[one.name].append(wall)
                cpus[one.name].append(cpu)
    return {
        one.name: Timed(wall=Series(tuple(walls[one.name])), cpu=Series(tuple(cpus[one.name])), status=status[one.name])
        for one in commands
    }


def inside(scenario: str, *arguments: str, times: int = 1) -> dict[str, Series]:
    """The figures of a scenario of inside.py, from `times` fresh processes together; raises where one fails."""
    found: dict[str, list[float]] = {}
    for _ in range(times):
        for name, samples in answer(scenario, *arguments).items():
            found.setdefault(name, []).extend(samples)
    return {name: Series(tuple(samples)) for name, samples in found.items()}


def answer(scenario: str, *arguments: str) -> dict[str, list[float]]:
    """What one run of a scenario of inside.py prints."""
    argv = [sys.executable, str(INSIDE), scenario, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"scenario {scenario} failed\n{done.stderr}")
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found
