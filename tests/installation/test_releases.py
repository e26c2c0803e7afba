"""Nothing is found in sound environments of TensorFlow 2.12 to 2.20, and their imports die of what is kept as data."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support.packages import ROOT
from tfguard.installed.families import MODULES
from tfguard.installed.known import Death, deaths

pytestmark = pytest.mark.slow

RELEASES = ("2.12", "2.13", "2.14", "2.15", "2.16", "2.17", "2.18", "2.19", "2.20")

HEALTHY = """
import json, sys
sys.path.append(ROOT)
import tfguard
from tfguard.installed.installation import find_package
from tfguard.installed.glance import calls_for_a_survey
report = tfguard.check_import("tensorflow")
print(json.dumps([str(report), [one.code for one in report.findings],
                  calls_for_a_survey(find_package("tensorflow"), None)]))
"""

BLOCKED = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
import tensorflow
"""


def python_of(release: str) -> str:
    """The interpreter of an environment with that release; the test is left out where there is none."""
    python = os.environ.get(f"TFGUARD_TEST_TF_{release.replace('.', '_')}")
    if not python:
        pytest.skip(f"no environment with TensorFlow {release}: make test-releases sets them up")
    return python


def child(python: str, code: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
    return subprocess.run(
        [python, "-B", "-c", code],
        env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("release", RELEASES)
def test_sound_environment(release: str) -> None:
    """What pip installed: not one finding, and the glance sees nothing out of the ordinary."""
    done = child(python_of(release), HEALTHY.replace("ROOT", repr(str(ROOT))))

    text, codes, surveys = json.loads(done.stdout.splitlines()[-1])

    assert codes == [], text
    assert not surveys


def module_of(death: Death) -> str:
    return MODULES.get(death.beside, death.beside.replace("-", "_"))


@pytest.mark.parametrize("release", RELEASES)
def test_dies_without_what_it_needs(release: str) -> None:
    """Each module that the table says a release cannot do without, taken away: the import ends as the table says."""
    python = python_of(release)
    needs = [one for one in deaths() if one.missing and one.is_of("tensorflow", f"{release}.0")]

    assert needs
    for death in needs:
        done = child(python, BLOCKED.replace("MODULE", repr(module_of(death))))
        assert done.returncode == 1, death
        assert death.says in done.stderr.rpartition("Traceback (most recent call last):")[2].splitlines()
