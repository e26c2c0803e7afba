"""Real macOS wheels judged from this machine: sound on what their tags allow, broken for the true reason."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.wheels import download
from tfguard.binary.macho import look_at_macho
from tfguard.checks.check import check_import
from tfguard.checks.wheels import check_wheels
from tfguard.hosts.host import Host
from tfguard.hosts.named import SITE, named_host
from tfguard.macho_image import MachoImage

pytestmark = pytest.mark.slow

_ARM, _INTEL = "macosx_12_0_arm64", "macosx_10_15_x86_64"
_TENSORFLOW = "tensorflow==2.21.0"

SOUND: tuple[tuple[tuple[tuple[str, str], ...], tuple[str, ...]], ...] = (
    (
        ((_TENSORFLOW, _ARM),),
        ("macos-12-arm64", "macos-13.5-arm64", "macos-14.5-arm64", "macos-15.6-arm64", "macos-26-arm64"),
    ),
    ((("tensorflow==2.20.0", _ARM),), ("macos-12-arm64", "macos-15.6-arm64")),
    ((("tensorflow==2.19.1", _ARM),), ("macos-12-arm64", "macos-26-arm64")),
    ((("tensorflow==2.19.1", _ARM), ("tensorflow-metal==1.2.0", _ARM)), ("macos-14.5-arm64", "macos-15.6-arm64")),
    ((("tensorflow==2.18.1", _ARM), ("tensorflow-metal==1.2.0", _ARM)), ("macos-14.5-arm64", "macos-15.6-arm64")),
    ((("tensorflow==2.17.1", _ARM), ("tensorflow-metal==1.1.0", _ARM)), ("macos-12-arm64", "macos-26-arm64")),
    ((("tensorflow==2.16.2", _ARM), ("tensorflow-metal==1.1.0", _ARM)), ("macos-13.5-arm64", "macos-26-arm64")),
    ((("tensorflow==2.16.2", _INTEL),), ("macos-10.15-x86_64", "macos-12.6-x86_64", "macos-15-rosetta")),
    ((("tensorflow==2.15.1", _ARM),), ("macos-12-arm64", "macos-26-arm64")),
    # the files of 2.14 and before are in tensorflow-macos
    ((("tensorflow-macos==2.14.1", _ARM), ("tensorflow-metal==1.1.0", _ARM)), ("macos-12-arm64", "macos-26-arm64")),
    ((("tensorflow-macos==2.13.1", _ARM), ("tensorflow-metal==1.0.0", _ARM)), ("macos-12-arm64", "macos-26-arm64")),
    ((("tensorflow-macos==2.13.1", _ARM), ("tensorflow-metal==1.0.1", _ARM)), ("macos-14.5-arm64",)),
    (
        (("numpy==2.3.4", "macosx_11_0_arm64"), ("h5py==3.14.0", "macosx_11_0_arm64")),
        ("macos-11-arm64", "macos-26-arm64"),
    ),
    ((("grpcio==1.75.1", "macosx_11_0_universal2"),), ("macos-11-arm64", "macos-11-x86_64", "macos-26-arm64")),
)

# What each release of the plugin lacks of the first TensorFlow that it does not fit; it fits all before.
UNFIT: tuple[tuple[str, str, str], ...] = (
    ("tensorflow-macos==2.14.1", "tensorflow-metal==1.0.0", "TensorShapeProto"),
    ("tensorflow-macos==2.14.1", "tensorflow-metal==1.0.1", "TensorShapeProto"),
    ("tensorflow==2.18.1", "tensorflow-metal==1.1.0", "LogMessage"),
    ("tensorflow==2.20.0", "tensorflow-metal==1.2.0", "_pywrap_tensorflow_internal.so"),
    (_TENSORFLOW, "tensorflow-metal==1.2.0", "_pywrap_tensorflow_internal.so"),
)


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Downloads a wheel once for all tests here."""
    known: dict[tuple[str, str], Path] = {}

    def fetch_one(requirement: str, platform: str) -> Path:
        if (requirement, platform) not in known:
            known[requirement, platform] = download(requirement, platform, tmp_path_factory.mktemp("wheel"))
        return known[requirement, platform]

    return fetch_one


@pytest.mark.parametrize(("wheels", "hosts"), SOUND, ids=lambda one: "+".join(map(str, one[0])) if one else "")
def test_no_false_alarm(
    wheels: tuple[tuple[str, str], ...], hosts: tuple[str, ...], fetch: Callable[[str, str], Path]
) -> None:
    """Nothing is found on the systems that the tags allow."""
    paths = [str(fetch(*one)) for one in wheels]
    for host in hosts:
        report = check_wheels(paths, named_host(host))
        assert report.findings == (), f"{host}: {report}"
        assert report.images


@pytest.mark.parametrize("host", ["macos-14-x86_64", "macos-15.6-rosetta", "macos-12-x86_64"])
def test_other_processor(host: str, fetch: Callable[[str, str], Path]) -> None:
    """The wheel for Apple silicon in an Intel Python."""
    report = check_wheels([str(fetch(_TENSORFLOW, _ARM))], named_host(host))

    assert {one.code for one in report.errors} == {"TFG802"}
    assert "is built for arm64, this process is x86_64" in report.errors[0].message


@pytest.mark.parametrize(("tensorflow", "metal", "lacks"), UNFIT)
def test_unfit_plugin(tensorflow: str, metal: str, lacks: str, fetch: Callable[[str, str], Path]) -> None:
    """tensorflow-metal with a TensorFlow that it was not built for (D-105)."""
    paths = [str(fetch(one, _ARM)) for one in (tensorflow, metal)]

    report = check_wheels(paths, named_host("macos-14-arm64"))

    assert [one.code for one in report.errors] == ["TFG415"]
    assert lacks in report.errors[0].message


def _removed(site: Path) -> None:
    (site / "tensorflow" / "libtensorflow_framework.2.dylib").unlink()


def _without_rpath(site: Path) -> None:
    path = site / "tensorflow" / "python" / "platform" / "_pywrap_cpu_feature_guard.so"
    data = path.read_bytes()
    assert b"@loader_path/../\0" in data
    path.write_bytes(
        data.replace(b"@loader_path/../\0", b"@loader_path/xx/\0").replace(b"@loader_path/..\0", b"@loader_path/xx\0")
    )


def _changed_page(site: Path) -> None:
    path = site / "tensorflow" / "libtensorflow_framework.2.dylib"
    with path.open("r+b") as file:
        file.seek(0x100000)
        byte = file.read(1)
        file.seek(0x100000)
        file.write(bytes([byte[0] ^ 1]))


def _cut(site: Path) -> None:
    path = site / "tensorflow" / "libtensorflow_framework.2.dylib"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5000)


BREAKAGES = {
    "dylib-removed": (_removed, {"TFG801"}),
    "rpath-removed": (_without_rpath, {"TFG801"}),
    "page-changed": (_changed_page, {"TFG805"}),
    "cut-short": (_cut, {"TFG811"}),
}


@pytest.fixture(scope="module")
def installed(fetch: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow's natives unpacked into the tree of a Mac, without the largest of them."""
    root = tmp_path_factory.mktemp("mac")
    site = root / SITE.lstrip("/")
    with zipfile.ZipFile(fetch(_TENSORFLOW, _ARM)) as archive:
        for name in archive.namelist():
            if name.endswith((".so", ".dylib", "RECORD")):
                archive.extract(name, site)
    return root


def host_of(root: Path, version: str = "14.5") -> Host:
    """A Mac with this tree."""
    from dataclasses import replace

    from tfguard.binary.files import Disk

    host = named_host(f"macos-{version}-arm64")
    assert host.mac is not None
    return replace(host, mac=replace(host.mac, files=Disk(str(root))))


@pytest.mark.parametrize("version", ["12.6", "14.5", "15.6"])
@pytest.mark.parametrize("how", BREAKAGES)
def test_broken_installation(how: str, version: str, installed: Path) -> None:
    """What people's files suffer, named for what it is; the files are mended again."""
    change, codes = BREAKAGES[how]
    site = installed / SITE.lstrip("/")
    touched = ("libtensorflow_framework.2.dylib", "python/platform/_pywrap_cpu_feature_guard.so")
    for name in touched:
        shutil.copy2(site / "tensorflow" / name, installed / name.replace("/", "_"))
    try:
        change(site)
        report = check_import("tensorflow", host=host_of(installed, version))
    finally:
        for name in touched:
            shutil.copy2(installed / name.replace("/", "_"), site / "tensorflow" / name)

    assert report.errors
    assert {one.code for one in report.errors} <= codes, report


def test_sound_installation(installed: Path) -> None:
    """Every file whole, every page as it was signed."""
    report = check_import("tensorflow", host=host_of(installed))

    opened = {one.path.rpartition("/")[2] for one in report.images}
    assert report.findings == ()
    assert {one.name for one in installed.rglob("tensorflow/**/*.so")} <= opened


def test_load_commands_of_every_library(installed: Path) -> None:
    """All of them are read, and none twice."""
    paths = [one for one in installed.rglob("*") if one.suffix in (".so", ".dylib") and "mac" not in one.parent.name]
    images = [one.content for path in paths for one in look_at_macho(str(path)).slices]

    assert all(isinstance(one, MachoImage) for one in images)


@pytest.mark.parametrize("version", ["12.6", "14.5", "15.6"])
def test_slice_cut_short(version: str, fetch: Callable[[str, str], Path], tmp_path: Path) -> None:
    """A universal library that ends within its last slice: that processor's is cut short, whole it is sound."""
    site = tmp_path / SITE.lstrip("/")
    with zipfile.ZipFile(fetch("grpcio==1.75.1", "macosx_11_0_universal2")) as archive:
        archive.extractall(site)
    (library,) = site.glob("grpc/_cython/cygrpc.*.so")
    last = max(look_at_macho(str(library)).slices, key=lambda one: one.offset)

    assert check_import("grpc", host=host_of(tmp_path, version)).findings == ()
    with library.open("r+b") as file:
        file.truncate(last.offset + last.length // 2)
    report = check_import("grpc", host=host_of(tmp_path, version))

    assert last.content.architecture == "arm64" if isinstance(last.content, MachoImage) else False
    assert [one.code for one in report.findings] == ["TFG811"]
