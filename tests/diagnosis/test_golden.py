"""What a person reads of a cause that only a text tells, word for word."""

from __future__ import annotations

import pytest

from tests.diagnosis.told_cases import FOLDER, PROBED, TEXTS, text_of
from tfguard.rules import explain, told


def test_each_has_a_text_and_a_golden() -> None:
    """Every rule that only a text tells has a case, or one of a probe; every golden text has its case."""
    codes = {one.code for one in told.RULES}

    assert codes <= TEXTS.keys() | set(PROBED)
    assert {path.stem for path in FOLDER.glob("*.txt")} == TEXTS.keys()


@pytest.mark.parametrize("code", TEXTS)
def test_golden(code: str) -> None:
    """`python -m tests.diagnosis.told_cases` writes them anew."""
    text = text_of(code)

    assert text.startswith(f"{code} ")
    assert text == (FOLDER / f"{code}.txt").read_text(encoding="ascii")
    assert f"python -m tfguard explain {code}" in text
    assert explain(code)
