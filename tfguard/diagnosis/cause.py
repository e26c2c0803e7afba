"""What a message is thought to come from: Cause, with why, what speaks for it, and what would decide."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tfguard.diagnosis.said import Said
from tfguard.finding import Remedy, Severity

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause for one message, by the code of its rule.

    `why` says what it is thought so of, `decides` a fact that would tell it from the other causes, with the command
    that shows the fact. `vain` is what people often try that does not help here.
    """

    code: str
    message: str
    why: str = ""
    rows: Rows = ()
    remedies: tuple[Remedy, ...] = ()
    decides: tuple[str, str] | None = None
    vain: str = ""
    severity: Severity = "error"


def name(said: Said, otherwise: str = "the library") -> str:
    """The file name of the object a message is about."""
    path = (said.object or said.library).replace("\\", "/")
    return os.path.basename(path) or otherwise


def show(path: str, otherwise: str = "FILE") -> str:
    """The command that shows what a file is."""
    return f"python -m tfguard show {quoted(path or otherwise)}"


def check(path: str, otherwise: str = "FILE") -> str:
    """The command that plays the load of a file where it lies."""
    return f"python -m tfguard check {quoted(path or otherwise)}"


def quoted(path: str) -> str:
    """A path as a shell takes it."""
    import shlex

    return shlex.quote(path)


def in_packages(path: str) -> bool:
    """Whether a path lies where pip and conda install."""
    low = path.replace("\\", "/").lower()
    return any(one in low for one in ("-packages/", "sitepackages/", "/var/task/", "/opt/python/", "/node_modules/"))


def package_of(path: str) -> str:
    """The top-level package that an installed file belongs to, "" where it is in none."""
    low = path.replace("\\", "/")
    for mark in ("site-packages/", "dist-packages/", "sitepackages/", "/var/task/"):
        if mark in low:
            rest = low.rpartition(mark)[2]
            return rest.partition("/")[0] if "/" in rest else rest.partition(".")[0]
    parts = low.split("/")
    return next((one for one in parts if one.startswith(("tensorflow_", "horovod"))), "")


def of_tensorflow(path: str) -> bool:
    """Whether a file is one of TensorFlow's own."""
    package = package_of(path)
    base = os.path.basename(path.replace("\\", "/"))
    if package in ("tensorflow", "tensorflow_core", "tensorflow_intel"):
        return True
    return not package and base.startswith(("_pywrap_tensorflow", "libtensorflow_framework", "libtensorflow_cc"))


_PLUGIN = re.compile(r"lib\w+_plugin\.(?:dylib|so)$|^tfdml_plugin|^libitex|^libmetal_plugin")


def is_plugin(path: str) -> bool:
    """Whether a file is one of those that every import of TensorFlow loads from tensorflow-plugins."""
    path = path.replace("\\", "/")
    return "tensorflow-plugins" in path or bool(_PLUGIN.search(os.path.basename(path)))
