"""The exceptions that leave through the doors, each built from one Report."""

from __future__ import annotations

import builtins
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfguard.finding import Finding
    from tfguard.report import Report


class GuardError(Exception):
    """A load that would fail. `str()` is the report's text, its first line the diagnosis."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, errors first."""
        return self.report.errors + self.report.warnings

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings, errors first: `"TFG201" in error.codes`."""
        return tuple(finding.code for finding in self.findings)

    @property
    def _first_path(self) -> str | None:
        return next((os.fspath(one.path) for one in self.findings if one.path is not None), None)

    def __str__(self) -> str:
        return str(self.report)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.report.target!r}: {', '.join(self.codes)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.report,), self.__dict__  # notes are kept in there


class GuardImportError(GuardError, ImportError):
    """An import that would fail; `.name` is the module asked for, `.path` the file at fault."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.name = report.target
        self.path = self._first_path
        self.msg = str(report)


class GuardModuleNotFoundError(GuardImportError, ModuleNotFoundError):
    """The GuardImportError for a package that is not there: whoever catches ModuleNotFoundError catches it as well."""


class OpLibraryError(GuardError, OSError):
    """An op library that would not load; `.filename` is the library, `.errno` fits the cause."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.filename = report.target
        first = report.errors[0] if report.errors else None
        self.errno = _ERRNOS.get(first.slug, errno.ENOEXEC) if first is not None else errno.ENOEXEC
        self.strerror = first.message if first is not None else ""


_ERRNOS = {
    "file-missing": errno.ENOENT,
    "bare-name-not-searched-here": errno.ENOENT,
    "needed-library-missing": errno.ENOENT,
    "needed-library-not-on-path": errno.ENOENT,
    "library-path-set-too-late": errno.ENOENT,
    "other-version-installed": errno.ENOENT,
    "cuda-library-missing": errno.ENOENT,
    "gpu-driver-missing": errno.ENOENT,
    "framework-of-other-major": errno.ENOENT,
    "no-read-permission": errno.EACCES,
    "noexec-mount": errno.EACCES,
    "directory-in-its-place": errno.EISDIR,
}


# What a check says where no package of the name can be imported at all.
NOT_THERE = ("not-installed", "another-environment", "no-wheel-for-this-python", "left-out-of-the-application")


def error_for(report: Report, kind: str = "") -> GuardError:
    """The exception that fits what was checked, and that is of the class named by `kind` too where Python allows that.

    `kind` is a class of tf.errors or of Python's own: whoever catches what the real load raised catches this as well.
    For an op library it is tf.errors.NotFoundError where nothing else is named and TensorFlow is loaded.
    """
    base = _base(report)
    kind = kind or ("NotFoundError" if base is OpLibraryError else "")
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    also = getattr(errors, kind, None) or getattr(builtins, kind, None)
    if not isinstance(also, type) or not issubclass(also, Exception) or issubclass(base, also):
        return base(report)
    try:
        return _also(base, also, report)
    except TypeError:  # two layouts of memory in one object, as of OSError and SyntaxError
        return base(report)


def _base(report: Report) -> type[GuardError]:
    if report.kind != "import":
        return OpLibraryError
    first = report.errors[0].slug if report.errors else ""
    return GuardModuleNotFoundError if first in NOT_THERE else GuardImportError


def _also(base: type[GuardError], also: type[Exception], report: Report) -> GuardError:
    """An exception of both classes, by the name of the first."""

    class Both(base, also):  # type: ignore[misc, valid-type]  # the second is TensorFlow's, known at run time
        def __init__(self, report: Report) -> None:
            base.__init__(self, report)
            if hasattr(also, "error_code"):  # tf.errors.OpError has these from its own __init__, which is not called
                self._message, self._node_def, self._op = str(report), None, None
                self._error_code = _number(also.__name__)

        def __reduce__(self) -> tuple[object, ...]:
            # Whoever unpickles it may have TensorFlow loaded or not.
            return error_for, (self.report, also.__name__), self.__dict__

    Both.__name__ = Both.__qualname__ = base.__name__
    Both.__module__ = base.__module__
    return Both(report)


def _number(name: str) -> int:
    """The code of a class of tf.errors: of OutOfRangeError that is tf.errors.OUT_OF_RANGE."""
    words = "".join(f"_{one}" if one.isupper() else one for one in name.removesuffix("Error"))
    number: int = getattr(sys.modules["tensorflow"].errors, words.lstrip("_").upper(), 2)  # 2: UNKNOWN
    return number
