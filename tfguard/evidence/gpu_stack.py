"""What there is of a GPU stack, read from files: the build's CUDA, the NVIDIA cards, the driver, a container."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.installed.installation import Package

# PCI vendor NVIDIA; base class 03 is a display controller.
_NVIDIA = "0x10de"
_DISPLAY = "0x03"

# The files that TensorFlow opens by name when it looks for GPUs; one missing and it registers none. 12: seen with the
# 2.21.0 wheel, a stub driver and TF_CPP_MAX_VLOG_LEVEL=1; 11: as the logs of 2.5 to 2.13 name them.
_SONAMES = {
    "12": (
        "libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcufft.so.11", "libcusolver.so.11",
        "libcusparse.so.12",
    ),
    "11": (
        "libcudart.so.11.0", "libcublas.so.11", "libcublasLt.so.11", "libcufft.so.10", "libcusolver.so.11",
        "libcusparse.so.11",
    ),
}  # fmt: skip


class Build(NamedTuple):
    """What TensorFlow was built for: versions as its build_info.py has them, "" where it says nothing of them."""

    is_cuda: bool = False
    cuda: str = ""
    cudnn: str = ""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The names it opens at run time, empty where its CUDA is not one whose names are known."""
        names = _SONAMES.get(self.cuda.partition(".")[0], ())
        major = self.cudnn.partition(".")[0]
        return (*names, f"libcudnn.so.{major}") if names and major.isdigit() else names


class GpuLibrary(NamedTuple):
    """A library opened at run time: the file taken (None where the load fails) and by which step.

    `missing` is the name that is not found, its own or one that it needs, and `needed_by` who needs that. `others` are
    more files of the missing name, or of its own beside the one taken, `of_wheel` the one in NVIDIA's packages from
    PyPI. `refused` is a file that the loader comes to and does not take.
    """

    name: str
    found: str | None
    step: str = ""
    missing: str = ""
    needed_by: str = ""
    others: tuple[str, ...] = ()
    of_wheel: str = ""
    refused: str = ""


class GpuStack(NamedTuple):
    """The facts that decide whether TensorFlow will see a GPU.

    `cards` counts NVIDIA's display controllers on PCI, `devices` are their files below /dev. `driver` is the version of
    the kernel's driver, "" where there is none. `container` is what kind of one this is, `wsl` whether GPUs come
    through Windows. `hidden` is what CUDA_VISIBLE_DEVICES is where it hides all. `driver_library` is libcuda.so.1,
    `libraries` the others, `cudnn_parts` the folders that cuDNN's parts come from.
    """

    build: Build
    cards: int = 0
    devices: tuple[str, ...] = ()
    driver: str = ""
    container: str = ""
    wsl: bool = False
    hidden: str | None = None
    driver_library: GpuLibrary | None = None
    libraries: tuple[GpuLibrary, ...] = ()
    cudnn_parts: tuple[tuple[str, str], ...] = ()

    @property
    def has_gpu(self) -> bool:
        """Whether anything shows that this machine has one."""
        return bool(self.cards or self.devices or self.driver or self.wsl)


def read_build(package: Package) -> Build | None:
    """The build as tensorflow/python/platform/build_info.py tells it; the file is parsed, never run.

    None where it cannot be read, or is not what TensorFlow writes.
    """
    import ast

    path = os.path.join(package.directory or "", "python", "platform", "build_info.py")
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(1 << 16))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            try:
                facts = dict(ast.literal_eval(node.value.args[0]))
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                continue
            if "is_cuda_build" in facts:
                versions = [str(facts.get(name) or "") for name in ("cuda_version", "cudnn_version")]
                return Build(facts["is_cuda_build"] is True, *versions)
    return None


def look_at_machine(build: Build, root: str = "/") -> GpuStack:
    """The cards, the driver and the container, by the kernel's files below `root`."""
    environment = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = _names(os.path.join(root, "dev"))
    return GpuStack(
        build=build,
        cards=_cards(os.path.join(root, "sys/bus/pci/devices")),
        devices=tuple(sorted(name for name in devices if re.fullmatch(r"nvidia\d+", name))),
        driver=_driver(os.path.join(root, "proc/driver/nvidia/version")),
        container=_container(root),
        wsl="dxg" in devices,
        hidden=environment if environment is not None and environment.strip() in ("", "-1") else None,
    )


def _cards(folder: str) -> int:
    return sum(
        _text(os.path.join(folder, name, "vendor")).strip() == _NVIDIA
        and _text(os.path.join(folder, name, "class")).startswith(_DISPLAY)
        for name in _names(folder)
    )


def _driver(path: str) -> str:
    """From "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 ..."."""
    match = re.search(r"\bKernel Module\b.*?\s(\d{2,4}(?:\.\d+){1,2})\b", _text(path))
    return match[1] if match else ""


def _container(root: str) -> str:
    """What kind of container this is, by the marks that its runtime leaves."""
    if os.path.exists(os.path.join(root, ".dockerenv")):
        return "Docker"
    if os.path.exists(os.path.join(root, "run/.containerenv")):
        return "Podman"
    return "Kubernetes" if os.path.isdir(os.path.join(root, "var/run/secrets/kubernetes.io")) else ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("ascii", "replace")
    except OSError:
        return ""
