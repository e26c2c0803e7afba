"""A copy of the running environment's TensorFlow that tests may break: hard links, so a second and no space."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Loads for real, without any guard, and says how that ended.
UNGUARDED = """
import json, sys
PREPARE
try:
    import tensorflow
    print(json.dumps({"error": None}))
except BaseException as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""

# The same through the guard; says too whether anything of TensorFlow or numpy was mapped when it raised.
GUARDED = """
import json, sys
PREPARE
import tfguard
def mapped():
    return any("/tensorflow/" in line and ".so" in line for line in open("/proc/self/maps"))
try:
    tfguard.safe_import()
    print(json.dumps({"error": None}))
except tfguard.GuardImportError as error:
    first = error.findings[0]
    print(json.dumps({"error": type(error).__name__, "text": str(error), "codes": error.codes, "cause":
        error.__cause__ is not None, "loader_message": first.loader_message, "mapped": mapped(),
        "path": str(first.path), "dies": dict(first.evidence).get("the loader", "")}))
"""


@dataclass(frozen=True)
class Ended:
    """How a child ended: what it printed as JSON, or the signal that killed it."""

    said: Mapping[str, object]
    signal: int
    stderr: str


class TensorFlowCopy:
    """A virtual environment of hard links to the running one; what is broken in it is put back by `mend`."""

    def __init__(self, directory: Path) -> None:
        self.prefix = directory / "venv"
        subprocess.run(["cp", "-al", sys.prefix, str(self.prefix)], check=True)
        relative = Path(sysconfig.get_paths()["purelib"]).relative_to(sys.prefix)
        self.site = self.prefix / relative
        self.original = Path(sys.prefix) / relative
        self.python = self.prefix / "bin" / "python"
        self._broken: list[Path] = []

    def replace(self, name: str, content: bytes | Path | None, *, mode: int = 0o644) -> Path:
        """Put other bytes (or a copy of a file, or nothing) in place of a file below site-packages."""
        path = self.site / name
        path.unlink(missing_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, path)
        elif content is not None:
            path.write_bytes(content)
        if content is not None:
            path.chmod(mode)
        self._broken.append(path)
        return path

    def cut(self, name: str, size: int) -> Path:
        """A copy of the first `size` bytes in place of a file."""
        with open(self.original / name, "rb") as file:
            return self.replace(name, file.read(size))

    def mend(self) -> None:
        """Put every broken file back."""
        for path in self._broken:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            os.link(self.original / path.relative_to(self.site), path)
        self._broken.clear()

    def run(
        self, code: str, *, prepare: str = "", ordinary: bool = False, env: Mapping[str, str] | None = None
    ) -> Ended:
        """Run a Python text in a child of this copy; with `ordinary` file modes bind it even where this is root."""
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", **(env or {})}
        environment.pop("PYTHONPATH", None)
        # Without these two capabilities root is held to file modes like anybody else.
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if ordinary and not os.geteuid() else []
        child = subprocess.run(
            [*drop, str(self.python), "-W", "ignore", "-c", code.replace("PREPARE", prepare)],
            capture_output=True,
            text=True,
            env=environment,
            cwd="/",
            timeout=300,
            check=False,
        )
        lines = child.stdout.strip().splitlines()
        said = json.loads(lines[-1]) if lines and child.returncode == 0 else {}
        return Ended(said, -child.returncode if child.returncode < 0 else 0, child.stderr)
