"""How a played load ends before its end: Refused, raised where a check fails and caught where the trace is made."""

from __future__ import annotations

from tfguard.loader.trace import Failure


class Refused(Exception):
    """Carries the failure, and the check's own text where it has one, to the one place that makes the trace."""

    def __init__(self, failure: Failure, text: str | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.text = text
