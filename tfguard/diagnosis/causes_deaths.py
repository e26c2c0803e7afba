"""Causes behind the death of a process, as shells and logs tell of it."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, name
from tfguard.diagnosis.causes_processor import PROBE, emulated_processor
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy


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


# Packages with native code and libraries of their own, which have been seen to crash beside TensorFlow.
_NATIVE = frozenset(
    "torch torchvision torchaudio root cv2 zmq ray jax jaxlib pyarrow mxnet cupy faiss rdkit open3d caffe caffe2 dlib"
    " paddle onnxruntime xgboost lightgbm sklearn scipy gi pyqt5 pyside2 vtk ortools pyspark pyroot gdal osgeo".split()
)


_ORDER = re.compile(
    r"import order|order of (?:the )?imports?"
    r"|import(?:ed|ing|s)? (?:\w{1,20} )?(?:is )?(?:\w{1,20} )?(?:first|before|after)\b"
)


def _both(setting: Setting) -> bool:
    """Whether two packages with native code are in the text: torch and TensorFlow, or two that it imports."""
    if _ORDER.search(setting.whole):
        return True
    if setting.mentions("torch") and setting.mentions("tensorflow", "keras", "import tf"):
        return True
    imported = {one for one in setting.imports if one in _NATIVE}
    ours = any(one in ("tensorflow", "keras") for one in setting.imports)
    return bool(imported) and len(imported) + ours > 1 and not setting.op_load


def conflict(why: str) -> Cause:
    """Two packages in one process."""
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
        conflict(
            f"'{said.detail}' on import means that memory is given back by another copy of a library than gave it"
        ),
        crash(said, setting, "an op built by another compiler damages memory as well"),
    ]


def random_device(said: Said, setting: Setting) -> list[Cause]:
    """Another libstdc++'s code is used."""
    return [conflict("TensorFlow, loaded first, changes which copy of libstdc++'s code torch gets")]


def segfault(said: Said, setting: Setting) -> list[Cause]:
    """SIGSEGV."""
    if setting.emulated and not _both(setting):
        return [emulator(said, setting)[0], crash(said, setting, "a signal without words")]
    if _both(setting):
        return [
            conflict("both packages are in the text, and the process died without words"),
            crash(said, setting, "a signal without words"),
        ]
    return [
        crash(said, setting, "a signal without words: no loader and no library refused anything"),
        conflict("a second package with its own copies of libraries may be in the process"),
    ]


def crash(said: Said, setting: Setting, why: str) -> Cause:
    """Native code has died."""
    return Cause(
        code="TFG751",
        message="native code has crashed: mostly an op or library built by another compiler or for another release",
        why=why,
        decides=("the library in which it died", f"{PROBE}; python -X faulthandler your_script.py"),
        remedies=(
            Remedy("Load it in a child that tells where it dies.", "python -m tfguard check --probe FILE_OR_PACKAGE"),
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
        crash(
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
            decides=("the message", f"{PROBE}; python -X faulthandler your_script.py 2>&1 | tail -50"),
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
                    f"{PROBE}; python -X faulthandler -c 'import faulthandler; faulthandler.dump_traceback_later(30);"
                    f" import tensorflow'"
                ),
            ),
            remedies=(
                Remedy("Load it in a child that tells where it stands.", "python -m tfguard check --probe tensorflow"),
            ),
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
            remedies=(Remedy("Run the same in a terminal: that shows the signal and the words.", PROBE),),
        )
    ]
