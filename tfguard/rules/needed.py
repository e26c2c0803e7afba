"""Rules about a library that another one needs and the loader does not find, or finds in a bad state."""

from __future__ import annotations

import os
import re

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.packages import install_command
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    base,
    belongs_to_package,
    fetch_again,
    install_again,
    loader_row,
    needed_by,
    search_rows,
)

_CUDA = re.compile(r"lib(cuda|cudart|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|cupti|nvrtc)[._]")


def _missing(case: Case) -> str | None:
    """The name of the library that was searched for and not found."""
    failure = case.failure
    if failure is None or failure.kind != "missing" or failure.requirer is None:
        return None
    return failure.name


def _requirer(case: Case) -> str | None:
    """The file that a missing library is missed by: what a finding about it is about."""
    return case.failure.requirer if case.failure is not None else None


def _elsewhere_rows(case: Case) -> Rows:
    rows = [("exists as" if not i else "", f"{one.path}: {one.why_not}") for i, one in enumerate(case.elsewhere)]
    return tuple(rows)


def _rows(case: Case) -> Rows:
    return (*needed_by(case), *search_rows(case), *_elsewhere_rows(case), *loader_row(case))


def _set_library_path(directory: str) -> Remedy:
    return Remedy(
        "Start Python with its directory on the search path.", f"LD_LIBRARY_PATH={directory} python your_script.py"
    )


@rule("TFG201", "A needed library is nowhere to be found")
def needed_library_missing(case: Case) -> Verdict | None:
    """A library that the file needs (DT_NEEDED) is in none of the places where the loader looks.

    glibc looks among the libraries already loaded, in the RPATH chain, LD_LIBRARY_PATH as it was at process start,
    the RUNPATH of the library that needs it, ld.so.cache, and the default directories, in that order. Its message
    names the missing library and never who needs it.
    """
    name = _missing(case)
    if name is None:
        return None
    command = install_command(base(name), case.installer)
    remedies = []
    if command is not None:
        remedies.append(Remedy(f"Install the system package that has it (this is {case.system}).", command))
    elif case.distribution is not None and (belongs_to_package(case) or "tensorflow" in name):
        remedies.append(install_again(case, "a library of this installation is missing"))
    remedies.append(
        Remedy(
            "Start Python with its directory on the search path (fill in DIR).",
            "LD_LIBRARY_PATH=DIR python your_script.py",
        )
    )
    return Verdict(
        message=f"{name} is in none of the places the loader looks",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=tuple(remedies),
    )


@rule("TFG202", "A needed library exists where the loader does not look")
def needed_library_not_on_path(case: Case) -> Verdict | None:
    """A needed library is missing from the search, yet a usable file of that name lies elsewhere on this machine.

    A library beside the one that needs it is found only when RUNPATH says so ($ORIGIN). Pip's nvidia-* packages and
    conda environments keep theirs where only their own run paths lead. Directories named in ld.so.conf count after
    `ldconfig` was run.
    """
    name = _missing(case)
    usable = next((one for one in case.elsewhere if one.usable), None)
    if name is None or usable is None:
        return None
    directory = os.path.dirname(usable.path)
    requirer = case.failure.requirer if case.failure is not None else None
    remedies = [_set_library_path(directory)]
    if requirer is not None:
        own = os.path.relpath(directory, os.path.dirname(os.path.realpath(requirer)))
        runpath = "$ORIGIN" if own == "." else f"$ORIGIN/{own}"
        remedies.append(
            Remedy(
                "Or write the place into the library that needs it (where that is yours).",
                f"patchelf --set-rpath '{runpath}' {os.path.normpath(requirer)}",
            )
        )
    return Verdict(
        message=f"{name} is at {usable.path}, where the loader does not look",
        path=requirer,
        evidence=_rows(case),
        remedies=tuple(remedies),
    )


@rule("TFG203", "LD_LIBRARY_PATH was set too late")
def library_path_set_too_late(case: Case) -> Verdict | None:
    """LD_LIBRARY_PATH was changed inside the running process (os.environ), and holds the missing library.

    The loader reads the variable once, before Python starts. A later change reaches only child processes.
    """
    name = _missing(case)
    if name is None:
        failure = case.failure
        if failure is None or failure.kind != "missing" or "/" in failure.name:
            return None
        name = failure.name
    if not case.late_directories:
        return None
    early = case.host.library_path or "not set"
    return Verdict(
        message=f"LD_LIBRARY_PATH was set too late: the loader does not see {case.late_directories[0]}",
        path=_requirer(case),
        evidence=(
            ("missing", name),
            *needed_by(case),
            ("at process start", early),
            ("os.environ now", case.host.late_library_path or ""),
            *loader_row(case),
        ),
        remedies=(
            Remedy("Set it before Python starts.", f"LD_LIBRARY_PATH={case.late_directories[0]} python your_script.py"),
        ),
    )


@rule("TFG204", "Another version of a needed library is installed")
def other_version_installed(case: Case) -> Verdict | None:
    """The needed library is missing, and another major version of it is on this machine.

    The number behind .so is the version of the interface: another number is another interface, and a link from one
    name to the other makes crashes instead of errors.
    """
    name = _missing(case)
    others = [one for one in case.elsewhere if not one.exact]
    if name is None or not others or any(one.usable for one in case.elsewhere):
        return None
    have = ", ".join(dict.fromkeys(base(one.path) for one in others))
    if base(name) in have.split(", "):
        return None
    command = install_command(base(name), case.installer)
    install = (Remedy(f"Install the version that is needed (this is {case.system}).", command),) if command else ()
    return Verdict(
        message=f"{name} is missing; this machine has {have}",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=install
        or (
            Remedy(f"Install the release of this library that provides {base(name)}; do not link another name to it."),
        ),
    )


@rule("TFG205", "A CUDA library is missing")
def cuda_library_missing(case: Case) -> Verdict | None:
    """A library of CUDA, cuDNN or the NVIDIA driver is needed and not found.

    TensorFlow's own wheels never need one to load; an op library built for GPUs does. libcuda.so.1 comes with the
    driver and cannot be installed with pip.
    """
    name = _missing(case)
    if name is None or not _CUDA.match(base(name)) or any(one.usable for one in case.elsewhere):
        return None
    if base(name).startswith("libcuda."):
        remedies: tuple[Remedy, ...] = (
            Remedy("Install the NVIDIA driver, or start the container with its GPU runtime (docker run --gpus all)."),
            Remedy("On a machine without a GPU use a CPU build of this library."),
        )
    else:
        python = case.host.executable
        remedies = (
            Remedy("Install TensorFlow with its CUDA libraries.", f"{python} -m pip install 'tensorflow[and-cuda]'"),
            Remedy("Use a CPU build of this library."),
        )
    return Verdict(message=f"{name} (CUDA) is not found", path=_requirer(case), evidence=_rows(case), remedies=remedies)


@rule("TFG206", "Built for another TensorFlow: its framework library has another name")
def framework_of_other_major(case: Case) -> Verdict | None:
    """An op library needs a TensorFlow framework library that this TensorFlow does not bring.

    The op finds the framework because `import tensorflow` has loaded it under the same soname. TensorFlow 1 had
    libtensorflow_framework.so.1, TensorFlow 2 has .so.2. A build path among the needed names works nowhere else.
    """
    name = _missing(case)
    if name is None or "libtensorflow_framework" not in name or not case.is_op:
        return None
    if base(name) == "libtensorflow_framework.so.1":
        why = "was built for TensorFlow 1"
    elif "/" in name:
        why = "needs the framework by a path of the machine that built it"
    else:
        why = f"needs {name}, which is not loaded"
    return Verdict(
        message=f"{base(case.target)} {why}",
        path=case.target,
        evidence=(("needs", name), ("TensorFlow", case.framework or "not installed"), *_rows(case)),
        remedies=(Remedy("Build the op against the installed TensorFlow."),),
    )


@rule("TFG207", "Built for musl (Alpine), this is glibc")
def built_for_musl(case: Case) -> Verdict | None:
    """The library needs musl's C library: it was built on Alpine Linux and cannot be used with glibc."""
    name = _missing(case)
    if name is None or not (base(name).startswith("libc.musl-") or base(name).startswith("ld-musl-")):
        return None
    return Verdict(
        message=f"{base(case.failure.requirer or case.target) if case.failure else case.target} is built for musl"
        " (Alpine Linux), this system has glibc",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=fetch_again(case, "a build for glibc is needed"),
    )


@rule("TFG208", "A native module of the package is missing")
def native_module_missing(case: Case) -> Verdict | None:
    """A compiled module that the import of this release opens is not on disk.

    Python then reports that it cannot import a name, or a circular import, and no loader is ever asked.
    """
    failure = case.failure
    if failure is None or failure.kind != "module-missing":
        return None
    return Verdict(
        message=f"{failure.name} is missing from {case.distribution} {case.framework}",
        evidence=(("folder", os.path.dirname(failure.path)),),
        remedies=(install_again(case, "files of this installation are missing"),),
    )


RULES = (
    library_path_set_too_late,
    built_for_musl,
    framework_of_other_major,
    needed_library_not_on_path,
    cuda_library_missing,
    other_version_installed,
    needed_library_missing,
    native_module_missing,
)
