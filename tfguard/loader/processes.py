"""Starts the process to play loads in: the one place that knows which loaders there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.hosts.host import Host

if TYPE_CHECKING:
    from tfguard.loader.process import Process


def knows(host: Host) -> bool:
    """Whether the host's loader is one that can be played."""
    return host.loader in ("glibc", "musl")


def start(host: Host) -> Process:
    """The process to play loads in, as it stands before the first of them.

    Only the loader needed is imported, here: every guarded import pays for it. Raises ValueError for a host whose
    loader is not known; ask `knows` before.
    """
    if host.loader == "glibc":
        from tfguard.loader.glibc import Process as GlibcProcess

        return GlibcProcess(host)
    if host.loader == "musl":
        from tfguard.loader.musl import Process as MuslProcess

        return MuslProcess(host)
    raise ValueError(f"no loader called {host.loader!r} is known")
