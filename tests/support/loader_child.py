"""Runs in a process of its own: predicts loads with tfguard, then asks the real loader, and prints both as JSON.

Reads a JSON list of requests on standard input; every request is served by a fork, so that a load that kills the
process kills that fork. The answers are lines on the descriptor given as first argument.
"""

from __future__ import annotations

import _ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.loading import LIBC, load_library, load_through, mapped_objects
from tests.support.own_etc import replace_etc
from tfguard.hosts.host import Host
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Trace

_PR_SET_DUMPABLE = 4
_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


def caller_of(process: Process, opener: str | None) -> LinkMap | None:
    """The object whose code calls dlopen: an opener, or that of ctypes (ld-so.md I-02); None is the main program."""
    if opener is not None:
        return next(link for link in process.links if link.path == opener)
    path = getattr(_ctypes, "__file__", None)
    if path is None:
        return next((link for link in process.links if "libpython" in os.path.basename(link.path)), None)
    return next(link for link in process.links if link.path and os.path.realpath(link.path) == os.path.realpath(path))


def told(trace: Trace) -> dict[str, object]:
    """A trace as plain values."""
    failure = trace.failure
    return {
        "images": [image.path for image in trace.images],
        "failure": None
        if failure is None
        else {
            name: getattr(failure, name)
            for name in ("kind", "rule", "message", "signal", "certain", "path", "name", "requirer", "detail")
        },
    }


def serve(request: dict[str, object], out: int) -> None:
    """One request: what is loaded before, then the loads asked about, predicted and done."""

    def say(**fields: object) -> None:
        os.write(out, json.dumps(fields).encode() + b"\n")

    etc = request["etc"]
    if isinstance(etc, dict) and "ld.so.preload" not in etc:
        replace_etc(etc)
    if request["cwd"]:
        os.chdir(str(request["cwd"]))
    before, loads = request["before"], request["names"]
    assert isinstance(before, list)
    assert isinstance(loads, list)
    for name, mode in before:
        if (message := load_library(name, mode)) is not None:
            raise RuntimeError(f"loaded before: {message}")
    opener = str(request["opener"]) if request["opener"] is not None else None
    if opener is not None and (message := load_library(opener, 0)) is not None:
        raise RuntimeError(f"the opener: {message}")
    if request["no_write_execute"]:
        mapped_objects()  # ctypes makes its own executable memory once
        if LIBC.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
            raise RuntimeError("this kernel has no PR_SET_MDWE")
    if request["user"] is not None:
        os.setegid(int(str(request["user"])))
        os.seteuid(int(str(request["user"])))
        LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would be root's
    begin = time.perf_counter()
    host: Host = this_host()
    with Process(host) as process:
        traces = [
            process.dlopen(name, caller=caller_of(process, opener), make_global=bool(mode & os.RTLD_GLOBAL))
            for name, mode in loads
        ]
    say(predicted=[told(trace) for trace in traces], seconds=time.perf_counter() - begin)
    for name, mode in loads:
        known = {address for address, _ in mapped_objects()}
        message = load_library(name, mode) if opener is None else load_through(opener, name, mode)
        say(message=message, mapped=[path for address, path in mapped_objects() if address not in known])


def in_fork(request: dict[str, object], out: int) -> None:
    """Serve a request in a fork and say how it ended."""
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            status = 0
            os.dup2(errors.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(int(str(request["patience"])))
            try:
                serve(request, out)
            except BaseException:
                os.write(out, json.dumps({"trouble": traceback.format_exc()}).encode() + b"\n")
                status = 3
            os._exit(status)
        _, status = os.waitpid(child, 0)
        errors.seek(0)
        ended = {"status": os.waitstatus_to_exitcode(status), "stderr": os.fsdecode(errors.read())}
    os.write(out, json.dumps({"ended": ended}).encode() + b"\n")


def main() -> None:
    """Answer all requests."""
    for request in json.load(sys.stdin):
        in_fork(request, int(sys.argv[1]))


if __name__ == "__main__":
    main()
