"""Every byte of what is installed held against the checksums of its RECORDs, as fast as the processors hash."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from stat import S_ISREG
from typing import NamedTuple

from tfguard.hosts.root import Root
from tfguard.installed.distributions import Distribution
from tfguard.installed.record import NAMES_KEPT, Row, Standing, is_run, rows_of

_SMALL = 1 << 16
_CHUNK = 1 << 20
# A file from which on it pays to tell the kernel that it is read from end to end.
_LARGE = 8 << 20
# More than any library has; what is called a file and is larger is an image of the machine's memory (/proc/kcore).
_LARGEST = 1 << 36
_HELPERS = 3
_SHOWN_EVERY = 0.1  # seconds

Progress = Callable[[int, int, str], None]


class _Task(NamedTuple):
    """A file to hash: where it lies in whose tree, its line of RECORD, the number of the distribution it is of."""

    root: Root
    path: str
    row: Row
    whose: int


class _Hasher:
    """Takes files off one end of a queue; `done` counts the bytes that are behind it, by what RECORDs say of them."""

    def __init__(self, take: Callable[[], _Task], halt: threading.Event) -> None:
        self._take, self._halt = take, halt
        self._buffer = memoryview(bytearray(_CHUNK))
        self._show: Callable[[], None] | None = None
        self.states: list[tuple[_Task, str]] = []
        self.done = 0
        self.name = ""

    def run(self, show: Callable[[], None] | None = None) -> None:
        """Hash until the queue is empty, or all are to stop; `show` is called after each part that was read."""
        self._show = show
        while not self._halt.is_set():
            try:
                task = self._take()
            except IndexError:
                return
            end, self.name = self.done + (task.row.size or 0), task.row.path
            self.states.append((task, self._state(task)))
            self.done = max(end, self.done)  # a RECORD may leave sizes out
            if show is not None:
                show()

    def _state(self, task: _Task) -> str:
        try:
            digest = sha256_of(task.root.outside(task.path), task.row.size, self._buffer, self._go_on)
        except FileNotFoundError:
            return "missing"
        except (OSError, ValueError):
            return ""
        return "" if digest is not None and f"sha256={digest}" == task.row.digest else "changed"

    def _go_on(self, read: int) -> bool:
        self.done += read
        if self._show is not None:
            self._show()
        return not self._halt.is_set()


def hash_all(distributions: tuple[Distribution, ...], progress: Progress | None = None) -> tuple[Standing, ...]:
    """Hash every file of these distributions; `progress` is told bytes done, bytes in all and the file in hand.

    hashlib lets other threads run while it hashes. So the large files, a few with most of the bytes, are taken off
    one end of the queue by helpers, as many as there are processors, and the many small ones off the other end here.
    """
    tasks = [
        _Task(one.root, os.path.join(one.site, row.path), row, number)
        for number, one in enumerate(distributions)
        for row in rows_of(one)
        if row.digest.startswith("sha256=")
    ]
    total = sum(one.row.size or 0 for one in tasks)
    queue = deque(sorted(tasks, key=lambda one: one.row.size or 0))
    halt = threading.Event()
    here = _Hasher(queue.popleft, halt)
    helpers = [_Hasher(queue.pop, halt) for _ in range(min(_processors() - 1, _HELPERS))]
    hashers = (here, *helpers)

    def show() -> None:
        if progress is not None:
            progress(min(sum(one.done for one in hashers), total), total, hashers[-1].name or here.name)

    threads = [threading.Thread(target=one.run, daemon=True) for one in helpers]
    try:
        for thread in threads:
            thread.start()
        here.run(show)
        for thread in threads:
            while thread.is_alive():
                thread.join(_SHOWN_EVERY)
                show()
    finally:
        halt.set()  # Ctrl-C: nobody waits for the rest of a large file
        for thread in threads:
            thread.join()
    if progress is not None:
        progress(total, total, "")
    return tuple(_standings(distributions, [state for one in hashers for state in one.states]))


def _processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _standings(distributions: tuple[Distribution, ...], states: list[tuple[_Task, str]]) -> list[Standing]:
    counts = [0] * len(distributions)
    missing: list[list[str]] = [[] for _ in distributions]
    changed: list[list[str]] = [[] for _ in distributions]
    for task, state in states:
        counts[task.whose] += 1
        if state == "changed":
            changed[task.whose].append(task.row.path)
        elif state == "missing" and is_run(task.row.path) and not task.root.lexists(f"{task.path}c"):
            missing[task.whose].append(task.row.path)
    return [
        Standing(
            one,
            counts[number],
            tuple(sorted(missing[number])[:NAMES_KEPT]),
            tuple(sorted(changed[number])[:NAMES_KEPT]),
            len(missing[number]),
            len(changed[number]),
            hashed=True,
        )
        for number, one in enumerate(distributions)
    ]


def sha256_of(
    path: str,
    size: int | None = None,
    buffer: memoryview | None = None,
    count: Callable[[int], bool] | None = None,
) -> str | None:
    """The hash of a file as RECORD writes it (PEP 376: urlsafe base64 without padding), None for one of another size.

    `buffer` is used if given; `count` is told the bytes of each part read, and says whether to go on.
    """
    digest = hashlib.sha256()
    buffer = buffer if buffer is not None else memoryview(bytearray(_CHUNK))
    # Not blocked by what only looks like a file: a pipe somebody left there.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        stat = os.fstat(fd)
        if not S_ISREG(stat.st_mode) or stat.st_size > _LARGEST:
            raise OSError(f"{path} is no regular file")
        if size is not None and stat.st_size != size:
            return None
        if stat.st_size >= _LARGE and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        if stat.st_size <= _SMALL:
            digest.update(os.read(fd, _SMALL))
            return _as_recorded(digest)
        left = stat.st_size
        with open(fd, "rb", buffering=0, closefd=False) as file:
            while left > 0 and (read := file.readinto(buffer)):
                digest.update(buffer[:read])
                left -= read
                if count is not None and not count(read):
                    raise OSError(f"{path} was left half read")
    finally:
        os.close(fd)
    return _as_recorded(digest)


def _as_recorded(digest: hashlib._Hash) -> str:
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")
