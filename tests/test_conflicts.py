"""What the process holds already: a TensorFlow in the global scope, OpenMP, half an import, ops of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.packages import ROOT, run, write
from tfguard.checks.check import check_import, check_library
from tfguard.evidence.conflicts import conflicts
from tfguard.evidence.op_names import lost_ops
from tfguard.hosts.live import this_host
from tfguard.installed.installation import find_package

pytestmark = pytest.mark.skipif(not is_glibc_x86_64(), reason="about glibc on x86-64")

IN_GLOBAL_SCOPE = """
import ctypes, json, sys
BEFORE
ctypes.CDLL(FRAMEWORK, ctypes.RTLD_GLOBAL)
import tfguard
report = tfguard.check_import(symbols="auto")
print(json.dumps([one.code for one in report.findings]), flush=True)
assert "_hashlib" not in sys.modules or BEFORE_IS_GIVEN
import tensorflow
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize(("before", "codes", "status"), [("", '["TFG705"]', -11), ("import hashlib", "[]", 0)])
def test_tensorflow_in_the_global_scope(before: str, codes: str, status: int) -> None:
    """BoringSSL answers for OpenSSL and the import dies, unless hashlib has found its own before: the remedy."""
    package = find_package("tensorflow")
    assert package is not None
    if not (package.version or "").startswith("2.21"):
        pytest.skip("tried with TensorFlow 2.21")
    framework = os.path.join(package.directory or "", "libtensorflow_framework.so.2")
    code = IN_GLOBAL_SCOPE.replace("BEFORE_IS_GIVEN", str(bool(before))).replace("BEFORE", before)

    done = subprocess.run(
        [sys.executable, "-c", code.replace("FRAMEWORK", repr(framework))],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == codes, done.stderr
    assert done.returncode == status


def test_import_that_is_going_on(tmp_path: Path) -> None:
    """A package that is asked about from within its own import, and the same once it is imported."""
    ask = "import tfguard; codes = [one.code for one in tfguard.check_import('half').findings]\n"
    write(tmp_path, {"half/__init__.py": ask, "half/part.py": ""})

    within, after = run(
        "import json, half, tfguard\nprint(json.dumps([half.codes, "
        "[one.code for one in tfguard.check_import('half').findings]]))",
        tmp_path,
    )

    assert within == ["TFG706"]
    assert after == []


def test_modules_that_a_failed_import_left(tmp_path: Path) -> None:
    """Of the same files they do no harm and are not spoken of."""
    write(tmp_path, {"half/__init__.py": "import half.part\nimport a_module_that_is_not_here\n", "half/part.py": ""})
    code = """
import json, sys, tfguard
try:
    import half
except ImportError:
    assert "half.part" in sys.modules and "half" not in sys.modules
print(json.dumps([one.code for one in tfguard.check_import("half").findings]))
"""

    assert run(code, tmp_path) == []


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ("libomp.so.5", "libiomp5.so", True),
        ("libiomp5.so", "libomp-0a1b2c3d.so.5", True),
        ("libgomp.so.1", "libiomp5.so", False),
        ("libgomp.so.1", "libgomp-0a1b2c3d.so.1.0.0", False),
        ("libompi.so.5", "libiomp5.so", False),
    ],
)
def test_openmp_runtimes(compiler: Compiler, tmp_path: Path, first: str, second: str, conflict: bool) -> None:
    """Two of LLVM's family are one too many; GNU's goes with either."""
    source = "int omp_get_num_threads(void) { return 1; }"
    one = compiler.shared(tmp_path / "a" / first, source, f"-Wl,-soname,{first}")
    other = compiler.shared(tmp_path / "b" / second, source, f"-Wl,-soname,{second}")
    user = "int omp_get_num_threads(void); int f(void) { return omp_get_num_threads(); }"
    both = compiler.shared(
        tmp_path / "op.so", user, "-Wl,--no-as-needed", str(one), str(other), f"-Wl,-rpath,{tmp_path}/a:{tmp_path}/b"
    )

    report = check_library(both)

    assert report.ok
    assert [found.code for found in report.warnings] == (["TFG701"] if conflict else [])


def test_library_of_kernels_only(compiler: Compiler, tmp_path: Path) -> None:
    """A library that registers no op has none to give: nothing is said of it."""
    source = 'int part(void); const char *name = "MatMul"; int f(void) { return part(); }'
    part = compiler.shared(tmp_path / "libtensorflow_part.so", "int part(void) { return 1; }")
    kernels = compiler.shared(tmp_path / "kernels.so", source, str(part))

    assert lost_ops(str(kernels), this_host(), "/nowhere", lambda name: True) is None


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\0" * 5000, b"text"])
def test_names_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    """What is no library has no ops."""
    path = tmp_path / "op.so"
    path.write_bytes(content)

    assert lost_ops(str(path), this_host(), "/nowhere", lambda name: True) is None
    assert lost_ops(str(tmp_path / "nowhere.so"), None, "/nowhere", lambda name: True) is None


def test_this_process_has_no_conflict() -> None:
    """Nothing is said of a sound process, and a package without natives has none."""
    package = find_package("json")

    assert list(conflicts(this_host(), package, ())) == []
    assert check_import("json").findings == ()
