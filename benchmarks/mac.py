"""Measures what a wheel for macOS costs to judge, from any machine, beside macholib: python benchmarks/mac.py WHEEL.

TensorFlow's: python -m pip download --no-deps --only-binary=:all: --platform macosx_12_0_arm64 --python-version 311
tensorflow==2.21.0
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from compileall import compile_dir
from pathlib import Path

from measure import run_once

import tfguard

_TIMES = 7


def unpacked(wheel: Path, folder: Path) -> list[Path]:
    """The native files of a wheel, in a folder."""
    with zipfile.ZipFile(wheel) as archive:
        names = [one for one in archive.namelist() if one.endswith((".so", ".dylib"))]
        return [Path(archive.extract(one, folder)) for one in names]


def milliseconds(work: Callable[[], object], times: int = _TIMES) -> str:
    """Median of processor time, with the lowest and the highest."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(1000 * (time.process_time() - begun))
    return f"{statistics.median(found):.1f} ms ({min(found):.1f} to {max(found):.1f})"


def load_commands(paths: Sequence[Path]) -> None:
    from tfguard.binary.macho import look_at_macho

    for one in paths:
        look_at_macho(str(one))


def with_macholib(paths: Sequence[Path]) -> None:
    from macholib.MachO import MachO

    for one in paths:
        MachO(str(one), allow_unknown_load_commands=True)


def in_place(wheel: Path) -> str:
    """The command as a user gives it, each time in a new process: median of wall time, with that of its processor."""
    command = (sys.executable, "-m", "tfguard", "check", "--host", "macos-14-arm64", str(wheel))
    runs = [run_once(command, os.environ) for _ in range(_TIMES)]
    wall = statistics.median(one[0] for one in runs)
    return f"{wall:.0f} ms of wall time, {statistics.median(one[1] for one in runs):.0f} ms of processor time"


def main(arguments: Sequence[str]) -> int:
    """Print the figures of one wheel."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for name in [one for one in os.environ if one.startswith("PYTHON") and one != "PYTHONPATH"]:
        del os.environ[name]
    compile_dir(os.path.dirname(tfguard.__file__), quiet=2)
    wheel = Path(arguments[0])
    with tempfile.TemporaryDirectory() as folder:
        paths = unpacked(wheel, Path(folder))
        print(f"{len(paths)} native files, {sum(one.stat().st_size for one in paths) / 1e6:.0f} MB unpacked")
        print(f"load commands of all       {milliseconds(lambda: load_commands(paths))}")
        print(f"the same with macholib     {milliseconds(lambda: with_macholib(paths))}")
    print(f"the wheel judged in place  {in_place(wheel)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
