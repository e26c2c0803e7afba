"""The worlds of musl: its releases as Debian packages them, each in a small tree with the programs that ask."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.worlds import CACHE, GROWN, MIRROR, SOURCE, Unavailable
from tfguard.image import EM_AARCH64, EM_X86_64

# The programs that ask, and how the linker gives them a search path: one that is used, and one that a token spoils.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "ask_loader": (),
    "ask_loader_rpath": ("-Wl,--disable-new-dtags", f"-Wl,-rpath,{GROWN}/d1:$ORIGIN{GROWN}/d3/lib"),
    "ask_loader_runpath": ("-Wl,--enable-new-dtags", f"-Wl,-rpath,{GROWN}/d2:{GROWN}/d1"),
    "ask_loader_token": ("-Wl,--enable-new-dtags", f"-Wl,-rpath,{GROWN}/d1:{GROWN}/d3/$LIB"),
}

# Forests grow below two of the directories that musl searches, and say what its path file holds, where it is.
LINKS = {"usr/local/lib": f"{GROWN}/d2", "usr/lib": f"{GROWN}/d0"}
PATH_FILE = "path-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class MuslWorld:
    """A release of musl.

    `packages` are Debian's musl and musl-dev, by their paths on a mirror, with the SHA-256 of each. `emulator` are the
    words in front of a program of another machine.
    """

    release: str
    packages: tuple[tuple[str, str], ...]
    architecture: str = "x86_64"
    machine: int = EM_X86_64
    compiler: str = "gcc"
    emulator: tuple[str, ...] = ()
    page_size: int = 0x1000

    @property
    def name(self) -> str:
        """How the world is called on a command line."""
        return f"musl-{self.release}" + (f"-{self.architecture}" if self.emulator else "")

    @property
    def libc(self) -> str:
        """Its C library, for people."""
        return f"musl {self.release}"

    @property
    def tree(self) -> Path:
        """Where the tree is, or would be."""
        return CACHE / self.name

    @property
    def loader(self) -> str:
        """The loader, which is the C library too, as a program asks for it."""
        return f"/lib/ld-musl-{self.architecture}.so.1"

    @property
    def is_built(self) -> bool:
        """Whether the tree and its programs are there, and as this checkout would make them."""
        try:
            return (self.tree / ".ready").read_text() == made_of(self)
        except OSError:
            return False


def _amd64(release: str, version: str, musl: str, dev: str) -> MuslWorld:
    return MuslWorld(release=release, packages=_packages(version, "amd64", musl, dev))


def _arm64(release: str, version: str, musl: str, dev: str) -> MuslWorld:
    return MuslWorld(
        release=release,
        packages=_packages(version, "arm64", musl, dev),
        architecture="aarch64",
        machine=EM_AARCH64,
        compiler="aarch64-linux-gnu-gcc",
        emulator=("/qemu-aarch64-static",),
    )


def _packages(version: str, architecture: str, musl: str, dev: str) -> tuple[tuple[str, str], ...]:
    place = "pool/main/m/musl"
    return (f"{place}/musl_{version}_{architecture}.deb", musl), (f"{place}/musl-dev_{version}_{architecture}.deb", dev)


MUSL_WORLDS: tuple[MuslWorld, ...] = (
    _amd64(
        "1.2.2", "1.2.2-1",
        "5932c2e94fefcca7779ea454a2c9e94a1f2e5f61483b5c7726734cf56f25ff3f",
        "b017792ad6ba3650b4889238c73cd19c1d6b0e39ca8319cdd3ad9e16374e614e",
    ),
    _amd64(
        "1.2.3", "1.2.3-1",
        "4fc1e3d9b579f5c682ca99a4d45aec08d72a2e6b82b4c2e1bbcb7095466ae96d",
        "7c34f29a0c1aa12f6da1d25ed6de6fe6bbd9e048ee76b3dcb88c5e51fb65507f",
    ),
    _amd64(
        "1.2.5", "1.2.5-3.1~deb13u1",
        "fd4231e1c189c0ebe01182747f83817593fefa7f6b690c484410646288b60058",
        "a3f7d47e452129bb65aae201d6c115abf4d5d3efb136b38b7c6b4fa03ec065e9",
    ),
    _amd64(
        "1.2.6", "1.2.6-2",
        "bb90a58274543f438b5a8e1a577b16d5bc0725ca55413131ae1f3882070760d6",
        "4601fcee854a8efe9d5e3fcca32a671971a290a3106c6f6803e0b896821de9ce",
    ),
    _arm64(
        "1.2.3", "1.2.3-1",
        "6ccf2bf0f479b00411cb8e1eeb048e648718170db5d63bbb4bf4a89350b81468",
        "55c2ca4bc3041c8ed8ac7dc3ef6080d9551a21650568b2fd7610b59eaf98a4f4",
    ),
    _arm64(
        "1.2.5", "1.2.5-3.1~deb13u1",
        "46cf1fcaa2d49d1573ef0ceabdb36e04a359a9a37d8e4304024f9018682e3f35",
        "384ea029e3694baac696d3993d93246f9a4b3741c493697e1ceb7256d8820748",
    ),
)  # fmt: skip


def made_of(world: MuslWorld) -> str:
    """What a change of which makes the tree an old one."""
    return f"{SOURCE.read_text()}\n{PROGRAMS}\n{LINKS}\n{world.packages}\n"


def build_musl(world: MuslWorld) -> None:
    """Make the tree and its programs where they are missing or old; raises Unavailable where that cannot be."""
    if world.is_built:
        return
    emulators = [os.path.basename(one) for one in world.emulator[:1]]
    missing = [name for name in ("dpkg-deb", world.compiler, *emulators) if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"{world.name} needs {' and '.join(missing)}")
    if os.geteuid() != 0:
        raise Unavailable("only root can make a tree its own root")
    shutil.rmtree(world.tree, ignore_errors=True)
    for name in ("lib", "proc", "dev", "etc", "tmp", "usr/local"):
        (world.tree / name).mkdir(parents=True)
    for name, target in LINKS.items():
        (world.tree / name).symlink_to(target)
    (world.tree / f"etc/ld-musl-{world.architecture}.path").symlink_to(f"{GROWN}/{PATH_FILE}")
    for name in emulators:
        shutil.copy(shutil.which(name) or "", world.tree)
    with tempfile.TemporaryDirectory() as folder:
        for path, digest in world.packages:
            run_tool("dpkg-deb", "-x", str(fetched(path, digest, Path(folder))), folder)
        place = Path(folder) / f"usr/lib/{world.architecture}-linux-musl"
        libc = next(one for one in (place, Path(folder) / f"lib/{world.architecture}-linux-musl")
                    if (one / "libc.so").is_file() and not (one / "libc.so").is_symlink())  # fmt: skip
        shutil.copy(libc / "libc.so", world.tree / world.loader[1:])
        for name, options in PROGRAMS.items():
            _compile(world, Path(folder), place, world.tree / name, (*options, f"-L{libc}"))
    (world.tree / ".ready").write_text(made_of(world))


def fetched(path: str, digest: str, place: Path) -> Path:
    """A file of Debian's mirror with a known SHA-256, in a folder; raises Unavailable where it cannot be had."""
    try:
        with urllib.request.urlopen(f"{MIRROR}/{path}", timeout=60) as answer:
            data: bytes = answer.read()
    except OSError as error:
        raise Unavailable(f"{MIRROR}/{path}: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise Unavailable(f"{MIRROR}/{path} is not the file that is known")
    place = place / os.path.basename(path)
    place.write_bytes(data)
    return place


def _compile(world: MuslWorld, folder: Path, place: Path, program: Path, options: tuple[str, ...]) -> None:
    """A program linked against this musl, without a wrapper for the compiler, which only some machines have."""
    said = subprocess.run([world.compiler, "-print-file-name=include"], capture_output=True, text=True, check=True)
    headers = (str(folder / f"usr/include/{world.architecture}-linux-musl"), said.stdout.strip())
    run_tool(
        world.compiler, "-O1", "-U_FORTIFY_SOURCE", "-fno-stack-protector", "-Wno-builtin-declaration-mismatch",
        "-nostdinc", *(word for one in headers for word in ("-isystem", one)), "-nostdlib", "-pie", "-fPIE",
        str(place / "Scrt1.o"), str(place / "crti.o"), str(SOURCE), "-o", str(program),
        f"-Wl,-dynamic-linker,{world.loader}", *options, "-lc", "-lgcc", str(place / "crtn.o"),
    )  # fmt: skip


def run_tool(*words: str) -> None:
    """Run a program to its end; raises Unavailable, with its last line, where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise Unavailable(f"{words[0]} ended with {done.returncode}: {''.join(last)}")
