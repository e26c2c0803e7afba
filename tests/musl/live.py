"""A CPython made for musl, wheels for musl and for glibc in it: what tfguard foretells there and what then happens.

python -m tests.musl.live            under every release of musl; makes what is missing, which takes ten minutes

The Python is built from Debian's sources with musl-gcc, once, and lies in `.cache/worlds` like the worlds of the
laboratory. The exit status is 1 where anything disagreed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle.inside import death_of, in_world
from tests.oracle.musl_worlds import MUSL_WORLDS, MuslWorld, build_musl, fetched, made_of, run_tool
from tests.oracle.worlds import CHECKOUT, Unavailable
from tests.support.real_loader import Answer, Prediction, Reality, verdict_of
from tfguard.image import EM_X86_64

PYTHON = MuslWorld(
    release="python",
    packages=(
        (
            "pool/main/z/zlib/zlib_1.2.13.dfsg.orig.tar.bz2",
            "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1",
        ),
        (
            "pool/main/libf/libffi/libffi_3.4.4.orig.tar.gz",
            "d66c56ad259a82cf2a9dfc408b32bf5da52371500b84745f7fb8b645712df676",
        ),
        (
            "pool/main/p/python3.11/python3.11_3.11.2.orig.tar.gz",
            "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849",
        ),
    ),
)
SITE = "usr/lib/python3.11/site-packages"
# Beside each other: what pip installs on musl, and what comes along with an environment made on another system.
FOR_GLIBC = "for-glibc"
_WHEELS = ("numpy==2.4.6", "markupsafe==3.0.4", "lxml==6.1.3")
_PLATFORMS = {SITE: ("musllinux_1_2_x86_64",), FOR_GLIBC: ("manylinux2014_x86_64", "manylinux_2_28_x86_64")}
_OWN = ("pyelftools", "macholib", "packaging", "typing-extensions")
_CHILD = Path(__file__).with_name("live_child.py")

# Builds the two libraries that ctypes and zlib want, and the interpreter; with the kernel's headers of this system.
_BUILD = r"""
set -e
for one in *.tar.*; do tar xf "$one"; done
mkdir include
cp -rL /usr/include/linux /usr/include/asm-generic "/usr/include/$(gcc -print-multiarch)/asm" include/
cat > cc <<WRAPPER
#!/bin/sh
case "\$1" in -print-multiarch | --print-multiarch) echo x86_64-linux-musl; exit ;; esac
exec musl-gcc "\$@" -idirafter $PWD/include
WRAPPER
chmod +x cc
export CC=$PWD/cc MAKEINFO=true
(cd zlib-*; CFLAGS="-O2 -fPIC" ./configure --static --prefix="$PWD/../made"; make libz.a; make install)
(cd libffi-*; ./configure --host=x86_64-linux-musl --disable-shared --with-pic --prefix="$PWD/../made"
 make MAKEINFO=true; make install MAKEINFO=true)
cd Python-*
./configure --prefix=/usr --build=x86_64-pc-linux-musl --without-ensurepip --with-system-ffi --disable-test-modules \
  CPPFLAGS="-I$PWD/../made/include" LDFLAGS="-L$PWD/../made/lib" PKG_CONFIG=false
make -j2
make install DESTDIR="$1"
"""


@dataclass(slots=True)
class Seen:
    """How many loads were foretold and done under a release of musl, how they ended, what differs, which findings."""

    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    differ: dict[str, str] = field(default_factory=dict)
    loader: dict[str, Any] = field(default_factory=dict)  # Any: parsed JSON


def build() -> None:
    """Make the tree where it is missing or old; raises Unavailable where that cannot be."""
    if PYTHON.is_built:
        return
    missing = [name for name in ("musl-gcc", "gcc", "make", "tar") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        raise Unavailable(f"a Python for musl needs {' and '.join(missing) or 'root'}")
    tree = PYTHON.tree
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("lib", "proc", "dev", "tmp", FOR_GLIBC):
        (tree / name).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        for path, digest in PYTHON.packages:
            fetched(path, digest, Path(folder))
        done = subprocess.run(["sh", "-c", _BUILD, "sh", str(tree)], cwd=folder, capture_output=True, text=True,
                              check=False)  # fmt: skip
        if done.returncode != 0:
            raise Unavailable(f"the build of a Python for musl: {done.stderr.strip().splitlines()[-1:]}")
    for place, platforms in _PLATFORMS.items():
        chosen = [word for one in platforms for word in ("--platform", one)]
        _pip(tree / place, *chosen, "--python-version", "3.11", "--only-binary=:all:", *_WHEELS)
    _pip(tree / SITE, *_OWN)
    (tree / ".ready").write_text(made_of(PYTHON))


def _pip(place: Path, *words: str) -> None:
    run_tool(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target",
             str(place), *words)  # fmt: skip


def see(world: MuslWorld) -> Seen:
    """Load every shared object of both kinds of wheels, and of the Python, under the musl of a world."""
    tree = PYTHON.tree
    shutil.copy(world.tree / world.loader[1:], tree / world.loader[1:])
    shutil.rmtree(tree / SITE / "tfguard", ignore_errors=True)
    shutil.copytree(CHECKOUT / "tfguard", tree / SITE / "tfguard", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_CHILD, tree / "live_child.py")
    paths = [f"/{path.relative_to(tree)}" for place in ("usr/lib", FOR_GLIBC)
             for path in sorted((tree / place).glob("**/*.so*"))]  # fmt: skip
    words = ["/usr/bin/python3.11", "/live_child.py"]
    done = in_world(
        PYTHON, None, lambda: subprocess.run(words, input="\n".join(paths), capture_output=True, text=True, check=True,
                                             env={"PATH": "/usr/bin"})
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    seen = Seen(loader=lines[0])
    for said, was in _pairs(lines[1:]):
        prediction = Prediction(images=tuple(said["images"]), rule=said["rule"], message=said["message"],
                                signal=said["signal"], certain=said["certain"], detail="")  # fmt: skip
        seen.asked += 1
        seen.ends[verdict_of(was)] += 1
        seen.codes.update(set(said["codes"]))
        differs = Answer(pairs=((prediction, was),), seconds=0).disagreement
        if differs is not None:
            seen.differ[said["path"]] = differs
    return seen


def _pairs(lines: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Reality]]:  # Any: parsed JSON
    said: dict[str, Any] = {}
    was: Reality | None = None
    for line in lines:
        if "images" in line:
            said = line
        elif "said" in line:
            was = Reality(mapped=tuple(line.get("mapped", ())), message=line["said"])
        else:
            yield said, was or Reality(died=death_of(line["ended"]))
            was = None


def imported(*words: str) -> tuple[str, int]:
    """What a piece of Python prints in the tree, and how it ends."""
    command = ["/usr/bin/python3.11", "-c", *words]
    done = in_world(PYTHON, None, lambda: subprocess.run(command, capture_output=True, text=True, check=False,
                                                         env={"PATH": "/usr/bin"}))  # fmt: skip
    return done.stdout + done.stderr, done.returncode


def main() -> int:
    """Show every release."""
    try:
        build()
    except Unavailable as reason:
        print(f"left out: {reason}")
        return 0
    wrong = False
    for world in MUSL_WORLDS:
        if world.machine != EM_X86_64:
            continue
        try:
            build_musl(world)
            seen = see(world)
        except Unavailable as reason:
            print(f"{world.libc}: left out, {reason}")
            continue
        ends = ", ".join(f"{count} {end}" for end, count in seen.ends.most_common())
        codes = ", ".join(f"{count} {code}" for code, count in sorted(seen.codes.items()))
        print(
            f"{world.libc}: {seen.asked} loads in a live Python, {len(seen.differ)} differ: {ends}; findings: {codes}"
        )
        for path, words in seen.differ.items():
            print(f"  {path}: {words}")
        wrong |= bool(seen.differ)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
