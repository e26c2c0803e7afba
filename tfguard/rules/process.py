"""Rules about what the process holds already when a load begins: no file is at fault, and none is missing."""

from __future__ import annotations

import os

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, needed_by, path_of


def _is(case: Case, kind: str, detail: str = "") -> bool:
    failure = case.failure
    return failure is not None and failure.kind == kind and (not detail or failure.detail == detail)


def _other(case: Case) -> str:
    other = case.failure.provider if case.failure is not None else None
    return os.path.normpath(other) if other else ""


@rule("TFG701", "Two OpenMP runtimes of one kind")
def two_openmp_runtimes(case: Case) -> Verdict | None:
    """LLVM's libomp and Intel's libiomp5 are one code base, and a process may hold one copy of it.

    When the second one starts, at the first parallel loop, it finds the mark of the first and ends the process with
    "OMP: Error #15". GNU's libgomp beside one of them is no such case. KMP_DUPLICATE_LIB_OK makes the message go away
    and leaves two pools of threads, and results that Intel calls incorrect.
    """
    if not _is(case, "two-openmp"):
        return None
    first, second = _other(case), path_of(case)
    return Verdict(
        message=f"{base(second)} is a second OpenMP runtime beside {base(first)}: OMP: Error #15 may end the process",
        path=second,
        evidence=(*needed_by(case), ("first", first), ("second", second)),
        remedies=(
            Remedy(
                "Install the packages that bring them from one source (all from PyPI, or all from one conda channel)."
            ),
            Remedy("Take one of the two packages out of this environment: pip show -f names what brought a file."),
            Remedy("Run what needs the one and what needs the other in two processes."),
        ),
        severity="warning",
    )


@rule("TFG705", "A TensorFlow is loaded already that was not imported")
def another_tensorflow_loaded(case: Case) -> Verdict | None:
    """The process has a core library of TensorFlow loaded, and Python has not imported tensorflow.

    Somebody opened it by path (ctypes, an extension module, a library that is linked to it). The loader gives it to
    everybody who asks for that soname, so the import uses this copy beside its own other files. In the global scope
    (RTLD_GLOBAL, LD_PRELOAD) it also answers for OpenSSL: TensorFlow holds BoringSSL, and Python's
    hashlib, when it is loaded after that, calls the wrong functions. TensorFlow 2.21 dies so, of SIGSEGV, when it
    imports hashlib.
    """
    if not _is(case, "another-tensorflow"):
        return None
    failure = case.failure
    path, own = path_of(case), _other(case)
    evidence = (("loaded", path), ("to be imported", own))
    if _is(case, "another-tensorflow", "global") and failure is not None:
        return Verdict(
            message=f"{base(path)} is in the global scope before Python's {failure.requirer} is loaded:"
            " the import may die of SIGSEGV",
            path=path,
            evidence=(*evidence, ("not loaded yet", f"{failure.requirer}, which needs OpenSSL")),
            remedies=(
                Remedy("Import tensorflow before what opens that library."),
                Remedy("Import hashlib before it."),
                Remedy("Open it without RTLD_GLOBAL: ctypes.CDLL(path)."),
            ),
            severity="warning",
        )
    return Verdict(
        message=f"another {base(path)} is loaded already, and the import would use it",
        path=path,
        evidence=(*evidence, *((("soname", failure.requirer),) if failure is not None and failure.requirer else ())),
        remedies=(
            Remedy("Import tensorflow before what opens that library: then its own copy is the one used."),
            Remedy("Link what needs it to the copy in the Python package (tf.sysconfig.get_link_flags())."),
        ),
        severity="warning",
    )


@rule("TFG706", "The package is imported in part")
def half_imported(case: Case) -> Verdict | None:
    """An import of the package was begun in this process, from another place or without an end.

    When an import fails, Python takes the package itself out of sys.modules and leaves the modules below it that were
    done. The next import uses them. That does no harm where they are the same files (tried with TensorFlow 2.21), and
    mixes two releases where sys.path has changed in between. While an import is going on, in another thread or further
    up in this one, the package is there without most of its names.
    """
    failure = case.failure
    if failure is None or not _is(case, "half-imported"):
        return None
    name = case.target.partition(".")[0]
    counted = "1 module is" if failure.name == "1" else f"{failure.name} modules are"
    if failure.detail == "going on":
        return Verdict(
            message=f"the import of {name} is going on already, and has most of its names not yet",
            path=failure.path,
            evidence=(("begun from", failure.path),),
            remedies=(
                Remedy(f"Import {name} once, at the top of the program, before threads are started."),
                Remedy(f"Look in the traceback for a module of your own between two imports of {name}."),
            ),
            severity="warning",
        )
    return Verdict(
        message=f"{counted} left of another {name} in this process by an import that failed",
        path=failure.path,
        evidence=(("left over", failure.path), ("to be imported", _other(case))),
        remedies=(Remedy("Start a new process (in a notebook: restart the kernel), and import it there."),),
        severity="warning",
    )


@rule("TFG707", "A package was replaced while it was loaded")
def replaced_since(case: Case) -> Verdict | None:
    """pip has put another release in the place of a package that this process has imported already.

    What is loaded stays as it was, and modules that are imported from now on come out of the new files: the two
    releases meet in one process. It is what happens in a notebook after `!pip install`. NumPy 2.0.2 loaded and 1.26.4
    on the disk ended the import of TensorFlow 2.16 in a RecursionError, the reverse that of 2.18 in a TypeError about
    ufunc 'isnan'; protobuf 3.20.3 and 4.25.3 went well. A new process has only the new files.
    """
    failure = case.failure
    if failure is None or not _is(case, "replaced-since"):
        return None
    return Verdict(
        message=f"{failure.name} {failure.detail} is loaded in this process, and {failure.provider} lies in its place"
        " now: an import would mix the two",
        path=failure.path,
        evidence=(("loaded", f"{failure.name} {failure.detail}"), ("on the disk", failure.provider or "")),
        remedies=(Remedy("Start a new process (in a notebook: restart the kernel), and import it there."),),
        severity="warning",
    )


@rule("TFG703", "Ops are registered already")
def op_registered_twice(case: Case) -> Verdict | None:
    """The library registers ops of names that this process has, and TensorFlow leaves them out without a word.

    The module that load_op_library gives then lacks them: AttributeError where they are called, or a call of the other
    op of that name. Some releases end the process with "Already exists: Op with name"; 2.15 to 2.21 say nothing. Often
    it is the same file by another path (a link, a copy, a second build), and sometimes a name that TensorFlow itself
    uses. The names are those of registered ops that are found among the texts of the library.
    """
    failure = case.failure
    if failure is None or not _is(case, "op-registered"):
        return None
    first, names = _other(case), failure.name
    same = failure.detail == "same file"
    if same:
        message = f"{base(failure.path)} is loaded already as {first}: this module has no ops"
        remedies: tuple[Remedy, ...] = (
            Remedy("Use the module of the first load, or load the library by one and the same path."),
        )
    else:
        first = "TensorFlow itself" if failure.detail == "tensorflow" else first or "what could not be found out"
        message = f"{base(failure.path)} registers {names or 'its ops'} once more: its module has no ops"
        remedies = (
            Remedy("Use the module of the first load; load one of the two libraries only."),
            Remedy("Where they are different ops, give one another name in REGISTER_OP and build it again."),
        )
    rows = (("ops", names),) if names else ()
    return Verdict(
        message=message,
        path=failure.path,
        evidence=(*rows, ("registered by", first), ("again by", failure.path)),
        remedies=remedies,
        severity="warning",
    )


RULES = (op_registered_twice, two_openmp_runtimes, another_tensorflow_loaded, half_imported, replaced_since)
