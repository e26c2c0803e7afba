"""Lays the named cases out on the disk, for whichever loader is asked about them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.loader.cases import CASES
from tests.loader.scene import Case, Scene, Unavailable
from tests.support.build import Compiler
from tests.support.real_loader import Answer, Load


class LaidOut(NamedTuple):
    """The directory, the question of each case by its id, and why a case could not be laid out here."""

    root: Path
    loads: dict[str, Load]
    left_out: dict[str, str]


@contextmanager
def laid_out() -> Iterator[LaidOut]:
    """All named cases, in a directory that every user can reach and that is gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="tfguard-ld-so-"))
    root.chmod(0o755)
    found = LaidOut(root, {}, {})
    compiler = Compiler(root / "built")
    try:
        for number, case in enumerate(CASES):
            try:
                found.loads[case.id] = case.lay_out(Scene(root=root / f"{number}", compiler=compiler))
            except Unavailable as reason:
                found.left_out[case.id] = str(reason)
        yield found
    finally:
        for place in root.glob("*/noexec"):
            subprocess.run(["umount", str(place)], check=False, capture_output=True)
        shutil.rmtree(root)


def what_differs(case: Case, answer: Answer) -> str | None:
    """What is wrong with the answer to a case, in words; a case that may be uncertain may be wrong."""
    said = answer.pairs[-1][0]
    if not case.certain and not said.certain:
        return None
    return answer.disagreement if answer.disagreement is not None or said.certain else f"it is not certain: {said}"
