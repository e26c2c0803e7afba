"""TensorFlow's wheel for aarch64 in a Debian tree for arm64: judged from here, opened there under emulation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.oracle.inside import prediction_of
from tests.oracle.outside import PYTHON, WHEEL, Seen, python_tells
from tests.oracle.worlds import CACHE, Unavailable, World
from tests.support.elf_edit import with_header
from tfguard import check_import
from tfguard.hosts.host import Host
from tfguard.image import EM_X86_64
from tfguard.installed.installation import find_package, natives_of
from tfguard.report import Report

RELEASE = "2.21.0"
WORLD = "debian-12-arm64"  # whose Python 3.11 the wheel is for
_TAGS = ("manylinux_2_27_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64")
_FRAMEWORK = f"{WHEEL}/tensorflow/libtensorflow_framework.so.2"

_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 52428800\n"
# What is done to the framework library, and the code of the finding; None takes the file away.
BREAKAGES: dict[str, tuple[Callable[[bytes], bytes] | None, str]] = {
    "missing": (None, "TFG201"),
    "a Git LFS pointer": (lambda data: _POINTER, "TFG119"),
    "built for x86-64": (lambda data: with_header(data, e_machine=EM_X86_64), "TFG101"),
    "cut in half": (lambda data: data[: len(data) // 2], "TFG116"),
}


def unpack(world: World) -> None:
    """Fetch the wheel where it is not at hand and unpack it in the tree; raises Unavailable where that cannot be."""
    place = world.tree / WHEEL
    if (place / ".ready").exists():
        return
    wheels = CACHE / "wheels"
    tags = [f"--platform={tag}" for tag in _TAGS]
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *tags,
             "--python-version=3.11", f"--dest={wheels}", f"tensorflow=={RELEASE}"]  # fmt: skip
    wheel = next(wheels.glob(f"tensorflow-{RELEASE}-cp311-*_aarch64.whl"), None)
    if wheel is None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"the wheel for aarch64 is not to be had: {done.stderr.strip()[-200:]}")
        wheel = next(wheels.glob(f"tensorflow-{RELEASE}-cp311-*_aarch64.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(place)], check=True)
    (place / ".ready").touch()


def judge_wheel(world: World) -> Seen:
    """Every load of the import, sound, and again with the framework library broken in each way, up to what fails.

    All of one import are opened in one process of the tree's Python, in the order foreseen.
    """
    seen = Seen()
    _compare(world, "sound", "", seen)
    for name, (_, code) in BREAKAGES.items():
        with _broken(world, name):
            _compare(world, name, code, seen)
    return seen


def _compare(world: World, name: str, code: str, seen: Seen) -> None:
    host = Host.from_root(world.tree, PYTHON, environment={"PYTHONPATH": f"/{WHEEL}"})
    report = check_import("tensorflow", host=host)
    codes = sorted({one.code for one in report.errors})
    if codes != ([code] if code else []):
        seen.differ[name] = f"the report has the errors {codes}"
    loads = _loads(report, host)
    foreseen = {trace.target: trace for trace in report.traces}
    for (path, _), real in zip(loads, python_tells(world, loads)[1:], strict=False):
        seen.compare(f"{name}: {path}", prediction_of(foreseen[path]), real)


def _loads(report: Report, host: Host) -> list[tuple[str, int]]:
    """What the import opens, in its order, up to the first that fails, each with its mode beside RTLD_NOW.

    Modules that only other imports open are left out: one of them ends a process in which these are loaded.
    """
    package = find_package("tensorflow", host)
    assert package is not None
    modes = {one.path: 0x100 * one.make_global for one in natives_of(package, everything=False)}  # RTLD_GLOBAL
    loads = []
    for trace in report.traces:
        if trace.target in modes:
            loads.append((trace.target, modes[trace.target]))
            if trace.failure is not None:
                break
    return loads


@contextmanager
def _broken(world: World, name: str) -> Iterator[None]:
    change, _ = BREAKAGES[name]
    path = world.tree / _FRAMEWORK
    aside = Path(f"{path}.aside")
    path.rename(aside)
    try:
        if change is not None:
            path.write_bytes(change(aside.read_bytes()))
        yield
    finally:
        aside.replace(path)
