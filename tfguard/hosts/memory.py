"""How much memory the control groups of this process leave it: version 1 and 2, by the kernel's files."""

from __future__ import annotations

import os

# No limit is a number near 2**63 in version 1, the word "max" in version 2.
_UNLIMITED = 1 << 60
_LEVELS = 32


def memory_limit(root: str = "/") -> tuple[str, int, int] | None:
    """The limit that leaves least, of this process's group and those above it, None where there is none (cgroups(7)).

    The group's folder, the limit, and what of it is used for good, in bytes: pages of files count towards a limit too,
    but are given up under pressure, and left out here.
    """
    own, limit, used = _groups(os.path.join(root, "proc/self/cgroup"))
    if own is None:
        return None
    mount = os.path.join(root, "sys/fs/cgroup", "" if limit == "memory.max" else "memory").rstrip("/")
    path = own if os.path.isdir(mount + own) else "/"  # in a container the path may be that of its host
    tightest: tuple[str, int, int] | None = None
    for _ in range(_LEVELS):
        folder = os.path.normpath(mount + path)
        bound = _read(os.path.join(folder, limit)).strip()
        if bound.isdigit() and int(bound) < _UNLIMITED:
            found = folder, int(bound), _counted(_read(os.path.join(folder, "memory.stat")), used)
            if tightest is None or found[1] - found[2] < tightest[1] - tightest[2]:
                tightest = found
        if path == "/":
            break
        path = os.path.dirname(path)
    return tightest


def _groups(file: str) -> tuple[str | None, str, bytes]:
    """The path of the group that bounds memory, the name of its limit, and the figure of what is in use for good."""
    unified: str | None = None
    for line in _read(file).splitlines():
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if b"memory" in controllers.split(b","):
            return os.fsdecode(path), "memory.limit_in_bytes", b"total_rss "
        if number == b"0" and not controllers:
            unified = os.fsdecode(path)
    return unified, "memory.max", b"anon "


def _counted(stat: bytes, name: bytes) -> int:
    for line in stat.splitlines():
        if line.startswith(name):
            figure = line[len(name) :].strip()
            return int(figure) if figure.isdigit() else 0
    return 0


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError):
        return b""
    try:
        return os.read(fd, 1 << 14)
    except OSError:
        return b""
    finally:
        os.close(fd)
