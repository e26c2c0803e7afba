"""Cases of thread-local variables of fixed place and the room that is kept for them: ld-so.md §12."""

from __future__ import annotations

from collections.abc import Callable

from tests.loader.scene import ANY, LOADS, Case, Scene
from tests.support.real_loader import Load

_BLOCK = """
static __thread char block[{size}] __attribute__((tls_model("{model}"), aligned({align})));
char *{name}(int i) {{ return &block[i]; }}
"""
_REFUSED = "cannot allocate memory in static TLS block"


def _library(
    scene: Scene, name: str, size: int, *, model: str = "initial-exec", align: int = 1, dialect: str = "gnu"
) -> str:
    """A library with one thread-local block of `size` bytes."""
    source = _BLOCK.format(size=size, model=model, align=align, name=name)
    return scene.compile(f"lib{name}.so", source, *((f"-mtls-dialect={dialect}",) if dialect != "gnu" else ()))


def _one(size: int, *, tunables: str = "", model: str = "initial-exec", align: int = 1) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        environment = {"GLIBC_TUNABLES": tunables} if tunables else {}
        return scene.load(_library(scene, "top", size, model=model, align=align), environment=environment)

    return lay_out


def _one_after_another(*sizes: int, align: int = 1, tunables: str = "") -> Callable[[Scene], Load]:
    """Libraries with blocks of these sizes, each loaded when those before it are."""

    def lay_out(scene: Scene) -> Load:
        names = [_library(scene, f"n{index}", size, align=align) for index, size in enumerate(sizes)]
        return scene.load(*names, environment={"GLIBC_TUNABLES": tunables} if tunables else {})

    return lay_out


def _used_before(
    size: int, *before: int, dialect: str = "gnu", model: str = "initial-exec", align: int = 1
) -> Callable[[Scene], Load]:
    """A block of `size` bytes in a process that has loaded others before it is looked at (G-157)."""

    def lay_out(scene: Scene) -> Load:
        model_of = "global-dynamic" if dialect == "gnu2" else model
        loaded = tuple(
            _library(scene, f"b{index}", one, dialect=dialect, model=model_of, align=align)
            for index, one in enumerate(before)
        )
        return scene.load(_library(scene, "top", size), before=loaded)

    return lay_out


def _descriptors(size: int, *others: int) -> Callable[[Scene], Load]:
    """Libraries that take room where there is some (TLSDESC), and then one that must have it."""

    def lay_out(scene: Scene) -> Load:
        names = [
            _library(scene, f"d{index}", one, model="global-dynamic", dialect="gnu2")
            for index, one in enumerate(others)
        ]
        return scene.load(*names, _library(scene, "top", size))

    return lay_out


def _of_a_dependency(size: int, *, before: bool = False) -> Callable[[Scene], Load]:
    """The variable is another library's: that one is charged and named (G-150)."""

    def lay_out(scene: Scene) -> Load:
        base = scene.compile("libbase.so", f"__thread char shared[{size}];", "-Wl,-soname,libbase.so")
        source = 'extern __thread char shared[] __attribute__((tls_model("initial-exec"))); char *top = 0;'
        source += "char *at(int i) { return &shared[i]; }"
        top = scene.compile("libtop.so", source, base, "-Wl,-rpath,$ORIGIN")
        return scene.load(top, before=(base,) if before else ())

    return lay_out


def _preloaded(scene: Scene) -> Load:
    """What is there from the start has its place beside the room for later loads (G-153)."""
    first = _library(scene, "first", 5000)
    return scene.load(first, _library(scene, "top", 1600), environment={"LD_PRELOAD": first})


def _given_back(scene: Scene) -> Load:
    """A load that fails gives back what its objects had taken (G-02)."""
    base = _library(scene, "base", 1000)
    source = "char *base(int); int nowhere(void); int top(void) { return base(0) != 0 && nowhere(); }"
    top = scene.compile("libtop.so", source, base, "-Wl,-rpath,$ORIGIN", "-Wl,-z,now")
    return scene.load(top, _library(scene, "other", 1500))


def _two_in_one_load(scene: Scene) -> Load:
    """Two blocks that fit alone, in one load: the dependency gets its place first."""
    base = _library(scene, "base", 1000)
    source = _BLOCK.format(size=900, model="initial-exec", align=1, name="top") + "char *base(int); void *p = base;"
    return scene.load(scene.compile("libtop.so", source, base, "-Wl,-rpath,$ORIGIN"))


def _flag_alone(scene: Scene) -> Load:
    """The flag DF_STATIC_TLS without such a relocation costs nothing (G-150)."""
    source = _BLOCK.format(size=5000, model="global-dynamic", align=1, name="top")
    return scene.load(scene.compile("libtop.so", source, "-Wl,-z,nodelete", "-Wl,-z,static-tls"))


CASES = (
    Case("G-150-fits", LOADS, _one(1000)),
    Case("G-150-too-big", _REFUSED, _one(5000)),
    *(Case(f"G-152-single-block-of-{size}", ANY, _one(size)) for size in (1600, 1640, 1664, 1680, 1712, 1713, 1728)),
    *(Case(f"G-152-aligned-block-of-{size}", ANY, _one(size, align=64)) for size in (1600, 1664, 1665, 1700, 1729)),
    Case("G-150-dynamic-model-of-any-size", LOADS, _one(100000, model="global-dynamic")),
    Case("G-150-dependency-defines-it", LOADS, _of_a_dependency(1000)),
    Case("G-150-dependency-defines-it-too-big", "libbase.so: cannot allocate memory", _of_a_dependency(3000)),
    Case("G-151-defined-by-one-loaded-before", ANY, _of_a_dependency(3000, before=True)),
    Case("G-151-aligned-to-64", LOADS, _one(8, align=64)),
    Case("G-151-aligned-to-128", _REFUSED, _one(8, align=128)),
    *(
        Case(f"G-152-{nns}-name-spaces-{size}", ANY, _one(size, tunables=f"glibc.rtld.nns={nns}"))
        for nns, size in ((1, 750), (1, 860), (16, 4900), (16, 5300), (17, 1600), (17, 5000), (0, 1700))
    ),
    *(
        Case(f"G-152-optional-{room}-{size}", ANY, _one(size, tunables=f"glibc.rtld.optional_static_tls={room}"))
        for room, size in ((0, 1100), (0, 1250), (4096, 5200), (4096, 5400), ("0x1000", 5200), ("010", 1600),
                           ("9k", 1600), (" 4096", 5200), ("", 1600))
    ),
    Case("G-152-tunable-makes-room", ANY, _one(5000, tunables="glibc.rtld.optional_static_tls=9000")),
    Case("G-152-tunable-takes-room", ANY, _one(1600, tunables="glibc.rtld.optional_static_tls=0")),
    Case("G-152-tunable-twice", ANY,
         _one(5000, tunables="glibc.rtld.optional_static_tls=9000:glibc.rtld.optional_static_tls=512")),
    Case("G-153-many-small-ones", ANY, _one_after_another(*[64] * 28)),
    Case("G-153-many-aligned-ones", ANY, _one_after_another(*[1] * 28, align=64)),
    Case("G-153-second-does-not-fit", _REFUSED, _one_after_another(1000, 900)),
    Case("G-153-third-fits-where-second-does-not", LOADS, _one_after_another(1000, 900, 500)),
    Case("G-153-two-in-one-load", "libtop.so: cannot allocate memory", _two_in_one_load),
    Case("G-153-preloads-are-free", LOADS, _preloaded),
    Case("G-02-room-is-given-back", LOADS, _given_back),
    Case("G-150-flag-alone", LOADS, _flag_alone),
    Case("G-157-used-before", _REFUSED, _used_before(800, 1000)),
    Case("G-157-used-before-fits", LOADS, _used_before(600, 1000)),
    Case("G-157-used-before-by-many", _REFUSED, _used_before(720, *[200] * 5)),
    Case("G-157-used-before-dynamic", LOADS, _used_before(1600, 5000, model="global-dynamic")),
    Case("G-157-used-before-aligned", ANY, _used_before(1650, 1, align=64), certain=False),
    Case("G-154-descriptor-used-before", ANY, _used_before(1300, 400, dialect="gnu2")),
    Case("G-154-descriptor-too-big-for-its-share", LOADS, _used_before(1600, 600, dialect="gnu2")),
    Case("G-154-descriptors-in-turn", ANY, _descriptors(1400, *[64] * 4)),
    Case("G-154-descriptors-share-ends", ANY, _descriptors(1140, *[64] * 12)),
    Case("G-154-descriptors-share-ends-too-big", ANY, _descriptors(1260, *[64] * 12)),
)  # fmt: skip
