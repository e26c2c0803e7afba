"""Cases of undefined symbols: what defines one, in which scope, in which order: ld-so.md G-130 to G-144."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from tests.loader.cases_versions import pair
from tests.loader.scene import ANY, LOADS, Case, Scene
from tests.support.elf_writer import (
    R_64,
    R_JUMP_SLOT,
    SHN_ABS,
    SHN_UNDEF,
    STB_GNU_UNIQUE,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_NOTYPE,
    STT_SECTION,
    STT_TLS,
    STV_HIDDEN,
    STV_INTERNAL,
    STV_PROTECTED,
    Export,
    Import,
)
from tests.support.real_loader import Load
from tfguard.image import DT_SYMTAB

_DIRECT = {"runpath": "$ORIGIN"}


# --- what is a definition: G-132

_KINDS: dict[str, Export] = {
    "weak": Export(name="f", binding=STB_WEAK),
    "unique": Export(name="f", binding=STB_GNU_UNIQUE),
    "local": Export(name="f", binding=STB_LOCAL),
    "binding-5": Export(name="f", binding=5),
    "protected": Export(name="f", visibility=STV_PROTECTED),
    "hidden": Export(name="f", visibility=STV_HIDDEN),
    "internal": Export(name="f", visibility=STV_INTERNAL),
    "value-0": Export(name="f", value=0),
    "absolute-0": Export(name="f", value=0, section=SHN_ABS),
    "absolute": Export(name="f", value=77, section=SHN_ABS),
    "no-type": Export(name="f", type=STT_NOTYPE),
    "section": Export(name="f", type=STT_SECTION),
    "file": Export(name="f", type=4),
    "common": Export(name="f", type=5),
    "type-7": Export(name="f", type=7),
    "tls-0": Export(name="f", type=STT_TLS, value=0),
    "undefined-with-value": Export(name="f", section=SHN_UNDEF),
    "undefined-without-value": Export(name="f", section=SHN_UNDEF, value=0),
}
_RELOCATIONS = {"data": 6, "absolute": R_64, "call": R_JUMP_SLOT}

# --- references: G-133

_REFERENCE_KINDS: dict[str, Import] = {
    "weak": Import(name="f", binding=STB_WEAK),
    "unique": Import(name="f", binding=STB_GNU_UNIQUE),
    "local": Import(name="f", binding=STB_LOCAL),
    "hidden": Import(name="f", visibility=STV_HIDDEN),
    "internal": Import(name="f", visibility=STV_INTERNAL),
    "protected": Import(name="f", visibility=STV_PROTECTED),
    "no-relocation": Import(name="f", relocation=0),
    "size": Import(name="f", relocation=33),
    "unknown-relocation": Import(name="f", relocation=200),
}


def _undefined(reference: Import) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.library("libtop.so", imports=(reference,)))


def _behind_a_call_entry(relocation: int) -> Callable[[Scene], Load]:
    """The first object in scope has an entry for calls of the function, the second the function."""

    def lay_out(scene: Scene) -> Load:
        scene.library("libcalls.so", soname="libcalls.so", exports=(_KINDS["undefined-with-value"],))
        scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f"),))
        imports = (Import(name="f", relocation=relocation),)
        return scene.load(scene.library("libtop.so", needed=("libcalls.so", "libdef.so"), imports=imports, **_DIRECT))

    return lay_out


# --- scope: G-130


def _scope(*, make_global: bool, through: bool = False) -> Callable[[Scene], Load]:
    """The definition is in an object loaded before, or in a dependency of it."""

    def lay_out(scene: Scene) -> Load:
        path = scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f"),))
        if through:
            path = scene.library("libopener.so", needed=("libdef.so",), **_DIRECT)
        top = scene.library("libtop.so", imports=(Import(name="f"),))
        mode = os.RTLD_GLOBAL if make_global else 0
        return Load(names=((path, mode), (top, 0)))

    return lay_out


def _symbol_of_the_root(scene: Scene) -> Load:
    """A dependency uses a symbol of the object that was opened."""
    scene.library("libdep.so", soname="libdep.so", imports=(Import(name="of_root"),))
    top = scene.library("libtop.so", needed=("libdep.so",), exports=(Export(name="of_root"),), **_DIRECT)
    return scene.load(f"{scene.root}/libdep.so", top)


def _local_but_needed(scene: Scene) -> Load:
    """An object loaded locally before is in scope as a dependency, and what it needs too."""
    scene.library("libfar.so", soname="libfar.so", exports=(Export(name="f"),))
    near = scene.library("libnear.so", soname="libnear.so", needed=("libfar.so",), **_DIRECT)
    return scene.load(scene.library("libtop.so", needed=("libnear.so",), imports=(Import(name="f"),)), before=(near,))


def _global_before(scene: Scene) -> Load:
    """Which objects were opened RTLD_GLOBAL is on no record; the living process is asked."""
    scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f", version="V_1"),))
    opener = scene.library("libopener.so", needed=("libdef.so",), **_DIRECT)
    top = scene.library(
        "libtop.so", imports=(Import(name="f", file="libdef.so", version="V_1"),), needed=("libdef.so",)
    )
    plain = scene.library("libplain.so", imports=(Import(name="f"),))
    return Load(names=((plain, 0), (top, 0)), before=((opener, os.RTLD_GLOBAL),))


def _promoted(scene: Scene) -> Load:
    path = scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f"),))
    top = scene.library("libtop.so", imports=(Import(name="f"),))
    return Load(names=((path, 0), (top, 0), (path, os.RTLD_GLOBAL), (top, 0)))


def _promoted_with_dependencies(scene: Scene) -> Load:
    """Promotion reaches what the promoted object needs."""
    scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f"),))
    opener = scene.library("libopener.so", needed=("libdef.so",), **_DIRECT)
    top = scene.library("libtop.so", imports=(Import(name="f"),))
    return Load(names=((opener, 0), (top, 0), (opener, os.RTLD_GLOBAL), (top, 0)))


def _promoted_from_before(scene: Scene) -> Load:
    """The same, where the object was loaded before tfguard looked."""
    scene.library("libdef.so", soname="libdef.so", exports=(Export(name="f"),))
    opener = scene.library("libopener.so", needed=("libdef.so",), **_DIRECT)
    top = scene.library("libtop.so", imports=(Import(name="f"),))
    return Load(names=((top, 0), (opener, os.RTLD_GLOBAL), (top, 0)), before=((opener, 0),))


def _process_symbols(*names: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.library("libtop.so", imports=tuple(Import(name=name) for name in names)))


def _first_of_several(scene: Scene) -> Load:
    """The first relocation in table order is named, not the first symbol; DT_RELA comes before DT_JMPREL."""
    imports = (
        Import(name="call_a", relocation=R_JUMP_SLOT),
        Import(name="data_b"),
        Import(name="data_c"),
        Import(name="call_d", relocation=R_JUMP_SLOT),
    )
    return scene.load(scene.library("libtop.so", imports=imports))


def _dependency_first(scene: Scene) -> Load:
    scene.library("liba.so", soname="liba.so", needed=("libb.so",), imports=(Import(name="of_a"),), **_DIRECT)
    scene.library("libb.so", soname="libb.so", imports=(Import(name="of_b"),))
    scene.library("libc1.so", soname="libc1.so", imports=(Import(name="of_c"),))
    imports = (Import(name="of_top"),)
    return scene.load(scene.library("libtop.so", needed=("liba.so", "libc1.so"), imports=imports, **_DIRECT))


def _circle_order(first: str) -> Callable[[Scene], Load]:
    """Objects in a circle, each with a symbol that is missing: which one is named."""

    def lay_out(scene: Scene) -> Load:
        ring = ("liba.so", "libb.so", "libc1.so")
        for position, name in enumerate(ring):
            scene.library(
                name,
                soname=name,
                needed=(ring[(position + 1) % 3],),
                imports=(Import(name=f"of_{name[3]}"),),
                **_DIRECT,
            )
        return scene.load(f"{scene.root}/{first}")

    return lay_out


def _compiled(source: str, *options: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.compile("libtop.so", source, *options))


_IFUNC = """
static int one(void) { return 1; }
static void *choose(void) { return one; }
int f(void) __attribute__((ifunc("choose")));
"""


def _ifunc(scene: Scene) -> Load:
    scene.compile("libp.so", _IFUNC, "-Wl,-soname,libp.so")
    return scene.load(
        scene.library("libtop.so", needed=("libp.so",), imports=(Import(name="f", relocation=R_JUMP_SLOT),), **_DIRECT)
    )


CASES = (
    *(
        Case(f"G-132-{kind}-for-{use}", ANY, pair(Import(name="f", relocation=number), export))
        for (kind, export), (use, number) in itertools.product(_KINDS.items(), _RELOCATIONS.items())
        if not (kind == "tls-0" and use != "data")
    ),
    *(Case(f"G-132-call-entry-before-the-function-for-{use}", LOADS, _behind_a_call_entry(number))
      for use, number in _RELOCATIONS.items()),
    *(Case(f"G-133-{kind}-undefined", ANY, _undefined(reference)) for kind, reference in _REFERENCE_KINDS.items()),
    Case("G-130-undefined", "undefined symbol: f", pair(Import(name="f"), Export(name="g"))),
    Case("G-130-defined", LOADS, pair(Import(name="f"), Export(name="f"))),
    Case("G-130-function", LOADS, pair(Import(name="f", relocation=R_JUMP_SLOT), Export(name="f", type=STT_FUNC))),
    Case("G-130-sysv-hash", LOADS, pair(Import(name="f"), Export(name="f"), has_gnu_hash=False, has_sysv_hash=True)),
    Case("G-130-both-hashes", LOADS, pair(Import(name="f"), Export(name="f"), has_sysv_hash=True)),
    Case("G-130-many", LOADS, pair(tuple(Import(name=f"f{i}") for i in range(900)),
                                    *(Export(name=f"f{i}") for i in range(900)))),
    Case("G-130-many-but-one", "undefined symbol: f899", pair(tuple(Import(name=f"f{i}") for i in range(900)),
                                                              *(Export(name=f"f{i}") for i in range(899)))),
    Case("G-130-local-object-invisible", "undefined symbol: f", _scope(make_global=False)),
    Case("G-130-global-object", LOADS, _scope(make_global=True)),
    Case("G-130-dependency-of-global-object", LOADS, _scope(make_global=True, through=True)),
    Case("G-130-dependency-of-local-object", "undefined symbol: f", _scope(make_global=False, through=True)),
    Case("G-130-of-the-root", LOADS, _symbol_of_the_root),
    Case("G-130-local-but-needed", LOADS, _local_but_needed),
    Case("G-130-global-before-tfguard-looked", LOADS, _global_before),
    Case("G-130-promoted", LOADS, _promoted),
    Case("G-130-promoted-with-dependencies", LOADS, _promoted_with_dependencies),
    Case("G-130-promoted-from-before", LOADS, _promoted_from_before),
    Case("G-131-python", LOADS, _process_symbols("PyList_New", "Py_IncRef", "_PyByteArray_empty_string")),
    Case("G-131-no-such-python", "undefined symbol: PyNot_There", _process_symbols("PyList_New", "PyNot_There")),
    Case("G-131-libc", LOADS, _process_symbols("malloc", "free", "stdout")),
    Case("G-131-loader", LOADS, _process_symbols("__tls_get_addr", "_rtld_global_ro")),
    Case("G-131-system-library-of-an-extension", ANY, _process_symbols("ffi_call")),
    Case("G-130-vdso", ANY, _process_symbols("__vdso_gettimeofday")),
    Case("G-130-name-not-ascii", "undefined symbol", _process_symbols("caf\u00e9")),
    Case("G-130-name-not-utf-8", "undefined symbol", _process_symbols("f\udcff")),
    Case("G-135-table-order", "undefined symbol: data_b", _first_of_several),
    Case("G-135-dependencies-first", ANY, _dependency_first),
    *(Case(f"G-135-circle-from-{name}", ANY, _circle_order(name)) for name in ("liba.so", "libb.so", "libc1.so")),
    Case("G-130-compiled", "undefined symbol: missing",
         _compiled("int missing(void); int (*p)(void) = missing; int top(void) { return missing(); }")),
    Case("G-130-compiled-lazy-call", "undefined symbol: missing",
         _compiled("int missing(void); int top(void) { return missing(); }")),
    Case("G-130-compiled-weak", LOADS,
         _compiled("int missing(void) __attribute__((weak)); int top(void) { return missing ? missing() : 0; }")),
    Case("G-130-compiled-hidden-tls", LOADS, _compiled("static __thread int x; int *top(void) { return &x; }")),
    Case("G-130-compiled-missing-tls", "undefined symbol: x",
         _compiled("extern __thread int x; int *top(void) { return &x; }")),
    Case("G-144-ifunc", LOADS, _ifunc),
    *(Case(f"G-143-type-{number:#x}-{there}", ANY,
           pair(Import(name="f", relocation=number), Export(name="f" if there == "defined" else "g")))
      for number in (2, 3, 4, 9, 11, 12, 14, 19, 32, 33, 35, 39, 40, 43, 60, 200, 0xFF, 0x100, 0x1C8, 0xABCDEF)
      for there in ("defined", "undefined")),
    Case("G-143-of-a-weak-reference", ANY, pair(Import(name="f", relocation=200, binding=STB_WEAK))),
    Case("G-143-before-an-undefined-symbol", ANY,
         pair((Import(name="f", relocation=200), Import(name="nowhere")), Export(name="f"))),
    Case("G-143-behind-an-undefined-symbol", ANY,
         pair((Import(name="nowhere"), Import(name="f", relocation=200)), Export(name="f"))),
    Case("G-46-symbol-table-nowhere", ANY,
         pair(Import(name="f"), Export(name="f"), replaced={DT_SYMTAB: 1 << 40}), certain=False),
)  # fmt: skip
