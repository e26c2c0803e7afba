"""What a person reads of a library and the loader does not."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import build
from tests.support.watch import watched
from tfguard.binary.detail import Detail, compiler_of, describe

SOURCE = "extern int missing(void); int f(void) { return missing(); } int g;"


@pytest.fixture(scope="session")
def library(compiler: build.Compiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared object with debug information, a build id and two symbol versions."""
    directory = tmp_path_factory.mktemp("detail")
    script = directory / "versions"
    script.write_text("V_1 { global: f; };\nV_2 { global: g; } V_1;\n")
    options = ("-shared", "-fPIC", "-nostdlib", "-g", "-Wl,--build-id=0x0123456789abcdef", "-Wl,-soname,libd.so.1")
    return Path(shutil.copy(compiler.build(SOURCE, *options, f"-Wl,--version-script={script}"), directory / "libd.so"))


def program_output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


def test_describe(library: Path) -> None:
    """A library as the linker made it, with all that the description knows."""
    detail = describe(str(library))

    assert detail.problem == ""
    assert detail.kind.kind == "elf"
    assert detail.size == library.stat().st_size
    assert detail.build_id == "0123456789abcdef"
    assert detail.versions_defined == ("libd.so.1", "V_1", "V_2")
    assert detail.debug_info
    assert detail.stripped is False
    assert {name for name, _ in detail.symbols} == {".dynsym", ".symtab"}
    assert detail.compilers
    assert {section.name: section.flags for section in detail.sections}[".text"] == "AX"


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not on this machine")
def test_sections_are_those_of_readelf(library: Path) -> None:
    """Names, sizes and symbol counts agree with binutils."""
    detail = describe(str(library))
    listed = program_output("readelf", "-SW", library)
    symbols = program_output("readelf", "-sW", library)

    for section in detail.sections:
        assert f" {section.name} " in listed
        assert f" {section.size:06x} " in listed
    for name, count in detail.symbols:
        assert f"'{name}' contains {count} entr" in symbols


def test_stripped(library: Path, tmp_path: Path) -> None:
    """Without symbol table and debug information the description says so."""
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)

    detail = describe(str(stripped))

    assert (detail.stripped, detail.debug_info) == (True, False)
    assert [name for name, _ in detail.symbols] == [".dynsym"]
    assert detail.build_id == "0123456789abcdef"


def test_no_section_headers(library: Path, tmp_path: Path) -> None:
    """A file without section headers has no sections to show, but its notes: they are found by program header."""
    data = bytearray(library.read_bytes())
    data[40:48] = bytes(8)
    data[58:64] = bytes(6)
    bare = tmp_path / "bare.so"
    bare.write_bytes(data)

    detail = describe(str(bare))

    assert detail.problem == ""
    assert detail.sections == ()
    assert detail.stripped is None
    assert detail.build_id == "0123456789abcdef"


def test_compiler_of(library: Path, tmp_path: Path) -> None:
    """The compiler that the object names, as it names itself."""
    version = program_output(build.COMMAND, "-dumpfullversion").strip()
    text = tmp_path / "text.so"
    text.write_text("no library")

    assert version in (compiler_of(str(library)) or "")
    assert compiler_of(str(text)) is None
    assert compiler_of(str(tmp_path / "missing.so")) is None


@pytest.mark.parametrize("size", [0, 1, 4, 16, 52, 64, 100, 1000, 4096, 9000])
def test_truncated(library: Path, tmp_path: Path, size: int) -> None:
    """A cut file gives what can be read and a reason for the rest."""
    cut = tmp_path / "cut.so"
    cut.write_bytes(library.read_bytes()[:size])

    detail = describe(str(cut))

    assert detail.size == size
    assert detail.problem != "" or detail.kind.kind != "elf"


def test_cut_section_data(library: Path, tmp_path: Path) -> None:
    """Section headers moved to where they survive a cut still show which section lost its bytes."""
    data = bytearray(library.read_bytes())
    offset = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<Q", data, offset + 64 * 2 + 32, 1 << 40)
    broken = tmp_path / "broken.so"
    broken.write_bytes(data)

    assert "ends past the end of the file" in describe(str(broken)).problem


def test_damaged(library: Path, tmp_path: Path) -> None:
    """Random damage never raises, and each file is done within seconds."""
    whole = library.read_bytes()
    dice = random.Random(2)
    path = tmp_path / "damaged.so"

    for _ in range(150):
        data = bytearray(whole)
        tables = struct.unpack_from("<Q", data, 40)[0]
        for _ in range(dice.randrange(1, 12)):
            at = dice.choice((dice.randrange(16, 700), dice.randrange(tables, len(data)), dice.randrange(len(data))))
            data[at] = dice.choice((0, 0xFF, 0x7F, dice.randrange(256)))
        path.write_bytes(data)
        with watched(20):
            detail = describe(str(path))
            compiler_of(str(path))
        assert isinstance(detail, Detail)


def test_hash_table_of_claims(library: Path, tmp_path: Path) -> None:
    """A hash table that claims 4 billion buckets in a file with room for them ends at the limit of reads."""
    data = bytearray(library.read_bytes())
    listed = program_output("readelf", "-SW", library)
    line = next(line for line in listed.splitlines() if " .gnu.hash " in line)
    struct.pack_into("<I", data, int(line.partition("GNU_HASH")[2].split()[1], 16), 0xFFFFFFFF)
    hostile = tmp_path / "hostile.so"
    hostile.write_bytes(data)
    os.truncate(hostile, 1 << 30)

    with watched(60):
        detail = describe(str(hostile))

    assert detail.problem
    assert detail.build_id is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda path: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="directory"),
        pytest.param(os.mkfifo, "", id="fifo"),
        pytest.param(lambda path: path.write_bytes(b"MZ"), "", id="other-format"),
    ],
)
def test_no_elf(tmp_path: Path, make: object, problem: str) -> None:
    """What is no ELF or Mach-O file is described by its kind alone."""
    assert callable(make)
    path = tmp_path / "x.so"
    make(path)

    detail = describe(str(path))

    assert detail.problem == problem
    assert detail == dataclasses.replace(Detail(path=str(path), kind=detail.kind), size=detail.size, problem=problem)


def dylib(order: str = "<", bits: int = 64) -> bytes:
    """A Mach-O dynamic library of nothing but load commands."""

    def command(number: int, fixed: bytes, name: bytes) -> bytes:
        text = name.ljust((len(name) + 8) // 8 * 8, b"\0")
        size = 8 + len(fixed) + len(text)
        return struct.pack(order + "II", number, size) + fixed + text

    versions = struct.pack(order + "4I", 24, 2, 0x10000, 0x10000)
    commands = (
        command(0xD, versions, b"@rpath/libk.dylib"),
        command(0xC, versions, b"/usr/lib/libSystem.B.dylib"),
        command(0x80000018, versions, b"@rpath/libw.dylib"),
        command(0x8000001C, struct.pack(order + "I", 12), b"@loader_path/../lib\0"),
        struct.pack(order + "4I", 0x7FFF, 16, 1, 2),
    )
    magic = 0xFEEDFACF if bits == 64 else 0xFEEDFACE
    cpu = 0x0100000C if bits == 64 else 7
    size = sum(map(len, commands))
    header = struct.pack(order + "7I", magic, cpu, 0, 6, len(commands), size, 0)
    return header + bytes(4 if bits == 64 else 0) + b"".join(commands)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("bits", [64, 32])
def test_macho(tmp_path: Path, order: str, bits: int) -> None:
    """The load commands of a Mach-O library of either width and byte order, one of them unknown to macholib."""
    path = tmp_path / "libk.dylib"
    path.write_bytes(dylib(order, bits))

    detail = describe(str(path))

    assert detail.problem == ""
    (found,) = detail.slices
    assert found.architecture == ("arm64" if bits == 64 else "i386")
    assert found.type == "dynamically bound shared library"
    assert found.install_name == "@rpath/libk.dylib"
    assert found.libraries == ("/usr/lib/libSystem.B.dylib", "@rpath/libw.dylib")
    assert found.rpaths == ("@loader_path/../lib",)


@pytest.mark.parametrize("magic", [0xCAFEBABE, 0xCAFEBABF], ids=["fat", "fat-64"])
def test_universal_macho(tmp_path: Path, magic: int) -> None:
    """Each slice is described; one that is damaged stops the description with a reason."""
    entry = struct.Struct(">5I" if magic == 0xCAFEBABE else ">2I2Q2I")
    rest = (12,) if magic == 0xCAFEBABE else (12, 0)
    one = dylib()
    table = b"".join(entry.pack(0x0100000C, 0, at, len(one), *rest) for at in (0x1000, 0x2000, 0x3000))
    data = (struct.pack(">2I", magic, 3) + table).ljust(0x1000, b"\0")
    data += one.ljust(0x1000, b"\0") + one.ljust(0x1000, b"\0") + bytes(0x1000)
    path = tmp_path / "universal.dylib"
    path.write_bytes(data)

    detail = describe(str(path))

    assert [found.install_name for found in detail.slices] == ["@rpath/libk.dylib"] * 2
    assert detail.problem == "ValueError: no Mach-O image at offset 12288"


def test_damaged_macho(tmp_path: Path) -> None:
    """Random damage to load commands never raises."""
    dice = random.Random(3)
    path = tmp_path / "damaged.dylib"

    for _ in range(200):
        data = bytearray(dylib())
        for _ in range(dice.randrange(1, 9)):
            data[dice.randrange(4, len(data))] = dice.choice((0, 0xFF, dice.randrange(256)))
        path.write_bytes(data[: dice.choice((len(data), dice.randrange(4, len(data))))])

        assert isinstance(describe(str(path)), Detail)


def test_system_libraries() -> None:
    """Every shared object of the running process is described without a problem, and names its build."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    if not mapped:
        pytest.skip("no list of mapped files on this system")

    for path in sorted(mapped):
        if os.path.exists(path):
            assert describe(path).problem == "", path


@pytest.mark.tensorflow
def test_tensorflow_libraries() -> None:
    """The main libraries of the real wheel, 788 MB of them, are described in bounded time."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        pytest.skip("TensorFlow is not installed in this environment")
    package = Path(spec.origin).parent
    paths = sorted(package.glob("libtensorflow_*.so.*"), key=lambda path: path.stat().st_size)

    for path in paths:
        with watched(60):
            detail = describe(str(path))
        assert detail.problem == ""
        assert detail.compilers
        assert dict(detail.symbols)[".dynsym"] > 10_000
    assert paths


def test_import_is_cheap() -> None:
    """The foreign parsers are imported by the description, not by the module."""
    program = "import sys, tfguard.binary.detail; print('macholib' in sys.modules, 'elftools' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
