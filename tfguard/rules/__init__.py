"""The table of all rules, in the order in which they are asked: the first that recognises a case names the cause."""

from __future__ import annotations

from tfguard.case import Case
from tfguard.finding import Finding
from tfguard.rules import content, file, guarding, machine, mapping, needed, processor, symbol, version
from tfguard.rules.rule import Rule

_FAMILIES = (processor, machine, file, content, mapping, needed, version, symbol, guarding)

CAUSES: tuple[Rule, ...] = tuple(one for family in _FAMILIES for one in family.RULES)
WARNINGS: tuple[Rule, ...] = (*file.WARNINGS, *symbol.WARNINGS, *guarding.WARNINGS)
RULES: tuple[Rule, ...] = tuple(sorted({one.code: one for one in CAUSES + WARNINGS}.values(), key=lambda one: one.code))


def judge(case: Case) -> tuple[Finding, ...]:
    """The finding for a failed load, or the warnings for one that goes well."""
    if case.failure is not None:
        for one in CAUSES:
            finding = one.judge(case)
            if finding is not None:
                return (finding,)
        return ()
    found = (one.judge(case) for one in WARNINGS)
    return tuple(finding for finding in found if finding is not None)


def explain(code: str) -> str:
    """The long explanation of a code: title, then the text of its page. Raises KeyError for an unknown code."""
    wanted = code.upper()
    for one in RULES:
        if wanted in (one.code, one.slug.upper()):
            return f"{one.code} {one.slug}: {one.title}\n\n{one.explanation}\n"
    raise KeyError(code)
