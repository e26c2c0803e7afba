"""The files that everybody is measured with: TensorFlow's first native module, its framework, a custom op."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "demo" / "roi_pooling.cc"
BUNDLED_OP = "lite/experimental/microfrontend/python/ops/_audio_microfrontend_op.so"
_ASK_FLAGS = (
    "import json, tensorflow as tf; s = tf.sysconfig; print(json.dumps(s.get_compile_flags() + s.get_link_flags()))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file to resolve; `environment` is for tools that know of no loaded TensorFlow."""

    name: str
    path: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """All of them, and words on what could not be had."""

    first: Target
    framework: Target
    op: Target
    notes: tuple[str, ...] = ()


def find_targets(scratch: Path) -> Targets:
    """TensorFlow's files of this environment, and an op built in `scratch`; raises SystemExit without TensorFlow."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("benchmarks: this Python has no TensorFlow")
    package = Path(spec.submodule_search_locations[0])
    op, notes = _build_op(package, scratch)
    return Targets(
        first=Target(
            name="TensorFlow's first native module",
            path=str(package / "python" / "platform" / "_pywrap_cpu_feature_guard.so"),
        ),
        framework=Target(name="libtensorflow_framework.so.2", path=str(package / "libtensorflow_framework.so.2")),
        op=Target(name=f"a custom op ({op.name})", path=str(op), environment={"LD_LIBRARY_PATH": str(package)}),
        notes=notes,
    )


def _build_op(package: Path, scratch: Path) -> tuple[Path, tuple[str, ...]]:
    compiler = os.environ.get("CXX", "g++")
    bundled = package / BUNDLED_OP
    if shutil.which(compiler) is None:
        return bundled, (f"no {compiler}: an op of the wheel stands in for one built here",)
    asked = subprocess.run([sys.executable, "-c", _ASK_FLAGS], capture_output=True, text=True, check=True)
    flags: list[str] = json.loads(asked.stdout.splitlines()[-1])
    target = scratch / f"{SOURCE.stem}.so"
    command = [compiler, "-O2", "-fPIC", "-shared", str(SOURCE), *flags, "-o", str(target)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return bundled, (f"{compiler} could not build {SOURCE.name}: an op of the wheel stands in for it",)
    return target, ()
