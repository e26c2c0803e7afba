"""The worlds whose loaders are asked: Debian releases as directory trees that debootstrap made, and how to make one."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.elf_edit import segment_offsets, segment_value, with_segment
from tfguard.image import EM_386, EM_AARCH64, EM_X86_64, PT_LOAD

CHECKOUT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("TFGUARD_LAB", CHECKOUT / ".cache" / "worlds"))
MIRROR = os.environ.get("TFGUARD_LAB_MIRROR", "http://deb.debian.org/debian")
SOURCE = Path(__file__).with_name("ask_loader.c")

# Where an empty file system is mounted, and where in it forests grow.
PLACE = "/forest"
GROWN = f"{PLACE}/grown"
LARGEST_PAGE = 0x10000

# What a tree has beside the system itself: a Python, whose process is judged from outside.
PACKAGES = ("python3",)

# The programs that ask, and how the linker gives them a search path.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "ask_loader": (),
    "ask_loader_rpath": ("-Wl,--disable-new-dtags", f"-Wl,-rpath,{GROWN}/d1:{GROWN}/d3/$LIB:$ORIGIN{GROWN}/d3/lib"),
    "ask_loader_runpath": ("-Wl,--enable-new-dtags", f"-Wl,-rpath,{GROWN}/d1:{GROWN}/d2"),
}


class Unavailable(Exception):
    """This machine cannot have the world; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A Debian release with a glibc of its own.

    `libraries` is where the C library and the loader are in the tree. `emulator` are the words in front of a program
    of another machine, the first of them a static program of this one. `place` is where a tree lies
    that is not among those of debootstrap.
    """

    name: str
    suite: str
    glibc: tuple[int, int]
    architecture: str = "amd64"
    machine: int = EM_X86_64
    compiler: tuple[str, ...] = ("gcc",)
    libraries: str = "lib/x86_64-linux-gnu"
    loader: str = "ld-linux-x86-64.so.2"
    emulator: tuple[str, ...] = ()
    page_size: int = 0x1000
    place: Path | None = None

    @property
    def libc(self) -> str:
        """Its C library, for people."""
        return f"glibc {self.glibc[0]}.{self.glibc[1]}"

    @property
    def tree(self) -> Path:
        """Where the tree is, or would be; worlds that differ in how programs are run share one."""
        if self.place is not None:
            return self.place
        return CACHE / (self.suite if self.architecture == "amd64" else f"{self.suite}-{self.architecture}")

    @property
    def is_built(self) -> bool:
        """Whether the tree and its programs are there, and as this checkout would make them."""
        mark = self.tree / ".ready"
        try:
            return mark.read_text() == _programs_text()
        except OSError:
            return False


_I386: dict[str, Any] = {  # Any: fields of World
    "architecture": "i386",
    "machine": EM_386,
    "compiler": ("gcc", "-m32"),
    "libraries": "lib/i386-linux-gnu",
    "loader": "ld-linux.so.2",
}
_ARM64: dict[str, Any] = {  # Any: fields of World
    "architecture": "arm64",
    "machine": EM_AARCH64,
    "compiler": ("aarch64-linux-gnu-gcc",),
    "libraries": "lib/aarch64-linux-gnu",
    "loader": "ld-linux-aarch64.so.1",
    "emulator": ("/qemu-aarch64-static",),
}
_BIG_PAGES = {**_ARM64, "emulator": ("/qemu-aarch64-static", "-p", f"{LARGEST_PAGE}"), "page_size": LARGEST_PAGE}

WORLDS: tuple[World, ...] = (
    World(name="debian-11", suite="bullseye", glibc=(2, 31)),
    World(name="debian-12", suite="bookworm", glibc=(2, 36)),
    World(name="debian-13", suite="trixie", glibc=(2, 41)),
    World(name="debian-unstable", suite="sid", glibc=(2, 43)),
    World(name="debian-12-i386", suite="bookworm", glibc=(2, 36), **_I386),
    World(name="debian-12-arm64", suite="bookworm", glibc=(2, 36), **_ARM64),
    World(name="debian-13-arm64", suite="trixie", glibc=(2, 41), **_ARM64),
    World(name="debian-13-arm64-64k", suite="trixie", glibc=(2, 41), **_BIG_PAGES),
)


def _programs_text() -> str:
    return f"{SOURCE.read_text()}\n{PROGRAMS}\n{PACKAGES}\n"


def build(world: World) -> None:
    """Make the tree and its programs where they are missing or old; raises Unavailable where that cannot be."""
    if world.is_built:
        return
    _need(world, "debootstrap", *world.compiler[:1], *(os.path.basename(one) for one in world.emulator[:1]))
    if os.geteuid() != 0:
        raise Unavailable("only root can make a tree with debootstrap, and chroot into it")
    if not (world.tree / world.libraries / "libc.so.6").exists() or not _has_packages(world.tree):
        shutil.rmtree(world.tree, ignore_errors=True)
        world.tree.mkdir(parents=True)
        foreign = ("--foreign",) if world.emulator else ()
        _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--arch={world.architecture}",
             *foreign, world.suite, str(world.tree), MIRROR)  # fmt: skip
    if world.emulator:
        _complete(world)
    build_programs(world)
    (world.tree / ".ready").write_text(_programs_text())


def build_programs(world: World) -> None:
    """Make the programs that ask, from the libraries of the tree."""
    for name, options in PROGRAMS.items():
        wanted = ("libc.so.6", "libdl.so.2", world.loader)
        libraries = [str(world.tree / world.libraries / one) for one in wanted]
        _run(
            *world.compiler, "-O1", "-U_FORTIFY_SOURCE", "-nodefaultlibs", str(SOURCE), "-o", str(world.tree / name),
            "-Wl,--as-needed", *libraries, *options,
        )  # fmt: skip


def _has_packages(tree: Path) -> bool:
    """Whether a tree, perhaps one begun for another machine, has PACKAGES."""
    return (tree / "usr/bin/python3").exists() or any((tree / "var/cache/apt/archives").glob("python3_*"))


def _complete(world: World) -> None:
    """Make of a tree of another machine, which debootstrap has only begun, one whose programs run under emulation."""
    tree = world.tree
    if (tree / "proc").is_symlink():
        (tree / "proc").unlink()
        (tree / "proc").mkdir()
    if not (tree / "usr/bin/python3").exists():
        for package in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as files:
                _run("tar", "--extract", "--keep-directory-symlink", f"--directory={tree}", stdin=files.stdout)
    loader = tree / world.libraries / world.loader
    loader.write_bytes(_with_whole_pages(loader.read_bytes()))
    shutil.copy(shutil.which(os.path.basename(world.emulator[0])) or "", tree)
    _run("chroot", str(tree), *world.emulator, "/sbin/ldconfig")


def _with_whole_pages(loader: bytes) -> bytes:
    """The loader with a last segment that ends with a page of the largest size.

    It takes its first memory from the rest of that page, which a kernel gives it. qemu-user 7.2 gives it only up to the
    end of the smaller page of the machine below, and the loader dies once its search path is long.
    """
    last = len(segment_offsets(loader, PT_LOAD)) - 1
    start, size = segment_value(loader, PT_LOAD, last, "vaddr"), segment_value(loader, PT_LOAD, last, "memsz")
    return with_segment(loader, PT_LOAD, last, memsz=-(-(start + size) // LARGEST_PAGE) * LARGEST_PAGE - start)


def _need(world: World, *programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"{world.name} needs {' and '.join(missing)}")


def _run(*words: str, stdin: IO[bytes] | None = None) -> None:
    done = subprocess.run(words, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise Unavailable(f"{words[0]} ended with {done.returncode}: {''.join(last)}")
