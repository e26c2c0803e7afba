"""What is raised for a load that failed although its checks passed: the diagnosis, by the real exception's words."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

from tfguard.checks.check import check_import, check_library
from tfguard.errors import GuardError, error_for
from tfguard.loader.trace import Failure, Trace

if TYPE_CHECKING:
    from tfguard.finding import Finding
    from tfguard.report import Report

_OF_THE_INSTALLATION = ("TFG4", "TFG707")
# ImportErrors of the import system about names, not files, by how they begin.
_ABOUT_NAMES = ("cannot import name", "attempted relative import", "bad magic number")
# TensorFlow's module that loads libraries: what comes out of it is of the load of one.
_LOADS_OPS = "tensorflow.python.framework.load_library"
_DOOR = os.path.join(os.path.dirname(__file__), "guard.py")


def explain_import(error: Exception, name: str, ignore: Collection[str], checked: Report | None) -> GuardError | None:
    """The guard's exception for an import that failed over a native file or an op library, None for other failures.

    Those arrive as they are, with a note where a check tells what may be behind them; Python 3.10 has no such notes.
    `checked` is the report from before the import.
    """
    failed = _failure_of_load(error)
    if failed is not None and isinstance(error, (ImportError, type(failed))):
        path = getattr(failed, "path", None) or ""
        return _explain(failed, type(error), name, path, ignore, checked, lambda: check_import(name))
    if failed is None and isinstance(error, OSError) and error.errno is None:
        failed = error  # of ctypes: its type must stay, so that whoever catches it still does
    if failed is not None:
        _annotate(error, failed, name, ignore, checked)
    elif not isinstance(error, OSError):
        _note_installation(error, name, ignore)
    return None


def explain_op(error: Exception, path: str, ignore: Collection[str], checked: Report | None) -> GuardError | None:
    """The guard's exception for whatever `tf.load_op_library(path)` raised; None where tfguard trips over it."""
    return _explain(error, type(error), path, path, ignore, checked, lambda: check_library(path, after="tensorflow"))


def _annotate(error: Exception, failed: Exception, name: str, ignore: Collection[str], checked: Report | None) -> None:
    if hasattr(error, "add_note"):
        explained = _explain(failed, ImportError, name, "", ignore, checked, lambda: check_import(name))
        if explained is not None:
            error.add_note(str(explained))


def _note_installation(error: Exception, name: str, ignore: Collection[str]) -> None:
    """Note on an exception of Python code what is wrong with the installation: there may be its cause."""
    if isinstance(error, GuardError) or not hasattr(error, "add_note"):
        return
    try:
        report = check_import(name, ignore=ignore)
        found = tuple(one for one in report.findings if one.code.startswith(_OF_THE_INSTALLATION))
        if found:
            error.add_note(f"What tfguard finds in this installation:\n{replace(report, findings=found)}")
    except Exception:  # fail open: the original exception says more than a fault of the guard
        return


def _explain(
    error: Exception,
    kind: type[Exception],
    target: str,
    path: str,
    ignore: Collection[str],
    checked: Report | None,
    check: Callable[[], Report],
) -> GuardError | None:
    """The exception, of this kind too, for a load that really failed with `error`: the finding that foresaw it first,
    else what its words say by themselves, and TFG901.

    `checked` is the report from before the load, `check` looks once more, with symbols and nothing ignored.
    """
    try:
        text = str(error)
        report = check()
        foresaw = next((one for one in report.findings if one.loader_message and one.loader_message in text), None)
        left_out = {ignore} if isinstance(ignore, str) else set(ignore)
        rest = tuple(one for one in report.findings if one is not foresaw and one.code not in left_out)
        if foresaw is not None:
            return error_for(replace(report, findings=(replace(foresaw, severity="error"), *rest)), kind.__name__)
        told = _told(error, report, left_out)
        unforeseen = _unforeseen(text, target, path, report, checked)
        if told:  # one error is enough: what was checked is said beside it
            unforeseen = tuple(replace(one, severity="warning", remedies=one.remedies[1:]) for one in unforeseen)
        return error_for(replace(report, findings=told + unforeseen + rest), kind.__name__)
    except Exception:  # fail open: the original exception says more than a fault of the guard
        return None


def _told(error: Exception, report: Report, left_out: set[str]) -> tuple[Finding, ...]:
    """What the real error's own words are known to come from; nothing where they are not known."""
    from tfguard.diagnosis.post_mortem import diagnose

    # the type is part of the words; of a native module's ImportError the words are the loader's alone
    text = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
    findings = diagnose(text, host=report.host, look=False).findings[:1]
    return tuple(one for one in findings if one.severity == "error" and one.code not in left_out)


def _unforeseen(text: str, target: str, path: str, report: Report, checked: Report | None) -> tuple[Finding, ...]:
    from tfguard.case import Case
    from tfguard.rules import judge

    lines = text.strip().splitlines() or ["no reason was given"]
    failure = Failure(kind="real-load", rule="", message=text, path=path, name=target, detail=lines[0])
    trace = Trace(target=target, lookups=(), images=(), failure=failure)
    findings = judge(Case(target=target, host=report.host, trace=trace, failure=failure))
    files = {image.path for one in (checked, report) if one is not None for image in one.images}
    what = f"{len(files)} {'library' if len(files) == 1 else 'libraries'}, down to {report.depth}"
    return tuple(replace(one, evidence=(*one.evidence, ("checked", what))) for one in findings)


# --- whether the exception is of a load


def _failure_of_load(error: Exception) -> Exception | None:
    """The exception in this chain that came out of loading a native module or an op library, None where none did.

    An exception whose type means something else to those who catch it (a requirement that is not installed), or that
    the guard has raised itself, is left alone.
    """
    if isinstance(error, ModuleNotFoundError):
        return None
    found: Exception | None = None
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, GuardError):
            return None
        if isinstance(link, Exception) and (_is_native(link) or _is_of_op_load(link)):
            found = link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return found


def _is_native(error: Exception) -> bool:
    """Whether dlopen or the init function of a native module raised this, and no line of Python."""
    if not isinstance(error, ImportError) or isinstance(error, ModuleNotFoundError):
        return False
    if str(error).startswith(_ABOUT_NAMES):
        return False
    if error.path:  # set by the import system: _imp.create_dynamic
        return error.path.endswith(tuple(EXTENSION_SUFFIXES))
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return False
    if last.tb_frame.f_code.co_filename.startswith(("<frozen importlib", _DOOR)):
        return True  # raised below the import system, or below the guard's own call of it
    # Python cuts its own frames away: then the last one left stands at the import statement.
    import opcode

    return opcode.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "IMPORT_NAME"


def _is_of_op_load(error: Exception) -> bool:
    """Whether TensorFlow raised this while it loaded a library of ops, kernels or a device."""
    link = error.__traceback__
    while link is not None:
        if link.tb_frame.f_globals.get("__name__") == _LOADS_OPS:
            return True
        link = link.tb_next
    return False
