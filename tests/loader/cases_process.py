"""Cases of preloads and tunables: ld-so.md G-81, G-160, G-161."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.loader.cases_candidates import BEST
from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.elf_writer import Export, Import
from tests.support.real_loader import Load


def _preloaded_symbol(scene: Scene) -> Load:
    """A preloaded object and what it needs are in the global scope."""
    scene.library("libdeep.so", soname="libdeep.so", exports=(Export(name="g"),))
    first = scene.library("libfirst.so", needed=("libdeep.so",), runpath="$ORIGIN", exports=(Export(name="f"),))
    top = scene.library("libtop.so", imports=(Import(name="f"), Import(name="g")))
    return scene.load(top, environment={"LD_PRELOAD": first})


def _preloaded_soname(scene: Scene) -> Load:
    first = scene.write("first/libfile.so", GOOD)
    return scene.load(scene.top(), environment={"LD_PRELOAD": f"{first} /no/such.so"})


def _preloaded_by_name(scene: Scene) -> Load:
    """A bare name in LD_PRELOAD is one by which the object was asked for."""
    scene.fill(GOOD, "first", name="libname.so")
    environment = {"LD_PRELOAD": "libname.so", "LD_LIBRARY_PATH": f"{scene.root}/first"}
    return scene.load(scene.top(needed=("libname.so",)), environment=environment)


def _listed(text: str, *, needed: str = "libx.so.1", environment: Mapping[str, str] | None = None,
            user: int | None = None) -> Callable[[Scene], Load]:  # fmt: skip
    """Objects of /etc/ld.so.preload, in which {root} is the directory of the case."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "p", name="libfile.so")
        scene.fill(GOOD, "q", name="libname.so")
        listed = scene.write("listed", text.format(root=scene.root).encode())
        given = {name: value.format(root=scene.root) for name, value in (environment or {}).items()}
        top = scene.top(needed=(needed,), imports=(Import(name="x"),))
        return scene.load(top, etc={"ld.so.preload": listed}, environment=given, user=user)

    return lay_out


def _masked_level(scene: Scene) -> Load:
    """Processor features that a tunable masks lower the level of glibc-hwcaps directories."""
    scene.write(f"b/{BEST}/libx.so.1", GOOD)
    tunables = "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX2_Usable,-SSE4_2,-SSSE3,-POPCNT"
    return scene.load(scene.top(runpath=f"{scene.root}/b"), environment={"GLIBC_TUNABLES": tunables})


CASES = (
    Case("G-160-preloaded-symbol", LOADS, _preloaded_symbol),
    Case("G-160-preloaded-soname", LOADS, _preloaded_soname),
    Case("G-160-preloaded-by-name", LOADS, _preloaded_by_name),
    Case("G-161-listed", LOADS, _listed("{root}/p/libfile.so\n")),
    Case("G-161-without-a-line-end", LOADS, _listed("{root}/p/libfile.so")),
    Case("G-161-after-a-comment", LOADS, _listed("# {root}/none.so\n\n  {root}/p/libfile.so # and so on\n")),
    Case("G-161-in-a-comment", "libx.so.1: cannot open", _listed("#{root}/p/libfile.so\n")),
    Case("G-161-colon-and-tab", LOADS, _listed("/none.so:{root}/p/libfile.so\t/none2.so")),
    Case("G-161-semicolon-is-no-separator", "libx.so.1: cannot open", _listed("/none.so;{root}/p/libfile.so")),
    Case(
        "G-161-by-name", LOADS, _listed("libname.so", needed="libname.so", environment={"LD_LIBRARY_PATH": "{root}/q"})
    ),
    Case(
        "G-161-beside-LD_PRELOAD",
        LOADS,
        _listed("{root}/p/libfile.so", environment={"LD_PRELOAD": "{root}/q/libname.so"}),
    ),
    Case("G-161-empty", "libx.so.1: cannot open", _listed("")),
    Case("G-161-other-user", LOADS, _listed("{root}/p/libfile.so", user=65534)),
    Case("G-81-masked-by-a-tunable", ANY, _masked_level),
)
