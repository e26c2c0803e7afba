"""The processor and the limits of the process, as real processes find them: QEMU, a limit, mounted files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needs
from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.packages import ROOT
from tfguard.binary.encoding import sample_encoding
from tfguard.hosts.limits import look_at_limits
from tfguard.hosts.processor import look_at_processor
from tfguard.image import EM_AARCH64, EM_X86_64

pytestmark = pytest.mark.skipif(not is_glibc_x86_64(), reason="about glibc on x86-64")

QEMU = shutil.which("qemu-x86_64") or ""
in_qemu = pytest.mark.skipif(not QEMU, reason="qemu-x86_64 is not on this machine (apt-get install qemu-user)")
as_root = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts need root")

CHECK = """
import json, tfguard
report = tfguard.check_import(symbols=False)
print(json.dumps([[one.code, one.severity, one.message, one.loader_message] for one in report.findings]))
"""
FACTS = """
import json
from tfguard.hosts.live import this_host
host = this_host()
print(json.dumps([sorted(host.processor.features), host.processor.emulator, host.processor.below, host.isa_level,
    host.limits.selinux, sorted(host.limits.selinux_allows)]))
"""
ARM = "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd evtstrm aes atomics\nCPU implementer\t: 0x61\n\n"


def _run(code: str, *before: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _said(done: subprocess.CompletedProcess[str]) -> Any:  # Any: parsed JSON
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@in_qemu
@pytest.mark.parametrize(
    ("model", "has", "lacks", "level"),
    [
        ("Nehalem", {"sse4_2"}, {"avx", "avx2"}, 2),
        ("SandyBridge", {"avx"}, {"avx2", "fma"}, 2),
        ("Haswell", {"avx", "avx2", "fma"}, {"avx512f"}, 3),
    ],
)
def test_emulated_processor_is_seen(model: str, has: set[str], lacks: set[str], level: int) -> None:
    """/proc/cpuinfo shows the processor below; CPUID, and so tfguard, shows the one that runs the program."""
    features, emulator, below, found, *_ = _said(_run(FACTS, QEMU, "-cpu", model))

    assert has <= set(features)
    assert not lacks & set(features)
    assert found == level
    assert emulator
    assert not below


@in_qemu
@as_root
def test_x86_64_on_arm(tmp_path: Path) -> None:
    """The lines of an ARM processor in /proc/cpuinfo, and a process for x86-64."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(ARM)
    mount = f'mount --bind {cpuinfo} /proc/cpuinfo && exec "$@"'

    features, emulator, below, *_ = _said(
        _run(FACTS, "unshare", "-m", "sh", "-c", mount, "sh", QEMU, "-cpu", "Nehalem")
    )

    assert "avx" not in features
    assert emulator
    assert below == "aarch64"


def test_this_processor() -> None:
    """Outside an emulator CPUID and /proc/cpuinfo agree, and no emulator is named."""
    here = look_at_processor(EM_X86_64)
    listed = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))

    assert here.features <= set(listed.split())
    assert {"avx", "avx2"} & set(listed.split()) <= here.features
    assert not here.emulator
    assert not look_at_processor(EM_AARCH64).emulator


@in_qemu
@pytest.mark.tensorflow
def test_tensorflow_without_avx() -> None:
    """The import dies without a word; the check says why, in the same emulated process."""
    died = _run("import tensorflow", QEMU, "-cpu", "Nehalem")
    findings = _said(_run(CHECK, QEMU, "-cpu", "Nehalem"))

    assert died.returncode == -4  # SIGILL
    assert "Error" not in died.stderr
    assert [(one[0], one[1]) for one in findings] == [("TFG602", "error")]
    assert findings[0][3] is None


@in_qemu
@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["SandyBridge", "max"])
def test_tensorflow_with_avx(model: str) -> None:
    """AVX is all that it needs; and the remedy of TFG602, a processor of another model, is one."""
    findings = _said(_run(CHECK, QEMU, environment={"QEMU_CPU": model}))
    done = _run("import tensorflow", QEMU, environment={"QEMU_CPU": model})

    assert findings == []
    assert done.returncode == 0, done.stderr


@pytest.mark.tensorflow
@pytest.mark.parametrize(("kibibytes", "severity"), [(500_000, "error"), (800_000, "warning")])
def test_tensorflow_with_little_address_space(kibibytes: int, severity: str) -> None:
    """Foretold where it is certain, in the loader's words; warned of where Python's own memory decides."""
    limit = ["sh", "-c", f'ulimit -v {kibibytes}; exec "$@"', "sh"]
    real = _run("import tensorflow", *limit)

    findings = _said(_run(CHECK, *limit))

    assert [one[:2] for one in findings] == [["TFG604", severity]]
    assert real.returncode == 1
    if severity == "error":
        assert findings[0][3] in real.stderr


@pytest.mark.tensorflow
def test_limit_raised_as_told(tmp_path: Path) -> None:
    """The remedy of TFG604, pasted where the limit was met (it is a soft one): the import works."""
    code = """
import json, tfguard
findings = tfguard.check_import(symbols=False).findings
print(json.dumps([remedy.command for finding in findings for remedy in finding.remedies]))
"""
    (tmp_path / "your_script.py").write_text("import tensorflow")

    commands = _said(_run(code, "sh", "-c", 'ulimit -S -v 500000; exec "$@"', "sh"))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -S -v 500000; {commands[0]}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert commands[0].startswith("ulimit -v ")
    assert done.returncode == 0, done.stderr


@as_root
@pytest.mark.parametrize(
    ("enforce", "booleans", "expected"),
    [
        ("1", {}, ["enforcing", []]),
        ("1", {"selinuxuser_execmod": "1 1", "selinuxuser_execstack": "0 1"}, ["enforcing", ["execmod"]]),
        ("0", {"selinuxuser_execmod": "1 1"}, ["permissive", []]),
    ],
)
def test_selinux(enforce: str, booleans: dict[str, str], expected: list[object], tmp_path: Path) -> None:
    """What the files under /sys/fs/selinux say, here on a file system of our own."""
    folder = tmp_path / "selinux"
    (folder / "booleans").mkdir(parents=True)
    (folder / "enforce").write_text(enforce)
    for name, values in booleans.items():
        (folder / "booleans" / name).write_text(values)
    mount = f'mount --bind {tmp_path} /sys/fs && exec "$@"'

    found = _said(_run(FACTS, "unshare", "-m", "sh", "-c", mount, "sh"))

    assert found[4:] == expected


@as_root
@needs("gcc")
def test_temporary_folder_without_execution(compiler: Compiler, tmp_path: Path) -> None:
    """A library unpacked to a noexec folder for temporary files (not /tmp: the checkout may lie there)."""
    built = compiler.build("int answer(void) { return 42; }", "-shared", "-fPIC", "-nostdlib")
    fill = "mount -t tmpfs -o noexec none /dev/shm && cat > /dev/shm/op.so <&3"
    mount = f'exec 3< {built} && {fill} && exec "$@"'
    code = """
import ctypes, json, tfguard
finding = tfguard.check_library("/dev/shm/op.so").findings[0]
try:
    ctypes.CDLL("/dev/shm/op.so")
except OSError as error:
    print(json.dumps([finding.code, finding.loader_message == str(error), finding.remedies[0].command]))
"""

    found = _said(_run(code, "unshare", "-m", "sh", "-c", mount, "sh"))

    command = 'mkdir -p "$HOME/tmp" && TMPDIR="$HOME/tmp" python your_script.py'
    assert found == ["TFG128", True, command]
    (tmp_path / "your_script.py").write_text("import tempfile; print(tempfile.gettempdir())")
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    paste = ["sh", "-c", command]
    pasted = subprocess.run(paste, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert pasted.stdout.strip() == f"{tmp_path}/tmp"


def test_no_limits_here() -> None:
    """A process without a limit has none, and reads little to find out."""
    limits = look_at_limits()

    assert limits.address_space is None or limits.address_space_used > 0


_NUMBERS = "\n".join(f"float f{i}(float x, float y) {{ return x * y + {i}.5f; }}" for i in range(64))
_WHOLE = "\n".join(
    f"void g{i}(int *x, int *y) {{ for (int i = 0; i < 64; i++) y[i] = (x[i] ^ {i}) + y[i]; }}" for i in range(64)
)


@needs("gcc")
@pytest.mark.parametrize(
    ("options", "avx", "avx2"),
    [((), False, False), (("-msse4.2",), False, False), (("-mavx",), True, False), (("-mavx2", "-mfma"), True, True)],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else str(one),
)
def test_encoding(compiler: Compiler, options: tuple[str, ...], avx: bool, avx2: bool) -> None:
    """The compiler's option can be told from the code."""
    built = compiler.build(f"{_NUMBERS}\n{_WHOLE}", "-O3", "-ffast-math", "-shared", "-fPIC", *options)

    found = sample_encoding(str(built))

    assert found is not None
    assert (found.needs_avx, found.needs_avx2) == (avx, avx2)


def test_encoding_of_the_system() -> None:
    """The C and C++ libraries choose at run time, or use none of it; what is no library has no code."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in maps if line.endswith(".so.6")} | {sys.executable}

    found = {path: sample_encoding(path) for path in paths}

    assert found
    assert not any(one.needs_avx for one in found.values() if one is not None)
    assert sample_encoding(__file__) is None
    assert sample_encoding("/nowhere") is None


@pytest.mark.tensorflow
def test_encoding_of_tensorflow() -> None:
    """Every library of TensorFlow's wheel with enough code to tell needs AVX, none AVX2; NumPy's core neither."""
    import importlib.util

    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    folder = Path((spec.submodule_search_locations or [""])[0])
    cores = [folder / "libtensorflow_framework.so.2", folder / "libtensorflow_cc.so.2"]
    numpy = next((folder.parent / "numpy").rglob("_multiarray_umath*.so"))

    found = [sample_encoding(str(path)) for path in cores if path.exists()]
    other = sample_encoding(str(numpy))

    assert found
    assert all(one is not None and one.needs_avx and not one.needs_avx2 for one in found)
    assert other is not None
    assert not other.needs_avx
