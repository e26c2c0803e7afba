"""Messages of NVIDIA's driver tools and of containers that should have a GPU."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape


def _nvidia(kind: str, marks: str | tuple[str, ...], pattern: str, *, weight: int = 0) -> Shape:
    return shape(kind, marks, pattern, loader="nvidia", weight=weight)


SHAPES: tuple[Shape, ...] = (
    _nvidia(
        "gpu-driver",
        (
            "communicate with the nvidia driver",
            "could not select device driver",
            "nvidia-container-cli",
            "error running hook",
            "runtime name: nvidia",
            "failed to initialize nvml: ",
        ),
        r"couldn't communicate with the NVIDIA driver|could not select device driver ['\"]{2} with capabilities:"
        r" \[\[gpu"
        r"|nvidia-container-cli: initialization error|error running hook: [^\n]{0,200}nvidia-container"
        r"|[Uu]nknown (?:or invalid )?runtime name: nvidia"
        r"|Failed to initialize NVML: (?!Driver/library version mismatch)",
        weight=1,
    ),
    _nvidia("gpu-driver-old", "nvml: driver/library version mismatch", r"NVML: Driver/library version mismatch"),
    _nvidia(
        "missing-words",
        "could not load library",
        r"Could not load library (?P<object>(?:lib)?cudnn\w{0,40}\.(?:so[\w.]{0,12}|dll))(?!\. ?Error: \S{1,80}:"
        r" cannot open)",
        weight=1,
    ),
    _nvidia(
        "cuda-words",
        ("library was not found", "unable to load cu", "unable to load nccl"),
        r"The (?P<object>cu(?:SPARSE|BLAS|FFT|SOLVER|RAND|DNN|PTI)|NCCL) library was not found"
        r"|Unable to load (?P<library>cu(?:SPARSE|BLAS|FFT|SOLVER|RAND|DNN|PTI)|NCCL)\. Is it installed",
    ),
    _nvidia(
        "no-kernel",
        ("kernel image",),
        r"(?:no kernel image is available for execution on the device|device kernel image is invalid)",
    ),
)
