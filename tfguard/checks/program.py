"""The check of a program: what its loader would do between execve and main()."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from tfguard.checks.check import StrPath, judged, report_of, tripped
from tfguard.hosts.foreign_host import host_of_program
from tfguard.hosts.host import Host
from tfguard.loader.processes import start
from tfguard.report import Report


def check_program(path: StrPath | bytes, *, host: Host | None = None, ignore: Collection[str] = ()) -> Report:
    """Say what starting the program at `path` would fail of, without starting it.

    Played is what its own loader does before `main`: preloads, needed libraries, versions, and the symbols that are
    not put off to their first call. Of `host` only the root, the environment and the working directory count, which
    are those of this process where none is given: loader and machine are the program's. Raises OSError where the
    program cannot be read, ValueError for what is none; where tfguard itself trips, that is a warning in the report.
    """
    target = os.fsdecode(path)
    around = host if host is not None else Host(environment=os.environ, cwd=os.getcwd())
    started = host_of_program(target, around.root, environment=around.environment, cwd=around.cwd)
    try:
        if started.start is None:
            return report_of(target, started, "program")
        with start(replace(started, loaded=started.loaded)) as process:
            findings = judged(process, started.start, package=None)
        return report_of(target, started, "program", findings=findings, traces=(started.start,), ignore=ignore)
    except Exception as error:  # fail open
        return report_of(target, started, "program", findings=tripped(target, error), ignore=ignore)
