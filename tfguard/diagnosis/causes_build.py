"""Causes behind what a linker does not find or take, and what programs of other languages bring for no such machine."""

from __future__ import annotations

import re
from dataclasses import replace

from tfguard.diagnosis.cause import Cause
from tfguard.diagnosis.causes_open import missing_library
from tfguard.diagnosis.causes_symbols import not_linked, undefined
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

_TENSORFLOWS = re.compile(r"\b(?:tensorflow|tsl|xla|absl|stream_executor)::")
_FLAGS = Remedy(
    "Link with the flags that the installed TensorFlow gives, behind the sources.",
    "g++ -shared -fPIC op.cc -o op.so $(python -c 'import tensorflow as tf;"
    " print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())')",
)


def link_undefined(said: Said, setting: Setting) -> list[Cause]:
    """A linker finds no definition; unlike the loader it writes C++ names readably."""
    symbol = said.symbol
    if symbol.startswith(("_Z", "__Z")):
        return undefined(said, setting)
    if "__cxx11" in symbol or "[abi:cxx11]" in symbol:
        return [
            Cause(
                code="TFG501",
                message="an object and a library of this link have the two values of _GLIBCXX_USE_CXX11_ABI",
                why="the name that is missed has the new spelling of std::string (__cxx11), the library the old one",
                rows=(("undefined", symbol),),
                decides=(
                    "the flag of the installed TensorFlow",
                    'python -c "import tensorflow as tf; print(tf.sysconfig.get_compile_flags())"',
                ),
                remedies=(_FLAGS,),
            )
        ]
    if _TENSORFLOWS.search(symbol):
        return [not_linked(said, f"the linker finds no {symbol[:80]}, which libtensorflow_framework exports")]
    plain = re.match(r"_{0,2}[\w$]+$", symbol)
    if plain is not None:
        return undefined(replace(said, symbol=symbol), setting)
    return [
        Cause(
            code="TFG506",
            message=f"no object or library of this link defines {symbol[:120] or 'what it needs'}",
            why="the linker has seen all that it was given",
            remedies=(
                Remedy("Add the object file or library that defines it, behind those that use it."),
                Remedy(
                    "Link the object made from the .cu file too.",
                    "nvcc -c op.cu.cc -o op.cu.o -Xcompiler -fPIC && g++ -shared op.cc op.cu.o -o op.so",
                ),
            ),
        )
    ]


def link_library(said: Said, setting: Setting) -> list[Cause]:
    """`cannot find -lX`."""
    name = (said.object or said.library).removeprefix(":")
    soname = name if ".so" in name or name.endswith(".dylib") else f"lib{name}.so"
    causes = missing_library(soname, setting)
    if "tensorflow_framework" not in soname:
        return causes
    first = replace(
        causes[0],
        message=f"the linker finds no {soname}: TensorFlow's wheels have it under a numbered name only",
        why="since 1.14 the file is libtensorflow_framework.so.1, or .so.2; the flags of tf.sysconfig name it so",
        remedies=(_FLAGS,),
    )
    return [first, *causes[1:]]


def not_in_archive(said: Said, setting: Setting) -> list[Cause]:
    """Android finds no library of that name among those that the app was installed with."""
    what = said.object or f"the library of {said.symbol.rpartition(' ')[2]}"
    return [
        Cause(
            code="TFG110",
            message=f"{what} is not in the app, or not for the processor it is installed for",
            why="an app's own folder of libraries holds those of one processor; where one library is there for arm64,"
            " all are wanted for arm64",
            decides=("what the app holds", "unzip -l APP.apk | grep '\\.so'"),
            remedies=(
                Remedy("Build the library, and put it into jniLibs for every processor that the app names."),
                Remedy("Leave out the processors for which it is not there (abiFilters)."),
            ),
        )
    ]


def host_no_native(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow for Java has no library for this system and processor."""
    return [
        Cause(
            code="TFG402",
            message=f"{said.object or 'the package'} has no native library for {said.have} on {said.need}",
            why="the archive holds libraries for some systems and processors, and this one is not among them",
            decides=("what it holds", "unzip -l JAR | grep -E '\\.(so|dll|dylib)'"),
            remedies=(Remedy("Use the release, or the classifier, that has a library for this machine."),),
        )
    ]


def status(said: Said, setting: Setting) -> list[Cause]:
    """A process of Windows that never started: the status tells what its loader met."""
    from tfguard.diagnosis import causes_windows

    number = said.errno.lower().removeprefix("0x").lstrip("-")
    code = {
        "c0000135": "126",
        "1073741515": "126",
        "c0000139": "127",
        "1073741511": "127",
        "c000007b": "193",
        "1073741701": "193",
        "c0000142": "1114",
        "1073741502": "1114",
    }[number]
    return causes_windows.load_failed(replace(said, errno=code), setting)
