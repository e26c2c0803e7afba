"""Cases of the cache, of what is loaded already, and of the order of loading: ld-so.md G-01 to G-03, G-100 to G-115."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.loader.cases_search import opened_name
from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.real_loader import Load


def _system(name: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.top(needed=(name,)))


def _by_soname(scene: Scene) -> Load:
    first = scene.write("first/libfile-1.2.so", GOOD)
    scene.fill(GOOD, "b")
    return scene.load(scene.top(runpath=f"{scene.root}/b"), before=(first,))


def _not_by_file_name(scene: Scene) -> Load:
    first = scene.write("first/libfile-1.2.so", GOOD)
    return scene.load(scene.top(needed=("libfile-1.2.so",)), before=(first,))


def _no_soname(scene: Scene) -> Load:
    first = scene.library("first/libx.so.1")
    return scene.load(scene.top(), before=(first,))


def _same_file(link: str) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        first = scene.library("first/liby.so", soname="liby.so")
        if link == "hard":
            os.link(first, scene.path("b/libx.so.1"))
        elif link == "copy":
            scene.library("b/libx.so.1", soname="liby.so")
        else:
            scene.link("b/libx.so.1", first)
        return scene.load(scene.top(runpath=f"{scene.root}/b"), before=(first,))

    return lay_out


def _twice(scene: Scene) -> Load:
    top = scene.top(runpath="$ORIGIN/../b")
    scene.fill(GOOD, "b")
    return scene.load(top, top, f"{scene.root}/top/../top/libtop.so", "libtop.so", "libx.so.1")


def _after_a_failure(scene: Scene) -> Load:
    """A load that failed leaves nothing: the second one maps everything anew."""
    scene.fill(GOOD, "b")
    bad = scene.library("bad.so", needed=("libx.so.1", "libnone.so.3"), runpath=f"{scene.root}/b")
    return scene.load(bad, scene.top(runpath=f"{scene.root}/b"), "libx.so.1")


def _request_name_remembered(scene: Scene) -> Load:
    """A name by which an object was once asked for goes on matching, soname or not."""
    scene.library("b/libname.so", soname="libother.so")
    one = scene.library("one.so", needed=("libname.so",), runpath=f"{scene.root}/b")
    two = scene.library("two.so", needed=("libname.so", "libother.so"))
    return scene.load(one, two)


def _first_wins(scene: Scene) -> Load:
    scene.fill(GOOD, "b")
    old = scene.library("old/libx.so.1", soname="libx.so.1")
    return scene.load(scene.top(rpath=f"{scene.root}/b"), before_global=(old,))


def _diamond(scene: Scene) -> Load:
    run = {"runpath": "$ORIGIN"}
    scene.library("libd.so", soname="libd.so", **run)
    scene.library("libc1.so", soname="libc1.so", needed=("libd.so", "libe.so"), **run)
    scene.library("libb.so", soname="libb.so", needed=("libe.so", "libc1.so"), **run)
    scene.library("libe.so", soname="libe.so", needed=("liba.so",), **run)
    return scene.load(scene.library("liba.so", soname="liba.so", needed=("libb.so", "libc1.so", "libd.so"), **run))


def _breadth_first_missing(scene: Scene) -> Load:
    scene.library("liba.so", soname="liba.so", needed=("libdeep.so.4",), runpath="$ORIGIN")
    return scene.load(scene.library("libtop.so", needed=("liba.so", "libwide.so.4"), runpath="$ORIGIN"))


def _needs_itself(scene: Scene) -> Load:
    return scene.load(scene.library("liba.so", soname="liba.so", needed=("liba.so", "liba.so")))


CASES = (
    *(Case(f"G-100-system-{name}", ANY, _system(name)) for name in (
        "libm.so.6", "libz.so.1", "libstdc++.so.6", "libgcc_s.so.1", "libssl.so.3", "libcrypt.so.1", "libnone.so.1",
        "libm.so.06", "libm.so", "libncursesw.so", "libc.so")),
    *(Case(f"G-100-opened-{name}", ANY, opened_name(name)) for name in (
        "libm.so.6", "libexpat.so.1", "libz.so", "libc.so", "libz.so.01", "libmvec.so.1", "ld-linux-x86-64.so.2")),
    Case("G-110-by-soname", LOADS, _by_soname),
    Case("G-110-not-by-file-name", "No such file", _not_by_file_name),
    Case("G-110-no-soname-no-match", "No such file", _no_soname),
    Case("G-110-name-once-asked-for", LOADS, _request_name_remembered),
    Case("G-111-symbolic-link", LOADS, _same_file("symbolic")),
    Case("G-111-hard-link", LOADS, _same_file("hard")),
    Case("G-111-copy-is-another", LOADS, _same_file("copy")),
    Case("G-112-first-wins", LOADS, _first_wins),
    Case("G-03-loaded-twice", LOADS, _twice),
    Case("G-02-after-a-failure", LOADS, _after_a_failure),
    Case("G-115-diamond", LOADS, _diamond),
    Case("G-115-first-missing-is-breadth-first", "libwide.so.4", _breadth_first_missing),
    Case("G-115-needs-itself", LOADS, _needs_itself),
    Case("G-01-empty-name", LOADS, lambda scene: scene.load("")),
)  # fmt: skip
