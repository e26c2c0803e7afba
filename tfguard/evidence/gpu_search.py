"""Plays how TensorFlow opens the GPU libraries at run time, and gathers where each would come from."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from tfguard.evidence import whereabouts
from tfguard.evidence.gpu_stack import GpuLibrary, GpuStack
from tfguard.installed.installation import FRAMEWORK, Package
from tfguard.loader.process import Process
from tfguard.loader.trace import Trace

_DRIVER = "libcuda.so.1"
# What cuDNN 9 and 8 open when they are first used, by names that follow the major version.
_PARTS = {"9": ("graph", "ops", "cnn", "adv"), "8": ("ops_infer", "cnn_infer", "adv_infer")}


def search_gpu_libraries(process: Process, package: Package, stack: GpuStack) -> tuple[GpuStack, tuple[Trace, ...]]:
    """The stack with its libraries looked for, and the story of each load.

    They are opened from the code of TensorFlow's framework (dlopen with a bare name, RTLD_NOW | RTLD_LOCAL), so its
    RUNPATH counts and that of libtensorflow_cc does not.
    """
    caller = next((one for one in process.links if FRAMEWORK in os.path.basename(one.path)), None)
    traces = [process.dlopen(name, caller=caller) for name in (_DRIVER, *stack.build.libraries)]
    found = tuple(_told(trace, process, package) for trace in traces)
    driver, libraries = found[0], found[1:]
    return stack._replace(
        driver_library=driver,
        libraries=libraries,
        cudnn_parts=tuple(_cudnn_parts(process, stack.build.cudnn)),
    ), tuple(traces)


def _told(trace: Trace, process: Process, package: Package) -> GpuLibrary:
    name, failure = trace.target, trace.failure
    step = trace.lookups[0].step if trace.lookups else ""
    wheel = _of_wheel(name, package)
    if failure is None:
        taken = trace.lookups[0].found if trace.lookups else name
        hidden = bool(wheel) and not _same(wheel, taken)
        return GpuLibrary(name, taken, step, others=(wheel,) if hidden else (), of_wheel=wheel)
    if failure.kind != "missing":
        return GpuLibrary(name, None, step, needed_by=failure.requirer or "", of_wheel=wheel, refused=failure.path)
    missing = failure.name
    others = tuple(one.path for one in whereabouts.elsewhere(failure, process) if one.exact and one.usable)
    wheel = _of_wheel(missing, package)
    others = tuple(dict.fromkeys((*((wheel,) if wheel else ()), *others)))
    return GpuLibrary(
        name, None, missing=missing, needed_by=failure.requirer or "" if missing != name else "", others=others,
        of_wheel=wheel,
    )  # fmt: skip


def _of_wheel(name: str, package: Package) -> str:
    """The file of that name in NVIDIA's packages beside TensorFlow."""
    site = os.path.dirname(package.directory or "")
    return next(iter(sorted(glob.glob(f"{glob.escape(site)}/nvidia/*/lib/{glob.escape(name)}"))), "")


def _same(one: str, other: str | None) -> bool:
    try:
        return other is not None and os.path.samefile(one, other)
    except OSError:
        return False


def _cudnn_parts(process: Process, version: str) -> Iterator[tuple[str, str]]:
    """(name, folder) of cuDNN and of each of its parts, as cuDNN itself would find it."""
    major = version.partition(".")[0]
    main = process.loaded_as(f"libcudnn.so.{major}")
    if main is None:
        return
    yield f"libcudnn.so.{major}", os.path.dirname(os.path.realpath(main.path))
    for part in _PARTS.get(major, ()):
        name = f"libcudnn_{part}.so.{major}"
        trace = process.dlopen(name, caller=main, symbols=False)
        found = trace.lookups[0].found if trace.lookups and trace.failure is None else None
        if found is not None:
            yield name, os.path.dirname(os.path.realpath(found))
