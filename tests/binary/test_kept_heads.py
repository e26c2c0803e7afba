"""What was read of a file is kept for as long as the file stays as it is, and no longer."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from tfguard.binary import elf
from tfguard.binary.elf import look_at
from tfguard.image import Image

_E_MACHINE_AT = 18


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A file of one's own that is ELF: the interpreter itself."""
    return Path(shutil.copy(os.path.realpath(sys.executable), tmp_path / "copy"))


def _exchange_machine(path: Path) -> None:
    """Another e_machine in place: same file, same size, same time of last change."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(_E_MACHINE_AT)
        file.write(b"\x16\x00")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _machine(path: Path) -> int:
    content = look_at(str(path)).content
    assert isinstance(content, Image)
    return content.machine


def test_an_unchanged_file_is_read_once(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very same Head comes back, for each name of the file its own."""
    monkeypatch.setattr(elf, "_SETTLED", -1)
    other = library.with_name("link")
    other.hardlink_to(library)

    assert look_at(str(library)) is look_at(str(library))
    assert look_at(str(other)).path == str(other)


def test_a_change_in_place_is_seen(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """st_ctime tells what st_mtime can be made to hide."""
    monkeypatch.setattr(elf, "_SETTLED", -1)
    _machine(library)
    time.sleep(0.05)  # more than a tick of the file system's clock

    _exchange_machine(library)

    assert _machine(library) == 22


def test_what_has_just_changed_is_not_kept(library: Path) -> None:
    """Two changes within one tick leave the same times: so soon after one nothing is kept."""
    for _ in range(20):
        _exchange_machine(library)
        assert _machine(library) == 22
        with library.open("r+b") as file:
            file.seek(_E_MACHINE_AT)
            file.write(b"\x3e\x00")
        assert _machine(library) == 62


def test_not_more_is_kept_than_the_limit(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are looked at."""
    monkeypatch.setattr(elf, "_SETTLED", -1)
    monkeypatch.setattr(elf, "_KNOWN_LIMIT", 8)
    for number in range(30):
        name = tmp_path / f"name{number}"
        name.hardlink_to(library)
        look_at(str(name))

    assert len(elf._known) <= 8
