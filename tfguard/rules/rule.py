"""What makes a rule: Verdict, Rule and the decorator that turns a function into one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path

from tfguard.case import Case
from tfguard.finding import Finding, Remedy, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of a case it applies to; the rule's code and slug are added by `Rule.judge`."""

    message: str
    path: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    remedies: tuple[Remedy, ...] = ()
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One cause of failing loads: code, slug, title, the long explanation, and the function that recognises it.

    `recognise` is None for a cause that shows only in what was said: in a text, or in how a process died.
    """

    code: str
    slug: str
    title: str
    explanation: str
    recognise: Callable[[Case], Verdict | None] | None

    def judge(self, case: Case) -> Finding | None:
        """The finding for this case, or None where this rule is not the cause."""
        verdict = self.recognise(case) if self.recognise is not None else None
        if verdict is None:
            return None
        failure = case.failure
        certain = failure is None or (failure.certain and not _hangs_on_the_unknown(case))
        path = verdict.path if verdict.path is not None else failure.path if failure is not None else None
        return Finding(
            code=self.code,
            slug=self.slug,
            severity=verdict.severity if (certain and case.fatal) or verdict.severity == "note" else "warning",
            message=verdict.message,
            path=Path(os.path.normpath(path)) if path else None,
            loader_message=failure.message if failure is not None else None,
            evidence=verdict.evidence,
            remedies=verdict.remedies[:3],
        )


# What a search, a version or a symbol comes to depends on the process; what a file is does not.
_OF_THE_PROCESS = frozenset(
    (
        "missing",
        "wrong-class",
        "version",
        "version-without-library",
        "version-table",
        "symbol",
        "dylib-missing",
        "macho-symbol",
        "wrong-architecture",
    )
)


def _hangs_on_the_unknown(case: Case) -> bool:
    """Whether the failure depends on the process and something about that process could not be found out."""
    return bool(case.host.skipped) and case.failure is not None and case.failure.kind in _OF_THE_PROCESS


def rule(code: str, title: str) -> Callable[[Callable[[Case], Verdict | None]], Rule]:
    """Make a Rule of a function: its name is the slug, its docstring the explanation."""

    def make(function: Callable[[Case], Verdict | None]) -> Rule:
        return Rule(
            code=code,
            slug=function.__name__.replace("_", "-"),
            title=title,
            explanation=cleandoc(function.__doc__ or ""),
            recognise=function,
        )

    return make
