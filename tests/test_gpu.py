"""The GPU stack: what a build wants, what the machine has, and where a real library of NVIDIA's is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import tfguard
from tests.loader.scene import Scene
from tests.rules.cases_gpu import CASES, Machine, lay_out_machine
from tests.rules.stage import put
from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.packages import ROOT, run
from tests.support.wheels import member_of_wheel
from tfguard.evidence.gpu_stack import Build, look_at_machine, read_build
from tfguard.hosts.live import this_host
from tfguard.installed.installation import Package, find_package
from tfguard.report import Report

on_this_machine = pytest.mark.skipif(not is_glibc_x86_64(), reason="the cases are files for glibc on x86-64")

GOOD = "build_info = OrderedDict([('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True)])"
OLD = "build_info = OrderedDict([('cuda_version', '11.8'), ('cudnn_version', '8'), ('is_cuda_build', True)])"
BARE = "build_info = OrderedDict([('is_cuda_build', True), ('is_rocm_build', False)])"
RUNS = "open({marker!r}, 'w')\nbuild_info = OrderedDict([('is_cuda_build', open({marker!r}, 'w'))])"


def _package(folder: Path, text: str | bytes | None) -> Package:
    place = folder / "tensorflow" / "python" / "platform"
    place.mkdir(parents=True)
    if text is not None:
        (place / "build_info.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Package("tensorflow", (str(folder / "tensorflow"),), None)


@pytest.mark.parametrize(
    ("text", "build", "libraries"),
    [
        (GOOD, Build(True, "12.5.1", "9"), 7),
        (OLD, Build(True, "11.8", "8"), 7),
        (BARE, Build(True), 0),
        (BARE.replace("True", "False"), Build(), 0),
    ],
    ids=["CUDA 12", "CUDA 11", "without versions", "for the processor"],
)
def test_build(tmp_path: Path, text: str, build: Build, libraries: int) -> None:
    """What TensorFlow's own file says, of the releases that there are."""
    found = read_build(_package(tmp_path, text))

    assert found == build
    assert len(found.libraries) == libraries


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        b"\0\xff" * 40,
        "build_info = 1",
        "build_info = OrderedDict(",
        "build_info = OrderedDict([1, 2])",
        "x = f([('is_cuda_build', " + "(" * 5000 + ")" * 5000 + ")])",
        "x = f([('is_cuda_build', " + "-" * 50000 + "1)])",
        RUNS,
    ],
    ids=["none", "empty", "bytes", "number", "cut", "no pairs", "deep", "deep without brackets", "a program"],
)
def test_build_of_any_text(tmp_path: Path, text: str | bytes | None) -> None:
    """Anything else is no answer; nothing of it is run."""
    marker = tmp_path / "ran"
    if isinstance(text, str):
        text = text.replace("{marker!r}", repr(str(marker)))

    assert read_build(_package(tmp_path, text)) is None
    assert not marker.exists()


@pytest.mark.tensorflow
def test_build_of_the_installed_tensorflow() -> None:
    """The file is read, and the package stays unimported; tensorflow-cpu has no CUDA."""
    package = find_package("tensorflow")
    assert package is not None

    build = read_build(package)

    assert build is not None
    assert build.is_cuda == (package.distribution != "tensorflow-cpu" and bool(build.cuda))


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.42.02  Release Build  (x@y)", "555.42.02"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256  Thu", "470.256"),
        ("NVRM version: something else", ""),
        ("\0\xff" * 3000, ""),
        ("", ""),
    ],
)
def test_driver_version(tmp_path: Path, text: str, driver: str) -> None:
    """The kernel module's own line, of the closed and the open one."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_bytes(text.encode("latin-1"))

    assert look_at_machine(Build(), str(tmp_path)).driver == driver


def test_only_cards_by_nvidia_count(tmp_path: Path) -> None:
    """The sound device of a card, a bridge, and a display by somebody else are no GPU."""
    devices = {"a": ("0x10de", "0x030000"), "b": ("0x10de", "0x040300"), "c": ("0x8086", "0x030000"), "d": ("", "")}
    for name, (vendor, kind) in devices.items():
        folder = tmp_path / "sys/bus/pci/devices" / name
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")

    stack = look_at_machine(Build(), str(tmp_path))

    assert stack.cards == 1
    assert stack.has_gpu


def _check(machine: Machine, root: Path, compiler: Compiler) -> Report:
    """Check in this process, with the folders of the case first on sys.path."""
    lay_out_machine(Scene(root=root, compiler=compiler), machine)
    sys.path.insert(0, str(root / "site-packages"))
    try:
        host = replace(this_host(), devices_root=str(root / "machine"), environment={})
        return tfguard.check_import(host=host, gpu=True)
    finally:
        sys.path.remove(str(root / "site-packages"))


@on_this_machine
def test_sound_stack(tmp_path: Path, compiler: Compiler) -> None:
    """A driver, a device, and all libraries where TensorFlow looks: nothing is said."""
    machine = Machine(libcuda="site-packages/nvidia/cublas/lib/libcuda.so.1")

    report = _check(machine, tmp_path, compiler)

    assert [str(one) for one in report.findings] == []
    assert {trace.target for trace in report.traces} >= {"libcuda.so.1", "libcudnn.so.9", "libcusolver.so.11"}


@on_this_machine
def test_placeholder_of_the_driver(tmp_path: Path, compiler: Compiler) -> None:
    """libcuda.so.1 without bytes, as an image built with GPUs has it that is started without: a warning."""
    machine = Machine(devices=0, marks=(".dockerenv",), libcuda="site-packages/nvidia/cublas/lib/libcuda.so.1")
    lay_out_machine(Scene(root=tmp_path, compiler=compiler), machine)
    (tmp_path / machine.libcuda).write_bytes(b"")

    report = _check(replace(machine, libcuda=""), tmp_path, compiler)

    assert report.ok
    assert [one.code for one in report.warnings] == ["TFG655", "TFG115"]


@on_this_machine
def test_real_library_of_nvidia(tmp_path: Path, compiler: Compiler) -> None:
    """The CUDA runtime out of NVIDIA's wheel is found and judged sound; the six others are named as missing."""
    wheel = member_of_wheel("nvidia-cuda-runtime-cu12==12.5.82", "manylinux2014_x86_64", "*/libcudart.so.12", tmp_path)
    place = tmp_path / "site-packages/nvidia/cuda_runtime/lib/libcudart.so.12"
    place.parent.mkdir(parents=True)
    shutil.copy(wheel, place)

    report = _check(Machine(packages=frozenset()), tmp_path, compiler)

    missing = next(one for one in report.findings if one.code == "TFG651")
    assert dict(missing.evidence)["found"] == "1 of the 7 libraries that it opens"
    taken = next(one for trace in report.traces if trace.target == "libcudart.so.12" for one in trace.images)
    assert Path(taken.path).resolve() == place.resolve()


SCRIPT = """
from dataclasses import replace
import tfguard
from tfguard.hosts.live import this_host
report = tfguard.check_import(host=replace(this_host(), devices_root=MACHINE), gpu=True)
print(*(one.code for one in report.findings))
"""


@on_this_machine
@pytest.mark.parametrize("code", ["TFG651", "TFG652", "TFG654", "TFG657", "TFG659"])
def test_remedy_pasted(tmp_path: Path, compiler: Compiler, code: str) -> None:
    """Each command of these rules, pasted where Python was started with the finding: it is gone."""
    case = next(one for one in CASES if one.id == code)
    question = case.lay_out(Scene(root=tmp_path, compiler=compiler))
    answer = put(question, tmp_path)
    assert answer.finding is not None
    (tmp_path / "your_script.py").write_text(SCRIPT.replace("MACHINE", repr(question.host["devices_root"])))
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": f"{question.path[0]}:{ROOT}"}

    for remedy in answer.finding.remedies:
        assert remedy.command is not None
        done = subprocess.run(
            ["sh", "-c", remedy.command],
            cwd=tmp_path,
            env={**question.environment, **path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.codes == (code,)
        assert code not in done.stdout.split(), remedy.command


def test_another_package() -> None:
    """Of packages other than TensorFlow nothing is known."""
    report = tfguard.check_import("json", gpu=True)

    assert report.ok
    assert not report.notes


@on_this_machine
def test_guarded_import_says_so(tmp_path: Path, compiler: Compiler) -> None:
    """safe_import(gpu=True) goes on with a warning where there is a GPU, and without a word where there is none."""
    lay_out_machine(Scene(root=tmp_path, compiler=compiler), Machine())
    code = """
import json, warnings, tfguard, tfguard.guard
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    module = tfguard.safe_import(gpu=True)
print(json.dumps([module.__name__, [str(one.message)[:6] for one in caught]]))
"""

    name, told = run(code, tmp_path / "site-packages")

    assert name == "tensorflow"
    assert all(one.startswith("TFG65") for one in told)
    assert told == [] or Path("/proc/driver/nvidia").exists() or look_at_machine(Build()).has_gpu


@pytest.mark.tensorflow
def test_command_line_on_a_machine_without_gpu() -> None:
    """One calm line."""
    if look_at_machine(Build()).has_gpu:
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-m", "tfguard", "check", "--gpu", "--files-only"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tensorflow: ok, ")
    assert " ".join(lines[1:]).split() == (
        "TFG658 no-gpu (note): this machine has no NVIDIA GPU, TensorFlow will use the processor".split()
    )


def test_no_warning_without_being_asked(tmp_path: Path) -> None:
    """Nothing of GPUs is looked at by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = tfguard.check_import("json")

    assert report.notes == ()
    assert "tfguard.checks.gpu" not in sys.modules or report.traces == ()
