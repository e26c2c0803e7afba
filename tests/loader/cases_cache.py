"""Cases of an ld.so.cache made for the purpose, in an /etc of the process's own: ld-so.md G-100 to G-107."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.cache_writer import NAMED, Entry, before, cache, old_part
from tests.support.elf_edit import with_header
from tests.support.real_loader import Load

_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
_MISSING = "libx.so.1: cannot open shared object file: No such file or directory"
# In a default directory of every glibc, and in no process that is asked.
_SYSTEM = "libBrokenLocale.so.1"


def _with(made: Callable[[Scene], bytes | None], *, needed: str = "libx.so.1") -> Callable[[Scene], Load]:
    """A library that needs what only a cache can find; none where the function gives none."""

    def lay_out(scene: Scene) -> Load:
        data = made(scene)
        files = {} if data is None else {"ld.so.cache": scene.write("cache", data)}
        return scene.load(scene.top(needed=(needed,)), etc=files)

    return lay_out


def _entry(
    scene: Scene,
    place: str = "c",
    named: str = "libx.so.1",
    /,
    *,
    flags: int = 0x303,
    os_version: int = 0,
    hwcap: int = 0,
) -> Entry:
    """An entry for libx.so.1, and the file it names in a directory of its own."""
    scene.fill(GOOD, place)
    return Entry(name=named, path=f"{scene.root}/{place}/libx.so.1", flags=flags, os_version=os_version, hwcap=hwcap)


def _of(*entries: tuple[str, dict[str, int]], subdirectories: Sequence[str] = ()) -> Callable[[Scene], Load]:
    """Entries of the same name for files in these directories, in this order."""
    return _with(
        lambda scene: cache(
            [_entry(scene, place, **fields) for place, fields in entries], subdirectories=subdirectories
        )
    )


def _one(**fields: int) -> Callable[[Scene], Load]:
    return _of(("c", fields))


def _byte_order(number: int) -> Callable[[Scene], Load]:
    return _with(lambda scene: cache([_entry(scene)], byte_order=number))


def _names(*names: str, needed: str) -> Callable[[Scene], Load]:
    """Entries of several names, each with its own file."""

    def lay_out(scene: Scene) -> bytes:
        return cache([_entry(scene, f"c{number}", name) for number, name in enumerate(names)])

    return _with(lay_out, needed=needed)


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Scene], Load]:
    """A cache of one entry, changed."""
    return _with(lambda scene: change(cache([_entry(scene)])))


def _bad(lay_out: Callable[[Scene, str], object], name: str = "libx.so.1") -> Callable[[Scene], Load]:
    """A cache whose entry names something that is no library."""

    def made(scene: Scene) -> bytes:
        lay_out(scene, f"c/{name}")
        return cache([Entry(name=name, path=f"{scene.root}/c/{name}")])

    return _with(made, needed=name)


def _unreadable(scene: Scene) -> Load:
    path = scene.write("c/libx.so.1", GOOD)
    Path(path).chmod(0)
    made = scene.write("cache", cache([Entry(name="libx.so.1", path=path)]))
    return scene.load(scene.top(), etc={"ld.so.cache": made}, user=65534)


def _relative(scene: Scene) -> Load:
    scene.fill(GOOD, "c")
    made = scene.write("cache", cache([Entry(name="libx.so.1", path="c/libx.so.1")]))
    return scene.load(scene.top(), etc={"ld.so.cache": made}, cwd=str(scene.root))


def _opened_by_name(scene: Scene) -> Load:
    """A bare name that is opened finds the cache too."""
    made = scene.write("cache", cache([_entry(scene)]))
    return scene.load("libx.so.1", etc={"ld.so.cache": made})


def _library_path_first(scene: Scene) -> Load:
    made = scene.write("cache", cache([_entry(scene)]))
    scene.fill(GOOD, "first")
    return scene.load(scene.top(), etc={"ld.so.cache": made}, environment={"LD_LIBRARY_PATH": f"{scene.root}/first"})


CASES = (
    Case("G-100-cache-made-for-the-case", LOADS, _one()),
    Case("G-100-opened-by-name", LOADS, _opened_by_name),
    Case("G-100-library-path-first", LOADS, _library_path_first),
    Case("G-101-behind-an-old-part", LOADS, _changed(before)),
    Case("G-101-old-part-alone", ANY, _with(lambda scene: old_part([_entry(scene)]))),
    Case("G-101-old-part-alone-of-old-flags", ANY, _with(lambda scene: old_part([_entry(scene, flags=3)]))),
    *(Case(f"G-101-byte-order-{number}", LOADS if number in (0, 2) else ANY,
           _byte_order(number))
      for number in (0, 1, 2, 3, 4, 6, 0x82)),
    Case("G-101-bad-extension", ANY, _with(lambda scene: cache(
        [_entry(scene, hwcap=NAMED)], subdirectories=_LEVELS, extension_magic=1))),
    Case("G-101-extension-behind-an-old-part", ANY, _with(lambda scene: before(cache(
        [_entry(scene, hwcap=NAMED), _entry(scene, "d")], subdirectories=_LEVELS)))),
    Case("G-102-best-subdirectory", LOADS,
         _of(("v3", {"hwcap": NAMED | 1}), ("v2", {"hwcap": NAMED}), ("plain", {}), subdirectories=_LEVELS)),
    Case("G-102-best-subdirectory-last", LOADS,
         _of(("plain", {}), ("v2", {"hwcap": NAMED}), ("v3", {"hwcap": NAMED | 1}), subdirectories=_LEVELS)),
    Case("G-102-subdirectory-alone", ANY, _of(("v2", {"hwcap": NAMED}), subdirectories=_LEVELS)),
    Case("G-102-unknown-subdirectory", LOADS,
         _of(("v9", {"hwcap": NAMED}), ("plain", {}), subdirectories=("x86-64-v9",))),
    Case("G-102-unknown-subdirectory-alone", _MISSING, _of(("v9", {"hwcap": NAMED}), subdirectories=("x86-64-v9",))),
    Case("G-102-number-of-no-subdirectory", LOADS,
         _of(("v9", {"hwcap": NAMED | 7}), ("plain", {}), subdirectories=_LEVELS)),
    Case("G-102-named-without-extension", LOADS, _of(("v2", {"hwcap": NAMED}), ("plain", {}))),
    *(Case(f"G-102-level-{level}-of-the-entry", ANY,
           _of(("v2", {"hwcap": NAMED | level << 32}), ("plain", {}), subdirectories=_LEVELS))
      for level in (1, 2, 5, 9)),
    Case("G-102-two-of-one-subdirectory", ANY,
         _of(("one", {"hwcap": NAMED}), ("two", {"hwcap": NAMED}), subdirectories=_LEVELS)),
    Case("G-102-two-plain", ANY, _of(("one", {}), ("two", {}))),
    *(Case(f"G-102-legacy-{name}", ANY, _of(("old", {"hwcap": value}), ("plain", {}))) for name, value in (
        ("baseline", 1 << 1), ("avx512", 1 << 2), ("sse2", 1 << 0), ("other-feature", 1 << 3), ("i686", 1 << 49),
        ("haswell", 1 << 50), ("xeon-phi", 1 << 51), ("two-platforms", 3 << 50),
        ("haswell-and-feature", 1 << 50 | 1 << 1),
        ("tls", 1 << 63), ("feature-and-tls", 1 << 63 | 1 << 1), ("unknown", 1 << 44),
        ("named-and-more", NAMED | 1 << 50),
    )),
    Case("G-102-legacy-alone", ANY, _one(hwcap=1 << 1)),
    *(Case(f"G-103-flags-{flags:#x}", LOADS if flags == 0x303 else _MISSING, _one(flags=flags))
      for flags in (0x303, 0, 1, 3, 0x301, 0x803, 0xA03, -1)),
    Case("G-103-other-flags-first", LOADS, _of(("other", {"flags": 0x803}), ("own", {}))),
    Case("G-104-leading-zero", LOADS, _names("libx.so.1", needed="libx.so.01")),
    Case("G-104-leading-zero-in-the-cache", LOADS, _names("libx.so.001", needed="libx.so.1")),
    Case("G-104-digits-count-as-numbers", LOADS,
         _names(*(f"libx.so.{number}" for number in (1, 2, 9, 10, 11, 99, 100)), needed="libx.so.10")),
    Case("G-104-digits-amid-letters", LOADS, _names("libx11.so", "libx2.so", "libx.so", "libxx.so", "liby.so",
                                                      needed="libx2.so")),
    Case("G-104-zero-alone", LOADS, _names("libx.so.0", "libx.so.1", needed="libx.so.00")),
    *(Case(f"G-105-kernel-{name}", ANY, _one(os_version=value))
      for name, value in (("of-old", 0x020620), ("of-this-age", 0x050000), ("of-the-future", 0x630000))),
    Case("G-105-kernel-of-the-future-first", LOADS, _of(("new", {"os_version": 0x630000}), ("old", {}))),
    Case("G-106-absent", _MISSING, _bad(lambda scene, name: None)),
    Case("G-106-absent-and-in-a-default-directory", LOADS, _bad(lambda scene, name: None, _SYSTEM)),
    Case("G-106-other-machine-and-in-a-default-directory", LOADS,
         _bad(lambda scene, name: scene.write(name, with_header(GOOD, e_machine=183)), _SYSTEM)),
    Case("G-106-other-machine", _MISSING,
         _bad(lambda scene, name: scene.write(name, with_header(GOOD, e_machine=183)))),
    Case("G-106-other-class", "wrong ELF class",
         _bad(lambda scene, name: scene.write(name, with_header(GOOD, ei_class=1)))),
    Case("G-106-text", "invalid ELF header", _bad(lambda scene, name: scene.write(name, b"GROUP ( x ) " * 20))),
    Case("G-106-text-and-in-a-default-directory", "invalid ELF header",
         _bad(lambda scene, name: scene.write(name, b"GROUP ( x ) " * 20), _SYSTEM)),
    Case("G-106-empty", "file too short", _bad(lambda scene, name: scene.write(name, b""))),
    Case("G-106-directory", "cannot read file data", _bad(lambda scene, name: scene.directory(name))),
    Case("G-106-below-a-file", "cannot open shared object file", _bad(lambda scene, name: scene.write("c", b"x"))),
    Case("G-106-unreadable", "cannot open shared object file", _unreadable),
    Case("G-106-relative", LOADS, _relative),
    Case("G-107-no-cache", _MISSING, _with(lambda scene: None)),
    Case("G-107-no-cache-and-in-a-default-directory", LOADS, _with(lambda scene: None, needed=_SYSTEM)),
    Case("G-107-empty", _MISSING, _changed(lambda data: b"")),
    Case("G-107-text", _MISSING, _changed(lambda data: b"this is no cache\n" * 20)),
    Case("G-107-cut-in-the-header", _MISSING, _changed(lambda data: data[:40])),
    Case("G-107-cut-in-the-entries", _MISSING, _changed(lambda data: data[:60])),
    Case("G-107-cut-in-the-strings", ANY, _changed(lambda data: data[:-4])),
    Case("G-107-more-entries-than-it-has", _MISSING, _changed(lambda data: data[:20] + b"\xff\xff\0\0" + data[24:])),
    Case("G-107-magic-of-another-version", _MISSING, _changed(lambda data: data.replace(b"1.1", b"1.2", 1))),
    Case("G-107-name-beyond-the-end", ANY, _changed(lambda data: data[:52] + b"\0\0\0\x10" + data[56:])),
    Case("G-107-path-beyond-the-end", ANY, _changed(lambda data: data[:56] + b"\0\0\0\x10" + data[60:])),
)  # fmt: skip
