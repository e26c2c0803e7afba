"""Wheels checked for a Mac that is named: read in place, judged as though they were installed together."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.macho_writer import Macho, fat, write
from tfguard.__main__ import main
from tfguard.binary.member import MemberSource
from tfguard.binary.wheel import Wheels
from tfguard.checks.wheels import check_wheels
from tfguard.hosts.named import UnknownHost, named_host
from tfguard.macho_image import Table

Content = Macho | bytes
_SYSTEM = "/usr/lib/libSystem.B.dylib"
_FRAMEWORK = "@rpath/libtensorflow_framework.2.dylib"
_INTERNAL = "@rpath/_pywrap_tensorflow_internal.so"
_LOG = "__ZN3tsl8internal10LogMessageC1EPKcii"


def wheel(folder: Path, name: str, files: Mapping[str, Content], *, stored: bool = False) -> str:
    """A wheel of these files, compressed as wheels are."""
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content if isinstance(content, bytes) else write(content))
    return str(path)


def tensorflow(*exports: str, without: str = "") -> dict[str, Content]:
    """The parts of TensorFlow's wheel that plugins and ops hang on, as 2.16 to 2.19 have them."""
    files: dict[str, Content] = {
        "tensorflow/libtensorflow_framework.2.dylib": Macho(
            install_name=_FRAMEWORK, needs=(_SYSTEM,), exports={"_TF_Version": 0}, rpaths=("@loader_path/",)
        ),
        "tensorflow/python/_pywrap_tensorflow_internal.so": Macho(
            install_name=_INTERNAL,
            needs=(_FRAMEWORK, _SYSTEM),
            rpaths=("@loader_path/", "@loader_path/.."),
            imports=((1, "_TF_Version"),),
            exports=dict.fromkeys((*exports, "_PyInit__pywrap_tensorflow_internal"), 0),
        ),
        "tensorflow/python/_pywrap_tfe.so": Macho(
            install_name="bazel-out/_pywrap_tfe.so",
            needs=(_INTERNAL, _FRAMEWORK, _SYSTEM),
            rpaths=("@loader_path/", "@loader_path/.."),
            imports=((-2, "_PyLong_FromLong"),),
        ),
        "tensorflow-2.16.2.dist-info/RECORD": b"tensorflow/libtensorflow_framework.2.dylib,,\n",
    }
    files.pop(without, None)
    return files


_METAL: dict[str, Content] = {
    "tensorflow-plugins/libmetal_plugin.dylib": Macho(
        install_name="bazel-out/libmetal_plugin.dylib",
        needs=(_INTERNAL, _SYSTEM),
        rpaths=("@loader_path/../_solib",),
        imports=((1, _LOG), (-2, "_TF_Version")),
    ),
    "tensorflow_metal-1.1.0.dist-info/RECORD": b"tensorflow-plugins/libmetal_plugin.dylib,,\n",
}


@pytest.mark.parametrize("version", ["12", "13.2", "14.5", "15.6", "26"])
def test_sound_wheels(version: str, tmp_path: Path) -> None:
    """No finding on any macOS that the wheels are for."""
    paths = (wheel(tmp_path, "tf.whl", tensorflow(_LOG)), wheel(tmp_path, "metal.whl", _METAL, stored=True))

    report = check_wheels(paths, named_host(f"macos-{version}-arm64"))

    assert report.findings == ()
    assert len(report.images) == 4


@pytest.mark.parametrize(
    ("host", "files", "codes"),
    [
        pytest.param("macos-14-x86_64", tensorflow(), ["TFG802"], id="other-processor"),
        pytest.param("macos-15-rosetta", tensorflow(), ["TFG802"], id="rosetta"),
        pytest.param(
            "macos-14-arm64",
            tensorflow(without="tensorflow/libtensorflow_framework.2.dylib"),
            ["TFG801"],
            id="dylib-removed",
        ),
        pytest.param(
            "macos-14-arm64",
            tensorflow()
            | {
                "tensorflow/python/_pywrap_tfe.so": Macho(
                    install_name="bazel-out/x", needs=("@rpath/libother.dylib", _SYSTEM), rpaths=()
                )
            },
            ["TFG801"],
            id="rpath-removed",
        ),
        pytest.param("macos-14-arm64", tensorflow() | _METAL, ["TFG415"], id="plugin-that-does-not-fit"),
        pytest.param(
            "macos-15.6-arm64", {"a/b.so": write(Macho(install_name="b"))[:0x6000]}, ["TFG811"], id="cut-short"
        ),
        pytest.param(
            "macos-14-arm64",
            {"a/b.so": fat(write(Macho(arch="x86_64", install_name="b")), write(Macho(install_name="b")))[:0xD000]},
            ["TFG811"],
            id="slice-cut-short",
        ),
        pytest.param("macos-14-arm64", {"a/b.so": b"\x7fELF\x02\x01\x01" + bytes(5000)}, ["TFG808"], id="for-linux"),
        pytest.param("macos-11.5-arm64", {"a/b.so": Macho(install_name="b")}, ["TFG804"], id="too-old"),
    ],
)
def test_broken_wheels(host: str, files: dict[str, Content], codes: list[str], tmp_path: Path) -> None:
    """Each is refused for its true reason."""
    report = check_wheels((wheel(tmp_path, "x.whl", files),), named_host(host))

    assert [one.code for one in report.findings] == codes
    assert report.ok == (codes == ["TFG804"])


def test_purelib_and_platlib(tmp_path: Path) -> None:
    """What lies in the folders of .data goes where installers put it, and nothing leaves the directory."""
    names = (
        "p-1.data/platlib/p/a.so",
        "p-1.data/purelib/q.py",
        "p-1.data/scripts/run",
        "../out.so",
        "/abs.so",
        "a\\b.so",
    )
    path = wheel(tmp_path, "p.whl", dict.fromkeys(names, b"x"))

    files = Wheels((path,), "/site")

    assert sorted(files.below("/site")) == ["/site/abs.so", "/site/p/a.so", "/site/q.py"]
    assert files.names_in("/site/p") == ("a.so",)
    assert files.real_path("/site/p/../p/a.so") == "/site/p/a.so"


@pytest.mark.parametrize("stored", [False, True])
def test_parts_of_a_member(stored: bool, tmp_path: Path) -> None:
    """Any part of a member is what it would be in the file, in whatever order it is asked for."""
    data = os.urandom(300_000)
    path = wheel(tmp_path, "w.whl", {"m.so": data}, stored=stored)
    (member,) = Wheels((path,), "/s")._index().values()
    source = MemberSource(member)
    source.keep((Table(200_000, 500), Table(100_000, 150_000)))

    for size, offset in ((10, 0), (500, 200_000), (100, 249_900), (5, 299_999), (9, 10**9), (100, 150_000), (0, 5)):
        assert source.read(size, offset) == data[offset : offset + size]


def _broken(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) // 2]
    at = data.index(b"a/b.so") + 6 + 40
    changed = bytearray(data)
    changed[at : at + 32] = bytes(32)
    if how == "claims":
        changed = bytearray(data)
        place = data.rindex(b"PK\x01\x02")
        struct.pack_into("<I", changed, place + 24, 0xFFFFFF00)  # the size once unpacked
    return bytes(changed)


@pytest.mark.parametrize(("how", "codes"), [("bytes", {"TFG806", "TFG808", "TFG811"}), ("claims", set())])
def test_damaged_member(how: str, codes: set[str], tmp_path: Path) -> None:
    """A member that does not unpack is a file that is damaged, and a size in the list is a claim: no exception."""
    path = Path(wheel(tmp_path, "w.whl", {"a/b.so": Macho(install_name="b")}))
    path.write_bytes(_broken(path.read_bytes(), how))

    report = check_wheels((str(path),), named_host("macos-14-arm64"))

    found = {one.code for one in report.findings}
    assert found <= codes
    assert bool(found) == bool(codes)


def test_no_wheel_at_all(tmp_path: Path) -> None:
    """A file that is no archive is said to be none."""
    path = tmp_path / "w.whl"
    path.write_bytes(b"PK" * 50)

    with pytest.raises(zipfile.BadZipFile):
        check_wheels((str(path),), named_host("macos-14-arm64"))


@pytest.mark.parametrize(
    ("name", "version", "accepts"),
    [
        ("macos-14-arm64", (14, 0, 0), ("arm64e", "arm64")),
        ("macOS-13.5.2-x86_64", (13, 5, 2), ("x86_64h", "x86_64")),
        ("macos-15_1-rosetta", (15, 1, 0), ("x86_64",)),
        ("macos-10.15-x86_64", (10, 15, 0), ("x86_64h", "x86_64")),
    ],
)
def test_named_hosts(name: str, version: tuple[int, int, int], accepts: tuple[str, ...]) -> None:
    """Version and processor are in the name."""
    mac = named_host(name).mac

    assert mac is not None
    assert (mac.version, mac.accepts) == (version, accepts)


@pytest.mark.parametrize("name", ["macos", "macos-14", "macos-9-arm64", "macos-17-arm64", "windows-11-x86_64", ""])
def test_hosts_of_no_such_name(name: str) -> None:
    """What is no host is said to be none, with what there is."""
    with pytest.raises(UnknownHost, match=r"macos-14-arm64|is not known"):
        named_host(name)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wheels together, libraries one by one; exit status as everywhere."""
    sound = wheel(tmp_path, "tf.whl", tensorflow(_LOG))
    plugin = wheel(tmp_path, "metal.whl", _METAL)
    library = tmp_path / "op.dylib"
    library.write_bytes(write(Macho(install_name="op", arch="x86_64")))

    assert main(["check", "--host", "macos-14-arm64", sound, plugin]) == 0
    assert "tf.whl, metal.whl: ok, 4 libraries checked" in capsys.readouterr().out
    assert main(["check", "--host", "macos-14-arm64", plugin]) == 1
    assert "TFG415 plugin-of-another-tensorflow" in capsys.readouterr().out
    assert main(["check", "--host", "macos-14-arm64", "--json", str(library)]) == 1
    assert '"code": "TFG802"' in capsys.readouterr().out
    assert main(["check", "--host", "macos-14-arm64"]) == 2
    assert main(["check", "--host", "beos-5-ppc", sound]) == 2
    assert "no host is called 'beos-5-ppc'" in capsys.readouterr().err
