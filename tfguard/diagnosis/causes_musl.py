"""Causes behind the messages of musl's loader."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, name
from tfguard.diagnosis.causes_content import wrong_machine
from tfguard.diagnosis.causes_mapping import other
from tfguard.diagnosis.causes_open import missing_library, not_there_or_foreign
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

# What only glibc has, or has under that name.
_GLIBCS = re.compile(r"ld-linux|lib(c|resolv|nsl|util|crypt|anl|nss_\w+|BrokenLocale|mvec)\.so\.[126]$")


def on_musl(said: Said, setting: Setting) -> list[Cause]:
    """musl's loader speaks: either a glibc library on Alpine, or a needed library that is not there."""
    glibcs = (
        said.kind in {"musl-symbol", "musl-relocation"}
        or _GLIBCS.match(said.library) is not None
        or setting.mentions("ld-linux-x86-64.so.2: no such", "_chk: symbol not found")
    )
    base = name(said)
    musl = Cause(
        code="TFG210",
        message=f"a library built for glibc does not load on musl (Alpine): {os.path.basename(said.requirer) or base}",
        why=_musl_why(said),
        rows=tuple(
            (label, fact)
            for label, fact in (("symbol", said.symbol), ("needed", said.library), ("needed by", said.requirer))
            if fact
        ),
        decides=("the C library of this Python", "ldd $(which python3)"),
        remedies=(
            Remedy("Use an image with glibc.", "docker run -it python:3.11-slim"),
            Remedy("Install a build for musl (musllinux), where there is one; TensorFlow has none."),
        ),
        vain="adding glibc or gcompat to Alpine: Python itself stays built for musl, and its loader loads the library",
    )
    if said.kind == "musl-symbol" and said.symbol.startswith(("Py", "_Py")):
        return [
            Cause(
                code="TFG504",
                message=f"{base} is built for another Python",
                why=f"{said.symbol} is of CPython's interface",
                remedies=(Remedy("Install the build for this Python."),),
            ),
            musl,
        ]
    if glibcs or re.match(r"lib(gcc_s|stdc\+\+)\.so", said.library):
        return [musl]
    if said.kind == "musl-library":
        if "exec format" in said.errno.lower():
            return wrong_machine(said, setting)
        if "/" in said.library:
            return not_there_or_foreign(_as_object(said), setting)
        return missing_library(said.library, setting)
    return other(said, setting)


def no_loader(said: Said, setting: Setting) -> list[Cause]:
    """The loader that a program names is not there: of the other C library, or of another processor."""
    if setting.musl or "musl" in said.object:
        return [on_musl(_as_library(said), setting)[0], *wrong_machine(said, setting)]
    return wrong_machine(said, setting)


def _musl_why(said: Said) -> str:
    if said.symbol:
        return f"{said.symbol} is in glibc and not in musl"
    return (
        f"{said.library} is glibc's own, and musl's loader does not have it"
        if said.library
        else "musl's loader says so"
    )


def _as_library(said: Said) -> Said:
    from dataclasses import replace

    return replace(said, library=os.path.basename(said.object))


def _as_object(said: Said) -> Said:
    from dataclasses import replace

    return replace(said, object=said.library)
