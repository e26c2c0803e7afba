"""The table of causes: for every code at least one case of real files."""

from __future__ import annotations

from tests.rules import cases_file, cases_needed, cases_processor, cases_symbol
from tests.rules.stage import RuleCase

CASES: tuple[RuleCase, ...] = tuple(
    sorted(
        (*cases_file.CASES, *cases_needed.CASES, *cases_processor.CASES, *cases_symbol.CASES), key=lambda case: case.id
    )
)
