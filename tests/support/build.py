"""Compiles small C texts to shared objects with the system's C compiler, each text once a session."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

COMMAND = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or ""


class Compiler:
    """A compiler with a cache: the same source and options are built once below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def build(self, source: str, *options: str, suffix: str = ".c") -> Path:
        """The file built of a C text; it lies in the cache, so copy it before changing it.

        Options are given to the compiler as they are; nothing is added but the output file. Raises
        subprocess.CalledProcessError where the compiler refuses.
        """
        key = hashlib.sha256("\0".join((source, suffix, *options)).encode()).hexdigest()[:24]
        built = self.directory / key
        if not built.exists():
            text = self.directory / f"{key}{suffix}"
            text.write_text(source)
            # The source comes first: a static or shared library on the command line serves what stands before it.
            subprocess.run([COMMAND, str(text), *options, "-o", f"{built}.part"], check=True, capture_output=True)
            os.replace(f"{built}.part", built)
        return built

    def shared(self, path: Path, source: str, *options: str) -> Path:
        """Build a shared object without the C library's start files and put it at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.build(source, "-shared", "-fPIC", "-nostdlib", *options), path)
        return path
