"""The doors that load for real: safe_import(), load_op_library() and install_hook(), each after its checks."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType

from tfguard.check import StrPath, check_import, check_library
from tfguard.errors import GuardError, OpLibraryError
from tfguard.report import Report


class GuardWarning(UserWarning):
    """A finding that need not end the load, or that tfguard itself tripped."""


def is_off() -> bool:
    """Whether TFGUARD=off makes the doors call straight through."""
    return os.environ.get("TFGUARD", "").lower() in ("off", "0", "no", "false")


def safe_import(name: str = "tensorflow", *, ignore: Collection[str] = ()) -> ModuleType:
    """Import `name` after checking that its native files will load; gives back the module.

    Raises GuardImportError, before anything is loaded, where the loader is certain to refuse a file or to kill the
    process. Files, dependencies and versions are always checked; undefined symbols when a library comes from an
    unusual place, and after the fact when the import fails all the same: then the exception raised has the original
    one as its cause. Warnings are issued as GuardWarning.
    """
    if not is_off() and name not in sys.modules:
        _hold(lambda: check_import(name, ignore=ignore, symbols="auto"))
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            raise
        except (ImportError, OSError) as error:
            _explain_failure(error, name, "import", lambda: check_import(name, ignore=ignore))
            raise
    return importlib.import_module(name)


def load_op_library(path: StrPath, *, ignore: Collection[str] = ()) -> ModuleType:
    """`tf.load_op_library(path)` after checking that the library will load; gives back what that gives back.

    Imports TensorFlow, checked in the same way, where that has not happened. Raises OpLibraryError (GuardImportError
    where TensorFlow itself would not load) before anything is loaded. Where TensorFlow is loaded already the
    exception is a tf.errors.NotFoundError as well.
    """
    name = os.fsdecode(path)
    if not is_off():
        _hold(lambda: check_library(name, after="tensorflow", ignore=ignore))
    tensorflow = sys.modules.get("tensorflow") or safe_import("tensorflow", ignore=ignore)
    try:
        module: ModuleType = tensorflow.load_op_library(name)
    except Exception as error:
        # NotFoundError of TensorFlow, which is neither an ImportError nor an OSError
        if not is_off() and type(error).__name__ == "NotFoundError":
            _explain_failure(error, name, "op library", lambda: check_library(name, after="tensorflow", ignore=ignore))
        raise
    return module


class Hook(MetaPathFinder):
    """Checks the named packages when they are imported by a plain `import`; a context manager."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Check and step aside: the finders behind this one find the module."""
        if fullname in self.names and not is_off():
            _hold(lambda: check_import(fullname, symbols="auto"))
        return None

    def uninstall(self) -> None:
        """Take the hook away; a second call does nothing."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def __enter__(self) -> Hook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.uninstall()


def install_hook(*names: str) -> Hook:
    """Check these packages ("tensorflow" where none is named) whenever a plain `import` loads them.

    Gives back the hook: a context manager with an `uninstall()`.
    """
    hook = Hook(names or ("tensorflow",))
    sys.meta_path.insert(0, hook)
    return hook


def _hold(check: Callable[[], Report]) -> None:
    """Run a check and raise what it finds; where tfguard itself trips, say so and let the load go on."""
    try:
        report = check()
    except TypeError:
        raise
    except Exception as error:  # fail open: a fault of the guard must never stop an import
        warnings.warn(f"tfguard could not check this load: {error!r}", GuardWarning, stacklevel=3)
        return
    if not report.ok:
        raise _as_error(report) from None
    for finding in report.warnings:
        warnings.warn(f"{finding.code} {finding.slug}: {finding.message}", GuardWarning, stacklevel=3)


def _as_error(report: Report) -> GuardError:
    error = report.as_error()
    tensorflow = sys.modules.get("tensorflow")
    not_found = getattr(getattr(tensorflow, "errors", None), "NotFoundError", None)
    if isinstance(error, OpLibraryError) and isinstance(not_found, type):
        return _also_not_found(report, not_found)
    return error


def _also_not_found(report: Report, not_found: type) -> OpLibraryError:
    """An OpLibraryError that code catching tf.errors.NotFoundError catches as well."""

    class OpLibraryNotFoundError(OpLibraryError, not_found):  # type: ignore[misc]  # TensorFlow's class, known at run time
        def __init__(self, report: Report) -> None:
            OpLibraryError.__init__(self, report)
            self._message, self._node_def, self._op, self._error_code = str(report), None, None, 5

        def __reduce__(self) -> tuple[object, ...]:
            return OpLibraryError, (self.report,)

    OpLibraryNotFoundError.__name__ = OpLibraryNotFoundError.__qualname__ = "OpLibraryError"
    return OpLibraryNotFoundError(report)


def _explain_failure(error: Exception, target: str, kind: str, check: Callable[[], Report]) -> None:
    """Raise the guard's own exception, with the original as its cause, where the load failed after its checks."""
    if isinstance(error, GuardError):
        return
    try:
        report = check()
        if report.ok:
            from tfguard.case import Case
            from tfguard.host import this_host
            from tfguard.loader.trace import Failure, Trace
            from tfguard.rules import judge

            text = str(error) or repr(error)
            failure = Failure(
                kind="real-load", rule="", message=text, path=target, name=target, detail=text.partition("\n")[0]
            )
            trace = Trace(target=target, lookups=(), images=(), failure=failure)
            case = Case(target=target, host=this_host(), trace=trace, failure=failure)
            report = replace(report, findings=judge(case) + report.findings)
    except Exception:  # fail open: the original exception says more than a fault of the guard
        return
    raise _as_error(report) from error
