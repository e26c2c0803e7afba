"""tfguard in a live Python of musl: each load is foretold, then done; wheels for musl and for glibc are told apart."""

from __future__ import annotations

import pytest

from tests.musl.live import FOR_GLIBC, PYTHON, SITE, imported, see
from tests.oracle.musl_worlds import MUSL_WORLDS, MuslWorld
from tests.oracle.worlds import Unavailable
from tfguard.image import EM_X86_64

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_built, reason="not built: make lab-musl-python"),
]
_WORLDS = [one for one in MUSL_WORLDS if one.machine == EM_X86_64]


@pytest.mark.parametrize("world", _WORLDS, ids=lambda world: world.name)
def test_loads(world: MuslWorld) -> None:
    """Verdict, message, files and order, of this Python's modules, of wheels for it and of wheels for glibc."""
    if not world.is_built:
        pytest.skip("not built: make lab")
    try:
        seen = see(world)
    except Unavailable as reason:
        pytest.skip(str(reason))

    applies_packed = world.release > "1.2.3"
    assert seen.differ == {}
    assert (seen.loader["loader"], seen.loader["skipped"]) == ("musl", [])
    assert seen.loader["features"] == (["packed-relocations"] if applies_packed else [])
    assert seen.ends["loads"] > 80
    assert seen.codes["TFG210"] > 5
    assert (seen.codes["TFG213"] == 0) == applies_packed == (seen.ends["SIGSEGV"] == 0)


def test_imports() -> None:
    """What was installed for musl imports; what was installed for glibc is named, and Python does not take it."""
    newest = _WORLDS[-1]
    if not newest.is_built:
        pytest.skip("not built: make lab")
    see(newest)
    check = "import tfguard; report = tfguard.check_import({!r}); print([one.code for one in report.findings])\n"
    glibc = f"import sys; sys.path.insert(0, '/{FOR_GLIBC}')\n"

    assert imported(f"{check.format('numpy')}import numpy; print(numpy.__file__)") == (
        f"[]\n/{SITE}/numpy/__init__.py\n", 0)  # fmt: skip
    said, status = imported(f"{glibc}{check.format('lxml.etree')}import lxml.etree")
    assert said.startswith("['TFG402', 'TFG210'")
    assert ("No module named 'lxml.etree'" in said, status) == (True, 1)
