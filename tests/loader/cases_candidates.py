"""Cases of a bad candidate inside a search: what is passed over, what ends it (ld-so.md G-65, G-66)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.elf_edit import with_header
from tests.support.elf_writer import Library, write
from tests.support.real_loader import Load

_FOREIGN = with_header(GOOD, e_machine=183)
_OTHER_CLASS = with_header(GOOD, ei_class=1)
BEST = "glibc-hwcaps/x86-64-v2"


def _candidate(bad: Callable[[Scene, str], object], step: str) -> Callable[[Scene], Load]:
    """A bad candidate in the first directory of a step's list, a good one in the second."""

    def lay_out(scene: Scene) -> Load:
        bad(scene, "a/libx.so.1")
        scene.fill(GOOD, "b")
        directories = f"{scene.root}/a:{scene.root}/b"
        if step == "LD_LIBRARY_PATH":
            return scene.load(scene.top(), environment={"LD_LIBRARY_PATH": directories})
        return scene.load(scene.top(**{step: directories}))

    return lay_out


def _next_list(bad: Callable[[Scene, str], object]) -> Callable[[Scene], Load]:
    """A bad candidate and a good one in LD_LIBRARY_PATH, another good one in RUNPATH."""

    def lay_out(scene: Scene) -> Load:
        bad(scene, "a/libx.so.1")
        scene.fill(GOOD, "b", "c")
        top = scene.top(runpath=f"{scene.root}/c")
        return scene.load(top, environment={"LD_LIBRARY_PATH": f"{scene.root}/a:{scene.root}/b"})

    return lay_out


def _only(bad: Callable[[Scene, str], object]) -> Callable[[Scene], Load]:
    """A bad candidate and nothing else."""

    def lay_out(scene: Scene) -> Load:
        bad(scene, "a/libx.so.1")
        return scene.load(scene.top(runpath=f"{scene.root}/a"))

    return lay_out


def _not_readable(scene: Scene, name: str) -> None:
    os.chmod(scene.write(name, GOOD), 0)


def _not_searchable(scene: Scene, name: str) -> None:
    os.chmod(Path(scene.write(name, GOOD)).parent, 0)


def _as_another_user(lay_out: Callable[[Scene], Load]) -> Callable[[Scene], Load]:
    def changed(scene: Scene) -> Load:
        return replace(lay_out(scene), user=65534 if os.geteuid() == 0 else None)

    return changed


def _text(scene: Scene, name: str) -> None:
    scene.write(name, b"/* GNU ld script */\nGROUP ( /usr/lib/libx.so.1 )\n" * 4)


def _circle(scene: Scene, name: str) -> None:
    scene.link(name, Path(name).name)


def _link_below_file(scene: Scene, name: str) -> None:
    scene.link(name, "/etc/passwd/x")


def _circle_in_subdirectory(scene: Scene) -> Load:
    """An error in a hardware subdirectory does not count where the directory itself gives another."""
    scene.link("a/glibc-hwcaps/x86-64-v2/libx.so.1", "libx.so.1")
    scene.fill(GOOD, "b")
    return scene.load(scene.top(runpath=f"{scene.root}/a:{scene.root}/b"))


def _writes(data: bytes) -> Callable[[Scene, str], object]:
    return lambda scene, name: scene.write(name, data)


def in_subdirectory(level: str, data: bytes, *, base: bool = True) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.write(f"b/{level}/libx.so.1", data)
        if base:
            scene.fill(GOOD, "b")
        return scene.load(scene.top(runpath=f"{scene.root}/b"))

    return lay_out


_PASSED_OVER: dict[str, Callable[[Scene, str], object]] = {
    "absent": lambda scene, name: scene.directory(str(Path(name).parent)),
    "no-directory": lambda scene, name: None,
    "directory-is-a-file": lambda scene, name: scene.write(str(Path(name).parent), b"x"),
    "dangling-link": lambda scene, name: scene.link(name, "nowhere"),
    "other-class": _writes(_OTHER_CLASS),
    "other-class-and-machine": _writes(with_header(_OTHER_CLASS, e_machine=3)),
    "aarch64": _writes(_FOREIGN),
    "big-endian-machine": _writes(with_header(GOOD, ei_data=2, e_machine=0x1600)),
}
_STOPS: dict[str, Callable[[Scene, str], object]] = {
    "text": _text,
    "empty": _writes(b""),
    "short": _writes(GOOD[:63]),
    "headers-cut": _writes(GOOD[:100]),
    "directory": lambda scene, name: scene.directory(name),
    "byte-order": _writes(with_header(GOOD, ei_data=2)),
    "os-abi": _writes(with_header(GOOD, ei_osabi=9)),
    "padding": _writes(with_header(GOOD, ei_pad=1)),
    "version": _writes(with_header(GOOD, e_version=2)),
    "relocatable": _writes(with_header(GOOD, e_type=1)),
    "header-size": _writes(with_header(GOOD, e_phentsize=57)),
    "executable": _writes(with_header(GOOD, e_type=2)),
    "no-segments": _writes(with_header(GOOD, e_phnum=0)),
    "no-dlopen": _writes(write(Library(soname="libx.so.1", flags_1=0x40))),
    "missing-below": _writes(write(Library(soname="libx.so.1", needed=("libnone.so.9",)))),
}


CASES = (
    *(
        Case(f"G-65-{step}-passes-over-{name}", LOADS, _candidate(bad, step))
        for name, bad in _PASSED_OVER.items()
        for step in ("rpath", "LD_LIBRARY_PATH", "runpath")
    ),
    *(
        Case(f"G-65-{step}-stops-at-{name}", ANY, _candidate(bad, step))
        for name, bad in _STOPS.items()
        for step in ("LD_LIBRARY_PATH", "runpath")
    ),
    *(Case(f"G-65-only-{name}", ":", _only(bad)) for name, bad in {**_PASSED_OVER, **_STOPS}.items()),
    Case("G-65-not-readable", LOADS, _as_another_user(_candidate(_not_readable, "runpath"))),
    Case("G-65-not-searchable", LOADS, _as_another_user(_candidate(_not_searchable, "runpath"))),
    Case("G-65-only-not-readable", "No such file", _as_another_user(_only(_not_readable))),
    Case("G-65-link-below-a-file", ANY, _candidate(_link_below_file, "runpath")),
    Case("G-65-link-below-a-file-next-list", ANY, _next_list(_link_below_file)),
    Case("G-65-circle-in-subdirectory", ANY, _circle_in_subdirectory),
    Case("G-65-circle-ends-the-list", LOADS, _next_list(_circle)),
    Case("G-65-circle-ends-the-only-list", "No such file", _candidate(_circle, "runpath")),
    Case("G-65-only-circle", "No such file", _only(_circle)),
    Case("G-65-other-class-remembered", "wrong ELF class: ELFCLASS32",
         _only(_writes(_OTHER_CLASS))),
    Case("G-66-text-stops", "invalid ELF header", in_subdirectory(BEST, b"text " * 30)),
    Case("G-66-empty-stops", "file too short", in_subdirectory(BEST, b"")),
    Case("G-66-foreign-passed-over", LOADS, in_subdirectory(BEST, _FOREIGN)),
)  # fmt: skip
