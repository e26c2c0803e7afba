"""Wheels checked for a Linux system that is named: read in place, judged as though they were installed together."""

from __future__ import annotations

import random
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.elf_writer import Export, Import, Library, write
from tfguard.__main__ import main
from tfguard.binary.elf import look_at
from tfguard.binary.member import MemberSource
from tfguard.binary.wheel import Wheels
from tfguard.binary.wheel_elf import lay_out
from tfguard.checks.wheels_on_linux import check_wheels_on_linux
from tfguard.hosts.linux_system import linux_system
from tfguard.image import EM_AARCH64, Image

Content = Library | bytes | str
_TAGS = "cp311-cp311-manylinux_2_17_x86_64"
_SUFFIX = "cpython-311-x86_64-linux-gnu.so"


def wheel(
    folder: Path, files: Mapping[str, Content], *, name: str = "pkg", tags: str = _TAGS, requires: str = ""
) -> str:
    """A wheel of these files, with the package's `__init__` importing every module of it."""
    path = folder / f"{name}-1.0-{tags}.whl"
    texts = [f"from {name} import {one.rpartition('/')[2].partition('.')[0]}\n" for one in files if ".so" in one]
    everything: dict[str, Content] = {
        f"{name}/__init__.py": "".join(texts),
        f"{name}-1.0.dist-info/METADATA": f"Name: {name}\nVersion: 1.0\n{requires}\n",
        **files,
    }
    record = "".join(f"{one},,\n" for one in everything)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in (everything | {f"{name}-1.0.dist-info/RECORD": record}).items():
            archive.writestr(member, write(content) if isinstance(content, Library) else content)
    return str(path)


def module(*imports: Import, needed: tuple[str, ...] = ("libc.so.6",), **more: object) -> Library:
    """An extension module that wants these symbols."""
    return Library(
        needed=needed, imports=(Import(name="PyModule_Create2"), *imports), exports=(Export(name="PyInit_m"),), **more  # type: ignore[arg-type]  # fields of Library
    )  # fmt: skip


_OLD = Import(name="memcpy", file="libc.so.6", version="GLIBC_2.14")
_NEW = Import(name="fancy", file="libc.so.6", version="GLIBC_2.34")
_MINE = Export(name="mine")
_LFS = b"version https://git-lfs.github.com/spec/v1\n"


@pytest.mark.parametrize(
    ("host", "files", "codes"),
    [
        pytest.param("manylinux_2_17-x86_64", {"pkg/m.SO": module(_OLD)}, [], id="old-enough"),
        pytest.param("debian-12-x86_64", {"pkg/m.SO": module(_OLD, _NEW)}, [], id="new-enough"),
        pytest.param("manylinux_2_17-x86_64", {"pkg/m.SO": module(_OLD, _NEW)}, ["TFG301"], id="glibc-too-old"),
        pytest.param("debian-11-x86_64", {"pkg/m.SO": module(_OLD, _NEW)}, ["TFG301"], id="debian-11"),
        pytest.param(
            "debian-11-x86_64",
            {
                "pkg/m.SO": module(
                    Import(name="_Znwm", file="libstdc++.so.6", version="GLIBCXX_3.4.30"), needed=("libstdc++.so.6",)
                )
            },
            ["TFG302"],
            id="libstdcxx-too-old",
        ),
        pytest.param(
            "manylinux_2_17-x86_64", {"pkg/m.SO": module(needed=("libblas.so.3",))}, ["TFG201"], id="not-on-the-list"
        ),
        pytest.param(
            "debian-12-x86_64",
            {
                "pkg/m.SO": module(
                    Import(name="mine"), needed=("liba.so", "libc.so.6"), runpath="$ORIGIN/../pkg.libs"
                ),
                "pkg.libs/liba.so": Library(soname="liba.so", exports=(_MINE,)),
            },
            [],
            id="brings-its-library",
        ),
        pytest.param(
            "debian-12-x86_64",
            {
                "pkg/m.SO": module(needed=("liba.so", "libc.so.6"), runpath="$ORIGIN"),
                "pkg.libs/liba.so": Library(soname="liba.so", exports=(_MINE,)),
            },
            ["TFG202"],
            id="rpath-leads-elsewhere",
        ),
        pytest.param(
            "debian-12-x86_64",
            {"pkg/m.SO": module(Import(name="_ZN10tensorflow8OpKernelE"))},
            ["TFG503"],
            id="symbol-of-nobody",
        ),
        pytest.param("debian-12-x86_64", {"pkg/m.SO": module(Import(name="sin"))}, [], id="not-linked-with-libm"),
        pytest.param(
            "debian-12-x86_64", {"pkg/m.SO": module(machine=EM_AARCH64)}, ["TFG101"], id="other-processor-inside"
        ),
        pytest.param("debian-13-x86_64", {"pkg/m.SO": module(stack=7)}, ["TFG129"], id="executable-stack"),
        pytest.param("debian-12-x86_64", {"pkg/m.SO": module(stack=7)}, [], id="executable-stack-granted"),
        pytest.param("debian-12-x86_64", {"pkg/m.SO": _LFS}, ["TFG119"], id="lfs"),
        pytest.param("debian-12-x86_64", {"pkg/m.SO": b""}, ["TFG115"], id="empty"),
        pytest.param("alpine-x86_64", {"pkg/m.SO": module(_OLD)}, ["TFG402", "TFG210"], id="glibc-on-musl"),
    ],
)  # fmt: skip
def test_verdict(host: str, files: dict[str, Content], codes: list[str], tmp_path: Path) -> None:
    """Each is refused for its true reason, and only those that the system refuses."""
    named = {name.replace("SO", _SUFFIX): content for name, content in files.items()}

    report = check_wheels_on_linux((wheel(tmp_path, named),), linux_system(host))

    assert [one.code for one in report.errors] == codes, report
    assert report.ok == (not codes)


@pytest.mark.parametrize(
    ("host", "tags", "python", "severity", "says"),
    [
        ("debian-12-aarch64", _TAGS, None, "error", "is for x86_64, and this system is for aarch64"),
        ("debian-12-x86_64", _TAGS, (3, 12), "error", "is for Python 3.11, and this is Python 3.12"),
        ("alpine-x86_64", _TAGS, None, "error", "is for glibc, and this system has musl"),
        ("debian-12-x86_64", "cp311-cp311-macosx_12_0_arm64", None, "error", "is for macosx_12_0_arm64"),
        (
            "debian-12-x86_64",
            "cp311-cp311-musllinux_1_2_x86_64",
            None,
            "error",
            "is for musl, and this system has glibc",
        ),
        ("debian-11-x86_64", "cp311-cp311-manylinux_2_34_x86_64", None, "warning", "is for glibc 2.34 and later"),
        ("musllinux_1_1-x86_64", "cp311-cp311-musllinux_1_2_x86_64", None, "warning", "is for musl 1.2 and later"),
        ("debian-12-x86_64", "cp39-abi3-manylinux2014_x86_64", (3, 13), None, ""),
        ("debian-12-x86_64", "cp313-abi3-linux_x86_64", (3, 9), "error", "is for Python 3.13"),
        ("debian-12-x86_64", "py3-none-manylinux_2_34_x86_64.manylinux_2_40_x86_64", None, None, ""),
        ("debian-11-x86_64", "py2.py3-none-any", (3, 9), None, ""),
        ("debian-12-x86_64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", (3, 11), None, ""),
    ],
)
def test_tags(
    host: str, tags: str, python: tuple[int, int] | None, severity: str | None, says: str, tmp_path: Path
) -> None:
    """What pip says of a wheel's name, and only what no loader would let through is an error."""
    report = check_wheels_on_linux((wheel(tmp_path, {}, tags=tags),), linux_system(host), python=python)

    found = [(one.code, one.severity) for one in report.findings]
    assert found == ([("TFG402", severity)] if severity else [])
    assert says in str(report)


def test_library_of_a_wheel_that_is_not_given(tmp_path: Path) -> None:
    """What a required distribution may bring is no certain error; given together they are sound."""
    needs = {f"pkg/m.{_SUFFIX}": module(Import(name="mine"), needed=("libother.so",), runpath="$ORIGIN/../other/lib")}
    first = wheel(tmp_path, needs, requires="Requires-Dist: Other[x]>=1\nRequires-Dist: more; extra == 'y'\n")
    second = wheel(tmp_path, {"other/lib/libother.so": Library(soname="libother.so", exports=(_MINE,))}, name="other")
    system = linux_system("debian-12-x86_64")

    alone = check_wheels_on_linux((first,), system)
    together = check_wheels_on_linux((first, second), system)

    assert [(one.code, one.severity) for one in alone.findings] == [("TFG201", "warning")]
    assert "Other, which the wheel requires" in str(alone)
    assert together.findings == ()
    assert {Path(one.path).name for one in together.images} == {f"m.{_SUFFIX}", "libother.so"}


def test_library_beside_wheels(tmp_path: Path) -> None:
    """An op is opened after what is in the wheels, and finds what they have in the process."""
    framework = Library(soname="libtensorflow_framework.so.2", exports=(Export(name="_ZN10tensorflow1fEv"),))
    files: dict[str, Content] = {
        "tensorflow/libtensorflow_framework.so.2": framework,
        "tensorflow/python/_pywrap_tfe.so": module(needed=("libtensorflow_framework.so.2",), runpath="$ORIGIN/.."),
    }
    op = tmp_path / "op.so"
    op.write_bytes(
        write(Library(needed=("libtensorflow_framework.so.2",), imports=(Import(name="_ZN10tensorflow1fEv"),)))
    )
    paths = (wheel(tmp_path, files, name="tensorflow"),)
    system = linux_system("debian-12-x86_64")

    assert [one.code for one in check_wheels_on_linux((), system, libraries=(str(op),)).errors] == ["TFG201"]
    assert check_wheels_on_linux(paths, system, libraries=(str(op),)).findings == ()


def big(**more: object) -> bytes:
    """A library too large to be taken whole: code between its tables and its dynamic section."""
    return write(Library(page=1 << 23, **more))  # type: ignore[arg-type]  # fields of Library


def test_large_member_is_laid_out_with_holes(tmp_path: Path) -> None:
    """What a loader reads is there byte for byte, and the rest is not."""
    data = big(soname="libbig.so", exports=(_MINE,), imports=(_OLD,), needed=("libc.so.6",), runpath="$ORIGIN")
    data += bytes(1 << 20) + b"x" * (1 << 22)
    path = wheel(tmp_path, {"pkg/libbig.so": data})
    (member,) = (one for one in Wheels((path,), "/s").members().values() if one.name.endswith(".so"))
    place = tmp_path / "libbig.so"

    lay_out(MemberSource(member), str(place))

    whole = tmp_path / "whole.so"
    whole.write_bytes(data)
    ours, theirs = look_at(str(place)).content, look_at(str(whole)).content
    assert isinstance(ours, Image)
    assert isinstance(theirs, Image)
    assert place.stat().st_size == len(data) > 4 << 20
    assert place.stat().st_blocks * 512 < 1 << 20
    same = ("needed", "soname", "runpath", "segments", "dynamic", "size")
    assert [getattr(ours, one) for one in same] == [getattr(theirs, one) for one in same]


def test_mutants(tmp_path: Path) -> None:
    """Whatever a member holds: findings, no exception, and nothing left behind."""
    system = linux_system("debian-12-x86_64")
    sound = write(module(_OLD))
    before = set(Path(tempfile.gettempdir()).glob("tfguard-*"))
    chance = random.Random(5)
    for number in range(30):
        data = bytearray(sound if number % 3 else big(imports=(_OLD,)) + bytes(1 << 22))
        for _ in range(chance.randrange(1, 9)):
            data[chance.randrange(min(len(data), 2048))] = chance.randrange(256)
        files = {f"pkg/m.{_SUFFIX}": bytes(data), "../pkg/a.so": b"x", "pkg/m": b"", "pkg/m/x.so": b"", "a\0b.so": b"y"}
        report = check_wheels_on_linux((wheel(tmp_path, files),), system)

        assert "TFG901" not in [one.code for one in report.findings]
    assert set(Path(tempfile.gettempdir()).glob("tfguard-*")) <= before


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of hosts, --python, and what is no wheel."""
    path = wheel(tmp_path, {f"pkg/m.{_SUFFIX}": module(_OLD, _NEW)})
    op = tmp_path / "op.so"
    op.write_bytes(write(Library(needed=("libc.so.6",), imports=(_NEW,))))

    assert main(["check", "--host", "debian-12-x86_64", path]) == 0
    assert "ok, 1 library checked" in capsys.readouterr().out
    assert main(["check", "--host", "manylinux_2_17-x86_64", path]) == 1
    assert capsys.readouterr().out.startswith(
        "TFG301 glibc-too-old: m.cpython-311-x86_64-linux-gnu.so needs glibc 2.34"
    )
    assert main(["check", "--host", "debian-11-x86_64", str(op)]) == 1
    assert "op.so needs glibc 2.34, this system has 2.31" in capsys.readouterr().out
    assert main(["check", "--host", "debian-12-x86_64", "--python", "3.12.1", path]) == 1
    assert main(["check", "--host", "debian-12-x86_64", "--python", "python3", path]) == 2
    assert main(["check", "--host", "debian-12-sparc", path]) == 2
    (tmp_path / "no-1-py3-none-any.whl").write_bytes(b"no archive")
    assert main(["check", "--host", "debian-12-x86_64", str(tmp_path / "no-1-py3-none-any.whl")]) == 2
    assert main(["check", "--host", "debian-12-x86_64", "numpy"]) == 2
