"""A line on a terminal that says how far a long task is, and how fast it goes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from tfguard.plain import plain

_WIDTH = 24
_REDRAWN = 0.1  # seconds


class Bar:
    """A progress bar for bytes; a stream that is no terminal gets one line at the end, with the rate."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._draws = stream.isatty()
        self._begin = self._drawn = 0.0
        self._total = 0

    def __enter__(self) -> Bar:
        self._begin = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._draws:
            self._stream.write("\r\x1b[K")
        if error is None and self._total:
            self._stream.write(f"{plain(self._label)}: {_megabytes(self._total)}, {self._rate(self._total)}\n")
        self._stream.flush()

    def show(self, done: int, total: int, name: str) -> None:
        """Draw how far it is: `done` of `total` bytes, `name` in hand."""
        self._total = total
        now = time.monotonic()
        if not self._draws or not total or (now - self._drawn < _REDRAWN and done < total):
            return
        self._drawn = now
        filled = _WIDTH * done // total
        bar = "#" * filled + "." * (_WIDTH - filled)
        tail = plain(name)[-30:]
        self._stream.write(f"\r\x1b[K{plain(self._label)} [{bar}] {100 * done // total:3}% {self._rate(done)} {tail}")
        self._stream.flush()

    def _rate(self, done: int) -> str:
        seconds = max(time.monotonic() - self._begin, 1e-6)
        return f"{_megabytes(done / seconds)}/s"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB"
