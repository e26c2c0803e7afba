"""A real environment to break, how its own import ends, what the guard says of it, and its remedies carried out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.packages import ROOT
from tests.support.tensorflow_copy import TensorFlowCopy

SCRIPT = """
import tensorflow as tf
assert int(tf.reduce_sum(tf.constant([1, 2, 3]))) == 6
print("it works", tf.__version__)
"""

ASK = """
import json, sys
sys.path.insert(1, ROOT)
import tfguard
report = tfguard.check_import("tensorflow", deep=DEEP)
assert "tensorflow" not in sys.modules
print(json.dumps([[one.code, one.severity, one.message, [[two.text, two.command] for two in one.remedies]]
                  for one in report.errors + report.warnings]))
"""


@dataclass(frozen=True)
class Said:
    """A finding as the environment's own Python gave it."""

    code: str
    severity: str
    message: str
    remedies: list[tuple[str, str | None]]


@dataclass
class Environment:
    """A Python with TensorFlow and a folder to start it in; `variables` are set for whatever runs in it."""

    python: Path
    site: Path
    project: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copied(cls, folder: Path) -> Environment:
        """A copy of the running one, by hard links: what pip does in it leaves the original alone."""
        copy = TensorFlowCopy(folder)
        project = folder / "project"
        project.mkdir()
        return cls(copy.python, copy.site, project)

    @classmethod
    def empty(cls, folder: Path, *, pip: bool = False) -> Environment:
        """A virtual environment with nothing in it."""
        options = [] if pip else ["--without-pip"]
        subprocess.run([sys.executable, "-m", "venv", *options, str(folder / "venv")], check=True)
        project = folder / "project"
        project.mkdir()
        (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
        return cls(folder / "venv" / "bin" / "python", site, project)

    @classmethod
    def prefix(cls, folder: Path) -> Environment:
        """A Python with a prefix of its own, no virtual environment, as conda's are: the user's packages come first."""
        base = Path(sys.base_prefix)
        subprocess.run(["cp", "-al", str(base), str(folder / "env")], check=True)
        (site,) = (folder / "env" / "lib").glob("python3.*/site-packages")
        shutil.rmtree(site)
        subprocess.run(["cp", "-al", sysconfig.get_paths()["purelib"], str(site)], check=True)
        project = folder / "project"
        project.mkdir()
        return cls(folder / "env" / "bin" / f"python3.{sys.version_info[1]}", site, project)

    def pip(self, *arguments: str) -> None:
        """Run this environment's own pip."""
        done = self._run([str(self.python), "-m", "pip", "-q", *arguments])
        assert done.returncode == 0, done.stderr[-2000:]

    def last_words(self, script: str = SCRIPT, *, whole: bool = False) -> str:
        """How a program ends without a guard: the last line of its traceback, or all of it; "" where it works."""
        (self.project / "your_script.py").write_text(script)
        done = self._run([str(self.python), "your_script.py"])
        if done.returncode == 0 and "it works" in done.stdout:
            return ""
        if whole:
            return done.stderr
        lines = [one for one in done.stderr.splitlines() if one.strip()]
        return lines[-1] if lines else f"ended with {done.returncode}"

    def findings(self, *, deep: bool = False) -> list[Said]:
        """What check_import says in this environment, errors first."""
        (self.project / "ask_tfguard.py").write_text(ASK.replace("ROOT", repr(str(ROOT))).replace("DEEP", str(deep)))
        # -B: what is hard-linked here must not be written to there
        done = self._run([str(self.python), "-B", "ask_tfguard.py"])
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(done.stdout.splitlines()[-1])
        return [Said(code, severity, text, [(a, b) for a, b in remedies]) for code, severity, text, remedies in told]

    def carry_out(self, command: str) -> subprocess.CompletedProcess[str]:
        """Paste a command into a shell that stands in the project's folder, with this Python first on PATH."""
        self.variables["PATH"] = f"{self.python.parent}:{os.environ['PATH']}"
        return self._run(["bash", "-c", command])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
        kept.pop("VIRTUAL_ENV", None)
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return subprocess.run(
            command,
            env={**kept, **quiet, **self.variables},
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


def codes(findings: list[Said]) -> list[tuple[str, str]]:
    """Code and severity of each."""
    return [(one.code, one.severity) for one in findings]
