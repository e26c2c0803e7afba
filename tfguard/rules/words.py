"""Words that several rules share: rows of evidence in search order, and remedies."""

from __future__ import annotations

import os
import shlex
from itertools import groupby

from tfguard.case import Case, Elsewhere
from tfguard.finding import Remedy
from tfguard.hosts.host import Host
from tfguard.loader.trace import ABSENT, NO_DIRECTORY, Attempt
from tfguard.rules.packages import reinstall_command
from tfguard.rules.pip import anew

Rows = tuple[tuple[str, str], ...]

_STEP_WORDS = {
    "already_loaded": "it is loaded already",
    "rpath": "RPATH",
    "ld_library_path": "LD_LIBRARY_PATH",
    "runpath": "RUNPATH",
    "ld_so_cache": "ld.so.cache",
    "default_directories": "default directories",
}


def base(path: str) -> str:
    """The file name of a path."""
    return os.path.basename(path)


def name_of(case: Case) -> str:
    """The file name of the file at fault."""
    return base(os.path.normpath(case.file or (case.failure.path if case.failure is not None else case.target)))


def path_of(case: Case) -> str:
    """The path of the file at fault."""
    return os.path.normpath(case.file or (case.failure.path if case.failure is not None else case.target))


def step_words(step: str) -> str:
    """A step as a person calls it."""
    return _STEP_WORDS.get(step, step)


# --- evidence


def file_rows(case: Case, *more: tuple[str, str]) -> Rows:
    """The rows of a finding about one file: who needs it, where and how it was found, what it is, what is said."""
    return (
        *needed_by(case),
        ("file", path_of(case)),
        *found_row(case),
        *more,
        *elsewhere_rows(case, "hidden"),
        *loader_row(case),
    )


def loader_row(case: Case) -> Rows:
    """What the loader itself would say, or how the process ends where it says nothing."""
    failure = case.failure
    if failure is None:
        return ()
    if failure.message is not None:
        return (("the loader says", failure.message),)
    if failure.signal is None:
        return ()
    if failure.signal.startswith("SIG"):
        return (("the loader", f"says nothing: {failure.signal} kills the process"),)
    if failure.signal.startswith("exit"):
        return (("the loader", f"prints a failed assertion and ends the process ({failure.signal})"),)
    return (("the loader", f"says nothing: it {failure.signal}"),)


def needed_by(case: Case) -> Rows:
    """Who needs the file, where the file is not itself what was asked for."""
    failure = case.failure
    if failure is None or failure.requirer is None or failure.requirer == failure.path:
        return ()
    return (("needed by", failure.requirer),)


def found_row(case: Case) -> Rows:
    """By which step the file at fault was found, where it was searched for."""
    failure = case.failure
    if failure is None or failure.lookup is None or "/" in failure.name:
        return ()
    attempt = next((one for one in failure.lookup.attempts if one.path == case.file), None)
    return (("found by", step_words(attempt.step)),) if attempt is not None else ()


def elsewhere_rows(case: Case, label: str) -> Rows:
    """The files of that name that the loader did not take, and why."""
    return tuple((label if not i else "", f"{one.path}: {one.why_not}") for i, one in enumerate(case.elsewhere))


def usable(case: Case) -> Elsewhere | None:
    """The first file elsewhere that the loader would take."""
    return next((one for one in case.elsewhere if one.usable), None)


def search_rows(case: Case) -> Rows:
    """Every place looked in, in the loader's order, repeats collapsed."""
    failure = case.failure
    if failure is None or failure.lookup is None or "/" in failure.name:
        return ()
    host = case.host
    by_step = {step: list(group) for step, group in groupby(failure.lookup.attempts, key=lambda one: one.step)}
    rows: list[tuple[str, str]] = []
    rows.append(("already loaded", "no library of that name in this process"))
    if host.loader == "musl":
        return (*rows, *_rows_of_musl(by_step, host))
    if "rpath" in by_step:
        rows += _attempt_rows("RPATH", by_step["rpath"])
    if host.library_path is not None:
        rows += _attempt_rows("LD_LIBRARY_PATH", by_step.get("ld_library_path", []))
    elif host.secure and host.environment.get("LD_LIBRARY_PATH"):
        rows.append(("LD_LIBRARY_PATH", "ignored: this process has raised privileges (setuid, setgid or capabilities)"))
    else:
        rows.append(("LD_LIBRARY_PATH", "not set when this process started"))
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


def _rows_of_musl(by_step: dict[str, list[Attempt]], host: Host) -> list[tuple[str, str]]:
    """The places in musl's order (ld-so.md M-01)."""
    rows = _attempt_rows("LD_LIBRARY_PATH", by_step.get("ld_library_path", []))
    if host.library_path is None:
        rows = [("LD_LIBRARY_PATH", "not set when this process started")]
    rows += _attempt_rows("RPATH, RUNPATH", by_step.get("rpath", [])) or [("RPATH, RUNPATH", "none")]
    return rows + (_attempt_rows("system path", by_step.get("system_path", [])) or [("system path", "empty")])


def _attempt_rows(label: str, attempts: list[Attempt]) -> list[tuple[str, str]]:
    rows: dict[tuple[str, str], None] = {}
    for attempt in attempts:
        where = attempt.path if attempt.outcome == NO_DIRECTORY else os.path.dirname(attempt.path) or "."
        detail = attempt.detail if attempt.detail.lower() != attempt.outcome else ""
        rows[os.path.normpath(where), attempt.outcome + (f" ({detail})" if detail else "")] = None
    return [(label if not i else "", f"{where}: {what}") for i, (where, what) in enumerate(rows)]


# --- remedies


def install_again(case: Case, why: str) -> Remedy | None:
    """Put the distribution's own files back, None where none is known; `why` says what that mends."""
    if case.origin is None:
        return None
    requirement = f"{case.origin.distribution}=={case.origin.version}"
    return Remedy(f"Install {requirement} again: {why}.", anew(case, [requirement]))


def fetch_again(case: Case, why: str, *, instead: str | None = None) -> tuple[Remedy, ...]:
    """How to get a sound copy of the file at fault in its place, easiest first.

    `instead` is the sentence for a file of which nothing is known but its name.
    """
    again = install_again(case, why)
    command = reinstall_command(name_of(case), case.installer) if _is_the_systems(case) else None
    if again is not None:
        mend = again
    elif command is not None:
        mend = Remedy(f"Install the system's package of it again: {why}.", command)
    elif case.is_op and not needed_by(case):
        mend = rebuild(case, f"Build it again: {why}")
    else:
        mend = Remedy(instead or f"Build or copy {name_of(case)} again: {why}.")
    return (*bypass(case), mend)


def _is_the_systems(case: Case) -> bool:
    return os.path.dirname(path_of(case)) in case.host.system_directories


def bypass(case: Case) -> tuple[Remedy, ...]:
    """Start without the folder of the file at fault, where LD_LIBRARY_PATH leads to it and a good copy comes behind."""
    better = usable(case)
    if case.failure is None or case.failure.kind in ("missing", "wrong-class") or better is None:
        return ()
    if dict(found_row(case)).get("found by") != step_words("ld_library_path"):
        return ()
    folder = os.path.dirname(case.file)
    return (Remedy(f"Leave {folder} out of LD_LIBRARY_PATH: then {better.path} is found.", without(case, folder)),)


def with_library_path(case: Case, directory: str) -> str:
    """The command that starts Python with a directory in front of what LD_LIBRARY_PATH has."""
    rest = "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" if case.host.library_path else ""
    return f"LD_LIBRARY_PATH={shlex.quote(directory)}{rest} python your_script.py"


def without(case: Case, *directories: str) -> str:
    """The command that starts Python with what LD_LIBRARY_PATH has, but these directories."""
    entries = (case.host.library_path or "").replace(";", ":").split(":")
    unwanted = {os.path.normpath(one) for one in directories}
    kept = [one for one in entries if one and os.path.normpath(one) not in unwanted]
    if not kept:
        return "env -u LD_LIBRARY_PATH python your_script.py"
    return f"LD_LIBRARY_PATH={shlex.quote(':'.join(kept))} python your_script.py"


def rebuild(case: Case, why: str, *options: str) -> Remedy:
    """Build the op again with the flags of the installed TensorFlow; `options` are for the compiler."""
    name = base(case.target) or "op.so"
    source = f"{name.split('.', maxsplit=1)[0] or 'op'}.cc"
    flags = (
        f'$({shlex.quote(case.host.executable)} -c "import tensorflow as tf; '
        'print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())")'
    )
    words = ["g++ -w -O2 -shared -fPIC", *options, shlex.quote(source), "-o", shlex.quote(name), flags]
    return Remedy(f"{why} (its source is called {source} here).", " ".join(words))
