"""Cases of the rules about the processor and the limits of the process: real code for AVX, and hosts without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase

LayOut = Callable[[Scene], Question]

# Enough of floating point that the encoding of the whole can be told.
_NUMBERS = "\n".join(
    f"float f{i}(float *x, float *y, int n) {{ float s = 0; for (int i = 0; i < n; i++) "
    f"{{ y[i] = x[i] * {i}.5f + y[i]; s += x[i] - y[i]; }} return s; }}"
    for i in range(24)
)
_WHOLE_NUMBERS = "\n".join(
    f"void g{i}(int *x, int *y) {{ for (int i = 0; i < 64; i++) y[i] = (x[i] ^ {i}) + (y[i] | x[i]); }}"
    for i in range(24)
)
_GUARD = "site-packages/tensorflow/python/platform/_pywrap_cpu_feature_guard.so"
_OLD_PROCESSOR = {"features": ["pni", "ssse3", "sse4_1", "sse4_2"], "model": "Intel(R) Core(TM) i7 CPU 920 @ 2.67GHz"}
_MIDDLE_AGED = {"features": ["sse4_1", "sse4_2", "avx"], "model": "Intel(R) Core(TM) i5-3230M CPU @ 2.60GHz"}


def _tensorflow(scene: Scene, *options: str) -> str:
    """The TensorFlow of a release whose modules are known, of which the first is there."""
    scene.write("site-packages/tensorflow/__init__.py", b"")
    scene.write("site-packages/tensorflow-2.21.0.dist-info/RECORD", b"tensorflow/__init__.py,,\n")
    scene.compile(_GUARD, _NUMBERS, "-O2", *options)
    return f"{scene.root}/site-packages"


def _import_on(processor: dict[str, Any], *options: str) -> LayOut:
    def lay_out(scene: Scene) -> Question:
        site = _tensorflow(scene, *(options or ("-mavx",)))
        return Question(target="tensorflow", door="import", path=(site,), host={"processor": processor})

    return lay_out


def _op_for_avx2(scene: Scene) -> Question:
    op = scene.compile("op.so", _NUMBERS + "\n" + _WHOLE_NUMBERS, "-O3", "-mavx2", "-mfma", "-ffast-math")
    return Question(target=op, host={"processor": _MIDDLE_AGED})


def _in_32_bit_python(scene: Scene) -> Question:
    return Question(
        target="tensorflow", door="import", path=(_tensorflow(scene),), host={"elf_class": 32, "machine": 3}
    )


def _with_room_for(mebibytes: int) -> LayOut:
    """A library that takes 600 MiB of address space, and a limit."""

    def lay_out(scene: Scene) -> Question:
        op = scene.compile("op.so", "static char big[600 << 20]; char first(long i) { return big[i]; }")
        limits = {"address_space": (mebibytes + 100) << 20, "address_space_used": 100 << 20}
        return Question(target=op, host={"limits": limits})

    return lay_out


def _with_memory_for(mebibytes: int) -> LayOut:
    """A library as large as TensorFlow's, and a control group."""

    def lay_out(scene: Scene) -> Question:
        op = scene.compile("op.so", "static char big[600 << 20]; char first(long i) { return big[i]; }")
        limits = {
            "memory": (mebibytes + 50) << 20,
            "memory_used": 50 << 20,
            "memory_group": "/sys/fs/cgroup/memory/job",
        }
        return Question(target=op, host={"limits": limits})

    return lay_out


def _under_selinux(scene: Scene) -> Question:
    op = scene.library("op.so", soname="op.so", stack=7)
    return Question(target=op, host={"limits": {"selinux": "enforcing"}, "version": [2, 36]})


def _text_relocations_under_selinux(scene: Scene) -> Question:
    source = "extern int other; int *where(void) { return &other; } int other = 1;"
    op = scene.compile("op.so", source, "-fno-pic", "-mcmodel=large", "-Wl,-z,notext")
    return Question(target=op, host={"limits": {"selinux": "enforcing"}})


_EMULATED: dict[str, Any] = {**_OLD_PROCESSOR, "model": ""}

CASES = (
    RuleCase("TFG601", _import_on(_OLD_PROCESSOR)),
    RuleCase("TFG602", _import_on(_EMULATED | {"emulator": "Rosetta", "below": "aarch64"})),
    RuleCase("TFG602-qemu", _import_on(_EMULATED | {"emulator": "QEMU", "below": "aarch64"})),
    RuleCase("TFG602-same-machine", _import_on(_EMULATED | {"emulator": "an emulator"})),
    RuleCase("TFG603", _in_32_bit_python),
    RuleCase("TFG604", _with_room_for(500)),
    RuleCase("TFG604-little-left", _with_room_for(700), warning=True),
    RuleCase("TFG605", _under_selinux, warning=True),
    RuleCase("TFG605-text-relocations", _text_relocations_under_selinux, warning=True),
    RuleCase("TFG607", _with_memory_for(120), warning=True),
    RuleCase("TFG606", _op_for_avx2, warning=True),
)
