"""Records which native files `import tensorflow` opens itself, in order: the lists in data/natives."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Runs in the Python to be measured. What it imports after tensorflow opens nothing in site-packages.
PROBE = """
import sys
from importlib.machinery import ExtensionFileLoader

modules = []
create_module = ExtensionFileLoader.create_module

def noting_create_module(self, spec):
    modules.append((spec.origin, spec.name, sys.getdlopenflags()))
    return create_module(self, spec)

ExtensionFileLoader.create_module = noting_create_module
import tensorflow

import importlib.metadata, json, os, platform, sysconfig
owners = {}
for dist in importlib.metadata.distributions():
    label = dist.metadata["Name"].replace("_", "-") + " " + dist.version
    owners.update((str(file), label) for file in dist.files or () if ".so" in file.name)
python = f"{platform.python_implementation()} {platform.python_version()}"
print(json.dumps({"pid": os.getpid(), "modules": modules, "owners": owners,
                  "site": sysconfig.get_path("platlib"), "dynload": sysconfig.get_config_var("DESTSHARED"),
                  "system": [python, " ".join(platform.libc_ver()), platform.machine()]}))
"""

HEADER = """\
# Native files that `import tensorflow` itself has the loader open, in that order. What these files need in
# turn and the standard library's own modules are left out. Written by tools/record_natives.py.
# Measured: {tensorflow}, {system}, {date}
# Beside it: {others}
# A line: dotted module name, or `file:` and a path below site-packages; then `global` (opened with
# RTLD_GLOBAL), `fatal` (the import dies when this file is empty) or `tolerated` (it survives that), and
# `dispensable` (it survives when a fatal one is not there at all).
# {fatality}
"""

EXTENSION_SUFFIX = re.compile(r"(\.cpython-[\w-]+|\.abi3)?\.so$")
# glibc's elf/dl-open.c: one such line for each dlopen that succeeds, also of a file mapped before as a need.
OPENED = re.compile(r"\topening file=(.+) \[\d+\]; direct_opencount=1$", re.MULTILINE)
MADE_GLOBAL = re.compile(r"\tadd (.+) \[\d+\] to global scope$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One file the import opens itself: its path below site-packages, its module when it is one."""

    path: str
    module: str | None
    is_global: bool

    @property
    def name(self) -> str:
        """The file as a list names it."""
        return self.module or f"file:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The roots of one import in true order; `owners[path]` is the distribution, such as `h5py 3.14.0`."""

    roots: tuple[Root, ...]
    owners: Mapping[str, str]
    system: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the import survives when one file is empty, and when it is deleted."""

    empty: bool
    deleted: bool


def run_python(python: Path, code: str, more: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run code with a quiet TensorFlow, writing no bytecode, deaf to PYTHON* and to LD_* except in `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    env = {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", **more}
    line = [str(python), "-I", "-B", "-c", code]
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=600, check=False)


def record_import(python: Path) -> Recording:
    """Import TensorFlow once under LD_DEBUG (man 8 ld.so) and read the loader's own account of it."""
    with tempfile.TemporaryDirectory() as logs:
        done = run_python(python, PROBE, {"LD_DEBUG": "files,scopes", "LD_DEBUG_OUTPUT": f"{logs}/ld"})
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        probed = json.loads(done.stdout)
        log = Path(f"{logs}/ld.{probed['pid']}").read_text(encoding="utf-8", errors="surrogateescape")
    modules = {os.path.realpath(path): (name, flags) for path, name, flags in probed["modules"]}
    made_global = {os.path.realpath(path) for path in MADE_GLOBAL.findall(log)}
    site, dynload = os.path.realpath(probed["site"]), os.path.realpath(probed["dynload"])
    roots: list[Root] = []
    for opened in OPENED.findall(log):
        path = os.path.realpath(opened)
        if path.startswith(dynload + os.sep):
            continue
        if not path.startswith(site + os.sep):
            print(f"left out, not in site-packages: {path}", file=sys.stderr)
            continue
        # A module's mode is what Python asked for: the loader makes what a global file needs global as well.
        name, flags = modules.get(path, (None, os.RTLD_GLOBAL if path in made_global else 0))
        roots.append(make_root(os.path.relpath(path, site), name, flags))
    return Recording(roots=tuple(roots), owners=probed["owners"], system=", ".join(probed["system"]))


def make_root(path: str, module: str | None, flags: int) -> Root:
    """Make one root; raises ValueError for a module whose name does not lead to its file."""
    if module is not None and EXTENSION_SUFFIX.sub("", path).replace(os.sep, ".") != module:
        raise ValueError(f"{module} was loaded from {path}")
    return Root(path=path, module=module, is_global=bool(flags & os.RTLD_GLOBAL))


@contextmanager
def copy_environment(python: Path) -> Iterator[tuple[Path, Path]]:
    """Make a hard-linked copy of a virtual environment beside it: its Python, its site-packages."""
    prefix = python.absolute().parent.parent
    if not (prefix / "pyvenv.cfg").is_file():
        raise SystemExit(f"{prefix} is no virtual environment")
    with tempfile.TemporaryDirectory(dir=prefix.parent) as scratch:
        copy = Path(scratch, prefix.name)
        shutil.copytree(prefix, copy, symlinks=True, copy_function=os.link)
        copied = copy / python.absolute().relative_to(prefix)
        where = "import sysconfig; print(sysconfig.get_path('platlib'))"
        site = Path(run_python(copied, where, {}).stdout.strip())
        if not site.is_relative_to(copy):
            raise SystemExit(f"{site} is not part of the copy {copy}")
        yield copied, site


def break_each(python: Path, roots: Sequence[Root]) -> Iterator[tuple[Root, Outcome]]:
    """Delete and then empty one root after the other, in a copy, and import each time."""
    with copy_environment(python) as (copied, site):
        for root in roots:
            path, aside = site / root.path, site / "aside"
            path.rename(aside)  # moved, never written to: the sound environment has the same inode
            deleted = run_python(copied, "import tensorflow", {})
            path.touch()
            empty = run_python(copied, "import tensorflow", {})
            aside.replace(path)
            print(f"{root.name}: empty {empty.returncode}, deleted {deleted.returncode}", file=sys.stderr)
            yield root, Outcome(empty.returncode == 0, deleted.returncode == 0)
        if run_python(copied, "import tensorflow", {}).returncode != 0:
            raise SystemExit("the mended copy does not import: nothing of this can be relied on")


def write_list(recording: Recording, outcomes: Mapping[Root, Outcome]) -> str:
    """Give the text of one list; without outcomes it says that fatality was not measured."""
    owners = {recording.owners[root.path] for root in recording.roots}
    tensorflow = next(owner for owner in owners if re.match(r"tensorflow(-cpu)? ", owner))
    fatality = "Fatality was not measured."
    if outcomes:
        if_deleted = [root.name for root, seen in outcomes.items() if seen.empty and not seen.deleted]
        fatality = f"Also tried: deleting. Fatal when deleted, not when empty: {', '.join(if_deleted) or 'none'}"
    date = time.strftime("%Y-%m-%d", time.gmtime())
    others = ", ".join(sorted(owners - {tensorflow}))
    facts = {"tensorflow": tensorflow, "system": recording.system, "date": date, "others": others}
    lines = []
    for root in recording.roots:
        flags = ["global"] if root.is_global else []
        if root in outcomes:
            flags.append("tolerated" if outcomes[root].empty else "fatal")
            if outcomes[root].deleted and not outcomes[root].empty:
                flags.append("dispensable")
        lines.append(" ".join((root.name, *flags)) + "\n")
    return HEADER.format(**facts, fatality=fatality) + "".join(lines)


def main() -> None:
    """Write the list for one Python to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="Python of a virtual environment")
    parser.add_argument("--fatal", action="store_true", help="break each file in turn, in a hard-linked copy")
    args = parser.parse_args()
    recording = record_import(args.python)
    print(write_list(recording, dict(break_each(args.python, recording.roots)) if args.fatal else {}), end="")


if __name__ == "__main__":
    main()
