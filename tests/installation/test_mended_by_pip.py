"""Real environments that pip broke, or that only pip can mend: the remedy pasted, and the import working.

Beside each stands what the import says of it without a guard.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installation.environment import SCRIPT, Environment, Said, codes
from tests.support.packages import ROOT
from tests.support.wheels import member_of_wheel

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@dataclass(frozen=True)
class Breakage:
    """A way to break an environment, what its import says then ("" where it lives), and the first finding."""

    id: str
    apply: Callable[[Environment], None]
    code: str
    severity: str
    says: str


def pip(*arguments: str) -> Callable[[Environment], None]:
    return lambda environment: environment.pip(*arguments)


def install(requirement: str) -> Callable[[Environment], None]:
    return pip("install", "--no-deps", requirement)


def remove(name: str) -> Callable[[Environment], None]:
    """Delete by hand, as people do."""

    def apply(environment: Environment) -> None:
        path = environment.site / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def _other_python(environment: Environment) -> None:
    """NumPy's wheel for the next Python, as a layer built elsewhere has it."""
    other = f"3.{sys.version_info[1] + 1}"
    shutil.rmtree(environment.site / "numpy")
    (metadata,) = environment.site.glob("numpy-*.dist-info")
    version = metadata.name.removesuffix(".dist-info").partition("-")[2]
    shutil.rmtree(metadata)
    where = ("--target", str(environment.site), "--python-version", other, "--only-binary=:all:", "--no-deps")
    environment.pip("install", *where, f"numpy=={version}")


BROKEN = (
    Breakage("numpy-too-old", install("numpy==1.24.4"), "TFG410", "error", "'numpy' has no attribute 'exceptions'"),
    Breakage("protobuf-4", install("protobuf==4.25.8"), "TFG411", "error", "cannot import name 'runtime_version'"),
    Breakage("protobuf-5", install("protobuf==5.29.5"), "TFG411", "error", "Detected mismatched Protobuf Gencode"),
    Breakage("ml-dtypes-of-numpy-1", install("ml_dtypes==0.3.2"), "TFG410", "error", "numpy.core.umath failed to impo"),
    Breakage("h5py-of-numpy-1", install("h5py==3.10.0"), "TFG410", "error", "numpy.dtype size changed"),
    Breakage("h5py-too-new", install("h5py==3.15.1"), "TFG413", "warning", ""),
    Breakage("flatbuffers-too-old", install("flatbuffers==24.3.25"), "TFG414", "warning", ""),
    Breakage("typing-extensions-3", install("typing_extensions==3.10.0.2"), "TFG414", "error", "cannot import name 'S"),
    Breakage("ml-dtypes-too-old", install("ml_dtypes==0.4.1"), "TFG414", "error", "no attribute 'float4_e2m1fn'"),
    Breakage("tensorflow-deleted", remove("tensorflow"), "TFG404", "error", "No module named 'tensorflow'"),
    Breakage("keras-2", install("keras==2.15.0"), "TFG412", "warning", ""),
    Breakage("no-absl", pip("uninstall", "-y", "absl-py"), "TFG420", "error", "No module named 'absl'"),
    Breakage("numpy-deleted", remove("numpy"), "TFG404", "error", "No module named 'numpy'"),
    Breakage("numpy-for-another-python", _other_python, "TFG402", "error", "numpy._core._multiarray_umath"),
    Breakage("no-init", remove("tensorflow/__init__.py"), "TFG404", "error", "'tensorflow' has no attribute 'reduce_s"),
    Breakage("no-python-folder", remove("tensorflow/python"), "TFG404", "error", "No module named 'tensorflow.python'"),
    Breakage("two-tensorflows", install("tensorflow==2.20.0"), "TFG403", "warning", ""),
)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A copy of its own for each."""
    yield Environment.copied(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


def mend(environment: Environment, findings: list[Said]) -> None:
    command = findings[0].remedies[0][1]
    assert command is not None
    done = environment.carry_out(command)
    assert done.returncode == 0, (command, done.stderr[-2000:])


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
def test_broken_and_mended(environment: Environment, case: Breakage) -> None:
    """The true cause first; after the remedy as it stands the program runs and nothing is found."""
    case.apply(environment)

    before = environment.last_words(whole=True)
    findings = environment.findings()
    assert (case.says in before) if case.says else (before == ""), before[-2000:]
    assert codes(findings)[:1] == [(case.code, case.severity)], findings
    mend(environment, findings)

    assert environment.last_words() == ""
    assert codes(environment.findings()) == []


REPLACES = f"""
import json, subprocess, sys
import numpy
subprocess.run([sys.executable, "-m", "pip", "-q", "install", "--no-deps", "numpy==2.1.3"], check=True)
sys.path.append({str(ROOT)!r})
import tfguard
print(json.dumps([one.code for one in tfguard.check_import("tensorflow").findings]))
"""


def test_replaced_while_it_was_loaded(environment: Environment) -> None:
    """`!pip install` in a notebook that has NumPy imported; in a new process all is well."""
    (environment.project / "notebook.py").write_text(REPLACES)

    done = environment.carry_out("python notebook.py")

    assert json.loads(done.stdout) == ["TFG707"]
    assert environment.last_words() == ""
    assert codes(environment.findings()) == []


def test_removing_one_of_two(environment: Environment) -> None:
    """tensorflow over tensorflow-cpu and removed again: what is left imports as an empty module."""
    environment.pip("install", "--no-deps", "tensorflow==2.20.0")
    environment.pip("uninstall", "-y", "tensorflow")

    before = environment.last_words()
    findings = environment.findings()
    mend(environment, findings)

    assert before == "AttributeError: module 'tensorflow' has no attribute 'reduce_sum'"
    assert codes(findings)[:1] == [("TFG404", "error")]
    assert environment.last_words() == ""


def test_library_of_another_release(environment: Environment, tmp_path: Path) -> None:
    """One library of 2.20 among the files of 2.21: the symbol that is missing is the consequence, not the cause."""
    other = member_of_wheel(
        "tensorflow-cpu==2.20.0", "manylinux2014_x86_64", "tensorflow/libtensorflow_framework.so.2", tmp_path
    )
    path = environment.site / "tensorflow" / "libtensorflow_framework.so.2"
    path.unlink()
    shutil.copy(other, path)

    before = environment.last_words()
    findings = environment.findings()
    mend(environment, findings)

    assert "undefined symbol" in before
    assert codes(findings)[0] == ("TFG405", "error")
    assert environment.last_words() == ""


def test_flipped_bit(environment: Environment) -> None:
    """One bit of a module that nothing reads before it is used: only a checksum tells, and the remedy puts it back."""
    path = environment.site / "tensorflow" / "python" / "_pywrap_tfe.so"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)

    before = environment.last_words()
    findings = environment.findings(deep=True)
    mend(environment, findings)

    assert before == ""
    assert codes(findings) == [("TFG405", "warning")]
    assert path.read_bytes()[-1] == content[-1] ^ 1
    assert codes(environment.findings(deep=True)) == []


@dataclass(frozen=True)
class AddOn:
    """An add-on of another TensorFlow: what pip is asked for, a program, how it ends, the newest Python 3.x it has."""

    id: str
    requirements: tuple[str, ...]
    script: str
    says: str
    newest_python: int


ADD_ONS = (
    AddOn("text", ("tensorflow-text==2.18.1",), "import tensorflow_text", "undefined symbol", 12),
    AddOn(
        "addons",
        ("tensorflow-addons==0.23.0", "typeguard==2.13.3"),
        "import tensorflow_addons",
        "No module named 'keras.src.engine'",
        11,
    ),
    AddOn(
        "io",
        ("tensorflow-io==0.37.1", "tensorflow-io-gcs-filesystem==0.37.1"),
        "from tensorflow_io.python.ops import core_ops; core_ops.io_decode_json",
        "undefined symbol",
        12,
    ),
)


@pytest.mark.parametrize("addon", ADD_ONS, ids=lambda one: one.id)
def test_addon_for_another_tensorflow(environment: Environment, addon: AddOn) -> None:
    """TensorFlow itself is imported, the add-on is not; with what the remedy installs both are."""
    if sys.version_info[1] > addon.newest_python:
        pytest.skip(f"no wheel of {addon.id} for this Python")
    environment.pip("install", "--no-deps", *addon.requirements)
    script = f"{addon.script}; print('it works')"

    alone = environment.last_words()
    before = environment.last_words(script)
    findings = environment.findings()
    mend(environment, findings)

    assert alone == ""
    assert addon.says in before
    assert codes(findings) == [("TFG416", "warning")]
    assert environment.last_words(script) == ""
    assert codes(environment.findings()) == []


def test_user_site(tmp_path: Path) -> None:
    """An old NumPy in the user's own site directory, before that of the environment."""
    environment = Environment.prefix(tmp_path)
    user = tmp_path / "user"
    environment.variables["PYTHONUSERBASE"] = str(user)
    site = user / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    environment.pip("install", "--no-deps", "--target", str(site), "numpy==1.24.4")

    before = environment.last_words()
    findings = environment.findings()
    done = environment.carry_out(findings[0].remedies[0][1] or "")
    removed = environment.carry_out(findings[0].remedies[1][1] or "")

    assert before == "AttributeError: module 'numpy' has no attribute 'exceptions'"
    assert codes(findings)[0] == ("TFG409", "error")
    assert "it works" in done.stdout, (findings, done.stderr[-1000:])
    assert removed.returncode == 0, removed.stderr
    assert environment.last_words() == ""
    shutil.rmtree(tmp_path)


def test_no_wheel_for_this_python(tmp_path: Path) -> None:
    """A Python that is too new for every release: another one of this machine, and the release that fits it."""
    environment = Environment.empty(tmp_path)
    ask = (
        f"import sys, json; sys.path.insert(1, {str(ROOT)!r}); from tfguard.installed.python import this_python\n"
        "import tfguard; report = tfguard.check_import(python=this_python()._replace(version=(3, 15, 0)))\n"
        "print(json.dumps([report.findings[0].code, report.findings[0].remedies[0].command]))"
    )
    (environment.project / "ask.py").write_text(ask)
    environment.variables["HOME"] = str(tmp_path)

    code, command = json.loads(environment.carry_out("python ask.py").stdout)
    if command is None:
        pytest.skip("no other Python on this machine")
    done = environment.carry_out(f"{command} && tensorflow-env/bin/python -c {shlex.quote(SCRIPT)}")

    assert code == "TFG417"
    assert "it works" in done.stdout, (command, done.stderr[-2000:])
    shutil.rmtree(tmp_path)


def test_nothing_installed(tmp_path: Path) -> None:
    """An empty environment: the release that has a wheel for this Python, installed by the command."""
    environment = Environment.empty(tmp_path, pip=True)
    environment.variables["HOME"] = str(tmp_path)

    before = environment.last_words()
    findings = environment.findings()
    mend(environment, findings)

    assert before == "ModuleNotFoundError: No module named 'tensorflow'"
    assert codes(findings) == [("TFG401", "error")]
    assert environment.last_words() == ""
    shutil.rmtree(tmp_path)
