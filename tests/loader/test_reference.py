"""Every rule of the loader reference that was verified by experiment is tried here, or it is said why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.loader.cases import CASES
from tests.loader.reference import ELSEWHERE, REASONS, RULES, Tried, number_of, table
from tests.musl.cases import OF_MUSL

ROOT = Path(__file__).parents[2]
IDS = [*(case.id for case in CASES), *(name for name, _ in OF_MUSL)]


@pytest.mark.parametrize("row", table(IDS), ids=lambda row: row.number)
def test_tried_or_reasoned(row: Tried) -> None:
    """Exactly one of the two: a reason that stands beside a case is no longer true."""
    assert bool(row.cases or row.tests) != bool(row.reason)


def test_names_are_of_rules() -> None:
    assert ELSEWHERE.keys() | REASONS.keys() <= RULES.keys()


def test_a_case_is_named_once_and_by_its_rule() -> None:
    """G-51, G-120 and their like were only read in the loaders' sources: they may have cases, and need none."""
    assert len(set(IDS)) == len(IDS)
    assert [one for one in IDS if not number_of(one)] == []


@pytest.mark.parametrize("name", sorted({name for names in ELSEWHERE.values() for name in names}))
def test_what_is_named_is_there(name: str) -> None:
    if "/" not in name:
        assert any(one.startswith(name) for one in IDS)
        return
    path, _, function = name.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE)
