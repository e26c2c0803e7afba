"""What the forests of a world must show: nothing differs, hardly one is left out, and many kinds of end were met."""

from __future__ import annotations

import pytest

from tests.oracle.lab import AnyWorld, Result, run
from tests.oracle.worlds import Unavailable


def forests_agree(world: AnyWorld, forests: int, *, kinds_of_end: int) -> tuple[Result, int]:
    """The result of a world's forests, a tenth of them under an emulator, and how many were asked for.

    Skips where the world is not there; more than `kinds_of_end` ends must have been met.
    """
    if not world.is_built:
        pytest.skip("not built: make lab")
    count = forests // 10 if world.emulator else forests
    try:
        result = run(world, range(count))
    except Unavailable as reason:
        pytest.skip(str(reason))

    assert not result.differ, "\n".join(
        f"python -m tests.oracle.lab --world {world.name} --seed {seed}\n{result.shrunk.get(seed, words)}"
        for seed, words in result.differ.items()
    )
    assert result.asked > 0.9 * count
    assert result.ends["loads"] > 0.2 * result.loads
    assert len(result.ends) > kinds_of_end
    return result, count
