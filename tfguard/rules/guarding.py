"""Rules about the guard itself: what it could not foresee, and when it trips."""

from __future__ import annotations

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import Rows, base, loader_row


def _rows(case: Case) -> Rows:
    failure = case.failure
    if failure is None:
        return ()
    return (("file", failure.path), ("check", f"{failure.kind} ({failure.rule})"), ("detail", failure.detail))


@rule("TFG901", "The load failed although the checks passed")
def failed_after_checks(case: Case) -> Verdict | None:
    """Everything that tfguard looks at was in order, and the real load failed all the same.

    The original exception is chained below this one. What a constructor does, a memory limit or a security policy
    cannot be read from the files.
    """
    failure = case.failure
    if failure is None or failure.kind != "real-load":
        return None
    return Verdict(
        message=f"loading {base(case.target)} failed although every check passed: {failure.detail}",
        path=case.target,
        evidence=(("the loader says", failure.message or failure.detail),),
    )


@rule("TFG902", "A library was asked for with an empty name")
def empty_name(case: Case) -> Verdict | None:
    """An empty name makes the loader hand out the main program: the load succeeds and gives a module without ops."""
    if case.failure is not None or case.target:
        return None
    return Verdict(
        message="the name of the library is empty: the loader takes that for the main program",
        remedies=(Remedy("Give the path of the library."),),
        severity="warning",
    )


@rule("TFG903", "A failure without a rule of its own")
def other_failure(case: Case) -> Verdict | None:
    """The loader is going to refuse this file for a reason that none of the other rules explains."""
    failure = case.failure
    if failure is None:
        return None
    return Verdict(
        message=f"{base(failure.path)} will not load: {failure.message or failure.detail or failure.kind}",
        evidence=(*_rows(case), *loader_row(case)),
    )


RULES = (failed_after_checks, other_failure)
WARNINGS = (empty_name,)
