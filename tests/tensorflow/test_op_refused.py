"""Op libraries that the loader takes and TensorFlow does not: whatever the load raises, the diagnosis comes with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import needs
from tests.tensorflow.test_op_breakages import ROOT, flags

pytestmark = [pytest.mark.tensorflow, needs("g++")]

# One build for all: what it registers when it is loaded says the environment.
SOURCE = r"""
#include <cstdlib>
#include <stdexcept>
#include <string>
#include "tensorflow/core/framework/op.h"
using tensorflow::OpDefBuilder;
using tensorflow::OpRegistrationData;

static void add(absl::Status (*f)(OpRegistrationData*)) { tensorflow::OpRegistry::Global()->Register(f); }

__attribute__((constructor)) static void begin() {
  std::string way = getenv("TFGUARD_WAY");
  if (way == "attr") add([](OpRegistrationData* d) { return OpDefBuilder("Tfguard").Attr("T: floot").Finalize(d); });
  if (way == "name") add([](OpRegistrationData* d) { return OpDefBuilder("tfguard_name").Finalize(d); });
  if (way == "type") add([](OpRegistrationData* d) { return OpDefBuilder("TfguardType").Input("a: T").Finalize(d); });
  if (way == "twin") {
    add([](OpRegistrationData* d) { return OpDefBuilder("TfguardTwin").Input("a: int32").Finalize(d); });
    add([](OpRegistrationData* d) { return OpDefBuilder("TfguardTwin").Input("a: float").Finalize(d); });
  }
  if (way == "precondition") add([](OpRegistrationData*) { return absl::FailedPreconditionError("no licence"); });
  if (way == "unknown") add([](OpRegistrationData*) { return absl::UnknownError("no such device"); });
  if (way == "permission") add([](OpRegistrationData*) { return absl::PermissionDeniedError("not for you"); });
  if (way == "quotes")
    add([](OpRegistrationData* d) { return OpDefBuilder("TfguardDoc").Input("a: int32").Doc("\"\"\"").Finalize(d); });
  if (way == "keyword")
    add([](OpRegistrationData* d) { return OpDefBuilder("TfguardWord").Attr("lambda: int").Finalize(d); });
  if (way == "throws") throw std::runtime_error("no room for the tables");
}
"""

# way, class of TensorFlow's or Python's exception, the code told first
WAYS = [
    ("attr", "InvalidArgumentError", "TFG901"),
    ("name", "InvalidArgumentError", "TFG901"),
    ("type", "InvalidArgumentError", "TFG901"),
    ("precondition", "FailedPreconditionError", "TFG901"),
    ("unknown", "UnknownError", "TFG901"),
    ("permission", "PermissionDeniedError", "TFG901"),
    ("quotes", "SyntaxError", "TFG901"),
    ("keyword", "SyntaxError", "TFG901"),
    ("throws", "RuntimeError", "TFG901"),
    ("twin", "AlreadyExistsError", "TFG703"),
]
DOORS = {"load_op_library": "./op_{}.so", "safe_import": "brings_{}"}

CHILD = """
import json, os, pickle, signal, sys
import tensorflow as tf, tfguard
def story(call):
    try:
        call()
    except Exception as error:
        cause = error.__cause__
        same = pickle.loads(pickle.dumps(error)) if isinstance(error, tfguard.GuardError) else error
        return {"type": type(error).__name__, "text": str(error), "codes": list(getattr(error, "codes", ())),
            "number": getattr(error, "error_code", None), "same": type(same).__mro__[1:] == type(error).__mro__[1:],
            "cause": None if cause is None else [type(cause).__name__, str(cause), isinstance(error, type(cause)),
                getattr(cause, "error_code", None)]}
for way in sys.argv[2:]:
    for door, target in json.loads(sys.argv[1]).items():
        if os.fork():  # TensorFlow does not come back from the load after one that threw, or that had twins
            os.wait()
            continue
        signal.alarm(60)
        os.environ["TFGUARD_WAY"] = way
        print(json.dumps([way, door, story(lambda: getattr(tfguard, door)(target.format(way)))]), flush=True)
        os._exit(0)
"""

Story = dict[str, object]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Story]:
    """What one process with TensorFlow says of each way: through load_op_library, and of a package that loads it."""
    folder = tmp_path_factory.mktemp("refused")
    compiling, linking = flags()
    (folder / "op.cc").write_text(SOURCE)
    command = ["g++", "-w", "-O0", "-fPIC", "-shared", *compiling, "op.cc", *linking, "-o", "op.so"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    for way, _, _ in WAYS:
        package = folder / f"brings_{way}"
        package.mkdir()
        shutil.copy(folder / "op.so", folder / f"op_{way}.so")
        shutil.copy(folder / "op.so", package / "_ops.so")
        code = f"import tensorflow as tf\ntf.load_op_library({str(package / '_ops.so')!r})\n"
        (package / "__init__.py").write_text(code)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": f"{ROOT}:{folder}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, json.dumps(DOORS), *(one[0] for one in WAYS)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return {(way, door): story for way, door, story in lines}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("way", "kind", "code"), WAYS, ids=[one[0] for one in WAYS])
def test_exception_of_the_load(told: dict[tuple[str, str], Story], way: str, kind: str, code: str, door: str) -> None:
    """The guard's exception, of the original's class as well, with the original chained and its words in the text."""
    said = told[way, door]
    assert isinstance(said["cause"], list), said
    assert isinstance(said["codes"], list), said
    cause, words, is_also, number = said["cause"]

    assert said["type"] == ("OpLibraryError" if door == "load_op_library" else "GuardImportError")
    assert cause == kind
    assert said["codes"][0] == code
    assert " ".join(words.split()[:3]) in " ".join(str(said["text"]).split())
    # SyntaxError and OSError, or ImportError, cannot be one class
    assert is_also is (kind != "SyntaxError")
    assert said["number"] == number or kind == "SyntaxError"
    assert said["same"]
