"""Texts as they reach a reader: in logs, quotes, markup, cut and broken; the first cause is that of the bare text."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from tests.corpus.surroundings import SORTS
from tests.corpus.test_corpus import Failure
from tests.corpus.test_variations import every_text
from tfguard.diagnosis.post_mortem import diagnose

TEXTS = every_text()
SLICE = 40  # texts of each sort in the default run


def first(text: str) -> str:
    return diagnose(text, look=False).findings[0].code


def others(sort: str, cases: Iterable[Failure]) -> dict[str, tuple[str, str]]:
    """The texts that are told another cause in these surroundings: the one without them, the one with them."""
    change, _ = SORTS[sort]
    told = {case.id: (first(case.text), first(change(case.text))) for case in cases}
    return {name: both for name, both in told.items() if both[0] != both[1]}


@pytest.mark.parametrize("sort", SORTS)
def test_a_slice(sort: str) -> None:
    """Some texts, others for each sort and the same in each run; two of them may differ beyond the share."""
    cases = random.Random(sort).sample(TEXTS, SLICE // 4 if sort == "long-log" else SLICE)

    found = others(sort, cases)

    assert len(found) <= len(cases) * (1 - SORTS[sort][1]) + 2, found


@pytest.mark.slow
@pytest.mark.parametrize("sort", SORTS)
def test_all(sort: str) -> None:
    """All texts of the corpus: the share of SORTS."""
    found = others(sort, TEXTS)

    assert 1 - len(found) / len(TEXTS) >= SORTS[sort][1], found
