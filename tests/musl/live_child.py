"""Run by a Python of musl: foretells the load of each file named on standard input, does it, and tells both.

A line of JSON for each, from a fork of its own: what tfguard says, then what happened; and one about the host first.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

from tfguard import check_library, this_host


def tell(**words: object) -> None:
    """Write one line."""
    os.write(1, json.dumps(words).encode() + b"\n")


def put(path: str) -> None:
    """Foretell one load and do it."""
    report = check_library(path)
    failure = report.trace.failure if report.trace is not None else None
    tell(
        path=path,
        images=[one.path for one in report.trace.images] if report.trace is not None else [],
        rule=failure.rule if failure is not None else None,
        message=failure.message if failure is not None else None,
        signal=failure.signal if failure is not None else None,
        certain=failure.certain if failure is not None else True,
        codes=[one.code for one in report.findings],
    )
    before = set(map_names())
    try:
        ctypes.CDLL(path)
    except OSError as error:
        tell(path=path, said=str(error))
    else:
        tell(path=path, said=None, mapped=[one for one in map_names() if one not in before])


def map_names() -> list[str]:
    """The names of the loaded objects, as musl has them."""
    return [one.path for one in this_host().loaded]


def main() -> None:
    """Answer for every path."""
    host = this_host()
    tell(loader=host.loader, version=host.version, features=sorted(host.features), skipped=host.skipped)
    check_library("/lib/none.so")  # what tfguard itself imports for a check is not what a load brings
    for path in sys.stdin.read().splitlines():
        child = os.fork()
        if child == 0:
            try:
                put(path)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        tell(path=path, ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
