"""Grows random sets of libraries that need each other, with search paths, copies, links and damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.elf_edit import with_header
from tests.support.elf_writer import R_64, R_GLOB_DAT, R_JUMP_SLOT, STB_GLOBAL, STB_WEAK, Export, Import, Library, write
from tests.support.real_loader import Load
from tfguard.image import DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_PIE

_DIRECTORIES = ("d0", "d1", "d2", "d3/lib")
_DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    lambda data, _: b"",
    lambda data, _: data[:63],
    lambda data, _: data[:200],
    lambda data, _: data[:4096],
    lambda data, random: data[: random.randrange(len(data))],
    lambda data, _: b"GROUP ( AS_NEEDED ( libother.so ) ) " * 4,
    lambda data, _: with_header(data, ei_class=1),
    lambda data, _: with_header(data, ei_class=1),
    lambda data, _: with_header(data, e_machine=183),
    lambda data, _: with_header(data, e_machine=183),
    lambda data, _: with_header(data, ei_osabi=9),
    lambda data, _: with_header(data, e_type=1),
    lambda data, _: with_header(data, e_type=2),
    lambda data, _: with_header(data, ei_data=2),
    lambda data, _: with_header(data, e_phentsize=55),
    lambda data, _: with_header(data, e_phnum=0),
)


def plant(seed: int, root: Path) -> Load:
    """Lay a forest out below `root` and say what to load in it."""
    random = Random(seed)
    count = random.randint(2, 8)
    names = [f"lib{letter}.so.{random.randint(1, 2)}" for letter in "abcdefgh"[:count]]
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True)
    harsh = random.random() < 0.6
    libraries = [_library(random, position, names, root, harsh=harsh) for position in range(count)]
    placed: list[Path] = []
    for name, library in zip(names, libraries, strict=True):
        placed += _place(random, root, name, library, harsh=harsh)
    environment = {}
    if random.random() < 0.5:
        entries = _entries(random, root, random.randint(1, 3))
        environment["LD_LIBRARY_PATH"] = random.choice(":;").join(entries)
    loads: list[tuple[str, int]] = []
    before: list[tuple[str, int]] = []
    sound = [path for path in placed if path.exists()]
    for _ in range(random.randint(1, 3)):
        opened = random.choice(names) if random.random() < 0.2 else str(random.choice(placed))
        loads.append((opened, os.RTLD_GLOBAL if random.random() < 0.3 else 0))
    if sound and random.random() < 0.3:
        alone = root / "before.so"
        alone.write_bytes(write(Library(soname=random.choice(names), exports=_exports(random, 0, None))))
        before.append((str(alone), random.choice((0, os.RTLD_GLOBAL))))
    cwd = random.choice((root, *(root / name for name in _DIRECTORIES)))
    return Load(names=tuple(loads), before=tuple(before), cwd=str(cwd), environment=environment)


def _entries(random: Random, root: Path, count: int) -> list[str]:
    """Entries of a search path."""
    choices = [str(root / name) for name in _DIRECTORIES]
    choices += [
        f"{root}/{random.choice(_DIRECTORIES)}/",
        "",
        ".",
        "d1",
        "../d2",
        str(root / "absent"),
        str(root / "d3"),
    ]
    choices += ["$ORIGIN", "$ORIGIN/../d1", "${ORIGIN}/../d3/lib", "/absent", f"{root}/d3/$LIB", "$ORIGIN/d0"]
    return [random.choice(choices) for _ in range(count)]


def _exports(random: Random, position: int, version: str | None) -> tuple[Export, ...]:
    return tuple(
        Export(
            name=f"s{position}_{number}",
            version=version if random.random() < 0.8 else None,
            hidden=version is not None and random.random() < 0.1,
            binding=STB_WEAK if random.random() < 0.2 else STB_GLOBAL,
        )
        for number in range(random.randint(1, 5))
    )


def _library(random: Random, position: int, names: list[str], root: Path, *, harsh: bool) -> Library:
    others = [name for name in names if name != names[position]]
    needed = random.sample(others, random.randint(0, min(3, len(others))))
    if random.random() < 0.2:
        needed.insert(random.randint(0, len(needed)), random.choice(("libc.so.6", "libm.so.6", "libBrokenLocale.so.1")))
    if harsh and random.random() < 0.08:
        needed.insert(random.randint(0, len(needed)), random.choice(("libabsent.so.1", names[position], "d1/libx.so")))
    versioned = position % 2 == 1
    imports: list[Import] = []
    for name in needed:
        if name not in names or random.random() < 0.3:
            continue
        there = names.index(name)
        for number in range(random.randint(0, 2)):
            missing = harsh and random.random() < 0.05
            has_need = there % 2 == 1 and random.random() < 0.7
            imports.append(
                Import(
                    name=f"s{there}_{9 if missing else number}",
                    file=name if has_need else None,
                    version=f"V{random.choice((1, 1, 1, 1, 1, 2)) if harsh else 1}" if has_need else None,
                    binding=STB_WEAK if random.random() < 0.2 or number else STB_GLOBAL,
                    relocation=random.choice((R_64, R_GLOB_DAT, R_JUMP_SLOT)),
                )
            )
    unique = {one.name: one for one in imports}
    kind = random.random()
    lists = ":".join(_entries(random, root, random.randint(1, 3)))
    full = ":".join(str(root / name) for name in _DIRECTORIES)
    flags_1 = random.choice((DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_PIE)) if harsh and random.random() < 0.05 else 0
    return Library(
        soname=None if random.random() < 0.1 else random.choice(others) if random.random() < 0.05 else names[position],
        needed=tuple(needed),
        rpath=lists if kind < 0.2 else full if kind < 0.4 else None,
        runpath=lists if 0.35 < kind < 0.6 else full if 0.6 < kind < 0.9 else None,
        flags_1=flags_1,
        exports=_exports(random, position, "V1" if versioned else None),
        imports=tuple(unique.values()),
        has_gnu_hash=position % 3 != 0,
        has_sysv_hash=position % 3 != 1,
    )


def _place(random: Random, root: Path, name: str, library: Library, *, harsh: bool) -> list[Path]:
    """The library in one to three directories: as itself, a link, a copy, a damaged copy."""
    data = write(library)
    places = random.sample(_DIRECTORIES, random.randint(1, 3))
    found: list[Path] = []
    for position, place in enumerate(places):
        path = root / place / name
        if random.random() < 0.06:
            path = root / place / "glibc-hwcaps/x86-64-v2" / name
            path.parent.mkdir(parents=True, exist_ok=True)
        dice = random.random()
        if position and dice < 0.2:
            path.symlink_to(found[0])
        elif position and dice < 0.3 and found[0].is_file():
            os.link(found[0], path)
        elif harsh and dice < 0.45:
            path.write_bytes(random.choice(_DAMAGES)(data, random))
        elif harsh and dice < 0.5:
            random.choice(
                (path.mkdir, lambda path=path: path.symlink_to(name), lambda path=path: path.symlink_to("no"))
            )()
        else:
            path.write_bytes(data)
        found.append(path)
    return found
