"""Writes small real packages with native modules into a folder, and runs Python texts in children that see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.build import Compiler

ROOT = Path(__file__).parents[2]
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")

# A module without Python's headers, which not every machine has: PyModuleDef spelled out, the same from 3.10 to 3.13.
_MODULE = """
struct { long head[5]; const char *name, *doc; long size; void *rest[5]; } definition = {{1}, "NAME", 0, -1, {0}};
void *PyModule_Create2(void *, int);
void *PyExc_ImportError;
void PyErr_SetString(void *, const char *);
DECLARE
void *PyInit_NAME(void) { BODY return PyModule_Create2(&definition, 1013); }
"""

RAISES = 'extern void *PyExc_ImportError; PyErr_SetString(PyExc_ImportError, "no such device"); return 0;'
OPENS = (
    'extern void *PyExc_ImportError; if (!dlopen("libtfguard_nowhere.so.1", 2)) '
    "{ PyErr_SetString(PyExc_ImportError, dlerror()); return 0; }"
)


def native(compiler: Compiler, name: str, *options: str, declare: str = "", body: str = "") -> Path:
    """A built extension module called `name`; `body` runs in its init function before the module is made."""
    source = _MODULE.replace("void *PyExc_ImportError;\n", "", 1)
    source = source.replace("NAME", name).replace("DECLARE", declare).replace("BODY", body)
    return compiler.build(source, "-w", "-shared", "-fPIC", *options)


def write(folder: Path, files: Mapping[str, str | bytes | Path]) -> Path:
    """Files below `folder`: texts, bytes, or copies of other files; SUFFIX stands for an extension's ending."""
    for name, content in files.items():
        path = folder / name.replace("SUFFIX", SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
    return folder


def run(
    code: str,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    python: Sequence[str] = (sys.executable,),
    options: Sequence[str] = (),
) -> Any:  # Any: parsed JSON
    """What a Python text prints as JSON in its last line, run in a child that sees `folder` and tfguard."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    path = os.pathsep.join((str(folder), str(ROOT)))
    done = subprocess.run(
        [*python, "-B", *options, "-c", code],
        env={**kept, **quiet, "PYTHONPATH": path, **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-4000:]}"
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None
