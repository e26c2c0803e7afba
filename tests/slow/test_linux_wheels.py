"""Real Linux wheels for systems by name: the verdict of the tags, and that of a real Debian that has them."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.worlds import WORLDS
from tests.support.wheels import download
from tfguard.checks.check import check_import
from tfguard.checks.wheels_on_linux import check_wheels_on_linux
from tfguard.hosts.host import Host
from tfguard.hosts.linux_system import linux_system

pytestmark = pytest.mark.slow

_TF_INTEL = ("tensorflow-cpu==2.21.0", "manylinux_2_27_x86_64")
_TF_ARM = ("tensorflow==2.21.0", "manylinux_2_27_aarch64")
_NUMPY = ("numpy==2.3.4", "manylinux_2_27_x86_64")
_NUMPY_ARM = ("numpy==2.3.4", "manylinux_2_27_aarch64")
_NUMPY_MUSL = ("numpy==2.3.4", "musllinux_1_2_x86_64")
_GRPC = ("grpcio==1.75.1", "manylinux2014_x86_64")
_GRPC_ARM = ("grpcio==1.75.1", "manylinux2014_aarch64")
_H5PY = ("h5py==3.14.0", "manylinux_2_17_x86_64")

# Wheel, system, what the first error says; None where the wheel loads.
CASES: tuple[tuple[tuple[str, str], str, str | None], ...] = (
    (_TF_INTEL, "manylinux_2_17-x86_64", "TFG302"),
    (_TF_INTEL, "manylinux_2_26-x86_64", "libtensorflow_framework.so.2 needs glibc 2.27, this system has 2.26"),
    (_TF_INTEL, "manylinux_2_27-x86_64", None),
    (_TF_INTEL, "debian-11-x86_64", None),
    (_TF_INTEL, "debian-12-x86_64", None),
    (_TF_INTEL, "debian-13-x86_64", None),
    (_TF_INTEL, "ubuntu-22.04-x86_64", None),
    (_TF_INTEL, "ubuntu-24.04-x86_64", None),
    (_TF_INTEL, "debian-12-aarch64", "is built for x86-64, this Python runs on aarch64"),
    (_TF_ARM, "debian-12-aarch64", None),
    (_TF_ARM, "manylinux_2_28-aarch64", None),
    (_TF_ARM, "debian-12-x86_64", "is built for aarch64, this Python runs on x86-64"),
    (_NUMPY, "manylinux_2_17-x86_64", "needs glibc 2.27, this system has 2.17"),
    (_NUMPY, "manylinux_2_28-x86_64", None),
    (_NUMPY, "musllinux_1_2-x86_64", "is built for glibc, this Python runs on musl"),
    (_NUMPY_ARM, "debian-13-aarch64", None),
    (_NUMPY_MUSL, "musllinux_1_2-x86_64", None),
    (_NUMPY_MUSL, "alpine-x86_64", None),
    (_NUMPY_MUSL, "debian-12-x86_64", "is for musl, and this system has glibc"),
    (_GRPC, "manylinux_2_17-x86_64", None),
    (_GRPC, "manylinux_2_12-x86_64", "TFG303"),
    (_GRPC_ARM, "manylinux_2_17-aarch64", None),
    (_GRPC_ARM, "debian-11-aarch64", None),
    (_H5PY, "manylinux_2_17-x86_64", None),
    (_H5PY, "debian-13-x86_64", None),
)


Fetch = Callable[[tuple[str, str]], Path]


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Fetch:
    """Downloads a wheel once for all tests here."""
    known: dict[tuple[str, str], Path] = {}

    def fetch_one(what: tuple[str, str]) -> Path:
        if what not in known:
            known[what] = download(*what, tmp_path_factory.mktemp("wheel"))
        return known[what]

    return fetch_one


@pytest.mark.parametrize(("what", "system", "says"), CASES)
def test_verdict(what: tuple[str, str], system: str, says: str | None, fetch: Fetch) -> None:
    """It loads where its tags allow it, and elsewhere the true reason is named."""
    report = check_wheels_on_linux([str(fetch(what))], linux_system(system))

    if says is None:
        assert report.findings == ()
        assert report.images
    else:
        assert says in "\n".join(f"{one.code} {one.message}" for one in report.errors)


# Ways to break what is in a wheel, in the wheel and in the installed package alike: the member, and what becomes of it.
BREAKAGES: dict[str, tuple[tuple[str, str], str, str, str]] = {
    "sound": (_NUMPY, "numpy", "", ""),
    "library-removed": (_NUMPY, "numpy", "numpy.libs/libscipy_openblas64_", "remove"),
    "module-cut": (_NUMPY, "numpy", "numpy/_core/_multiarray_umath", "cut"),
    "module-emptied": (_NUMPY, "numpy", "numpy/_core/_multiarray_umath", "empty"),
    "module-of-another-machine": (_NUMPY, "numpy", "numpy/_core/_multiarray_umath", "machine"),
    "rpath-changed": (_NUMPY, "numpy", "numpy/_core/_multiarray_umath", "rpath"),
    "newer-glibc": (_NUMPY, "numpy", "numpy/_core/_multiarray_umath", "glibc"),
    "grpc-sound": (_GRPC, "grpc", "", ""),
    "tensorflow-sound": (_TF_INTEL, "tensorflow", "", ""),
    "tensorflow-framework-removed": (_TF_INTEL, "tensorflow", "tensorflow/libtensorflow_framework.so.2", "remove"),
}


def _changed(data: bytes, how: str) -> bytes | None:
    if how == "remove":
        return None
    if how == "cut":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "machine":
        return data[:18] + b"\xb7\0" + data[20:]
    if how == "rpath":
        assert b"$ORIGIN/../../numpy.libs" in data
        return data.replace(b"$ORIGIN/../../numpy.libs", b"$ORIGIN/../../numpy.lib5")
    assert how == "glibc"
    assert b"\0GLIBC_2.27\0" in data
    return data.replace(b"\0GLIBC_2.27\0", b"\0GLIBC_2.77\0")


def _broken(wheel: Path, prefix: str, how: str, place: Path) -> Path:
    """A copy of the wheel in which one member is changed."""
    if not how:
        return wheel
    copy = place / wheel.name
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as after:
        for info in before.infolist():
            data: bytes | None = before.read(info)
            if info.filename.startswith(prefix):
                data = _changed(before.read(info), how)
            if data is not None:
                after.writestr(info.filename, data)
    return copy


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Path]:
    """A tree of Debian 12 with nothing installed yet: links to the files of the laboratory's."""
    world = next(one for one in WORLDS if one.name == "debian-12")
    if not (world.tree / "usr/bin/python3.11").exists():
        pytest.skip("debian-12 with its python3 is not built: make lab builds the tree, apt-get in it the Python")
    root = tmp_path / "debian"
    done = subprocess.run(["cp", "-al", str(world.tree), str(root)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("the tree cannot be copied by links")
    yield root
    shutil.rmtree(root)


@pytest.mark.parametrize("case", BREAKAGES)
def test_verdict_is_that_of_a_real_system(case: str, fetch: Fetch, debian: Path, tmp_path: Path) -> None:
    """The wheel for `debian-12-x86_64` and the package installed in a real tree of it: the same errors."""
    what, package, prefix, how = BREAKAGES[case]
    wheel = _broken(fetch(what), prefix, how, tmp_path)
    site = debian / "usr/local/lib/python3.11/dist-packages"
    site.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    named = check_wheels_on_linux([str(wheel)], linux_system("debian-12-x86_64"))
    real = check_import(package, host=Host.from_root(debian))

    def loads(one: object) -> list[tuple[str, str]]:
        findings = getattr(one, "errors", ())
        return sorted({(each.code, each.path.name if each.path else "") for each in findings})

    # of the tree it is known besides what of the installation is wrong; loads are what is compared
    assert loads(named) == [one for one in loads(real) if not one[0].startswith("TFG4")]
    assert bool(named.errors) == bool(how)
