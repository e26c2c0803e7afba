"""What a case of the rule table is, and how it is put to tfguard and to the real loader in one child process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.loader.scene import Scene, Unavailable
from tfguard.finding import Finding, Remedy

CHILD = Path(__file__).with_name("child.py")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A load to judge: `target` is a path, or a package where `door` is "import".

    `before` is loaded first, `before_global` with RTLD_GLOBAL. `environment` is that of the process from its start,
    `late` an LD_LIBRARY_PATH set inside it, `path` folders for sys.path. With `ordinary` file modes bind the process
    even where it is root. `host` and `python` change what tfguard is told of this process: then the real loader,
    which cannot be changed so, is not asked; `mac` asks about a Mac in its place. `door` is "library", "op", "import"
    or "guarded" (safe_import); with `gpu` an import is asked about GPUs too. `first` is a folder that the package is
    imported from before, without success; `replaced` is a module that is imported before, a folder, and what that is
    renamed to then. "lost ops" is the question after a load that gave no op, where ops called
    `registered` are known.
    """

    target: str
    door: str = "library"
    before: tuple[str, ...] = ()
    before_global: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    late: str | None = None
    path: tuple[str, ...] = ()
    cwd: str | None = None
    ordinary: bool = False
    gpu: bool = False
    first: str | None = None
    replaced: tuple[str, str, str] | None = None
    registered: tuple[str, ...] = ()
    host: Mapping[str, Any] = field(default_factory=dict)  # Any: values of fields of Host, as JSON has them
    python: Mapping[str, Any] = field(default_factory=dict)  # the same of Python
    mac: Mapping[str, Any] | None = None  # Any: values of fields of Mac, and `root` for the folder that is its tree
    asks: bool = True


@dataclass(frozen=True, slots=True)
class RuleCase:
    """A named cause. The name is that of its golden text and begins with the code it must get.

    `lay_out` makes the files and gives the question. `only_where` names a package manager whose command is in the
    text. `compared` is False where the text holds what differs from machine to machine.
    """

    id: str
    lay_out: Callable[[Scene], Question]
    warning: bool = False
    note: bool = False
    only_where: str = ""
    compared: bool = True

    @property
    def severity(self) -> str:
        """The severity that the first finding must have."""
        return "note" if self.note else "warning" if self.warning else "error"

    @property
    def code(self) -> str:
        """The code that the first finding must have."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What tfguard said (the first finding, and all codes) and how the real load ended.

    `real` is None where it was not asked; `words` are what names of this machine are to be read as in the text.
    """

    finding: Finding | None
    codes: tuple[str, ...]
    real: Mapping[str, Any] | None  # Any: parsed JSON
    words: Mapping[str, str]
    installer: str


_ASKED = "target door before before_global late host python mac asks path gpu first replaced registered"


def _readers(root: Path) -> str:
    """A folder with the libraries that tfguard reads for people with, and nothing else that is installed."""
    folder = root / ".readers"
    folder.mkdir(exist_ok=True)
    for name in ("macholib", "altgraph", "elftools", "itanium_demangler", "packaging"):
        spec = find_spec(name)
        for place in spec.submodule_search_locations or () if spec is not None else ():
            if not (folder / name).exists():
                (folder / name).symlink_to(place)
    return str(folder)


def clear(root: Path) -> None:
    """Take away what a folder of a case cannot be deleted with: file systems mounted in it."""
    for path in root.iterdir():
        if path.is_mount():
            subprocess.run(["umount", str(path)], check=True)


def put(question: Question, root: Path) -> Answer:
    """Ask a child process about a load: the check first, then the load itself, in a fork."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "GLIBC_", "CONDA"))}
    environment.pop("PYTHONPATH", None)
    environment.update(question.environment)
    drop: list[str] = []
    if question.ordinary and os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            raise Unavailable("root is not held to file modes, and setpriv is missing")
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    request = {name: getattr(question, name) for name in _ASKED.split()}
    done = subprocess.run(
        [*drop, sys.executable, "-S", "-W", "ignore", str(CHILD)],
        input=json.dumps(request | {"readers": _readers(root)}),
        cwd=question.cwd or str(root),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{question}: the child ended with {done.returncode}: {done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Answer(
        finding=_finding(told["finding"]) if told["finding"] is not None else None,
        codes=tuple(told["codes"]),
        real=told["real"],
        words={str(root): "/case", **told["words"]},
        installer=told["installer"],
    )


def _finding(told: dict[str, Any]) -> Finding:  # Any: parsed JSON
    return Finding(
        code=told["code"],
        slug=told["slug"],
        severity=told["severity"],
        message=told["message"],
        path=Path(told["path"]) if told["path"] is not None else None,
        loader_message=told["loader_message"],
        evidence=tuple((one["label"], one["fact"]) for one in told["evidence"]),
        remedies=tuple(Remedy(one["text"], one["command"]) for one in told["remedies"]),
    )
