"""The rule about NVIDIA's driver that is not there: missed by a library, or by TensorFlow when it looks for GPUs."""

from __future__ import annotations

import os
import re

from tfguard.case import Case
from tfguard.evidence.gpu_stack import GpuStack
from tfguard.finding import Remedy
from tfguard.loader.trace import Failure
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    elsewhere_rows,
    loader_row,
    needed_by,
    search_rows,
    usable,
    with_library_path,
)

IN_DOCKER = "docker run --gpus all IMAGE"
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-[a-z]+|nvcuvid|nvidia-encode)\.so")


def machine_rows(gpu: GpuStack) -> Rows:
    """What the kernel shows of cards, driver and container."""
    rows = [("cards", f"{gpu.cards} by NVIDIA on PCI")] if gpu.cards else []
    rows.append(("driver", gpu.driver or ("by Windows (WSL)" if gpu.wsl else "none in the kernel")))
    rows.append(("devices", " ".join(f"/dev/{one}" for one in gpu.devices) or "no /dev/nvidia0"))
    return (*rows, *((("container", gpu.container),) if gpu.container else ()))


def lacks_devices(gpu: GpuStack) -> bool:
    """Whether the machine has a GPU that this container was not given."""
    return bool(gpu.container) and bool(gpu.cards or gpu.driver) and not gpu.devices and not gpu.wsl


@rule("TFG653", "The NVIDIA driver is not there, or only in part")
def gpu_driver_missing(case: Case) -> Verdict | None:
    """A library needs libcuda.so.1 and it is not found, or there is an NVIDIA card and the driver is not whole.

    Both halves come with the driver and must be of one version: a kernel module, which after a kernel update has to be
    built again, and libcuda.so.1 with its kin (libnvidia-*). No package on PyPI and no CUDA toolkit brings them. A
    library that needs it (DT_NEEDED) is refused without it; TensorFlow's own wheels never do, they look for it at run
    time and go on without a GPU.
    """
    if case.failure is not None:
        return _missed_by_a_library(case, case.failure)
    gpu = case.gpu
    if gpu is None or not gpu.build.is_cuda or not gpu.has_gpu or lacks_devices(gpu):
        return None
    library = gpu.driver_library
    if gpu.driver or gpu.wsl:
        if library is None or library.found is not None or library.refused:
            return None
        message = "the driver's libcuda.so.1 is not found"
    elif library is not None and library.found is not None:
        message = "the NVIDIA driver is not loaded in the kernel"
    else:
        message = "there is an NVIDIA GPU, and its driver is not installed"
    remedies = [
        Remedy("Install the driver of your distribution (this is how Ubuntu does it).", "ubuntu-drivers install")
    ]
    if case.installer == "apt-get" and "Debian" in case.system:
        remedies = [Remedy("Install the driver (Debian has it in non-free).", "apt-get install nvidia-driver")]
    if gpu.driver:
        remedies = [Remedy("Install the part of the driver with its libraries, of the kernel module's version.")]
    if library is not None and library.others:
        folder = os.path.dirname(library.others[0])
        remedies.insert(0, Remedy("Start Python with the folder that has it.", with_library_path(case, folder)))
    elif gpu.wsl:
        remedies = [Remedy("Start Python with WSL's folder for it.", with_library_path(case, "/usr/lib/wsl/lib"))]
    have = library.found if library is not None and library.found is not None else "none of that name"
    there = tuple(("there is" if not i else "", one) for i, one in enumerate(library.others)) if library else ()
    return Verdict(
        message=message,
        evidence=(*machine_rows(gpu), ("libcuda.so.1", have), *there),
        remedies=tuple(remedies),
        severity="warning",
    )


def _missed_by_a_library(case: Case, failure: Failure) -> Verdict | None:
    """The toolkit's stub, for linking only, is no place to send anybody to."""
    if failure.kind != "missing" or not _OF_DRIVER.match(failure.name):
        return None
    there = usable(case)
    if there is not None and "/stubs/" not in there.path:
        return None
    return Verdict(
        message=f"{failure.name} is not found: the NVIDIA driver brings it, not CUDA",
        path=failure.requirer or "",
        evidence=(*needed_by(case), *search_rows(case), *elsewhere_rows(case, "exists as"), *loader_row(case)),
        remedies=(
            Remedy("In a container, start it with its GPU runtime (on the host).", IN_DOCKER),
            Remedy("Elsewhere, install the NVIDIA driver: the CUDA toolkit and pip do not bring this file."),
            Remedy("On a machine without an NVIDIA GPU, use a build of this library for the CPU."),
        ),
    )


RULES = (gpu_driver_missing,)
