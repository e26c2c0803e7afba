"""Causes behind a file that an ELF loader cannot open: absent, foreign, unreadable, or a needed library not found."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, in_packages, name, package_of, quoted, show
from tfguard.diagnosis.causes_nvidia import DRIVER, TOOLKIT, cuda_missing, driver_missing, plugin, stem
from tfguard.diagnosis.causes_requirements import hdf5
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.diagnosis.translated import has_any
from tfguard.diagnosis.translated_libc import NO_PERMISSION
from tfguard.finding import Remedy
from tfguard.rules.packages import install_command

# The stem of a CUDA library in a name that somebody typed: lincublas.so.9.0.
_OF_CUDA = re.compile(r"cu(?:blas|dart|dnn|fft|rand|solver|sparse)(?:Lt)?(?:64_\d+)?\.(?:so|dll)")
_INTEL = re.compile(r"lib(imf|svml|irng|intlc|sycl|irc|ze_loader|mkl_sycl\w*|ccl|mpi|dnnl|OpenCL)\.so")


_MKL = re.compile(r"(?:lib)?(mkl\w*|iomp5|mklml\w*|omp)\.(so|dylib|dll)")


_ROCM = re.compile(r"lib(rccl|amdhip64|hip\w*|roc\w*|hsa-runtime64|MIOpen|amd_comgr|hsakmt)\.so", re.IGNORECASE)


_TORCH = re.compile(r"lib(c10\w*|torch\w*)\.so")


# Packages whose wheels are complete: a file of theirs is not left out by a build at home.
_PUBLISHED = re.compile(
    r"(tensorflow|tensorflow_\w+|tf_\w+|numpy|scipy|torch\w*|jax\w*|pandas|sklearn|h5py|cv2|grpc|google)$"
)


# Folders and files that exist once for each platform.
_PLATFORM = re.compile(
    r"(?i)(?:linux|lib|win|ubuntu|bin)[-_]?(?:x?64|x86[-_]64|x86|i[36]86|amd64|arm64|aarch64)|/(?:x64|x86_64|amd64|arm64)/"
)


def cannot_open(said: Said, setting: Setting) -> list[Cause]:
    """A file that is not opened: nothing there, or there and for another machine, or a needed library not found."""
    path, low = said.object, said.errno.lower()
    if "permission" in low or has_any(low, NO_PERMISSION) or "not permitted" in low:
        return [_unreadable(said)]
    if any(word in low for word in ("too many open", "input/output", "cannot allocate", "stale", "too long")):
        return [
            Cause(
                code="TFG903",
                message=f"{name(said)} cannot be opened: {said.errno}",
                why="the errno behind the message",
            )
        ]
    if not path:
        return [_needed("", setting)]
    if path.startswith("libhdf5") and package_of(said.frame) == "h5py":
        return [*hdf5(said, setting), _needed(path, setting)]
    if "/" not in path and "\\" not in path and not _is_extension(path):
        return missing_library(path, setting)
    return not_there_or_foreign(said, setting)


def _is_extension(path: str) -> bool:
    base = os.path.basename(path)
    if re.search(r"\.so\.\d", base):
        return False  # a soname: no module of Python is named so
    return not base.startswith("lib") or ".cpython-" in base or ".abi3" in base


def _unreadable(said: Said) -> Cause:
    return Cause(
        code="TFG112",
        message=f"{name(said)} may not be read by this user",
        why="the errno is that of a missing permission (glibc names it only where a path with a slash was asked for)",
        decides=("the modes of the file and of the folders above it", f"namei -l {quoted(said.object or 'FILE')}"),
        remedies=(Remedy("Give this user the right to read it.", f"chmod a+r {quoted(said.object or 'FILE')}"),),
    )


def not_there_or_foreign(said: Said, setting: Setting) -> list[Cause]:
    path = said.object
    base = name(said)
    if not in_packages(path) and DRIVER.match(base):
        return [driver_missing(base)]
    if not in_packages(path) and TOOLKIT.match(base):
        return [cuda_missing(base)]
    foreign = Cause(
        code="TFG101",
        message=f"{base} is built for another processor than this machine's, if it exists",
        why="glibc says 'No such file or directory' of an existing file of the same class for another machine",
        decides=("whether the file exists, and its machine beside this one's", f"{show(path)}; uname -m"),
        remedies=(Remedy("Install the package's build for this processor, where there is one; else build it here."),),
        vain="searching the disk for the file, renaming it, setting LD_LIBRARY_PATH: it is found, and refused",
    )
    absent = Cause(
        code="TFG110",
        message=f"{base} does not exist at the path it is opened by",
        why="glibc's words for a path that leads nowhere" + _relative(path),
        decides=("whether the file exists", f"ls -l {quoted(path)}; pwd"),
        remedies=(
            Remedy("Build it (its build may have failed without being noticed), or give the path where it lies."),
            Remedy("Import the installed package, not its source tree, where the package is installed."),
        ),
    )
    package = package_of(path)
    imported = "importerror" in said.line.lower() and _is_extension(path)
    published = bool(_PUBLISHED.fullmatch(package)) or base.startswith("_pywrap_tensorflow")
    tagged = (
        bool(re.search(r"x86_64|aarch64|arm64|armv7|arm-linux|i[36]86", base))
        or setting.arm
        or "cannot load library" in setting.whole
    )
    built_here = "bazel-bin" in path or (not in_packages(path) and any(word in path for word in ("/build/", "/src/")))
    platform = _PLATFORM.search(path)
    if package == "tensorflow" and "notfounderror" in said.line.lower():
        return [absent, foreign]  # TensorFlow itself raises it: its own package is of this machine
    if path.startswith(".../") or (in_packages(path) and not built_here and (published or imported or tagged)):
        return [foreign, absent]
    if "/" not in path and base.startswith("_"):
        return [foreign, absent]
    if path.startswith("/") and not built_here and (setting.arm or (platform and said.line.startswith("OSError"))):
        return [foreign, absent]  # it comes in builds for several platforms, or the text speaks of another processor
    if "/" not in path:
        bare = Cause(
            code="TFG111",
            message=f"{base} is opened by a bare name, which the loader does not look up in the working directory",
            why="the name has no slash",
            decides=("whether it lies in the working directory", f"ls -l {quoted(path)}"),
            remedies=(Remedy(f"Give a path: ./{base}, or an absolute one."),),
        )
        return [absent, bare, foreign]
    return [absent, foreign]


def _relative(path: str) -> str:
    return "; the path is relative, so it hangs on the working directory" if not path.startswith("/") else ""


def missing_library(soname: str, setting: Setting) -> list[Cause]:
    if DRIVER.match(soname):
        return [driver_missing(soname)]
    if soname.startswith("libtensorflow_framework"):
        return [_framework(soname), _elsewhere(soname)]
    if soname.startswith(("libc.musl", "ld-musl")):
        return [
            Cause(
                code="TFG207",
                message=f"the library that needs {soname} is built for musl (Alpine), this system has glibc",
                why=f"{soname} is musl's own C library",
                remedies=(Remedy("Use the build for glibc (a manylinux wheel), or build it on this system."),),
            )
        ]
    if TOOLKIT.match(soname) or _OF_CUDA.search(soname):
        return [cuda_missing(soname), _elsewhere(soname)]
    if _INTEL.match(soname) and setting.mentions("notfounderror") and not setting.mentions("load_op_library"):
        return [
            plugin("", f"{soname} belongs to Intel's compiler runtime: a plugin needs it, TensorFlow does not"),
            _needed(soname, setting),
        ]
    return [_needed(soname, setting), _elsewhere(soname), _too_late(soname)]


def _framework(soname: str) -> Cause:
    major = soname.rpartition(".so.")[2]
    built = f"TensorFlow {major}" if major.isdigit() else "another build of TensorFlow"
    return Cause(
        code="TFG206",
        message=f"an op library needs {soname}: it is built for {built}, and no such TensorFlow has been loaded",
        why="ops find the framework only because `import tensorflow` has loaded it under that very name",
        decides=(
            "the name under which the installed TensorFlow has it",
            'python -c "import tensorflow as tf; print(tf.__version__, tf.sysconfig.get_link_flags())"',
        ),
        remedies=(
            Remedy("Build the op again for the installed TensorFlow, or install the TensorFlow it was built for."),
            Remedy("Import tensorflow before the op is opened (outside Python: put its folder on LD_LIBRARY_PATH)."),
        ),
        vain="a link of that name to the framework of another major version",
    )


def _needed(soname: str, setting: Setting) -> Cause:
    known = install_command(soname, "apt-get")
    fedora = install_command(soname, "dnf")
    remedies: list[Remedy] = []
    if known is not None:
        also = f" (Fedora, RHEL: {fedora})" if fedora is not None else ""
        remedies.append(Remedy(f"Install the system package that has it{also}.", known))
    if _TORCH.match(soname):
        remedies.append(Remedy("Import torch first: it loads that library.", "python -c 'import torch'"))
    if _MKL.match(soname):
        remedies.append(Remedy("Install Intel's runtime of it.", "python -m pip install mkl intel-openmp"))
    if _ROCM.match(soname):
        remedies.append(Remedy("Install it from ROCm's repository.", f"apt-get install {stem(soname)[3:]}"))
    remedies.append(
        Remedy("Start Python with the folder that holds it (fill in DIR).", "LD_LIBRARY_PATH=DIR python your_script.py")
    )
    if soname.startswith("libGL."):
        remedies.append(
            Remedy("For OpenCV, use the build without windows.", "python -m pip install opencv-python-headless")
        )
    shown = soname or "a needed library"
    return Cause(
        code="TFG201",
        message=f"{shown} is in none of the places where the loader looks",
        why="a bare name in this message is a needed library that was searched for; who needs it is not said",
        decides=(
            "whether it is on this machine at all",
            f"find / -name {quoted((soname or 'NAME') + '*')} 2>/dev/null; ldconfig -p",
        ),
        remedies=tuple(remedies[:3]),
        vain="LD_LIBRARY_PATH set in os.environ: the loader reads it once, before Python starts",
    )


def _elsewhere(soname: str) -> Cause:
    return Cause(
        code="TFG202",
        message=f"{soname} may be on the machine, in a folder where the loader does not look",
        why="most people who see this have the file, and a search path that does not lead to it",
        decides=("where it lies", f"find / -name {quoted(soname)} 2>/dev/null"),
        remedies=(Remedy("Start Python with that folder.", "LD_LIBRARY_PATH=DIR python your_script.py"),),
    )


def _too_late(soname: str) -> Cause:
    return Cause(
        code="TFG203",
        message=f"LD_LIBRARY_PATH may lead to {soname} and have been set too late",
        why="a change of os.environ inside the process is not seen by the loader",
        decides=("the variable at process start", "tr '\\0' '\\n' </proc/PID/environ | grep LD_LIBRARY_PATH"),
        remedies=(Remedy("Set it before Python starts.", "LD_LIBRARY_PATH=DIR python your_script.py"),),
    )


def missing_words(said: Said, setting: Setting) -> list[Cause]:
    """Somebody's own words for a library that is not there."""
    if "/" in said.object:
        return not_there_or_foreign(said, setting)
    if said.object.endswith(".dll") and _MKL.match(said.object) is None:
        return [cuda_missing(said.object)] if TOOLKIT.match(said.object) else [_needed(said.object, setting)]
    return missing_library(said.object, setting)


def preloaded(said: Said, setting: Setting) -> list[Cause]:
    """A name in LD_PRELOAD that cannot be opened; the process goes on."""
    if "open" in said.detail or not said.detail:
        return [
            Cause(
                code="TFG110",
                message=f"LD_PRELOAD names {said.object}, which cannot be opened",
                why="ld.so says so of the variable, and goes on without it",
                remedies=(Remedy("Take it out of LD_PRELOAD, or give the file's true path.", "echo $LD_PRELOAD"),),
            )
        ]
    return [
        Cause(code="TFG903", message=f"{said.object} of LD_PRELOAD is refused: {said.detail}", why="ld.so's own words")
    ]
