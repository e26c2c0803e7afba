"""Figures without noise: instructions by valgrind's callgrind, system calls by strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import PEERS, commands_for
from targets import Targets

_OP = "import sys, tfguard; tfguard.check_library(sys.argv[1], after='tensorflow').raise_for_errors()"
_EVERYTHING = "import tfguard; tfguard.check_import('tensorflow').raise_for_errors()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A process: its instructions, its system calls and those that failed; None where the counter is missing."""

    name: str
    instructions: int | None
    calls: int | None
    failed: int | None


def count_all(targets: Targets, scratch: Path, *, imports: bool) -> tuple[list[Count], tuple[str, ...]]:
    """The counts, and words on the counters that are missing; with `imports` those of TensorFlow's import: minutes."""
    python = sys.executable
    bare = commands_for(targets.first)[0]
    libtree = next(one for one in PEERS if one.name == "libtree")
    jobs: list[tuple[str, Sequence[str]]] = [
        ("python -c pass", (python, "-c", "pass")),
        ("import tfguard", (python, "-c", "import tfguard")),
        ("import tfguard.checks.check", (python, "-c", "import tfguard.checks.check")),
        ("closure of the first native module, bare process", bare.argv),
        ("check_library(op), symbols", (python, "-c", _OP, targets.op.path)),
        ('check_import("tensorflow"), everything', (python, "-c", _EVERYTHING)),
    ]
    if libtree.is_here:
        jobs.append(("libtree, first native module", (*libtree.argv, targets.first.path)))
    if imports:
        jobs += [
            ("import tensorflow", (python, "-c", "import tensorflow")),
            ("tfguard.safe_import()", (python, "-c", "import tfguard; tfguard.safe_import()")),
        ]
    missing = tuple(
        f"{what} are left out: there is no {tool} on this machine"
        for tool, what in (("valgrind", "instructions"), ("strace", "system calls"))
        if shutil.which(tool) is None
    )
    return [_count(name, argv, scratch) for name, argv in jobs], missing


def _count(name: str, argv: Sequence[str], scratch: Path) -> Count:
    # a hash seed of its own gives each run other collisions, thousands of instructions
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    calls, failed = _system_calls(argv, environment, scratch / "strace.txt")
    return Count(name=name, instructions=_instructions(argv, environment), calls=calls, failed=failed)


def _instructions(argv: Sequence[str], environment: dict[str, str]) -> int | None:
    if shutil.which("valgrind") is None:
        return None
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    return int(found[1]) if found and not done.returncode else None


def _system_calls(argv: Sequence[str], environment: dict[str, str], output: Path) -> tuple[int | None, int | None]:
    if shutil.which("strace") is None:
        return None, None
    command = ["strace", "-f", "-c", "-o", str(output), *argv]
    if subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
        return None, None
    # the last line: 100.00 seconds usecs/call calls errors "total", the errors left out where there are none
    fields = output.read_text(encoding="ascii", errors="replace").split("\n")[-2].split()
    return int(fields[3]), int(fields[4]) if fields[4].isdigit() else 0
