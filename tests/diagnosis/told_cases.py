"""For each cause that only a text tells: a text, whose whole finding is kept as a golden text."""

from __future__ import annotations

from pathlib import Path

from tfguard.diagnosis.post_mortem import diagnose
from tfguard.telling.render import finding_text

FOLDER = Path(__file__).with_name("golden")

TEXTS: dict[str, str] = {
    "TFG418": "ModuleNotFoundError: No module named 'tensorflow.python.tools'; 'tensorflow.python' is not a package",
    "TFG507": "ImportError: dynamic module does not define module export function (PyInit_roi_pooling)",
    "TFG508": (
        "tensorflow.python.framework.errors_impl.NotFoundError: ./roi_pooling.so: undefined symbol: "
        "_ZN10tensorflow14kernel_factory17OpKernelRegistrar12InitInternalEPKNS_9KernelDefESt17basic_string_viewIcSt11"
        "char_traitsIcEESt10unique_ptrINS0_15OpKernelFactoryESt14default_deleteIS9_EE"
    ),
    "TFG702": (
        ">>> import torch\n>>> import tensorflow\n"
        "*** Error in `python3': free(): invalid pointer: 0x00007f28329efac0 ***"
    ),
    "TFG704": (
        "[libprotobuf ERROR google/protobuf/descriptor_database.cc:641] File already exists in database:"
        " roi/boxes.proto\n"
        "[libprotobuf FATAL google/protobuf/descriptor.cc:2021] CHECK failed: GeneratedDatabase()->Add(encoded,"
        " size):\n"
        "Aborted (core dumped)"
    ),
    "TFG751": ">>> roi_pooling.roi_pooling(features, rois)\nSegmentation fault (core dumped)",
    "TFG752": (
        "F tensorflow/core/lib/monitoring/sampler.cc:42] Check failed: bucket_limits_[i] > bucket_limits_[i - 1] (0"
        " vs. 10)"
        "\nqemu: uncaught target signal 6 (Aborted) - core dumped"
    ),
    "TFG753": (
        "InvalidArgumentError: No OpKernel was registered to support Op 'RoiPooling' used by {{node RoiPooling}}"
        " with these"
        " attrs: [T=DT_HALF]"
    ),
    "TFG754": "NotFoundError: Op type not registered 'RoiPooling' in binary running on host42.",
    "TFG757": "terminate called without an active exception\nAborted (core dumped)",
    "TFG759": (
        'Timeout (0:00:30)!\nThread 0x00007f28329efac0 (most recent call first):\n  File "train.py", line 1 in <module>'
    ),
    "TFG760": "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
    "TFG851": (
        "ImportError: DLL load failed while importing _pywrap_tensorflow_internal: The specified module could not"
        " be found."
    ),
    "TFG852": (
        "ImportError: DLL load failed while importing _pywrap_tensorflow_internal: A dynamic link library (DLL)"
        " initialization routine failed."
    ),
    "TFG853": "OSError: [WinError 193] %1 is not a valid Win32 application",
    "TFG854": "ImportError: DLL load failed while importing _ssl: The specified procedure could not be found.",
    "TFG855": r"NotFoundError: C:\env\lib\site-packages\tensorflow_text\python\metrics\_text_similarity.so not found",
    "TFG856": "ImportError: DLL load failed while importing _pywrap_tfe: An Application Control policy has blocked"
    " this file.",
    "TFG857": "OSError: [WinError 206] The filename or extension is too long",
    "TFG903": "OSError: /opt/ops/roi_pooling.so: cannot stat shared object: Input/output error",
    "TFG905": "TF-TRT Warning: Could not find TensorRT",
    "TFG906": "the cat sat on the mat",
}
# Named by a probe alone, from the bytes of an instruction: tests/diagnosis/test_probe.py has it.
PROBED = ("TFG755",)


def text_of(code: str) -> str:
    """The first finding of a case's text, as a person reads it."""
    return finding_text(diagnose(TEXTS[code], look=False).findings[0]) + "\n"


def main() -> None:
    """Write the golden texts anew: python -m tests.diagnosis.told_cases; read the difference before keeping it."""
    FOLDER.mkdir(exist_ok=True)
    for code in TEXTS:
        (FOLDER / f"{code}.txt").write_text(text_of(code), encoding="ascii")


if __name__ == "__main__":
    main()
