"""What the file of glibc's loader says about itself: the checks that it makes, and its compiled-in directories."""

from __future__ import annotations

import os

# What a loader file says about itself by holding a text: ld-so.md H-04.
_FEATURE_MARKS = {
    "isa-level": b"CPU ISA level is lower than required",
    "glibc-hwcaps": b"glibc-hwcaps",
    "dt-relr": b"DT_RELR without GLIBC_ABI_DT_RELR",
    "no-executable-stack": b"glibc.rtld.execstack",
    "static-tls-tunables": b"glibc.rtld.optional_static_tls",
    "refuses-pie": b"cannot dynamically load position-independent executable",
    "checks-alignment": b"ELF load command alignment not page-aligned",
    "asserts-version-table": b"version->filename == NULL",
    "checks-abi-tag": b"kernel too old",
}


def glibc_facts(data: bytes) -> tuple[frozenset[str], tuple[str, ...]]:
    """The features of glibc's loader (H-04) and its compiled-in directories (H-02), from its bytes."""
    features = frozenset(name for name, mark in _FEATURE_MARKS.items() if mark in data)
    # In .rodata they are one run of NUL-terminated strings that begin and end with a slash.
    best: list[bytes] = []
    run: list[bytes] = []
    run_end, at = -1, data.find(b"/\0")
    while at >= 0:
        start = data.rfind(b"\0", 0, at) + 1
        text = data[start : at + 1]
        if text[:1] == b"/" and len(text) > 1:
            run = [*run, text] if start == run_end else [text]
            run_end = at + 2
            if (b"lib" in run[0], len(run)) > (bool(best) and b"lib" in best[0], len(best)):
                best = run
        at = data.find(b"/\0", at + 1)
    return features, tuple(os.fsdecode(one.rstrip(b"/")) for one in best)


def lib_token(system_directories: tuple[str, ...]) -> str:
    """$LIB: the last part of the compiled library directory (ld-so.md G-76)."""
    for directory in system_directories:
        head, _, tail = directory.rpartition("/")
        if head == "/lib" and "-linux-" in tail:
            return f"lib/{tail}"
        if directory == "/lib64":
            return "lib64"
    return "lib"
