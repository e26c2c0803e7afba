"""musl's loader and tfguard are asked the same questions, those of the comparison with ld.so and musl's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loader.cases import CASES as OF_GLIBC
from tests.loader.scene import GOOD, Scene, Unavailable
from tests.musl.harness import COMMAND, ONE_FOR_MUSL, Asked, ask, build
from tests.roots.programs import run
from tests.roots.test_programs import CASES as STARTS
from tests.roots.test_programs import Scene as StartScene
from tests.support import build as compilers
from tests.support.build import Compiler
from tests.support.elf_edit import with_header
from tests.support.elf_writer import R_64, STT_GNU_IFUNC, Export, Import
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


def _fill(scene: Scene, *places: str) -> None:
    scene.fill(GOOD, *places)


def _list(value: str, *, tag: str = "", at: str = "b") -> Callable[[Scene], Load]:
    """A list, as LD_LIBRARY_PATH or as the tag of the library; libx.so.1 lies in `at`."""

    def lay_out(scene: Scene) -> Load:
        _fill(scene, at)
        text = value.format(root=scene.root)
        environment = {} if tag else {"LD_LIBRARY_PATH": text}
        return scene.load(scene.top(**({tag: text} if tag else {})), cwd=str(scene.root), environment=environment)

    return lay_out


def _inherited(tag: str) -> Callable[[Scene], Load]:
    """top (with the list) needs libmiddle, which needs libx.so.1, both where only top's list leads."""

    def lay_out(scene: Scene) -> Load:
        scene.library("deep/libmiddle.so", soname="libmiddle.so", needed=("libx.so.1",))
        _fill(scene, "deep")
        return scene.load(scene.top(needed=("libmiddle.so",), **{tag: f"{scene.root}/deep"}))

    return lay_out


def _reserved(name: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.top(needed=(name,)))


def _another_libc(scene: Scene) -> Load:
    libc = next(one for one in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6") if Path(one).exists())
    return scene.load(libc, scene.top(needed=(libc,)))


def _by_path_before(scene: Scene) -> Load:
    """Loading a library by path does not serve a DT_NEEDED of its soname."""
    _fill(scene, "a")
    return scene.load(scene.top(), before=(f"{scene.root}/a/libx.so.1",))


def _found_before(scene: Scene) -> Load:
    """One that was found by search does, wherever it lies."""
    _fill(scene, "a")
    first = scene.library("first.so", needed=("libx.so.1",), rpath=f"{scene.root}/a")
    return scene.load(scene.top(), before=(first,))


def _wrong_file_first(data: Callable[[bytes], bytes]) -> Callable[[Scene], Load]:
    """The first file that opens is taken, whatever it is."""

    def lay_out(scene: Scene) -> Load:
        scene.write("a/libx.so.1", data(GOOD))
        _fill(scene, "b")
        path = f"{scene.root}/a:{scene.root}/b"
        return scene.load(scene.top(), environment={"LD_LIBRARY_PATH": path})

    return lay_out


def _undefined(*imports: Import, exports: tuple[Export, ...] = ()) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.library("libx.so.1", soname="libx.so.1", exports=exports)
        return scene.load(scene.top(imports=imports, rpath=str(scene.root)))

    return lay_out


def _tls(scene: Scene) -> Load:
    source = '__thread int variable __attribute__((tls_model("initial-exec"))); int *f(void) { return &variable; }'
    return scene.load(scene.compile("libtls.so", source))


_X = Import(name="x", file="libx.so.1", version="V1")

OF_MUSL: tuple[tuple[str, Callable[[Scene], Load]], ...] = (
    ("M-01-library-path-before-rpath", _list("{root}/b")),
    ("M-02-rpath-inherited", _inherited("rpath")),
    ("M-02-runpath-inherited", _inherited("runpath")),
    ("M-03-newline", _list("{root}/a\n{root}/b")),
    ("M-03-semicolon-is-none", _list("{root}/a;{root}/b")),
    ("M-03-empty-entry-is-not-here", _list("::", at=".")),
    ("M-03-dot-is-here", _list(".", at=".")),
    ("M-03-relative-rpath", _list("b", tag="rpath")),
    ("M-06-origin", _list("$ORIGIN/../b", tag="runpath")),
    ("M-06-origin-in-braces", _list("${{ORIGIN}}/../b", tag="rpath")),
    ("M-06-origin-and-more-letters", _list("$ORIGINAL:{root}/b", tag="rpath")),
    ("M-06-other-token-spoils-all", _list("{root}/b:/x/$LIB", tag="rpath")),
    ("M-06-no-token-in-library-path", _list("$ORIGIN/../b")),
    *((f"M-07-{name}", _reserved(name)) for name in (
        "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libxnet.so",
        "libc.musl-x86_64.so.1", "libresolv.so.2", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libm-2.31.so",
        "/lib/ld-musl-x86_64.so.1",
    )),
    ("M-07-another-libc", _another_libc),
    ("M-08-by-path", _by_path_before),
    ("M-08-by-search", _found_before),
    ("M-05-text-first", _wrong_file_first(lambda data: b"GROUP ( libx.so ) " * 20)),
    ("M-05-empty-first", _wrong_file_first(lambda data: b"")),
    ("M-12-aarch64-first", _wrong_file_first(lambda data: with_header(data, e_machine=183))),
    ("M-12-i386-first", _wrong_file_first(lambda data: with_header(data, ei_class=1))),
    ("M-20-version-not-looked-at", _undefined(_X, exports=(Export(name="x", version="V2"),))),
    ("M-20-hidden-version-skipped", _undefined(_X, exports=(Export(name="x", version="V1", hidden=True),))),
    ("M-21-undefined", _undefined(Import(name="nowhere"), Import(name="x"), exports=(Export(name="x"),))),
    ("M-22-ifunc", _undefined(_X, exports=(Export(name="x", type=STT_GNU_IFUNC),))),
    ("M-24-data-before-calls-in-the-table", _undefined(Import(name="data", relocation=R_64), Import(name="more"))),
    ("M-31-empty-name", lambda scene: scene.load("")),
    ("M-43-fortified", _undefined(Import(name="__printf_chk"), Import(name="printf"))),
    ("V-31-open64", _undefined(Import(name="open64"))),
)  # fmt: skip


@pytest.mark.parametrize("lay_out", [one[1] for one in OF_MUSL], ids=[one[0] for one in OF_MUSL])
def test_musls_own_rules(lay_out: Callable[[Scene], Load], place: Path, request: pytest.FixtureRequest) -> None:
    scene = Scene(root=place / request.node.name, compiler=Compiler(place / "built"))

    asked = ask(place / "ask_loader", lay_out(scene))

    assert asked.answer is not None
    assert asked.answer.disagreement is None
    assert all(said.certain for said, _ in asked.answer.pairs)


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
