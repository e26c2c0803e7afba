"""The exceptions as values: what they derive from, what they say, and that they travel between processes."""

from __future__ import annotations

import copy
import errno
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import tfguard
from tests.support.packages import run
from tfguard.errors import _ERRNOS, GuardError, GuardImportError, OpLibraryError
from tfguard.report import Report
from tfguard.rules import RULES

SIZE_LIMIT = 1 << 20  # bytes, of a pickled error about one library


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """The report of a real check of a file that is no library."""
    path = tmp_path / "op.so"
    path.write_bytes(b"")
    return tfguard.check_library(path)


def again(error: GuardError) -> GuardError:
    loaded: GuardError = pickle.loads(pickle.dumps(error))
    return loaded


@pytest.mark.parametrize("travel", [again, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("kind", [GuardError, GuardImportError, OpLibraryError])
def test_round_trip(report: Report, kind: type[GuardError], travel: Callable[[GuardError], GuardError]) -> None:
    """Type, text, codes, attributes and notes arrive."""
    error = kind(report)
    error.__dict__["__notes__"] = ["seen in the third shard"]

    arrived = travel(error)

    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert arrived.codes == error.codes == ("TFG115",)
    assert arrived.report == error.report
    assert arrived.__dict__["__notes__"] == ["seen in the third shard"]
    for name in ("name", "path", "msg", "filename", "errno", "strerror"):
        assert getattr(arrived, name, None) == getattr(error, name, None)


def test_what_is_pickled_is_small(report: Report) -> None:
    """An error that a pool sends back does not carry a process's worth of facts."""
    assert len(pickle.dumps(GuardImportError(report))) < SIZE_LIMIT


def fail_in_a_worker(path: str) -> None:
    tfguard.check_library(path).raise_for_errors()


def test_error_out_of_a_pool(tmp_path: Path) -> None:
    """An OpLibraryError raised in a worker process is one in the parent."""
    (tmp_path / "op.so").write_bytes(b"")

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(fail_in_a_worker, str(tmp_path / "op.so"))
        with pytest.raises(OpLibraryError, match=r"\ATFG115 empty-file: ") as caught:
            future.result()

    assert caught.value.codes == ("TFG115",)


def test_import_error_speaks_for_itself(report: Report) -> None:
    """It is an ImportError with the module asked for and the file at fault; its text is the report's."""
    error = GuardImportError(report)

    assert isinstance(error, ImportError)
    assert not isinstance(error, ModuleNotFoundError)
    assert (error.name, error.path) == (report.target, report.target)
    assert str(error) == error.msg == str(report)
    assert str(error).splitlines()[0].startswith("TFG115 empty-file: ")


def test_op_library_error_speaks_for_itself(report: Report) -> None:
    """It is an OSError with the library and an errno that fits."""
    error = OpLibraryError(report)

    assert isinstance(error, OSError)
    assert (error.filename, error.errno) == (report.target, errno.ENOEXEC)
    assert str(error) == str(report)
    assert error.strerror == report.errors[0].message


@pytest.mark.parametrize("kind", [GuardError, GuardImportError, OpLibraryError])
def test_repr_is_one_short_line(report: Report, kind: type[GuardError]) -> None:
    """For logs that print repr(): type, target and codes."""
    assert repr(kind(report)) == f"<{kind.__name__} {report.target!r}: TFG115>"


# what stands in the library's place, the errno wanted
ERRNOS: dict[str, tuple[Callable[[Path], object], int]] = {
    "nothing": (lambda path: None, errno.ENOENT),
    "directory": (lambda path: path.mkdir(), errno.EISDIR),
    "text": (lambda path: path.write_text("hello, world " * 40), errno.ENOEXEC),
}


@pytest.mark.parametrize(("make", "number"), ERRNOS.values(), ids=ERRNOS)
def test_errno(tmp_path: Path, make: Callable[[Path], object], number: int) -> None:
    """The errno tells what open() or execve() would tell of such a file."""
    make(tmp_path / "op.so")

    with pytest.raises(OpLibraryError) as caught:
        tfguard.check_library(tmp_path / "op.so").raise_for_errors()

    assert caught.value.errno == number


def test_errnos_are_given_to_rules_that_exist() -> None:
    """Each name in the table is that of a rule."""
    assert set(_ERRNOS) <= {one.slug for one in RULES}


def test_raise_for_errors_without_errors() -> None:
    """A report of a library that loads raises nothing."""
    tfguard.check_library("libc.so.6").raise_for_errors()


@pytest.mark.tensorflow
def test_not_found_error_of_tensorflow(tmp_path: Path) -> None:
    """With TensorFlow loaded the error is its NotFoundError too, and travels to processes with and without it."""
    (tmp_path / "op.so").write_bytes(b"")
    code = (
        "import copy, json, pickle, sys, tensorflow as tf, tfguard\n"
        "caught = []\n"
        "kinds = (tf.errors.NotFoundError, tf.errors.OpError, OSError, tfguard.OpLibraryError, tfguard.GuardError)\n"
        "for kind in kinds:\n"
        " try:\n  tfguard.load_op_library('./op.so')\n"
        " except kind as error:\n  caught.append(kind.__name__); last = error\n"
        "copies = [pickle.loads(pickle.dumps(last)), copy.copy(last), copy.deepcopy(last)]\n"
        "open('error.pickle', 'wb').write(pickle.dumps(last))\n"
        "print(json.dumps([caught, type(last).__name__, last.message == str(last), last.error_code, last.errno,\n"
        "  [isinstance(one, tf.errors.NotFoundError) and str(one) == str(last) for one in copies]]))"
    )

    caught, name, same, code_number, number, copies = run(code, tmp_path)
    elsewhere = pickle.loads((tmp_path / "error.pickle").read_bytes())

    assert caught == ["NotFoundError", "OpError", "OSError", "OpLibraryError", "GuardError"]
    assert (name, same, code_number, number) == ("OpLibraryError", True, 5, errno.ENOEXEC)
    assert copies == [True, True, True]
    assert isinstance(elsewhere, OpLibraryError)
    assert elsewhere.codes == ("TFG115",)
