"""Any bytes in a folder of metadata, a finding or silence out: no fault of tfguard, no hang."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.distributions import lay_out
from tfguard.checks.check import check_import

FILES = {"tensorflow/__init__.py": "", "tensorflow/python/__init__.py": ""}
NAMES = ("METADATA", "RECORD", "WHEEL", "INSTALLER")

HOSTILE: dict[str, tuple[str, bytes]] = {
    "digits": ("RECORD", b"tensorflow/a.so,sha256=x," + b"9" * 9000 + b"\n"),
    "device": ("RECORD", b"/dev/zero,sha256=x,1\n../../../../../../dev/zero,sha256=x,1\n"),
    "pipe": ("RECORD", b"pipe,sha256=x,1\n"),
    "folder": ("RECORD", b'tensorflow,sha256=x,1\n"tensorflow/a""b.py",sha256=x,1\n"unended\n'),
    "nul": ("RECORD", b"tensorflow/\0.py,sha256=x,1\n"),
    "no-name": ("METADATA", b"Requires-Dist: \nRequires-Dist: ==\nRequires-Dist: a b c\nRequires-Dist: \xff>=1\n"),
    "marker": ("METADATA", b"Requires-Dist: numpy; colour == 'red'\nRequires-Dist: numpy; extra > 3\n"),
    "itself": ("METADATA", b"Requires-Dist: tensorflow>=9\nRequires-Dist: tensorflow\n"),
    "url": ("METADATA", b"Requires-Dist: numpy @ file:///nowhere\n"),
    "tags": ("WHEEL", b"Tag: \nTag: a\nTag: --\nTag: cp-cp-any\nTag: cp3999999999999-none-any\nTag: \xff-\xff-\xff\n"),
}


def _check(site: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(site), *(one for one in sys.path if "site-packages" not in one)])
        return [one.code for one in check_import("tensorflow", deep=True).findings]


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """Each of them is looked at to its end."""
    folder = lay_out(tmp_path, "tensorflow", "2.99.0", FILES)
    lay_out(tmp_path, "numpy", "not-a.version!", {"numpy/__init__.py": ""})
    os.mkfifo(tmp_path / "pipe")
    name, content = HOSTILE[case]
    (folder / name).write_bytes(content)

    assert "TFG904" not in _check(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "name", ["numpy-.dist-info", "-1.dist-info", "~-.dist-info", "numpy-1-2-3.dist-info", "a.egg-info"]
)
def test_odd_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Names of folders that say nothing, and files in place of folders."""
    lay_out(tmp_path, "tensorflow", "2.99.0", FILES)
    (tmp_path / name).mkdir()
    (tmp_path / f"x{name}").touch()

    assert "TFG904" not in _check(tmp_path, monkeypatch)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), content=st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Bytes at random."""
    folder = tmp_path / "tensorflow-2.99.0.dist-info"
    if not folder.exists():
        lay_out(tmp_path, "tensorflow", "2.99.0", FILES)
    (folder / name).write_bytes(content)

    assert "TFG904" not in _check(tmp_path, monkeypatch)
