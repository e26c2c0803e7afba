"""Looks at the processor as this process sees it: by CPUID, which an emulator answers for, beside /proc/cpuinfo."""

from __future__ import annotations

import os

from tfguard.hosts.host import Processor
from tfguard.image import EM_X86_64

# (index in glibc's table of CPUID leaves, register, bit) by the names of /proc/cpuinfo. Intel SDM, volume 2, CPUID.
_BITS = {
    "sse2": (0, 3, 26),
    "pni": (0, 2, 0), "ssse3": (0, 2, 9), "fma": (0, 2, 12), "cx16": (0, 2, 13), "sse4_1": (0, 2, 19),
    "sse4_2": (0, 2, 20), "movbe": (0, 2, 22), "popcnt": (0, 2, 23), "xsave": (0, 2, 26), "avx": (0, 2, 28),
    "f16c": (0, 2, 29),
    "bmi1": (1, 1, 3), "avx2": (1, 1, 5), "bmi2": (1, 1, 8), "avx512f": (1, 1, 16), "avx512dq": (1, 1, 17),
    "avx512er": (1, 1, 27), "avx512cd": (1, 1, 28), "avx512bw": (1, 1, 30), "avx512vl": (1, 1, 31),
    "lahf_lm": (2, 2, 0), "abm": (2, 2, 5),
}  # fmt: skip
_OSXSAVE = (0, 2, 27)
# The features that the tunable glibc.cpu.hwcaps can take away, of those that name directories (G-81, G-82).
_MASKED = {
    **{name: name.lower() for name in ("AVX", "AVX2", "BMI1", "BMI2", "FMA", "MOVBE", "POPCNT", "SSE2", "SSSE3")},
    **{name: name.lower() for name in ("SSE4_1", "SSE4_2", "AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512ER")},
    "AVX512VL": "avx512vl",
    "LZCNT": "abm",
}
# What the operating system must save for: without OSXSAVE each of them is an illegal instruction.
_SAVED_BY_SYSTEM = frozenset(("avx", "avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"))


def masked_features(tunables: str, version: tuple[int, int]) -> frozenset[str]:
    """What GLIBC_TUNABLES takes from the features that ld.so chooses directories by, by names of /proc/cpuinfo.

    The processor check of an object (G-53) is made without it.
    """
    given = [word.partition("=") for word in tunables.split(":")]
    if version >= (2, 39) and (tunables.endswith(":") or any("=" in text for _, _, text in given)):
        return frozenset()
    last = next((text for name, _, text in reversed(given) if name == "glibc.cpu.hwcaps"), "")
    wanted = (word[1:] for word in last.split(",") if word.startswith("-"))
    if version < (2, 33):  # what counts there is whether the system lets a feature be used, a bit of its own
        usable = {"AVX2_Usable": "avx2", "FMA_Usable": "fma"}
        return frozenset(usable.get(word) or _MASKED.get(word, "") for word in wanted if word not in ("AVX2", "FMA"))
    return frozenset(_MASKED.get(word, "") for word in wanted)


def look_at_processor(machine: int) -> Processor:
    """The processor that programs for `machine` (an e_machine) find here.

    /proc/cpuinfo is the kernel's: under QEMU's user mode and Rosetta it shows the processor below the emulator. What
    a program may use is what CPUID answers, which glibc hands out since 2.33.
    """
    listed = _cpuinfo()
    flags = frozenset((listed.get("flags") or listed.get("Features") or "").split())
    below = "aarch64" if "CPU implementer" in listed and "flags" not in listed else ""
    asked = _cpuid() if machine == EM_X86_64 else None
    if machine != EM_X86_64:
        return Processor(features=flags, intel=False, model=listed.get("model name", ""))
    emulator = ""
    # a kernel may hide what a processor has (clearcpuid=), and never lists what it has not
    if below or (asked is not None and flags & _BITS.keys() - asked):
        emulator = _emulator()
    features = asked if asked is not None else frozenset() if below else flags
    intel = "GenuineIntel" in listed.get("vendor_id", "")
    return Processor(features, intel, "" if emulator else listed.get("model name", ""), emulator, below)


def _cpuinfo() -> dict[str, str]:
    """The lines about the first processor."""
    found: dict[str, str] = {}
    try:
        fd = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        text = os.read(fd, 8192).decode("ascii", "replace")
    except OSError:
        return found
    finally:
        os.close(fd)
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _cpuid() -> frozenset[str] | None:
    """The features that CPUID shows, None where glibc does not hand them out (before 2.33)."""
    try:
        import ctypes

        class Leaf(ctypes.Structure):
            _fields_ = (("cpuid", ctypes.c_uint * 4), ("active", ctypes.c_uint * 4))

        leaf_of = ctypes.CDLL(None).__x86_get_cpuid_feature_leaf
        leaf_of.restype, leaf_of.argtypes = ctypes.POINTER(Leaf), (ctypes.c_uint,)
        # not `active`: GLIBC_TUNABLES takes features out of it that the processor has all the same
        leaves = [tuple(leaf_of(index).contents.cpuid) for index in range(3)]
    except (ImportError, AttributeError, OSError, ValueError):
        return None

    def is_set(place: tuple[int, int, int]) -> bool:
        leaf, register, bit = place
        return bool(leaves[leaf][register] >> bit & 1)

    found = frozenset(name for name, place in _BITS.items() if is_set(place))
    return found if is_set(_OSXSAVE) else found - _SAVED_BY_SYSTEM


def _emulator() -> str:
    """Which emulator it is, by what the kernel starts programs for x86-64 with."""
    try:
        handlers = os.listdir("/proc/sys/fs/binfmt_misc")
    except OSError:
        handlers = []
    if any("rosetta" in one.lower() for one in handlers):
        return "Rosetta"
    return "QEMU" if any("qemu-x86_64" in one for one in handlers) else "an emulator"
