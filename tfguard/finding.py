"""What the checks say: Finding, its Severity and Remedies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do: an imperative sentence, and where there is one a command that can be pasted as it stands."""

    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, with what shows it and what to do; as a note, one that is as it should be.

    `message` stands alone: it is all that a log shows. `loader_message` is what the loader itself would say, word
    for word, None where it says nothing (then the evidence names the signal). `evidence` is rows of (what, fact),
    in the order in which the loader looks.
    """

    code: str
    slug: str
    severity: Severity
    message: str
    path: Path | None = None
    loader_message: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    remedies: tuple[Remedy, ...] = ()
