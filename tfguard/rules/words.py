"""Words that several rules share: rows of evidence in search order, and remedies."""

from __future__ import annotations

import os
import shlex
from itertools import groupby

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.loader.trace import ABSENT, ALREADY_LOADED, NO_DIRECTORY, TAKEN, Attempt

Rows = tuple[tuple[str, str], ...]


def base(path: str) -> str:
    """The file name of a path."""
    return os.path.basename(path)


def loader_row(case: Case) -> Rows:
    """What the loader itself would say, where it is not the message already."""
    failure = case.failure
    if failure is None:
        return ()
    if failure.message is None:
        return (("the loader", f"says nothing: the process dies ({failure.signal})"),)
    return (("the loader says", failure.message),)


def needed_by(case: Case) -> Rows:
    """Who needs the file, where the file is not itself what was asked for."""
    failure = case.failure
    if failure is None or failure.requirer is None or failure.requirer == failure.path:
        return ()
    return (("needed by", failure.requirer),)


def search_rows(case: Case) -> Rows:
    """Every place looked in, in the loader's order, repeats collapsed."""
    failure = case.failure
    if failure is None or failure.lookup is None or "/" in failure.name:
        return ()
    host = case.host
    by_step = {step: list(group) for step, group in groupby(failure.lookup.attempts, key=lambda one: one.step)}
    rows: list[tuple[str, str]] = []
    rows.append(("already loaded", "no library of that name in this process"))
    if "rpath" in by_step:
        rows += _attempt_rows("RPATH", by_step["rpath"])
    if host.library_path is None:
        ignored = " (ignored: secure mode)" if host.secure and "LD_LIBRARY_PATH" in host.environment else ""
        rows.append(("LD_LIBRARY_PATH", f"not set when this process started{ignored}"))
    else:
        rows += _attempt_rows("LD_LIBRARY_PATH", by_step.get("ld_library_path", []))
    if "runpath" in by_step:
        rows += _attempt_rows("RUNPATH", by_step["runpath"])
    elif "rpath" not in by_step:
        rows.append(("RPATH, RUNPATH", "none"))
    rows += _attempt_rows("ld.so.cache", by_step.get("ld_so_cache", [])) or [("ld.so.cache", "no entry")]
    default = by_step.get("default_directories", [])
    if default and all(one.outcome in (ABSENT, NO_DIRECTORY) for one in default):
        rows.append(("default", f"{len(host.system_directories)} directories: no such file"))
    else:
        rows += _attempt_rows("default", default)
    return tuple(rows)


def _attempt_rows(label: str, attempts: list[Attempt]) -> list[tuple[str, str]]:
    rows: dict[tuple[str, str], None] = {}
    for attempt in attempts:
        where = attempt.path if attempt.outcome == NO_DIRECTORY else os.path.dirname(attempt.path) or "."
        what = attempt.outcome + (f" ({attempt.detail})" if attempt.detail else "")
        rows[os.path.normpath(where), what] = None
    kept = list(rows)
    return [(label if not i else "", f"{where}: {what}") for i, (where, what) in enumerate(kept)]


def found_row(case: Case) -> Rows:
    """By which step the file at fault was found."""
    failure = case.failure
    if failure is None or failure.lookup is None or "/" in failure.name or not failure.lookup.attempts:
        return ()
    attempt = failure.lookup.attempts[-1]
    if attempt.outcome in (TAKEN, ALREADY_LOADED) or attempt.detail:
        return (("found by", _STEP_WORDS.get(attempt.step, attempt.step)),)
    return ()


_STEP_WORDS = {
    "already_loaded": "it is loaded already",
    "rpath": "RPATH",
    "ld_library_path": "LD_LIBRARY_PATH",
    "runpath": "RUNPATH",
    "ld_so_cache": "ld.so.cache",
    "default_directories": "default directories",
}


def step_words(step: str) -> str:
    """A step as a person calls it."""
    return _STEP_WORDS.get(step, step)


def belongs_to_package(case: Case) -> bool:
    """Whether the file at fault is one that pip installed with the package concerned."""
    path = case.failure.path if case.failure is not None else case.target
    normal = os.path.normpath(path)
    return case.distribution is not None and "/tensorflow/" in normal and "-packages/" in normal


def install_again(case: Case, why: str) -> Remedy:
    """Put the package's own files back; `why` says what that mends."""
    requirement = f"{case.distribution}=={case.framework}"
    command = f"{shlex.quote(case.host.executable)} -m pip install --force-reinstall --no-deps --no-cache-dir"
    return Remedy(f"Install {requirement} again: {why}.", f"{command} {shlex.quote(requirement)}")


def fetch_again(case: Case, why: str) -> tuple[Remedy, ...]:
    """How to get a sound copy of the file at fault."""
    if belongs_to_package(case):
        return (install_again(case, why),)
    return (Remedy(f"Build or copy {base(case.failure.path if case.failure else case.target)} again: {why}."),)


def rebuild(case: Case, why: str) -> Remedy:
    """Build the op again with the flags of the installed TensorFlow."""
    python = shlex.quote(case.host.executable)
    flags = (
        f'$({python} -c "import tensorflow as tf; '
        'print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())")'
    )
    stem = base(case.target).split(".")[0] or "op"
    name = base(case.target) or "op.so"
    return Remedy(f"{why} (the source here is called {stem}.cc).", f"g++ -shared -fPIC {stem}.cc -o {name} {flags}")
