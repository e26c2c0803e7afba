"""Causes behind what people write in their own words, where no message has a judge for it."""

from __future__ import annotations

from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy


def string_abi(said: Said, setting: Setting) -> list[Cause]:
    """The flag of the C++ ABI is spoken of."""
    return [
        Cause(
            code="TFG501",
            message="a library and TensorFlow may be built with the two values of _GLIBCXX_USE_CXX11_ABI",
            decides=(
                "the flag of the installed TensorFlow",
                'python -c "import tensorflow as tf; print(tf.sysconfig.get_compile_flags())"',
            ),
            remedies=(Remedy("Build it with the flags that the installed TensorFlow gives."),),
        )
    ]


def musl(said: Said, setting: Setting) -> list[Cause]:
    """Alpine is spoken of."""
    return [
        Cause(
            code="TFG210",
            message="a library built for glibc does not load on musl (Alpine)",
            decides=("the C library of this Python", "ldd $(which python3)"),
            remedies=(Remedy("Use an image with glibc.", "docker run -it python:3.11-slim"),),
        )
    ]


def architecture(said: Said, setting: Setting) -> list[Cause]:
    """Another processor is spoken of."""
    mac = setting.system == "macos"
    return [
        Cause(
            code="TFG802" if mac else "TFG101",
            message="a library or program is built for another processor than it runs on",
            decides=("both machines", "uname -m; file FILE"),
            remedies=(Remedy("Use the build for this processor, with a Python for it."),),
        )
    ]


def signature(said: Said, setting: Setting) -> list[Cause]:
    """Signing is spoken of."""
    return [
        Cause(
            code="TFG805",
            message="the code signature of a library is missing, broken, or not accepted by the program that loads it",
            decides=("the signature", "codesign -dv FILE"),
            remedies=(Remedy("Sign it.", "codesign --force --sign - FILE"),),
        )
    ]
