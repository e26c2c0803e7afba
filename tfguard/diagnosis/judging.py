"""From messages to causes, ranked: which message tells most, and what each is thought to come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tfguard.diagnosis import causes_dyld, causes_elf, causes_python, causes_symbols, causes_tensorflow, causes_windows
from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

Judge = Callable[[Said, Setting], "list[Cause]"]

# The function that judges each kind of message; the kinds are those of the tables of shapes.
JUDGES: dict[str, Judge] = {
    "preload": causes_elf.preloaded,
    "ld-so-assertion": causes_elf.assertion,
    "cannot-open": causes_elf.cannot_open,
    "missing-words": causes_elf.missing_words,
    "too-short": causes_elf.too_short,
    "unreadable": causes_elf.unreadable,
    "bad-header": causes_elf.bad_header,
    "linker-script": causes_elf.linker_script,
    "wrong-class": causes_elf.wrong_class,
    "wrong-machine": causes_elf.wrong_machine,
    "no-loader-for-machine": causes_elf.wrong_machine,
    "exec-format": causes_elf.wrong_machine,
    "wrong-data": causes_elf.wrong_data,
    "bad-ident": causes_elf.damaged,
    "damaged": causes_elf.damaged,
    "os-abi": causes_elf.os_abi,
    "internal-error": causes_elf.other,
    "resources": causes_elf.other,
    "not-dynamic": causes_elf.not_dynamic,
    "executable": causes_elf.executable,
    "no-dynamic": causes_elf.no_dynamic,
    "alignment": causes_elf.alignment,
    "cannot-map": causes_elf.cannot_map,
    "no-dlopen": causes_elf.no_dlopen,
    "exec-stack": causes_elf.exec_stack,
    "tensorrt-hidden": causes_elf.tensorrt_hidden,
    "isa-level": causes_elf.isa_level,
    "relr": causes_elf.relr,
    "hardening": causes_elf.hardening,
    "text-relocation": causes_elf.text_relocation,
    "version": causes_elf.version,
    "symbol": causes_symbols.undefined,
    "relocation": causes_elf.relocation,
    "static-tls": causes_elf.static_tls,
    "tokens": causes_elf.other,
    "mode": causes_elf.other,
    "musl-library": causes_elf.on_musl,
    "musl-symbol": causes_elf.on_musl,
    "musl-relocation": causes_elf.on_musl,
    "musl-tls": causes_elf.static_tls,
    "musl-relro": causes_elf.text_relocation,
    "musl-noload": causes_elf.other,
    "musl-static": causes_elf.other,
    "musl-exiting": causes_elf.other,
    "dyld-symbol": causes_dyld.symbol,
    "dyld-library": causes_dyld.library,
    "dyld-tried": causes_dyld.reason,
    "dyld-reason": causes_dyld.reason,
    "dyld-not-found": causes_dyld.not_found,
    "dyld-min-os": causes_dyld.min_os,
    "dll-load-failed": causes_windows.load_failed,
    "dll-not-found": causes_windows.dll_not_found,
    "dll-missing-dialog": causes_windows.dll_not_found,
    "dll-error": causes_windows.error,
    "dll-bad": causes_windows.load_failed,
    "dll-conflict": causes_windows.conflict,
    "so-not-found": causes_windows.so_not_found,
    "plugin-not-found": causes_windows.plugin_not_found,
    "numpy-abi": causes_python.numpy_abi,
    "no-module-numpy": causes_python.no_module_numpy,
    "protobuf": causes_python.protobuf,
    "keras": causes_python.keras,
    "hdf5": causes_python.hdf5,
    "no-init": causes_python.no_init,
    "lazy-loader": causes_python.lazy_loader,
    "shadowed": causes_python.shadowed,
    "source-tree": causes_python.source_tree,
    "no-module-native": causes_python.no_native,
    "no-module-tensorflow": causes_python.no_tensorflow,
    "no-module-in-tensorflow": causes_python.no_module_in_tensorflow,
    "no-attribute-tensorflow": causes_python.no_attribute,
    "cannot-import-tensorflow": causes_python.cannot_import,
    "wheel-tag": causes_python.wheel_tag,
    "no-distribution": causes_python.no_distribution,
    "requirement": causes_python.requirement,
    "cpu-feature": causes_tensorflow.cpu_feature,
    "cpu-feature-jax": causes_tensorflow.cpu_feature,
    "op-twice": causes_tensorflow.op_twice,
    "proto-twice": causes_tensorflow.proto_twice,
    "openmp-twice": causes_tensorflow.openmp_twice,
    "no-kernel": causes_tensorflow.no_kernel,
    "no-op": causes_tensorflow.no_op,
    "emulator": causes_tensorflow.emulator,
    "gpu-soft-missing": causes_tensorflow.gpu_soft,
    "gpu-driver": causes_tensorflow.gpu_driver,
    "gpu-driver-old": causes_tensorflow.gpu_driver_old,
    "gpu-none": causes_tensorflow.gpu_none,
    "cudnn-several": causes_tensorflow.cudnn_several,
    "addon-version": causes_tensorflow.addon_version,
    "heap": causes_tensorflow.heap,
    "random-device": causes_tensorflow.random_device,
    "illegal-instruction": causes_tensorflow.illegal_instruction,
    "bus-error": causes_tensorflow.bus_error,
    "segfault": causes_tensorflow.segfault,
    "op-frames": causes_tensorflow.op_frames,
    "out-of-memory": causes_tensorflow.out_of_memory,
    "killed": causes_tensorflow.killed,
    "abort": causes_tensorflow.abort,
    "check-failed": causes_tensorflow.check_failed,
    "hang": causes_tensorflow.hang,
    "kernel-died": causes_tensorflow.kernel_died,
}


class Judged(NamedTuple):
    """A cause and the message it stands for."""

    said: Said
    cause: Cause


def ranked(messages: tuple[Said, ...], setting: Setting) -> list[Judged]:
    """Every cause once, likeliest first: by the weight of its message, then by where it stands in the text.

    The first loader's line of a text is the oldest, and what stands below it came of it; of a chain of exceptions
    ("During handling ...") too the first is the cause.
    """
    found: dict[str, Judged] = {}
    for said in sorted(messages, key=lambda one: (_weight(one, messages), one.number)):
        judge = JUDGES.get(said.kind)
        if judge is None:
            continue
        for cause in judge(said, setting):
            found.setdefault(cause.code, Judged(said, cause))
    if not any(one.said.weight <= 2 for one in found.values()):
        script = causes_python.shadowing_script(setting)
        if script:
            base = script.replace("\\", "/").rpartition("/")[2]
            shadow = Cause(
                code="TFG407",
                message=f"the script {base} has the name of a module of the standard library, which others import",
                why="the folder of the script comes first on sys.path",
                remedies=(Remedy("Rename the script, and delete its __pycache__.", f"mv {base} my_{base}"),),
            )
            said = Said(kind="script", loader="python", versions="all", line=f'File "{script}"', number=0, weight=1)
            return [Judged(said, shadow), *found.values()]
    return list(found.values())


def _weight(said: Said, messages: tuple[Said, ...]) -> float:
    """What a message counts: a path that is absent counts less where another path of the same list tells more."""
    if said.kind in ("cannot-open", "so-not-found") and "/" in said.object:
        name = said.object.rpartition("/")[2]
        if any(
            one is not said and one.kind != "cannot-open" and one.weight == 0 and name and name in one.object
            for one in messages
        ):
            return 0.5
    if said.kind == "dyld-reason" and any(
        one.kind in ("dyld-tried", "dyld-library", "dyld-symbol") for one in messages
    ):
        return 0.5
    if said.kind == "symbol" and not said.symbol:
        return 0.5
    if said.kind == "version" and not said.object:
        return 0.1
    return said.weight
