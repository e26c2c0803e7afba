"""libtree's scenarios as programs: what tfguard foretells of their start is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loader.scene import Scene, Unavailable
from tests.peers.programs import PROGRAMS, Program, foretold, started
from tests.support.build import COMMAND, Compiler
from tests.support.here import is_glibc_x86_64

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and a C compiler")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.id)
def test_start_is_as_foretold(program: Program, tmp_path: Path) -> None:
    """The objects mapped and their order, or the loader's words."""
    try:
        asked = program.lay_out(Scene(root=tmp_path / "scene", compiler=Compiler(tmp_path / "built")))
    except Unavailable as reason:
        pytest.skip(str(reason))

    was = started(asked)

    assert foretold(asked, was), str(was)
