"""Every byte against its checksum: alike with and without helpers, progress to the end, an end at Ctrl-C."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from pathlib import Path

import pytest

from tests.support.distributions import lay_out
from tfguard.installed import hashing
from tfguard.installed.distributions import Distribution, distributions_on
from tfguard.installed.hashing import hash_all, sha256_of

SIZES = {"large.so": 9 << 20, "middle.so": 3 << 20, "small.py": 70_000, "tiny.py": 3, "empty.py": 0}


@pytest.fixture
def many(tmp_path: Path) -> Distribution:
    """A distribution with files of every size that is read in a way of its own."""
    files = {f"many/{name}": os.urandom(size) for name, size in SIZES.items()}
    lay_out(tmp_path, "many", "1.0", files)
    return distributions_on((str(tmp_path),))[0]


@pytest.fixture(params=[1, 2, 8], ids=lambda count: f"{count}-processors")
def processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As many processors as the process may run on."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(request.param)), raising=False)
    return int(request.param)


def _flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes((byte ^ 1,)))


@pytest.mark.usefixtures("processors")
def test_what_is_changed(many: Distribution) -> None:
    """The last bit of a large file, a shorter file, a file that is gone; the others are as they were."""
    folder = Path(many.site, "many")
    _flip(folder / "large.so", SIZES["large.so"] - 1)
    (folder / "small.py").write_bytes(b"x" * 69_999)
    (folder / "tiny.py").unlink()

    (found,) = hash_all((many,))

    assert found.changed == ("many/large.so", "many/small.py")
    assert found.missing == ("many/tiny.py",)
    assert found.files == len(SIZES) + 3  # its metadata
    assert found.hashed


@pytest.mark.usefixtures("processors")
def test_progress(many: Distribution) -> None:
    """It never goes back, shows parts of a large file, and ends at the whole."""
    told: list[tuple[int, int, str]] = []

    hash_all((many,), lambda done, total, name: told.append((done, total, name)))

    done = [one for one, _, _ in told]
    assert done == sorted(done)
    (total,) = {total for _, total, _ in told}
    assert total > sum(SIZES.values())
    assert told[-1] == (total, total, "")


def test_progress_within_a_file(many: Distribution, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is told of in parts."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    told: list[int] = []

    hash_all((many,), lambda done, total, name: told.append(done) if name == "many/large.so" else None)

    assert len(told) >= SIZES["large.so"] >> 20


@pytest.mark.usefixtures("processors")
def test_interrupted(many: Distribution) -> None:
    """Ctrl-C while it runs: no thread goes on behind."""

    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hash_all((many,), interrupt)

    assert threading.active_count() == before


def test_hash_is_that_of_the_standard_library(tmp_path: Path) -> None:
    """PEP 376 spells it urlsafe and without padding; another size than the wanted one is not read."""
    for size in (0, 1, hashing._SMALL, hashing._SMALL + 1, hashing._CHUNK, hashing._LARGE + 1):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))

        digest = sha256_of(str(path))

        assert digest is not None
        assert len(digest) == 43
        assert base64.urlsafe_b64decode(f"{digest}=") == hashlib.sha256(path.read_bytes()).digest()
        assert sha256_of(str(path), size) == digest
        assert sha256_of(str(path), size + 1) is None


def test_more_than_any_library(tmp_path: Path) -> None:
    """A file of 128 GiB, as /proc/kcore is one of 128 TiB: a RECORD that leads there has nobody wait."""
    folder = lay_out(tmp_path, "many", "1.0", {"many/__init__.py": ""})
    endless = tmp_path / "many" / "endless.so"
    endless.touch()
    os.truncate(endless, 1 << 37)
    with open(folder / "RECORD", "a") as record:
        record.write(f"many/endless.so,sha256=x,{1 << 37}\nmany/../many/endless.so,sha256=x,\n")

    (found,) = hash_all(distributions_on((str(tmp_path),)))

    assert found.changed == ()
