"""The tools that answer the same question, or a part of it, as commands to time."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass

from measure import Command
from targets import Target

BARE = "tfguard, bare process"
IMPORT_TENSORFLOW = "import tensorflow"

# What the library does, without a command line: as little as a process can do for the answer.
_BARE = """import sys
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process
with Process(this_host()) as process:
    trace = process.dlopen(sys.argv[1], symbols=False)
print(*(mapped.path for mapped in trace.images), sep="\\n")
sys.exit(trace.failure is not None)
"""
_AUDITWHEEL = "import sys; from pathlib import Path; from auditwheel.lddtree import ldd; ldd(Path(sys.argv[1]))"
_LIEF = "import sys, lief; sys.exit(lief.parse(sys.argv[1]) is None)"

# A distribution's tools are meant for its own Python, which need not be the first on the path.
_SYSTEM_PATH = "/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool: the command that a file's path is added to, and where it comes from."""

    name: str
    argv: tuple[str, ...]
    source: str
    module: str | None = None

    @property
    def is_here(self) -> bool:
        if self.module is not None:
            return importlib.util.find_spec(self.module) is not None
        return shutil.which(self.argv[0], path=_SYSTEM_PATH) is not None


PEERS = (
    Peer(name="ldd", argv=("ldd",), source="glibc"),
    Peer(name="ldd -r", argv=("ldd", "-r"), source="glibc"),
    Peer(name="libtree", argv=("libtree",), source="apt-get install libtree"),
    Peer(name="lddtree", argv=("lddtree",), source="apt-get install pax-utils python3-pyelftools"),
    Peer(
        name="auditwheel's lddtree",
        argv=(sys.executable, "-c", _AUDITWHEEL),
        source="pip install auditwheel",
        module="auditwheel",
    ),
    Peer(
        name="LIEF, this file only",
        argv=(sys.executable, "-c", _LIEF),
        source="pip install lief",
        module="lief",
    ),
)


def commands_for(target: Target) -> list[Command]:
    """Ourselves, every peer that is here, and for scale the interpreter and the import that is guarded."""
    python = sys.executable
    own = [
        Command(name=BARE, argv=(python, "-c", _BARE, target.path), environment=target.environment),
        Command(
            name="python -m tfguard tree",
            argv=(python, "-m", "tfguard", "tree", target.path),
            environment=target.environment,
        ),
    ]
    others = [
        Command(name=one.name, argv=(*one.argv, target.path), environment=_environment(one, target))
        for one in PEERS
        if one.is_here
    ]
    scale = [
        Command(name="python -c pass", argv=(python, "-c", "pass")),
        Command(name=IMPORT_TENSORFLOW, argv=(python, "-c", "import tensorflow"), every=5),
    ]
    return [*own, *others, *scale]


def _environment(peer: Peer, target: Target) -> dict[str, str]:
    return dict(target.environment) if peer.module is not None else {**target.environment, "PATH": _SYSTEM_PATH}


def missing() -> tuple[str, ...]:
    """What is not on this machine, in words, with how to get it."""
    return tuple(f"{one.name} is not on this machine ({one.source})" for one in PEERS if not one.is_here)
