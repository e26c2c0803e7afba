"""Under which conditions figures were taken: kind of machine, versions, how busy it was; no paths, no names."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata

from tables import Table

import tfguard

_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "numpy", "auditwheel", "pyelftools", "lief")
_TOOLS = (
    ("libtree", ("libtree", "--version")),
    ("pax-utils (lddtree)", ("dpkg-query", "-W", "-f", "${Version}", "pax-utils")),
    ("valgrind", ("valgrind", "--version")),
    ("strace", ("strace", "-V")),
)


def conditions(load_before: float) -> Table:
    """One row for each; `load_before` is the load average over a minute before the run."""
    memory = os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    kernel = ".".join(platform.release().split(".")[:2])
    rows = [
        ("date", datetime.datetime.now(datetime.timezone.utc).date().isoformat()),
        ("machine", f"{_machine()}, {platform.machine()}, {cores} cores, {memory:.0f} GiB"),
        ("load average before and after", f"{load_before:.1f}, {os.getloadavg()[0]:.1f}"),
        ("system", f"{_system()}, kernel {kernel}, {os.confstr('CS_GNU_LIBC_VERSION')}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("tfguard", tfguard.__version__),
    ]
    for name in _DISTRIBUTIONS:
        try:
            rows.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    rows += [(name, found) for name, argv in _TOOLS if (found := _version(argv)) is not None]
    return Table(title="Conditions", columns=("what", "value"), rows=tuple(rows))


def _machine() -> str:
    text = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    virtual = "virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else "machine"
    return f"{virtual} ({model[1].strip()})" if model else virtual


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _version(argv: tuple[str, ...]) -> str | None:
    if shutil.which(argv[0]) is None:
        return None
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+\S*", done.stdout)
    return found[0] if found and not done.returncode else None
