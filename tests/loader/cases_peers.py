"""What the tests of libtree and of auditwheel are about, built anew as loads: which file is found, or what is missing.

Both projects test programs and wheels; here each is the library that a program or an extension module would be, so that
the same question can be put to the loader, to tfguard and to them (tests/peers).
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path

from tests.loader.scene import ANY, LOADS, Case, Scene, Unavailable
from tests.support.elf_edit import with_header
from tests.support.real_loader import Load
from tfguard.image import EM_AARCH64

_OLD, _NEW = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"
_ALL = "-Wl,--no-as-needed"


def library(scene: Scene, path: str, *needed: str, search: str = "", new: bool = True, options: str = "") -> str:
    """A library by the compiler, its soname the file's name, linked against others; `search` is its RUNPATH or RPATH.

    `{root}` in `search` and `options` is the case's folder.
    """
    name = path.rpartition("/")[2]
    given = [f"-Wl,-soname,{name}", _ALL, *needed, _NEW if new else _OLD]
    given += [option.replace("{root}", str(scene.root)) for option in options.split()]
    if search:
        given.append(f"-Wl,-rpath,{search.replace('{root}', str(scene.root))}")
    return scene.compile(path, f"int {name.replace('.', '_').replace('-', '_')};", *given)


# --- libtree


def _origin(*, new: bool) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        liba = library(scene, "liba.so")
        return scene.load(library(scene, "top.so", liba, search="$ORIGIN", new=new))

    return lay_out


def _grandparent(target: str, *, library_path: bool = False) -> Callable[[Scene], Load]:
    """top.so with RPATH needs liba.so, which needs libb.so and has no path of its own."""

    def lay_out(scene: Scene) -> Load:
        libb = library(scene, "libb.so")
        liba = library(scene, "liba.so", libb)
        library(scene, "top.so", liba, search="$ORIGIN", new=False)
        environment = {"LD_LIBRARY_PATH": str(scene.root)} if library_path else {}
        return scene.load(scene.path(target), environment=environment)

    return lay_out


def _by_path(*, finds: bool) -> Callable[[Scene], Load]:
    """libf.so is needed by top.so and by libg.so; only the latter has its folder, unless top.so has it too.

    The third is needed by its path: it has no soname.
    """

    def lay_out(scene: Scene) -> Load:
        libf = library(scene, "deep/libf.so")
        libg = library(scene, "libg.so", libf, search="{root}/deep")
        plain = scene.compile("libplain.so", "int plain;")
        search = "{root}:{root}/deep" if finds else "{root}"
        return scene.load(library(scene, "top.so", libf, libg, plain, search=search))

    return lay_out


def _order(*, new: bool, library_path: bool) -> Callable[[Scene], Load]:
    """RPATH before LD_LIBRARY_PATH before RUNPATH; the copy in LD_LIBRARY_PATH needs one more library."""

    def lay_out(scene: Scene) -> Load:
        liba = library(scene, "other/liba.so")
        library(scene, "other/libb.so", liba, search="$ORIGIN", new=False)
        libb = library(scene, "libb.so")
        environment = {"LD_LIBRARY_PATH": f"{scene.root}/other"} if library_path else {}
        return scene.load(library(scene, "top.so", libb, search="{root}", new=new), environment=environment)

    return lay_out


def _other_class(scene: Scene) -> Load:
    """A 32-bit library of that name comes first in the path."""
    libx = library(scene, "wide/libx.so")
    data = Path(libx).read_bytes()
    scene.write("narrow/libx.so", with_header(data, ei_class=1, e_machine=3))
    return scene.load(library(scene, "top.so", libx, search="{root}/narrow:{root}/wide"))


def _versions(*, linked: str, first: str) -> Callable[[Scene], Load]:
    """The library found first defines the version that was linked against, or does not: the search never goes on."""

    def lay_out(scene: Scene) -> Load:
        both = '__asm__(".symver f_1, f@V_1\\n.symver f_2, f@@V_2"); int f_1 = 1, f_2 = 2;'
        kinds = {"v1": ("V_1 { f; };", "int f = 1;"), "v2": ("V_1 { f; }; V_2 { f; } V_1;", both)}
        for name, (text, source) in kinds.items():
            script = scene.write(f"{name}.map", text.encode())
            scene.compile(f"{name}/libx.so", source, "-Wl,-soname,libx.so", f"-Wl,--version-script,{script}")
        second = "v1" if first == "v2" else "v2"
        search = f"-Wl,-rpath,{scene.root}/{first}:{scene.root}/{second}"
        source = "extern int f; int *top = &f;"
        return scene.load(scene.compile("top.so", source, scene.path(f"{linked}/libx.so"), search))

    return lay_out


def _origin_of_a_link(*, library_path: bool) -> Callable[[Scene], Load]:
    """libg.so is found by a link in another folder: its $ORIGIN is that of the link."""

    def lay_out(scene: Scene) -> Load:
        libf = library(scene, "a/libf.so")
        libg = library(scene, "a/libg.so", libf, search="$ORIGIN")
        scene.link("b/libg.so", "../a/libg.so")
        environment = {"LD_LIBRARY_PATH": f"{scene.root}/a/../a"} if library_path else {}
        if library_path:  # where the link is not, so that libf.so alone is found
            Path(libg).rename(scene.path("c/libg.so"))
            Path(scene.path("b/libg.so")).unlink()
            scene.link("b/libg.so", "../c/libg.so")
        return scene.load(library(scene, "top.so", libg if not library_path else scene.path("c/libg.so"),
                                   search="$ORIGIN/b"), environment=environment)  # fmt: skip

    return lay_out


_SYSTEM = "libBrokenLocale.so.1"  # of the C library's own package, and needed by nothing


def _no_default_directories(*, top: bool, dependency: bool) -> Callable[[Scene], Load]:
    """Who needs a library of the system is linked with -z nodefaultlib, or is not."""

    def lay_out(scene: Scene) -> Load:
        system = next((f"{place}/{_SYSTEM}" for place in ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib")
                       if Path(place, _SYSTEM).exists()), None)  # fmt: skip
        if system is None:
            raise Unavailable(f"there is no {_SYSTEM} here")
        lib = library(scene, "libd.so", system, options="-Wl,-z,nodefaultlib" if dependency else "")
        options = "-Wl,-z,nodefaultlib" if top else ""
        return scene.load(library(scene, "top.so", lib, search="$ORIGIN", options=options))

    return lay_out


def _own_path_first(target: str) -> Callable[[Scene], Load]:
    """liba.so's own RPATH comes before that of who needs it."""

    def lay_out(scene: Scene) -> Load:
        library(scene, "first/libb.so")
        libb = library(scene, "second/libb.so")
        liba = library(scene, "liba.so", libb, search="$ORIGIN/second", new=False)
        library(scene, "top.so", liba, search="$ORIGIN:$ORIGIN/first", new=False)
        return scene.load(scene.path(target))

    return lay_out


# --- auditwheel


def _extension_chain(*, tag: str) -> Callable[[Scene], Load]:
    """An extension needs a/liba.so, which needs b/libb.so by RPATH, by RUNPATH or by LD_LIBRARY_PATH alone."""

    def lay_out(scene: Scene) -> Load:
        search = "" if tag == "none" else "$ORIGIN/../b"
        libb = library(scene, "b/libb.so", search=search, new=tag == "runpath")
        liba = library(scene, "a/liba.so", libb, search=search, new=tag == "runpath")
        places = f"{scene.root}/a" + (f":{scene.root}/b" if tag == "none" else "")
        return scene.load(library(scene, "package/ext.so", liba), environment={"LD_LIBRARY_PATH": places})

    return lay_out


def _partial_resolution(*, new: bool) -> Callable[[Scene], Load]:
    """Both libraries lie beside the extension, and only the extension says so."""

    def lay_out(scene: Scene) -> Load:
        libb = library(scene, "package/libb.so")
        liba = library(scene, "package/liba.so", libb)
        return scene.load(library(scene, "package/ext.so", liba, search="$ORIGIN", new=new))

    return lay_out


def _repaired(*, new: bool) -> Callable[[Scene], Load]:
    """A wheel after `auditwheel repair`: renamed libraries in package.libs, of which one needs the other."""

    def lay_out(scene: Scene) -> Load:
        libb = library(scene, "package.libs/libb-1a2b3c4d.so.2")
        liba = library(scene, "package.libs/liba-5e6f7a8b.so.1", libb)
        return scene.load(library(scene, "package/ext.so", liba, search="$ORIGIN/../package.libs", new=new))

    return lay_out


def _two_extensions(target: str) -> Callable[[Scene], Load]:
    """Two extensions at the top, one needs liba.so which needs libb.so, the other libb.so."""

    def lay_out(scene: Scene) -> Load:
        libb = library(scene, "lib/b/libb.so")
        liba = library(scene, "lib/a/liba.so", libb)
        library(scene, "example_a.so", liba)
        library(scene, "example_b.so", libb)
        places = f"{scene.root}/lib/a:{scene.root}/lib/b"
        return scene.load(scene.path(target), environment={"LD_LIBRARY_PATH": places})

    return lay_out


def _internal(scene: Scene) -> Load:
    """One library inside the package by RUNPATH, one outside by LD_LIBRARY_PATH."""
    liba = library(scene, "package/liba.so")
    libb = library(scene, "lib/libb.so")
    top = library(scene, "package/ext.so", liba, libb, search="$ORIGIN")
    return scene.load(top, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})


def _needs_system(soname: str) -> Callable[[Scene], Load]:
    """An extension that needs a library of the system by its name alone."""
    return lambda scene: scene.load(scene.library("ext.so", soname="ext.so", needed=(soname, "libc.so.6")))


def _needs_libpython(*, own: bool) -> Callable[[Scene], Load]:
    """An extension linked against libpython: that of this process, or of another Python."""

    def lay_out(scene: Scene) -> Load:
        name = str(sysconfig.get_config_var("INSTSONAME")) if own else "libpython3.99.so.1.0"
        return scene.load(scene.library("ext.so", soname="ext.so", needed=(name,)))

    return lay_out


def _isa_variant(level: int) -> Callable[[Scene], Load]:
    """An extension whose library is marked for an x86-64 level."""

    def lay_out(scene: Scene) -> Load:
        marked = scene.library("package/libx.so", soname="libx.so", isa_needed=1 << (level - 1))
        return scene.load(library(scene, "package/ext.so", marked, search="$ORIGIN"))

    return lay_out


def _foreign(scene: Scene) -> Load:
    """An extension of a wheel for another machine."""
    built = Path(library(scene, "ext.so"))
    built.write_bytes(with_header(built.read_bytes(), e_machine=EM_AARCH64))
    return scene.load(str(built))


def _places(value: str, place: str) -> Callable[[Scene], Load]:
    """Entries of LD_LIBRARY_PATH: empty ones are the working directory, missing ones are passed over."""

    def lay_out(scene: Scene) -> Load:
        libx = library(scene, f"{place}/libx.so")
        library(scene, "top/ext.so", libx)
        environment = {"LD_LIBRARY_PATH": value.replace("{root}", str(scene.root))}
        return scene.load(scene.path("top/ext.so"), environment=environment, cwd=scene.directory("here"))

    return lay_out


LIBTREE = (
    Case("G-75-libtree-01-origin-rpath", LOADS, _origin(new=False)),
    Case("G-75-libtree-01-origin-runpath", LOADS, _origin(new=True)),
    Case("G-64-libtree-02-rpath-of-parents-parent", LOADS, _grandparent("top.so")),
    Case("G-64-libtree-02-without-the-parent", "libb.so: cannot open", _grandparent("liba.so")),
    Case("G-70-libtree-02-by-library-path", LOADS, _grandparent("liba.so", library_path=True)),
    Case("G-60-libtree-03-direct-and-by-path", LOADS, _by_path(finds=True)),
    Case("G-115-libtree-03-first-need-decides", "libf.so: cannot open", _by_path(finds=False)),
    *(
        Case(f"G-64-libtree-04-{'runpath' if new else 'rpath'}-{'and' if given else 'without'}-library-path", LOADS,
             _order(new=new, library_path=given))
        for new in (False, True) for given in (False, True)
    ),
    Case("G-24-libtree-05-other-class-first", LOADS, _other_class),
    Case("G-122-libtree-06-newer-serves-older", LOADS, _versions(linked="v1", first="v2")),
    Case("G-122-libtree-06-older-found-first", "version `V_2' not found", _versions(linked="v2", first="v1")),
    Case("G-75-libtree-07-origin-of-a-link", "libf.so: cannot open", _origin_of_a_link(library_path=False)),
    Case("G-75-libtree-07-and-library-path", LOADS, _origin_of_a_link(library_path=True)),
    Case("G-78-libtree-08-top-without-default-directories", LOADS, _no_default_directories(top=True, dependency=False)),
    Case("G-78-libtree-08-needer-without-default-directories", f"{_SYSTEM}: cannot open",
         _no_default_directories(top=False, dependency=True)),
    Case("G-64-libtree-10-own-rpath-first", LOADS, _own_path_first("top.so")),
    Case("G-64-libtree-10-own-rpath-alone", LOADS, _own_path_first("liba.so")),
)  # fmt: skip

AUDITWHEEL = (
    Case("G-64-auditwheel-chain-by-rpath", LOADS, _extension_chain(tag="rpath")),
    Case("G-64-auditwheel-chain-by-runpath", LOADS, _extension_chain(tag="runpath")),
    Case("G-64-auditwheel-chain-by-library-path", LOADS, _extension_chain(tag="none")),
    Case("G-64-auditwheel-partial-resolution", LOADS, _partial_resolution(new=False)),
    Case("G-64-auditwheel-partial-resolution-runpath", "libb.so: cannot open", _partial_resolution(new=True)),
    Case("G-64-auditwheel-repaired", LOADS, _repaired(new=False)),
    Case("G-64-auditwheel-repaired-with-runpath", "cannot open", _repaired(new=True)),
    Case("G-70-auditwheel-two-extensions-a", LOADS, _two_extensions("example_a.so")),
    Case("G-70-auditwheel-two-extensions-b", LOADS, _two_extensions("example_b.so")),
    Case("G-64-auditwheel-internal-runpath", LOADS, _internal),
    Case("G-100-auditwheel-libz", ANY, _needs_system("libz.so.1")),
    Case("G-100-auditwheel-libmvec", ANY, _needs_system("libmvec.so.1")),
    Case("G-100-auditwheel-libcrypt", ANY, _needs_system("libcrypt.so.1")),
    Case("G-110-auditwheel-own-libpython", ANY, _needs_libpython(own=True)),
    Case("G-110-auditwheel-other-libpython", "libpython3.99.so.1.0: cannot open", _needs_libpython(own=False)),
    *(Case(f"G-53-auditwheel-x86-64-v{level}", ANY, _isa_variant(level)) for level in (1, 2, 3, 4)),
    Case("G-29a-auditwheel-other-machine", "No such file", _foreign),
    Case("G-70-auditwheel-missing-place", LOADS, _places("/nonexistent:{root}/p", "p")),
    Case("G-70-auditwheel-empty-place", LOADS, _places("{root}/none:", "here")),
    Case("G-70-auditwheel-place-with-dots", LOADS, _places("{root}/here/../q", "q")),
    Case("G-70-auditwheel-place-twice", LOADS, _places("{root}/q:{root}/q", "q")),
)  # fmt: skip

CASES = (*LIBTREE, *AUDITWHEEL)
