"""Measures tfguard beside its peers and against its targets; `--write` puts the tables into docs/measurements.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from compileall import compile_dir
from pathlib import Path

from conditions import conditions
from sections import Goal, Section, beside_peers, counted, in_process, memory, safe_import
from tables import Table, as_markdown, as_text
from targets import Targets, find_targets

import tfguard

PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurements.md"
_INTRODUCTION = """# Measurements

Written by `make bench BENCH_ARGS=--write`. Times are medians of one run in which the processes take turns, with the
lowest and the highest in brackets; files were in the page cache. An exit status other than 0 stands with its tool.
"""


def sections(targets: Targets, scratch: Path, *, quick: bool, imports: bool) -> Iterator[Section]:
    rounds, runs = (3, 1) if quick else (15, 3)
    op_note = "LD_LIBRARY_PATH holds TensorFlow's folder, for all alike: without it the other tools stop at `not found`"
    yield in_process(targets, runs)
    yield safe_import(rounds)
    yield memory(targets, runs)
    yield counted(targets, scratch, imports=imports)
    yield beside_peers(targets.first, rounds, ())
    yield beside_peers(targets.framework, rounds, ())
    yield beside_peers(targets.op, rounds, (op_note, *targets.notes))


def verdicts(goals: list[Goal]) -> Table:
    rows = tuple(
        (
            goal.what,
            f"{goal.value:.2f} {goal.unit}",
            f"<= {goal.limit:g} {goal.unit}",
            "met" if goal.is_met else "not met",
        )
        for goal in goals
    )
    return Table(title="Targets", columns=("what", "figure", "target", "verdict"), rows=rows)


def _settle() -> None:
    """Everything as it is after an installation: byte code written, no switches of this shell, no log."""
    for name in [one for one in os.environ if one.startswith("PYTHON") and one != "PYTHONPATH"]:
        del os.environ[name]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    compile_dir(os.path.dirname(tfguard.__file__), quiet=2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/measurements.md")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that everything runs")
    parser.add_argument(
        "--count-imports", action="store_true", help="count the instructions of TensorFlow's import too"
    )
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    _settle()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # `python -c` and `-m` put the working directory on sys.path
        tables: list[Table] = []
        goals: list[Goal] = []
        targets = find_targets(Path(scratch))
        for section in sections(targets, Path(scratch), quick=options.quick, imports=options.count_imports):
            print(as_text([section.table]), end="\n\n", flush=True)
            tables.append(section.table)
            goals += section.goals
        os.chdir("/")  # the folder goes away
    ends = [verdicts(goals), conditions(load_before)]
    print(as_text(ends))
    if options.write:
        PAGE.write_text(f"{_INTRODUCTION}\n{as_markdown([*ends, *tables])}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
