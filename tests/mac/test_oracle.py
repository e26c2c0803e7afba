"""The part of the Mac oracle that needs no Mac: what it would build, and how it tells right from wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> Any:  # Any: a script, in no package
    spec = importlib.util.spec_from_file_location("mac_oracle", ROOT / "tools" / "mac_oracle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its data classes look themselves up there
    spec.loader.exec_module(module)
    return module


tool = _tool()
Answer = tool.Answer

_SAYS = "dlopen(x, 0x0006): tried: 'x' (no such file)"


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        pytest.param(Answer(ok=True, code=None, foreseen=None, real=None), None, id="loads"),
        pytest.param(Answer(ok=False, code="TFG815", foreseen=_SAYS, real=_SAYS), None, id="fails-as-foreseen"),
        pytest.param(Answer(ok=False, code="TFG805", foreseen=None, real=None, died=9), None, id="dies"),
        pytest.param(Answer(ok=False, code="TFG811", foreseen=None, real=_SAYS), None, id="no-words-foreseen"),
        pytest.param(Answer(ok=True, code=None, foreseen=None, real=_SAYS), "saw nothing", id="not-seen"),
        pytest.param(Answer(ok=False, code="TFG801", foreseen=_SAYS, real=None), "false alarm", id="false-alarm"),
        pytest.param(Answer(ok=False, code="TFG801", foreseen="other", real=_SAYS), "other words", id="other-words"),
    ],
)
def test_difference(answer: Any, wrong: str | None) -> None:
    """Only what tfguard had wrong is a difference."""
    found = tool.difference(answer)

    assert (found is None) == (wrong is None)
    assert wrong is None or wrong in (found or "")


def test_answer_of_a_child() -> None:
    """The second line is missing where the load killed the process."""
    told = json.dumps({"ok": False, "code": "TFG805", "foreseen": None})

    assert tool.answer_of(f"{told}\n", -9) == Answer(ok=False, code="TFG805", foreseen=None, real=None, died=9)
    assert tool.answer_of(f'{told}\n{{"real": "no"}}\n', 0).real == "no"
    with pytest.raises(ValueError, match="said nothing"):
        tool.answer_of("", 1)


def test_each_has_a_name_of_its_own_and_whole_commands() -> None:
    """No placeholder is left in a command, and names are unique."""
    assert len({one.name for one in tool.ORACLES}) == len(tool.ORACLES)
    for one in tool.ORACLES:
        for own in ("arm64", "x86_64"):
            assert not any("{" in command for command in tool.commands_of(one, own))


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac it asks")
def test_elsewhere_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a Mac there is a list, and no answer."""
    assert tool.main([]) == 2
    assert "no Mac" in capsys.readouterr().err
    assert tool.main(["--list"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {one.name for one in tool.ORACLES}


def test_its_child_answers_here() -> None:
    """The process that is asked runs on any system: here with this one's loader."""
    done = subprocess.run(
        [sys.executable, "-c", tool._CHILD, "/no/such/library.so", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )

    answer = tool.answer_of(done.stdout, done.returncode)
    assert not answer.ok
    assert tool.difference(answer) is None


# What the oracles need that is not on every machine: a compiler for Macs, and Apple's tool for signatures.
_PLAIN = [one for one in tool.ORACLES if not any("clang" in line or "codesign" in line for line in one.commands)]


def test_from_files_to_json() -> None:
    """All of it with the loader at hand: fixtures are made, a child foretells and loads, the answers become JSON."""
    own = "arm64"

    found = json.loads(json.dumps(tool.summary([tool.row_of(one, own) for one in _PLAIN])))

    assert {one["name"] for one in found["all"]} == {"no-such-file", "text", "empty", "directory", "leaf-name"} & {
        one.name for one in _PLAIN
    }
    assert found["asked"] == len(_PLAIN) >= 4
    assert found["differences"] == []
    assert all(not one["ok"] and one["real"] for one in found["all"])


def test_what_cannot_be_built_is_said() -> None:
    """A command that fails is a difference with the words of the tool, and the others are asked all the same."""
    broken = tool.Oracle(name="broken", commands=("echo no such tool >&2; exit 3",))

    row = tool.row_of(broken, "arm64")

    assert "could not be asked" in row["difference"]
    assert "no such tool" in row["difference"]
    assert tool.summary([row])["differences"] == [row]


# Without weak-library-gone, because zig knows no -weak_library, and without unsigned, which wants Apple's codesign.
_FORESEEN = {
    "sound": None, "no-such-file": "TFG815", "other-processor": "TFG802", "object-file": "TFG807", "text": "TFG808",
    "empty": "TFG808", "directory": "TFG815", "no-rpath": "TFG801", "rpath-leads-elsewhere": "TFG801",
    "removed": "TFG801", "symbol-gone": "TFG803", "flat-symbol-gone": None,
    "cut-short": "TFG811",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", _FORESEEN)
def test_fixtures_of_another_compiler(name: str, tmp_path: Path) -> None:
    """Built by zig's clang, which makes files for Macs anywhere, each is foreseen as the oracle means it."""
    pytest.importorskip("ziglang")
    from dataclasses import replace

    from tfguard.binary.files import Disk
    from tfguard.checks.check import check_library
    from tfguard.hosts.named import named_host

    shim = tmp_path / "bin" / "clang"
    shim.parent.mkdir()
    shim.write_text(
        "#!/bin/sh\n"
        'shift; case "$1" in arm64) cpu=aarch64;; *) cpu=x86_64;; esac; shift\n'
        f'exec {sys.executable} -m ziglang cc -target $cpu-macos.13.0 "$@"\n'
    )
    shim.chmod(0o755)
    oracle = next(one for one in tool.ORACLES if one.name == name)
    folder = tmp_path / "root" / "v"
    folder.mkdir(parents=True)
    for source, text in oracle.sources.items():
        (folder / source).write_text(text + "\n")
    for command in tool.commands_of(oracle, "arm64"):
        environment = {
            "PATH": f"{shim.parent}:/usr/bin:/bin",
            "HOME": str(Path.home()),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=environment, check=True, capture_output=True)
    host = named_host("macos-14-arm64")
    assert host.mac is not None

    report = check_library(
        f"/v/{oracle.target}", host=replace(host, mac=replace(host.mac, files=Disk(str(tmp_path / "root"))))
    )

    assert [one.code for one in report.errors] == ([_FORESEEN[name]] if _FORESEEN[name] else [])
