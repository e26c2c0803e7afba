"""Cases of what the kernel forbids: file systems mounted noexec, memory writable and executable: G-41, G-50, G-56."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene, Unavailable
from tests.support.elf_edit import dynamic_value, with_segment
from tests.support.elf_writer import PF_R, Export, Import, Library, write
from tests.support.real_loader import Load
from tfguard.image import DT_FLAGS, DT_RELA, DT_TEXTREL, PF_W, PF_X, PT_LOAD

_PLAIN = write(Library(soname="libx.so.1", exports=(Export(name="x"),)))


def noexec_place(scene: Scene) -> Path:
    """A folder on a file system mounted noexec, made for the case."""
    if os.geteuid() != 0:
        raise Unavailable("only root can mount a file system noexec")
    place = Path(scene.directory("noexec"))
    command = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise Unavailable("no file system can be mounted here")
    return place


def _noexec(scene: Scene) -> Load:
    path = noexec_place(scene) / "libx.so"
    path.write_bytes(_PLAIN)
    return scene.load(str(path))


def _noexec_first(scene: Scene) -> Load:
    """A copy that may not be mapped ends the search, although a good one comes later (G-65)."""
    place = noexec_place(scene)
    (place / "libx.so.1").write_bytes(GOOD)
    scene.fill(GOOD, "good")
    return scene.load(scene.top(runpath=f"{place}:{scene.root}/good"))


def _noexec_data_alone(scene: Scene) -> Load:
    """A file without an executable segment may be mapped from anywhere."""
    path = noexec_place(scene) / "libx.so"
    path.write_bytes(with_segment(_PLAIN, PT_LOAD, 0, flags=PF_R))
    return scene.load(str(path))


def _denied(data: bytes | Callable[[Scene], str]) -> Callable[[Scene], Load]:
    """A load where memory may not be writable and executable (PR_SET_MDWE)."""

    def lay_out(scene: Scene) -> Load:
        path = scene.write("libx.so", data) if isinstance(data, bytes) else data(scene)
        return scene.load(path, no_write_execute=True)

    return lay_out


def _text_relocations(*, flags: int, tag: int = DT_TEXTREL) -> bytes:
    """An object whose one relocation writes into its first segment, which has these flags; marked."""
    extra = ((tag, 4 if tag == DT_FLAGS else 0),)
    data = bytearray(write(Library(exports=(Export(name="x"),), imports=(Import(name="x"),), extra=extra)))
    table = dynamic_value(bytes(data), DT_RELA)
    data[table : table + 8] = bytes(8)
    return with_segment(bytes(data), PT_LOAD, 0, flags=flags)


def _stack_loaded_before(scene: Scene) -> Load:
    """Up to glibc 2.40 an object loaded before may have made the stack executable already."""
    first = scene.library("libfirst.so", soname="libfirst.so", stack=7)
    return scene.load(scene.library("libx.so", stack=7), before=(first,), no_write_execute=True)


def _of_a_dependency(scene: Scene) -> Load:
    scene.write("deep/libx.so.1", _text_relocations(flags=PF_R | PF_X))
    return scene.load(scene.top(runpath=f"{scene.root}/deep"), no_write_execute=True)


_TEXT = "cannot make segment writable for relocation: Permission denied"

CASES = (
    Case("G-41-noexec-mount", "failed to map segment from shared object", _noexec),
    Case("G-41-noexec-ends-the-search", "libx.so.1: failed to map segment", _noexec_first),
    Case("G-41-noexec-without-code", LOADS, _noexec_data_alone),
    Case("G-41-no-write-execute-sound", LOADS, _denied(_PLAIN)),
    Case("G-41-no-write-execute-segment", "failed to map segment",
         _denied(with_segment(_PLAIN, PT_LOAD, 1, flags=PF_R | PF_W | PF_X))),
    Case("G-41-no-write-execute-first-segment", "failed to map segment",
         _denied(with_segment(_PLAIN, PT_LOAD, 0, flags=PF_R | PF_W | PF_X))),
    Case("G-50-no-write-execute", "cannot enable executable stack",
         _denied(lambda scene: scene.library("libx.so", stack=7))),
    Case("G-50-no-write-execute-loaded-before", ANY, _stack_loaded_before),
    Case("G-56-no-write-execute", _TEXT, _denied(_text_relocations(flags=PF_R | PF_X))),
    Case("G-56-no-write-execute-by-flags", _TEXT, _denied(_text_relocations(flags=PF_R | PF_X, tag=DT_FLAGS))),
    Case("G-56-no-write-execute-not-executable", LOADS, _denied(_text_relocations(flags=PF_R))),
    Case("G-56-no-write-execute-of-a-dependency", _TEXT, _of_a_dependency),
)  # fmt: skip
