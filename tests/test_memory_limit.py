"""Memory limits of control groups: read from files of both versions, and met for real where this machine has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.packages import ROOT
from tests.support.packages import write as write_files
from tfguard.hosts.memory import memory_limit

MIB = 1 << 20
ONE = {
    "proc/self/cgroup": "3:cpu:/\n4:memory:/jobs/one\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
}
TWO = {"proc/self/cgroup": "0::/jobs/one\n"}

# files below a root -> (folder of the group, limit, used)
CASES: Mapping[str, tuple[dict[str, str], tuple[str, int, int] | None]] = {
    "none": ({}, None),
    "version-1": (
        {
            **ONE,
            "sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes": f"{300 * MIB}\n",
            "sys/fs/cgroup/memory/jobs/one/memory.stat": f"cache 1\nrss 5\ntotal_rss {100 * MIB}\n",
        },
        ("sys/fs/cgroup/memory/jobs/one", 300 * MIB, 100 * MIB),
    ),
    "version-1-unlimited": (ONE, None),
    "version-2": (
        {
            **TWO,
            "sys/fs/cgroup/jobs/one/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/jobs/one/memory.stat": f"anon {7 * MIB}\nfile 9\n",
        },
        ("sys/fs/cgroup/jobs/one", 300 * MIB, 7 * MIB),
    ),
    "version-2-above": (
        {**TWO, "sys/fs/cgroup/jobs/one/memory.max": "max\n", "sys/fs/cgroup/jobs/memory.max": f"{9 * MIB}\n"},
        ("sys/fs/cgroup/jobs", 9 * MIB, 0),
    ),
    "path-of-the-host": (
        {"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.max": "1000\n"},
        ("sys/fs/cgroup", 1000, 0),
    ),
    "garbage": ({"proc/self/cgroup": "0::/..\n:::\n\n0", "sys/fs/cgroup/memory.max": "-1\n"}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_files(tmp_path: Path, case: str) -> None:
    """The tightest of the group and those above it."""
    files, expected = CASES[case]
    write_files(tmp_path, files)

    found = memory_limit(str(tmp_path))

    assert found == ((str(tmp_path / expected[0]), *expected[1:]) if expected is not None else None)


CHECK = """
import json, tfguard
from tfguard.hosts.live import this_host
report = tfguard.check_import(symbols=False)
print(json.dumps([[one.code, one.severity] for one in report.findings]))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of this machine, version 1 or 2."""
    for mount, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(mount, f"tfguard-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / name).exists():
            yield folder
            folder.rmdir()
            return
        folder.rmdir()
    pytest.skip("no control group can be made here")


def _in(group: Path, mebibytes: int, code: str) -> subprocess.CompletedProcess[str]:
    limit = next(one for one in (group / "memory.limit_in_bytes", group / "memory.max") if one.exists())
    limit.write_text(str(mebibytes * MIB))
    join = f'echo $$ > {group}/cgroup.procs; exec "$@"'
    return subprocess.run(
        ["sh", "-c", join, "sh", sys.executable, "-B", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.tensorflow
def test_killed_for_real(group: Path) -> None:
    """The import is killed where that was said, and lives where nothing was."""
    code = "import tensorflow"
    said = _in(group, 150, CHECK)
    killed = _in(group, 150, code)
    calm = _in(group, 600, CHECK)
    lives = _in(group, 600, code)

    assert json.loads(said.stdout) == [["TFG607", "warning"]], said.stderr
    assert killed.returncode == -9
    assert json.loads(calm.stdout) == []
    assert lives.returncode == 0, lives.stderr
