"""TensorFlow's build for GPUs and NVIDIA's packages, with a driver that is a stub: what is foretold is what happens.

The Python to ask is named by TFGUARD_TEST_TF_GPU (`make test-gpu` sets it up: 4 GB). No GPU is needed: the stub answers
what TensorFlow asks before it opens CUDA's libraries.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.build import Compiler
from tests.support.packages import ROOT

PYTHON = os.environ.get("TFGUARD_TEST_TF_GPU", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="TFGUARD_TEST_TF_GPU names no Python (make test-gpu)"),
]

# One card of compute capability 8.0 with 8 GiB. The attributes: CUdevice_attribute of the driver API.
DRIVER = """
#include <string.h>
static long handle[64];
#define ANSWERS(name, ...) int name(__VA_ARGS__)
ANSWERS(cuInit, unsigned f) { return 0; }
ANSWERS(cuDriverGetVersion, int *v) { *v = 12060; return 0; }
ANSWERS(cuDeviceGetCount, int *n) { *n = 1; return 0; }
ANSWERS(cuDeviceGet, int *d, int n) { *d = n; return 0; }
ANSWERS(cuDeviceGetName, char *s, int n, int d) { strncpy(s, "Stub", n); return 0; }
ANSWERS(cuDeviceGetAttribute, int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 0 : a == 16 ? 80 : 1024; return 0; }
ANSWERS(cuDeviceTotalMem_v2, unsigned long *b, int d) { *b = 8ul << 30; return 0; }
ANSWERS(cuDeviceGetPCIBusId, char *s, int n, int d) { strncpy(s, "0000:01:00.0", n); return 0; }
ANSWERS(cuDevicePrimaryCtxRetain, void **c, int d) { *c = handle; return 0; }
ANSWERS(cuDevicePrimaryCtxRelease_v2, int d) { return 0; }
ANSWERS(cuDevicePrimaryCtxGetState, int d, unsigned *f, int *a) { *f = 0; *a = 1; return 0; }
ANSWERS(cuDevicePrimaryCtxSetFlags_v2, int d, unsigned f) { return 0; }
ANSWERS(cuCtxSetCurrent, void *c) { return 0; }
ANSWERS(cuCtxGetCurrent, void **c) { *c = handle; return 0; }
ANSWERS(cuCtxGetDevice, int *d) { *d = 0; return 0; }
ANSWERS(cuCtxSynchronize, void) { return 0; }
ANSWERS(cuMemGetInfo_v2, unsigned long *f, unsigned long *t) { *f = 7ul << 30; *t = 8ul << 30; return 0; }
ANSWERS(cuGetErrorName, int e, const char **s) { *s = "STUB"; return 0; }
ANSWERS(cuGetErrorString, int e, const char **s) { *s = "stub"; return 0; }
ANSWERS(cuDeviceGetUuid, char *u, int d) { memset(u, 1, 16); return 0; }
ANSWERS(cuDeviceGetUuid_v2, char *u, int d) { memset(u, 1, 16); return 0; }
ANSWERS(cuStreamCreateWithPriority, void **s, unsigned f, int p) { *s = handle; return 0; }
ANSWERS(cuCtxGetStreamPriorityRange, int *a, int *b) { *a = 0; *b = -1; return 0; }
ANSWERS(cuDeviceCanAccessPeer, int *a, int b, int c) { *a = 0; return 0; }
"""
MANAGEMENT = " ".join(
    f"int {name}(void) {{ return 0; }}"
    for name in ("nvmlInit_v2", "nvmlShutdown", "nvmlDeviceGetHandleByPciBusId_v2", "nvmlSystemGetDriverVersion")
)

ASK = """
import json
from dataclasses import replace
import tfguard
from tfguard.hosts.live import this_host
report = tfguard.check_import(host=replace(this_host(), devices_root=ROOT), gpu=True)
found = [[one.code, one.severity, one.message, [two.command for two in one.remedies]] for one in report.findings]
print(json.dumps(found))
"""
REAL = 'import tensorflow as tf; print(len(tf.config.list_physical_devices("GPU")))'


@pytest.fixture(scope="module")
def machine(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stub driver in lib, and the kernel's files of a machine with one card."""
    folder = tmp_path_factory.mktemp("machine")
    for name, source in (("libcuda.so.1", DRIVER), ("libnvidia-ml.so.1", MANAGEMENT)):
        built = compiler.build(source, "-shared", "-fPIC", f"-Wl,-soname,{name}")
        (folder / "lib").mkdir(exist_ok=True)
        (folder / "lib" / name).write_bytes(built.read_bytes())
    (folder / "dev").mkdir()
    (folder / "dev" / "nvidia0").touch()
    (folder / "proc/driver/nvidia").mkdir(parents=True)
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024\n"
    (folder / "proc/driver/nvidia/version").write_text(version)
    return folder


def _run(code: str, library_path: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "CUDA"))}
    log = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_MAX_VLOG_LEVEL": "1"}
    return subprocess.run(
        [PYTHON, "-c", code],
        env={**environment, **log, "LD_LIBRARY_PATH": library_path, "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _foretold(machine: Path, library_path: str) -> Any:  # Any: parsed JSON
    done = _run(ASK.replace("ROOT", repr(str(machine))), library_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _happened(library_path: str) -> tuple[int, set[str]]:
    """How many GPUs TensorFlow has, and which of CUDA's libraries it could not open."""
    done = _run(REAL, library_path)
    assert done.returncode == 0, done.stderr[-2000:]
    missed = set(re.findall(r"Could not load dynamic library '(libcu[^']+)'", done.stderr))
    return int(done.stdout.split()[-1]), missed


def test_cusolver_is_not_where_tensorflow_looks(machine: Path) -> None:
    """The wheel's RUNPATH leaves one folder out: no GPU; and with the remedy's variable there is one."""
    path = str(machine / "lib")

    (code, severity, message, commands), *others = _foretold(machine, path)
    gpus, missed = _happened(path)

    assert (code, severity, others) == ("TFG651", "warning", [])
    assert (gpus, missed) == (0, {"libcusolver.so.11"})
    assert message.startswith("libcusolver.so.11 is where TensorFlow does not look")
    folder = commands[0].split("=", 1)[1].split("$", 1)[0]
    mended = f"{folder}:{path}"
    assert _foretold(machine, mended) == []
    assert _happened(mended) == (1, set())


@pytest.mark.parametrize("name", ["libcublas.so.12", "libcudnn.so.9", "libnvJitLink.so.12"])
def test_library_that_is_gone(machine: Path, name: str) -> None:
    """A library taken away, its own or one that others need: the same names are missed as TensorFlow misses."""
    site = Path(_run("import nvidia; print(nvidia.__path__[0])", "").stdout.strip())
    (place,) = site.glob(f"*/lib/{name}")
    away = place.with_name(f"{name}.away")
    path = f"{site}/cusolver/lib:{machine}/lib"
    place.rename(away)
    try:
        (code, _, message, _), *_ = _foretold(machine, path)
        gpus, missed = _happened(path)
    finally:
        away.rename(place)

    assert code == "TFG651"
    assert name in message
    assert gpus == 0
    assert missed


def test_empty_driver(machine: Path, tmp_path: Path) -> None:
    """A libcuda.so.1 without bytes, as an image has it that is started without GPUs."""
    (tmp_path / "libcuda.so.1").touch()

    findings = _foretold(machine, str(tmp_path))
    gpus, missed = _happened(str(tmp_path))

    assert ["TFG115", "warning"] in [one[:2] for one in findings]
    assert gpus == 0
    assert "libcuda.so.1" in missed
