"""Linux systems by name: what the data says of them, and that it is what the real ones have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.worlds import WORLDS, World
from tfguard.binary.elf import look_at
from tfguard.binary.elf_stub import stub
from tfguard.binary.symbols import Reference, SymbolTable
from tfguard.binary.versions import versions_of
from tfguard.hosts.linux_system import UnknownSystem, known_systems, linux_system
from tfguard.hosts.loader_family import read_loader
from tfguard.image import EM_AARCH64, EM_X86_64, Image, VersionNeed


@pytest.mark.parametrize(
    ("name", "version", "glibcxx", "machine"),
    [
        ("debian-11-x86_64", (2, 31), "GLIBCXX_3.4.28", EM_X86_64),
        ("debian-12-aarch64", (2, 36), "GLIBCXX_3.4.30", EM_AARCH64),
        ("debian-13-amd64", (2, 41), "GLIBCXX_3.4.33", EM_X86_64),
        ("ubuntu-22.04-x86_64", (2, 35), "GLIBCXX_3.4.30", EM_X86_64),
        ("Ubuntu-24.04-x86_64", (2, 39), "GLIBCXX_3.4.33", EM_X86_64),
        ("manylinux1-x86_64", (2, 5), "GLIBCXX_3.4.8", EM_X86_64),
        ("manylinux2014-aarch64", (2, 17), "GLIBCXX_3.4.19", EM_AARCH64),
        ("manylinux_2_17-x86_64", (2, 17), "GLIBCXX_3.4.19", EM_X86_64),
        ("manylinux_2_28-arm64", (2, 28), "GLIBCXX_3.4.24", EM_AARCH64),
        ("manylinux_2_30-x86_64", (2, 30), "GLIBCXX_3.4.24", EM_X86_64),
        ("manylinux_2_41-x86_64", (2, 41), "GLIBCXX_3.4.33", EM_X86_64),
    ],
)
def test_newest_versions(name: str, version: tuple[int, int], glibcxx: str, machine: int) -> None:
    """The C library's version, and the newest that libc.so.6 and libstdc++.so.6 define."""
    system = linux_system(name)

    newest = [one for one in system.libraries["libstdc++.so.6"] or () if one.startswith("GLIBCXX_3")]
    glibc = [one for one in system.libraries["libc.so.6"] or () if one[6:7].isdigit()]
    assert (system.version, system.machine, newest[-1]) == (version, machine, glibcxx)
    assert max(int(one.split(".")[1]) for one in glibc) <= version[1]
    # Ubuntu 22.04 has the check in its loader and not the version in its library
    marked = "GLIBC_ABI_DT_RELR" in (system.libraries["libc.so.6"] or ())
    assert marked == ("dt-relr" in system.features and system.version >= (2, 36))


def test_every_known_name() -> None:
    """Each can be asked for."""
    assert len(known_systems()) >= 10
    for name in known_systems():
        system = linux_system(name)
        assert system.libraries
        assert system.directories


@pytest.mark.parametrize(
    "name",
    [
        "debian-12",
        "debian-99-x86_64",
        "manylinux_2_99-x86_64",
        "manylinux1-aarch64",
        "solaris-x86_64",
        "../x-x86_64",
        "",
    ],
)
def test_unknown_name(name: str) -> None:
    """What there is no data of is said, with the names that there are."""
    with pytest.raises(UnknownSystem, match="debian-12-aarch64"):
        linux_system(name)


def test_musl() -> None:
    """Alpine is musl 1.2; what musl itself is has no versions."""
    system = linux_system("alpine-x86_64")

    assert (system.loader, system.version) == ("musl", (1, 2))
    assert system.libraries["libc.musl-x86_64.so.1"] is None
    assert linux_system("musllinux_1_1-aarch64").version == (1, 1)


_REAL = [one for one in WORLDS if one.name in ("debian-11", "debian-12", "debian-13", "debian-12-arm64")]


@pytest.mark.parametrize("world", _REAL, ids=lambda one: one.name)
def test_data_is_what_the_real_system_has(world: World) -> None:
    """Every library of the data that is in a tree of debootstrap defines just these versions there."""
    if not (world.tree / world.libraries / "libc.so.6").exists():
        pytest.skip(f"{world.name} is not built: make lab builds it")
    processor = "aarch64" if world.architecture == "arm64" else "x86_64"
    system = linux_system(f"{world.name.removesuffix('-arm64')}-{processor}")
    loader = read_loader(str((world.tree / world.libraries / world.loader).resolve()))

    count = 0
    for soname, versions in system.libraries.items():
        image = look_at(str(world.tree / world.libraries / soname)).content
        if not isinstance(image, Image):
            continue  # not among the packages of that tree
        found = versions_of(image)
        assert found is not None
        real = [one for one in found.definitions.values() if one != "GLIBC_PRIVATE"]
        assert (soname, real) == (soname, list(versions or ()))
        count += 1
    assert count >= 12
    assert (system.features, system.directories) == (loader.features, loader.directories)


def test_policy_cuts_a_table_as_the_older_system_has_it() -> None:
    """The newest system's versions up to an older glibc are those of the system with that one: none was taken away."""
    older = linux_system("debian-12-x86_64")
    newest = linux_system("manylinux_2_36-x86_64")

    for soname in ("libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2"):
        assert newest.libraries[soname] == older.libraries[soname]


@pytest.mark.parametrize("machine", [EM_X86_64, EM_AARCH64])
def test_stub(machine: int, tmp_path: Path) -> None:
    """A stub has the names that it was given, and no others."""
    path = tmp_path / "libx.so.1"
    symbols = [(b"memcpy", "V_2"), (b"memcpy", "V_1"), (b"plain", None)]
    path.write_bytes(stub(machine, "libx.so.1", needed=("liby.so",), versions=("V_0", "V_1"), symbols=symbols))

    image = look_at(str(path)).content
    assert isinstance(image, Image)
    table = SymbolTable(image)
    wanted = [*((b"memcpy", version) for version in ("V_2", "V_1", "V_3", None)), (b"plain", None), (b"x", None)]
    versions = [VersionNeed("libx.so.1", version, False, 5) if version else None for _, version in wanted]
    needs = [Reference(name, version, 0) for (name, _), version in zip(wanted, versions, strict=True)]
    assert (image.soname, image.needed, image.machine) == ("libx.so.1", ("liby.so",), machine)
    assert table.versions.defined_names == {"libx.so.1", "V_0", "V_1", "V_2"}
    assert table.satisfies(needs) == [True, True, False, False, True, False]  # the plain name has two versions
    table.close()
