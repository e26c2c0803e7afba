"""Cases of objects that name filtees, libraries whose symbols come before their own: ld-so.md G-85."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.loader.scene import ANY, GOOD, Case, Scene
from tests.support.elf_writer import Export, Import
from tests.support.real_loader import Load
from tfguard.image import DT_AUXILIARY, DT_FILTER, DT_NEEDED, Filtee


def _filter(scene: Scene, name: str, requests: Sequence[tuple[int, str]], **fields: Any) -> str:  # Any: of Library
    """A library with these DT_NEEDED, DT_FILTER and DT_AUXILIARY, in this order."""
    needed: list[str] = []
    filtees: list[Filtee] = []
    for tag, wanted in requests:
        if tag == DT_NEEDED:
            needed.append(wanted)
        else:
            filtees.append(Filtee(wanted, optional=tag == DT_AUXILIARY, after=len(needed)))
    return scene.library(name, needed=tuple(needed), filtees=tuple(filtees), runpath="$ORIGIN", **fields)


def _libraries(scene: Scene, *names: str) -> None:
    """Libraries that each define a symbol of their own name's letter."""
    for name in names:
        scene.library(name, soname=name, exports=(Export(name=name[3]),))


def _top(
    *requests: tuple[int, str],
    there: Sequence[str] = ("liba.so", "libb.so", "libc1.so"),
    uses: str = "",
    bad: bytes | None = None,
) -> Callable[[Scene], Load]:
    """An opened object with these requests, which refers to symbols of these letters; `bad` stands at libd.so."""

    def lay_out(scene: Scene) -> Load:
        _libraries(scene, *there)
        if bad is not None:
            scene.write("libd.so", bad)
        return scene.load(_filter(scene, "libtop.so", requests, imports=tuple(Import(name=one) for one in uses)))

    return lay_out


def _deeper(*requests: tuple[int, str], uses: str = "", first: Sequence[str] = ()) -> Callable[[Scene], Load]:
    """A needed library with these requests; other needs of the opened object stand before it."""

    def lay_out(scene: Scene) -> Load:
        _libraries(scene, "liba.so", "libb.so", "libc1.so")
        _filter(scene, "libf.so", requests, soname="libf.so", imports=tuple(Import(name=one) for one in uses))
        return scene.load(scene.library("libtop.so", needed=(*first, "libf.so", "libb.so"), runpath="$ORIGIN"))

    return lay_out


def _filtee_with_needs(scene: Scene) -> Load:
    """What a filtee needs comes before what the filter's other needs need."""
    _libraries(scene, "libc1.so", "libd.so")
    scene.library("liba.so", soname="liba.so", needed=("libc1.so",), runpath="$ORIGIN", exports=(Export(name="a"),))
    scene.library("libb.so", soname="libb.so", needed=("libd.so",), runpath="$ORIGIN", exports=(Export(name="b"),))
    return scene.load(_filter(scene, "libtop.so", ((DT_NEEDED, "libb.so"), (DT_FILTER, "liba.so"))))


def _filter_of_filter(scene: Scene) -> Load:
    _libraries(scene, "liba.so", "libb.so")
    _filter(scene, "libf.so", ((DT_FILTER, "liba.so"), (DT_NEEDED, "libb.so")), soname="libf.so")
    return scene.load(_filter(scene, "libtop.so", ((DT_FILTER, "libf.so"),)))


def _loaded_before(scene: Scene) -> Load:
    """The filter, with its filtee, is loaded already when another object needs it."""
    _libraries(scene, "liba.so", "libb.so")
    _filter(scene, "libf.so", ((DT_FILTER, "liba.so"),), soname="libf.so")
    keeper = scene.library("libkeep.so", needed=("libf.so",), runpath="$ORIGIN")
    top = scene.library("libtop.so", needed=("libb.so", "libf.so"), imports=(Import(name="a"),), runpath="$ORIGIN")
    return Load(names=((keeper, 0), (top, 0)))


def _broken_symbol(scene: Scene) -> Load:
    """Filtee and filter both miss a symbol: who is named."""
    scene.library("liba.so", soname="liba.so", imports=(Import(name="of_filtee"),))
    imports = (Import(name="of_filter"),)
    _filter(scene, "libf.so", ((DT_FILTER, "liba.so"),), soname="libf.so", imports=imports)
    return scene.load(scene.library("libtop.so", needed=("libf.so",), runpath="$ORIGIN"))


def _circle(*, optional: bool) -> Callable[[Scene], Load]:
    """Two needed libraries that name each other: ld.so puts each before the other until its stack is full."""

    def lay_out(scene: Scene) -> Load:
        for name, other in (("liba.so", "libb.so"), ("libb.so", "liba.so")):
            filtees = (Filtee(other, optional=optional, after=0),)
            scene.library(name, soname=name, filtees=filtees, runpath="$ORIGIN")
        return scene.load(scene.library("libtop.so", needed=("liba.so",), runpath="$ORIGIN"))

    return lay_out


def _opened_after_need(scene: Scene) -> Load:
    """A filter whose optional filtee was missing is walked again when another object needs it: by then it is loaded."""
    _libraries(scene, "liba.so")
    scene.library("sub/libf.so", soname="libf.so", filtees=(Filtee("liba.so", optional=True, after=0),))
    first = scene.path("sub/libf.so")
    top = scene.library("libtop.so", needed=("libf.so", "liba.so"), runpath="$ORIGIN")
    return Load(names=((first, 0), (top, 0)))


def _two_of_one_soname(scene: Scene) -> Load:
    """Versions are those of the library that was asked for by name, a file of no versions is not looked up in."""
    wanted = (Import(name="b", file="libb.so", version="V1"),)
    scene.library("libf.so", filtees=(Filtee("libb.so", optional=True, after=0),))
    keeper = scene.library(
        "libkeep.so", soname="libb.so", needed=("libf.so",), runpath="$ORIGIN", exports=(Export(name="b"),)
    )
    return Load(names=((keeper, 0), (scene.library("libtop.so", imports=wanted), 0)))


def _name_of_one_that_is_gone(scene: Scene) -> Load:
    """A filtee that is moved behind an object of its soname answers to it again when that load has failed."""
    keeper = scene.library("libkeep.so", soname="libb.so")
    scene.library("liba.so", filtees=(Filtee("libb.so", optional=False, after=0),))
    broken = scene.library(
        "libbroken.so", soname="libb.so", needed=("liba.so",), runpath="$ORIGIN", imports=(Import(name="nowhere"),)
    )
    return Load(names=((broken, 0), (scene.path("liba.so"), 0)), before=((keeper, 0),))


_N, _F, _A = DT_NEEDED, DT_FILTER, DT_AUXILIARY
_TEXT = b"GROUP ( x ) " * 20

CASES = (
    Case("G-85-filtee-there", ANY, _top((_F, "liba.so"), (_N, "libb.so"))),
    Case("G-85-filtee-used", ANY, _top((_F, "liba.so"), (_N, "libb.so"), uses="ab")),
    Case("G-85-filtee-missing", ANY, _top((_F, "libd.so"), (_N, "libb.so"))),
    Case("G-85-filtee-is-text", ANY, _top((_F, "libd.so"), (_N, "libb.so"), bad=_TEXT)),
    Case("G-85-auxiliary-there", ANY, _top((_A, "liba.so"), (_N, "libb.so"))),
    Case("G-85-auxiliary-used", ANY, _top((_A, "liba.so"), (_N, "libb.so"), uses="ab")),
    Case("G-85-auxiliary-missing", ANY, _top((_A, "libd.so"), (_N, "libb.so"), uses="b")),
    Case("G-85-auxiliary-missing-and-used", ANY, _top((_A, "libd.so"), (_N, "libb.so"), uses="d")),
    Case("G-85-auxiliary-is-text", ANY, _top((_A, "libd.so"), (_N, "libb.so"), bad=_TEXT)),
    Case("G-85-auxiliary-cut", ANY, _top((_A, "libd.so"), (_N, "libb.so"), bad=GOOD[:4096])),
    Case("G-85-filtee-after-needs", ANY, _top((_N, "libb.so"), (_F, "liba.so"), (_N, "libc1.so"))),
    Case("G-85-filtee-needed-too", ANY, _top((_N, "libb.so"), (_N, "liba.so"), (_F, "liba.so"))),
    Case("G-85-filtee-needed-afterwards", ANY, _top((_F, "liba.so"), (_N, "libb.so"), (_N, "liba.so"))),
    Case("G-85-two-filtees", ANY, _top((_F, "liba.so"), (_F, "libb.so"), (_N, "libc1.so"))),
    Case("G-85-filtee-and-auxiliary", ANY, _top((_A, "liba.so"), (_N, "libc1.so"), (_F, "libb.so"))),
    Case("G-85-two-times-the-same", ANY, _top((_F, "liba.so"), (_N, "libb.so"), (_F, "liba.so"))),
    Case("G-85-itself", ANY, _top((_F, "libtop.so"), (_N, "libb.so"))),
    Case("G-85-of-a-needed-object", ANY, _deeper((_F, "liba.so"), (_N, "libc1.so"))),
    Case("G-85-of-a-needed-object-used", ANY, _deeper((_F, "liba.so"), (_N, "libc1.so"), uses="ac")),
    Case("G-85-filtee-that-comes-later", ANY, _deeper((_F, "libb.so"), (_N, "libc1.so"))),
    Case("G-85-filtee-that-came-before", ANY, _deeper((_F, "liba.so"), first=("liba.so",))),
    Case("G-85-missing-of-a-needed-object", ANY, _deeper((_F, "libd.so"))),
    Case("G-85-filtee-with-needs", ANY, _filtee_with_needs),
    Case("G-85-filtee-of-a-filtee", ANY, _filter_of_filter),
    Case("G-85-loaded-before", ANY, _loaded_before),
    Case("G-85-symbols-missing", ANY, _broken_symbol),
    Case("G-85-circle", ANY, _circle(optional=False)),
    Case("G-85-circle-of-auxiliaries", ANY, _circle(optional=True)),
    Case("G-85-walked-again", ANY, _opened_after_need),
    Case("G-85-asked-for-by-a-filter", ANY, _two_of_one_soname),
    Case("G-85-name-of-one-that-is-gone", ANY, _name_of_one_that_is_gone),
)
