"""What is known of a process that does not run, beside what a Host says of every process: Foreign."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tfguard.hosts.root import Root

if TYPE_CHECKING:
    from tfguard.installed.python import Python
    from tfguard.loader.trace import Trace


class Foreign(NamedTuple):
    """A process told from files: `root` is what "/" is for it, `loader` the path of its PT_INTERP, "" without one.

    `start` is the start of its program, played; `python` the Python that this is. Either is None where it is not known.
    `assumed` says in words what no file tells and hardly a load hangs on: the usual was taken.
    """

    root: Root
    loader: str = ""
    start: Trace | None = None
    python: Python | None = None
    assumed: tuple[str, ...] = ()
