"""The part of the Mac oracle that needs no Mac: what it would build, and how it tells right from wrong."""

from __future__ import annotations

import importlib.util
import json
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
