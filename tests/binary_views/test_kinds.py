"""What a file is, told by its first bytes."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import build
from tfguard.binary.elf import look_at
from tfguard.binary.kinds import recognise
from tfguard.image import Head

WORDS = frozenset(
    (
        *("elf", "empty", "zeros", "wiped-elf", "macho", "pe", "archive", "bitcode", "zip", "gzip", "xz", "bzip2"),
        *("zstd", "git-lfs-pointer", "html", "linker-script", "symlink-text", "python-source", "text", "unknown"),
    )
)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 788086608\n"
S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>'
LD_SCRIPT = (
    b"/* GNU ld script\n   Use the shared library */\nGROUP ( /lib/x86_64-linux-gnu/libc.so.6 libc_nonshared.a )\n"
)


def of(data: bytes, size: int | None = None) -> Head:
    return Head(path="x", kind="regular", size=len(data) if size is None else size, start=data[:4096])


def thin(cpu: int, filetype: int, *, order: str = "<", bits: int = 64, subtype: int = 0, command: bytes = b"") -> bytes:
    magic = 0xFEEDFACF if bits == 64 else 0xFEEDFACE
    header = struct.pack(order + "7I", magic, cpu, subtype, filetype, 1 if command else 0, len(command), 0)
    return header + bytes(4 if bits == 64 else 0) + command


def fat(*cpus: int, magic: int = 0xCAFEBABE) -> bytes:
    entry = struct.Struct(">5I" if magic == 0xCAFEBABE else ">2I2Q2I")
    rest = (0, 0, 0) if magic == 0xCAFEBABE else (0, 0, 0, 0)
    return struct.pack(">2I", magic, len(cpus)) + b"".join(entry.pack(cpu, 0, *rest) for cpu in cpus) + bytes(64)


def pe(machine: int, characteristics: int) -> bytes:
    start = (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)).ljust(0x80, b"\0")
    return start + b"PE\0\0" + struct.pack("<HHIIIHH", machine, 3, 0, 0, 0, 240, characteristics)


def elf_header(machine: int = 62, elf_class: int = 2, data: int = 1, kind: int = 3) -> bytes:
    order, size = "<" if data == 1 else ">", 64 if elf_class == 2 else 52
    ident = b"\x7fELF" + bytes((elf_class, data, 1)) + bytes(9)
    layout = "HHIQQQIHHHHHH" if elf_class == 2 else "HHIIIIIHHHHHH"
    return (ident + struct.pack(order + layout, kind, machine, 1, 0, 64, 0, 0, size, 56, 0, 64, 0, 0)).ljust(128, b"\1")


IOS = struct.pack("<6I", 0x32, 24, 2, 0, 0, 0)
OLD_MAC = struct.pack(">4I", 0x24, 16, 0, 0)
ARM64, X86_64, I386, PPC = 0x0100000C, 0x01000007, 7, 18
MEMBER = b"a.o/            0           0     0     644     200       `\n"

CASES = [
    pytest.param(elf_header(), "elf", "ELF 64-bit x86-64 shared object", id="elf"),
    pytest.param(elf_header(183, data=2), "elf", "ELF 64-bit big-endian aarch64 shared object", id="elf-big-endian"),
    pytest.param(elf_header(3, 1, kind=1), "elf", "ELF 32-bit i386 relocatable object", id="elf-32-bit-object"),
    pytest.param(b"\x7fELF", "elf", "ELF, cut or damaged in its first bytes", id="elf-cut"),
    pytest.param(b"", "empty", "an empty file", id="empty"),
    pytest.param(bytes(100), "zeros", "all 100 bytes are zero", id="zeros"),
    pytest.param(
        bytes(4) + elf_header()[4:],
        "wiped-elf",
        "ELF 64-bit x86-64 shared object with its first four bytes zeroed",
        id="magic-zeroed",
    ),
    pytest.param(
        b"\x7fELG" + elf_header(3, 1)[4:],
        "wiped-elf",
        "ELF 32-bit i386 shared object with its first four bytes overwritten with 7f 45 4c 47",
        id="magic-overwritten",
    ),
    pytest.param(thin(ARM64, 6), "macho", "Mach-O arm64 dynamic library (macOS)", id="macho"),
    pytest.param(
        thin(ARM64, 6, subtype=0x80000002), "macho", "Mach-O arm64e dynamic library (macOS)", id="macho-arm64e"
    ),
    pytest.param(thin(X86_64, 8), "macho", "Mach-O x86_64 bundle (macOS)", id="macho-bundle"),
    pytest.param(thin(ARM64, 6, command=IOS), "macho", "Mach-O arm64 dynamic library (iOS)", id="macho-ios"),
    pytest.param(
        thin(PPC, 2, order=">", bits=32, command=OLD_MAC),
        "macho",
        "Mach-O powerpc executable (macOS)",
        id="macho-32-bit-big-endian",
    ),
    pytest.param(thin(I386, 1, bits=32), "macho", "Mach-O i386 object file (macOS)", id="macho-32-bit"),
    pytest.param(thin(ARM64, 6)[:9], "macho", "Mach-O, cut in its first bytes", id="macho-cut"),
    pytest.param(thin(99, 77), "macho", "Mach-O cputype 99 file of type 77 (macOS)", id="macho-unheard-of"),
    pytest.param(fat(X86_64, ARM64), "macho", "Mach-O universal file for x86_64, arm64 (macOS)", id="macho-fat"),
    pytest.param(fat(ARM64, magic=0xCAFEBABF), "macho", "Mach-O universal file for arm64 (macOS)", id="macho-fat-64"),
    pytest.param(b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(9), "unknown", "a Java class file", id="java-class"),
    pytest.param(pe(0x8664, 0x2022), "pe", "PE x86-64 DLL (Windows)", id="pe"),
    pytest.param(pe(0xAA64, 0x0022), "pe", "PE ARM64 program (Windows)", id="pe-program"),
    pytest.param(b"MZ\x90\0", "pe", "DOS or Windows program", id="pe-cut"),
    pytest.param(
        b"!<arch>\n" + MEMBER + elf_header(kind=1), "archive", "static library of x86-64 objects (ar)", id="ar"
    ),
    pytest.param(b"!<thin>\n" + MEMBER, "archive", "thin archive (ar)", id="thin-archive"),
    pytest.param(
        b"!<arch>\n" + MEMBER + b"\0\0__IMPORT_DESCRIPTOR_foo\0",
        "archive",
        "import library for a Windows DLL (no code in it)",
        id="import-library",
    ),
    pytest.param(b"BC\xc0\xde5\x14", "bitcode", "LLVM bitcode", id="bitcode"),
    pytest.param(b"PK\x03\x04....tf/x.dist-info/RECORD", "zip", "Python wheel (zip file)", id="wheel"),
    pytest.param(b"PK\x03\x04\x14\0", "zip", "zip file", id="zip"),
    pytest.param(b"\x1f\x8b\x08\0", "gzip", "gzip-compressed data", id="gzip"),
    pytest.param(b"\xfd7zXZ\0\0", "xz", "xz-compressed data", id="xz"),
    pytest.param(b"BZh91AY&SY..", "bzip2", "bzip2-compressed data", id="bzip2"),
    pytest.param(b"\x28\xb5\x2f\xfd\x24", "zstd", "zstd-compressed data", id="zstd"),
    pytest.param(LFS, "git-lfs-pointer", "Git LFS pointer for a file of 788086608 bytes", id="git-lfs"),
    pytest.param(
        LFS.replace(b"\n", b"\r\n"),
        "git-lfs-pointer",
        "Git LFS pointer for a file of 788086608 bytes",
        id="git-lfs-crlf",
    ),
    pytest.param(b"\n<!DOCTYPE html><title>Sign in</title>", "html", 'HTML page "Sign in"', id="html"),
    pytest.param("\ufeff<html><body>".encode(), "html", "HTML page", id="html-with-bom"),
    pytest.param(S3_ERROR, "html", "XML error of a server: NoSuchKey", id="s3-error"),
    pytest.param(b'{"message": "Not Found"}', "html", 'JSON error of a server: "Not Found"', id="json-error"),
    pytest.param(b"404: Not Found", "html", "error text of a server: 404: Not Found", id="plain-404"),
    pytest.param(LD_SCRIPT, "linker-script", "linker script (text for ld, not for the loader)", id="ld-script"),
    pytest.param(
        b"INPUT(libncurses.so.6 -ltinfo)",
        "linker-script",
        "linker script (text for ld, not for the loader)",
        id="input",
    ),
    pytest.param(
        b"libtensorflow_framework.so.2",
        "symlink-text",
        'symbolic link saved as text, to "libtensorflow_framework.so.2"',
        id="symlink",
    ),
    pytest.param(
        b"../lib/libk.dylib\n",
        "symlink-text",
        'symbolic link saved as text, to "../lib/libk.dylib"',
        id="symlink-dylib",
    ),
    pytest.param(b"import os\n\nprint(os)\n", "python-source", "Python source", id="python"),
    pytest.param(
        b"#!/usr/bin/env python3\n1\n",
        "python-source",
        'script, beginning "#!/usr/bin/env python3"',
        id="python-script",
    ),
    pytest.param(b"#!/bin/sh\nexit\n", "text", 'script, beginning "#!/bin/sh"', id="shell"),
    pytest.param(b"see libfoo.so for more\n", "text", 'a text file, beginning "see libfoo.so for more"', id="text"),
    pytest.param(b"  \n", "text", "a file of white space", id="white-space"),
    pytest.param(
        b"\x93NUMPY\x01\0v\0{", "unknown", "data of no known format, beginning 93 4e 55 4d 50 59 01 00", id="data"
    ),
]


@pytest.mark.parametrize(("data", "kind", "detail"), CASES)
def test_recognise(data: bytes, kind: str, detail: str) -> None:
    found = recognise(of(data))

    assert (found.kind, found.detail) == (kind, detail)
    assert kind in WORDS


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        pytest.param(LFS, {"oid": "sha256:4d7a2146", "size": "788086608 bytes"}, id="git-lfs"),
        pytest.param(LD_SCRIPT, {"names": "/lib/x86_64-linux-gnu/libc.so.6"}, id="linker-script"),
        pytest.param(b"libz.so.1", {"target": "libz.so.1"}, id="symlink"),
        pytest.param(fat(X86_64, ARM64), {"architectures": "x86_64, arm64"}, id="universal"),
        pytest.param(S3_ERROR, {"code": "NoSuchKey"}, id="s3-error"),
        pytest.param(pe(0x14C, 0x2000), {"architecture": "x86"}, id="pe"),
    ],
)
def test_facts(data: bytes, facts: dict[str, str]) -> None:
    assert dict(recognise(of(data)).facts) == facts


def test_zeros_of_a_large_file() -> None:
    """Only the first bytes are known to be zero, and the detail says so."""
    assert recognise(of(bytes(4096), 65_222_328)).detail == "the first 4096 of 65222328 bytes are zero"


def test_no_regular_file(tmp_path: Path) -> None:
    """A directory or a missing file is not called empty."""
    assert recognise(look_at(str(tmp_path))).detail == "not a regular file (directory)"
    assert recognise(look_at(str(tmp_path / "none"))).detail == "not a regular file (not opened)"


def test_real_objects(compiler: build.Compiler, tmp_path: Path) -> None:
    """Files of the system's own tools: a shared object, a relocatable object, an archive, a wiped copy, a zip."""
    shared = compiler.build("int f;", "-shared", "-fPIC", "-nostdlib")
    relocatable = compiler.build("int f;", "-c")
    archive = tmp_path / "libf.a"
    subprocess.run(["ar", "rc", archive, relocatable], check=True, capture_output=True)
    wiped = tmp_path / "wiped.so"
    wiped.write_bytes(bytes(4) + shared.read_bytes()[4:])
    packed = tmp_path / "x.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("x-1.dist-info/RECORD", "")

    found = [recognise(look_at(str(path))) for path in (shared, relocatable, archive, wiped, packed)]

    assert [kind.kind for kind in found] == ["elf", "elf", "archive", "wiped-elf", "zip"]
    assert found[1].detail.endswith("relocatable object")
    assert " objects (ar)" in found[2].detail
    assert found[3].detail == f"{found[0].detail} with its first four bytes zeroed"


@pytest.mark.tensorflow
def test_tensorflow_libraries() -> None:
    """Every library of the real wheel is ELF, its Python files are Python or text."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        pytest.skip("TensorFlow is not installed in this environment")
    package = Path(spec.origin).parent

    libraries = {recognise(look_at(str(path))).kind for path in package.rglob("*.so*")}
    sources = {recognise(look_at(str(path))).kind for path in (package / "python" / "framework").glob("*.py")}

    assert libraries == {"elf"}
    assert sources <= {"python-source", "text", "empty"}


SEEDS = [bytes(case.values[0]) for case in CASES if isinstance(case.values[0], bytes)]


@given(st.sampled_from(SEEDS), st.binary(max_size=80), st.integers(0, 200), st.integers(0, 1 << 40))
def test_any_bytes(seed: bytes, noise: bytes, at: int, size: int) -> None:
    """Whatever the bytes are, the answer is a word of the list and one printable line."""
    for data in (seed[:at], seed[:at] + noise, seed[:at] + noise + seed[at + len(noise) :]):
        found = recognise(of(data, size))

        assert found.kind in WORDS
        assert found.detail.isprintable()
        assert len(found.detail) < 250


@pytest.mark.parametrize("seed", SEEDS, ids=[str(case.id) for case in CASES])
def test_any_length(seed: bytes) -> None:
    """Each of the files above, cut at every byte, is still something."""
    for length in range(len(seed)):
        assert recognise(of(seed[:length])).kind in WORDS


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"/*" * 2048, id="open-comments"),
        pytest.param(b"<!--" * 1024, id="open-markup"),
        pytest.param(b"[" * 4096, id="brackets"),
        pytest.param(b"a" * 4096, id="one-word"),
        pytest.param(b"lib.so" * 682, id="names"),
        pytest.param(b"GROUP(" + b"a" * 4090, id="linker-script"),
        pytest.param(b"{" + b'"error" ' * 500, id="json"),
        pytest.param(b"from " * 819, id="python"),
    ],
)
def test_no_slow_pattern(data: bytes) -> None:
    """Text made to slow a regular expression down is read as fast as any other: within the default test time."""
    assert recognise(of(data)).kind in WORDS


def test_import_is_cheap() -> None:
    """Recognising anything but Mach-O imports no library."""
    program = (
        "import sys; from tfguard.binary.kinds import recognise; from tfguard.image import Head;"
        "recognise(Head(path='x', kind='regular', size=9, start=b'not found'));"
        "print('macholib' in sys.modules, 'elftools' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
