"""The doors that load for real: safe_import(), load_op_library() and install_hook(), each after its checks."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType, TracebackType

from tfguard.checks.check import StrPath, check_import, check_library
from tfguard.errors import GuardError
from tfguard.hosts.host import Host
from tfguard.loader.trace import Trace
from tfguard.report import Report

# The packages whose import goes on with its check done: neither hook nor safe_import checks them once more.
_checked: ContextVar[frozenset[str]] = ContextVar("tfguard_checked", default=frozenset())


class GuardWarning(UserWarning):
    """A finding that need not end the load, or that tfguard itself tripped."""


def is_off() -> bool:
    """Whether TFGUARD=off makes the doors call straight through."""
    return os.environ.get("TFGUARD", "").lower() in ("off", "0", "no", "false")


def safe_import(
    name: str = "tensorflow", *, ignore: Collection[str] = (), gpu: bool = False, probe: bool = False
) -> ModuleType:
    """Import `name` after checking that its native files will load; gives back the module.

    Raises GuardImportError, before anything is loaded, where the loader is certain to refuse a file or to kill the
    process. Files, dependencies and versions are always checked; undefined symbols when a library comes from an
    unusual place, and after the fact when a native file fails all the same: then the exception raised has the
    original one as its cause. Every other exception of the import arrives as it is, with a note where something
    about the installation is wrong (Python 3.11 and newer). Warnings are issued as GuardWarning; with `gpu=True`
    there is one where TensorFlow would see no GPU, though the machine has one. Of a dotted name the whole package is
    checked, unless it is imported already. With `probe=True` it is then imported in a child process first
    (`tfguard.probe`): what would kill the process raises here. That costs the time of a second import.
    """
    top = name.partition(".")[0]
    if is_off() or not top or top in sys.modules or top in _checked.get():
        return importlib.import_module(name)
    refusal, checked = _hold(lambda: check_import(name, ignore=ignore, symbols="auto", gpu=gpu))
    if refusal is not None:
        raise refusal from None
    if probe:
        from tfguard.probing.probe import probe as load_in_child

        refusal, _ = _hold(lambda: load_in_child(top, ignore=ignore))
        if refusal is not None:
            raise refusal from None
    # Imported from this very frame: CPython 3.11 maps and unmaps memory where calls cross a chunk of its frame stack,
    # and three frames more cost `import tensorflow` as much again as the whole check (docs/measurements.md).
    with _Explaining(name, ignore, checked):
        __import__(name)
    return sys.modules[name]


class _Explaining:
    """Around the import of what has been checked: where a native file fails all the same, raises what explains that."""

    def __init__(self, name: str, ignore: Collection[str], checked: Report | None) -> None:
        self._name, self._ignore, self._report = name, ignore, checked

    def __enter__(self) -> None:
        self._token = _checked.set(_checked.get() | {self._name.partition(".")[0]})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _checked.reset(self._token)
        if isinstance(error, Exception):
            from tfguard.failed_load import explain_import

            explained = explain_import(error, self._name, self._ignore, self._report)
            if explained is not None:
                raise explained from error


def load_op_library(path: StrPath | bytes, *, ignore: Collection[str] = ()) -> ModuleType:
    """`tf.load_op_library(path)` after checking that the library will load; gives back what that gives back.

    Imports TensorFlow, checked in the same way, where that has not happened. Raises OpLibraryError (GuardImportError
    where TensorFlow itself would not load) before anything is loaded. Where TensorFlow is loaded already the
    exception is a tf.errors.NotFoundError as well. What the real load raises although every check passed (a definition
    that TensorFlow refuses, an exception of the library's own code) is the cause of an OpLibraryError that says what
    it comes from, and that is of the original's class as well.
    """
    name = os.fsdecode(path)
    if is_off():
        off: ModuleType = importlib.import_module("tensorflow").load_op_library(name)
        return off
    before = None
    if "tensorflow" not in sys.modules:
        refusal, before = _hold(lambda: check_import("tensorflow", ignore=ignore, symbols="auto"))
        if refusal is not None:
            raise refusal from None
    refusal, checked = _hold(lambda: check_library(name, after="tensorflow", ignore=ignore))
    if refusal is not None:
        raise refusal from None
    with _Explaining("tensorflow", ignore, before):
        __import__("tensorflow")
    tensorflow = sys.modules["tensorflow"]
    try:
        module: ModuleType = tensorflow.load_op_library(name)
    except Exception as error:
        from tfguard.failed_load import explain_op

        explained = explain_op(error, name, ignore, checked)
        if explained is None:
            raise
        raise explained from error
    for text in _lost_ops(module, name, checked, ignore):
        warnings.warn(text, GuardWarning, stacklevel=2)
    return module


def _lost_ops(module: ModuleType, name: str, checked: Report | None, ignore: Collection[str]) -> list[str]:
    """What is to be said of a library that was loaded and gave no op: its ops are registered already, and by whom."""
    if any(isinstance(one, FunctionType) and one.__module__ == module.__name__ for one in vars(module).values()):
        return []
    try:
        from tfguard.case import Case
        from tfguard.evidence.op_names import lost_ops
        from tfguard.rules import judge

        package = os.path.dirname(sys.modules["tensorflow"].__file__ or "")
        failure = lost_ops(name, checked.host if checked is not None else None, package, _is_registered)
        if failure is None:
            return []
        trace = Trace(target=name, lookups=(), images=(), failure=failure)
        host = checked.host if checked is not None else Host()
        found = judge(Case(target=name, host=host, trace=trace, failure=failure, is_op=True))
        return [f"{one.code} {one.slug}: {one.message}" for one in found if one.code not in ignore]
    except Exception as error:  # fail open: the library is loaded
        return [f"tfguard could not tell why {name} gave no op: {error!r}"]


def _is_registered(name: str) -> bool:
    """Whether TensorFlow has an op of this name."""
    registry = importlib.import_module("tensorflow.python.framework.op_def_registry")
    return registry.get(name) is not None


class Hook(MetaPathFinder):
    """Checks the named packages when they are imported by a plain `import`; a context manager."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, to be checked once it is loaded: looking for a package is not loading it."""
        if fullname not in self.names or fullname in sys.modules or fullname in _checked.get() or is_off():
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if isinstance(finder, Hook) or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _CheckingLoader(spec.loader)
                return spec
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


class _CheckingLoader(Loader):
    """Stands before a package's own loader until the package is about to be loaded: then it checks and steps aside."""

    def __init__(self, loader: Loader | None) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Check, then hand the spec back to its own loader, which runs the module."""
        spec.loader = self._loader
        if spec.name not in _checked.get() and not is_off():
            refusal, _ = _hold(lambda: check_import(spec.name, symbols="auto"))
            if refusal is not None:
                raise refusal from None
        token = _checked.set(_checked.get() | {spec.name})  # another hook may stand behind a finder that asks it
        try:
            return self._loader.create_module(spec) if self._loader is not None else None
        finally:
            _checked.reset(token)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


def install_hook(*names: str) -> Hook:
    """Check these packages ("tensorflow" where none is named) whenever a plain `import` loads them.

    Gives back the hook: a context manager with an `uninstall()`.
    """
    hook = Hook(names or ("tensorflow",))
    sys.meta_path.insert(0, hook)
    return hook


def _hold(check: Callable[[], Report]) -> tuple[GuardError | None, Report | None]:
    """Run a check: the exception to raise, None where the load may go on, and the report.

    Warnings are issued, and what trips here is one. To be called by a door itself: they point to who called that.
    """
    report = None
    try:
        report = check()
        if not report.ok:
            return report.as_error(), report
        texts = [f"{finding.code} {finding.slug}: {finding.message}" for finding in report.warnings]
    except Exception as error:  # fail open: a fault of the guard must never stop an import
        texts = [f"tfguard could not check this load: {error!r}"]
    for text in texts:
        warnings.warn(text, GuardWarning, stacklevel=3)
    return None, report
