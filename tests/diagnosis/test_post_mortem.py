"""diagnose(): exceptions with their chains, harmless lines, wrappers, wrong advice, and files that decide."""

from __future__ import annotations

import ctypes
import io
import json
import sysconfig
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tfguard.__main__ import main
from tfguard.diagnosis.post_mortem import diagnose

on_this_machine = pytest.mark.skipif(not is_glibc_x86_64(), reason="files for glibc on x86-64")
MISSING = "libcudart.so.11.0: cannot open shared object file: No such file or directory"


def codes(text: str) -> list[str]:
    return [one.code for one in diagnose(text, look=False).findings]


def test_chain_of_an_exception() -> None:
    """The first exception of the chain is the cause; what wraps it comes last."""
    try:
        try:
            raise OSError(MISSING)
        except OSError as error:
            raise ImportError("Failed to load the native TensorFlow runtime.") from error
    except ImportError as error:
        report = diagnose(error, look=False)

    assert report.findings[0].code == "TFG205"
    assert dict(report.findings[0].evidence)["a guess"].startswith("tensorflow ends every trace with")


def test_context_of_an_exception() -> None:
    """Also where nobody said `from`."""
    try:
        try:
            raise ImportError("/a/site-packages/x.so: undefined symbol: PyCMethod_New")
        except ImportError:
            int("what failed while the first one was handled")
    except ValueError as error:
        report = diagnose(error, look=False)

    assert report.findings[0].code == "TFG504"


def test_an_import_that_ended_here_is_checked_here() -> None:
    """An ImportError of this process names its module: the check of that package decides, and the rest falls away."""
    with pytest.raises(ImportError) as caught:
        __import__("surely_absent")
    report = diagnose(caught.value)

    assert [one.slug for one in report.findings] == ["not-installed"]
    assert dict(report.findings[0].evidence)["checked here"] == "surely_absent"
    assert codes(str(caught.value)) == ["TFG906"]  # the words alone may be from anywhere
    assert codes(f"ModuleNotFoundError: {caught.value}") == ["TFG401"]


def test_a_module_of_another_python_is_seen_behind_an_import_that_ended_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the text alone would blame a circular import, the check finds the wheel of another Python."""
    package, metadata = tmp_path / "half_a_package", tmp_path / "half_a_package-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: half-a-package\nVersion: 1.0\n")
    (metadata / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp34-cp34m-manylinux1_x86_64\n")
    (metadata / "RECORD").write_text("half_a_package/__init__.py,,\nhalf_a_package/_native.cpython-34m.so,,\n")
    (package / "__init__.py").write_text("from half_a_package import _native\n")
    (package / "_native.cpython-34m.so").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError) as caught:
        __import__("half_a_package")

    assert codes(f"ImportError: {caught.value}")[0] == "TFG407"
    assert diagnose(caught.value).findings[0].code == "TFG402"


def test_the_report_of_the_guard_is_handed_through() -> None:
    from tfguard.errors import error_for

    report = diagnose("Segmentation fault", look=False)

    assert diagnose(error_for(report)) is report


HARMLESS = """
2024-02-25 18:52:47.1: I tensorflow/core/util/port.cc:113] oneDNN custom operations are on.
2024-02-25 18:52:47.2: I tensorflow/core/platform/cpu_feature_guard.cc:182] This TensorFlow binary is optimized to use
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate flags.
2024-02-25 18:52:48.3: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could not find TensorRT
E tensorflow/stream_executor/cuda/cuda_blas.cc:2981] Unable to register cuBLAS factory: Attempting to register factory
I tensorflow/core/platform/hadoop/hadoop_file_system.cc:53] HadoopFileSystem load error: libhdfs.so: cannot open shared
"""


def test_harmless_lines_alone() -> None:
    """They are said to be harmless, and the exit status is that of no error."""
    report = diagnose(HARMLESS, look=False)

    assert [one.code for one in report.findings] == ["TFG905"]
    assert report.ok
    assert len(report.findings[0].evidence) >= 5


def test_the_error_below_harmless_lines() -> None:
    assert (
        codes(HARMLESS + "ImportError: libGL.so.1: cannot open shared object file: No such file or directory")[0]
        == "TFG201"
    )


WRONG_GUESSES = {
    "decision-forests": (
        (
            "This error is likely caused the version of TensorFlow and TensorFlow Decision Forests are not"
            " compatible. Full"
            " error:/a/site-packages/tensorflow_decision_forests/inference.so: undefined symbol:"
            " _ZN4absl12lts_202308021xE"
        ),
        "TFG502",
    ),
    "tensorflow-io": (
        (
            "NotImplementedError: unable to open file: libtensorflow_io.so, from paths:"
            " ['/a/libtensorflow_io.so']\ncaused by:"
            " ['/a/libtensorflow_io.so: undefined symbol: _ZN10tensorflow12OpDefBuilder4AttrESs']"
        ),
        "TFG501",
    ),
    "xgboost": (
        (
            "XGBoost Library (libxgboost.so) could not be loaded.\nLikely causes:\n  * OpenMP runtime is not"
            " installed\nError"
            " message(s): ['/a/xgboost.libs/libgomp-d22c30c5.so.1: cannot allocate memory in static TLS block']"
        ),
        "TFG132",
    ),
    "numpy": (
        (
            "Importing the numpy C-extensions failed.\nOriginal error was: /lib64/libstdc++.so.6: version"
            " `GLIBCXX_3.4.20'"
            " not found (required by /a/numpy/_core.so)"
        ),
        "TFG302",
    ),
    "horovod": (
        (
            "Extension horovod.torch has not been built: /a/mpi_lib_v2.so not found\nImportError: /a/mpi_lib_v2.so:"
            " undefined"
            " symbol: _ZN10tensorflow6Status1xE"
        ),
        "TFG502",
    ),
    "cudnn": (
        (
            "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file: No"
            " such file"
            " or directory\nPlease make sure libcudnn_cnn_infer.so.8 is in your library path!"
        ),
        "TFG653",
    ),
}


@pytest.mark.parametrize("who", WRONG_GUESSES)
def test_wrappers_are_seen_through(who: str) -> None:
    """The reason behind the wrapper comes first, and the wrapper's words are called a guess."""
    text, code = WRONG_GUESSES[who]

    report = diagnose(text, look=False)

    assert report.findings[0].code == code
    assert [label for label, _ in report.findings[0].evidence].count("a guess") >= 1


# What must not be repeated (issue threads are full of it), by the text that leads to it.
VAIN = {
    f"ImportError: {MISSING}": "another major version",
    "ImportError: /lib64/libc.so.6: version `GLIBC_2.27' not found (required by /a.so)": "replacing",
    "OMP: Error #15: Initializing libomp.dylib, but found libiomp5.dylib already initialized.": "KMP_DUPLICATE_LIB_OK",
    "x.so: undefined symbol: _ZN10tensorflow12OpDefBuilder4AttrESs": "by rote",
    "tensorflow-2.1-cp27-none-linux_x86_64.whl is not a supported wheel on this platform.": "renaming",
    "RuntimeError: This version of jaxlib was built using AVX instructions, which your CPU": "Rosetta",
}


@pytest.mark.parametrize("text", VAIN)
def test_wrong_advice_is_called_so_and_not_given(text: str) -> None:
    first = diagnose(text, look=False).findings[0]

    assert VAIN[text] in dict(first.evidence)["does not help"]
    for remedy in first.remedies:
        assert VAIN[text] not in f"{remedy.text} {remedy.command}"


@on_this_machine
def test_files_that_are_here_decide(tmp_path: Path) -> None:
    """`invalid ELF header` has many causes: the file itself tells which."""
    path = tmp_path / "libx.so"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345678901234567890123\n")
    text = f"ImportError: {path}: invalid ELF header"

    assert codes(text)[0] == "TFG125"
    report = diagnose(text)

    assert report.findings[0].code == "TFG119"
    assert report.findings[0].severity == "error"
    assert dict(report.findings[0].evidence)["checked here"] == str(path)


@on_this_machine
def test_a_file_that_loads_here(compiler: Compiler, tmp_path: Path) -> None:
    """Then it is said, and nothing is made up."""
    path = compiler.shared(tmp_path / "libgood.so", "int one(void) { return 1; }")

    report = diagnose(f"ImportError: {path}: invalid ELF header")

    assert "would load" in dict(report.findings[0].evidence)["checked here"]


@on_this_machine
def test_a_bare_name_is_decided_by_the_import(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text does not say who needs the library; the package that it was importing is here, and does."""
    package = tmp_path / "site-packages" / "opkit"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from opkit import _op\n")
    (tmp_path / "hidden").mkdir()
    needed = compiler.shared(
        tmp_path / "hidden" / "libopkit_gone.so.1", "int one(void) { return 1; }", "-Wl,-soname,libopkit_gone.so.1"
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiler.shared(package / f"_op{suffix}", "int one(void); int two(void) { return one(); }", str(needed))
    monkeypatch.syspath_prepend(str(package.parent))
    text = (
        f'  File "{package}/__init__.py", line 1, in <module>\n    from opkit import _op\n'
        "ImportError: libopkit_gone.so.1: cannot open shared object file: No such file or directory"
    )

    first = diagnose(text).findings[0]

    assert dict(first.evidence)["checked here"] == "opkit"
    assert first.severity == "error"
    assert f"_op{suffix}" in dict(first.evidence)["needed by"]


@on_this_machine
@pytest.mark.tensorflow
def test_a_bare_name_that_the_import_finds() -> None:
    """This machine's TensorFlow needs libtensorflow_cc.so.2, and has it: the text is of another place."""
    text = (
        '  File "/x/site-packages/tensorflow/python/pywrap_tensorflow.py", line 73, in <module>\n'
        "    from tensorflow.python._pywrap_tensorflow_internal import *\n"
        "ImportError: libtensorflow_cc.so.2: cannot open shared object file: No such file or directory"
    )

    first = diagnose(text).findings[0]

    assert "import tensorflow would not fail here: libtensorflow_cc.so.2 is /" in dict(first.evidence)["checked here"]


def test_a_path_that_leads_nowhere_here(tmp_path: Path) -> None:
    """The folder is here, the file is not: then it is not for another machine."""
    path = tmp_path / "site-packages" / "tensorflow_x"
    path.mkdir(parents=True)
    text = f"ImportError: {path}/_ops.so: cannot open shared object file: No such file or directory"

    assert codes(text)[:2] == ["TFG101", "TFG110"]
    assert diagnose(text).findings[0].code == "TFG110"


@on_this_machine
def test_the_loaders_own_exception(tmp_path: Path) -> None:
    path = tmp_path / "libempty.so"
    path.touch()
    with pytest.raises(OSError, match="too short") as caught:
        ctypes.CDLL(str(path))

    assert diagnose(caught.value).findings[0].code == "TFG115"


def test_nothing_known() -> None:
    report = diagnose("the cat sat on the mat")

    assert [one.code for one in report.findings] == ["TFG906"]
    assert report.ok
    assert str(report).startswith("the text: no error in it that ends a load\n\nTFG906 not-recognised (warning)")


@pytest.mark.parametrize(
    "data",
    [
        f"ImportError: {MISSING}\n".encode(),
        f"ImportError: {MISSING}\n".encode("utf-16"),
        b"\xff\xfe\x00junk\n" + f"ImportError: {MISSING}\n".encode(),
        b"\xe9\n" + f"ImportError: {MISSING}\n".encode(),
    ],
    ids=["utf8", "powershell", "looks-like-utf16", "latin1"],
)
def test_command_reads_any_encoding(
    data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    status = main(["diagnose", "-", "--json"])

    said = json.loads(capsys.readouterr().out)
    assert said["kind"] == "text"
    if not data.startswith(b"\xff\xfe\x00junk"):
        assert status == 1
        assert said["findings"][0]["code"] == "TFG205"


def test_command_without_such_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "/nowhere/at/all.log"]) == 2
    assert "No such file" in capsys.readouterr().err
