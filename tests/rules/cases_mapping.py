"""Cases of the rules about a sound library that the loader may not map, or that ends the process when it does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

from tests.loader.scene import Scene, Unavailable
from tests.rules.stage import Question, RuleCase
from tests.support.elf_edit import dynamic_value, with_segment
from tests.support.elf_writer import Export, Import, Library, write
from tfguard.image import DF_1_NOOPEN, DT_RELA, DT_TEXTREL, PT_LOAD, Filtee

_PLAIN = write(Library(soname="op.so", exports=(Export(name="x"),)))
_SOURCE = "int answer(void) { return 42; }"

LayOut = Callable[[Scene], Question]


def _build(scene: Scene, name: str, *options: str, source: str = _SOURCE) -> str:
    return scene.write(name, scene.compiler.build(source, *options).read_bytes())


def _debug_only(scene: Scene) -> Question:
    built = _build(scene, "full.so", "-shared", "-fPIC", "-nostdlib", "-g")
    path = scene.path("op.so")
    subprocess.run(["objcopy", "--only-keep-debug", built, path], check=True)
    return Question(target=path)


def _noexec(scene: Scene) -> Question:
    place = scene.directory("data")
    command = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        raise Unavailable("no file system can be mounted here")
    return Question(target=scene.write("data/op.so", _PLAIN))


def _executable_stack(flags: int | None) -> LayOut:
    host = {"features": ["no-executable-stack"], "version": [2, 41]}
    return lambda scene: Question(target=scene.library("op.so", soname="op.so", stack=flags), host=host)


def _static_tls(scene: Scene) -> Question:
    source = "static __thread char block[9000]; char *at(int i) { return block + i; }"
    return Question(target=_build(scene, "op.so", "-shared", "-fPIC", "-ftls-model=initial-exec", source=source))


def _static_tls_used(scene: Scene) -> Question:
    """What other libraries took before counts."""
    source = "static __thread char block[{}]; char *{}(int i) {{ return block + i; }}"
    options = ("-shared", "-fPIC", "-ftls-model=initial-exec")
    first = _build(scene, "first.so", *options, source=source.format(1000, "first"))
    target = _build(scene, "op.so", *options, source=source.format(900, "op"))
    return Question(target=target, before=(first,))


def _write_execute(**fields: Any) -> LayOut:  # Any: the fields of Library
    host = {"refuses_write_execute": True}
    return lambda scene: Question(target=scene.library("op.so", soname="op.so", **fields), host=host)


def _writable_code(scene: Scene) -> Question:
    data = with_segment(_PLAIN, PT_LOAD, 0, flags=7)
    return Question(target=scene.write("op.so", data), host={"refuses_write_execute": True})


def _text_relocation(scene: Scene) -> Question:
    data = bytearray(write(Library(soname="op.so", exports=(Export(name="x"),), imports=(Import(name="x"),))))
    table = dynamic_value(bytes(data), DT_RELA)
    data[table : table + 8] = (64).to_bytes(8, "little")
    return Question(target=scene.write("op.so", bytes(data)))


def _token_in_secure_mode(scene: Scene) -> Question:
    target = scene.library("op.so", soname="op.so", needed=("$ORIGIN/libx.so.1",))
    return Question(target=target, host={"secure": True})


def _filter(scene: Scene) -> Question:
    """Its filtee is there, and opening it dies all the same."""
    scene.library("libx.so.1", soname="libx.so.1", exports=(Export(name="x"),))
    filtees = (Filtee("libx.so.1", optional=False, after=0),)
    return Question(target=scene.library("op.so", filtees=filtees, runpath="$ORIGIN"), host={"version": [2, 31]})


def _filters_in_a_circle(scene: Scene) -> Question:
    """Each names the other, which ld.so must put before it."""
    back = (Filtee("op.so", optional=False, after=0),)
    scene.library("libx.so.1", soname="libx.so.1", filtees=back, runpath="$ORIGIN")
    there = (Filtee("libx.so.1", optional=False, after=0),)
    scene.library("op.so", soname="op.so", filtees=there, runpath="$ORIGIN")
    return Question(target=scene.library("top.so", needed=("op.so",), runpath="$ORIGIN"))


CASES = (
    RuleCase("TFG128", _noexec),
    RuleCase("TFG129", _executable_stack(7)),
    RuleCase("TFG129-unmarked", _executable_stack(None)),
    RuleCase("TFG130", lambda scene: Question(target=scene.library("op.so", soname="op.so", flags_1=DF_1_NOOPEN))),
    RuleCase("TFG131", _debug_only),
    RuleCase("TFG132", _static_tls),
    RuleCase("TFG132-used-before", _static_tls_used),
    RuleCase("TFG150", _write_execute(extra=((DT_TEXTREL, 0),))),
    RuleCase("TFG150-stack", _write_execute(stack=7)),
    RuleCase("TFG150-segment", _writable_code),
    RuleCase("TFG151", _text_relocation),
    RuleCase("TFG152", _token_in_secure_mode),
    RuleCase("TFG154", _filter),
    RuleCase("TFG154-circle", _filters_in_a_circle),
)  # fmt: skip
