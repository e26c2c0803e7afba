"""Fetches single files out of real wheels for other platforms, through pip and its cache."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def download(requirement: str, platform: str, directory: Path, *, python: str = "3.11") -> Path:
    """That wheel, for another platform than this. Skips the test where it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--platform", platform, "-d", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(directory.glob("*.whl"), key=lambda one: one.stat().st_mtime_ns)
    if done.returncode or not wheels:
        pytest.skip(f"no wheel of {requirement} for {platform} can be had: {done.stderr.strip()[-200:]}")
    return wheels[-1]


def member_of_wheel(requirement: str, platform: str, pattern: str, directory: Path) -> Path:
    """The first member of that wheel that fits `pattern`, unpacked into `directory`.

    Skips the test where the wheel cannot be had.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", platform, "-d", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"no wheel of {requirement} for {platform} can be had: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next(name for name in wheel.namelist() if fnmatch.fnmatch(name, pattern))
        return Path(wheel.extract(member, directory))
