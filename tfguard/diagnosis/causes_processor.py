"""Causes behind an instruction that the processor, or an emulator, does not know."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

# Processors of Intel's and AMD's families that have AVX and not AVX2, and somebody's own words for one.
_WITHOUT_AVX2 = re.compile(
    r"i[3579]-[23]\d{3}|ivy ?bridge|sandy ?bridge|\be[357]-\d{4}(?: ?v2)?(?! ?v[3-9])\b|opteron|fx-\d{4}"
)
_AVX2_MISSED = re.compile(
    r"\b(?:no|not|n't|lacks?|without)\b[^\n]{0,30}\bavx2\b|\bavx2\b[^\n]{0,30}\b(?:not|missing|lacking)\b"
)
PROBE = "python -m tfguard --probe"


def cpu_feature(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow's own check of the processor."""
    features = said.detail or "AVX"
    first = features.replace(",", " ").split()[0].upper()
    if setting.emulated or (said.kind == "cpu-feature-jax" and (setting.system != "linux" or setting.arm)):
        return [emulated_processor(f"the library asks for {features}, which emulators and Rosetta do not offer")]
    if first in ("AVX2", "FMA", "AVX512F") or first.startswith("AVX512"):
        return [
            _without_avx2(f"the library says that it was compiled to use {features}"),
            _without_avx("the message is the same"),
        ]
    if setting.arm and setting.system == "macos":
        return [emulated_processor(f"the library asks for {features} on an Apple machine")]
    return [
        _without_avx(f"the library says that it was compiled to use {features}"),
        emulated_processor("an x86-64 program on another processor gets the same message"),
    ]


def _without_avx(why: str) -> Cause:
    return Cause(
        code="TFG601",
        message="this processor does not have AVX, which every official TensorFlow since 1.6 is compiled to use",
        why=why,
        decides=("the processor's features", "grep -m1 -o -w avx /proc/cpuinfo || echo none; uname -m"),
        remedies=(
            Remedy("Use another machine (in a virtual machine: pass the host's processor through, as with -cpu host)."),
            Remedy(
                "Use a build made without AVX: conda-forge's, a community wheel, or one's own.",
                "conda install -c conda-forge tensorflow",
            ),
        ),
        vain="installing it again: each official wheel is compiled so",
    )


def emulated_processor(why: str) -> Cause:
    """An x86-64 program on an ARM machine."""
    return Cause(
        code="TFG602",
        message="an x86-64 Python runs on a processor of another kind, under Rosetta or QEMU, which offers no AVX",
        why=why,
        decides=(
            "the true machine, and what Python is",
            (
                "sysctl -n sysctl.proc_translated machdep.cpu.brand_string; python -c 'import platform;"
                " print(platform.machine())'"
            ),
        ),
        remedies=(
            Remedy(
                "Use a Python for the machine's own processor, and install with it.",
                "arch -arm64 python3 -m venv env && env/bin/python -m pip install tensorflow",
            ),
            Remedy("For a container, use an image for arm64.", "docker run --platform linux/arm64 IMAGE"),
        ),
        vain="building from source under Rosetta; --platform linux/amd64",
    )


def _without_avx2(why: str) -> Cause:
    return Cause(
        code="TFG606",
        message="this processor does not have AVX2 or FMA, which this build is compiled to use",
        why=why,
        decides=("the processor's features", "grep -m1 -o -w -E 'avx|avx2|fma' /proc/cpuinfo"),
        remedies=(Remedy("Use a release that needs AVX only (the official wheels), or another machine."),),
    )


def illegal_instruction(said: Said, setting: Setting) -> list[Cause]:
    """SIGILL: the processor does not know an instruction."""
    emulated = emulated_processor("an instruction that the emulator does not know ends the process so")
    avx = _without_avx("an instruction that the processor does not know ends the process so")
    avx2 = _without_avx2("a processor with AVX, and without AVX2, gets the same signal from a build for newer ones")
    # zsh says so on every system, and of a dumped core nowhere but on Linux
    zsh = setting.mentions("illegal hardware instruction", "zsh:") and not setting.mentions("core dumped")
    if setting.emulated or zsh or (setting.system == "macos"):
        return [emulated, avx]
    if setting.arm and not setting.mentions("x86_64"):
        return [
            Cause(
                code="TFG602" if setting.mentions("m1", "apple") else "TFG601",
                message="this processor does not know an instruction of the build",
                why="the build is for a newer ARM processor (ARMv8.2 and later), or for another one",
                decides=("the instruction", PROBE),
                remedies=(
                    Remedy("Use a build for this processor, or build it here."),
                    Remedy("For OpenBLAS on ARM, name the processor.", "OPENBLAS_CORETYPE=ARMV8 python your_script.py"),
                ),
            )
        ]
    if _AVX2_MISSED.search(setting.whole) or _WITHOUT_AVX2.search(setting.whole):
        return [avx2, avx]
    return [avx, avx2, emulated]
