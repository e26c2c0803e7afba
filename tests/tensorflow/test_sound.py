"""The central claims on the real wheel: nothing found, and every image foreseen as the real loader maps it."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.packages import ROOT, run
from tfguard.installed.installation import Package, find_package, natives_of

pytestmark = pytest.mark.tensorflow

# Predicts the images of each given load, then does the loads: what the loader has mapped after each, in its order.
LOADS = """
import ctypes, json, os, sys
sys.path.insert(0, ROOT)
from tests.support.loading import load_library, mapped_objects
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process
loads = LOADS
answers = []
with Process(this_host()) as process:
    traces = [process.dlopen(path, make_global=mode) for path, mode in loads]
for (path, mode), trace in zip(loads, traces):
    known = {address for address, _ in mapped_objects()}
    message = load_library(path, os.RTLD_GLOBAL if mode else 0)
    mapped = [name for address, name in mapped_objects() if address not in known]
    answers.append([path, [image.path for image in trace.images], mapped, message,
                    None if trace.failure is None else trace.failure.message])
print(json.dumps(answers))
"""

# With TensorFlow imported, predicts and does the load of each file, each in a fork.
AFTER_CORE = """
import json, sys
import tensorflow
sys.path.insert(0, ROOT)
from tests.support.real_loader import mapped_in_fork
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process
host = this_host()
answers = []
for path in PATHS:
    with Process(host) as process:
        said = process.dlopen(path)
    was = mapped_in_fork(path, collect=True, patience=60)
    answers.append([path, [] if said.failure else [image.path for image in said.images], was.mapped, was.message,
                    None if said.failure is None else said.failure.message, was.died])
print(json.dumps(answers))
"""

# The whole import, once played and once real, in one process.
IMPORT = """
import json, sys, time
import tfguard
sys.path.insert(0, ROOT)
from tests.support.loading import mapped_objects
known = {address for address, _ in mapped_objects()}
report = tfguard.check_import()
assert "tensorflow" not in sys.modules and "numpy" not in sys.modules
import tensorflow
mapped = [name for address, name in mapped_objects() if address not in known]
print(json.dumps([[image.path for image in report.images], mapped]))
"""


def tensorflow() -> Package:
    package = find_package("tensorflow")
    if package is None:
        pytest.skip("TensorFlow is not installed in this environment")
    return package


def find_site() -> str:
    return os.path.dirname(tensorflow().directory or "") + os.sep


def natives(*, everything: bool) -> list[tuple[str, bool]]:
    found = natives_of(tensorflow(), everything=everything)
    return [(one.path, one.make_global) for one in found if one.path is not None]


def test_nothing_is_found(tmp_path: Path) -> None:
    """check_import("tensorflow"): ok, no finding, nothing left out, and TensorFlow not imported."""
    code = (
        "import json, sys, tfguard\nreport = tfguard.check_import()\n"
        "print(json.dumps([report.ok, len(report.findings), list(report.skipped), str(report),\n"
        " 'tensorflow' in sys.modules, any('/tensorflow/' in line for line in open('/proc/self/maps'))]))"
    )

    ok, count, skipped, text, imported, mapped = run(code, tmp_path)

    assert ok, text
    assert count == 0, text
    assert skipped == []
    assert text.startswith("tensorflow: ok, ")
    assert not imported
    assert not mapped


def test_safe_import_gives_back_the_module(tmp_path: Path) -> None:
    """safe_import() without a warning; the module works."""
    code = (
        "import json, warnings, tfguard\nwarnings.simplefilter('error', tfguard.GuardWarning)\n"
        "tf = tfguard.safe_import()\nimport tensorflow\n"
        "print(json.dumps([tf is tensorflow, int(tf.reduce_sum(tf.constant([1, 2, 3])))]))"
    )

    assert run(code, tmp_path) == [True, 6]


def test_first_native_import_path_for_path(tmp_path: Path) -> None:
    """The images predicted for the first native import are those that the real loader maps, in its order."""
    first = natives(everything=False)[0]

    ((path, said, mapped, message, foreseen),) = run(
        LOADS.replace("ROOT", repr(str(ROOT))).replace("LOADS", repr([first])), tmp_path
    )

    assert (message, foreseen) == (None, None)
    assert said == mapped
    assert said[0] == path
    assert len(said) > 1


def test_first_native_import_in_the_loaders_own_words(tmp_path: Path) -> None:
    """The same order in what LD_DEBUG=files prints: `generating link map` for each object as it is mapped."""
    first = natives(everything=False)[0]
    environment = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(tmp_path / "log")}
    code = LOADS.replace("ROOT", repr(str(ROOT))).replace("LOADS", repr([first]))

    ((path, said, _, _, _),) = run(code, tmp_path, environment=environment)
    (log,) = tmp_path.glob("log.*")
    lines = log.read_text(errors="surrogateescape").splitlines()
    begin = next(number for number, line in enumerate(lines) if f"file={path} [0];  dynamically loaded" in line)
    mapped = [line.split("file=")[1].split(" [0]")[0] for line in lines[begin:] if ";  generating link map" in line]

    # it prints names as they were asked for: of a library that was searched, the name without its place
    assert [os.path.basename(one) for one in mapped] == [os.path.basename(one) for one in said]


def test_all_natives_path_for_path(tmp_path: Path) -> None:
    """The same for each native file of the import, one after another in one process."""
    loads = natives(everything=False)

    answers = run(LOADS.replace("ROOT", repr(str(ROOT))).replace("LOADS", repr(loads)), tmp_path)

    assert len(answers) == len(loads) > 20
    for path, said, mapped, message, foreseen in answers:
        assert (message, foreseen) == (None, None), path
        assert said == mapped, path


def test_every_shared_object_with_tensorflow_loaded(tmp_path: Path) -> None:
    """Each shared object of this environment opened in a process that has TensorFlow loaded: no false alarm, no miss.

    What dies in a constructor (TensorFlow's modules that bring their own copy of it) was bound by then: no miss.
    """
    site = Path(find_site())
    paths = sorted({os.path.realpath(path): str(path) for path in site.rglob("*.so*") if path.is_file()}.values())

    answers = run(AFTER_CORE.replace("ROOT", repr(str(ROOT))).replace("PATHS", repr(paths)), tmp_path)

    assert len(answers) > 50
    for path, said, mapped, message, foreseen, died in answers:
        if died is not None:
            assert foreseen is None, path
        else:
            assert foreseen == message, path
            assert said == mapped, path


def test_whole_import_maps_what_was_foreseen(tmp_path: Path) -> None:
    """`import tensorflow` itself maps TensorFlow's files as foreseen, before any that it may only load."""
    said, mapped = run(IMPORT.replace("ROOT", repr(str(ROOT))), tmp_path)

    # of other distributions, which change without regard to TensorFlow, only the order of what was foreseen;
    # and modules of the standard library bring in system libraries before TensorFlow would
    site = find_site()
    foreseen = [path for path in said if path in set(mapped) and path.startswith(site)]
    assert foreseen == [path for path in mapped if path in set(said) and path.startswith(site)]
    own = f"{os.sep}tensorflow{os.sep}"
    really = [path for path in mapped if own in path]
    assert really
    assert [path for path in said if own in path][: len(really)] == really


def test_the_list_is_the_order_of_the_real_import(tmp_path: Path) -> None:
    """What the loader says (LD_DEBUG) that the import opens is the list in data/natives, in its order."""
    spec = importlib.util.spec_from_file_location("record_natives", ROOT / "tools" / "record_natives.py")
    assert spec is not None
    assert spec.loader is not None
    record: Any = importlib.util.module_from_spec(spec)  # Any: a program, not a module of the library
    sys.modules["record_natives"] = record
    spec.loader.exec_module(record)
    listed = {one.module: one for one in natives_of(tensorflow(), everything=False)}

    recording = record.record_import(Path(sys.executable))

    opened = {root.name.removeprefix("file:"): root for root in recording.roots}
    assert [name for name in opened if name in listed] == [name for name in listed if name in opened]
    assert {name for name in opened if name.startswith("tensorflow")} == {
        name for name in listed if name.startswith("tensorflow")
    }
    assert {name for name, root in opened.items() if root.is_global} == {
        name for name, one in listed.items() if one.make_global
    }


def test_report_as_json(tmp_path: Path) -> None:
    """The report of all of TensorFlow goes through JSON."""
    code = "import json, tfguard\nprint(json.dumps(tfguard.check_import().to_dict()))"

    report = run(code, tmp_path)

    assert report["schema"] == 1
    assert report["ok"] is True
    assert json.dumps(report)
