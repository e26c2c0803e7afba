"""Causes behind what is registered twice or not at all: ops, kernels, .proto files, OpenMP, releases of add-ons."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.causes_requirements import protobuf
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy


def op_twice(said: Said, setting: Setting) -> list[Cause]:
    """The same op, kernel or file system, a second time."""
    return [
        Cause(
            code="TFG703",
            message=f"{said.symbol or said.object or 'an op'} is registered twice in one process",
            why="two libraries bring it (the same file by two paths, a second copy of TensorFlow's core, an add-on"
            " for a TensorFlow that did not have it yet), or one defines it twice",
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
    if re.search(r"(?:not been|not be|is not|seems not).{0,20}(?:loaded|defined)", setting.whole):
        return protobuf(said, setting)  # what it builds on is not there: two releases, not two copies
    return [
        Cause(
            code="TFG704",
            message=f"{said.object or said.symbol or 'a .proto file'} is registered twice in one protobuf",
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
                Remedy("Where the graph was made by a newer TensorFlow, use that release."),
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
                Remedy("Install the TensorFlow it was made for."),
            ),
            severity="error" if said.loader == "horovod" else "warning",
        )
    ]
