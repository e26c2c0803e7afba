"""Every shared object of the system and of this environment: what tfguard says of it against what ld.so does."""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.here import is_glibc
from tests.support.real_loader import mapped_in_fork
from tfguard.live_host import this_host
from tfguard.loader.glibc import Process

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


def compare(paths: Iterable[str], outcomes: Counter[str]) -> Iterator[str]:
    """What is said wrongly of these files, in words; every outcome is counted."""
    host = this_host()
    for path in paths:
        with Process(host) as process:
            said = process.dlopen(path)
        was = mapped_in_fork(path, collect=True, patience=60)
        if was.died is not None and said.failure is None:
            # Not the loader's doing: it had mapped and bound everything when a constructor ended the process.
            outcomes[f"a constructor of {os.path.basename(path)} dies: {was.died}"] += 1
        elif was.loads:
            outcomes["loads"] += 1
            if said.failure is not None and said.failure.certain:
                yield f"false alarm: {path}: {said.failure}"
            elif said.failure is None and tuple(image.path for image in said.images) != was.mapped:
                yield f"other files: {path}:\n  {[image.path for image in said.images]}\n  {list(was.mapped)}"
        else:
            outcomes["refused"] += 1
            if said.failure is None:
                yield f"missed: {path}: {was}"
            elif (said.failure.message, said.failure.signal) != (was.message, was.died):
                yield f"other words: {path}: {said.failure.says}; {was}"


def test_system_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    """No false alarm and none missed below the loader's directories; files, order and messages are the loader's."""
    outcomes: Counter[str] = Counter()
    wrong = list(compare(shared_objects(this_host().system_directories), outcomes))

    with capfd.disabled():
        print(f"\nsystem libraries: {dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
    assert outcomes["loads"] > 10


@pytest.mark.tensorflow
@pytest.mark.skipif(not (_PACKAGES / "tensorflow").is_dir(), reason="TensorFlow is not installed here")
def test_installed_packages(capfd: pytest.CaptureFixture[str]) -> None:
    """The same for every shared object of this environment, TensorFlow's among them."""
    outcomes: Counter[str] = Counter()
    wrong = list(compare(shared_objects([str(_PACKAGES)]), outcomes))

    with capfd.disabled():
        print(f"\ninstalled packages: {dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
    assert outcomes["loads"] > 10
