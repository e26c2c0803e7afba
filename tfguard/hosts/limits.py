"""Looks at what the kernel allows this process: address space, memory, and what SELinux says of executable memory."""

from __future__ import annotations

import os

from tfguard.hosts.host import Limits
from tfguard.hosts.memory import memory_limit

_SELINUX = "/sys/fs/selinux"
# Reference policy and its older names: text relocations, executable stacks.
_BOOLEANS = {
    "execmod": ("selinuxuser_execmod", "allow_execmod"),
    "execstack": ("selinuxuser_execstack", "allow_execstack"),
}


def look_at_limits() -> Limits:
    """A few small files under /proc, and those under /sys of its control groups and of SELinux."""
    limit = _address_space()
    group, memory, memory_used = memory_limit() or ("", None, 0)
    enforce = _read(f"{_SELINUX}/enforce")
    return Limits(
        address_space=limit,
        address_space_used=_used() if limit is not None else 0,
        memory=memory,
        memory_used=memory_used,
        memory_group=group,
        selinux={b"1": "enforcing", b"0": "permissive"}.get(enforce.strip(), ""),
        selinux_allows=frozenset(_switched_on()) if enforce.strip() == b"1" else frozenset(),
    )


def _address_space() -> int | None:
    """The soft limit of RLIMIT_AS in bytes."""
    for line in _read("/proc/self/limits").splitlines():
        if line.startswith(b"Max address space"):
            words = line[len(b"Max address space") :].split()
            return int(words[0]) if words and words[0].isdigit() else None
    return None


def _used() -> int:
    """VmSize, the first number of statm, in bytes."""
    words = _read("/proc/self/statm").split()
    return int(words[0]) * os.sysconf("SC_PAGESIZE") if words and words[0].isdigit() else 0


def _switched_on() -> list[str]:
    """Each file holds two figures: the value now, and the one that is to come."""
    return [
        what
        for what, names in _BOOLEANS.items()
        if any(_read(f"{_SELINUX}/booleans/{name}").startswith(b"1") for name in names)
    ]


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 1 << 14)
    except OSError:
        return b""
    finally:
        os.close(fd)
