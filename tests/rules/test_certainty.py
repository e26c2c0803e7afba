"""An error only where the outcome is certain: what could not be found out about the process makes a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tfguard.checks.check import check_library
from tfguard.hosts.live import this_host


@pytest.mark.parametrize(
    ("skipped", "severity"), [((), "error"), (("the loaded objects could not be listed",), "warning")]
)
def test_missing_library(compiler: Compiler, tmp_path: Path, skipped: tuple[str, ...], severity: str) -> None:
    """A library that no search finds may be loaded already where the loaded objects are not known."""
    needed = compiler.shared(tmp_path / "libgone.so", "int gone(void) { return 1; }", "-Wl,-soname,libgone.so")
    user = "int gone(void); int use(void) { return gone(); }"
    library = compiler.shared(tmp_path / "libuser.so", user, str(needed))
    needed.unlink()

    report = check_library(library, host=replace(this_host(), skipped=skipped))

    assert [(one.code, one.severity) for one in report.findings] == [("TFG201", severity)]


def test_empty_file_all_the_same(tmp_path: Path) -> None:
    """What a file is does not hang on the process: still an error."""
    path = tmp_path / "empty.so"
    path.touch()

    report = check_library(path, host=replace(this_host(), skipped=("the loaded objects could not be listed",)))

    assert [(one.code, one.severity) for one in report.findings] == [("TFG115", "error")]
