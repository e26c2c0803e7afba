"""Cases of the search for a name: the order of the lists, separators, tokens, subdirectories: ld-so.md G-60 to G-82."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.loader.cases_candidates import BEST, in_subdirectory
from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.elf_edit import with_header
from tests.support.real_loader import Load
from tfguard.image import DF_1_NODEFLIB

_LIB = ("lib/x86_64-linux-gnu", "lib64", "lib")  # what $LIB may stand for


def _relative_file(scene: Scene) -> Load:
    """A relative entry that is a file ends its list up to glibc 2.38 (V-15)."""
    scene.write("a", b"x")
    scene.fill(GOOD, "b")
    return scene.load(scene.top(), cwd=str(scene.root), environment={"LD_LIBRARY_PATH": "a:b"})


# --- the order of the lists


def _order(**present: bool) -> Callable[[Scene], Load]:
    """libx.so.1 in some of the places rpath, library_path, runpath; top has those lists that are named."""

    def lay_out(scene: Scene) -> Load:
        for place, is_there in present.items():
            scene.directory(place)
            if is_there:
                scene.fill(GOOD, place)
        lists = {name: f"{scene.root}/{name}" for name in ("rpath", "runpath") if name in present}
        environment = {"LD_LIBRARY_PATH": f"{scene.root}/library_path"} if "library_path" in present else {}
        return scene.load(scene.top(**lists), environment=environment)

    return lay_out


def _chain(**middle: str) -> Callable[[Scene], Load]:
    """top (RPATH) needs libmiddle (found there), which needs libx.so.1 (only there too)."""

    def lay_out(scene: Scene) -> Load:
        scene.library("deep/libmiddle.so", soname="libmiddle.so", needed=("libbottom.so",), **middle)
        scene.library("deep/libbottom.so", soname="libbottom.so", needed=("libx.so.1",))
        scene.fill(GOOD, "deep")
        return scene.load(scene.top(needed=("libmiddle.so",), rpath=f"{scene.root}/deep"))

    return lay_out


def _chain_broken_above(scene: Scene) -> Load:
    """top (RPATH x) needs a (RUNPATH y) needs b (RPATH z) needs libx.so.1, which only x has."""
    scene.library("y/libb.so", soname="libb.so", needed=("libx.so.1",), rpath=f"{scene.root}/z")
    scene.library("x/liba.so", soname="liba.so", needed=("libb.so",), runpath=f"{scene.root}/y")
    scene.fill(GOOD, "x")
    return scene.load(scene.top(needed=("liba.so",), rpath=f"{scene.root}/x"))


def _runpath_not_inherited(scene: Scene) -> Load:
    scene.library("deep/libmiddle.so", soname="libmiddle.so", needed=("libx.so.1",))
    scene.fill(GOOD, "deep")
    return scene.load(scene.top(needed=("libmiddle.so",), runpath=f"{scene.root}/deep"))


def _chain_of_an_earlier_load(scene: Scene) -> Load:
    """A library loaded as a dependency of one with RPATH; opened again later it brings nothing new."""
    scene.library("deep/libmiddle.so", soname="libmiddle.so")
    top = scene.top(needed=("libmiddle.so",), rpath=f"{scene.root}/deep")
    return scene.load(f"{scene.root}/deep/libmiddle.so", before=(top,))


def _caller_rpath_not_used(scene: Scene) -> Load:
    """The object opened by dlopen has no loader: what opened it lends it no RPATH (G-62)."""
    scene.fill(GOOD, "deep")
    opener = scene.compile("libopener.so", "int opener;", f"-Wl,--disable-new-dtags,-rpath,{scene.root}/deep")
    return scene.load(scene.top(), before=(opener,))


# --- separators, empty entries, tokens


def _library_path(value: str, *, in_cwd: bool = False, at: str = "b") -> Callable[[Scene], Load]:
    """LD_LIBRARY_PATH with {root} replaced; libx.so.1 lies in `at`, and the load happens there or at the root."""

    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, *(at.replace("$LIB", one) for one in _LIB))
        scene.directory("a")
        cwd = str(scene.root / at) if in_cwd else str(scene.root)
        return scene.load(scene.top(), cwd=cwd, environment={"LD_LIBRARY_PATH": value.format(root=scene.root)})

    return lay_out


def _run_path(value: str, *, at: str, tag: str = "runpath", in_cwd: bool = False) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, *(at.replace("$LIB", one) for one in _LIB))
        cwd = str(scene.root / at) if in_cwd else str(scene.root)
        return scene.load(scene.top(**{tag: value.format(root=scene.root)}), cwd=cwd)

    return lay_out


def _origin_through_link(scene: Scene) -> Load:
    """$ORIGIN is the directory of the link, not of the file it leads to."""
    top = scene.top(runpath="$ORIGIN/lib")
    scene.fill(GOOD, "elsewhere/lib")
    return scene.load(scene.link("elsewhere/libtop.so", top))


def _origin_of_relative_path(scene: Scene) -> Load:
    scene.top(runpath="$ORIGIN/../b")
    scene.fill(GOOD, "b")
    return scene.load("top/libtop.so", cwd=str(scene.root))


def _needed_name(name: str, at: str, *, cwd: str = ".") -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.write(at, GOOD)
        top = scene.top(needed=(name.format(root=scene.root),), runpath=f"{scene.root}/b")
        return scene.load(top, cwd=str(scene.root / cwd))

    return lay_out


def opened_name(name: str, environment: Mapping[str, str] | None = None) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.fill(GOOD, "here")
        filled = {key: value.format(root=scene.root) for key, value in (environment or {}).items()}
        return scene.load(name.format(root=scene.root), cwd=str(scene.root / "here"), environment=filled)

    return lay_out


# --- hardware subdirectories, default directories, cache


def _hwcaps_lower_and_higher(scene: Scene) -> Load:
    for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v9"):
        scene.write(f"b/glibc-hwcaps/{level}/libx.so.1", GOOD)
    return scene.load(scene.top(), environment={"LD_LIBRARY_PATH": f"{scene.root}/b"})


def _no_default(needed: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.top(needed=(needed,), flags_1=DF_1_NODEFLIB))


def _no_default_below(scene: Scene) -> Load:
    scene.library("b/libx.so.1", soname="libx.so.1", needed=("libBrokenLocale.so.1",))
    return scene.load(scene.top(flags_1=DF_1_NODEFLIB, runpath=f"{scene.root}/b"))


CASES = (
    Case("G-60-path-in-needed", LOADS, _needed_name("{root}/c/libx.so.1", "c/libx.so.1")),
    Case("G-60-relative-path-in-needed", LOADS, _needed_name("c/libx.so.1", "c/libx.so.1")),
    Case("G-60-relative-path-is-never-searched", "No such file", _needed_name("c/libx.so.1", "b/c/libx.so.1")),
    Case("G-61-follows-the-directory", "No such file", _needed_name("c/libx.so.1", "c/libx.so.1", cwd="c")),
    Case("G-61-dot-slash", LOADS, opened_name("./libx.so.1")),
    Case("G-61-dot-dot", LOADS, opened_name("../here/libx.so.1")),
    Case("G-61-double-slash", LOADS, opened_name("{root}//here/./libx.so.1")),
    Case("G-64-bare-name-in-current-directory", "No such file", opened_name("libx.so.1")),
    Case("G-64-bare-name-by-library-path", LOADS, opened_name("libx.so.1", {"LD_LIBRARY_PATH": "{root}/here"})),
    Case("G-64-rpath-first", LOADS, _order(rpath=True, library_path=True)),
    Case("G-64-library-path-before-runpath", LOADS, _order(library_path=True, runpath=True)),
    Case("G-64-library-path-after-rpath", LOADS, _order(rpath=False, library_path=True)),
    Case("G-64-runpath-last", LOADS, _order(library_path=False, runpath=True)),
    Case("G-63-runpath-silences-rpath", "No such file", _order(rpath=True, runpath=False)),
    Case("G-63-both", LOADS, _order(rpath=True, runpath=True)),
    Case("G-63-both-and-library-path", LOADS, _order(rpath=True, library_path=True, runpath=True)),
    Case("G-63-empty-runpath-silences-rpath", ANY,
         lambda scene: scene.load(scene.fill(GOOD, "a").top(rpath=f"{scene.root}/a", runpath=""))),
    Case("G-64-rpath-of-the-chain", LOADS, _chain()),
    Case("G-64-chain-ends-at-runpath", "No such file", _chain(runpath="/nowhere")),
    Case("G-64-chain-with-other-rpath", LOADS, _chain(rpath="/nowhere")),
    Case("G-64-runpath-above-does-not-break-the-chain", LOADS, _chain_broken_above),
    Case("G-64-runpath-not-inherited", "No such file", _runpath_not_inherited),
    Case("G-03-dependency-loaded-before", LOADS, _chain_of_an_earlier_load),
    Case("G-62-opener-lends-no-rpath", "No such file", _caller_rpath_not_used),
    Case("G-70-colon", LOADS, _library_path("{root}/a:{root}/b")),
    Case("G-70-semicolon", LOADS, _library_path("{root}/a;{root}/b")),
    Case("G-70-both-separators", LOADS, _library_path("{root}/none;{root}/a:{root}/b")),
    Case("G-70-space-is-no-separator", "No such file", _library_path("{root}/a {root}/b")),
    Case("G-70-comma-is-no-separator", "No such file", _library_path("{root}/a,{root}/b")),
    Case("G-70-newline-is-no-separator", "No such file", _library_path("{root}/a\n{root}/b")),
    Case("G-70-empty-value", "No such file", _library_path("", in_cwd=True)),
    Case("G-70-colon-alone", LOADS, _library_path(":", in_cwd=True)),
    Case("G-70-semicolon-alone", LOADS, _library_path(";", in_cwd=True)),
    Case("G-70-leading-colon", LOADS, _library_path(":{root}/a", in_cwd=True)),
    Case("G-70-trailing-colon", LOADS, _library_path("{root}/a:", in_cwd=True)),
    Case("G-70-double-colon", LOADS, _library_path("{root}/a::/none", in_cwd=True)),
    Case("G-70-dot", LOADS, _library_path(".", in_cwd=True)),
    Case("G-70-relative", LOADS, _library_path("b")),
    Case("G-70-relative-dots", LOADS, _library_path("a/.././b")),
    Case("G-70-trailing-slashes", LOADS, _library_path("{root}/b///")),
    Case("G-70-inner-slashes", LOADS, _library_path("{root}//b")),
    Case("G-70-root", "No such file", _library_path("/")),
    Case("G-70-duplicates", LOADS, _library_path("{root}/a:{root}/a/:{root}/b:{root}/b")),
    Case("G-70-unknown-token-is-literal", LOADS, _library_path("{root}/$FOO", at="$FOO")),
    Case("G-70-dollar-at-the-end", LOADS, _library_path("{root}/b$", at="b$")),
    Case("G-70-lib-token", LOADS, _library_path("{root}/$LIB", at="$LIB")),
    Case("G-70-platform-token", ANY, _library_path("{root}/${{PLATFORM}}", at="x86_64")),
    Case("G-70-origin-token", "No such file", _library_path("$ORIGIN/none:$ORIGIN")),
    Case("G-65-relative-entry-is-a-file", ANY, _relative_file),
    Case("G-65-relative-entry-absent", LOADS, _library_path("none:b")),
    Case("G-71-colon", LOADS, _run_path("{root}/a:{root}/b", at="b")),
    Case("G-71-semicolon-is-no-separator", "No such file", _run_path("{root}/a;{root}/b", at="b")),
    Case("G-71-empty-entry", LOADS, _run_path("{root}/none:", at="b", in_cwd=True)),
    Case("G-71-colon-alone", LOADS, _run_path(":", at="b", in_cwd=True)),
    Case("G-71-empty-string", "No such file", _run_path("", at="b", in_cwd=True)),
    Case("G-71-empty-rpath", "No such file", _run_path("", at="b", in_cwd=True, tag="rpath")),
    Case("G-71-relative", LOADS, _run_path("b", at="b")),
    Case("G-71-relative-rpath", LOADS, _run_path("none:b/", at="b", tag="rpath")),
    Case("G-74-links-and-dots-kept", LOADS, _run_path("{root}/top/../b/./", at="b")),
    Case("G-75-origin", LOADS, _run_path("$ORIGIN/../b", at="b")),
    Case("G-75-origin-in-rpath", LOADS, _run_path("$ORIGIN/../b", at="b", tag="rpath")),
    Case("G-75-origin-through-link", LOADS, _origin_through_link),
    Case("G-75-origin-of-relative-path", LOADS, _origin_of_relative_path),
    Case("G-76-braces", LOADS, _run_path("${{ORIGIN}}/../b", at="b")),
    Case("G-76-twice", LOADS, _run_path("$ORIGIN/../../{root}/b:$ORIGIN/../$LIB", at="$LIB")),
    Case("G-76-letter-behind", "No such file", _run_path("$ORIGINAL/../b", at="b")),
    Case("G-76-underscore-behind", "No such file", _run_path("$ORIGIN_/../b", at="b")),
    Case("G-76-dash-behind", LOADS, _run_path("{root}/$LIB-b", at="$LIB-b")),
    Case("G-76-half-braces", "No such file", _run_path("${{ORIGIN/../b", at="b")),
    Case("G-76-lower-case", "No such file", _run_path("$origin/../b", at="b")),
    Case("G-76-in-needed", LOADS, _needed_name("$ORIGIN/../b/libx.so.1", "b/libx.so.1")),
    Case("G-76-bare-token-in-needed", ANY, _needed_name("lib$FOO.so", "b/lib$FOO.so")),
    Case("G-76-platform-in-needed", ANY, _needed_name("lib$PLATFORM.so", "b/libx86_64.so")),
    Case("G-76-token-in-opened-bare-name", "cannot open", opened_name("lib$PLATFORM.so")),
    Case("G-76-opened-text", "invalid ELF header", lambda scene: scene.load(
        scene.write("${PLATFORM/libx.so", b"x" * 100))),
    Case("G-76-opened-twice", LOADS, lambda scene: scene.fill(GOOD, *_LIB).load(
        f"{scene.root}/$LIB/libx.so.1", f"{scene.root}/$LIB/libx.so.1")),
    Case("G-76-opened-and-stopped", ANY, lambda scene: scene.fill(
        with_header(GOOD, e_type=2), *_LIB).load(f"{scene.root}/$LIB/libx.so.1")),
    Case("G-76-in-opened-name", "No such file", opened_name("$ORIGIN/libx.so.1")),
    Case("G-78-system-library", "libBrokenLocale.so.1: cannot open shared object file",
         _no_default("libBrokenLocale.so.1")),
    Case("G-78-library-path-works", LOADS, lambda scene: scene.load(
        scene.fill(GOOD, "b").top(flags_1=DF_1_NODEFLIB), environment={"LD_LIBRARY_PATH": f"{scene.root}/b"})),
    Case("G-78-nothing-opened", ANY, lambda scene: scene.load(scene.top(flags_1=DF_1_NODEFLIB))),
    Case("G-78-missing-directories", ANY, lambda scene: scene.load(
        scene.top(flags_1=DF_1_NODEFLIB, needed=("libx.so.1", "liby.so"), runpath="/absent:/none"))),
    Case("G-78-missing-directories-known", ANY, lambda scene: scene.load(
        *(scene.library(name, flags_1=DF_1_NODEFLIB, needed=("libx.so.1",), runpath="/absent")
          for name in ("a.so", "b.so")))),
    Case("G-78-circle", ANY, lambda scene: scene.load(
        scene.link("a/libx.so.1", "libx.so.1") and scene.top(flags_1=DF_1_NODEFLIB, runpath=f"{scene.root}/a"))),
    Case("G-73-root-directory", ANY, lambda scene: scene.load(
        *(scene.library(name, needed=(f"libno{name}",), runpath="/") for name in ("a.so", "b.so")))),
    Case("G-73-root-directory-alone", ANY, lambda scene: scene.load(
        *(scene.library(name, flags_1=DF_1_NODEFLIB, needed=("libx.so.1",), runpath="/")
          for name in ("a.so", "b.so")))),
    Case("G-78-no-such-library", ANY, _no_default("libnone.so.8")),
    Case("G-78-for-that-loader-only", ANY, _no_default_below),
    Case("G-81-v2-before-base", LOADS, in_subdirectory(BEST, GOOD)),
    Case("G-81-v2-alone", LOADS, in_subdirectory(BEST, GOOD, base=False)),
    Case("G-81-unknown-level", "No such file", in_subdirectory("glibc-hwcaps/x86-64-v9", GOOD, base=False)),
    Case("G-81-best-level", LOADS, _hwcaps_lower_and_higher),
    *(Case(f"G-82-legacy-{one.replace('/', '-')}", ANY, in_subdirectory(one, GOOD, base=False))
      for one in ("tls", "x86_64", "tls/x86_64", "haswell", "avx512_1", "haswell/x86_64", "tls/haswell/avx512_1",
                  "x86_64/x86_64", "haswell/avx512_1/x86_64", "i686", "sse2")),
)  # fmt: skip
