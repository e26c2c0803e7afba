"""What a rule is given to judge: one load, or one installation, with the facts gathered around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tfguard.binary.kinds import Kind
from tfguard.evidence.gpu_stack import GpuStack
from tfguard.hosts.host import Host
from tfguard.loader.trace import Failure, Trace

if TYPE_CHECKING:
    from tfguard.installed.survey import Installed


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


class Origin(NamedTuple):
    """The Python distribution that a file belongs to: its name and version, and the file's path as it lists it."""

    distribution: str
    version: str
    listed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What surrounds the path of a file at fault.

    `mode` and `owner` are those of `closed`, the file or folder that refuses this user, else of the file itself.
    `target` is where a link leads that leads nowhere. `folder` is the nearest folder that exists, `names` what lies
    in it (or in the directory that stands in place of the file) and looks like what was wanted. `mount` is the mount
    point, `size` the file's and `load_end` where its last segment ends, in bytes; `stack` says what its PT_GNU_STACK
    asks for, `alignment` what the addresses and offsets of its segments agree to, in bytes.
    """

    mode: int | None = None
    owner: int | None = None
    closed: str | None = None
    target: str | None = None
    folder: str = ""
    names: tuple[str, ...] = ()
    mount: str = ""
    size: int = 0
    load_end: int = 0
    stack: str = ""
    alignment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load and what surrounds it; or one installation, where `installed` is set: then no load was played.

    `target` is what the user asked to load. `file` is the file at fault, `kind` what it is by its bytes, `place` what
    surrounds it, `origin` the distribution that brought it, or that brought the library which is gone. `fatal` says
    that the failing load surely ends the import or call that was asked for. `distribution` and `version` are those of
    the package asked for, `framework` the version of the TensorFlow concerned, None where there is none; `python` and
    `conda` are this interpreter's version and the conda environment that it belongs to, `is_managed` says that the
    system's installer has it (PEP 668). `configured` are the folders named in ld.so.conf, `provided` the versions that
    the provider of a missing one does define. `system` is the operating system's own name ("Debian GNU/Linux 12") and
    `installer` its package manager ("apt-get", "dnf" ...).
    `glibc` is what shows, where musl loads, that the file was built for glibc. `quarantine` are the files that a Mac
    would load and that carry com.apple.quarantine, each with its value.
    """

    target: str
    host: Host
    trace: Trace
    failure: Failure | None
    file: str = ""
    kind: Kind | None = None
    place: Place = Place()
    origin: Origin | None = None
    fatal: bool = True
    is_op: bool = False
    user: int = 0
    elsewhere: tuple[Elsewhere, ...] = ()
    late_directories: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()
    provided: tuple[str, ...] = ()
    glibc: tuple[str, ...] = ()
    quarantine: tuple[tuple[str, str], ...] = ()
    twins: tuple[Twin, ...] = ()
    framework: str | None = None
    distribution: str | None = None
    version: str | None = None
    python: str = ""
    conda: str | None = None
    is_managed: bool = False
    system: str = ""
    installer: str = ""
    needs_framework: bool = False
    framework_loaded: bool = False
    exported_by_framework: bool = False
    others_needed: tuple[str, ...] = ()
    installed: Installed | None = None
    gpu: GpuStack | None = None
