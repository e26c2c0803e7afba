"""Any bytes in, images or damage out: mutated Mach-O files, read with every table and played by both engines."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.mac_tree import MacTree
from tests.support.macho_mutants import mutant
from tests.support.macho_writer import Macho, Signing, fat, write
from tests.support.watch import watched
from tfguard.binary.macho import look_at_macho, open_source
from tfguard.binary.macho_signature import Signature, changed_pages, read_signature
from tfguard.binary.macho_symbols import MachoSymbols
from tfguard.macho_image import MachoImage

MUTANTS = int(os.environ.get("TFGUARD_TEST_MACHO_MUTANTS", "1000"))
FIRST_SEED = int(os.environ.get("TFGUARD_TEST_FIRST_SEED", "0"))
_VERSIONS = ((10, 15, 0), (11, 4, 0), (12, 6, 0), (13, 5, 0), (14, 5, 0), (15, 6, 0), (26, 0, 0))


def sound() -> list[bytes]:
    """Sound files of every form: opcodes and chained fixups, signed and not, thin and universal."""
    one = Macho(
        install_name="@rpath/libone.dylib",
        needs=("@rpath/libtwo.dylib", "/usr/lib/libSystem.B.dylib", ("@rpath/libw.dylib", "weak")),
        rpaths=("@loader_path", "/opt/lib"),
        imports=((1, "_foo"), (2, "_printf"), (-2, "_PyLong_FromLong", True), (-1, "_main"), (3, "_w", True)),
        exports={"_bar": 0, "_bar_more": 4, "_again": (1, "_foo"), "_baz": 0},
        sign=Signing(team="ABCDE12345", entitlements=b"<?xml?>"),
    )
    chained = Macho(chained=True, imports=one.imports, exports=one.exports, needs=one.needs, filetype="bundle")
    intel = Macho(arch="x86_64", install_name="@rpath/i.dylib", exports={"_i": 0}, platform=None)
    return [write(one), write(chained), write(intel), fat(write(intel), write(one)), fat(write(one), fat64=True)]


def read_all(path: str) -> list[MachoImage]:
    """The images of a file; every table of each is read."""
    images = [one.content for one in look_at_macho(path).slices if isinstance(one.content, MachoImage)]
    for image in images:
        table = MachoSymbols(image, open_source(path))
        table.imports()
        names = [name for name, _ in table.exports()]
        for name in (*names[:50], b"_absent"):
            table.find(name)
        source = open_source(path)
        signature = read_signature(image, source)
        if isinstance(signature, Signature):
            changed_pages(image, source, signature)
        source.close()
        table.close()
    return images


def run(count: int, first: int, folder: Path) -> dict[str, int]:
    """Read and play mutants; how many loads ended in which way."""
    tree = MacTree(folder, {"/v/libtwo.dylib": Macho(install_name="@rpath/libtwo.dylib", exports={"_foo": 0})})
    seeds, outcomes = sound(), {"images": 0}
    for seed in range(first, first + count):
        path = tree.put("/v/mutant.so", mutant(seed, seeds))
        os.utime(path, ns=(seed, seed))
        begin = time.perf_counter()
        try:
            with watched(5):
                outcomes["images"] += len(read_all(str(path)))
                trace = tree.play(
                    "/v/mutant.so",
                    pages=True,
                    version=_VERSIONS[seed % len(_VERSIONS)],
                    architecture=("arm64", "x86_64")[seed // 7 % 2],
                )
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        took = time.perf_counter() - begin
        assert trace.failure is not None or trace.images, f"seed {seed}: neither an image nor a failure"
        outcome = trace.failure.kind if trace.failure is not None else "loads"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        outcomes["longest ms"] = max(outcomes.get("longest ms", 0), int(took * 1000))
    return outcomes


def test_sound_files_are_read(tmp_path: Path) -> None:
    """What the mutants are made of has images for all its slices."""
    counts = []
    for number, data in enumerate(sound()):
        path = tmp_path / str(number)
        path.write_bytes(data)
        counts.append(len(read_all(str(path))))

    assert counts == [1, 1, 1, 2, 1]


def test_only_images_or_failures(tmp_path: Path) -> None:
    """No exception and no hang, whatever the bytes; TFGUARD_TEST_MACHO_MUTANTS says how many."""
    outcomes = run(MUTANTS, FIRST_SEED, tmp_path)

    print(f"{MUTANTS} mutants: {outcomes}")
    assert len(outcomes) > 10


@pytest.mark.slow
def test_many_more(tmp_path: Path) -> None:
    """The same with ten thousand, each within a second."""
    outcomes = run(10_000, 1_000_000, tmp_path)

    print(outcomes)
    assert outcomes["longest ms"] < 1000
