"""tfguard and the real ld.so are asked the same questions in the same process and must give the same answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.loader.cases import CASES
from tests.loader.laid_out import laid_out, what_differs
from tests.loader.scene import ANY, LOADS, Case
from tests.oracle.forest import grow, lay_out
from tests.support.build import COMMAND
from tests.support.here import is_glibc_x86_64
from tests.support.real_loader import Answer, ask

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and a C compiler")

FORESTS = int(os.environ.get("TFGUARD_TEST_FORESTS", "150"))
FIRST_SEED = int(os.environ.get("TFGUARD_TEST_FIRST_SEED", "0"))


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Answer | str]]:
    """Every case laid out and asked, by its id; a text says why a case cannot be laid out here."""
    with laid_out() as (_, loads, left_out):
        yield {**left_out, **dict(zip(loads, ask(list(loads.values())), strict=True))}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_answer(case: Case, answers: dict[str, Answer | str]) -> None:
    """Verdict, message, mapped files and their order are those of ld.so."""
    answer = answers[case.id]
    if isinstance(answer, str):
        pytest.skip(answer)

    was = answer.pairs[-1][1]
    if was.message == "" and sys.version_info < (3, 11):
        pytest.skip("ctypes of CPython 3.10 loses a message that is not UTF-8")
    assert what_differs(case, answer) is None
    assert case.ends == ANY or (was.loads if case.ends == LOADS else case.ends in str(was)), str(was)


@pytest.mark.parametrize("batch", range(0, FORESTS, 50))
def test_forests(batch: int, tmp_path: Path) -> None:
    """Random sets of libraries: TFGUARD_TEST_FORESTS says how many, TFGUARD_TEST_FIRST_SEED where to begin."""
    seeds = range(FIRST_SEED + batch, FIRST_SEED + min(batch + 50, FORESTS))
    loads = [lay_out(grow(seed, str(root := tmp_path / str(seed))), root) for seed in seeds]
    with ThreadPoolExecutor(2) as pool:
        answers = [answer for part in pool.map(ask, (loads[:25], loads[25:])) for answer in part]

    wrong = {
        seed: answer.disagreement
        for seed, answer in zip(seeds, answers, strict=True)
        if answer.disagreement is not None and all(said.certain for said, _ in answer.pairs)
    }
    assert not wrong, "\n".join(f"seed {seed}: {words}" for seed, words in wrong.items())
    verdicts = [was.loads for answer in answers for _, was in answer.pairs]
    assert len(set(verdicts)) == 2, "these forests prove little: all load, or none does"
