"""Cases of the rules about GPUs: a TensorFlow of one module, stub libraries, and the kernel's files of a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase

LayOut = Callable[[Scene], Question]

_BUILD = (
    "import collections\n\nbuild_info = collections.OrderedDict([('cpu_compiler', 'clang'), ('cuda_version', {cuda!r}),"
    " ('cudnn_version', '9'), ('is_cuda_build', {gpu}), ('is_rocm_build', False)])\n"
)
_VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc 12\n"
_FOLDERS = {
    "libcudart.so.12": "cuda_runtime",
    "libcublas.so.12": "cublas",
    "libcublasLt.so.12": "cublas",
    "libcufft.so.11": "cufft",
    "libcusolver.so.11": "cusolver",
    "libcusparse.so.12": "cusparse",
    "libcudnn.so.9": "cudnn",
    "libcudnn_graph.so.9": "cudnn",
}
_ALL = frozenset(_FOLDERS)
# What the RUNPATH of the framework in the 2.21.0 wheel leads to.
_ON_RUNPATH = ("cublas", "cuda_runtime", "cudnn", "cufft", "cusparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine with TensorFlow: what of NVIDIA's packages is installed, and what the kernel's files show.

    `extra` are further libraries, by path below the case's folder; `environment` that of the process.
    """

    packages: frozenset[str] = _ALL
    on_runpath: tuple[str, ...] = (*_ON_RUNPATH, "cusolver")
    built_for_gpu: bool = True
    cuda: str = "12.5.1"
    driver: str = "550.54.14"
    cards: int = 1
    devices: int = 1
    libcuda: str = "driver/libcuda.so.1"
    marks: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def lay_out_machine(scene: Scene, machine: Machine) -> None:
    """The files of a machine: packages below site-packages, the kernel's below machine."""
    site = "site-packages/tensorflow"
    scene.write(f"{site}/__init__.py", b"")
    files = ("__init__.py", "python/platform/build_info.py", "libtensorflow_framework.so.2", "python/_pywrap_tfe.so")
    record = "".join(f"tensorflow/{one},,\n" for one in files)
    scene.write("site-packages/tensorflow-2.99.0.dist-info/RECORD", record.encode())
    build = _BUILD.format(cuda=machine.cuda, gpu=machine.built_for_gpu)
    scene.write(f"{site}/python/platform/build_info.py", build.encode())
    runpath = ":".join(f"$ORIGIN/../nvidia/{one}/lib" for one in machine.on_runpath)
    name = "libtensorflow_framework.so.2"
    scene.library(f"{site}/{name}", soname=name, runpath=runpath)
    scene.library(f"{site}/python/_pywrap_tfe.so", needed=(name,), runpath="$ORIGIN/..")
    for library in machine.packages:
        needed = machine.needs.get(library, ())
        scene.library(f"site-packages/nvidia/{_FOLDERS[library]}/lib/{library}", soname=library, needed=needed)
    for path in (*machine.extra, *((machine.libcuda,) if machine.libcuda else ())):
        scene.library(path, soname=path.rpartition("/")[2])
    _lay_out_kernel_files(scene, machine)


def _on(machine: Machine) -> LayOut:
    def lay_out(scene: Scene) -> Question:
        lay_out_machine(scene, machine)
        variables = {key: value.format(scene.root) for key, value in machine.environment.items()}
        if machine.libcuda.startswith("driver/"):  # the real one comes from a folder of the system
            entries = (variables.get("LD_LIBRARY_PATH"), f"{scene.root}/driver")
            variables["LD_LIBRARY_PATH"] = ":".join(one for one in entries if one)
        return Question(
            target="tensorflow",
            door="import",
            gpu=True,
            path=(f"{scene.root}/site-packages",),
            environment=variables,
            host={"devices_root": f"{scene.root}/machine"},
        )

    return lay_out


def _lay_out_kernel_files(scene: Scene, machine: Machine) -> None:
    scene.directory("machine/dev")
    if machine.driver:
        scene.write("machine/proc/driver/nvidia/version", _VERSION.format(machine.driver).encode())
    for number in range(machine.cards):
        folder = f"machine/sys/bus/pci/devices/0000:0{number + 1}:00.0"
        scene.write(f"{folder}/vendor", b"0x10de\n")
        scene.write(f"{folder}/class", b"0x030000\n")
    for number in range(machine.devices):
        scene.write(f"machine/dev/nvidia{number}", b"")
    for mark in machine.marks:
        scene.write(f"machine/{mark}", b"")


_NO_DRIVER = Machine(driver="", devices=0, libcuda="")
_IN_DOCKER = Machine(devices=0, libcuda="", marks=(".dockerenv",))
_OTHER_CUDA = {"LD_LIBRARY_PATH": "{0}/cuda/lib"}

# The text names what lies about on this machine, or how this system installs a driver.
_DIFFERS = frozenset(("TFG651-not-installed", "TFG651-cuda-11", "TFG653", "TFG653-not-loaded"))

CASES = tuple(
    RuleCase(name, _on(machine), warning=name != "TFG658", note=name == "TFG658", compared=name not in _DIFFERS)
    for name, machine in {
        "TFG650": Machine(built_for_gpu=False, cuda=""),
        "TFG651": Machine(on_runpath=_ON_RUNPATH),
        "TFG651-not-installed": Machine(packages=frozenset()),
        "TFG651-needed-by-another": Machine(needs={"libcusparse.so.12": ("libnvJitLink.so.12",)}),
        "TFG651-cuda-11": Machine(packages=frozenset(), cuda="11.8"),
        "TFG652": Machine(extra=("cuda/lib/libcufft.so.11",), environment=_OTHER_CUDA),
        "TFG653": _NO_DRIVER,
        "TFG653-not-loaded": Machine(driver="", devices=0),
        "TFG653-no-library": Machine(libcuda=""),
        "TFG654": Machine(libcuda="cuda/lib/stubs/libcuda.so.1", environment={"LD_LIBRARY_PATH": "{0}/cuda/lib/stubs"}),
        "TFG655": _IN_DOCKER,
        "TFG655-podman": Machine(devices=0, libcuda="", marks=("run/.containerenv",)),
        "TFG655-kubernetes": Machine(devices=0, libcuda="", marks=("var/run/secrets/kubernetes.io/token",)),
        "TFG656": Machine(driver="470.82.01"),
        "TFG657": Machine(extra=("cuda/lib/libcudnn_graph.so.9",), environment=_OTHER_CUDA),
        "TFG658": Machine(driver="", cards=0, devices=0, libcuda=""),
        "TFG659": Machine(environment={"CUDA_VISIBLE_DEVICES": "-1"}),
    }.items()
)  # fmt: skip
