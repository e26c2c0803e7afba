"""musl is made to say each text of its catalogue, and each is parsed into its facts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.diagnosis.test_messages import said
from tests.loader.scene import GOOD, Scene
from tests.musl.harness import COMMAND, build, run
from tests.support.build import Compiler
from tests.support.elf_edit import with_segment
from tests.support.elf_writer import Import
from tests.support.here import is_glibc_x86_64
from tests.support.real_loader import Load
from tfguard.image import PT_LOAD

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs musl-gcc (Debian: musl-tools)")

_NOBODY = 65534
_RTLD_NOLOAD = 4
_PT_GNU_RELRO = 0x6474E552
# Says why dlopen failed in a destructor, when the process is about to end.
_EXITING = """
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
__attribute__((destructor)) static void end(void) {
    const char *said = dlopen("libx.so.1", RTLD_NOW) ? "" : dlerror();
    write(3, "E", 1), write(3, said, strlen(said) + 1);
}
int main(void) { return 0; }
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other users reach too, with the programs that ask in it."""
    root = Path(tempfile.mkdtemp(prefix="tfguard-musl-"))
    root.chmod(0o755)
    try:
        build(root)
        build(root, "-static", name="static")
        (root / "exiting.c").write_text(_EXITING)
        subprocess.run([COMMAND, "-w", str(root / "exiting.c"), "-o", str(root / "exiting")], check=True)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _path(data: bytes, mode: int = 0) -> Callable[[Scene], Load]:
    """A file of these bytes, opened by its path."""
    return lambda scene: scene.load(scene.write("libx.so.1", data), mode=mode)


def _needs(*imports: Import, data: bytes | None = GOOD) -> Callable[[Scene], Load]:
    """A library that needs libx.so.1, which lies beside it where there are bytes for it."""

    def lay_out(scene: Scene) -> Load:
        if data is not None:
            scene.write("libx.so.1", data)
        return scene.load(scene.top(imports=imports, rpath=str(scene.root)))

    return lay_out


def _closed(scene: Scene) -> Load:
    os.chmod(path := scene.write("libx.so.1", GOOD), 0)
    return scene.load(path, user=_NOBODY)


def _circle(scene: Scene) -> Load:
    return scene.load(scene.link("libx.so.1", "libx.so.1"))


def _late_tls(scene: Scene) -> Load:
    source = '__thread int shared __attribute__((tls_model("initial-exec"))); int *f(void) { return &shared; }'
    return scene.load(scene.compile("libtls.so", source))


def _relro(scene: Scene) -> Load:
    """The part to be closed after relocation ends where nothing is mapped."""
    built = Path(scene.compile("librelro.so", "int f(void) { return 1; }", "-Wl,-z,relro"))
    return scene.load(
        scene.write("libx.so.1", with_segment(built.read_bytes(), _PT_GNU_RELRO, vaddr=1 << 40, memsz=0x1000))
    )


NEEDED_BY = {"requirer": "{root}/top/libtop.so"}
X = {"library": "{root}/libx.so.1"}
MESSAGES: tuple[tuple[str, str, Callable[[Scene], Load], str, dict[str, str]], ...] = (
    ("missing", "ask_loader", lambda scene: scene.load("libnone.so"), "musl-library",
     {"library": "libnone.so", "errno": "No such file or directory"}),
    ("needed", "ask_loader", _needs(data=None), "musl-library",
     {"library": "libx.so.1", "errno": "No such file or directory", **NEEDED_BY}),
    ("needed-damaged", "ask_loader", _needs(data=GOOD[:50]), "musl-library",
     {"library": "libx.so.1", "errno": "Exec format error", **NEEDED_BY}),
    ("denied", "ask_loader", _closed, "musl-library", {**X, "errno": "Permission denied"}),
    ("format", "ask_loader", _path(b"# no library"), "musl-library", {**X, "errno": "Exec format error"}),
    ("circle", "ask_loader", _circle, "musl-library", {**X, "errno": "Symbolic link loop"}),
    ("long", "ask_loader", lambda scene: scene.load("/" + "x" * 300), "musl-library", {"errno": "Filename too long"}),
    ("below-a-file", "ask_loader", lambda scene: scene.load(scene.write("libx.so.1", GOOD) + "/x"), "musl-library",
     {"errno": "Not a directory"}),
    ("directory", "ask_loader", lambda scene: scene.load(scene.directory("libx.so.1")), "musl-library",
     {**X, "errno": "Is a directory"}),
    ("no-memory", "ask_loader", _path(with_segment(GOOD, PT_LOAD, memsz=1 << 62)), "musl-library",
     {**X, "errno": "Out of memory"}),
    ("empty", "ask_loader", lambda scene: scene.load(""), "musl-library", {"library": "", "errno": "Invalid argument"}),
    ("no-errno", "ask_loader", lambda scene: scene.load("x" * 300), "musl-library", {"errno": "No error information"}),
    ("symbol", "ask_loader", _needs(Import(name="nowhere")), "musl-symbol",
     {"symbol": "nowhere", "object": "{root}/top/libtop.so"}),
    ("relocation", "ask_loader", _needs(Import(name="x", relocation=37)), "musl-relocation",
     {"detail": "37", "object": "{root}/top/libtop.so"}),
    ("tls", "ask_loader", _late_tls, "musl-tls", {"object": "{root}/libtls.so", "library": "{root}/libtls.so"}),
    ("relro", "ask_loader", _relro, "musl-relro", {"object": "{root}/libx.so.1", "errno": "Out of memory"}),
    ("not-loaded", "ask_loader", _path(GOOD, mode=_RTLD_NOLOAD), "musl-noload", {"object": "{root}/libx.so.1"}),
    ("static", "static", _path(GOOD), "musl-static", {}),
    ("exiting", "exiting", _path(GOOD), "musl-exiting", {}),
)  # fmt: skip


@pytest.mark.parametrize(("name", "program", "lay_out", "kind", "facts"), MESSAGES, ids=[one[0] for one in MESSAGES])
def test_musl_says_it(
    name: str, program: str, lay_out: Callable[[Scene], Load], kind: str, facts: dict[str, str], place: Path
) -> None:
    """The message as it is, and as Python and TensorFlow pass it on."""
    scene = Scene(root=place / "scenes" / name, compiler=Compiler(place / "built"))
    message = next(text for letter, text in run(place / program, lay_out(scene))[0] if letter == "E")

    for text in (message, f"OSError: {message}", f"ImportError: {message}\n"):
        found = said(text)
        assert (found.kind, found.loader) == (kind, "musl"), text
        for fact, value in facts.items():
            assert getattr(found, fact) == value.format(root=scene.root), text
