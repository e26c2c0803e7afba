"""Causes about what NVIDIA's driver and toolkit bring, and about plugins that every import loads."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, quoted
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy
from tfguard.rules.packages import nvidia_package

DRIVER = re.compile(r"lib(cuda|nvidia-[a-z]+|nvcuvid|nvidia-encode)\.(so|dylib)")


TOOLKIT = re.compile(
    r"(lib)?(cudart|cublas|cublasLt|cudnn\w*|cufft|cufftw|curand|cusolver\w*|cusparse\w*|nccl|cupti|nvrtc\w*"
    r"|nvJitLink|nvToolsExt"
    r"|nvinfer\w*|cudadevrt|npp\w+)[-._]?\d*[-._]",
    re.IGNORECASE,
)


def driver_missing(library: str) -> Cause:
    """libcuda.so.1 and its kin: the driver is not there, or not in this container."""
    return Cause(
        code="TFG653",
        message=f"{library} is missing: it belongs to the NVIDIA driver, which this machine or container does not have",
        why="no toolkit and no pip package holds this file; the driver brings it, and containers get it from the host",
        decides=("whether the driver answers", "nvidia-smi; ldconfig -p | grep libcuda"),
        remedies=(
            Remedy("In a container, start it with its GPU runtime.", "docker run --gpus all IMAGE"),
            Remedy("On a cluster, run on a node that has a GPU; elsewhere, install the NVIDIA driver."),
            Remedy("Without a GPU, use the build for the CPU.", "python -m pip install tensorflow-cpu"),
        ),
        vain="installing the CUDA toolkit, or linking to the stub of libcuda that it brings",
    )


def cuda_missing(library: str) -> Cause:
    """A library of the toolkit or cuDNN, of that very major version, is not found."""
    package = nvidia_package(library)
    install = (
        (Remedy("Install NVIDIA's own package of it.", f"python -m pip install {package[0]}"),)
        if package is not None
        else ()
    )
    return Cause(
        code="TFG205",
        message=f"{library}, a library of CUDA, is not found by the loader",
        why="the name is that of NVIDIA's toolkit; its number is the version that was built against",
        decides=(
            "whether it is on this machine, and on the loader's path",
            f"ldconfig -p | grep {quoted(stem(library))}; echo $LD_LIBRARY_PATH",
        ),
        remedies=(
            *install,
            Remedy(
                "Install the CUDA and cuDNN versions that this build wants; where they are installed, start Python with"
                " their folder.",
                "LD_LIBRARY_PATH=/usr/local/cuda/lib64 python your_script.py",
            ),
            Remedy("Without a GPU, use the build for the CPU."),
        ),
        vain="a link of that name to another major version; PATH and CUDA_HOME, which the loader does not read;"
        " LD_LIBRARY_PATH in os.environ",
    )


def cuda_words(said: Said, setting: Setting) -> list[Cause]:
    """A package that opens NVIDIA's libraries itself says which one it could not open, and not why."""
    name = said.object or said.library
    missing = cuda_missing(f"lib{name.lower()}")
    if name.lower() not in ("cusparse", "cusolver"):
        return [missing]
    other = Cause(
        code="TFG505",
        message=f"{name} cannot be loaded: most often an older libnvJitLink is found before the one that belongs to it",
        why="since CUDA 12 it needs libnvJitLink of its own release, and LD_LIBRARY_PATH comes before its run path",
        decides=("which copy is found", "echo $LD_LIBRARY_PATH; ldconfig -p | grep nvJitLink"),
        remedies=(
            Remedy("Start without that folder.", "env -u LD_LIBRARY_PATH python your_script.py"),
            Remedy(
                "Bring NVIDIA's packages to the versions that the package asks for.",
                "python -m pip install --upgrade nvidia-nvjitlink-cu12",
            ),
        ),
        vain="a new environment: the other copy lies outside of it",
    )
    return [other, missing]


def stem(library: str) -> str:
    return library.partition(".so")[0] or library


def plugin(path: str, why: str) -> Cause:
    """A file in site-packages/tensorflow-plugins, loaded by every import, does not fit."""
    return Cause(
        code="TFG415",
        message=f"a plugin of another TensorFlow is loaded on every import: {name_of_plugin(path)}",
        why=why,
        decides=(
            "what lies in that folder",
            "ls $(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/tensorflow-plugins",
        ),
        remedies=(
            Remedy(
                "Uninstall the plugin's package, or install the release made for this TensorFlow.",
                "python -m pip list | grep -Ei 'plugin|metal|directml|intel-extension|rocm'",
            ),
            Remedy("Delete what is left of it in site-packages/tensorflow-plugins."),
        ),
        vain="installing TensorFlow again: the plugin's file stays",
    )


def name_of_plugin(path: str) -> str:
    """The file name, or a word for it."""
    return os.path.basename(path.replace("\\", "/")) or "a file in tensorflow-plugins"
