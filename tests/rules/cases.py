"""The table of causes: for every code at least one case of real files."""

from __future__ import annotations

from tests.rules import (
    cases_file,
    cases_gpu,
    cases_installation,
    cases_macos,
    cases_mapping,
    cases_musl,
    cases_needed,
    cases_process,
    cases_processor,
    cases_symbol,
)
from tests.rules.stage import RuleCase

_FAMILIES = (
    cases_file,
    cases_gpu,
    cases_installation,
    cases_macos,
    cases_mapping,
    cases_musl,
    cases_needed,
    cases_process,
    cases_processor,
    cases_symbol,
)

CASES: tuple[RuleCase, ...] = tuple(
    sorted((case for family in _FAMILIES for case in family.CASES), key=lambda case: case.id)
)
