"""The sections of the measurement: each takes the targets, measures, and gives back its table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counted import count_all
from measure import Command, Series, answer, inside, interleaved, number
from peers import BARE, IMPORT_TENSORFLOW, commands_for, missing
from tables import Table
from targets import Target, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure that has a target: `limit` in the unit named."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Section:
    """What a section gives: its table, and those of its figures that have targets."""

    table: Table
    goals: tuple[Goal, ...] = ()


def beside_peers(target: Target, rounds: int, notes: Sequence[str]) -> Section:
    """tfguard and the other tools as whole processes on one file, interleaved."""
    timed = interleaved(commands_for(target), rounds)
    unit = timed[BARE].wall.median
    rows = tuple(
        (
            name if not one.status else f"{name} (exit {one.status})",
            str(one.wall),
            number(one.cpu.median),
            f"{number(one.wall.median / unit)} x",
            str(len(one.wall.samples)),
        )
        for name, one in sorted(timed.items(), key=lambda item: item[1].wall.median)
    )
    return Section(
        Table(
            title=f"Whole processes: {target.name}",
            columns=("process", "wall ms, median (min to max)", "cpu ms", f"to {BARE}", "runs"),
            rows=rows,
            notes=(*notes, *missing()),
        )
    )


def in_process(targets: Targets, runs: int) -> Section:
    """The library's own calls, once it is imported."""
    host = inside("host", times=runs)
    closure = inside("closure", targets.first.path, "40", times=2 * runs + 1)
    op = inside("op", targets.op.path, "20", times=runs)
    loaded = inside("op_loaded", targets.op.path, "20")
    everything = inside("everything", "3", times=runs)
    default = inside("default", "10", times=runs)
    images, of_empty = (closure.pop(key).median for key in ("images", "images of an empty process"))
    first = "closure of the first native module"
    figures = [
        ("this_host(), first call", host["first"]),
        ("this_host(), later calls", host["again"]),
        (f"{first} ({images:.0f} files to map)", closure["closure"]),
        (f"{first}, every file read anew", closure.get("files anew")),
        (f"{first}, first call", closure["first"]),
        (f"{first}, with this_host()", closure["with host"]),
        (f"{first}, in an empty process ({of_empty:.0f} files)", closure["empty process"]),
        (f"{first}, no version check (as libtree)", closure.get("no versions")),
        (f"{first}, in an empty process, no version check", closure.get("empty process, no versions")),
        ('check_library(op, after="tensorflow")', op["again"]),
        ('check_library(op, after="tensorflow"), first call', op["first"]),
        ("the same, TensorFlow loaded", loaded["again"]),
        ("the same, TensorFlow loaded, first call", loaded["first"]),
        ('check_import("tensorflow"), everything with symbols', everything["again"]),
        ('check_import("tensorflow"), everything with symbols, first call', everything["first"]),
        ('what safe_import checks by default (symbols="auto")', default["again"]),
        ('what safe_import checks by default (symbols="auto"), first call', default["first"]),
    ]
    return Section(
        Table(
            title="In one process, tfguard imported",
            columns=("call", "ms, median (min to max)", "calls"),
            rows=tuple((name, str(one), str(len(one.samples))) for name, one in figures if one is not None),
            notes=(
                "first calls: each in a new process",
                "later calls keep ld.so.cache, and of unchanged files headers and version tables",
            ),
        ),
        (
            Goal(what=first, value=closure["closure"].median, limit=1, unit="ms"),
            Goal(what="check_library(op) with symbols", value=op["again"].median, limit=5, unit="ms"),
            Goal(
                what="check_library(op) with symbols, TensorFlow loaded",
                value=loaded["again"].median,
                limit=5,
                unit="ms",
            ),
            Goal(what='check_import("tensorflow"), everything', value=everything["again"].median, limit=250, unit="ms"),
        ),
    )


_FRAME_DEPTH = (
    "whole processes differ for one reason more: CPython 3.11 maps and unmaps memory where calls cross a chunk of its "
    "frame stack, so `import tensorflow` itself makes 8,000 to 68,000 mmap calls, by how many frames deep it stands"
)


def safe_import(rounds: int) -> Section:
    """What the guard adds to `import tensorflow`: as the difference of whole processes, and measured directly."""
    python = sys.executable
    guarded = "tfguard.safe_import()"
    commands = [
        Command(name=IMPORT_TENSORFLOW, argv=(python, "-c", "import tensorflow")),
        Command(name=guarded, argv=(python, "-c", "import tfguard; tfguard.safe_import()")),
    ]
    timed = interleaved(commands, rounds)
    plain, with_guard = timed[IMPORT_TENSORFLOW], timed[guarded]
    shared = _loaded_by_both()
    alone = inside("added", times=rounds)
    imports: list[float] = []
    parts: dict[str, list[float]] = {"import": [], "check": [], "added": []}
    for _ in range(rounds):
        imports += answer("plain")["import"]
        for name, samples in answer("added", *shared).items():
            parts[name] += samples
    added = {name: Series(tuple(samples)) for name, samples in parts.items()}
    import_alone = Series(tuple(imports))
    own = import_alone.median
    differences = Series(
        tuple(after - before for before, after in zip(plain.wall.samples, with_guard.wall.samples, strict=True))
    )
    rows: list[tuple[str, str, str]] = [
        (f"{IMPORT_TENSORFLOW}, the import alone", str(import_alone), ""),
        (f"{IMPORT_TENSORFLOW}, whole process", str(plain.wall), ""),
        (f"{guarded}, whole process", str(with_guard.wall), _percent(with_guard.wall.median - plain.wall.median, own)),
        ("difference, run by run", str(differences), _percent(differences.median, own)),
        (
            "difference of the medians of processor time",
            number(with_guard.cpu.median - plain.cpu.median),
            _percent(with_guard.cpu.median - plain.cpu.median, own),
        ),
        (
            "measured directly: first use of tfguard.safe_import (its imports)",
            str(added["import"]),
            _percent(added["import"].median, own),
        ),
        (
            "measured directly: the call, up to the real import",
            str(added["check"]),
            _percent(added["check"].median, own),
        ),
        ("measured directly: both", str(added["added"]), _percent(added["added"].median, own)),
        ("both, in a process with no other module loaded", str(alone["added"]), _percent(alone["added"].median, own)),
    ]
    return Section(
        Table(
            title="What safe_import adds",
            columns=("what", "ms, median (min to max)", "of the import"),
            rows=tuple(rows),
            notes=(
                f"measured directly: the {len(shared)} modules that TensorFlow imports anyway are loaded before",
                "the shares are of the import alone, without the start and the end of the process",
                _FRAME_DEPTH,
            ),
        ),
        (Goal(what="safe_import adds", value=100 * added["added"].median / own, limit=2, unit="%"),),
    )


def _loaded_by_both() -> list[str]:
    theirs = set(answer("modules_of_tensorflow"))
    return sorted(name for name in answer("modules_of_guard") if name in theirs)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %"


def memory(targets: Targets, runs: int) -> Section:
    """The highest resident memory of fresh processes, above that of one that checks nothing."""
    peaks = {
        what: inside("memory", what, targets.op.path, times=runs)["KiB"].median / 1024
        for what in ("nothing", "op", "everything")
    }
    above = {what: peak - peaks["nothing"] for what, peak in peaks.items()}
    names = {
        "nothing": "python, nothing checked",
        "op": 'check_library(op, after="tensorflow")',
        "everything": 'check_import("tensorflow"), everything with symbols',
    }
    return Section(
        Table(
            title="Memory of a fresh process",
            columns=("what", "peak MiB", "above the interpreter"),
            rows=tuple((name, number(peaks[what]), number(above[what])) for what, name in names.items()),
            notes=(f"VmHWM, median of {runs} processes",),
        ),
        (
            Goal(what="memory, op", value=above["op"], limit=20, unit="MiB"),
            Goal(what="memory, everything", value=above["everything"], limit=150, unit="MiB"),
        ),
    )


def counted(targets: Targets, scratch: Path, *, imports: bool) -> Section:
    """Instructions and system calls of whole processes, against those of the bare interpreter."""
    counts, notes = count_all(targets, scratch, imports=imports)
    by_name = {one.name: one for one in counts}
    base = by_name["python -c pass"].instructions
    rows = []
    for one in counts:
        share = one.instructions / base - 1 if one.instructions is not None and base else None
        rows.append(
            (
                one.name,
                "-" if one.instructions is None else f"{one.instructions / 1e6:.2f}",
                "-" if share is None else f"{100 * share:+.1f} %",
                "-" if one.calls is None else str(one.calls),
                "-" if one.failed is None else str(one.failed),
            )
        )
    table = Table(
        title="Without noise",
        columns=("process", "million instructions", "to python -c pass", "system calls", "failed"),
        rows=tuple(rows),
        notes=notes,
    )
    imported = by_name["import tfguard"].instructions
    if base is None or imported is None:
        return Section(table)
    more = 100 * (imported / base - 1)
    return Section(
        table, (Goal(what="import tfguard, instructions above python -c pass", value=more, limit=10, unit="%"),)
    )
