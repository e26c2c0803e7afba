"""musl's loader and tfguard are asked the same questions, those of the comparison with ld.so and musl's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loader.cases import CASES as OF_GLIBC
from tests.loader.scene import Scene, Unavailable
from tests.musl.cases import OF_MUSL
from tests.musl.harness import COMMAND, ONE_FOR_MUSL, Asked, ask, build
from tests.roots.programs import run
from tests.roots.test_programs import CASES as STARTS
from tests.roots.test_programs import Scene as StartScene
from tests.support import build as compilers
from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.real_loader import Load
from tfguard.checks.program import check_program
from tfguard.hosts.foreign_host import host_of_program

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs musl-gcc (Debian: musl-tools)")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other users reach too, with the program that asks in it."""
    root = Path(tempfile.mkdtemp(prefix="tfguard-musl-"))
    root.chmod(0o755)
    try:
        build(root)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _holds(asked: Asked) -> None:
    if asked.answer is None:
        pytest.skip(asked.trouble)
    if all(said.certain for said, _ in asked.answer.pairs):
        assert asked.answer.disagreement is None


@pytest.mark.parametrize(
    "case", [one for one in OF_GLIBC if not one.id.startswith(ONE_FOR_MUSL)], ids=lambda case: case.id
)
def test_questions_put_to_ld_so(case: object, place: Path) -> None:
    """Verdict, message, mapped files and their order are those of musl; the files are those of the glibc cases."""
    number = next(index for index, one in enumerate(OF_GLIBC) if one is case)
    scene = Scene(root=place / str(number), compiler=Compiler(place / "built"))
    try:
        load = OF_GLIBC[number].lay_out(scene)
    except Unavailable as reason:
        pytest.skip(str(reason))

    _holds(ask(place / "ask_loader", load))


@pytest.mark.parametrize("lay_out", [one[1] for one in OF_MUSL], ids=[one[0] for one in OF_MUSL])
def test_musls_own_rules(lay_out: Callable[[Scene], Load], place: Path, request: pytest.FixtureRequest) -> None:
    scene = Scene(root=place / request.node.name, compiler=Compiler(place / "built"))

    asked = ask(place / "ask_loader", lay_out(scene))

    assert asked.answer is not None
    assert asked.answer.disagreement is None
    assert all(said.certain for said, _ in asked.answer.pairs)


def _tls(scene: Scene) -> Load:
    source = '__thread int variable __attribute__((tls_model("initial-exec"))); int *f(void) { return &variable; }'
    return scene.load(scene.compile("libtls.so", source))


def test_static_tls_of_a_late_library(place: Path) -> None:
    """Refused whatever its size; without a symbol the name in the message is one that musl never set (M-25)."""
    scene = Scene(root=place / "tls", compiler=Compiler(place / "built"))

    asked = ask(place / "ask_loader", _tls(scene))

    assert asked.answer is not None
    ((said, was),) = asked.answer.pairs
    assert (said.loads, said.rule, was.loads) == (False, "M-25", False)
    assert was.message is None or was.message.endswith((said.message or "").rpartition(": ")[2])


@pytest.mark.parametrize("lay_out", [case[1] for case in STARTS], ids=[case[0] for case in STARTS])
def test_start_of_a_program(
    lay_out: Callable[[StartScene], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files mapped and their order; else every line on stderr, and that the program does not run."""
    monkeypatch.setattr(compilers, "COMMAND", COMMAND)
    scene = StartScene(tmp_path, Compiler(tmp_path / "built"))
    lay_out(scene)

    was = run("./prog", cwd=str(tmp_path), environment=scene.environment)

    monkeypatch.chdir(tmp_path)
    said = host_of_program("./prog", environment=scene.environment, cwd=str(tmp_path)).start
    assert said is not None
    if said.failure is None:
        assert (was.status, was.stderr) == (0, "")
        assert [one.path for one in said.images[1:]] == list(was.mapped)
    elif said.failure.message is not None:
        assert (was.status, was.stderr.splitlines()) == (127, said.failure.message.splitlines())
        assert not check_program("./prog", host=None)
    else:
        assert was.status < 0
