"""Every shared object of the system and of this environment: what tfguard says of it against what ld.so does."""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.comparison import CONSTRUCTOR, compare
from tests.support.here import is_glibc
from tfguard.hosts.live import this_host

_PACKAGES = Path(sysconfig.get_path("platlib"))

pytestmark = pytest.mark.skipif(not is_glibc(), reason="needs glibc")


def shared_objects(places: Iterable[str]) -> Iterator[str]:
    """Files in and below the places that have ".so" in their names, each once."""
    seen: set[tuple[int, int]] = set()
    for place in places:
        for directory, _, names in sorted(os.walk(os.path.realpath(place))):
            for name in sorted(names):
                path = os.path.join(directory, name)
                if ".so" not in name or not os.path.isfile(path):
                    continue
                status = os.stat(path)
                if status.st_size and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield path


def compared(paths: Iterable[str], outcomes: Counter[str]) -> Iterator[str]:
    """What is said wrongly of these files, in words; every outcome is counted."""
    host = this_host()
    for path in paths:
        one = compare(path, host)
        outcomes[one.outcome if one.outcome is not CONSTRUCTOR else f"{os.path.basename(path)}: {CONSTRUCTOR}"] += 1
        if one.wrong is not None:
            yield one.wrong


def test_system_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    """No false alarm and none missed below the loader's directories; files, order and messages are the loader's."""
    outcomes: Counter[str] = Counter()
    wrong = list(compared(shared_objects(this_host().system_directories), outcomes))

    with capfd.disabled():
        print(f"\nsystem libraries: {dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
    assert outcomes["loads"] > 10


@pytest.mark.tensorflow
@pytest.mark.skipif(not (_PACKAGES / "tensorflow").is_dir(), reason="TensorFlow is not installed here")
def test_installed_packages(capfd: pytest.CaptureFixture[str]) -> None:
    """The same for every shared object of this environment, TensorFlow's among them."""
    outcomes: Counter[str] = Counter()
    wrong = list(compared(shared_objects([str(_PACKAGES)]), outcomes))

    with capfd.disabled():
        print(f"\ninstalled packages: {dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
    assert outcomes["loads"] > 10
