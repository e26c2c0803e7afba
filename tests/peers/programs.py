"""libtree's scenarios as what they are there: programs, started for real, and what is foretold of their start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.loader.cases_peers import library
from tests.loader.scene import Scene, Unavailable
from tests.roots.programs import SHOW, run
from tests.support.elf_edit import with_header
from tests.support.real_loader import Reality
from tfguard.checks.program import check_program
from tfguard.hosts.host import Host

_OLD, _NEW = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"


class Asked(NamedTuple):
    """A program to start, and the loader's variables for it."""

    path: str
    environment: Mapping[str, str] = {}


class Program(NamedTuple):
    """A named scenario."""

    id: str
    lay_out: Callable[[Scene], Asked]


def _program(scene: Scene, *needed: str, search: str = "", new: bool = True, options: str = "") -> str:
    """A program that says what was mapped at its start, linked against libraries; `{root}` is the scenario's folder."""
    given = ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *needed, _NEW if new else _OLD, *options.split()]
    if search:
        given.append(f"-Wl,-rpath,{search.replace('{root}', str(scene.root))}")
    path = Path(scene.path("prog"))
    try:
        path.write_bytes(scene.compiler.build(SHOW, *given).read_bytes())
    except subprocess.CalledProcessError as error:
        raise Unavailable("the compiler refuses") from error
    path.chmod(0o755)
    return str(path)


def _origin(*, new: bool) -> Callable[[Scene], Asked]:
    return lambda scene: Asked(_program(scene, library(scene, "liba.so"), search="$ORIGIN", new=new))


def _grandparent(*, new: bool) -> Callable[[Scene], Asked]:
    def lay_out(scene: Scene) -> Asked:
        liba = library(scene, "liba.so", library(scene, "libb.so"))
        return Asked(_program(scene, liba, search="$ORIGIN", new=new))

    return lay_out


def _by_path(*, finds: bool) -> Callable[[Scene], Asked]:
    def lay_out(scene: Scene) -> Asked:
        libf = library(scene, "deep/libf.so")
        libg = library(scene, "libg.so", libf, search="{root}/deep")
        plain = scene.compile("libplain.so", "int plain;")
        return Asked(_program(scene, libf, libg, plain, search="{root}:{root}/deep" if finds else "{root}"))

    return lay_out


def _order(*, new: bool, library_path: bool) -> Callable[[Scene], Asked]:
    def lay_out(scene: Scene) -> Asked:
        liba = library(scene, "other/liba.so")
        library(scene, "other/libb.so", liba, search="$ORIGIN", new=False)
        path = _program(scene, library(scene, "libb.so"), search="{root}", new=new)
        return Asked(path, {"LD_LIBRARY_PATH": f"{scene.root}/other"} if library_path else {})

    return lay_out


def _other_class(scene: Scene) -> Asked:
    libx = library(scene, "wide/libx.so")
    scene.write("narrow/libx.so", with_header(Path(libx).read_bytes(), ei_class=1, e_machine=3))
    return Asked(_program(scene, libx, search="{root}/narrow:{root}/wide"))


def _narrow(scene: Scene) -> Asked:
    """A 32-bit program, with the 64-bit library first in its path."""
    library(scene, "wide/libx.so")
    try:
        libx = library(scene, "narrow/libx.so", options="-m32")
    except subprocess.CalledProcessError as error:
        raise Unavailable("no compiler for 32-bit programs") from error
    return Asked(_program(scene, libx, search="{root}/wide:{root}/narrow", options="-m32"))


def _versions(*, linked: str, first: str) -> Callable[[Scene], Asked]:
    def lay_out(scene: Scene) -> Asked:
        both = '__asm__(".symver f_1, f@V_1\\n.symver f_2, f@@V_2"); int f_1 = 1, f_2 = 2;'
        kinds = {"v1": ("V_1 { f; };", "int f = 1;"), "v2": ("V_1 { f; }; V_2 { f; } V_1;", both)}
        for name, (text, source) in kinds.items():
            script = scene.write(f"{name}.map", text.encode())
            scene.compile(f"{name}/libx.so", source, "-Wl,-soname,libx.so", f"-Wl,--version-script,{script}")
        user = scene.compile("libuser.so", "extern int f; int *user = &f;", scene.path(f"{linked}/libx.so"))
        return Asked(_program(scene, user, search=f"{{root}}/{first}:{{root}}", new=False))

    return lay_out


def _origin_of_a_link(*, library_path: bool) -> Callable[[Scene], Asked]:
    def lay_out(scene: Scene) -> Asked:
        libg = library(scene, "a/libg.so", library(scene, "a/libf.so"), search="$ORIGIN")
        scene.link("b/libg.so", "../a/libg.so")
        path = _program(scene, libg, search="$ORIGIN/b")
        return Asked(path, {"LD_LIBRARY_PATH": f"{scene.root}/c"} if library_path else {})

    def with_library_path(scene: Scene) -> Asked:
        library(scene, "c/libf.so")
        return lay_out(scene)

    return with_library_path if library_path else lay_out


def _no_default_directories(*, new: bool, dependency: bool) -> Callable[[Scene], Asked]:
    """A program linked with -z nodefaultlib; the C library that it needs is in a default directory."""

    def lay_out(scene: Scene) -> Asked:
        liba = library(scene, "liba.so", options="-Wl,-z,nodefaultlib" if dependency else "")
        return Asked(_program(scene, liba, search="$ORIGIN", new=new, options="-Wl,-z,nodefaultlib"))

    return lay_out


def _own_path_first(scene: Scene) -> Asked:
    library(scene, "first/libb.so")
    liba = library(scene, "liba.so", library(scene, "second/libb.so"), search="$ORIGIN/second", new=False)
    return Asked(_program(scene, liba, search="$ORIGIN:$ORIGIN/first", new=False))


PROGRAMS = (
    Program("01-origin-rpath", _origin(new=False)),
    Program("01-origin-runpath", _origin(new=True)),
    Program("02-rpath-of-parents-parent", _grandparent(new=False)),
    Program("02-runpath-of-parents-parent", _grandparent(new=True)),
    Program("03-direct-and-by-path", _by_path(finds=True)),
    Program("03-first-need-decides", _by_path(finds=False)),
    *(
        Program(f"04-{'runpath' if new else 'rpath'}-{'and' if given else 'without'}-library-path",
                _order(new=new, library_path=given))
        for new in (False, True) for given in (False, True)
    ),
    Program("05-other-class-first", _other_class),
    Program("05-32-bit-program", _narrow),
    Program("06-newer-serves-older", _versions(linked="v1", first="v2")),
    Program("06-older-found-first", _versions(linked="v2", first="v1")),
    Program("07-origin-of-a-link", _origin_of_a_link(library_path=False)),
    Program("07-and-library-path", _origin_of_a_link(library_path=True)),
    Program("08-without-default-directories-a", _no_default_directories(new=True, dependency=True)),
    Program("08-without-default-directories-b", _no_default_directories(new=False, dependency=False)),
    Program("10-own-rpath-first", _own_path_first),
)  # fmt: skip


def started(asked: Asked) -> Reality:
    """Start the program: the objects mapped, or what the loader says on stderr."""
    was = run(asked.path, environment=asked.environment)
    if was.status == 0:
        return Reality(mapped=was.mapped)
    if was.status < 0:
        return Reality(died=f"signal {-was.status}", stderr=was.stderr)
    return Reality(message=was.stderr.rstrip("\n"), stderr=was.stderr)


def foretold(asked: Asked, was: Reality) -> bool:
    """Whether tfguard foretells that start: the objects in their order, or the loader's words."""
    report = check_program(asked.path, host=Host(environment=asked.environment, cwd=os.getcwd()))
    trace = report.traces[0] if report.traces else None
    if trace is None:
        return False
    if trace.failure is None:
        mapped = tuple(one.path for one in trace.images[1:] if not os.path.basename(one.path).startswith("ld-"))
        return was.loads and mapped == was.mapped
    return not was.loads and trace.failure.message == was.message
