"""What is registered twice, in the real TensorFlow and the real OpenMP runtime: how it ends, and what is told of it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tfguard.probing.probe import probe
from tfguard.report import Report

pytestmark = pytest.mark.tensorflow

# What protoc's code does when its library is loaded: a FileDescriptorProto, in protobuf's own wire format (field 1 is
# the file's name, 2 the package, 4 a message with its name in field 1), goes to the process's one database.
PROTO = """
extern void _ZN6google8protobuf14DescriptorPool24InternalAddGeneratedFileEPKvi(const void *, int);
static const unsigned char file[] = {%s};
__attribute__((constructor)) static void add(void) {
  _ZN6google8protobuf14DescriptorPool24InternalAddGeneratedFileEPKvi(file, sizeof file);
}
"""
OP = """
extern void *TF_NewOpDefinitionBuilder(const char *), *TF_NewStatus(void);
extern void TF_OpDefinitionBuilderAddAttr(void *, const char *), TF_RegisterOpDefinition(void *, void *);
__attribute__((constructor)) static void add(void) {
  void *op = TF_NewOpDefinitionBuilder("TfguardTwice");
  TF_OpDefinitionBuilderAddAttr(op, "%s: int = 1");
  TF_RegisterOpDefinition(op, TF_NewStatus());
}
"""


def framework() -> str:
    spec = find_spec("tensorflow")
    assert spec is not None
    assert spec.submodule_search_locations
    return f"{spec.submodule_search_locations[0]}/libtensorflow_framework.so.2"


def file_descriptor(name: str, message: str) -> str:
    def text(field: int, value: bytes) -> bytes:
        return bytes((field << 3 | 2, len(value))) + value

    data = text(1, name.encode()) + text(2, b"roi") + text(4, text(1, message.encode()))
    return ",".join(map(str, data))


def package(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of one file, which the child finds on the path."""
    (folder / "twice").mkdir()
    (folder / "twice" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    return "twice"


def evidence(report: Report) -> dict[str, str]:
    return dict(report.findings[0].evidence)


def test_file_of_protobuf(compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two op libraries carry roi/boxes.proto, and it differs: protobuf's database ends the process."""
    loads = "import tensorflow as tf\n"
    for name in ("Box", "Circle"):
        path = compiler.shared(tmp_path / f"{name}.so", PROTO % file_descriptor("roi/boxes.proto", name), framework())
        loads += f"tf.load_op_library({str(path)!r})\n"

    report = probe(package(tmp_path, loads, monkeypatch))

    assert report.findings[0].code == "TFG704", str(report)
    assert report.findings[0].message == "roi/boxes.proto is registered twice in one protobuf"
    assert evidence(report)["ended by"] == "SIGABRT"


def test_op(compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two libraries define one op, and differently, before TensorFlow looks: then its import raises."""
    loads = f"import ctypes\nctypes.CDLL({framework()!r})\n"
    for name in ("width", "height"):
        path = compiler.shared(tmp_path / f"{name}.so", OP % name, framework())
        loads += f"ctypes.CDLL({str(path)!r})\n"

    report = probe(package(tmp_path, loads + "import tensorflow\n", monkeypatch))

    assert report.findings[0].code == "TFG703", str(report)
    assert "TfguardTwice" in report.findings[0].message
    assert evidence(report)["ended with"] == "exit status 1"


@pytest.mark.slow
def test_openmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intel's runtime from two folders: the second one to start ends the process."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(tmp_path),
        "intel-openmp==2025.0.4",
    ]
    subprocess.run(command, check=True)
    loads = "import ctypes\n"
    with zipfile.ZipFile(next(tmp_path.glob("intel_openmp*.whl"))) as wheel:
        runtime = next(one for one in wheel.namelist() if one.endswith("/libiomp5.so"))
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            path = tmp_path / folder / "libiomp5.so"
            path.write_bytes(wheel.read(runtime))
            loads += f"ctypes.CDLL({str(path)!r}).omp_get_max_threads()\n"

    report = probe(package(tmp_path, loads, monkeypatch))

    assert report.findings[0].code == "TFG701", str(report)
    assert report.findings[0].message.endswith(": libiomp5.so and libiomp5.so")
    assert evidence(report)["ended by"] == "SIGABRT"
