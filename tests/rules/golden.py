"""The golden texts: a finding as a person reads it, with what differs from machine to machine replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.rules.stage import Answer
from tfguard.finding import Finding, Remedy
from tfguard.telling.render import finding_text

FOLDER = Path(__file__).with_name("golden")

_PATTERNS = (
    (re.compile(r"\b(user|owner) \d+"), r"\1 UID"),
    (re.compile(r"^\d+ directories: "), "N directories: "),
    (re.compile(r"\bup to GLIBC_2\.\d+"), "up to GLIBC_2.NN"),
    (re.compile(r"\b(glibc|system has) 2\.(?!41|99)\d\d\b"), r"\1 2.NN"),
    (re.compile(r"/\S+/tfguard/(\S+\.py):\d+"), r"/tfguard/\1:NNN"),
)


def text_of(answer: Answer) -> str:
    """The finding's full text; paths are replaced before it is set into lines."""
    assert answer.finding is not None
    return finding_text(_changed(answer.finding, _replacer(answer.words))) + "\n"


def golden(name: str) -> str | None:
    """The text kept for a case, None where there is none."""
    try:
        return (FOLDER / f"{name}.txt").read_text(encoding="ascii")
    except OSError:
        return None


def keep(name: str, text: str) -> None:
    """Make this the golden text of a case."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text(text, encoding="ascii")


def kept() -> set[str]:
    """The names of all golden texts."""
    return {path.stem for path in FOLDER.glob("*.txt")}


def _replacer(words: Mapping[str, str]) -> Callable[[str], str]:
    ordered = sorted(words.items(), key=lambda one: -len(one[0]))

    def change(text: str) -> str:
        for word, placeholder in ordered:
            # a path begins where no other path goes on
            edge = r"(?<![\w./-])" if word.startswith("/") else ""
            text = re.sub(edge + re.escape(word), lambda _, to=placeholder: to, text)  # type: ignore[misc]
        for pattern, placeholder in _PATTERNS:
            text = pattern.sub(placeholder, text)
        return text

    return change


def _changed(finding: Finding, change: Callable[[str], str]) -> Finding:
    return replace(
        finding,
        message=change(finding.message),
        path=Path(change(os.fspath(finding.path))) if finding.path is not None else None,
        loader_message=change(finding.loader_message) if finding.loader_message is not None else None,
        evidence=tuple((label, change(fact)) for label, fact in finding.evidence),
        remedies=tuple(
            Remedy(change(one.text), change(one.command) if one.command is not None else None)
            for one in finding.remedies
        ),
    )
