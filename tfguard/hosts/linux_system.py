"""Linux systems by name, as far as a wheel depends on them: debian-12-aarch64, manylinux_2_17-x86_64.

What they have is data in data/systems, written by tools/record_systems.py from the packages of the real systems and
from the policies of PEP 600 and PEP 656.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tfguard.image import EM_AARCH64, EM_X86_64

_DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "systems")
_NAME = re.compile(r"([a-z]+[\w.]*?(?:-[\d.]+)?)-(x86_64|aarch64)")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)|manylinux(1|2010|2014)")
_OLD_NAMES = {"1": 5, "2010": 12, "2014": 17}
_NEWEST = "debian-13"
_MACHINES = {"x86_64": EM_X86_64, "aarch64": EM_AARCH64}
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
_FAMILY = re.compile(r"([A-Z]+)_(\d[\d.]*)")
# From which glibc on, and up to which, the loader does what a feature names (ld-so.md §3).
_FEATURES = {
    "static-tls-tunables": (32, 99),
    "refuses-pie": (30, 99),
    "checks-alignment": (0, 34),
    "checks-abi-tag": (0, 35),
    "asserts-version-table": (0, 40),
    "glibc-hwcaps": (33, 99),
    "isa-level": (33, 99),
    "dt-relr": (36, 99),
    "no-executable-stack": (41, 99),
}


class UnknownSystem(ValueError):
    """There is no system of that name; the text says which there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxSystem:
    """What a wheel may find there: `libraries` maps each soname to the versions it defines, None where any will do.

    `name` is the name without its processor, `title` what people call it. `version` is that of its C library, which
    `loader` says ("glibc", "musl"). `python` is the Python that it comes with, None where none does. `policy` says
    that this is no system but what every one of a kind has.
    """

    name: str
    title: str
    processor: str
    loader: str
    version: tuple[int, int]
    directories: tuple[str, ...]
    libraries: Mapping[str, tuple[str, ...] | None]
    loader_path: str
    features: frozenset[str] = frozenset()
    python: tuple[int, int] | None = None
    policy: bool = False

    @property
    def machine(self) -> int:
        """Its e_machine."""
        return _MACHINES[self.processor]


def known_systems() -> tuple[str, ...]:
    """The names that are known, those of every number of manylinux as one."""
    recorded = sorted(one.removesuffix(".txt") for one in os.listdir(_DATA) if one != "policies.txt")
    return (*recorded, "manylinux_2_17-x86_64", "musllinux_1_2-x86_64")


def is_linux_name(name: str) -> bool:
    """Whether a name is meant for a Linux system, known or not."""
    return not name.strip().lower().startswith("macos")


def linux_system(name: str) -> LinuxSystem:
    """The system of a name. Raises UnknownSystem."""
    name = name.strip().lower().replace("-amd64", "-x86_64").replace("-arm64", "-aarch64")
    match = _NAME.fullmatch(name)
    if match is not None:
        system, processor = match[1], match[2]
        if (policy := _MANYLINUX.fullmatch(system)) is not None:
            minor = int(policy[1]) if policy[1] else _OLD_NAMES[policy[2]]
            found = _manylinux(minor, processor)
        elif system in ("musllinux_1_1", "musllinux_1_2", "alpine"):
            found = _musllinux(system, processor)
        else:
            found = _recorded(system, processor)
        if found is not None:
            return found
    raise UnknownSystem(f"no host is called {name!r}: there are {', '.join(known_systems())} and others of manylinux")


def _lines(file: str) -> list[list[str]]:
    try:
        with open(os.path.join(_DATA, file), encoding="utf-8") as stream:
            return [line.split() for line in stream.read().splitlines() if line and not line.startswith("#")]
    except OSError:
        return []


def _recorded(name: str, processor: str) -> LinuxSystem | None:
    facts: dict[str, list[str]] = {}
    libraries: dict[str, tuple[str, ...] | None] = {}
    for word, *rest in _lines(f"{name}-{processor}.txt"):
        if word == "library":
            libraries[rest[0]] = tuple(rest[1:])
        else:
            facts[word] = rest
    if not facts:
        return None
    return LinuxSystem(
        name=name,
        title=" ".join(facts["name"]),
        processor=processor,
        loader="glibc",
        version=_pair(facts["glibc"][0]),
        directories=tuple(facts["directories"]),
        libraries=libraries,
        loader_path=facts["loader"][0],
        features=frozenset(facts["features"]),
        python=_pair(facts["python"][0]),
    )


def _pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _manylinux(minor: int, processor: str) -> LinuxSystem | None:
    """Every system with this glibc: libraries and versions of the policy, the tables of the newest system cut to it."""
    newest = _recorded(_NEWEST, processor)
    policies = {int(row[1].rpartition("_")[2]): row for row in _lines("policies.txt") if row[1].startswith("manylinux")
                and row[0] == "policy"}  # fmt: skip
    fitting = max((number for number in policies if number <= minor), default=None)
    if newest is None or fitting is None or minor > newest.version[1]:
        return None
    name = policies[fitting][1]
    limits = next((row[3:] for row in _lines("policies.txt") if row[:3] == ["versions", name, processor]), [])
    highest = {family: _numbers(version) for family, _, version in (pair.partition("=") for pair in limits)}
    if not highest:
        return None  # there was no such processor then
    highest["GLIBC"] = (2, minor)
    loader = _LOADERS[processor]
    libraries = {
        soname: _allowed(newest.libraries[soname], highest) if soname in newest.libraries else None
        for soname in (*policies[fitting][2:], os.path.basename(loader))
    }
    return LinuxSystem(
        name=f"manylinux_2_{minor}",
        title=f"a system with glibc 2.{minor} (manylinux_2_{minor})",
        processor=processor,
        loader="glibc",
        version=(2, minor),
        directories=("/lib64", "/usr/lib64"),
        libraries=libraries,
        loader_path=loader,
        features=frozenset(
            name for name, (first, last) in _FEATURES.items()
            if first <= minor <= last and (name != "isa-level" or processor == "x86_64")
        ),
        policy=True,
    )  # fmt: skip


def _allowed(versions: tuple[str, ...] | None, highest: Mapping[str, tuple[int, ...]]) -> tuple[str, ...] | None:
    """Of the versions that a library defines those up to the highest of each family; names without a number are old."""
    if versions is None:
        return None
    kept = []
    for one in versions:
        match = _FAMILY.fullmatch(one)
        if match is None:
            # GLIBC_ABI_DT_RELR came with 2.36, other marks later
            if not one.startswith("GLIBC_ABI_") or (one == "GLIBC_ABI_DT_RELR" and highest["GLIBC"] >= (2, 36)):
                kept.append(one)
        elif match[1] not in highest or _numbers(match[2]) <= highest[match[1]]:
            kept.append(one)
    return tuple(kept)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _musllinux(name: str, processor: str) -> LinuxSystem | None:
    policy = "musllinux_1_2" if name == "alpine" else name
    row = next((row for row in _lines("policies.txt") if row[:2] == ["policy", policy]), None)
    if row is None:
        return None
    minor = int(policy.rpartition("_")[2])
    others: dict[str, tuple[str, ...] | None] = {one: None for one in row[2:] if one != "libc.so"}
    return LinuxSystem(
        name=policy,
        title=f"Alpine Linux (musl 1.{minor})" if name == "alpine" else f"a system with musl 1.{minor} ({policy})",
        processor=processor,
        loader="musl",
        version=(1, minor),
        directories=("/lib", "/usr/local/lib", "/usr/lib"),
        libraries={f"libc.musl-{processor}.so.1": None, **others},
        loader_path=f"/lib/ld-musl-{processor}.so.1",
        policy=True,
    )
