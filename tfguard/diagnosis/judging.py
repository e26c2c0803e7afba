"""From messages to causes, ranked: which message tells most, and what each is thought to come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tfguard.diagnosis import (
    causes_build,
    causes_content,
    causes_deaths,
    causes_dyld,
    causes_frames,
    causes_gpu,
    causes_installation,
    causes_mapping,
    causes_mixed,
    causes_musl,
    causes_nvidia,
    causes_open,
    causes_processor,
    causes_registered,
    causes_requirements,
    causes_symbols,
    causes_versions,
    causes_windows,
    causes_words,
)
from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

Judge = Callable[[Said, Setting], "list[Cause]"]

# The function that judges each kind of message; the kinds are those of the tables of shapes.
JUDGES: dict[str, Judge] = {
    "preload": causes_open.preloaded,
    "ld-so-assertion": causes_mapping.assertion,
    "cannot-open": causes_open.cannot_open,
    "missing-words": causes_open.missing_words,
    "too-short": causes_content.too_short,
    "unreadable": causes_content.unreadable,
    "bad-header": causes_content.bad_header,
    "linker-script": causes_content.linker_script,
    "wrong-class": causes_content.wrong_class,
    "wrong-machine": causes_content.wrong_machine,
    "no-loader-here": causes_musl.no_loader,
    "no-loader-for-machine": causes_content.wrong_machine,
    "exec-format": causes_content.wrong_machine,
    "wrong-data": causes_content.wrong_data,
    "bad-ident": causes_content.damaged,
    "damaged": causes_content.damaged,
    "os-abi": causes_content.os_abi,
    "internal-error": causes_mapping.other,
    "resources": causes_mapping.other,
    "not-dynamic": causes_content.not_dynamic,
    "executable": causes_content.executable,
    "no-dynamic": causes_content.no_dynamic,
    "alignment": causes_mapping.alignment,
    "cannot-map": causes_mapping.cannot_map,
    "no-dlopen": causes_mapping.no_dlopen,
    "exec-stack": causes_mapping.exec_stack,
    "tensorrt-hidden": causes_mapping.tensorrt_hidden,
    "isa-level": causes_mapping.isa_level,
    "relr": causes_mapping.relr,
    "hardening": causes_mapping.hardening,
    "text-relocation": causes_mapping.text_relocation,
    "version": causes_versions.version,
    "symbol": causes_symbols.undefined,
    "link-undefined": causes_build.link_undefined,
    "link-library": causes_build.link_library,
    "not-in-archive": causes_build.not_in_archive,
    "host-no-native": causes_build.host_no_native,
    "relocation": causes_mapping.relocation,
    "static-tls": causes_mapping.static_tls,
    "tokens": causes_mapping.other,
    "mode": causes_mapping.other,
    "musl-library": causes_musl.on_musl,
    "musl-symbol": causes_musl.on_musl,
    "musl-relocation": causes_musl.on_musl,
    "musl-tls": causes_mapping.static_tls,
    "musl-relro": causes_mapping.text_relocation,
    "musl-noload": causes_mapping.other,
    "musl-static": causes_mapping.other,
    "musl-exiting": causes_mapping.other,
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
    "dll-status": causes_build.status,
    "dll-bad": causes_windows.load_failed,
    "dll-conflict": causes_windows.conflict,
    "so-not-found": causes_windows.so_not_found,
    "plugin-not-found": causes_windows.plugin_not_found,
    "numpy-abi": causes_requirements.numpy_abi,
    "no-module-numpy": causes_installation.no_module_numpy,
    "protobuf": causes_requirements.protobuf,
    "keras": causes_requirements.keras,
    "hdf5": causes_requirements.hdf5,
    "cuda-words": causes_nvidia.cuda_words,
    "python-release": causes_installation.python_release,
    "no-init": causes_installation.no_init,
    "lazy-loader": causes_installation.lazy_loader,
    "shadowed": causes_installation.shadowed,
    "source-tree": causes_installation.source_tree,
    "no-module-generated": causes_installation.no_generated,
    "no-module-native": causes_installation.no_native,
    "no-module": causes_installation.no_module,
    "no-module-tensorflow": causes_installation.no_tensorflow,
    "no-module-in-tensorflow": causes_installation.no_module_in_tensorflow,
    "no-attribute-native": causes_mixed.mixed,
    "no-attribute-tensorflow": causes_installation.no_attribute,
    "cannot-import-tensorflow": causes_installation.cannot_import,
    "wheel-tag": causes_installation.wheel_tag,
    "no-distribution": causes_installation.no_distribution,
    "broken-off": causes_installation.broken_off,
    "python-error": causes_frames.python_error,
    "requirement": causes_requirements.requirement,
    "cpu-feature": causes_processor.cpu_feature,
    "cpu-feature-jax": causes_processor.cpu_feature,
    "op-twice": causes_registered.op_twice,
    "proto-twice": causes_registered.proto_twice,
    "openmp-twice": causes_registered.openmp_twice,
    "no-kernel": causes_registered.no_kernel,
    "no-op": causes_registered.no_op,
    "emulator": causes_deaths.emulator,
    "gpu-soft-missing": causes_gpu.gpu_soft,
    "gpu-driver": causes_gpu.gpu_driver,
    "gpu-driver-old": causes_gpu.gpu_driver_old,
    "gpu-none": causes_gpu.gpu_none,
    "cudnn-several": causes_gpu.cudnn_several,
    "addon-version": causes_registered.addon_version,
    "heap": causes_deaths.heap,
    "random-device": causes_deaths.random_device,
    "illegal-instruction": causes_processor.illegal_instruction,
    "bus-error": causes_deaths.bus_error,
    "segfault": causes_deaths.segfault,
    "op-frames": causes_deaths.op_frames,
    "out-of-memory": causes_deaths.out_of_memory,
    "backtrace": causes_frames.backtrace,
    "killed": causes_deaths.killed,
    "abort": causes_deaths.abort,
    "check-failed": causes_deaths.check_failed,
    "hang": causes_deaths.hang,
    "kernel-died": causes_deaths.kernel_died,
    "symbol-words": causes_words.string_abi,
    "dll-words": causes_windows.spoken_of,
    "musl-words": causes_words.musl,
    "architecture-words": causes_words.architecture,
    "signature-words": causes_words.signature,
    "wheel-words": causes_installation.wheel_tag,
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
        script = causes_installation.shadowing_script(setting)
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
    if said.kind == "cannot-open" and any(
        one.number == said.number and one.kind in ("wrong-machine", "wrong-class") for one in messages
    ):
        return 0.5  # Java adds to the loader's words what it has seen in the file itself
    if said.kind == "dyld-reason" and any(
        one.kind in ("dyld-tried", "dyld-library", "dyld-symbol") for one in messages
    ):
        return 0.5
    if said.kind == "symbol" and not said.symbol:
        return 0.5
    if said.kind == "version" and not said.object:
        return 0.1
    return said.weight
