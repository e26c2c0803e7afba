"""Words that the rules for macOS share: rows of evidence in dyld's order, and remedies that work on a Mac."""

from __future__ import annotations

import os
import shlex
from itertools import groupby

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.hosts.mac import CRYPTEX, Mac
from tfguard.loader.trace import Attempt, Failure
from tfguard.macho_image import MachoImage, version_text

Rows = tuple[tuple[str, str], ...]

PYTHON = "python3"

_STEPS = {
    "dyld_library_path": "DYLD_LIBRARY_PATH",
    "dyld_framework_path": "DYLD_FRAMEWORK_PATH",
    "ld_library_path": "LD_LIBRARY_PATH",
    "versioned": "DYLD_VERSIONED_*",
    "on_disk": "the name itself",
    "path": "the name itself",
    "cryptex": "system cryptex",
    "lc_rpath": "LC_RPATH",
    "loader_path": "@loader_path",
    "executable_path": "@executable_path",
    "usr_lib": "/usr/lib",
    "working_directory": "working directory",
    "fallback": "fallback",
    "real_path": "its real path",
    "shared_cache": "shared cache",
}


def mac_of(case: Case) -> Mac:
    """What dyld knows of the process; the rules for macOS are asked of such hosts only."""
    assert case.host.mac is not None
    return case.host.mac


def failure_of(case: Case, *kinds: str) -> Failure | None:
    """The failure where it is of one of these kinds."""
    return case.failure if case.failure is not None and case.failure.kind in kinds else None


def name_of(case: Case) -> str:
    """The file name of the file at fault."""
    return os.path.basename(case.file or case.target)


def system_of(case: Case) -> str:
    """The macOS and the processor that the process is for."""
    mac = mac_of(case)
    translated = ", under Rosetta" if mac.translated else ""
    return f"macOS {version_text(mac.version)}, {mac.architecture} process{translated}"


def file_rows(case: Case, *more: tuple[str, str]) -> Rows:
    """The rows of a finding about one file."""
    failure = case.failure
    needed = failure is not None and failure.requirer is not None and failure.requirer != case.file
    rows: list[tuple[str, str]] = [("needed by", failure.requirer or "")] if needed and failure is not None else []
    rows += [("file", case.file), *more, ("this is", system_of(case))]
    return (*rows, *says(case))


def says(case: Case) -> Rows:
    """What dyld would say, or how the process ends."""
    failure = case.failure
    if failure is None:
        return ()
    if failure.message is not None:
        return (("dyld says", failure.message),)
    if failure.signal == "SIGKILL":
        return (("dyld", "says nothing: the kernel kills the process (CODESIGNING, Invalid Page)"),)
    return (("dyld", f"says: {failure.signal or 'nothing that is known'}"),)


def search_rows(attempts: tuple[Attempt, ...]) -> Rows:
    """Every place looked in, in dyld's order, repeats collapsed."""
    rows: dict[tuple[str, str], None] = {}
    for step, group in groupby(attempts, key=lambda one: one.step):
        for attempt in group:
            if attempt.path.startswith(CRYPTEX):
                continue  # where only the system's own libraries are
            where = os.path.normpath(attempt.path) if attempt.path.startswith("/") else attempt.path
            rows[_STEPS.get(step, step), f"{where}: {attempt.outcome}"] = None
    shown: list[tuple[str, str]] = []
    last = ""
    for label, fact in rows:
        shown.append((label if label != last else "", fact))
        last = label
    return tuple(shown)


def install_again(case: Case, why: str) -> Remedy | None:
    """Put the distribution's own files back, None where it is not known who brought the file."""
    if case.origin is None:
        return None
    requirement = shlex.quote(f"{case.origin.distribution}=={case.origin.version}")
    command = f"{PYTHON} -m pip install --force-reinstall --no-deps --no-cache-dir {requirement}"
    return Remedy(f"Install {requirement} again: {why}.", command)


def build_again(case: Case, why: str) -> Remedy:
    """How to get a fitting file where no distribution is known for it."""
    if not case.is_op:
        return Remedy(f"Build {name_of(case)} again on this Mac, or get its build for macOS: {why}.")
    name = name_of(case)
    source = f"{name.partition('.')[0] or 'op'}.cc"
    flags = (
        f'$({PYTHON} -c "import tensorflow as tf; '
        'print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())")'
    )
    options = "-w -O2 -dynamiclib -undefined dynamic_lookup"
    command = f"clang++ {options} {shlex.quote(source)} -o {shlex.quote(name)} {flags}"
    return Remedy(f"Build it again on this Mac: {why} (its source is called {source} here).", command)


def fetch_again(case: Case, why: str) -> Remedy:
    """A sound copy of the file at fault: of its distribution, else built."""
    return install_again(case, why) or build_again(case, why)


def sign_again(path: str) -> str:
    """The command that gives a file an ad-hoc signature."""
    return f"codesign --force --sign - {shlex.quote(path)}"


def image_of(case: Case, path: str | None) -> MachoImage | None:
    """An image of the trace, as far as it was mapped before the load ended."""
    for mapped in case.trace.images:
        if mapped.path == path and isinstance(mapped.image, MachoImage):
            return mapped.image
    return None
