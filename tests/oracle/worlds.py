"""The worlds whose loaders are asked: Debian releases as directory trees that debootstrap made, and how to make one."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("TFGUARD_LAB", CHECKOUT / ".cache" / "worlds"))
MIRROR = os.environ.get("TFGUARD_LAB_MIRROR", "http://deb.debian.org/debian")
SOURCE = Path(__file__).with_name("ask_loader.c")

# Where an empty file system is mounted, and where in it forests grow.
PLACE = "/forest"
GROWN = f"{PLACE}/grown"

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

    `libraries` and `loader` are paths below the tree. `emulator` are the words in front of a program of another
    machine, its first word a static program of this one.
    """

    name: str
    suite: str
    glibc: tuple[int, int]
    architecture: str = "amd64"
    compiler: tuple[str, ...] = ("gcc",)
    libraries: str = "lib/x86_64-linux-gnu"
    loader: str = "lib64/ld-linux-x86-64.so.2"
    emulator: tuple[str, ...] = ()

    @property
    def tree(self) -> Path:
        """Where the tree is, or would be; worlds that differ in how programs are run share one."""
        return CACHE / (self.suite if self.architecture == "amd64" else f"{self.suite}-{self.architecture}")

    @property
    def is_built(self) -> bool:
        """Whether the tree and its programs are there, and as this checkout would make them."""
        mark = self.tree / ".ready"
        try:
            return mark.read_text() == _programs_text()
        except OSError:
            return False


WORLDS: tuple[World, ...] = (
    World(name="debian-11", suite="bullseye", glibc=(2, 31)),
    World(name="debian-12", suite="bookworm", glibc=(2, 36)),
    World(name="debian-13", suite="trixie", glibc=(2, 41)),
    World(name="debian-unstable", suite="sid", glibc=(2, 43)),
)


def _programs_text() -> str:
    return f"{SOURCE.read_text()}\n{PROGRAMS}\n"


def build(world: World) -> None:
    """Make the tree and its programs where they are missing or old; raises Unavailable where that cannot be."""
    if world.is_built:
        return
    _need(world, "debootstrap", *world.compiler[:1])
    if os.geteuid() != 0:
        raise Unavailable("only root can make a tree with debootstrap, and chroot into it")
    if not (world.tree / world.libraries / "libc.so.6").exists():
        shutil.rmtree(world.tree, ignore_errors=True)
        world.tree.mkdir(parents=True)
        foreign = ("--foreign",) if world.emulator else ()
        _run("debootstrap", "--variant=minbase", f"--arch={world.architecture}", *foreign, world.suite,
             str(world.tree), MIRROR)  # fmt: skip
    for name, options in PROGRAMS.items():
        wanted = ("libc.so.6", "libdl.so.2", os.path.basename(world.loader))
        libraries = [str(world.tree / world.libraries / one) for one in wanted]
        _run(
            *world.compiler, "-O1", "-U_FORTIFY_SOURCE", "-nodefaultlibs", str(SOURCE), "-o", str(world.tree / name),
            "-Wl,--as-needed", *libraries, *options,
        )  # fmt: skip
    (world.tree / ".ready").write_text(_programs_text())


def _need(world: World, *programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"{world.name} needs {' and '.join(missing)}")


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise Unavailable(f"{words[0]} ended with {done.returncode}: {''.join(last)}")
