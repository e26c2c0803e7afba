"""What a rule is given to judge: one failed load with the facts gathered around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tfguard.binary.kinds import Kind
from tfguard.host import Host
from tfguard.loader.trace import Failure, Trace


class Elsewhere(NamedTuple):
    """A file of the wanted (or nearly the wanted) name where the loader does not look, or not usefully.

    `why_not` says why it does not help as it stands; `exact` is False for another version of the name. `usable` is
    True where the loader would take it if it looked there.
    """

    path: str
    why_not: str
    exact: bool
    usable: bool


class Twin(NamedTuple):
    """A symbol that is exported in place of a missing one: its raw name, who exports it, how it differs."""

    name: bytes
    provider: str
    difference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load and what surrounds it.

    `target` is what the user asked to load. `kind` is what the failing file is, by its bytes. `fatal` says that the
    failing load surely ends the import or call that was asked for. `framework` is the version of the TensorFlow
    concerned, None where there is none. `variables` holds what the rules tell of the environment now (VIRTUAL_ENV,
    CONDA_PREFIX), `system` the operating system's own name ("Debian GNU/Linux 12") and `installer` its package
    manager ("apt-get", "dnf" ...).
    """

    target: str
    host: Host
    trace: Trace
    failure: Failure | None
    kind: Kind | None = None
    fatal: bool = True
    is_op: bool = False
    mode: int | None = None
    owner: int | None = None
    user: int = 0
    elsewhere: tuple[Elsewhere, ...] = ()
    late_directories: tuple[str, ...] = ()
    twins: tuple[Twin, ...] = ()
    framework: str | None = None
    distribution: str | None = None
    system: str = ""
    installer: str = ""
    loaded_before: bool = False
    needs_framework: bool = False
    exported_by_framework: bool = False
    compiler: str | None = None
    others_needed: tuple[str, ...] = ()
