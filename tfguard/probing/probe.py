"""The door that loads for real, in a child: probe() turns how the child ends into findings."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from tfguard.hosts.host import Host
from tfguard.probing.child import Ending, run
from tfguard.probing.death import findings_of
from tfguard.report import Report

if TYPE_CHECKING:
    from tfguard.checks.check import StrPath

Kind = Literal["import", "library", "op library"]


def probe(
    target: StrPath | bytes = "tensorflow",
    *,
    timeout: float = 120.0,
    memory: int | None = None,
    python: tuple[str, ...] = (),
    ignore: Collection[str] = (),
) -> Report:
    """Load a package or library for real in a child process, and say what became of it.

    `target` is the name of a package, or the path of a library, which is opened as `tf.load_op_library` would where it
    needs TensorFlow's framework. The child gets `timeout` seconds and `memory` bytes (nine tenths of what is free where
    it is None); it is ended when it takes more, and tells where it stood. `python` is the command that starts the
    interpreter, this one where it is empty. What the child writes is kept to the first and last 64 KiB.

    Unlike every check this runs the code of what is loaded, and costs as much time as the load. Raises TypeError for
    what is no path, else nothing.
    """
    name = os.fsdecode(target)
    kind = _kind(name)
    try:
        ending = run(kind, name, timeout=timeout, memory=memory, python=python or (sys.executable,))
    except OSError as error:  # no process could be started
        return Report(target=name, host=Host(), kind=kind, skipped=(f"no child could be started: {error}",))
    return report_of(name, kind, ending, ignore)


def report_of(name: str, kind: Kind, ending: Ending, ignore: Collection[str] = ()) -> Report:
    """The report for the end of a child."""
    from tfguard.hosts.live import this_host

    left_out = {code.upper() for code in ((ignore,) if isinstance(ignore, str) else ignore)}
    findings = tuple(one for one in findings_of(name, ending) if one.code not in left_out)
    return Report(target=name, host=_plain(this_host()), findings=findings, kind=kind, depth="loaded")


def _plain(host: Host) -> Host:
    from dataclasses import replace

    return replace(host, sees_global_symbol=None)


def _kind(name: str) -> Kind:
    base = os.path.basename(name)
    if os.sep not in name and ".so" not in base and not base.endswith(".dylib"):
        return "import"
    from tfguard.binary.elf import look_at
    from tfguard.image import Image

    image = look_at(name).content
    needed = image.needed if isinstance(image, Image) else ()
    is_op = any(os.path.basename(one).startswith("libtensorflow_framework.") for one in needed)
    return "op library" if is_op else "library"
