"""The structure checks of macOS 15.4 and later: what each refuses, for which SDK, its words (dyld.md D-17, D-28)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mac_tree import MacTree
from tests.support.macho_writer import Macho, dylib_command, fat, write

_PATH = "/v/a.dylib"
_V154, _V26, _V153 = (15, 4, 0), (26, 0, 0), (15, 3, 0)


def made(**fields: object) -> bytes:
    """A library of these fields."""
    return write(Macho(**{"install_name": "@rpath/a.dylib", "sdk": "15.5", **fields}))  # type: ignore[arg-type]  # fields of Macho


def changed(at: int, layout: str, *values: int, **fields: object) -> bytes:
    """The same with words at a place changed."""
    data = bytearray(made(**fields))
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


def command(data: bytes, number: int) -> int:
    """Where a load command begins, the first being 1."""
    at = 32
    for _ in range(number - 1):
        at += struct.unpack_from("<I", data, at + 4)[0]
    return at


def in_segment(number: int, field: int, layout: str, value: int, **fields: object) -> bytes:
    """A library with one field of a segment changed; fields are counted in bytes from the command's start."""
    data = bytearray(made(**fields))
    struct.pack_into(layout, data, command(bytes(data), number) + field, value)
    return bytes(data)


def _without_uuid(**fields: object) -> bytes:
    """LC_UUID under a number that no loader knows and none must."""
    data = made(**fields)
    at = data.index(struct.pack("<2I", 0x1B, 24))
    return data[:at] + struct.pack("<I", 0x99) + data[at + 4 :]


_VMADDR, _VMSIZE, _OFFSET, _FILESIZE, _INITPROT, _NSECTS = 24, 32, 40, 48, 60, 64
_TEXT, _DATA, _LINKEDIT = 1, 2, 3

REFUSED: tuple[tuple[str, Callable[[], bytes], tuple[int, int, int], str], ...] = (
    (
        "segment-past-end",
        lambda: made()[:0x8000],
        _V154,
        "segment '__LINKEDIT' load command content extends beyond end of file",
    ),
    (
        "filesize-over-vmsize",
        lambda: in_segment(_DATA, _VMSIZE, "<Q", 0x1000),
        _V154,
        "segment '__DATA' filesize exceeds vmsize",
    ),
    (
        "permission-bits",
        lambda: in_segment(_DATA, _INITPROT, "<I", 0x13),
        _V154,
        "__DATA segment permissions has invalid bits set (0x00000013)",
    ),
    ("text-writable", lambda: in_segment(_TEXT, _INITPROT, "<I", 7), _V154, "__TEXT segment permissions is not 'r-x'"),
    (
        "linkedit-writable",
        lambda: in_segment(_LINKEDIT, _INITPROT, "<I", 3),
        _V154,
        "__LINKEDIT segment permissions is not 'r--'",
    ),
    (
        "data-executable-26",
        lambda: in_segment(_DATA, _INITPROT, "<I", 7, sdk="26.0"),
        _V26,
        "__DATA segment permissions is not 'rw-'",
    ),
    (
        "vm-wraps",
        lambda: in_segment(_LINKEDIT, _VMADDR, "<Q", 2**64 - 16),
        _V154,
        "'__LINKEDIT' segment vm range wraps",
    ),
    (
        "vm-overlaps",
        lambda: in_segment(_LINKEDIT, _VMADDR, "<Q", 0x4000),
        _V154,
        "vm range of segment '__DATA' overlaps segment '__LINKEDIT'",
    ),
    (
        "file-overlaps",
        lambda: in_segment(_DATA, _OFFSET, "<Q", 0x2000),
        _V154,
        "file range of segment '__TEXT' overlaps segment '__DATA'",
    ),
    (
        "text-not-at-start",
        lambda: in_segment(_TEXT, _OFFSET, "<Q", 0x1000),
        _V154,
        "__TEXT segment fileoffset is not zero",
    ),
    (
        "section-outside",
        lambda: in_segment(_TEXT, 72 + 40, "<Q", 0x9000),
        _V154,
        "section '__text' end address 0xC000 is beyond containing segment's end address 0x4000",
    ),
    (
        "sections-counted-wrong",
        lambda: in_segment(_TEXT, _NSECTS, "<I", 2),
        _V154,
        "load command #1 LC_SEGMENT_64 size does not match number of sections",
    ),
    ("duplicate-rpath", lambda: made(rpaths=("/a", "/a")), _V154, "duplicate LC_RPATH '/a'"),
    ("duplicate-rpath-26", lambda: made(rpaths=("/a", "/a"), sdk="26.0"), _V26, "duplicate LC_RPATH '/a'"),
    (
        "duplicate-library",
        lambda: made(needs=("/usr/lib/libz.1.dylib",) * 2),
        _V154,
        "duplicate linked dylib '/usr/lib/libz.1.dylib'",
    ),
    ("no-library", lambda: made(needs=()), _V154, "missing LC_LOAD_DYLIB (must link with at least libSystem.dylib)"),
    ("no-uuid", _without_uuid, _V154, "missing LC_UUID load command"),
    (
        "two-uuids",
        lambda: made(extra=(struct.pack("<2I", 0x1B, 24) + bytes(16),)),
        _V154,
        "too many LC_UUID load commands",
    ),
    ("two-names", lambda: made(extra=(dylib_command(0xD, "b"),)), _V154, "multiple LC_ID_DYLIB found"),
    ("no-name", lambda: made(install_name=None), _V154, "MH_DYLIB is missing LC_ID_DYLIB"),
    ("name-of-a-bundle", lambda: made(filetype="bundle"), _V154, "found LC_ID_DYLIB found in non-MH_DYLIB"),
    (
        "unknown-command",
        lambda: made(extra=(struct.pack("<2I", 0x80000099, 8),)),
        _V154,
        "load command #8 unknown required load command 0x80000099",
    ),
    (
        "size-of-a-command",
        lambda: made(extra=(struct.pack("<2I", 0x26, 24) + bytes(16),)),
        _V154,
        "load command #8 LC_FUNCTION_STARTS size wrong",
    ),
    (
        "commands-past-end",
        lambda: changed(20, "<I", 0x100000),
        _V154,
        "load commands length (1048608) exceeds length of file (33204)",
    ),
)

TAKEN: tuple[tuple[str, Callable[[], bytes], tuple[int, int, int]], ...] = (
    ("sound", made, _V154),
    ("sound-26", lambda: made(sdk="26.0"), _V26),
    ("duplicate-rpath-before", lambda: made(rpaths=("/a", "/a")), _V153),
    ("duplicate-rpath-older-sdk", lambda: made(rpaths=("/a", "/a"), sdk="15.3"), _V154),
    ("duplicate-rpath-26-older-sdk", lambda: made(rpaths=("/a", "/a"), sdk="15.5"), _V26),
    ("duplicate-library-older-sdk", lambda: made(needs=("/usr/lib/libz.1.dylib",) * 2, sdk="14.5"), _V154),
    ("duplicate-library-26", lambda: made(needs=("/usr/lib/libz.1.dylib",) * 2), _V26),
    ("no-library-older-sdk", lambda: made(needs=(), sdk="15.3"), _V154),
    ("no-uuid-older-sdk", lambda: _without_uuid(sdk="11.3"), _V154),
    ("data-executable-older-sdk", lambda: in_segment(_DATA, _INITPROT, "<I", 7), _V26),
    ("section-outside-older-sdk", lambda: in_segment(_TEXT, 72 + 40, "<Q", 0x9000, sdk="10.15"), _V154),
    ("unknown-command-that-is-not-required", lambda: made(extra=(struct.pack("<2I", 0x99, 8),)), _V154),
    ("unknown-required-command-before", lambda: made(extra=(struct.pack("<2I", 0x80000099, 8),)), _V153),
)


@pytest.mark.parametrize(("data", "version", "text"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_refused(data: Callable[[], bytes], version: tuple[int, int, int], text: str, tmp_path: Path) -> None:
    """The file is refused, and the reason is this one."""
    failure = MacTree(tmp_path, {_PATH: data()}, version=version).play(_PATH).failure

    assert failure is not None
    assert failure.certain
    assert f"'{_PATH}' ({text})" in (failure.message or "")


@pytest.mark.parametrize(("data", "version"), [pytest.param(*row[1:], id=row[0]) for row in TAKEN])
def test_taken(data: Callable[[], bytes], version: tuple[int, int, int], tmp_path: Path) -> None:
    """What nearly looks like it, or looks like it to another macOS, is taken."""
    assert MacTree(tmp_path, {_PATH: data()}, version=version).play(_PATH).failure is None


_PROGRAMS = False  # a check that dyld2 makes only for programs of a recent SDK
_OLD: tuple[tuple[str, Callable[[], bytes], str, bool], ...] = (
    ("bits", lambda: in_segment(_DATA, _INITPROT, "<I", 0x13),
     "__DATA segment has invalid permission bits (0x13) in initprot", True),
    ("most-bits", lambda: in_segment(_DATA, _MAXPROT, "<I", 0x83),
     "__DATA segment has invalid permission bits (0x83) in maxprot", True),
    ("not-readable", lambda: in_segment(_DATA, _INITPROT, "<I", 2), "__DATA segment is not mapped readable", True),
    ("linkedit-at-start", lambda: in_segment(_LINKEDIT, _OFFSET, "<Q", 0),
     "__LINKEDIT has fileoff==0 which overlaps mach_header", True),
    ("two-linkedits", lambda: renamed(_DATA, b"__LINKEDIT"), "multiple __LINKEDIT segments", True),
    ("no-linkedit", lambda: renamed(_LINKEDIT, b"__OTHER"), "missing __LINKEDIT segment", True),
    ("text-writable", lambda: in_segment(_TEXT, _INITPROT, "<I", 7),
     "__TEXT segment maps start of file but is writable", _PROGRAMS),
    ("commands-not-mapped", lambda: in_segment(_TEXT, _FILESIZE, "<Q", 64),
     "__TEXT segment does not map all of load commands", True),
    ("two-starts", lambda: changed_in(_DATA, (_OFFSET, "<Q", 0), (_INITPROT, "<I", 1)),
     "multiple segments map start of file: __TEXT __DATA", True),
    ("no-start", lambda: in_segment(_TEXT, _FILESIZE, "<Q", 0),
     "segment __TEXT has vmsize != filesize and is executable", _PROGRAMS),
    ("too-large", lambda: in_segment(_DATA, _VMSIZE, "<Q", 1 << 63),
     f"segment load command __DATA vmsize too large in {_PATH}", _PROGRAMS),
    ("wraps", lambda: in_segment(_LINKEDIT, _VMADDR, "<Q", 2**64 - 16),
     "segment load command __LINKEDIT wraps around address space", _PROGRAMS),
    ("vmsize", lambda: in_segment(_DATA, _VMSIZE, "<Q", 0x1000), "segment __DATA has vmsize < filesize", _PROGRAMS),
    ("no-access", lambda: changed_in(_DATA, (_VMSIZE, "<Q", 0x1000), (_INITPROT, "<I", 0)),
     "unaccessable segment __DATA has non-zero filesize and vmsize", _PROGRAMS),
    ("span", lambda: in_segment(_DATA, _OFFSET, "<Q", 8), "segment __DATA does not span all load commands", _PROGRAMS),
    ("wrong-permissions", lambda: in_segment(_TEXT, _INITPROT, "<I", 1),
     "load commands found in segment __TEXT with wrong permissions", _PROGRAMS),
    ("vm-overlaps", lambda: in_segment(_LINKEDIT, _VMADDR, "<Q", 0x4000),
     "segment __DATA vm overlaps segment __LINKEDIT", _PROGRAMS),
    ("file-overlaps", lambda: in_segment(_DATA, _OFFSET, "<Q", 0x3000),
     "segment __TEXT file content overlaps segment __DATA", _PROGRAMS),
    ("linkedit-not-last", lambda: in_segment(_DATA, _OFFSET, "<Q", 0x20000),
     "__LINKEDIT must be last segment", _PROGRAMS),
    ("symtab-size", lambda: made(extra=(struct.pack("<2I24x", 0x2, 32),)), "LC_SYMTAB size wrong", True),
    ("no-dysymtab", lambda: in_command(0xB, 0, 0x99), "missing LC_DYSYMTAB", True),
    ("bind-before", lambda: in_command(_INFO, 16, 0x7000), "dyld bind info overlaps rebase info", _PROGRAMS),
    ("bind-too-large", lambda: in_command(_INFO, 20, 0x80000000), "dyld bind info size overflow", _PROGRAMS),
    ("bind-behind", lambda: in_command(_INFO, 20, 0x100000), "dyld bind info overruns __LINKEDIT", _PROGRAMS),
    ("exports-before", lambda: in_command(_INFO, 40, 0x8000, exports={"_a": 0}),
     "dyld export info overlaps lazy bind info", _PROGRAMS),
    ("chained-before", lambda: in_command(0x80000034, 8, 0x7000, chained=True),
     "dyld chained fixups info underruns __LINKEDIT", _PROGRAMS),
    ("chained-behind", lambda: in_command(0x80000034, 12, 0x10000, chained=True),
     "dyld chained fixups info overruns __LINKEDIT", _PROGRAMS),
    ("symbols-before", lambda: in_command(0x2, 8, 0x7000, (12, 1)), "symbol table underruns __LINKEDIT", True),
    ("many-symbols", lambda: in_command(0x2, 12, 0x10000001), "symbol table too large", True),
    ("symbols-behind", lambda: in_command(0x2, 12, 0x1000), "symbol table overruns __LINKEDIT", True),
    ("symbols-over-strings", lambda: in_command(0x2, 12, 2), "symbol table overlaps symbol strings", True),
    ("strings-behind", lambda: in_command(0x2, 20, 0x4000), "symbol strings overrun __LINKEDIT", True),
)  # fmt: skip
_MAXPROT = 56
_INFO = 0x80000022


def renamed(number: int, name: bytes) -> bytes:
    """A library with a segment under another name."""
    data = bytearray(made())
    struct.pack_into("16s", data, command(bytes(data), number) + 8, name)
    return bytes(data)


def changed_in(number: int, *changes: tuple[int, str, int]) -> bytes:
    """A library with several fields of a segment changed."""
    data = bytearray(made())
    for field, layout, value in changes:
        struct.pack_into(layout, data, command(bytes(data), number) + field, value)
    return bytes(data)


def in_command(kind: int, field: int, value: int, *more: tuple[int, int], **fields: object) -> bytes:
    """A library with words of the load command of a kind changed."""
    data = bytearray(made(imports=((1, "_x"),), **fields))
    at = next(
        at for at in (command(bytes(data), one) for one in range(1, 20)) if data[at : at + 4] == struct.pack("<I", kind)
    )
    for place, word in ((field, value), *more):
        struct.pack_into("<I", data, at + place, word)
    return bytes(data)


@pytest.mark.parametrize("version", [(10, 15, 0), (11, 6, 0)])
@pytest.mark.parametrize(("data", "text", "certain"), [pytest.param(*row[1:], id=row[0]) for row in _OLD])
def test_refused_by_the_older_engine(
    data: Callable[[], bytes], text: str, certain: bool, version: tuple[int, int, int], tmp_path: Path
) -> None:
    """dyld of 10.15 and 11 says what is wrong; where that hangs on the program, it is no error here (D-27)."""
    failure = (
        MacTree(tmp_path, {_PATH: data()}, version=version, architecture="arm64").play(_PATH, symbols=False).failure
    )

    assert failure is not None
    assert f"{_PATH}: malformed mach-o image: {text}" in (failure.message or "")
    assert failure.certain == certain


_ARM, _INTEL = Macho(install_name="@rpath/a.dylib"), Macho(arch="x86_64", install_name="@rpath/a.dylib")


@pytest.mark.parametrize(
    ("data", "version", "architecture", "text"),
    [
        pytest.param(
            lambda: fat(write(_INTEL), write(_ARM))[: 0x4000 + 100],
            (15, 6, 0),
            "arm64",
            "x86_64 slice extends beyond end of file",
            id="cut-15.4",
        ),
        pytest.param(
            lambda: fat(write(_ARM), write(_ARM)), (15, 6, 0), "arm64", "duplicate arm64 slices", id="twice-15.4"
        ),
        pytest.param(
            lambda: fat(write(_INTEL), write(_INTEL)),
            (14, 5, 0),
            "arm64",
            "fat file, but missing compatible architecture (have 'x86_64,x86_64', need 'arm64e' or 'arm64')",
            id="missing-14",
        ),
        pytest.param(
            lambda: fat(write(_ARM)),
            (12, 6, 0),
            "x86_64",
            "fat file, but missing compatible architecture (have (arm64), need (x86_64h))",
            id="missing-12.6",
        ),
        pytest.param(
            lambda: fat(write(_INTEL)),
            (11, 0, 0),
            "arm64",
            "no matching architecture in universal wrapper",
            id="missing-11",
        ),
        pytest.param(
            lambda: fat(write(_INTEL), write(_ARM))[:0xD000],
            (11, 0, 0),
            "arm64",
            "truncated fat file.  file length=53248, but needed slice goes to 98740",
            id="cut-11",
        ),
        pytest.param(lambda: fat(write(_INTEL), write(_ARM)), (14, 5, 0), "arm64", None, id="sound"),
        pytest.param(lambda: fat(write(_INTEL), write(_ARM)), (10, 15, 0), "x86_64", None, id="sound-10.15"),
        pytest.param(lambda: fat(write(_ARM), fat64=True), (14, 5, 0), "arm64", None, id="sound-64"),
        pytest.param(
            lambda: fat(write(_ARM), fat64=True),
            (11, 0, 0),
            "arm64",
            "unknown file type, first eight bytes: 0xCA 0xFE 0xBA 0xBF 0x00 0x00 0x00 0x01",
            id="64-in-11",
        ),
    ],
)
def test_universal_files(
    data: Callable[[], bytes], version: tuple[int, int, int], architecture: str, text: str | None, tmp_path: Path
) -> None:
    """Which slice is taken, and what is said where none is (D-17, D-18)."""
    tree = MacTree(tmp_path, {_PATH: data()}, version=version, architecture=architecture)

    failure = tree.play(_PATH).failure

    assert (failure is None) == (text is None)
    assert text is None or text in ((failure.message or "") if failure is not None else "")
