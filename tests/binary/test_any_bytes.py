"""Any bytes in, images or a failure out: mutated and truncated ELF files, read and played, some loaded for real."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.build import COMMAND, Compiler
from tests.support.elf_writer import Export, Import, Library, write
from tests.support.here import is_glibc_x86_64
from tests.support.mutants import mutant
from tests.support.real_loader import mapped_in_fork
from tests.support.watch import watched
from tfguard.binary.elf import look_at
from tfguard.hosts.host import Host
from tfguard.hosts.live import this_host
from tfguard.image import Head
from tfguard.loader.glibc import Process
from tfguard.loader.trace import Trace

pytestmark = pytest.mark.skipif(not is_glibc_x86_64(), reason="needs glibc on x86-64")

MUTANTS = int(os.environ.get("TFGUARD_TEST_MUTANTS", "10000"))
LOADED_MUTANTS = int(os.environ.get("TFGUARD_TEST_LOADED_MUTANTS", "1000"))
FIRST_SEED = int(os.environ.get("TFGUARD_TEST_FIRST_SEED", "0"))

_SOURCE = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
static char big[9000] = {1};
__thread int local;
const char *names[] = {"a", "b", "c"};
char *(*pointer)(const char *) = getenv;
extern int maybe(void) __attribute__((weak));
int answer(int i) { printf("%s %f", names[i], sin(i)); return big[i] + local + (maybe ? maybe() : 0); }
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small sound libraries: by the writer, and by the compiler where there is one."""
    versions = Library(
        soname="libv.so.1",
        needed=("libc.so.6", "libm.so.6"),
        runpath="$ORIGIN:$ORIGIN/../lib",
        exports=(Export(name="one", version="V_1", hidden=True), Export(name="one", version="V_2"), Export(name="two")),
        imports=(
            Import(name="malloc", file="libc.so.6", version="GLIBC_2.2.5"),
            Import(name="free", file="libc.so.6", version="GLIBC_2.2.5", relocation=7),
            Import(name="sin", file="libm.so.6", version="GLIBC_2.2.5", relocation=1),
        ),
        isa_needed=1,
    )
    plain = Library(
        needed=("libc.so.6",), has_gnu_hash=False, has_sysv_hash=True, exports=(Export(name="x"),), relr=True
    )
    found = [write(versions), write(plain)]
    if COMMAND:
        compiler = Compiler(tmp_path_factory.mktemp("built"))
        options = ("-shared", "-fPIC", "-O1", "-Wl,-soname,liby.so", "-lm")
        for more in ((), ("-Wl,-z,now", "-Wl,--hash-style=both"), ("-s", "-Wl,-z,noseparate-code")):
            found.append(compiler.build(_SOURCE, *options, *more).read_bytes())
    return found


def put(path: Path, seed: int, sound: list[bytes]) -> None:
    """Write a mutant, with a time of its own: what was read is remembered by a file's number, size and time."""
    path.write_bytes(mutant(seed, sound))
    os.utime(path, ns=(seed, seed))


def play(path: str, host: Host) -> tuple[Head, Trace]:
    """What a file is and what loading it would give."""
    with watched(5):
        head = look_at(path)
        with Process(host) as process:
            return head, process.dlopen(path)


def test_only_images_or_failures(sound: list[bytes], tmp_path: Path) -> None:
    """No exception and no hang, whatever the bytes; TFGUARD_TEST_MUTANTS says how many."""
    path = tmp_path / "mutant.so"
    host = replace(this_host(), sees_global_symbol=None)
    outcomes: dict[str, int] = {}
    longest = (0.0, -1)
    for seed in range(FIRST_SEED, FIRST_SEED + MUTANTS):
        put(path, seed, sound)
        begin = time.perf_counter()
        try:
            _, trace = play(str(path), host)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        longest = max(longest, (time.perf_counter() - begin, seed))
        assert trace.failure is not None or trace.images, f"seed {seed}: neither an image nor a failure"
        outcome = trace.failure.kind if trace.failure is not None else "loads"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    print(f"{MUTANTS} mutants, the longest {longest[0] * 1000:.1f} ms (seed {longest[1]}): {outcomes}")
    assert len(outcomes) > 10


def test_no_false_alarm(sound: list[bytes], tmp_path: Path) -> None:
    """What tfguard is certain of, the real loader refuses or dies of; TFGUARD_TEST_LOADED_MUTANTS says how many."""
    host = this_host()
    counts: dict[str, int] = {}
    false_alarms: list[str] = []
    for seed in range(FIRST_SEED, FIRST_SEED + LOADED_MUTANTS):
        path = tmp_path / f"{seed}.so"
        put(path, seed, sound)
        _, trace = play(str(path), host)
        was = mapped_in_fork(str(path), limits=((resource.RLIMIT_AS, 4 << 30), (resource.RLIMIT_CPU, 2)))
        failure = trace.failure
        said = "loads" if failure is None else "fails" if failure.certain else "may fail"
        words = "loads" if was.loads else "fails" if was.message is not None else "dies"
        if failure is not None and failure.certain and not was.loads:
            words += " as said" if (failure.message, failure.signal) == (was.message, was.died) else " otherwise"
        counts[f"said: {said}; {words}"] = counts.get(f"said: {said}; {words}", 0) + 1
        if said == "fails" and was.loads:
            false_alarms.append(f"seed {seed}: {failure}")
        path.unlink()

    print(dict(sorted(counts.items())))
    assert not false_alarms, "\n".join(false_alarms)
