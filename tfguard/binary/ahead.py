"""Passes over members of wheels in threads of their own, before their tables are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from types import TracebackType

# One large library takes most of the time, and all others together about a third of it.
_MOST_THREADS = 2


class Once:
    """Work that is done once, by whoever comes to it first; all others wait until it is done."""

    __slots__ = ("_done", "_lock", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = Lock()
        self._done = False

    def finish(self) -> None:
        """Return when the work is done."""
        with self._lock:
            self._do()

    def try_to(self) -> None:
        """Do the work unless somebody is at it."""
        if self._lock.acquire(blocking=False):
            try:
                self._do()
            finally:
                self._lock.release()

    def _do(self) -> None:
        if not self._done:
            self._work()
            self._done = True


class Ahead:
    """Threads that do the work in its order until the block is left: what is then not begun stays undone."""

    def __init__(self, work: Iterable[Once]) -> None:
        self._pending = deque(work)
        count = min(len(self._pending), os.cpu_count() or 1, _MOST_THREADS)
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> Ahead:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pending.clear()
        for one in self._threads:
            one.join()

    def _run(self) -> None:
        while True:
            try:
                one = self._pending.popleft()
            except IndexError:
                return
            one.try_to()
