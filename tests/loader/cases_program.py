"""Cases of the program and of who calls dlopen: rpath of the program, the caller, secure mode: G-62, G-64, G-165."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene, Unavailable
from tests.support.loading import OPENER
from tests.support.real_loader import Load

_OLD, _NEW = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"


def _program(scene: Scene, *, new: bool = False, folder: str = "p", secure: bool = False, options: str = "") -> str:
    """A program with `folder` below the scene (or a path) in its RPATH, or RUNPATH where it is `new`."""
    entry = folder if folder[:1] in "/$" else f"{scene.root}/{folder}"
    more = (options,) if options else ()
    path = scene.program(_NEW if new else _OLD, *more, rpath=(entry,))
    if secure:
        _set_group(path)
    return path


def _set_group(path: str) -> None:
    """Have the kernel run it with another effective group: that is secure mode (AT_SECURE)."""
    if os.geteuid() != 0:
        raise Unavailable("only root can give a program another group")
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        raise Unavailable("this file system is mounted nosuid")
    os.chown(path, -1, 65534)
    os.chmod(path, 0o2755)


def _search(
    *, top: str | None = None, own: str | None = None, library_path: str | None = None, new: bool = False
) -> Callable[[Scene], Load]:
    """libtop.so needs libx.so.1, which is in p (the program's), o (its own) and l (LD_LIBRARY_PATH) as said.

    `top` is "rpath" or "runpath": what the library itself has, to folder o.
    """

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "p", *((own,) if own else ()), *((library_path,) if library_path else ()))
        fields = {top: f"{scene.root}/o"} if top else {}
        environment = {"LD_LIBRARY_PATH": f"{scene.root}/{library_path}"} if library_path else {}
        return scene.load(scene.top(**fields), program=_program(scene, new=new), environment=environment)

    return lay_out


def _chain_to_the_program(scene: Scene) -> Load:
    """The dependency of a dependency."""
    scene.fill(GOOD, "p")
    scene.library("m/libm1.so", soname="libm1.so", needed=("libx.so.1",))
    return scene.load(scene.top(needed=("libm1.so",), rpath=f"{scene.root}/m"), program=_program(scene))


def _bare_name(*, new: bool = False) -> Callable[[Scene], Load]:
    """dlopen of a bare name by the code of ctypes (I-02)."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "p")
        return scene.load("libx.so.1", program=_program(scene, new=new))

    return lay_out


def _origin(*, by_link: bool) -> Callable[[Scene], Load]:
    """$ORIGIN of the program is where its file is, also when it was started through a link elsewhere (G-75)."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "bin/lib")
        program = _program(scene, folder="$ORIGIN/lib")
        if by_link:
            link = scene.link("elsewhere/program", program)
            scene.write("elsewhere/pyvenv.cfg", scene.root.joinpath("bin/pyvenv.cfg").read_bytes())
            program = link
        return scene.load(scene.top(), program=program)

    return lay_out


def _executable_stack(*, marked: bool, tunable: str = "", secure: bool = False) -> Callable[[Scene], Load]:
    """A library that asks for an executable stack, in a program that has one or not (G-50)."""

    def lay_out(scene: Scene) -> Load:
        options = "-Wl,-z,execstack" if marked else "-Wl,-z,noexecstack"
        environment = {"GLIBC_TUNABLES": tunable} if tunable else {}
        program = _program(scene, options=options, secure=secure)
        return scene.load(scene.library("libx.so", stack=7), program=program, environment=environment)

    return lay_out


def _preloaded_stack(scene: Scene) -> Load:
    """A preload that asks for an executable stack makes it so for all that come later (G-50)."""
    first = scene.library("libfirst.so", stack=7)
    return scene.load(scene.library("libx.so", stack=7), environment={"LD_PRELOAD": first})


# --- the caller: G-62


def _opened_by(*options: str, name: str = "libx.so.1", folder: str = "o") -> Callable[[Scene], Load]:
    """A library with these options calls dlopen; libx.so.1 is in folder o, beside the opener in `opener`, as said."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, folder)
        given = [option.replace("{root}", str(scene.root)) for option in options]
        opener = scene.compile("opener/libopener.so", OPENER, *given)
        return scene.load(name.replace("{root}", str(scene.root)), opener=opener)

    return lay_out


def _opened_by_a_dependency(scene: Scene) -> Load:
    """The opener was needed by a library with RPATH, which counts for what the opener opens."""
    scene.fill(GOOD, "o")
    opener = scene.compile("opener/libopener.so", OPENER, "-Wl,-soname,libopener.so")
    places = f"-Wl,-rpath,{scene.root}/opener:{scene.root}/o"
    user = scene.compile("libuser.so", "char *open_it(); void *p = open_it;", opener, _OLD, places)
    return scene.load("libx.so.1", before=(user,), opener=opener)


def _opened_library(scene: Scene) -> Load:
    """What the opened library needs is not searched in the opener's list."""
    scene.fill(GOOD, "o")
    scene.top()
    opener = scene.compile("opener/libopener.so", OPENER, f"-Wl,-rpath,{scene.root}/top:{scene.root}/o", _OLD)
    return scene.load("libtop.so", opener=opener)


def _opened_in_a_program(*, own: str, program: str) -> Callable[[Scene], Load]:
    """The opener's list and the program's, each "rpath" or "runpath", the library in the program's folder only."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "p")
        opener = scene.compile(
            "opener/libopener.so", OPENER, _NEW if own == "runpath" else _OLD, f"-Wl,-rpath,{scene.root}/o"
        )
        return scene.load("libx.so.1", opener=opener, program=_program(scene, new=program == "runpath"))

    return lay_out


# --- secure mode: G-165 to G-167


def _secure_library_path(scene: Scene) -> Load:
    scene.fill(GOOD, "l")
    environment = {"LD_LIBRARY_PATH": f"{scene.root}/l"}
    return scene.load(scene.top(), program=_program(scene, secure=True), environment=environment)


def _secure_program(folder: str, place: str = "p", *, new: bool = False) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, place)
        return scene.load(scene.top(), program=_program(scene, folder=folder, secure=True, new=new))

    return lay_out


def _secure_library(**fields: str) -> Callable[[Scene], Load]:
    """A library's own list with $ORIGIN is honoured in secure mode."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "top/o")
        return scene.load(scene.top(**fields), program=_program(scene, secure=True))

    return lay_out


def _secure_needed(name: str) -> Callable[[Scene], Load]:
    """A token in DT_NEEDED."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "top")
        return scene.load(scene.top(needed=(name,)), program=_program(scene, secure=True))

    return lay_out


def _secure_name(scene: Scene) -> Load:
    """A token in the name given to dlopen."""
    scene.fill(GOOD, "opener")
    opener = scene.compile("opener/libopener.so", OPENER)
    return scene.load("$ORIGIN/libx.so.1", opener=opener, program=_program(scene, secure=True))


def _secure_tunable(scene: Scene) -> Load:
    source = "static __thread char block[5000]; char *at(int i) { return &block[i]; }"
    top = scene.compile("libtop.so", source, "-ftls-model=initial-exec")
    environment = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=9000"}
    return scene.load(top, program=_program(scene, secure=True), environment=environment)


_MISSING = "libx.so.1: cannot open"


def _preloaded_twice(scene: Scene) -> Load:
    """Of a file that is preloaded by its path and by a name that only the program's path finds, both are known."""
    first = scene.library("p/libname.so")
    top = scene.library("top/libtop.so", needed=("libname.so",))
    return scene.load(top, environment={"LD_PRELOAD": f"{first}:libname.so"}, program=_program(scene, new=True))


CASES = (
    Case("G-160-preloaded-by-path-and-by-name", LOADS, _preloaded_twice),
    Case("G-64-rpath-of-the-program", LOADS, _search()),
    Case("G-64-runpath-of-the-program-serves-nobody", _MISSING, _search(new=True)),
    Case("G-64-rpath-of-the-program-before-library-path", LOADS, _search(library_path="l")),
    Case("G-64-rpath-of-the-program-after-own", LOADS, _search(top="rpath", own="o")),
    Case("G-64-rpath-of-the-program-where-own-has-none", LOADS, _search(top="rpath")),
    Case("G-64-runpath-silences-the-program", _MISSING, _search(top="runpath")),
    Case("G-64-rpath-of-the-program-down-the-chain", LOADS, _chain_to_the_program),
    Case("I-02-bare-name-rpath-of-the-program", ANY, _bare_name()),
    Case("I-02-bare-name-runpath-of-the-program", _MISSING, _bare_name(new=True)),
    Case("G-75-origin-of-the-program", LOADS, _origin(by_link=False)),
    Case("G-75-origin-of-a-program-by-link", LOADS, _origin(by_link=True)),
    Case("G-50-program-with-executable-stack", LOADS, _executable_stack(marked=True)),
    Case("G-50-program-without", ANY, _executable_stack(marked=False)),
    Case("G-50-tunable-2", ANY, _executable_stack(marked=False, tunable="glibc.rtld.execstack=2")),
    Case("G-50-tunable-2-in-secure-mode", ANY,
         _executable_stack(marked=False, tunable="glibc.rtld.execstack=2", secure=True)),
    Case("G-50-tunable-1", ANY, _executable_stack(marked=False, tunable="glibc.rtld.execstack=1")),
    Case("G-50-tunable-20", ANY, _executable_stack(marked=False, tunable="glibc.rtld.execstack=20")),
    Case("G-50-preload-with-executable-stack", LOADS, _preloaded_stack),
    Case("G-62-runpath-of-the-opener", LOADS, _opened_by(_NEW, "-Wl,-rpath,{root}/o")),
    Case("G-62-rpath-of-the-opener", LOADS, _opened_by(_OLD, "-Wl,-rpath,{root}/o")),
    Case("G-62-origin-of-the-opener", LOADS, _opened_by(_NEW, "-Wl,-rpath,$ORIGIN/../o")),
    Case("G-62-opener-without", _MISSING, _opened_by()),
    Case("G-62-token-in-the-name", LOADS, _opened_by(name="$ORIGIN/libx.so.1", folder="opener")),
    Case("G-62-token-in-a-name-of-no-file", "cannot open", _opened_by(name="${ORIGIN}/libx.so.1")),
    Case("G-62-opener-needed-by-one-with-rpath", LOADS, _opened_by_a_dependency),
    Case("G-62-opener-lends-nothing-further", _MISSING, _opened_library),
    Case("G-62-runpath-of-the-opener-silences-the-program", _MISSING,
         _opened_in_a_program(own="runpath", program="rpath")),
    Case("G-62-rpath-of-the-opener-and-of-the-program", LOADS, _opened_in_a_program(own="rpath", program="rpath")),
    Case("G-62-rpath-of-the-opener-runpath-of-the-program", _MISSING,
         _opened_in_a_program(own="rpath", program="runpath")),
    Case("G-165-library-path-ignored", _MISSING, _secure_library_path),
    Case("G-165-tunables-ignored", "cannot allocate memory", _secure_tunable),
    Case("G-166-absolute-rpath-of-the-program", LOADS, _secure_program("p")),
    Case("G-166-origin-of-the-program-dropped", _MISSING, _secure_program("$ORIGIN/../p")),
    Case("G-166-runpath-of-a-library", LOADS, _secure_library(runpath="$ORIGIN/o")),
    Case("G-166-rpath-of-a-library", LOADS, _secure_library(rpath="$ORIGIN/o")),
    Case("G-167-token-in-needed", "DST not allowed in SUID/SGID programs", _secure_needed("$ORIGIN/libx.so.1")),
    Case("G-167-unknown-token-in-needed", "cannot open", _secure_needed("$HOME/libx.so.1")),
    Case("G-167-token-in-the-opened-name", ANY, _secure_name),
)  # fmt: skip
