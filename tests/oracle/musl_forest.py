"""Grows forests for musl: those of the other worlds, with what musl has in place of what glibc has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from tests.oracle.forest import Forest, Plant, grow
from tests.oracle.musl_worlds import PATH_FILE, PROGRAMS
from tests.support.elf_writer import STT_GNU_IFUNC, STT_TLS, Export, Library

_OF_GLIBC = ("libBrokenLocale.so.1", "libresolv.so.2", "libz.so.1")
_OF_MUSL = (
    "libc.so", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libxnet.so",
    "libc.musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1", "ld-musl-x86_64.so.1",
    "libresolv.so.2", "libm-2.31.so",
)  # fmt: skip
_TOKENS = ("$LIB", "${LIB}", "$FOO", "$PLATFORM", "$ORIGINAL")


def grow_musl(seed: int, root: str) -> Forest:
    """The forest of a seed in a world of musl, for a root directory."""
    forest = grow(seed, root, programs=tuple(PROGRAMS), whole_process=True)
    random = Random(f"musl {seed}")
    # half of the forests keep the tokens that make musl leave a search path unused
    tokens = random.random() < 0.5
    plants = tuple(
        replace(plant, library=_library(plant.library, random, tokens)) if plant.library is not None else plant
        for plant in forest.plants
    )
    if random.random() < 0.4:
        plants = (*plants, Plant(path=PATH_FILE, text=_path_file(random, root)))
    loads = tuple((random.choice(_OF_MUSL) if random.random() < 0.04 else name, mode) for name, mode in forest.loads)
    return replace(forest, plants=plants, loads=loads, environment=_environment(forest.environment, random, root))


def _environment(environment: Mapping[str, str], random: Random, root: str) -> dict[str, str]:
    """Without the variables that are glibc's alone, and with musl's separators in most lists."""
    found = {name: value for name, value in environment.items() if name in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
    if random.random() < 0.8 and "LD_LIBRARY_PATH" in found:
        found["LD_LIBRARY_PATH"] = _separated(found["LD_LIBRARY_PATH"].replace(";", ":"), random)
    if "LD_PRELOAD" in found and random.random() < 0.6:
        # the libraries of a preload are found where every search leads
        path = found.get("LD_LIBRARY_PATH")
        found["LD_LIBRARY_PATH"] = f"{root}/d0:{root}/d1:{root}/d2" + (f":{path}" if path else "")
    return found


def _separated(text: str, random: Random) -> str:
    """A list whose entries are parted by colons and line ends."""
    return "".join("\n" if letter == ":" and random.random() < 0.3 else letter for letter in text)


def _path_file(random: Random, root: str) -> str:
    """What /etc/ld-musl-ARCH.path holds."""
    entries = (f"{root}/d0", f"{root}/d1", f"{root}/d2", f"{root}/d3/lib", f"{root}/d4", "/lib", "/absent", "# text",
               "", "d1", ".", "$ORIGIN", f"{root}/d1/")  # fmt: skip
    lines = [random.choice(entries) for _ in range(random.choice((0, 1, 2, 3, 4)))]
    return random.choice(("\n", ":")).join(lines) + random.choice(("\n", ""))


def _library(library: Library, random: Random, tokens: bool) -> Library:
    def searched(text: str | None) -> str | None:
        if text is None:
            return None
        for token in () if tokens else _TOKENS:
            text = text.replace(token, "lib")
        return _separated(text, random) if random.random() < 0.5 else text

    needed = tuple(
        random.choice(_OF_MUSL) if name in _OF_GLIBC or random.random() < 0.02 else name for name in library.needed
    )
    return replace(
        library,
        needed=needed,
        rpath=searched(library.rpath),
        runpath=searched(library.runpath),
        exports=tuple(_export(one, random) for one in library.exports),
        relr=random.random() < 0.005,
    )


def _export(export: Export, random: Random) -> Export:
    """Most as they are; some of a type that musl does not take for a definition, some thread-local."""
    dice = random.random()
    return replace(export, type=STT_GNU_IFUNC if dice < 0.01 else STT_TLS) if dice < 0.02 else export
