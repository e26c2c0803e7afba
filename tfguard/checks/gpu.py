"""The pass about GPUs, for those who ask for it: why TensorFlow would see none, which no import fails of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tfguard.evidence.gpu_search import search_gpu_libraries
from tfguard.evidence.gpu_stack import look_at_machine, read_build
from tfguard.evidence.investigate import investigate
from tfguard.installed.installation import Package
from tfguard.loader.process import Process
from tfguard.loader.trace import Trace
from tfguard.rules import judge

if TYPE_CHECKING:
    from tfguard.finding import Finding


class GpuCheck(NamedTuple):
    """What the pass found, the loads it played, and what it could not say."""

    findings: tuple[Finding, ...] = ()
    traces: tuple[Trace, ...] = ()
    skipped: tuple[str, ...] = ()


def check_gpu(process: Process, package: Package) -> GpuCheck:
    """Judge the GPU stack in a process in which TensorFlow's import has been played.

    A machine without a GPU gets a note. The libraries are judged like any other, as warnings: the import goes on.
    """
    if package.name != "tensorflow":
        return GpuCheck(skipped=(f"GPUs: nothing is known of how {package.name} looks for them",))
    if not process.host.root.is_here:
        return GpuCheck(skipped=("GPUs: a directory tree shows neither cards nor a driver",))
    build = read_build(package)
    if build is None:
        return GpuCheck(skipped=("GPUs: tensorflow/python/platform/build_info.py does not say what it was built for",))
    stack = look_at_machine(build, process.host.devices_root)
    traces: tuple[Trace, ...] = ()
    skipped: tuple[str, ...] = ()
    if build.is_cuda and stack.has_gpu:
        stack, traces = search_gpu_libraries(process, package, stack)
        if not build.libraries:
            skipped = (f"GPUs: the library names of CUDA {build.cuda or '(unknown)'} are not known",)
    about = Trace(target=package.name, lookups=(), images=())
    case = investigate(process, about, package=package, gpu=stack)
    findings = list(judge(case))
    for trace in traces:
        if trace.failure is not None and trace.failure.kind != "missing":
            findings += judge(investigate(process, trace, package=package, fatal=False))
    return GpuCheck(tuple(findings), traces, skipped)
