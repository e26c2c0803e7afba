"""Grows random sets of libraries that need each other, with search paths, copies, links and damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.support.elf_edit import with_header
from tests.support.elf_writer import (
    R_64,
    R_GLOB_DAT,
    R_JUMP_SLOT,
    STB_GLOBAL,
    STB_GNU_UNIQUE,
    STB_WEAK,
    STV_DEFAULT,
    STV_HIDDEN,
    STV_PROTECTED,
    Export,
    Import,
    Library,
    write,
)
from tests.support.real_loader import Load
from tfguard.image import DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_PIE, EM_X86_64, Filtee

_DIRECTORIES = ("d0", "d1", "d2", "d3/lib")
_LINKED = ("d4", "d1")  # a directory by another name
_HARDWARE = (
    *(f"glibc-hwcaps/x86-64-v{level}" for level in (2, 2, 3, 4, 9)),
    *("tls", "x86_64", "tls/x86_64", "haswell", "avx512_1", "haswell/avx512_1/x86_64", "aarch64", "atomics"),
)
_SYSTEM = ("libc.so.6", "libm.so.6", "libBrokenLocale.so.1", "libdl.so.2", "libresolv.so.2", "libz.so.1")
_SYSTEM_VERSIONS = ("GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.33", "GLIBC_2.38", "GLIBC_2.99", "GLIBC_PRIVATE")
_NOBODY = 65534
_FILTERS = 0.08  # of forests
_MASKABLE = ("AVX2", "AVX2_Usable", "AVX512F", "AVX512VL", "SSE4_2", "LZCNT", "F16C", "avx2", "FMA_Usable", "SSE2")

DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    lambda data, _: b"",
    lambda data, _: data[:63],
    lambda data, _: data[:200],
    lambda data, _: data[:4096],
    lambda data, random: data[: random.randrange(len(data))],
    lambda data, _: b"GROUP ( AS_NEEDED ( libother.so ) ) " * 4,
    lambda data, _: with_header(data, ei_class=(3 - data[4]) % 256),
    lambda data, _: with_header(data, ei_class=(3 - data[4]) % 256),
    lambda data, _: with_header(data, ei_class=(3 - data[4]) % 256, e_machine=8),
    lambda data, _: with_header(data, e_machine=243),
    lambda data, _: with_header(data, e_machine=243),
    lambda data, _: with_header(data, ei_data=2, e_machine=0x1600),
    lambda data, _: with_header(data, ei_osabi=9),
    lambda data, _: with_header(data, ei_osabi=3),
    lambda data, _: with_header(data, e_type=1),
    lambda data, _: with_header(data, e_type=2),
    lambda data, _: with_header(data, ei_data=2),
    lambda data, _: with_header(data, ei_pad=1),
    lambda data, _: with_header(data, e_version=2),
    lambda data, _: with_header(data, e_phentsize=55),
    lambda data, _: with_header(data, e_phnum=0),
)


CUTS = (3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One entry of the file system, `path` relative to the forest's root.

    A library, perhaps damaged by the function of that number in `DAMAGES`; or a symbolic link with this text; or a
    hard link to another path; or a file of this text; or, with none of these, a directory. `mode` are permission bits,
    None for the usual ones.
    `small_pages` makes the library for pages of 4 KiB whatever those of its world are.
    """

    path: str
    library: Library | None = None
    damage: int | None = None
    link: str | None = None
    hard_link: str | None = None
    text: str | None = None
    mode: int | None = None
    small_pages: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Files, and what to load in which process: as `Load` says, the directory relative to the root."""

    plants: tuple[Plant, ...]
    loads: tuple[tuple[str, int], ...]
    before: tuple[tuple[str, int], ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    program: str = "ask_loader"


def lay_out(forest: Forest, root: Path, machine: int = EM_X86_64, page: int = 0x1000) -> Load:
    """Make the files below `root`, an empty or new directory, for a machine and its pages, and give the question.

    Large pages exist only under an emulator, which cannot map what a file does not have: no file is cut then.
    """
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / _LINKED[0]).symlink_to(_LINKED[1])
    for position, plant in enumerate(forest.plants):
        path = root / plant.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            continue
        if plant.link is not None:
            path.symlink_to(plant.link)
        elif plant.hard_link is not None:
            if (root / plant.hard_link).is_file():
                os.link(root / plant.hard_link, path, follow_symlinks=False)
        elif plant.text is not None:
            path.write_text(plant.text)
        elif plant.library is None:
            path.mkdir()
        else:
            data = write(replace(plant.library, machine=machine, page=0x1000 if plant.small_pages else page))
            data += bytes(-len(data) % page if page > 0x1000 else 0)
            if plant.damage is not None and (page == 0x1000 or plant.damage not in CUTS):
                data = DAMAGES[plant.damage](data, Random(position))
            path.write_bytes(data)
        if plant.mode is not None and path.exists() and not path.is_symlink():
            path.chmod(plant.mode)
    return Load(
        names=forest.loads,
        before=forest.before,
        cwd=str(root / forest.cwd),
        environment=forest.environment,
        user=forest.user,
    )


def grow(seed: int, root: str, *, programs: tuple[str, ...] = ("ask_loader",), whole_process: bool = False) -> Forest:
    """The forest of a seed, for a root directory.

    Names of libraries stand in all kinds of lists with the root in front. `whole_process` says that the start of the
    process may be played with too: preloads, other users, programs with search paths.
    """
    random = Random(seed)
    count = random.choice((2, 3, 4, 5, 6, 7, 8, 10, 12))
    names = tuple(f"lib{letter}.so.{random.randint(1, 2)}" for letter in "abcdefghijkl"[:count])
    harsh = random.random() < 0.6
    grower = _Grower(random, root, names, harsh)
    plants = tuple(plant for position in range(count) for plant in grower.place(position))
    plants = _with_filtees(plants, names, Random(f"filtees {seed}"))
    loads = tuple(grower.load(plants) for _ in range(random.randint(1, 3)))
    before: list[tuple[str, int]] = []
    if random.random() < 0.3:
        alone = Library(soname=random.choice(names), exports=grower.exports(0, None))
        plants = (*plants, Plant(path="before.so", library=alone))
        before.append((f"{root}/before.so", random.choice((0, os.RTLD_GLOBAL))))
    plants = tuple(replace(plant, small_pages=harsh and random.random() < 0.04) for plant in plants)
    closed = whole_process and harsh and random.random() < 0.15
    if closed and random.random() < 0.5:
        plants = (*plants, Plant(path="d2/closed"))
    return Forest(
        plants=plants,
        loads=loads,
        before=tuple(before),
        cwd=random.choice(("", *_DIRECTORIES)),
        environment=grower.environment(preloads=whole_process),
        user=_NOBODY if closed else None,
        program=random.choice(programs),
    )


def _with_filtees(plants: tuple[Plant, ...], names: tuple[str, ...], random: Random) -> tuple[Plant, ...]:
    """In some forests some of the libraries name filtees: each other, themselves, the system's, what is not there."""
    if random.random() > _FILTERS:
        return plants

    def filtees(library: Library) -> tuple[Filtee, ...]:
        return tuple(
            Filtee(
                random.choice((*names, "libm.so.6", "libabsent.so.1") if random.random() < 0.2 else names),
                optional=random.random() < 0.5,
                after=random.randint(0, len(library.needed)),
            )
            for _ in range(random.choice((1, 1, 1, 2)))
        )

    return tuple(
        replace(plant, library=replace(plant.library, filtees=filtees(plant.library)))
        if plant.library is not None and random.random() < 0.3
        else plant
        for plant in plants
    )


class _Grower:
    """The choices of one forest, in the order in which they are made."""

    def __init__(self, random: Random, root: str, names: tuple[str, ...], harsh: bool) -> None:
        self.random, self.root, self.names, self.harsh = random, root, names, harsh

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def directory(self) -> str:
        return f"{self.root}/{self.random.choice(_DIRECTORIES)}"

    def load(self, plants: tuple[Plant, ...]) -> tuple[str, int]:
        """A name to open, by one of the ways to spell it, and the mode."""
        random = self.random
        name = random.choice(self.names)
        path = random.choice(plants).path
        spelled = random.choice(
            (
                *(f"{self.root}/{path}",) * 10,
                *(name,) * 3,
                f"{self.root}/d4/{name}",
                f"{self.root}//d1/.././{path}",
                f"./{name}",
                f"../d1/{name}",
                f"{self.root}/$LIB/../{path}",
                random.choice(("", "libm.so.6", "libabsent.so.1", f"{self.root}/absent/{name}")),
            )
        )
        return spelled, os.RTLD_GLOBAL if self.chance(0.3) else 0

    def environment(self, *, preloads: bool) -> dict[str, str]:
        """LD_LIBRARY_PATH with either separator or both, and perhaps LD_PRELOAD and a tunable."""
        random = self.random
        found: dict[str, str] = {}
        if self.chance(0.5):
            entries = self.entries(random.randint(1, 4))
            separators = random.choice((":", ";", ":;"))
            found["LD_LIBRARY_PATH"] = (
                "".join(entry + random.choice(separators) for entry in entries[:-1]) + entries[-1]
            )
        if preloads and self.chance(0.15):
            wanted = [random.choice((*self.names, f"{self.directory()}/{random.choice(self.names)}", "libm.so.6"))
                      for _ in range(random.randint(1, 2))]  # fmt: skip
            found["LD_PRELOAD"] = random.choice(" :").join(wanted)
        if preloads and self.chance(0.2):
            found["LD_DEBUG"] = "libs"  # it tells what it tries, and must tell what tfguard foresees
        if preloads and self.chance(0.08):
            masked = random.sample(_MASKABLE, random.randint(1, 3))
            found["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=" + ",".join(f"-{one}" for one in masked)
        return found

    def entries(self, count: int) -> list[str]:
        """Entries of a search path."""
        random, root = self.random, self.root
        choices = [f"{root}/{name}" for name in _DIRECTORIES]
        choices += [f"{self.directory()}/", f"{self.directory()}//", "", ".", "d1", "../d2", "d3/../d0"]
        choices += [f"{root}/absent", f"{root}/d3", f"{root}/d4", f"{root}/d2/closed", "/absent", "absent"]
        choices += ["$ORIGIN", "$ORIGIN/../d1", "${ORIGIN}/../d3/lib", "$ORIGIN/d0", f"{root}/d3/$LIB", "$PLATFORM"]
        choices += [f"{root}/$FOO", "$ORIGINAL/../d1", f"{root}/d1/libx", "/usr/lib"]
        return [random.choice(choices) for _ in range(count)]

    def exports(self, position: int, version: str | None) -> tuple[Export, ...]:
        random = self.random
        return tuple(
            Export(
                name=f"s{position}_{number}",
                version=version if self.chance(0.8) else None,
                hidden=version is not None and self.chance(0.1),
                binding=random.choice((*(STB_GLOBAL,) * 7, STB_WEAK, STB_WEAK, STB_GNU_UNIQUE)),
                visibility=random.choice((*(STV_DEFAULT,) * 10, STV_PROTECTED, STV_HIDDEN)),
            )
            for number in range(random.randint(1, 5))
        )

    def needed(self, position: int) -> list[str]:
        """What a library needs: others, the system's, itself, nothing that exists, paths."""
        random = self.random
        others = [name for name in self.names if name != self.names[position]]
        found = random.sample(others, min(random.choice((0, 0, 1, 1, 2, 2, 3, 4)), len(others)))
        if self.chance(0.2):
            found.insert(random.randint(0, len(found)), random.choice(_SYSTEM))
        if self.harsh and self.chance(0.1):
            strange = random.choice(
                (
                    "libabsent.so.1", self.names[position], "d1/libx.so", f"{self.directory()}/{random.choice(others)}",
                    f"$ORIGIN/../d1/{random.choice(others)}", f"./{random.choice(others)}", "lib$FOO.so.1",
                )
            )  # fmt: skip
            found.insert(random.randint(0, len(found)), strange)
        return found

    def imports(self, needed: list[str]) -> tuple[Import, ...]:
        random = self.random
        found: dict[str, Import] = {}
        for name in needed:
            if name not in self.names or self.chance(0.3):
                continue
            there = self.names.index(name)
            for number in range(random.randint(0, 2)):
                missing = self.harsh and self.chance(0.05)
                has_need = there % 2 == 1 and self.chance(0.7)
                symbol = f"s{there}_{9 if missing else number}"
                found.setdefault(
                    symbol,
                    Import(
                        name=symbol,
                        file=name if has_need else None,
                        version=f"V{random.choice((1, 1, 1, 1, 1, 2)) if self.harsh else 1}" if has_need else None,
                        binding=STB_WEAK if self.chance(0.2) or number else STB_GLOBAL,
                        relocation=random.choice((R_64, R_GLOB_DAT, R_JUMP_SLOT)),
                        weak_need=self.chance(0.1),
                        hidden=self.chance(0.03),
                    ),
                )
        return tuple(found.values())

    def library(self, position: int) -> Library:
        """The library of a position among the names."""
        random, harsh = self.random, self.harsh
        needed = self.needed(position)
        imports = self.imports(needed)
        kind = random.random()
        lists = ":".join(self.entries(random.randint(1, 4)))
        full = ":".join(f"{self.root}/{name}" for name in _DIRECTORIES)
        others = [name for name in self.names if name != self.names[position]]
        soname = random.choice((*(self.names[position],) * 16, None, None, f"libsoname{position}.so.9",
                                random.choice(others)))  # fmt: skip
        needs: tuple[tuple[str, str], ...] = ()
        if "libc.so.6" in needed and self.chance(0.5):
            needs = (("libc.so.6", random.choice(_SYSTEM_VERSIONS if harsh else _SYSTEM_VERSIONS[:2])),)
        return Library(
            soname=soname,
            needed=tuple(needed),
            rpath=lists if kind < 0.2 else full if kind < 0.4 else None,
            runpath=lists if 0.35 < kind < 0.6 else full if 0.6 < kind < 0.9 else None,
            flags_1=(
                DF_1_NODEFLIB if self.chance(0.04)
                else random.choice((DF_1_NOOPEN, DF_1_PIE)) if harsh and self.chance(0.03) else 0
            ),
            exports=self.exports(position, "V1" if position % 2 == 1 else None),
            imports=imports,
            needs=needs,
            has_gnu_hash=position % 3 != 0,
            has_sysv_hash=position % 3 != 1,
            stack=random.choice((7, None)) if harsh and self.chance(0.02) else 6,
            isa_needed=random.choice((1, 2, 4, 15, 0x8000)) if harsh and self.chance(0.02) else None,
        )  # fmt: skip

    def place(self, position: int) -> list[Plant]:
        """The library in one to three directories: as itself, a link, a copy, damaged, behind something else."""
        random, harsh = self.random, self.harsh
        name, library = self.names[position], self.library(position)
        found: list[Plant] = []
        for place in random.sample(_DIRECTORIES, random.randint(1, 3)):
            path = f"{place}/{random.choice(_HARDWARE)}/{name}" if self.chance(0.08) else f"{place}/{name}"
            first = found[0].path if found else None
            dice = random.random()
            if first is not None and dice < 0.15:
                found.append(Plant(path=path, link=f"{self.root}/{first}"))
            elif first is not None and dice < 0.25:
                found.append(Plant(path=path, hard_link=first))
            elif dice < 0.33:
                found += (Plant(path=f"{path}.0.1", library=library), Plant(path=path, link=f"{name}.0.1"))
            elif harsh and dice < 0.48:
                found.append(Plant(path=path, library=library, damage=random.randrange(len(DAMAGES))))
            elif harsh and dice < 0.53:
                found.append(random.choice((Plant(path=path), Plant(path=path, link=name), Plant(path=path, link="no"),
                                            Plant(path=path, library=library, mode=0))))  # fmt: skip
            elif dice < 0.58:
                found.append(Plant(path=path, library=self.library(position)))
            else:
                found.append(Plant(path=path, library=library))
        return found
