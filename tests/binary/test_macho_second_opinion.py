"""Our readers and macholib, LIEF and LLVM's tools agree on Mach-O files: on ours here, on those of wheels if slow."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.binary import macho_opinions
from tests.support.macho_writer import Macho, Signing, fat, write
from tests.support.wheels import download
from tfguard.binary.macho import look_at_macho

_IMPORTS = ((1, "_foo"), (2, "_printf"), (-2, "_PyLong_FromLong", True), (-1, "_main"), (3, "_w", True))
_NEEDS = (
    "@rpath/libtwo.dylib",
    "/usr/lib/libSystem.B.dylib",
    ("@rpath/libw.dylib", "weak"),
    ("@rpath/r.dylib", "reexport"),
)
_ONE = Macho(
    install_name="@rpath/libone.dylib",
    needs=_NEEDS,
    rpaths=("@loader_path", "/opt/lib", "@loader_path"),
    imports=_IMPORTS,
    exports={f"_name{number}": number % 2 * 4 for number in range(300)} | {"_again": (1, "_foo"), "_name": 0},
    sign=Signing(team="ABCDE12345"),
)
_INTEL = Macho(arch="x86_64", install_name="@rpath/i.dylib", exports={"_i": 0}, imports=_IMPORTS, needs=_NEEDS)

FILES: dict[str, bytes] = {
    "opcodes": write(_ONE),
    "chained": write(Macho(chained=True, imports=_IMPORTS, exports=_ONE.exports, needs=_NEEDS, filetype="bundle")),
    "intel": write(_INTEL),
    "version-min": write(
        Macho(arch="x86_64", install_name="v", platform=None, extra=(struct.pack("<4I", 0x24, 16, 10 << 16, 11 << 16),))
    ),
    "zippered": write(Macho(install_name="z", extra=(struct.pack("<6I", 0x32, 24, 6, 15 << 16, 15 << 16, 0),))),
    "universal": fat(write(_INTEL), write(_ONE)),
    "program": write(Macho(filetype="execute", flags=0x200085, rpaths=("@executable_path/../lib",))),
}

Opinion = Callable[[Path], str | None]
OPINIONS = {
    "macholib": macho_opinions.by_macholib,
    "lief": macho_opinions.by_lief,
    "llvm-objdump": macho_opinions.by_llvm,
    "llvm-nm": macho_opinions.by_nm,
}


def asked(name: str) -> Opinion:
    """The opinion of a reader that is there; else the test is left out."""
    if name == "lief":
        pytest.importorskip("lief", reason="LIEF comes with the extra `bench`")
    if {"llvm-objdump": macho_opinions.OBJDUMP, "llvm-nm": macho_opinions.NM}.get(name, "") is None:
        pytest.skip(f"{name} is not on this machine (Debian has it in the package llvm)")
    return OPINIONS[name]


@pytest.mark.parametrize("reader", OPINIONS)
@pytest.mark.parametrize("name", FILES)
def test_agreement(name: str, reader: str, tmp_path: Path) -> None:
    """Every fact that both readers give is the same."""
    path = tmp_path / f"{name}.dylib"
    path.write_bytes(FILES[name])

    assert asked(reader)(path) is None


_SOURCES = {
    "foo.c": "int foo(void) { return 1; } __thread int local; int data = 3;",
    "bar.c": 'int foo(void); int printf(const char *, ...); int bar(void) { return foo() + printf("x"); }',
}


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["aarch64-macos.12.0", "x86_64-macos.10.15"])
def test_files_of_a_real_linker(processor: str, tmp_path: Path) -> None:
    """The same for what zig's compiler and linker make (pip install ziglang)."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed in this environment")
    for name, text in _SOURCES.items():
        (tmp_path / name).write_text(text)
    zig = [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined", "-target", processor, "-shared"]
    links = ["-L.", "-lfoo", "-Wl,-rpath,@loader_path", "-Wl,-rpath,@loader_path/../lib"]
    for command in (
        [*zig, "-install_name", "@rpath/libfoo.dylib", "-o", "libfoo.dylib", "foo.c"],
        [*zig, "-install_name", "@rpath/libbar.dylib", *links, "-o", "libbar.dylib", "bar.c"],
        [*zig, "-undefined", "dynamic_lookup", "-o", "flat.so", "bar.c"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    for name in ("libfoo.dylib", "libbar.dylib", "flat.so"):
        assert [reader for reader in OPINIONS if asked(reader)(tmp_path / name) is not None] == [], name


# Wheels with every kind of file: opcodes and chained fixups, one processor and both, several linkers.
_WHEELS = (
    ("numpy==2.3.4", "macosx_11_0_arm64"),
    ("h5py==3.14.0", "macosx_11_0_arm64"),
    ("grpcio==1.75.1", "macosx_11_0_universal2"),
    ("tensorflow-metal==1.2.0", "macosx_12_0_arm64"),
    ("tensorflow-addons==0.23.0", "macosx_11_0_arm64"),
    ("tensorflow-addons==0.23.0", "macosx_10_14_x86_64"),
    ("tensorflow==2.21.0", "macosx_12_0_arm64"),
)
_SIZE_LIMIT = 60 << 20  # of TensorFlow's largest library macholib and LIEF make gigabytes


def members(wheel: Path, folder: Path) -> Iterator[Path]:
    """The Mach-O files of a wheel, unpacked one by one."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.filename.endswith((".so", ".dylib")) and info.file_size <= _SIZE_LIMIT:
                path = Path(archive.extract(info, folder))
                yield path
                path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(("requirement", "platform"), _WHEELS)
def test_files_of_real_wheels(requirement: str, platform: str, tmp_path: Path) -> None:
    """And for every Mach-O file of real wheels; pip's cache keeps them."""
    wheel = download(requirement, platform, tmp_path)
    count = 0
    for path in members(wheel, tmp_path):
        assert look_at_macho(str(path)).slices
        for reader in OPINIONS:
            said = asked(reader)(path)
            assert said is None, f"{path.name}, {reader}: {said}"
        count += 1

    print(f"{wheel.name}: {count} files")
    assert count
