"""The Python that an installation is for, as a value: Python; this_python() makes one of the running interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from typing import NamedTuple

# A file of this name in the standard library's folder, and no virtual environment (PEP 668).
MANAGED = "EXTERNALLY-MANAGED"


class Python(NamedTuple):
    """An interpreter: all of it that decides which packages it finds and which wheels are made for it.

    `version` is (3, 11, 7), `path` its sys.path, `library` the folder of the standard library. `system` is that of
    sys.platform, `machine` that of uname, `bits` 64 or 32. `virtual_env` is what VIRTUAL_ENV says, `commands` are the
    directories of PATH, `system_prefixes` where the system has other Pythons. `builtins` are the modules that no file
    can stand in for, `imported` those that are imported already, each with its file. `freezer` is what put a frozen
    application together ("PyInstaller", "cx_Freeze", "a freezer"), "" where this is none. `is_managed` says that the
    system's own installer has it, and pip leaves it alone unless it is told not to (PEP 668).
    """

    executable: str
    version: tuple[int, int, int]
    path: tuple[str, ...]
    implementation: str = "cpython"
    prefix: str = ""
    base_prefix: str = ""
    library: str = ""
    user_site: str | None = None
    suffixes: tuple[str, ...] = (".so",)
    system: str = "linux"
    machine: str = "x86_64"
    bits: int = 64
    virtual_env: str | None = None
    home: str = ""
    commands: tuple[str, ...] = ()
    cwd: str = ""
    system_prefixes: tuple[str, ...] = ("/opt", "/usr/local", "/usr")
    builtins: frozenset[str] = frozenset()
    imported: Mapping[str, str | None] = {}
    freezer: str = ""
    is_managed: bool = False

    @property
    def short(self) -> str:
        """The version as a wheel knows it: 3.11."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def sites(self) -> tuple[str, ...]:
        """The entries of the path that may hold distributions: not the standard library's, none twice."""
        own = (self.library, os.path.join(self.library, "lib-dynload"))
        return tuple(dict.fromkeys(one or os.curdir for one in self.path if one not in own))


def this_python() -> Python:
    """The interpreter that runs this."""
    site = sys.modules.get("site")  # None under -S: then there is no user site either
    return Python(
        executable=sys.executable,
        version=(sys.version_info[0], sys.version_info[1], sys.version_info[2]),
        path=tuple(map(os.fsdecode, sys.path)),
        implementation=sys.implementation.name,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        library=library(),
        user_site=getattr(site, "USER_SITE", None) if getattr(site, "ENABLE_USER_SITE", False) else None,
        suffixes=tuple(EXTENSION_SUFFIXES),
        system=sys.platform,
        machine=os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "").lower(),
        bits=64 if sys.maxsize > 2**32 else 32,
        virtual_env=os.environ.get("VIRTUAL_ENV"),
        home=os.path.expanduser("~"),
        commands=tuple(os.environ.get("PATH", "").split(os.pathsep)),
        cwd=_cwd(),
        builtins=frozenset(sys.builtin_module_names),
        imported={name: getattr(module, "__file__", None) for name, module in sys.modules.copy().items()},
        freezer=freezer(),
        is_managed=is_managed(),
    )


def is_managed() -> bool:
    """Whether the interpreter that runs this is one that the system's own installer has (PEP 668)."""
    return sys.prefix == sys.base_prefix and os.path.exists(os.path.join(library(), MANAGED))


def library() -> str:
    """The folder of the standard library; a frozen application's may be an archive whose modules have no file."""
    return os.path.dirname(getattr(os, "__file__", None) or os.path.join(sys.prefix, "lib", "os.py"))


def freezer() -> str:
    """What put this application together: freezers set sys.frozen, PyInstaller sys._MEIPASS besides."""
    if not getattr(sys, "frozen", False):
        return ""
    if hasattr(sys, "_MEIPASS"):
        return "PyInstaller"
    return "cx_Freeze" if "__startup__" in sys.modules else "a freezer"


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
