"""Rules about the guard itself: what it could not foresee, and when it trips."""

from __future__ import annotations

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, loader_row


@rule("TFG901", "The load failed although the checks passed")
def failed_after_checks(case: Case) -> Verdict | None:
    """Everything that tfguard looks at was in order, and the real load failed all the same.

    The original exception is chained to this one, and Python prints it above. What a constructor does, a memory
    limit, a security policy or a fault in Python code cannot be read from the native files.
    """
    failure = case.failure
    if failure is None or failure.kind != "real-load":
        return None
    return Verdict(
        message=f"loading {base(case.target)} failed although every check passed: {failure.detail}",
        evidence=(("it said", failure.message or failure.detail),),
        remedies=(
            Remedy("Read the exception above this one: it is the original, and what it says is the cause."),
            Remedy("Report it as what tfguard does not see yet, with this output.", "python -m tfguard --verbose"),
        ),
    )


@rule("TFG902", "A library was asked for with an empty name")
def empty_name(case: Case) -> Verdict | None:
    """The name of the library to open is the empty string, as a variable that was never set gives it.

    An empty name makes the loader hand out the main program: the load succeeds and gives a module without ops.
    """
    if case.failure is not None or case.target:
        return None
    return Verdict(
        message="the name of the library is empty: the loader takes that for the main program",
        remedies=(Remedy("Give the path of the library."),),
        severity="warning",
    )


@rule("TFG903", "A failure without a rule of its own")
def other_failure(case: Case) -> Verdict | None:
    """The loader is going to refuse this file for a reason that none of the other rules explains.

    Its own words then say most: an error of the disk or of a network file system, too many open files, no memory.
    """
    failure = case.failure
    if failure is None:
        return None
    says = (failure.message or "").removeprefix(f"{failure.path}: ").removeprefix(f"{failure.name}: ")
    return Verdict(
        message=f"{base(failure.path)} will not load: {says or failure.detail or failure.kind}",
        evidence=(
            ("file", failure.path),
            ("check", f"{failure.kind} ({failure.rule})"),
            *((("detail", failure.detail),) if failure.detail else ()),
            *loader_row(case),
        ),
        remedies=(Remedy("Look for what the kernel says of the disk or the network file system.", "dmesg | tail"),)
        if failure.kind == "read-error"
        else (),
    )


@rule("TFG904", "tfguard itself tripped")
def guard_tripped(case: Case) -> Verdict | None:
    """A fault of tfguard, not of the library: the check ended before its end, so nothing is known about this load.

    The load goes on as if there were no guard.
    """
    failure = case.failure
    if failure is None or failure.kind != "tripped":
        return None
    return Verdict(
        message=f"tfguard tripped, {base(case.target)} was not checked: {failure.detail}",
        evidence=(("where", failure.name),),
        remedies=(Remedy("Report this to the makers of tfguard; the load itself needs nothing."),),
        severity="warning",
    )


RULES = (failed_after_checks, guard_tripped, other_failure)
WARNINGS = (empty_name,)
