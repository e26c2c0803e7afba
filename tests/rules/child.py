"""Runs in a process of its own: checks one load with tfguard, then does it in a fork, and prints both as JSON."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.real_loader import mapped_in_fork
from tfguard.binary.files import Disk
from tfguard.checks.check import check_import, check_library
from tfguard.hosts.host import Host, Limits, Processor
from tfguard.hosts.live import this_host
from tfguard.hosts.mac import Mac
from tfguard.hosts.root import HERE
from tfguard.installed.python import Python, this_python
from tfguard.report import Report
from tfguard.telling.render import as_dict


def _mac(told: dict[str, Any]) -> Host:  # Any: parsed JSON
    root = str(told.pop("root"))
    values: dict[str, Any] = {  # Any: fields of Mac
        name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
    }
    return Host(loader="dyld", mac=Mac(files=Disk(root), **values))


def _host(changes: dict[str, object]) -> Host:
    host = this_host()
    values = dict(changes)
    if "features" in values:
        values["features"] = host.features | set(values["features"])  # type: ignore[call-overload]  # a list of words
    if "version" in values:
        values["version"] = tuple(values["version"])  # type: ignore[arg-type]  # a list of two numbers
    if "processor" in values:
        told = values["processor"]
        assert isinstance(told, dict)
        values["processor"] = Processor(**(told | {"features": frozenset(told["features"])}))
    if "limits" in values:
        values["limits"] = Limits(**values["limits"])  # type: ignore[arg-type]  # an object of its fields
    return replace(host, **values)  # type: ignore[arg-type]  # each key is a field of Host


def _python(changes: dict[str, object]) -> Python:
    python = this_python()
    listed = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return python._replace(**listed)  # type: ignore[arg-type]  # each key is a field of Python


def _report(request: dict[str, object]) -> Report:
    target, door, host = str(request["target"]), request["door"], _host(request["host"])  # type: ignore[arg-type]
    if request["mac"] is not None:
        host = _mac(request["mac"])  # type: ignore[arg-type]  # as above
    if door == "import":
        python = _python(request["python"])  # type: ignore[arg-type]  # JSON
        return check_import(target, host=host, python=python, gpu=bool(request["gpu"]))
    if door == "lost ops":
        return _lost_ops(target, host, request["registered"])  # type: ignore[arg-type]  # a list of texts
    if door == "guarded":
        import tfguard

        try:
            tfguard.safe_import(target)
        except tfguard.GuardError as error:
            return error.report
        raise AssertionError(f"{target} was imported")
    return check_library(target, after="tensorflow" if door == "op" else None, host=host)


def _lost_ops(target: str, host: Host, registered: list[str]) -> Report:
    """The answer of load_op_library, without a TensorFlow to ask for the names that it knows."""
    from tfguard.case import Case
    from tfguard.evidence.op_names import lost_ops
    from tfguard.loader.trace import Trace
    from tfguard.rules import judge

    failure = lost_ops(target, host, "/nowhere", registered.__contains__)
    assert failure is not None
    trace = Trace(target=target, lookups=(), images=(), failure=failure)
    found = judge(Case(target=target, host=host, trace=trace, failure=failure, is_op=True))
    return Report(target=target, host=host, findings=found)


def _fail_to_import(name: str, folder: str) -> None:
    """Import a package from a folder where it cannot be, and take the folder away."""
    sys.path.insert(0, folder)
    with suppress(ImportError):
        importlib.import_module(name)
    sys.path.remove(folder)
    assert name not in sys.modules


def _real(request: dict[str, object]) -> dict[str, object]:
    was = mapped_in_fork(str(request["target"]), patience=2)
    return {"message": was.message, "died": was.died, "loads": was.loads}


def _words(host: Host) -> dict[str, str]:
    """What is particular to this machine, and what stands for it in a golden text."""
    from tfguard.evidence.investigate import _system

    system, _ = _system(HERE)
    words = {sys.executable: "/venv/bin/python", os.path.realpath(sys.prefix): "/venv", sys.prefix: "/venv"}
    if system:
        words[f"this is {system}"] = "this is SYSTEM"
        words[system] = "SYSTEM"
    for directory in host.system_directories:
        words[f"{directory}/lib"] = "/system/lib"
    return words


def _python_words() -> dict[str, str]:
    short = f"{sys.version_info[0]}.{sys.version_info[1]}"
    words = {f"Python {short}": "Python 3.NN", f"Python ({short}": "Python (3.NN", os.path.dirname(os.__file__): "/lib"}
    full = f"{short}.{sys.version_info[2]}"
    words |= {f"({full}": "(3.NN.N", f"Python ({full}": "Python (3.NN.N", f"cp{short.replace('.', '')}": "cp3NN"}
    return words


def main() -> None:
    """Answer the one request on standard input."""
    request = json.load(sys.stdin)
    for folder in reversed(request["path"]):
        sys.path.insert(0, folder)
    sys.path.append(request["readers"])
    for name in request["before_global"]:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    for name in request["before"]:
        ctypes.CDLL(name)
    if request["first"] is not None:
        _fail_to_import(request["target"], request["first"])
    if request["replaced"] is not None:
        module, old, new = request["replaced"]
        importlib.import_module(module)
        os.rename(old, new)
    if request["late"] is not None:
        os.environ["LD_LIBRARY_PATH"] = request["late"]
    report = _report(request)
    findings = as_dict(report)["findings"]
    assert isinstance(findings, list)
    from tfguard.evidence.investigate import _system

    asks = request["asks"] and not request["host"] and request["mac"] is None and request["door"] in ("library", "op")
    answer = {
        "finding": findings[0] if findings else None,
        "codes": [one["code"] for one in findings],
        "real": _real(request) if asks else None,
        "words": _words(report.host) | _python_words(),
        "installer": _system(HERE)[1],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
