"""Other programs that say what a library will be loaded with: how each is run, and what it says."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_PATIENCE = 10  # seconds
# A distribution's tools are meant for its own Python, which need not be the first on the path.
_SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a tool says: the files it names, links resolved, and whether it sees anything wrong."""

    files: frozenset[str]
    trouble: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool: how it is called, where it comes from, its version (None where it is not here), and how it is asked."""

    name: str
    source: str
    version: Callable[[], str | None]
    ask: Callable[[str, Mapping[str, str], str | None], Opinion]


def _run(argv: list[str], environment: Mapping[str, str], cwd: str | None) -> subprocess.CompletedProcess[str] | None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "GLIBC_", "PYTHON"))}
    try:
        return subprocess.run(
            argv,
            env={**kept, "PATH": _SYSTEM_PATH, **environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _resolved(paths: list[str], cwd: str | None) -> frozenset[str]:
    return frozenset(os.path.realpath(os.path.join(cwd or "/", path)) for path in paths)


def _ldd(*options: str) -> Callable[[str, Mapping[str, str], str | None], Opinion]:
    def ask(path: str, environment: Mapping[str, str], cwd: str | None) -> Opinion:
        done = _run(["ldd", *options, path], environment, cwd)
        if done is None:
            return Opinion(files=frozenset(), trouble=True)
        lines = [re.sub(r" \(0x[0-9a-f]+\)$", "", line.strip()) for line in done.stdout.splitlines()]
        files = [line.partition(" => ")[2] or line for line in lines]
        trouble = done.returncode != 0 or any(
            word in done.stdout + done.stderr
            for word in ("not found", "undefined symbol", "not a dynamic executable", "cannot")
        )
        named = [one for one in files if "/" in one or os.path.exists(os.path.join(cwd or "/", one))]
        return Opinion(files=_resolved([path, *named], cwd), trouble=trouble)

    return ask


def _libtree(path: str, environment: Mapping[str, str], cwd: str | None) -> Opinion:
    done = _run(["libtree", "-p", "-vvv", path], environment, cwd)
    if done is None:
        return Opinion(files=frozenset(), trouble=True)
    found = re.findall(r"^[\s│├└─]*(\S.*?) \[[^\]]*\]$", done.stdout, re.MULTILINE)
    trouble = done.returncode != 0 or "not found" in done.stdout + done.stderr
    return Opinion(files=_resolved([path, *found], cwd), trouble=trouble)


def _lddtree(path: str, environment: Mapping[str, str], cwd: str | None) -> Opinion:
    done = _run(["lddtree", path], environment, cwd)
    if done is None:
        return Opinion(files=frozenset(), trouble=True)
    found = re.findall(r" => (\S.*)$", done.stdout, re.MULTILINE)
    files = [one for one in found if one.startswith("/")]
    missing = [one for one in found if not one.startswith("/") and not one.startswith("None)")]
    trouble = done.returncode != 0 or bool(missing) or "warning" in done.stderr.lower()
    return Opinion(files=_resolved([path, *files], cwd), trouble=trouble)


_AUDITWHEEL = """
import json, sys
from pathlib import Path
from auditwheel.lddtree import ldd
tree = ldd(Path(sys.argv[1]))
print(json.dumps({name: str(one.realpath) if one.realpath else None for name, one in tree.libraries.items()}))
"""


def _auditwheel(path: str, environment: Mapping[str, str], cwd: str | None) -> Opinion:
    done = _run([sys.executable, "-c", _AUDITWHEEL, path], environment, cwd)
    if done is None or done.returncode != 0:
        return Opinion(files=frozenset(), trouble=True)
    libraries = json.loads(done.stdout.splitlines()[-1])
    files = [path, *(one for one in libraries.values() if one is not None)]
    return Opinion(files=_resolved(files, cwd), trouble=None in libraries.values())


def _program(name: str, *words: str) -> Callable[[], str | None]:
    """The version that a program says it has, "" where it says none; None where it is not here."""

    def version() -> str | None:
        if shutil.which(name, path=_SYSTEM_PATH) is None:
            return None
        done = _run([name, *words], {}, None)
        found = re.search(r"\d+(\.\d+)+", done.stdout if done is not None else "")
        return found[0] if found else ""

    return version


def _package(package: str, command: str) -> Callable[[], str | None]:
    """The version of the Debian package that a command comes from."""

    def version() -> str | None:
        if shutil.which(command, path=_SYSTEM_PATH) is None:
            return None
        done = _run(["dpkg-query", "-W", "-f", "${Version}", package], {}, None) if shutil.which("dpkg-query") else None
        return done.stdout if done is not None else ""

    return version


def _distribution(name: str) -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return version


TOOLS = (
    Tool(name="ldd", source="glibc", version=_program("ldd", "--version"), ask=_ldd()),
    Tool(name="ldd -r", source="glibc", version=_program("ldd", "--version"), ask=_ldd("-r")),
    Tool(name="libtree", source="apt-get install libtree", version=_program("libtree", "--version"), ask=_libtree),
    Tool(name="lddtree", source="apt-get install pax-utils", version=_package("pax-utils", "lddtree"), ask=_lddtree),
    Tool(
        name="auditwheel",
        source="pip install auditwheel",
        version=_distribution("auditwheel"),
        ask=_auditwheel,
    ),
)
