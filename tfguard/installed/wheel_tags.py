"""Whether what is installed was made for this Python on this machine, by the tags of its wheel (PEP 425)."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.hosts.root import Root
from tfguard.installed.distributions import Distribution, wheel_tags
from tfguard.installed.python import Python

_MODULE_LIMIT = 1 << 22
# pybind11 compares this text in a module with the running interpreter's version and refuses another.
_COMPILED_FOR = re.compile(rb"\x003\.(\d{1,2})\x00")
_SYSTEMS = {"linux": ("linux", "manylinux", "musllinux"), "darwin": ("macosx",), "win32": ("win",)}
# PEP 600 and PEP 656: what a wheel says that was built for one C library of Linux, and not for the other.
_OF_THE_OTHER = {"glibc": "musllinux", "musl": "manylinux"}


class Foreign(NamedTuple):
    """A distribution that was made for another Python or platform.

    `compiled` says that its modules were looked at and are for that other Python too: then none of them will load.
    """

    distribution: Distribution
    tags: tuple[str, ...]
    other_python: str | None
    other_platform: str | None
    compiled: bool = False


def find_foreign(distribution: Distribution, python: Python, module: str | None, libc: str) -> Foreign | None:
    """What the tags say against a distribution, None where one of them fits; `module` is a native module of it.

    `libc` is "glibc", "musl", or another word where it is neither or not known.
    """
    from packaging.tags import Tag, parse_tag

    texts = wheel_tags(distribution)
    tags: set[Tag] = set()
    for text in texts:
        try:
            tags |= parse_tag(text)
        except ValueError:  # no tag: of what is not known nothing is said
            continue
    against = [
        (_other_python(one.interpreter, one.abi, python), _other_platform(one.platform, python, libc)) for one in tags
    ]
    if not against or (None, None) in against:
        return None
    wrong_python, wrong_platform = min(against, key=lambda one: (one[0] is not None) + (one[1] is not None))
    compiled = wrong_python is not None and module is not None and _is_for_another(module, python, distribution.root)
    return Foreign(distribution, texts, wrong_python, wrong_platform, compiled)


def _other_python(interpreter: str, abi: str, python: Python) -> str | None:
    match = re.fullmatch(r"cp3(\d+)", interpreter)
    if match is None or python.implementation != "cpython":
        return None  # py3 is for all; of other implementations nothing is said
    minor = int(match[1])
    if minor == python.version[1] or (abi in ("abi3", "none") and minor <= python.version[1]):
        return None
    return f"3.{minor}"


def _other_platform(platform: str, python: Python, libc: str) -> str | None:
    if platform == "any":
        return None
    right = platform.startswith(_SYSTEMS.get(python.system, ("",)))
    if python.system == "linux" and libc in _OF_THE_OTHER:
        right = right and not platform.startswith(_OF_THE_OTHER[libc])
    machine = python.machine if python.system != "darwin" else ("universal2", "intel", python.machine)
    return None if right and platform.endswith(machine) else platform


def _is_for_another(path: str, python: Python, root: Root) -> bool:
    """Whether a module is not for this Python: by the suffix of its name, else by the version compiled into it."""
    _, _, suffix = os.path.basename(path).partition(".")
    if suffix.startswith(("cpython-", "cp3")):
        return f".{suffix}" not in python.suffixes
    versions = {int(one) for one in _COMPILED_FOR.findall(root.read(path, _MODULE_LIMIT) or b"")}
    return bool(versions) and python.version[1] not in versions
