"""Causes behind the messages of Windows' loader: the code or the structure decides, never the language."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, in_packages, is_plugin, name, package_of
from tfguard.diagnosis.causes_nvidia import cuda_missing, plugin
from tfguard.diagnosis.causes_requirements import hdf5
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.diagnosis.translated import INITIALISATION, MODULE_NOT_FOUND, PROCEDURE_NOT_FOUND, has_any
from tfguard.finding import Remedy

_CUDA = re.compile(r"(?i)^(cudart|cublas|cublaslt|cudnn|cufft|curand|cusolver|cusparse|nvcuda|cupti|nvrtc)")
_H5PYS = ("defs", "_errors", "_conv", "_proxy", "h5t")  # modules of h5py, which Python names without their package
_REDIST = Remedy(
    "Install the newest Visual C++ 2015-2022 Redistributable (x64) from Microsoft, and start Windows again.",
    "winget install Microsoft.VCRedist.2015+.x64",
)


def load_failed(said: Said, setting: Setting) -> list[Cause]:
    """`DLL load failed`, by what Windows says behind it, in whatever language."""
    return _by_text(said, said.detail.lower(), said.errno, setting)


def _by_text(said: Said, text: str, code: str, setting: Setting) -> list[Cause]:
    if "%1" in text or "win32" in text or ".dll on a" in text or said.loader == ".NET" or code in ("193", "216"):
        return [_wrong_architecture(said)]
    if code == "1114" or has_any(text, INITIALISATION):
        return [_initialisation(said), _too_old_processor(said)]
    if code == "127" or has_any(text, PROCEDURE_NOT_FOUND):
        return [*(hdf5(said, setting) if _of_h5py(said) else ()), _procedure(said)]
    if "paging file" in text or code in ("1455", "8", "14"):
        return [_memory(said)]
    if code in ("5",) or "access is denied" in text or "zugriff verweigert" in text or "acceso denegado" in text:
        return [_denied(said)]
    if code in ("577", "1260", "4551") or "policy" in text or "blocked" in text:
        return [
            Cause(
                code="TFG856",
                message=f"a policy of this Windows forbids loading {name(said, 'the module')}",
                why="application control, group policy or an antivirus program refuses it",
                remedies=(Remedy("Allow it in the security program, or ask the administrator of the machine."),),
            )
        ]
    if code == "206" or "filename or extension is too long" in text:
        return [
            Cause(
                code="TFG857",
                message=f"the path of {name(said, 'the module')} is longer than Windows takes",
                why="259 characters are the limit where long paths are not enabled",
                remedies=(Remedy("Enable long paths, or use an environment with a shorter path."),),
            )
        ]
    return [_not_found(said, certain=code == "126" or has_any(text, MODULE_NOT_FOUND)), _initialisation(said)]


def error(said: Said, setting: Setting) -> list[Cause]:
    """[WinError N], from ctypes."""
    if said.errno not in ("5", "126", "127", "193", "206", "216", "577", "1114", "1260", "1455", "4551", "14001"):
        return []
    if said.errno == "5" and ("pip" in setting.whole and "install" in setting.whole):
        return [_denied(said)]
    return _by_text(said, said.detail.lower(), said.errno, setting)


def _of_h5py(said: Said) -> bool:
    """Whether it is a module of h5py: its parts and the HDF5 they get come as DLLs of two packages in conda."""
    frame = said.frame.replace("\\", "/")
    own = said.object.startswith("h5py") or said.object in _H5PYS
    return package_of(frame) == "h5py" or frame.startswith("h5py/") or own


def _not_found(said: Said, *, certain: bool) -> Cause:
    what = said.object or said.library
    return Cause(
        code="TFG851",
        message=f"a DLL that {what or 'the module'} needs is missing; for TensorFlow most often the Visual C++ runtime",
        why="Windows names the module that was opened, never the one it misses"
        + ("" if certain else "; the text behind the message is cut off or not known"),
        decides=("whether the runtime is there", "where msvcp140.dll msvcp140_1.dll vcruntime140_1.dll"),
        remedies=(
            _REDIST,
            Remedy("Use a 64-bit Python of a version that this TensorFlow release has wheels for."),
            Remedy("For a GPU build (2.10 and earlier), put the folders of CUDA and cuDNN on PATH."),
        ),
        vain="reinstalling TensorFlow: it does not bring that DLL",
    )


def _initialisation(said: Said) -> Cause:
    return Cause(
        code="TFG852",
        message=f"a start-up routine failed while {said.object or 'the module'} was loaded: too old a Visual C++"
        f" runtime, or a processor without AVX",
        why="Windows found every DLL, and the code that runs first in one of them gave up (error 1114)",
        decides=(
            "the version of the msvcp140.dll that is loaded first, and the processor",
            "where msvcp140.dll & wmic cpu get name",
        ),
        remedies=(
            _REDIST,
            Remedy(
                "Remove an old msvcp140.dll that another package or conda brings, or import tensorflow before that"
                " package."
            ),
            Remedy("On a processor without AVX, use a build made without it."),
        ),
    )


def _too_old_processor(said: Said) -> Cause:
    return Cause(
        code="TFG601",
        message="the processor may lack AVX, which every TensorFlow since 1.6 needs",
        why="this is how it shows on Windows",
        decides=("the processor's features", "python -m pip install py-cpuinfo && python -m cpuinfo"),
        remedies=(Remedy("Use a machine with AVX, or a build made without it."),),
    )


def _wrong_architecture(said: Said) -> Cause:
    return Cause(
        code="TFG853",
        message=f"{name(said, 'the module')} and this Python are of different word sizes or processors (32 and 64"
        f" bits)",
        why="Windows error 193, whose text has %1 in every language",
        decides=(
            "this Python",
            "python -c \"import struct, platform; print(struct.calcsize('P') * 8, platform.machine())\"",
        ),
        remedies=(
            Remedy("Install a 64-bit Python, and the packages anew in it."),
            Remedy("Where the file was downloaded by hand, get the build of the same word size."),
        ),
    )


def _procedure(said: Said) -> Cause:
    return Cause(
        code="TFG854",
        message=f"a DLL that {said.object or 'the module'} needs is found in another version, which lacks a function",
        why="Windows error 127; a DLL of that name that is loaded already, or comes first on the path, is used"
        " whatever its version",
        decides=("the copies on the path", "where msvcp140.dll libcrypto-3-x64.dll"),
        remedies=(Remedy("Use one source for all packages (pip or conda) in an environment of its own."), _REDIST),
    )


def _memory(said: Said) -> Cause:
    return Cause(
        code="TFG760",
        message="Windows has no memory left to load the DLLs: the paging file is too small",
        why="several processes each load the GPU libraries",
        remedies=(Remedy("Enlarge the paging file, or start fewer workers."),),
    )


def _denied(said: Said) -> Cause:
    return Cause(
        code="TFG112",
        message=f"{name(said, 'the file')} may not be read or written by this user",
        why="Windows error 5; an antivirus program, or another process that holds the file, has the same effect",
        remedies=(
            Remedy(
                "Close the programs that use it, and install for this user.", "python -m pip install --user PACKAGE"
            ),
        ),
    )


def dll_not_found(said: Said, setting: Setting) -> list[Cause]:
    """A DLL named by Python, ctypes, TensorFlow's self check or a dialog."""
    base = re.split(r"[\\/]", said.library)[-1]
    if _CUDA.match(base):
        return [cuda_missing(base)]
    if base.lower().startswith(("msvcp", "vcruntime", "concrt")):
        return [_not_found(said, certain=True)]
    if base.endswith((".so", ".dylib")):
        return [_op_of_another_system(said)]
    return [_not_found(said, certain=True)]


def spoken_of(said: Said, setting: Setting) -> list[Cause]:
    """A DLL, or Visual C++, in somebody's own words."""
    return [_not_found(said, certain=False), _initialisation(said)]


def conflict(said: Said, setting: Setting) -> list[Cause]:
    """The module imports another pythonXY.dll."""
    return [
        Cause(
            code="TFG504",
            message=f"the module is built for another Python: it uses {said.library}",
            why="CPython compares the name of the DLL",
            remedies=(Remedy("Install the build for this Python."),),
        )
    ]


def so_not_found(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow on Windows says 'not found' whatever the reason; a .so can never be loaded there."""
    path = said.object
    absolute = in_packages(path) or bool(package_of(path)) or re.match(r"[A-Za-z]:\\", path) is not None
    if "\\" not in path and setting.system != "windows":
        return [
            Cause(
                code="TFG110",
                message=f"{name(said)} does not exist at the path it is opened by",
                why="the message says so",
                decides=("whether it exists", f"ls -l {path}"),
                remedies=(Remedy("Build it, or give the path where it lies."),),
            )
        ]
    absent = Cause(
        code="TFG110",
        message=f"{name(said)} does not exist at the path it is opened by, or was never built",
        why="the path is relative; TensorFlow on Windows says 'not found' whatever fails",
        decides=("whether it exists", f'dir "{path}"'),
        remedies=(
            Remedy("Build the op for Windows (a DLL), and give its absolute path."),
            Remedy("Use Linux or WSL, for which it was written."),
        ),
    )
    return [_op_of_another_system(said), absent] if absolute else [absent, _op_of_another_system(said)]


def _op_of_another_system(said: Said) -> Cause:
    return Cause(
        code="TFG855",
        message=f"{name(said)} is an op library for Linux, which Windows cannot load",
        why="TensorFlow on Windows says 'not found' of every file that LoadLibrary refuses, also of one that exists",
        decides=("whether it exists", f'dir "{said.object or said.library}"'),
        remedies=(
            Remedy("Use it under WSL 2 or Linux."),
            Remedy("Build the op for Windows, where its sources allow it."),
        ),
        vain="installing it again on Windows, where the package has no build",
    )


def plugin_not_found(said: Said, setting: Setting) -> list[Cause]:
    """NotFoundError about a DLL: a plugin's, or an op's."""
    if is_plugin(said.object):
        return [
            plugin(
                said.object,
                "Windows says 'not found' where a DLL that it needs, or a function of it, is not there: another"
                " TensorFlow",
            )
        ]
    return [_not_found(said, certain=False)]
