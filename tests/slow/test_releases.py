"""The central claims on other releases of TensorFlow, and files of one release or platform met by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needs
from tests.support.packages import ROOT, run
from tests.support.tensorflow_copy import GUARDED, UNGUARDED, TensorFlowCopy
from tests.support.wheels import member_of_wheel
from tests.tensorflow.test_import_breakages import FRAMEWORK, agree
from tests.tensorflow.test_sound import IMPORT, LOADS

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

RELEASES = ("2.18", "2.15")
SOURCE = ROOT / "demo" / "roi_pooling.cc"

NATIVES = """
import json
from tfguard.installed.installation import find_package, natives_of
package = find_package("tensorflow")
found = [[one.path, one.make_global] for one in natives_of(package, everything=False) if one.path is not None]
print(json.dumps([package.version, found]))
"""

FLAGS = """
import json
import tensorflow as tf
print(json.dumps([tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()]))
"""


def python_of(release: str) -> str:
    """The interpreter that has this release of TensorFlow, as `make test-slow` sets it up."""
    name = f"TFGUARD_TEST_TF_{release.replace('.', '_')}"
    python = os.environ.get(name)
    if not python:
        pytest.skip(f"{name} names no Python")
    return python


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """A release other than that of the default tests."""
    found: str = request.param
    python_of(found)
    return found


def ask(python: str, code: str, folder: Path) -> Any:  # Any: parsed JSON
    return run(code.replace("ROOT", repr(str(ROOT))), folder, python=(python,))


def build_op(python: str, folder: Path, name: str, *, link: bool) -> str:
    """The demo's op for the TensorFlow of this Python; gives back the path to open it by."""
    folder.mkdir(parents=True, exist_ok=True)
    compiling, linking = ask(python, FLAGS, folder)
    command = ["g++", "-w", "-O0", "-fPIC", "-shared", *compiling, str(SOURCE), *(linking if link else ()), "-o", name]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return f"./{name}"


def open_ops(python: str, folder: Path, *paths: str) -> dict[str, dict[str, Any]]:  # Any: parsed JSON
    """What the guard and TensorFlow itself say of op libraries, in a process that has TensorFlow loaded."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, "-m", "tests.support.op_child", "loaded", *paths],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["path"]: line for line in lines}


# --- the sound wheel


def test_nothing_is_found(release: str, tmp_path: Path) -> None:
    """check_import("tensorflow"): ok, no finding."""
    code = (
        "import json, tfguard\nreport = tfguard.check_import()\n"
        "print(json.dumps([report.ok, [one.code for one in report.findings], list(report.skipped), str(report)]))"
    )

    ok, codes, skipped, text = ask(python_of(release), code, tmp_path)

    assert (ok, codes, skipped) == (True, [], []), text


def test_safe_import(release: str, tmp_path: Path) -> None:
    """safe_import() gives back the module of that release, without a warning."""
    code = (
        "import json, warnings, tfguard\nwarnings.simplefilter('error', tfguard.GuardWarning)\n"
        "print(json.dumps(tfguard.safe_import().__version__))"
    )

    assert ask(python_of(release), code, tmp_path).startswith(f"{release}.")


def test_images(release: str, tmp_path: Path) -> None:
    """The images of every native file of the import, the first before all, are those that the real loader maps."""
    version, found = ask(python_of(release), NATIVES, tmp_path)

    answers = ask(python_of(release), LOADS.replace("LOADS", repr(found)), tmp_path)

    assert version.startswith(f"{release}.")
    assert len(answers) == len(found) > 20
    for path, said, mapped, message, foreseen in answers:
        assert (message, foreseen) == (None, None), path
        assert said == mapped, path


def test_whole_import(release: str, tmp_path: Path) -> None:
    """`import tensorflow` maps TensorFlow's files as foreseen, before any that it may only load."""
    said, mapped = ask(python_of(release), IMPORT, tmp_path)

    really = [path for path in mapped if f"{os.sep}tensorflow{os.sep}" in path]
    assert really
    assert [path for path in said if f"{os.sep}tensorflow{os.sep}" in path][: len(really)] == really


# --- ops


@needs("g++")
def test_sound_op(release: str, tmp_path: Path) -> None:
    """An op built with the release's own flags loads without a word."""
    path = build_op(python_of(release), tmp_path, "sound.so", link=True)

    answer = open_ops(python_of(release), tmp_path, path)[path]

    assert answer["real"] == {"error": None}
    assert answer["guarded"] == {"error": None, "warnings": [], "ops": True}


@needs("g++")
def test_op_not_linked_to_the_framework(release: str, tmp_path: Path) -> None:
    """Before 2.19 such an op finds no symbol: an error, in the loader's words."""
    path = build_op(python_of(release), tmp_path, "nolink.so", link=False)

    answer = open_ops(python_of(release), tmp_path, path)[path]

    assert answer["real"]["error"] == "NotFoundError"
    assert answer["guarded"]["codes"] == ["TFG503"], answer["guarded"]["text"]
    assert answer["guarded"]["loader_message"] == answer["real"]["text"]


@needs("g++")
def test_op_built_for_another_release(release: str, tmp_path: Path) -> None:
    """An op built for an older TensorFlow under the one installed here: refused, for the release it was built for."""
    path = build_op(python_of(release), tmp_path, "older.so", link=True)

    answer = open_ops(sys.executable, tmp_path, path)[path]

    assert answer["real"]["error"] == "NotFoundError"
    assert answer["guarded"]["codes"] == ["TFG502"], answer["guarded"]["text"]
    assert answer["guarded"]["loader_message"] == answer["real"]["text"]


# --- the same library of other platforms


@pytest.mark.parametrize(
    ("distribution", "platform", "pattern", "code"),
    [
        ("tensorflow", "manylinux_2_27_aarch64", "tensorflow/libtensorflow_framework.so.2", "TFG101"),
        ("tensorflow", "macosx_12_0_arm64", "tensorflow/libtensorflow_framework.2.dylib", "TFG125"),
    ],
    ids=["aarch64", "macos"],
)
def test_framework_of_another_platform(
    copy: TensorFlowCopy, tmp_path: Path, distribution: str, platform: str, pattern: str, code: str
) -> None:
    """The real libtensorflow_framework of another platform's wheel in place of this one."""
    import tensorflow as tf

    other = member_of_wheel(f"{distribution}=={tf.__version__}", platform, pattern, tmp_path)
    copy.replace(FRAMEWORK, other)

    agree(copy.run(GUARDED), copy.run(UNGUARDED), code)
