"""Causes behind TensorFlow's own messages, and behind the deaths of a process that shells and logs tell of."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, name
from tfguard.diagnosis.causes_elf import driver_missing
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

_PROBE = "python -m tfguard --probe"


# --- the processor


def cpu_feature(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow's own check of the processor."""
    features = said.detail or "AVX"
    first = features.replace(",", " ").split()[0].upper()
    if setting.emulated or (said.kind == "cpu-feature-jax" and (setting.system != "linux" or setting.arm)):
        return [emulated_processor(f"the library asks for {features}, which emulators and Rosetta do not offer")]
    if first in ("AVX2", "FMA", "AVX512F") or first.startswith("AVX512"):
        return [
            _without_avx2(f"the library says that it was compiled to use {features}"),
            _without_avx("the message is the same"),
        ]
    if setting.arm and setting.system == "macos":
        return [emulated_processor(f"the library asks for {features} on an Apple machine")]
    return [
        _without_avx(f"the library says that it was compiled to use {features}"),
        emulated_processor("an x86-64 program on another processor gets the same message"),
    ]


def _without_avx(why: str) -> Cause:
    return Cause(
        code="TFG601",
        message="this processor does not have AVX, which every official TensorFlow since 1.6 is compiled to use",
        why=why,
        decides=("the processor's features", "grep -m1 -o -w avx /proc/cpuinfo || echo none; uname -m"),
        remedies=(
            Remedy("Use another machine (in a virtual machine: pass the host's processor through, as with -cpu host)."),
            Remedy(
                "Use a build made without AVX: conda-forge's, a community wheel, or one's own.",
                "conda install -c conda-forge tensorflow",
            ),
        ),
        vain="installing it again: each official wheel is compiled so",
    )


def emulated_processor(why: str) -> Cause:
    """An x86-64 program on an ARM machine."""
    return Cause(
        code="TFG602",
        message="an x86-64 Python runs on a processor of another kind, under Rosetta or QEMU, which offers no AVX",
        why=why,
        decides=(
            "the true machine, and what Python is",
            (
                "sysctl -n sysctl.proc_translated machdep.cpu.brand_string; python -c 'import platform;"
                " print(platform.machine())'"
            ),
        ),
        remedies=(
            Remedy(
                "Use a Python for the machine's own processor, and install with it.",
                "arch -arm64 python3 -m venv env && env/bin/python -m pip install tensorflow",
            ),
            Remedy("For a container, use an image for arm64.", "docker run --platform linux/arm64 IMAGE"),
        ),
        vain="building from source under Rosetta; --platform linux/amd64",
    )


def _without_avx2(why: str) -> Cause:
    return Cause(
        code="TFG606",
        message="this processor does not have AVX2 or FMA, which this build is compiled to use",
        why=why,
        decides=("the processor's features", "grep -m1 -o -w -E 'avx|avx2|fma' /proc/cpuinfo"),
        remedies=(Remedy("Use a release that needs AVX only (the official wheels), or another machine."),),
    )


def illegal_instruction(said: Said, setting: Setting) -> list[Cause]:
    """SIGILL: the processor does not know an instruction."""
    emulated = emulated_processor("an instruction that the emulator does not know ends the process so")
    avx = _without_avx("an instruction that the processor does not know ends the process so")
    avx2 = _without_avx2("a processor with AVX, and without AVX2, gets the same signal from a build for newer ones")
    zsh = setting.mentions("illegal hardware instruction", "zsh:")
    if setting.emulated or zsh or (setting.system == "macos"):
        return [emulated, avx]
    if setting.arm and not setting.mentions("x86_64"):
        return [
            Cause(
                code="TFG602" if setting.mentions("m1", "apple") else "TFG601",
                message="this processor does not know an instruction of the build",
                why="the build is for a newer ARM processor (ARMv8.2 and later), or for another one",
                decides=("the instruction", _PROBE),
                remedies=(
                    Remedy("Use a build for this processor, or build it here."),
                    Remedy("For OpenBLAS on ARM, name the processor.", "OPENBLAS_CORETYPE=ARMV8 python your_script.py"),
                ),
            )
        ]
    if re.search(r"i[3579]-[23]\d{3}|ivy ?bridge|sandy ?bridge|e5-2\d{3}( v2)?\b|opteron|fx-\d{4}", setting.whole):
        return [avx2, avx]
    return [avx, avx2, emulated]


# --- registered twice


def op_twice(said: Said, setting: Setting) -> list[Cause]:
    """The same op, kernel or file system, a second time."""
    return [
        Cause(
            code="TFG703",
            message=f"{said.symbol or 'an op'} is registered twice in one process",
            why="two libraries bring it: the same file by two paths, a second copy of TensorFlow's core, or an"
            " add-on for a TensorFlow that did not have it yet",
            decides=(
                "the libraries that bring it",
                "python -m tfguard --verbose; grep -E 'tensorflow|\\.so' /proc/PID/maps",
            ),
            remedies=(
                Remedy("Load one of the two only; rename an op of one's own."),
                Remedy("Use the release of the add-on that belongs to this TensorFlow.", "python -m pip check"),
                Remedy("Link to libtensorflow_framework only, never to libtensorflow_cc as well."),
            ),
        )
    ]


def proto_twice(said: Said, setting: Setting) -> list[Cause]:
    """The same .proto file, a second time."""
    return [
        Cause(
            code="TFG704",
            message=f"{said.object or 'a .proto file'} is registered twice in one protobuf",
            why="two libraries in the process carry the same generated code and share one protobuf",
            decides=(
                "the libraries that carry it",
                f"grep -l {os.path.basename(said.object) or 'NAME.proto'} $(grep -o '/.*[.]so.*' /proc/PID/maps)",
            ),
            remedies=(
                Remedy("Keep one copy in a process: do not load libtensorflow_cc beside the Python package."),
                Remedy("Link an op to libtensorflow_framework only, without TensorFlow's own protos and kernels."),
                Remedy("Take both packages from pip: their wheels keep protobuf to themselves."),
            ),
        )
    ]


def openmp_twice(said: Said, setting: Setting) -> list[Cause]:
    """Two OpenMP runtimes."""
    pair = f": {said.object} and {said.library}" if said.object and said.library else ""
    return [
        Cause(
            code="TFG701",
            message=f"two OpenMP runtimes are in one process{pair}",
            why="two packages bring one each (conda's MKL, torch, scikit-learn, ctranslate2 ...)",
            decides=("the copies", "find $CONDA_PREFIX -name 'lib*omp*' 2>/dev/null; python -m pip list"),
            remedies=(
                Remedy("Take the packages from one source, so that they share a runtime.", "conda install nomkl"),
                Remedy("Remove the copy that is not needed."),
            ),
            vain="KMP_DUPLICATE_LIB_OK=TRUE: results may be wrong, and crashes come later",
        )
    ]


# --- at run time


def no_kernel(said: Said, setting: Setting) -> list[Cause]:
    """An op without a kernel for the device."""
    return [
        Cause(
            code="TFG753",
            message=f"the op {said.symbol or 'asked for'} has no kernel for"
            f" {said.detail.strip(chr(39)) or 'that device'} in this build",
            why="the op is known, its code for that device or type is not: a CPU build, or a type that it does not"
            " support",
            decides=("the devices", 'python -c "import tensorflow as tf; print(tf.config.list_physical_devices())"'),
            remedies=(Remedy("Use a build for that device, or place the op on the CPU (soft device placement)."),),
        )
    ]


def no_op(said: Said, setting: Setting) -> list[Cause]:
    """An op that nobody has registered."""
    return [
        Cause(
            code="TFG754",
            message=f"the op {said.symbol} is not registered: the library that brings it was not loaded",
            why="graphs name ops of tensorflow-text, TFDF and others, which are there only after the import of the"
            " package",
            remedies=(
                Remedy(
                    "Import the package that has it before the graph is loaded.", "python -c 'import tensorflow_text'"
                ),
                Remedy("Or the graph was made by a newer TensorFlow: use that release."),
            ),
        )
    ]


def emulator(said: Said, setting: Setting) -> list[Cause]:
    """QEMU reports a death, or computes wrongly."""
    signal = said.errno
    if signal == "4":
        return [emulated_processor("QEMU reports signal 4, an illegal instruction")]
    return [
        Cause(
            code="TFG752",
            message="the program runs under QEMU, which computes something wrongly, and it has ended itself",
            why="QEMU itself reports the signal"
            if said.object
            else "no true processor fails this check: the emulated one computes it wrongly",
            decides=(
                "the image's platform and the machine's",
                "docker image inspect IMAGE | grep Architecture; uname -m",
            ),
            remedies=(
                Remedy("Use an image for the machine's own processor.", "docker run --platform linux/arm64 IMAGE"),
            ),
        )
    ]


# --- GPU


def gpu_soft(said: Said, setting: Setting) -> list[Cause]:
    """A library for GPUs is missing, and TensorFlow goes on without."""
    library = said.library
    if library.startswith(("libcuda.", "libnvidia-")):
        return [driver_missing(library)]
    optional = library.startswith("libnvinfer")
    shown = library or "a library for GPUs"
    return [
        Cause(
            code="TFG651",
            message=f"{shown} is not found: TensorFlow goes on with the CPU"
            if not optional
            else f"{shown} (TensorRT) is not found, which TensorFlow can do without",
            why="TensorFlow opens the GPU libraries when it starts, and takes it calmly where one is missing",
            decides=(
                "whether a GPU is wanted here, and where the file is",
                f"nvidia-smi; ldconfig -p | grep {library.partition('.')[0] or 'cudart'}",
            ),
            remedies=(
                Remedy("Without a GPU there is nothing to do."),
                Remedy(
                    "Install the CUDA that this TensorFlow release wants.",
                    "python -m pip install 'tensorflow[and-cuda]'",
                ),
                Remedy(
                    "Where it is installed, start Python with its folder.",
                    "LD_LIBRARY_PATH=/usr/local/cuda/lib64 python your_script.py",
                ),
            ),
            vain="a link of that name to another major version; PATH, which the loader does not read",
            severity="warning",
        )
    ]


def gpu_driver(said: Said, setting: Setting) -> list[Cause]:
    """No driver in this machine or container."""
    return [driver_missing("the NVIDIA driver's libcuda.so.1")]


def gpu_driver_old(said: Said, setting: Setting) -> list[Cause]:
    """Driver and runtime, or driver and its own library, do not fit."""
    have = f" (driver {said.have}, library {said.need})" if said.have else ""
    return [
        Cause(
            code="TFG656",
            message=f"the NVIDIA driver does not fit the CUDA libraries{have}",
            why="the driver is older than the toolkit asks for, or was updated without a restart",
            decides=("the driver", "nvidia-smi; cat /proc/driver/nvidia/version"),
            remedies=(
                Remedy("Update the driver, and start the machine again."),
                Remedy("Use a build for an older CUDA."),
            ),
        )
    ]


def gpu_none(said: Said, setting: Setting) -> list[Cause]:
    """cuInit finds no device."""
    return [
        Cause(
            code="TFG658",
            message="no GPU is visible to this process, TensorFlow uses the CPU",
            why=f"cuInit said: {said.detail or 'no device'}",
            decides=("the devices", "nvidia-smi; echo $CUDA_VISIBLE_DEVICES"),
            remedies=(
                Remedy(
                    "Without a GPU there is nothing to do; with one, look at CUDA_VISIBLE_DEVICES and the"
                    " container's GPU runtime.",
                    "docker run --gpus all IMAGE",
                ),
            ),
            severity="warning",
        )
    ]


def cudnn_several(said: Said, setting: Setting) -> list[Cause]:
    """Another cuDNN is loaded than was built for."""
    return [
        Cause(
            code="TFG657",
            message=f"another cuDNN is loaded ({said.have}) than this build was made with ({said.need})",
            why="the first copy that the search finds is used",
            decides=("the copies", "ldconfig -p | grep cudnn; echo $LD_LIBRARY_PATH"),
            remedies=(
                Remedy(
                    "Leave the folder of the old copy out of LD_LIBRARY_PATH, or update it.",
                    "python -m pip install --upgrade nvidia-cudnn-cu12",
                ),
            ),
        )
    ]


def addon_version(said: Said, setting: Setting) -> list[Cause]:
    """An add-on says that it is for another TensorFlow."""
    versions = f" (built for {said.need}, installed is {said.have})" if said.need and said.have else ""
    who = {"horovod": "horovod"}.get(said.loader, said.object or "an add-on")
    return [
        Cause(
            code="TFG416",
            message=f"{who} was made for another TensorFlow{versions}",
            why="the package's own check says so",
            decides=("the versions", "python -m pip list | grep -iE 'tensorflow|horovod'"),
            remedies=(
                Remedy(
                    "Build or install it anew for the installed TensorFlow.",
                    f"python -m pip install --force-reinstall --no-cache-dir {who if who == 'horovod' else 'PACKAGE'}",
                ),
                Remedy("Or install the TensorFlow it was made for."),
            ),
            severity="error" if said.loader == "horovod" else "warning",
        )
    ]


# --- deaths


def _both(setting: Setting) -> bool:
    return setting.mentions("torch") and (setting.mentions("tensorflow", "keras", "import tf"))


def _conflict(why: str) -> Cause:
    return Cause(
        code="TFG702",
        message="libraries of two packages (torch and TensorFlow, mostly) do not stand each other in one process",
        why=why,
        decides=(
            "whether the other order of imports goes well",
            "python -c 'import tensorflow, torch'; python -c 'import torch, tensorflow'",
        ),
        remedies=(
            Remedy("Import them in the other order; bring both up to date."),
            Remedy("Use them in two processes."),
        ),
    )


def heap(said: Said, setting: Setting) -> list[Cause]:
    """The C library finds its heap damaged."""
    return [
        _conflict(
            f"'{said.detail}' on import means that memory is given back by another copy of a library than gave it"
        ),
        _crash(said, setting, "an op built by another compiler damages memory as well"),
    ]


def random_device(said: Said, setting: Setting) -> list[Cause]:
    """Another libstdc++'s code is used."""
    return [_conflict("TensorFlow, loaded first, changes which copy of libstdc++'s code torch gets")]


def segfault(said: Said, setting: Setting) -> list[Cause]:
    """SIGSEGV."""
    if setting.emulated and not _both(setting):
        return [emulator(said, setting)[0], _crash(said, setting, "a signal without words")]
    if _both(setting):
        return [
            _conflict("both packages are in the text, and the process died without words"),
            _crash(said, setting, "a signal without words"),
        ]
    return [
        _crash(said, setting, "a signal without words: no loader and no library refused anything"),
        _conflict("a second package with its own copies of libraries may be in the process"),
    ]


def _crash(said: Said, setting: Setting, why: str) -> Cause:
    return Cause(
        code="TFG751",
        message="native code has crashed: mostly an op or library built by another compiler or for another release",
        why=why,
        decides=("the library in which it died", f"{_PROBE}; python -X faulthandler your_script.py"),
        remedies=(
            Remedy("Load it in a child that tells where it dies.", f"{_PROBE} check FILE_OR_PACKAGE"),
            Remedy(
                "Build ops with the compiler of the wheel (tf.version.COMPILER_VERSION) and TensorFlow's own flags."
            ),
        ),
    )


def op_frames(said: Said, setting: Setting) -> list[Cause]:
    """A shape function in the stack."""
    if not setting.mentions("segmentation fault", "sigsegv", "gsignal", "abort", "core dumped", "raise"):
        return []
    return [
        _crash(
            said,
            setting,
            "TensorFlow's shape functions are in the stack: an op's std::function or Status is laid out otherwise"
            " than TensorFlow's",
        )
    ]


def bus_error(said: Said, setting: Setting) -> list[Cause]:
    """SIGBUS."""
    return [
        Cause(
            code="TFG116",
            message="a library is cut off: the process died when it touched what is not there",
            why="SIGBUS on a load means a file that ends before its last segment does",
            decides=("which file", "python -m tfguard"),
            remedies=(
                Remedy(
                    "Install the package again, with room on the disk.",
                    "python -m pip install --force-reinstall --no-cache-dir tensorflow",
                ),
                Remedy("In a container, give it more shared memory.", "docker run --shm-size=2g IMAGE"),
            ),
        )
    ]


def out_of_memory(said: Said, setting: Setting) -> list[Cause]:
    """Nothing left."""
    return [
        Cause(
            code="TFG760",
            message="the process ran out of memory",
            why="the system, the container or the process itself says so",
            decides=("what there is, and the limits", "free -m; ulimit -v; cat /sys/fs/cgroup/memory.max"),
            remedies=(
                Remedy("Give the machine or container more memory, or the process smaller batches and fewer workers."),
            ),
        )
    ]


def killed(said: Said, setting: Setting) -> list[Cause]:
    """SIGKILL."""
    if setting.system == "macos" and setting.arm:
        return [
            Cause(
                code="TFG805",
                message="macOS has killed the process, as it does where a code signature is broken",
                why="SIGKILL without words on Apple silicon",
                decides=("the reason", "log show --last 5m | grep -i codesign"),
                remedies=(Remedy("Sign the edited file.", "codesign --force --sign - FILE"),),
            ),
            *out_of_memory(said, setting),
        ]
    return [*out_of_memory(said, setting)]


def abort(said: Said, setting: Setting) -> list[Cause]:
    """SIGABRT, whose reason stands above it, or nowhere."""
    return [
        Cause(
            code="TFG757",
            message="native code has ended the process (abort), and its reason is not in this text",
            why="abort is called after a message, which stands above this line",
            decides=("the message", f"{_PROBE}; python -X faulthandler your_script.py 2>&1 | tail -50"),
            remedies=(
                Remedy(
                    "Ask again with the twenty lines above it.",
                    "python your_script.py 2>&1 | python -m tfguard diagnose -",
                ),
            ),
        )
    ]


def check_failed(said: Said, setting: Setting) -> list[Cause]:
    """A CHECK of TensorFlow's code."""
    return [
        Cause(
            code="TFG757",
            message=f"a check in native code has failed and ended the process: {said.detail[:120]}",
            why=f"{name(said)} holds the check",
            remedies=(Remedy("Look for the words of the check in the issues of TensorFlow or of the op."),),
        )
    ]


def hang(said: Said, setting: Setting) -> list[Cause]:
    """Nothing happens any more."""
    return [
        Cause(
            code="TFG759",
            message="the import or load does not come to an end",
            why="the text says so",
            decides=(
                "where it stands",
                (
                    f"{_PROBE}; python -X faulthandler -c 'import faulthandler; faulthandler.dump_traceback_later(30);"
                    f" import tensorflow'"
                ),
            ),
            remedies=(Remedy("Load it in a child that tells where it stands.", f"{_PROBE} check tensorflow"),),
        )
    ]


def kernel_died(said: Said, setting: Setting) -> list[Cause]:
    """Jupyter hides how its kernel died."""
    return [
        Cause(
            code="TFG757",
            message="the notebook's kernel has died, and the notebook does not say of what",
            why="a kernel that dies has crashed or was killed; its last words are in the terminal of the server",
            decides=("its last words", "python -c 'import tensorflow'"),
            remedies=(Remedy("Run the same in a terminal: that shows the signal and the words.", _PROBE),),
        )
    ]
