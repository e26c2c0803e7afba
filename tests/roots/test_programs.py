"""The start of a program, played, against the start of that program: mapped files, their order, stderr, exit status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.roots.programs import SHOW, program, run
from tests.support.build import COMMAND, Compiler
from tests.support.elf_edit import with_header
from tests.support.elf_writer import Export, Library, write
from tests.support.here import is_glibc_x86_64
from tfguard.checks.program import check_program
from tfguard.hosts.foreign_host import host_of_program

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and a C compiler")

_USES_X = SHOW.replace("int main", "int x(void); extern int data; int main").replace(
    "for (int", "if (!x() && data) return 1; for (int"
)


@dataclass(slots=True)
class Scene:
    """A folder with lib/libx.so.1 (which needs deep/liby.so.1) and whatever a case puts beside."""

    root: Path
    compiler: Compiler
    environment: dict[str, str] = field(default_factory=dict)

    def library(self, name: str, source: str = "int unused;", *options: str) -> Path:
        path = self.root / name
        return self.compiler.shared(path, source, f"-Wl,-soname,{path.name}", *options)

    def program(self, *options: str, source: str = SHOW) -> str:
        return program(self.compiler, self.root / "prog", "-Wl,--no-as-needed", *options, source=source)


def _pair(scene: Scene) -> tuple[str, str]:
    """lib/libx.so.1 needs deep/liby.so.1."""
    y = scene.library("deep/liby.so.1", "int y(void) { return 1; }")
    x = scene.library("lib/libx.so.1", "int y(void); int x(void) { return y(); } int data;", str(y))
    return str(x), str(y)


def _with_path(*tags: str) -> Callable[[Scene], None]:
    def lay_out(scene: Scene) -> None:
        x, _ = _pair(scene)
        paths = f"-Wl,-rpath,{scene.root}/lib:{scene.root}/deep"
        scene.program(x, paths, *tags, "-Wl,--allow-shlib-undefined")

    return lay_out


def _missing(scene: Scene) -> None:
    x, _ = _pair(scene)
    scene.program(x, "-Wl,--allow-shlib-undefined")


def _library_path(scene: Scene) -> None:
    _missing(scene)
    scene.environment["LD_LIBRARY_PATH"] = f"{scene.root}/lib:{scene.root}/deep"


def _replaced(data: Callable[[bytes], bytes]) -> Callable[[Scene], None]:
    def lay_out(scene: Scene) -> None:
        _library_path(scene)
        path = scene.root / "deep/liby.so.1"
        path.write_bytes(data(path.read_bytes()))

    return lay_out


def _preload(value: str) -> Callable[[Scene], None]:
    def lay_out(scene: Scene) -> None:
        _library_path(scene)
        scene.library("preload.so", "int preloaded;")
        scene.library("lib/libbare.so.7", "int bare;")
        (scene.root / "text.so").write_text("no library " * 100)
        scene.environment["LD_PRELOAD"] = value.format(root=scene.root)

    return lay_out


def _version(scene: Scene) -> None:
    """libx.so.1 is exchanged for one that lacks two versions which the program was linked with."""
    versions = scene.root / "map"
    scene.root.mkdir(exist_ok=True)
    versions.write_text("V1 { global: x; }; V2 { global: data; } V1;")
    x = scene.library("lib/libx.so.1", "int x(void) { return 1; } int data;", f"-Wl,--version-script={versions}")
    scene.program(str(x), source=_USES_X)
    scene.environment["LD_LIBRARY_PATH"] = f"{scene.root}/lib"
    versions.write_text("V3 { global: x; data; };")
    scene.library("lib/libx.so.1", "int x(void) { return 1; } int data; int z;", f"-Wl,--version-script={versions}")


def _symbol(*options: str) -> Callable[[Scene], None]:
    """A library at start refers to a function, or takes its address, that nobody defines."""

    def lay_out(scene: Scene) -> None:
        x = scene.library("lib/libx.so.1", "int nowhere(void); int x(void) { return nowhere(); }", *options)
        scene.program(str(x), "-Wl,--allow-shlib-undefined")
        scene.environment["LD_LIBRARY_PATH"] = f"{scene.root}/lib"

    return lay_out


def _address(scene: Scene) -> None:
    x = scene.library("lib/libx.so.1", "int nowhere(void); int (*x)(void) = nowhere;")
    scene.program(str(x), "-Wl,--allow-shlib-undefined")
    scene.environment["LD_LIBRARY_PATH"] = f"{scene.root}/lib"


def _bind_now_by_environment(scene: Scene) -> None:
    _symbol()(scene)
    scene.environment["LD_BIND_NOW"] = "1"


def _written(library: Library) -> Callable[[Scene], None]:
    """libx.so.1 is exchanged for one of the writer's."""

    def lay_out(scene: Scene) -> None:
        x = scene.library("lib/libx.so.1", "int x(void) { return 1; }")
        scene.program(str(x))
        x.write_bytes(write(library))
        scene.environment["LD_LIBRARY_PATH"] = f"{scene.root}/lib"

    return lay_out


CASES: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("missing", _missing),
    ("rpath-serves-all", _with_path("-Wl,--disable-new-dtags")),
    ("runpath-serves-the-program-alone", _with_path("-Wl,--enable-new-dtags")),
    ("library-path", _library_path),
    ("wrong-class-is-passed-over", _replaced(lambda data: with_header(data, ei_class=1))),
    ("wrong-machine-is-passed-over", _replaced(lambda data: with_header(data, e_machine=183))),
    ("text", _replaced(lambda data: b"GROUP ( x ) " * 100)),
    ("empty", _replaced(lambda data: b"")),
    ("truncated", _replaced(lambda data: data[:0x1000])),
    ("preload-by-path", _preload("{root}/preload.so")),
    ("preload-by-name", _preload("libbare.so.7:{root}/preload.so")),
    ("preload-missing", _preload("{root}/none.so libnone.so.1 {root}/preload.so")),
    ("preload-damaged", _preload("{root}/text.so")),
    ("preload-of-a-needed-one", _preload("libx.so.1")),
    ("versions-missing", _version),
    ("undefined-function-is-put-off", _symbol()),
    ("undefined-function-bound-now", _symbol("-Wl,-z,now")),
    ("undefined-function-bound-now-by-LD_BIND_NOW", _bind_now_by_environment),
    ("undefined-address", _address),
    ("executable-stack", _written(Library(soname="libx.so.1", stack=7, exports=(Export(name="x"),)))),
    ("no-dlopen-flag", _written(Library(soname="libx.so.1", flags_1=0x40, exports=(Export(name="x"),)))),
    ("position-independent-program", _written(Library(soname="libx.so.1", flags_1=0x08000000))),
    ("processor-level", _written(Library(soname="libx.so.1", isa_needed=1 << 20))),
    ("needs-by-path", _written(Library(soname="libx.so.1", needed=("/none/liby.so",)))),
)


@pytest.mark.parametrize("lay_out", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_start_is_as_foretold(
    lay_out: Callable[[Scene], None], tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files mapped and their order; else what stands on stderr, word for word, or what it dies of."""
    scene = Scene(tmp_path, compiler)
    lay_out(scene)

    was = run("./prog", cwd=str(tmp_path), environment=scene.environment)

    monkeypatch.chdir(tmp_path)
    host = host_of_program("./prog", environment=scene.environment, cwd=str(tmp_path))
    assert host.start is not None
    said = host.start
    notes = [line for line in was.stderr.splitlines() if line.startswith("ERROR: ld.so:")]
    rest = [line for line in was.stderr.splitlines() if line not in notes]
    assert list(said.notes) == notes
    if said.failure is None:
        assert (was.status, rest) == (0, [])
        assert [one.path for one in said.images[1:]] == list(was.mapped)
        assert [one.path for one in host.loaded[1:-1]] == list(was.mapped)
    elif said.failure.message is not None:
        assert (was.status in (1, 127), rest) == (True, said.failure.message.splitlines())
        assert not check_program("./prog", host=host)
    else:
        assert was.status < 0, "it is said to die"
