"""A directory tree with a Python and TensorFlow of its own, judged from outside and started inside for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.installation.environment import SCRIPT, Said
from tfguard import check_import
from tfguard.hosts.host import Host

NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
# In a mount namespace of its own: what pip and TensorFlow want of a system, and then the tree is "/".
_INSIDE = """
for one in etc dev proc; do mkdir -p "$0/$one" && mount --rbind "/$one" "$0/$one" || exit 99; done
exec chroot "$0" /bin/sh -c "$1"
"""
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_MAPPED = """
import ctypes, hashlib, ssl, tensorflow, zlib
print(*{line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}, sep="\\n")
"""


@dataclass(frozen=True)
class Tree:
    """The tree; `site` is where its packages lie."""

    root: Path

    @property
    def site(self) -> Path:
        return self.root / "usr/local/lib" / NAME / "site-packages"

    @classmethod
    def of_this_environment(cls, folder: Path) -> Tree:
        """This Python and its packages by hard links, managed as a system's is, and the libraries of this system."""
        tree = cls(folder)
        for name in ("usr/local/bin", "usr/local/lib", "usr/bin", "usr/lib64", "tmp", "root"):
            (folder / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        shutil.copy(os.path.realpath(sys.executable), folder / "usr/local/bin" / NAME)
        (folder / "usr/local/bin/python3").symlink_to(NAME)
        (folder / "usr/local/bin/python").symlink_to(NAME)
        library = Path(sysconfig.get_paths()["stdlib"])
        subprocess.run(["cp", "-al", str(library), str(folder / "usr/local/lib" / NAME)], check=True)
        shutil.rmtree(tree.site, ignore_errors=True)
        subprocess.run(["cp", "-al", sysconfig.get_paths()["purelib"], str(tree.site)], check=True)
        (folder / "usr/local/lib" / NAME / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=no\n")
        for path in (*_libraries(), "/bin/sh", "/bin/mv", "/bin/rm"):
            _bring(path, folder)
        return tree

    def copied(self, folder: Path) -> Tree:
        """Another one by hard links: what is removed or replaced in it stays here."""
        subprocess.run(["cp", "-al", str(self.root), str(folder)], check=True)
        return Tree(folder)

    def last_words(self) -> str:
        """How a program ends inside, without a guard; "" where it works."""
        (self.root / "root/your_script.py").write_text(SCRIPT)
        done = self.carry_out("cd /root && python your_script.py")
        if done.returncode == 0 and "it works" in done.stdout:
            return ""
        return done.stderr.strip() or f"ended with {done.returncode}"

    def findings(self) -> list[Said]:
        """What is said of it from outside."""
        report = check_import("tensorflow", host=Host.from_root(self.root))
        assert str(self.root) not in str(report)
        return [
            Said(one.code, one.severity, one.message, [(two.text, two.command) for two in one.remedies])
            for one in report.errors + report.warnings
        ]

    def carry_out(self, command: str) -> subprocess.CompletedProcess[str]:
        """Paste a command into a shell inside."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", _INSIDE, str(self.root), command],
            env={**kept, "PATH": _PATH, "HOME": "/root", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


def can_be_entered() -> bool:
    """Whether this is root, and may make mounts of its own."""
    if os.geteuid() or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


@cache
def _libraries() -> tuple[str, ...]:
    """What of the system a process with TensorFlow has mapped."""
    done = subprocess.run(
        [sys.executable, "-c", _MAPPED], capture_output=True, text=True, check=True, cwd="/",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    own = (sys.prefix, sysconfig.get_paths()["stdlib"])
    return tuple(one for one in done.stdout.split() if not one.startswith(own))


def _bring(path: str, root: Path) -> None:
    """A file of this system under all its names, with the libraries that a program needs."""
    real = Path(os.path.realpath(path))
    stem = real.name.partition(".so")[0]
    names = {path, str(real), *map(str, real.parent.glob(f"{stem}.so*")), *map(str, Path("/lib64").glob("ld-linux*"))}
    for name in names:
        place = root / name.lstrip("/")
        if os.path.exists(name) and not place.exists() and (name == path or os.path.realpath(name) == str(real)):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(real, place)
    if ".so" not in real.name:
        listed = subprocess.run(["ldd", str(real)], capture_output=True, text=True, check=True).stdout.split()
        for one in listed:
            if one.startswith("/") and not (root / one.lstrip("/")).exists():
                _bring(one, root)
