"""A watchdog for tests of hostile input: a hang becomes a failure. It measures nothing and asserts no speed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def watched(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in a body that is still at work after so many seconds."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"still at work after {seconds} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
