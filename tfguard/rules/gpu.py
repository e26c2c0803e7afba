"""Rules about why TensorFlow will see no GPU: it says so in a log line at most, and goes on with the processor."""

from __future__ import annotations

import os
import re
import shlex

from tfguard.case import Case
from tfguard.evidence.gpu_stack import GpuLibrary, GpuStack
from tfguard.finding import Remedy
from tfguard.rules.gpu_driver import IN_DOCKER, gpu_driver_missing, lacks_devices, machine_rows
from tfguard.rules.pip import pip
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import Rows, base, with_library_path, without

# NVIDIA, "CUDA Compatibility": the oldest Linux driver that runs programs of a CUDA major version.
_OLDEST_DRIVER = {"12": "525.60.13", "11": "450.80.02"}


def _name(case: Case) -> str:
    return f"TensorFlow {case.framework}" if case.framework else "TensorFlow"


def _wants(gpu: GpuStack) -> Rows:
    cudnn = f", cuDNN {gpu.build.cudnn}" if gpu.build.cudnn else ""
    return (("built for", f"CUDA {gpu.build.cuda}{cudnn}"),) if gpu.build.cuda else ()


@rule("TFG658", "This machine has no NVIDIA GPU")
def no_gpu(case: Case) -> Verdict | None:
    """Neither a card nor a driver by NVIDIA is to be seen: TensorFlow will use the processor.

    There is nothing to mend. The lines that TensorFlow logs about libcudart and cuInit on such a machine are harmless.
    In a container the host's cards are seen by the kernel's files, so that none is seen means that the host has none.
    """
    gpu = case.gpu
    if gpu is None or gpu.has_gpu:
        return None
    return Verdict(message="this machine has no NVIDIA GPU, TensorFlow will use the processor", severity="note")


@rule("TFG650", "This TensorFlow was built without GPUs")
def built_without_gpu(case: Case) -> Verdict | None:
    """The installed TensorFlow is a build for the processor only, and this machine has an NVIDIA GPU.

    tensorflow-cpu never has GPU support, and the builds for Windows (since 2.11) and macOS have none either. The
    build's own build_info.py says which it is.
    """
    gpu = case.gpu
    if gpu is None or gpu.build.is_cuda or not gpu.has_gpu:
        return None
    release = f"=={case.version}" if case.version else ""
    swap = f"{pip(case)} uninstall --yes {case.distribution or 'tensorflow-cpu'}\n"
    swap += f"{pip(case)} install 'tensorflow[and-cuda]{release}'"
    return Verdict(
        message=f"{case.distribution or 'this TensorFlow'} is built without GPU support, and there is an NVIDIA GPU",
        evidence=(("build_info", "is_cuda_build is False"), *machine_rows(gpu)),
        remedies=(Remedy("Install the build for GPUs in its place.", swap),),
        severity="warning",
    )


@rule("TFG655", "The container was started without its GPU")
def container_without_gpu(case: Case) -> Verdict | None:
    """The machine has an NVIDIA GPU, and this container was not given it.

    A container shares the kernel of its host, and so sees cards and driver under /proc and /sys. The device files and
    libcuda.so.1 are put into it by NVIDIA's container runtime, when the container is started with a request for GPUs.
    Installing a driver inside the container does not help.
    """
    gpu = case.gpu
    if gpu is None or not gpu.build.is_cuda or not lacks_devices(gpu):
        return None
    start = {"Podman": "podman run --device nvidia.com/gpu=all IMAGE"}.get(gpu.container, IN_DOCKER)
    remedies = (Remedy("Start it with its GPUs (the host needs the NVIDIA Container Toolkit).", start),)
    if gpu.container == "Kubernetes":
        remedies = (Remedy("Ask for one in the pod's resources, limits: nvidia.com/gpu: 1."),)
    return Verdict(
        message="this container was started without access to the machine's GPU",
        evidence=machine_rows(gpu),
        remedies=remedies,
        severity="warning",
    )


@rule("TFG654", "A stub stands in place of the driver's library")
def driver_stub(case: Case) -> Verdict | None:
    """The loader comes to the CUDA toolkit's stub of libcuda.so.1 before the driver's own.

    The toolkit has it in a folder called stubs, for linking on machines without a GPU. Each of its functions returns an
    error. The folder belongs on the linker's path (-L), never on LD_LIBRARY_PATH.
    """
    library = case.gpu.driver_library if case.gpu is not None else None
    if library is None or library.found is None or "/stubs/" not in library.found:
        return None
    return Verdict(
        message="libcuda.so.1 is the CUDA toolkit's stub, not the driver's library",
        path=library.found,
        evidence=(("file", library.found), ("found by", library.step.replace("ld_library_path", "LD_LIBRARY_PATH"))),
        remedies=(
            Remedy(
                f"Leave {os.path.dirname(library.found)} out of LD_LIBRARY_PATH.",
                without(case, os.path.dirname(library.found)),
            ),
        ),
        severity="warning",
    )


@rule("TFG656", "The driver is too old for this CUDA")
def driver_too_old(case: Case) -> Verdict | None:
    """The kernel's driver is older than the oldest one that runs programs of the CUDA that TensorFlow was built for.

    CUDA 12 needs 525.60.13 and CUDA 11 needs 450.80.02 at least, on Linux. NVIDIA's compatibility packages let some
    data centre cards do with less.
    """
    gpu = case.gpu
    if gpu is None or not gpu.build.is_cuda or not gpu.driver:
        return None
    oldest = _OLDEST_DRIVER.get(gpu.build.cuda.partition(".")[0])
    if oldest is None or _numbers(gpu.driver) >= _numbers(oldest):
        return None
    return Verdict(
        message=f"the NVIDIA driver {gpu.driver} is too old for CUDA {gpu.build.cuda}, which needs {oldest} or later",
        evidence=(*_wants(gpu), ("have", f"driver {gpu.driver}"), ("need", f"{oldest} or later")),
        remedies=(
            Remedy("Install a newer driver, on the host where this is a container."),
            Remedy("Install a TensorFlow that was built for an older CUDA (2.13 and before: CUDA 11)."),
        ),
        severity="warning",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version))


@rule("TFG659", "CUDA_VISIBLE_DEVICES hides every GPU")
def gpus_hidden(case: Case) -> Verdict | None:
    """CUDA_VISIBLE_DEVICES is set to nothing or to -1, and so no program of CUDA sees a GPU.

    It is read by the driver's library when it starts. People set it to keep TensorFlow off a GPU, and it stays in a
    profile or a notebook.
    """
    gpu = case.gpu
    if gpu is None or not gpu.build.is_cuda or not gpu.has_gpu or gpu.hidden is None:
        return None
    return Verdict(
        message=f'CUDA_VISIBLE_DEVICES="{gpu.hidden}" hides every GPU from this process',
        evidence=machine_rows(gpu),
        remedies=(Remedy("Start Python without it.", "env -u CUDA_VISIBLE_DEVICES python your_script.py"),),
        severity="warning",
    )


@rule("TFG651", "GPU libraries are not found")
def gpu_library_missing(case: Case) -> Verdict | None:
    """TensorFlow opens CUDA's libraries by name when it looks for GPUs, and some are not found.

    With one missing it registers no GPU at all, says "Cannot dlopen some GPU libraries" and goes on with the processor;
    the name of the library is logged with TF_CPP_MAX_VLOG_LEVEL=1 only. They are searched for from the code of
    libtensorflow_framework, by its RUNPATH. In the 2.21.0 wheel that leaves out nvidia/cusolver/lib, which only
    libtensorflow_cc names: there libcusolver.so.11 is not found although pip installed it.
    """
    gpu = case.gpu
    missing = [one for one in gpu.libraries if one.missing] if gpu is not None else []
    if gpu is None or not missing:
        return None
    there = [one for one in missing if one.others]
    gone = [one for one in missing if not one.others]
    rows = [("missing" if not i else "", _line(one)) for i, one in enumerate(missing)]
    remedies = []
    if gone and case.distribution is not None:
        name = case.distribution if case.distribution != "tensorflow-cpu" else "tensorflow"
        command = f"{pip(case)} install {shlex.quote(f'{name}[and-cuda]=={case.version}')}"
        if gpu.build.cuda.startswith("12"):
            remedies.append(Remedy("Install NVIDIA's packages that this release asks for.", command))
        else:
            remedies.append(Remedy(f"Install CUDA {gpu.build.cuda} and cuDNN {gpu.build.cudnn}."))
    if there:
        folders = ":".join(dict.fromkeys(os.path.dirname(one.others[0]) for one in there))
        remedies.append(Remedy("Start Python with their folders on the search path.", with_library_path(case, folders)))
    number = len(gpu.libraries)
    names = list(dict.fromkeys(one.missing for one in missing))
    subject = " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} other GPU libraries"
    where = "not found" if gone else "where TensorFlow does not look"
    return Verdict(
        message=f"{subject} {'is' if len(names) == 1 else 'are'} {where}: {_name(case)} will use no GPU",
        evidence=(*_wants(gpu), ("found", f"{number - len(missing)} of the {number} libraries that it opens"), *rows),
        remedies=tuple(reversed(remedies)) if there and not gone else tuple(remedies),
        severity="warning",
    )


def _line(library: GpuLibrary) -> str:
    needed = f", needed by {base(library.needed_by)}" if library.needed_by else ""
    return f"{library.missing}{needed}: {f'is at {library.others[0]}' if library.others else 'on no path known here'}"


@rule("TFG652", "LD_LIBRARY_PATH puts another CUDA before the one installed with pip")
def gpu_library_overridden(case: Case) -> Verdict | None:
    """A library of CUDA or cuDNN is taken from LD_LIBRARY_PATH, and NVIDIA's packages beside TensorFlow have it too.

    LD_LIBRARY_PATH goes before the RUNPATH of TensorFlow. The copies may be of another release; with cuDNN that ends in
    "Loaded runtime CuDNN library: 9.1.0 but source was compiled with: 9.3.0", or in symbols that are not defined.
    """
    gpu = case.gpu
    taken = [one for one in gpu.libraries if one.step == "ld_library_path" and one.found] if gpu is not None else []
    overridden = [one for one in taken if one.others]
    if not overridden:
        return None
    rows: list[tuple[str, str]] = []
    for one in overridden:
        rows += [(one.name, f"{one.found} (by LD_LIBRARY_PATH)"), ("", f"{one.others[0]} (of the package)")]
    folders = tuple(dict.fromkeys(os.path.dirname(one.found or "") for one in overridden))
    names = ", ".join(one.name for one in overridden)
    return Verdict(
        message=f"LD_LIBRARY_PATH gives another {names} than the one installed for TensorFlow",
        path=overridden[0].found,
        evidence=tuple(rows),
        remedies=(Remedy(f"Leave {' and '.join(folders)} out of LD_LIBRARY_PATH.", without(case, *folders)),),
        severity="warning",
    )


@rule("TFG657", "Parts of different cuDNN meet")
def several_cudnn(case: Case) -> Verdict | None:
    """libcudnn.so and the parts that it opens come from different folders.

    cuDNN is cut into several libraries, which it opens by name. All must be of one release: where another one is found
    first, by LD_LIBRARY_PATH or in the process already, cuDNN ends the program or refuses with
    CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH.
    """
    gpu = case.gpu
    parts = gpu.cudnn_parts if gpu is not None else ()
    if len({folder for _, folder in parts}) < 2:
        return None
    main, others = parts[0], [one for one in parts[1:] if one[1] != parts[0][1]]
    remedies = [
        Remedy(
            "Start Python with the folder of one of them first on the search path.", with_library_path(case, main[1])
        )
    ]
    if case.host.library_path:
        folders = tuple(dict.fromkeys(folder for _, folder in others))
        remedies.insert(0, Remedy("Leave the other one out of LD_LIBRARY_PATH.", without(case, *folders)))
    return Verdict(
        message=f"{main[0]} and {others[0][0]} come from different folders",
        path=main[1],
        evidence=tuple((name, folder) for name, folder in parts),
        remedies=tuple(remedies),
        severity="warning",
    )


RULES = (
    no_gpu,
    built_without_gpu,
    container_without_gpu,
    gpu_driver_missing,
    driver_stub,
    driver_too_old,
    gpus_hidden,
    gpu_library_missing,
    gpu_library_overridden,
    several_cudnn,
)
