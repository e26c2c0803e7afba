"""Cases of symbol versions: needs that nobody meets, which definition a reference takes: ld-so.md G-120 to G-127."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests.loader.scene import ANY, LOADS, Case, Scene
from tests.support.elf_writer import STB_LOCAL, STB_WEAK, STV_HIDDEN, Export, Import
from tests.support.real_loader import Load

_DIRECT = {"runpath": "$ORIGIN"}


def pair(reference: Import | tuple[Import, ...], *exports: Export, **provider: Any) -> Callable[[Scene], Load]:
    """libtop.so with these references needs libp.so with these definitions; fields of Library for the provider."""

    def lay_out(scene: Scene) -> Load:
        scene.library("libp.so", **{"soname": "libp.so", "exports": exports, **provider})
        imports = reference if isinstance(reference, tuple) else (reference,)
        return scene.load(scene.library("libtop.so", needed=("libp.so",), imports=imports, **_DIRECT))

    return lay_out


def _needs(*versions: str, soname: str = "libp.so", **provider: Any) -> Callable[[Scene], Load]:
    """libtop.so needs versions of libp.so, without any symbol."""

    def lay_out(scene: Scene) -> Load:
        scene.library("libp.so", **{"soname": soname, **provider})
        needs = tuple(("libp.so", version) for version in versions)
        return scene.load(scene.library("libtop.so", needed=("libp.so",), needs=needs, **_DIRECT))

    return lay_out


def _need_of_another(scene: Scene, *, loaded: str | None = None) -> Load:
    """A version need of a file that is not in DT_NEEDED, perhaps loaded by whatever way (G-121)."""
    other = scene.library("libother.so", soname="libq.so", versions=("Q_1",))
    top = scene.library("libtop.so", needs=(("libq.so", "Q_1"),))
    if loaded == "by path":
        return scene.load(top, before=(other,))
    if loaded == "by name":
        opener = scene.library("libopener.so", needed=("libq.so",), **_DIRECT)
        scene.library("libq.so", soname="libq.so", versions=("Q_1",))
        return scene.load(opener, top)
    return scene.load(top)


def _need_of_a_dependency(scene: Scene) -> Load:
    """The need of a dependency fails although the top object's would not be reached."""
    scene.library("libp.so", soname="libp.so", versions=("P_1",))
    scene.library("libm1.so", soname="libm1.so", needed=("libp.so",), needs=(("libp.so", "P_2"),), **_DIRECT)
    scene.library("libm2.so", soname="libm2.so", needed=("libp.so",), needs=(("libp.so", "P_3"),), **_DIRECT)
    return scene.load(scene.library("libtop.so", needed=("libm2.so", "libm1.so"), **_DIRECT))


def _version_before_symbol(scene: Scene) -> Load:
    scene.library("libp.so", soname="libp.so", versions=("P_1",))
    return scene.load(
        scene.library(
            "libtop.so",
            needed=("libp.so",),
            needs=(("libp.so", "P_9"),),
            imports=(Import(name="nowhere"),),
            isa_needed=0x8000,
            **_DIRECT,
        )
    )


def _missing_before_version(scene: Scene) -> Load:
    scene.library("libp.so", soname="libp.so", versions=("P_1",))
    top = scene.library("libtop.so", needed=("libp.so", "libnone.so.2"), needs=(("libp.so", "P_9"),), **_DIRECT)
    return scene.load(top)


def _system_version(file: str, version: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.library("libtop.so", needed=(file,), needs=((file, version),)))


def _version_of_first_loaded(scene: Scene) -> Load:
    """An older library of that soname is loaded already (G-112)."""
    old = scene.library("old/libp.so", soname="libp.so", versions=("P_1",))
    scene.library("libp.so", soname="libp.so", versions=("P_1", "P_2"))
    top = scene.library("libtop.so", needed=("libp.so",), needs=(("libp.so", "P_2"),), **_DIRECT)
    return scene.load(top, before=(old,))


def _base_name(scene: Scene) -> Load:
    """The version that is asked for is the base version, the provider's own name."""
    return _needs("libp.so", versions=("P_1",))(scene)


# --- one definition against one reference: the matrix of G-124, G-126 and G-127

_REFERENCES = {
    "plain": Import(name="f"),
    "V1": Import(name="f", file="libp.so", version="P_1"),
    "V2": Import(name="f", file="libp.so", version="P_2"),
    "V2-hidden-bit": Import(name="f", file="libp.so", version="P_2", hidden=True),
}
_BOTH = ("P_1", "P_2")
_PROVIDERS: dict[str, tuple[tuple[Export, ...], dict[str, Any]]] = {
    "no-versions": ((Export(name="f"),), {}),
    "no-definition": ((Export(name="g"),), {}),
    "needs-only": ((Export(name="f"),), {"needed": ("libc.so.6",), "needs": (("libc.so.6", "GLIBC_2.2.5"),)}),
    "unversioned-beside-versions": ((Export(name="f"),), {"versions": _BOTH}),
    "V1-default": ((Export(name="f", version="P_1"),), {"versions": _BOTH}),
    "V1-hidden": ((Export(name="f", version="P_1", hidden=True),), {"versions": _BOTH}),
    "V2-default": ((Export(name="f", version="P_2"),), {"versions": _BOTH}),
    "V2-hidden": ((Export(name="f", version="P_2", hidden=True),), {"versions": _BOTH}),
    "V1-old-V2-new": ((Export(name="f", version="P_1", hidden=True), Export(name="f", version="P_2")),
                      {"versions": _BOTH}),
    "V2-and-V3": ((Export(name="f", version="P_2"), Export(name="f", version="P_3")),
                  {"versions": ("P_1", "P_2", "P_3")}),
    "V2-and-V3-hidden": ((Export(name="f", version="P_2", hidden=True), Export(name="f", version="P_3", hidden=True)),
                         {"versions": ("P_1", "P_2", "P_3")}),
    "V2-old-V3-new": ((Export(name="f", version="P_2", hidden=True), Export(name="f", version="P_3")),
                      {"versions": ("P_1", "P_2", "P_3")}),
    "definitions-without-versym": ((Export(name="f"),), {"versions": _BOTH, "has_versym": False}),
}  # fmt: skip


CASES = (
    Case("G-120-met", LOADS, _needs("P_1", versions=("P_1",))),
    Case("G-121-not-needed", "exit 127", _need_of_another),
    Case("G-121-loaded-by-soname-only", "exit 127", lambda scene: _need_of_another(scene, loaded="by path"),
         certain=False),
    Case("G-121-loaded-by-name", LOADS, lambda scene: _need_of_another(scene, loaded="by name")),
    Case("G-122-missing", "libp.so: version `P_2' not found (required by", _needs("P_2", versions=("P_1",))),
    Case("G-122-several-missing", "`P_3'", _needs("P_1", "P_3", "P_2", "P_4", versions=("P_1", "P_4"))),
    Case("G-122-base-version", LOADS, _base_name),
    Case("G-122-weak-need", LOADS,
         pair(Import(name="f", file="libp.so", version="P_9", binding=STB_WEAK, weak_need=True), versions=("P_1",))),
    Case("G-122-weak-need-strong-symbol", "undefined symbol: f, version P_9",
         pair(Import(name="f", file="libp.so", version="P_9", weak_need=True), versions=("P_1",))),
    Case("G-122-other-soname", LOADS, _needs("P_1", soname="libother.so", versions=("P_1",))),
    Case("G-122-of-a-dependency", "`P_3'", _need_of_a_dependency),
    Case("G-122-before-isa-and-symbol", "`P_9'", _version_before_symbol),
    Case("G-01-missing-before-version", "libnone.so.2", _missing_before_version),
    Case("G-122-glibc", "`GLIBC_2.99' not found", _system_version("libc.so.6", "GLIBC_2.99")),
    Case("G-122-glibc-there", LOADS, _system_version("libc.so.6", "GLIBC_2.2.5")),
    Case("G-122-libstdc++", ANY, _system_version("libstdc++.so.6", "GLIBCXX_3.4.99")),
    Case("G-122-loader", ANY, _system_version("ld-linux-x86-64.so.2", "GLIBC_2.3")),
    Case("G-123-provider-without-versions", LOADS, _needs("P_1")),
    Case("G-112-older-loaded-before", "`P_2' not found", _version_of_first_loaded),
    Case("G-124-hidden-entry", ANY, pair(_REFERENCES["V1"], Export(name="f", visibility=STV_HIDDEN))),
    Case("G-124-local-entry", ANY, pair(_REFERENCES["V1"], Export(name="f", binding=STB_LOCAL))),
    Case("G-124-behind-a-missing-symbol", ANY, pair((Import(name="none"), _REFERENCES["V1"]), Export(name="f"))),
    Case("G-124-before-a-missing-symbol", ANY, pair((_REFERENCES["V1"], Import(name="none")), Export(name="f"))),
    *(
        Case(f"G-126-{kind}-by-{provider}", ANY, pair(reference, *exports, **fields))
        for (kind, reference), (provider, (exports, fields)) in itertools.product(
            _REFERENCES.items(), _PROVIDERS.items()
        )
    ),
)  # fmt: skip
