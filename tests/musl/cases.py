"""Cases of musl's own rules: a name that begins with the number of the rule, and files to lay out with a question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.loader.scene import GOOD, Scene
from tests.support.elf_edit import with_header
from tests.support.elf_writer import R_64, STB_WEAK, STT_GNU_IFUNC, Export, Import, Library, write
from tests.support.real_loader import Load
from tfguard.image import DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_PIE


def _fill(scene: Scene, *places: str) -> None:
    scene.fill(GOOD, *places)


def _list(value: str, *, tag: str = "", at: str = "b") -> Callable[[Scene], Load]:
    """A list, as LD_LIBRARY_PATH or as the tag of the library; libx.so.1 lies in `at`."""

    def lay_out(scene: Scene) -> Load:
        _fill(scene, at)
        text = value.format(root=scene.root)
        environment = {} if tag else {"LD_LIBRARY_PATH": text}
        return scene.load(scene.top(**({tag: text} if tag else {})), cwd=str(scene.root), environment=environment)

    return lay_out


def _inherited(tag: str) -> Callable[[Scene], Load]:
    """top (with the list) needs libmiddle, which needs libx.so.1, both where only top's list leads."""

    def lay_out(scene: Scene) -> Load:
        scene.library("deep/libmiddle.so", soname="libmiddle.so", needed=("libx.so.1",))
        _fill(scene, "deep")
        return scene.load(scene.top(needed=("libmiddle.so",), **{tag: f"{scene.root}/deep"}))

    return lay_out


def _reserved(name: str) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.top(needed=(name,)))


def _another_libc(scene: Scene) -> Load:
    libc = next(one for one in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6") if Path(one).exists())
    return scene.load(libc, scene.top(needed=(libc,)))


def _by_path_before(scene: Scene) -> Load:
    """Loading a library by path does not serve a DT_NEEDED of its soname."""
    _fill(scene, "a")
    return scene.load(scene.top(), before=(f"{scene.root}/a/libx.so.1",))


def _found_before(scene: Scene) -> Load:
    """One that was found by search does, wherever it lies."""
    _fill(scene, "a")
    first = scene.library("first.so", needed=("libx.so.1",), rpath=f"{scene.root}/a")
    return scene.load(scene.top(), before=(first,))


def _wrong_file_first(data: Callable[[bytes], bytes]) -> Callable[[Scene], Load]:
    """The first file that opens is taken, whatever it is."""

    def lay_out(scene: Scene) -> Load:
        scene.write("a/libx.so.1", data(GOOD))
        _fill(scene, "b")
        path = f"{scene.root}/a:{scene.root}/b"
        return scene.load(scene.top(), environment={"LD_LIBRARY_PATH": path})

    return lay_out


def _undefined(*imports: Import, exports: tuple[Export, ...] = ()) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.library("libx.so.1", soname="libx.so.1", exports=exports)
        return scene.load(scene.top(imports=imports, rpath=str(scene.root)))

    return lay_out


def _edited(data: Callable[[bytes], bytes]) -> Callable[[Scene], Load]:
    """One library, changed, opened by its path."""
    return lambda scene: scene.load(scene.write("libx.so.1", data(GOOD)))


def _header(**fields: int) -> Callable[[Scene], Load]:
    return _edited(lambda data: with_header(data, **fields))


def _not_looked_at(scene: Scene) -> Load:
    """A list of libraries, a directory for a processor, one that says it wants no default directories."""
    scene.fill(write(Library(soname="libx.so.1", flags_1=DF_1_NODEFLIB | DF_1_NOOPEN | DF_1_PIE)), "a")
    _fill(scene, "a/glibc-hwcaps/x86-64-v2")
    return scene.load(scene.top(rpath=f"{scene.root}/a"), environment={"LD_BIND_NOW": "1", "LD_AUDIT": "libnone.so"})


def _hashed(*, gnu: bool, sysv: bool) -> Callable[[Scene], Load]:
    data = write(Library(soname="libx.so.1", exports=(Export(name="x"),), has_gnu_hash=gnu, has_sysv_hash=sysv))
    return lambda scene: scene.load(scene.fill(data, "a").top(imports=(Import(name="x"),), rpath=f"{scene.root}/a"))


_X = Import(name="x", file="libx.so.1", version="V1")

OF_MUSL: tuple[tuple[str, Callable[[Scene], Load]], ...] = (
    ("M-01-library-path-before-rpath", _list("{root}/b")),
    ("M-02-rpath-inherited", _inherited("rpath")),
    ("M-02-runpath-inherited", _inherited("runpath")),
    ("M-03-newline", _list("{root}/a\n{root}/b")),
    ("M-03-semicolon-is-none", _list("{root}/a;{root}/b")),
    ("M-03-empty-entry-is-not-here", _list("::", at=".")),
    ("M-03-dot-is-here", _list(".", at=".")),
    ("M-03-relative-rpath", _list("b", tag="rpath")),
    ("M-06-origin", _list("$ORIGIN/../b", tag="runpath")),
    ("M-06-origin-in-braces", _list("${{ORIGIN}}/../b", tag="rpath")),
    ("M-06-origin-and-more-letters", _list("$ORIGINAL:{root}/b", tag="rpath")),
    ("M-06-other-token-spoils-all", _list("{root}/b:/x/$LIB", tag="rpath")),
    ("M-06-no-token-in-library-path", _list("$ORIGIN/../b")),
    *((f"M-07-{name}", _reserved(name)) for name in (
        "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libxnet.so",
        "libc.musl-x86_64.so.1", "libresolv.so.2", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libm-2.31.so",
        "/lib/ld-musl-x86_64.so.1",
    )),
    ("M-07-another-libc", _another_libc),
    ("M-08-by-path", _by_path_before),
    ("M-08-by-search", _found_before),
    ("M-05-text-first", _wrong_file_first(lambda data: b"GROUP ( libx.so ) " * 20)),
    ("M-05-empty-first", _wrong_file_first(lambda data: b"")),
    ("M-09-what-only-glibc-has", _not_looked_at),
    ("M-10-magic", _edited(lambda data: b"\0ABC" + data[4:])),
    ("M-10-class", _header(ei_class=1)),
    ("M-10-data", _header(ei_data=2)),
    ("M-10-osabi", _header(ei_osabi=9)),
    ("M-10-ident-version", _header(ei_version=7)),
    ("M-10-padding", _header(ei_pad=1)),
    ("M-10-version", _header(e_version=9)),
    ("M-10-program", _header(e_type=2)),
    ("M-11-empty", _edited(lambda data: b"")),
    ("M-11-63-bytes", _edited(lambda data: data[:63])),
    ("M-11-text", _edited(lambda data: b"# no library\n" * 20)),
    ("M-11-object-file", _header(e_type=1)),
    ("M-11-no-headers", _header(e_phnum=0)),
    ("M-13-directory", lambda scene: scene.load(scene.directory("libx.so.1"))),
    ("M-14-gnu-hash", _hashed(gnu=True, sysv=False)),
    ("M-14-sysv-hash", _hashed(gnu=False, sysv=True)),
    ("M-14-none", _hashed(gnu=False, sysv=False)),
    ("M-12-aarch64-first", _wrong_file_first(lambda data: with_header(data, e_machine=183))),
    ("M-12-i386-first", _wrong_file_first(lambda data: with_header(data, ei_class=1))),
    ("M-20-version-not-looked-at", _undefined(_X, exports=(Export(name="x", version="V2"),))),
    ("M-20-hidden-version-skipped", _undefined(_X, exports=(Export(name="x", version="V1", hidden=True),))),
    ("M-21-undefined", _undefined(Import(name="nowhere"), Import(name="x"), exports=(Export(name="x"),))),
    ("M-22-ifunc", _undefined(_X, exports=(Export(name="x", type=STT_GNU_IFUNC),))),
    ("M-26-weak", _undefined(Import(name="nowhere", binding=STB_WEAK))),
    ("M-24-data-before-calls-in-the-table", _undefined(Import(name="data", relocation=R_64), Import(name="more"))),
    ("M-31-empty-name", lambda scene: scene.load("")),
    ("M-43-fortified", _undefined(Import(name="__printf_chk"), Import(name="printf"))),
    ("V-31-open64", _undefined(Import(name="open64"))),
)  # fmt: skip
