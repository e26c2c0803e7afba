"""What a case of the comparison with ld.so is: files to lay out, a load to ask about, and how it must end."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.build import Compiler
from tests.support.elf_writer import Export, Library, write
from tests.support.own_etc import can_replace_etc
from tests.support.real_loader import Load


class Unavailable(Exception):
    """This machine cannot lay the case out; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A directory of one case and the tools to fill it; every method that makes something returns its path."""

    root: Path
    compiler: Compiler

    def path(self, name: str) -> str:
        """A path in the case's directory, whose parent exists."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    def write(self, name: str, data: bytes) -> str:
        """A file of these bytes."""
        path = self.path(name)
        Path(path).write_bytes(data)
        return path

    def fill(self, data: bytes, *places: str, name: str = "libx.so.1") -> Scene:
        """The same file in several directories; gives the scene back."""
        for place in places:
            self.write(f"{place}/{name}", data)
        return self

    def library(self, name: str, **fields: Any) -> str:  # Any: the fields of Library
        """A shared object by the ELF writer."""
        return self.write(name, write(Library(**fields)))

    def top(self, **fields: Any) -> str:  # Any: as above
        """The library top/libtop.so, which needs libx.so.1 where nothing else is said."""
        return self.library("top/libtop.so", **{"soname": "libtop.so", "needed": ("libx.so.1",), **fields})

    def link(self, name: str, target: str) -> str:
        """A symbolic link."""
        path = self.path(name)
        os.symlink(target, path)
        return path

    def directory(self, name: str) -> str:
        """An empty directory."""
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        return path

    def compile(self, name: str, source: str, *options: str) -> str:
        """A shared object by the C compiler."""
        return str(self.compiler.shared(Path(self.path(name)), source, *options))

    def program(self, *options: str, name: str = "bin/program", rpath: tuple[str, ...] = ()) -> str:
        """A program that is this Python, linked with these options; `rpath` stands before where its libpython is."""
        folder, libpython = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
        if not libpython or not os.path.exists(f"{folder}/{libpython}"):
            raise Unavailable("this Python has no libpython to link a program with")
        options = (f"{folder}/{libpython}", *options, f"-Wl,-rpath,{':'.join((*rpath, folder))}")
        path = Path(self.path(name))
        shutil.copy(self.compiler.build(_PYTHON, *options), path)
        home = os.path.dirname(os.path.realpath(sys.executable))
        (path.parent / "pyvenv.cfg").write_text(f"home = {home}\n")
        return str(path)

    def load(
        self,
        *names: str,
        mode: int = 0,
        before: tuple[str, ...] = (),
        before_global: tuple[str, ...] = (),
        cwd: str | None = None,
        user: int | None = None,
        patience: int = 20,
        environment: Mapping[str, str] | None = None,
        program: str | None = None,
        opener: str | None = None,
        no_write_execute: bool = False,
        etc: Mapping[str, str] | None = None,
    ) -> Load:
        """The question: load these names, after others were loaded."""
        if etc is not None and not can_replace_etc():
            raise Unavailable("only root can give a process an /etc of its own")
        return Load(
            names=tuple((name, mode) for name in names),
            before=(*((name, os.RTLD_GLOBAL) for name in before_global), *((name, 0) for name in before)),
            cwd=cwd,
            environment=environment or {},
            user=user,
            patience=patience,
            program=program,
            opener=opener,
            no_write_execute=no_write_execute,
            etc=etc,
        )


_PYTHON = """
int Py_BytesMain(int, char **);
int main(int count, char **words) { return Py_BytesMain(count, words); }
"""
GOOD = write(Library(soname="libx.so.1", exports=(Export(name="x"),)))
LOADS = "loads"
ANY = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A named question. The name begins with the number of the rule in the loader reference.

    `ends` is part of what the real loader must show: LOADS, a piece of its message, or what the process dies of;
    ANY where that hangs on the version of the loader. Where `certain` is false the prediction must either agree or
    say of itself that it is not certain.
    """

    id: str
    ends: str
    lay_out: Callable[[Scene], Load]
    certain: bool = True
