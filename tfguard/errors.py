"""The exceptions that leave through the doors, each built from one Report."""

from __future__ import annotations

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


def error_for(report: Report) -> GuardError:
    """The exception that fits what was checked; a tf.errors.NotFoundError too where TensorFlow is loaded."""
    if report.kind == "import":
        first = report.errors[0].slug if report.errors else ""
        return GuardModuleNotFoundError(report) if first in NOT_THERE else GuardImportError(report)
    not_found = getattr(getattr(sys.modules.get("tensorflow"), "errors", None), "NotFoundError", None)
    return _also_not_found(report, not_found) if isinstance(not_found, type) else OpLibraryError(report)


def _also_not_found(report: Report, not_found: type) -> OpLibraryError:
    """An OpLibraryError that code catching tf.errors.NotFoundError catches as well."""

    class OpLibraryNotFoundError(OpLibraryError, not_found):  # type: ignore[misc]  # TensorFlow's class, known at run time
        def __init__(self, report: Report) -> None:
            OpLibraryError.__init__(self, report)
            self._message, self._node_def, self._op, self._error_code = str(report), None, None, 5

        def __reduce__(self) -> tuple[object, ...]:
            # Whoever unpickles it may have TensorFlow loaded or not.
            return error_for, (self.report,), self.__dict__

    OpLibraryNotFoundError.__name__ = OpLibraryNotFoundError.__qualname__ = "OpLibraryError"
    OpLibraryNotFoundError.__module__ = OpLibraryError.__module__
    return OpLibraryNotFoundError(report)
