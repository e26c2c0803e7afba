"""Runs the child of a probe within its limits, and keeps what it wrote and how it ended: Ending."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_KEPT = 64 << 10
_GRACE = 2.0  # seconds between the child's own look at where it stands and its end
_START = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended.

    `status` is its exit status, negative for a signal; `reason` is "timeout" or "memory" where it was ended for that.
    `output` is what it wrote to both streams, `facts` what it told of itself (inside.py), `seconds` how
    long it ran, `peak` the most memory it was seen to have, in bytes.
    """

    status: int
    reason: str = ""
    output: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.0
    peak: int = 0

    @property
    def signal(self) -> str:
        """The name of the signal that ended it ("SIGSEGV"), "" where none did."""
        if self.reason or self.status >= 0:
            return ""
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


def run(kind: str, target: str, *, timeout: float, memory: int | None, python: tuple[str, ...]) -> Ending:
    """Start the child, watch it, end it with all that it has started. Raises OSError where it cannot be started."""
    limit = memory if memory is not None else _free_memory()
    reader, writer = os.pipe()
    child = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
    path = [os.path.abspath(one) if one else os.getcwd() for one in sys.path]
    arguments = [str(writer), str(timeout), kind, target, json.dumps(path)]
    try:
        process = subprocess.Popen(
            [*python, "-c", _START, child, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            start_new_session=True,
        )
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    assert process.stdout is not None
    output, told = _Kept(process.stdout.fileno()), _Kept(reader)
    began = time.monotonic()
    try:
        reason, peak = _watch(process, began + timeout + _GRACE, limit)
    finally:
        _end(process)
        output.join()
        told.join()
        process.stdout.close()
        os.close(reader)
    return Ending(
        status=process.returncode,
        reason=reason,
        output=output.text,
        facts=_facts(told.text),
        seconds=time.monotonic() - began,
        peak=peak,
    )


def _watch(process: subprocess.Popen[bytes], deadline: float, limit: int) -> tuple[str, int]:
    peak = 0
    pause = 0.002
    while True:
        try:
            process.wait(pause)
            return "", peak
        except subprocess.TimeoutExpired:
            pass
        pause = min(pause * 2, 0.05)
        peak = max(peak, _resident(process.pid))
        if limit and peak > limit:
            return "memory", peak
        if time.monotonic() > deadline:
            return "timeout", peak


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child's whole session: what it has started must not outlive it."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Kept(threading.Thread):
    """Reads a stream to its end, and keeps its beginning and its end."""

    def __init__(self, fd: int) -> None:
        super().__init__(daemon=True)
        self._fd = fd
        self._head, self._tail = b"", b""
        self.start()

    def run(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:
                return
            if not data:
                return
            room = _KEPT - len(self._head)
            self._head += data[:room]
            self._tail = (self._tail + data[room:])[-_KEPT:] if room < len(data) else self._tail

    @property
    def text(self) -> str:
        """What was kept."""
        return (self._head + self._tail).decode("utf-8", "replace")


def _facts(text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                found.update(told)
    return found


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _free_memory() -> int:
    """Nine tenths of what the machine, or this container, has free; 0 where that is not known."""
    free = 0
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError), open(limit, encoding="ascii") as top, open(used, "rb") as now:
            left = int(top.read()) - int(now.read())
            free = min(free, left) if free else left
    return max(free, 0) * 9 // 10
