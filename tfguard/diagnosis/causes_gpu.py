"""Causes behind what TensorFlow says of GPUs."""

from __future__ import annotations

from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.causes_nvidia import driver_missing
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy


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
