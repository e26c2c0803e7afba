"""Figures that only a fresh process can give: each scenario has one to itself and prints its samples as JSON.

Times are milliseconds. Nothing is imported here that a scenario would have to load itself.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Samples = dict[str, list[float]]


def repeat(call: Callable[[], object], count: int) -> list[float]:
    """How long each of `count` calls takes."""
    samples = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        samples.append((time.perf_counter() - begin) * 1000)
    return samples


def host() -> Samples:
    """this_host(): the first call of a process, and later ones."""
    from tfguard.hosts.live import this_host

    return {"first": repeat(this_host, 1), "again": repeat(this_host, 100)}


def nothing_refused(*_: object) -> None:
    """In the place of a check; a Mock would take longer than what it stands for."""


def closure(path: str, count: str) -> Samples:
    """What dlopen would map for a file, symbols aside; with and without what libtree does not do."""
    from dataclasses import replace
    from unittest import mock

    from tfguard.binary import elf, versions
    from tfguard.hosts.host import Host
    from tfguard.hosts.live import this_host
    from tfguard.loader import glibc

    living = this_host()
    empty = replace(living, loaded=())

    def resolve(host: Host) -> int:
        with glibc.Process(host) as process:
            trace = process.dlopen(path, symbols=False)
        if trace.failure is not None:
            raise RuntimeError(trace.failure.says)
        return len(trace.images)

    found = {
        "first": repeat(lambda: resolve(living), 1),
        "closure": repeat(lambda: resolve(living), int(count)),
        "with host": repeat(lambda: resolve(this_host()), int(count)),
        "empty process": repeat(lambda: resolve(empty), int(count)),
        "images": [float(resolve(living))],
        "images of an empty process": [float(resolve(empty))],
    }
    found["files anew"] = []
    for _ in range(int(count)):
        versions._known.clear()
        elf._known.clear()
        found["files anew"] += repeat(lambda: resolve(living), 1)
    # libtree finds files and checks no versions
    if hasattr(glibc, "refused_versions"):
        with mock.patch.object(glibc, "refused_versions", nothing_refused):
            found["no versions"] = repeat(lambda: resolve(living), int(count))
            found["empty process, no versions"] = repeat(lambda: resolve(empty), int(count))
    return found


def op(path: str, count: str) -> Samples:
    """check_library(op, after="tensorflow") where TensorFlow is not loaded."""
    import tfguard

    check = tfguard.check_library
    return {
        "first": repeat(lambda: check(path, after="tensorflow").raise_for_errors(), 1),
        "again": repeat(lambda: check(path, after="tensorflow").raise_for_errors(), int(count)),
    }


def op_loaded(path: str, count: str) -> Samples:
    """The same in a process that has imported TensorFlow."""
    __import__("tensorflow")
    return op(path, count)


def everything(count: str) -> Samples:
    """check_import("tensorflow") with the symbols of all its libraries."""
    import tfguard

    check = tfguard.check_import
    return {
        "first": repeat(lambda: check("tensorflow").raise_for_errors(), 1),
        "again": repeat(lambda: check("tensorflow").raise_for_errors(), int(count)),
    }


def default(count: str) -> Samples:
    """What safe_import checks by default."""
    import tfguard

    check = tfguard.check_import
    return {
        "first": repeat(lambda: check("tensorflow", symbols="auto").raise_for_errors(), 1),
        "again": repeat(lambda: check("tensorflow", symbols="auto").raise_for_errors(), int(count)),
    }


def plain() -> Samples:
    """The import that is guarded, without the interpreter's start and end."""
    return {"import": repeat(lambda: __import__("tensorflow"), 1)}


class Reached(BaseException):
    """The import system was asked for TensorFlow: nothing of the guard comes before the real import any more."""


class StopAtTensorFlow:
    """A finder that ends the import of TensorFlow where it begins."""

    def find_spec(self, name: str, *_: object) -> None:
        """No module is found here; a question for TensorFlow raises Reached."""
        if name == "tensorflow":
            raise Reached


def added(*modules: str) -> Samples:
    """What safe_import does before TensorFlow's own import, with these modules loaded: those that it loads anyway."""
    import warnings

    for name in modules:
        __import__(name)
    sys.meta_path.insert(0, StopAtTensorFlow())
    warnings.simplefilter("error")  # a guard that trips only warns, and is quick about it
    begin = time.perf_counter()
    import tfguard

    safe_import = tfguard.safe_import
    imported = time.perf_counter()
    try:
        safe_import("tensorflow")
    except Reached:
        end = time.perf_counter()
    return {
        "import": [(imported - begin) * 1000],
        "check": [(end - imported) * 1000],
        "added": [(end - begin) * 1000],
    }


def modules_of_guard() -> list[str]:
    """Every module of others that safe_import loads before TensorFlow's own import."""
    added()
    return [name for name in sys.modules if not name.startswith(("tfguard", "_frozen", "__main__"))]


def modules_of_tensorflow() -> list[str]:
    """Every module that `import tensorflow` loads."""
    __import__("tensorflow")
    return list(sys.modules)


def memory(what: str, path: str) -> Samples:
    """The highest resident memory of the process, in KiB, after nothing, the check of an op, or everything."""
    if what != "nothing":
        import tfguard

        if what == "op":
            tfguard.check_library(path, after="tensorflow").raise_for_errors()
        else:
            tfguard.check_import("tensorflow").raise_for_errors()
    # ru_maxrss would do, but for a spawned process it starts at what the parent had
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(line for line in status if line.startswith("VmHWM:"))
    return {"KiB": [float(peak.split()[1])]}


SCENARIOS: dict[str, Callable[..., object]] = {
    one.__name__: one
    for one in (
        host, closure, op, op_loaded, everything, default,
        plain, added, modules_of_guard, modules_of_tensorflow, memory,
    )
}  # fmt: skip


if __name__ == "__main__":
    result = SCENARIOS[sys.argv[1]](*sys.argv[2:])
    import json

    print(json.dumps(result))
