"""The page of hard cases names files that exist and cases that are asked of the real loader."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from tests.loader.cases import CASES

_ROOT = Path(__file__).parents[2]


def test_page_names_real_files_and_cases() -> None:
    """Every row of the table has its file, and each pattern its cases."""
    rows = [line.split("|") for line in (_ROOT / "docs" / "hard-cases.md").read_text().splitlines() if "| G-" in line]
    names = [case.id for case in CASES]

    assert len(rows) > 20
    for _, what, _, files, _, patterns, _ in rows:
        for file in re.findall(r"`([^`]+)`", files):
            assert (_ROOT / "tfguard" / file).is_file(), what
        for pattern in re.findall(r"`([^`]+)`", patterns):
            assert fnmatch.filter(names, pattern), f"{what}: no case is called {pattern}"
