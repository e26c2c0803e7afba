"""A tree like Alpine's, judged from a machine with glibc: what is found, and what its own loader says inside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.musl.harness import COMMAND
from tests.roots.programs import SHOW, run
from tests.support import build as compilers
from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tfguard import check_import, check_library
from tfguard.hosts.host import Host

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs musl-gcc (Debian: musl-tools)")

_SITE = "usr/lib/python3.12/site-packages"


@pytest.fixture
def tree(tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> Path:
    """musl, a "python3" that opens its arguments, and a package whose module was built for glibc."""
    (tmp_path / "lib").mkdir()
    shutil.copy(os.path.realpath("/lib/ld-musl-x86_64.so.1"), tmp_path / "lib/ld-musl-x86_64.so.1")
    pkg = tmp_path / _SITE / "pkg"
    pkg.mkdir(parents=True)
    (tmp_path / "usr/lib/python3.12/os.py").touch()
    (pkg / "__init__.py").write_text("from pkg import _native\n")
    options = ("-shared", "-fPIC", "-O2", "-D_FORTIFY_SOURCE=2", "-w")
    text = '#include <stdio.h>\nchar small[4]; int f(int n) { return sprintf(small, "%d", n); }'
    shutil.copy(compiler.build(text, *options), pkg / "_native.cpython-312-x86_64-linux-gnu.so")
    (tmp_path / "usr/bin").mkdir()
    monkeypatch.setattr(compilers, "COMMAND", COMMAND)
    shutil.copy(Compiler(tmp_path / "built").build(SHOW), tmp_path / "usr/bin/python3.12")
    (tmp_path / "usr/bin/python3").symlink_to("python3.12")
    return tmp_path


def test_the_tree_is_recognised(tree: Path) -> None:
    host = Host.from_root(tree)

    assert (host.loader, host.system_directories) == ("musl", ("/lib", "/usr/local/lib", "/usr/lib"))
    assert host.python is not None
    assert host.python.suffixes[0] == ".cpython-312-x86_64-linux-musl.so"
    assert [one.path for one in host.loaded] == ["", "/lib/ld-musl-x86_64.so.1"]


@pytest.mark.parametrize(
    ("text", "directories"),
    [("/a:/b\n/c\n", ("/a", "/b", "/c")), ("", ()), ("# comment\n/a", ("# comment", "/a"))],
)
def test_the_path_file_is_read(text: str, directories: tuple[str, ...], tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/ld-musl-x86_64.path").write_text(text)

    assert Host.from_root(tree).system_directories == directories


@pytest.mark.parametrize("text", [None, "", "/nowhere\n", "/opt\n"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
def test_the_loader_inside_says_the_same(text: str | None, tree: Path) -> None:
    """Of the module, and of a name that is searched, under several path files."""
    module = f"/{_SITE}/pkg/_native.cpython-312-x86_64-linux-gnu.so"
    (tree / "opt").mkdir()
    shutil.copy(tree / module[1:], tree / "opt/libx.so")
    if text is not None:
        (tree / "etc").mkdir()
        (tree / "etc/ld-musl-x86_64.path").write_text(text)

    was = run("/usr/bin/python3", module, "libx.so", "libnone.so", root=str(tree))

    said = []
    host = Host.from_root(tree)
    for name in (module, "libx.so", "libnone.so"):
        trace = check_library(name, host=host).trace
        assert trace is not None
        said.append("opened" if trace.failure is None else trace.failure.message)
    assert said == list(was.opened)


def test_a_wheel_for_glibc_is_named_as_one(tree: Path) -> None:
    """Python there does not even try the module; opened by hand, it lacks a function that only glibc has."""
    host = Host.from_root(tree)
    report = check_import("pkg", host=host)
    by_hand = check_library(f"/{_SITE}/pkg/_native.cpython-312-x86_64-linux-gnu.so", host=host)

    assert [(one.code, one.severity) for one in report.findings] == [("TFG210", "error")]
    assert [one.code for one in by_hand.errors] == ["TFG210"]
    assert by_hand.errors[0].loader_message is not None
    assert by_hand.errors[0].loader_message.endswith("__sprintf_chk: symbol not found")


def test_a_python_that_names_its_modules_as_on_glibc(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython before 3.11 does so on musl, unless the distribution changes it: its own modules are tried."""
    name = "_native.cpython-312-x86_64-linux-gnu.so"
    monkeypatch.setattr(compilers, "COMMAND", COMMAND)
    built = Compiler(tree / "built").build("int f(void) { return 1; }", "-shared", "-fPIC")
    for place in (tree / "usr/lib/python3.12/lib-dynload", tree / _SITE / "pkg"):
        place.mkdir(exist_ok=True)
        shutil.copy(built, place / name)

    host = Host.from_root(tree)
    report = check_import("pkg", host=host)

    assert host.python is not None
    assert host.python.suffixes[0] == ".cpython-312-x86_64-linux-gnu.so"
    assert report.findings == ()
    assert [os.path.basename(one.path) for one in report.images] == [name]
