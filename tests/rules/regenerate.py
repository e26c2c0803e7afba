"""Writes the golden texts anew: python -m tests.rules.regenerate [CASE...]; read the difference before keeping it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.loader.scene import Scene, Unavailable
from tests.rules.cases import CASES
from tests.rules.golden import FOLDER, golden, keep, kept, text_of
from tests.rules.stage import RuleCase, clear, put
from tests.support.build import Compiler


def written(case: RuleCase, root: Path, compiler: Compiler) -> str:
    """Write one golden text; what was done, in words."""
    root.mkdir()
    root.chmod(0o755)
    try:
        answer = put(case.lay_out(Scene(root=root, compiler=compiler)), root)
    finally:
        clear(root)
    if answer.codes[:1] != (case.code,):
        return f"the case gives {list(answer.codes)}"
    if case.only_where not in ("", answer.installer) or not case.compared:
        return "left as it is"
    text = text_of(answer)
    if text == golden(case.id):
        return ""
    keep(case.id, text)
    return "written"


def main(names: list[str]) -> int:
    """Write those named, or all; the number of cases that could not be asked."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        compiler = Compiler(root / "built")
        for case in CASES:
            if names and case.id not in names and case.code not in names:
                continue
            try:
                what = written(case, root / case.id, compiler)
            except Unavailable as reason:
                what = f"not asked: {reason}"
            if what:
                print(f"{case.id}: {what}")
                wrong += what.startswith("the case")
    if not names:
        for stale in sorted(kept() - {case.id for case in CASES}):
            (FOLDER / f"{stale}.txt").unlink()
            print(f"{stale}: removed")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
