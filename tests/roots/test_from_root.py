"""Host.from_root: a Python is described from its files as it would describe itself, and a tree as a chroot shows it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.roots.programs import program, run, system_files
from tests.support.build import COMMAND, Compiler
from tests.support.elf_edit import with_header
from tests.support.elf_writer import Library, write
from tests.support.here import is_glibc_x86_64
from tfguard import check_import, check_library
from tfguard.__main__ import main
from tfguard.hosts.host import Host

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and a C compiler")

_OWN = """
import json, sys
from importlib.machinery import EXTENSION_SUFFIXES
print(json.dumps([sys.path, EXTENSION_SUFFIXES, sys.prefix, sys.base_prefix, sys.version_info[:2]]))
"""
_OWN_HOST = """
import pickle, sys
from dataclasses import replace
from tfguard.hosts.live import this_host
sys.stdout.buffer.write(pickle.dumps(replace(this_host(), sees_global_symbol=None)))
"""
_PYTHONS = sorted(
    {os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3", "/opt/conda/bin/python"}
)


def _says(python: str) -> list[object]:
    """What a Python says of itself, without what its .pth files run and the user's own packages."""
    done = subprocess.run([python, "-I", "-c", _OWN], capture_output=True, text=True, check=True)
    own: list[object] = json.loads(done.stdout)
    return own


def _told(python: str) -> list[object]:
    one = Host.from_root("/", python, environment={"PYTHONNOUSERSITE": "1"}).python
    assert one is not None
    return [list(one.path), list(one.suffixes), one.prefix, one.base_prefix, list(one.version[:2])]


@pytest.mark.parametrize("python", [one for one in _PYTHONS if os.path.exists(one)])
def test_a_python_is_described_as_it_describes_itself(python: str) -> None:
    assert _told(python) == _says(python)


@pytest.mark.parametrize("options", [(), ("--system-site-packages",)], ids=["alone", "with-the-system"])
def test_a_virtual_environment_is_described_as_it_describes_itself(options: tuple[str, ...], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(tmp_path / "env")], check=True)
    python = f"{tmp_path}/env/bin/python"
    site = next((tmp_path / "env/lib").glob("python*/site-packages"))
    (tmp_path / "more").mkdir()
    (site / "more.pth").write_text(f"# a comment\n{tmp_path}/more\n{tmp_path}/none\n../../..\n")

    assert _told(python) == _says(python)


def test_a_process_is_described_as_it_describes_itself() -> None:
    """The loader's facts, and what is mapped at start, against this machine's own Python."""
    python = os.path.realpath(sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([python, "-c", _OWN_HOST], env=environment, capture_output=True, check=True)
    own: Host = pickle.loads(done.stdout)
    told = Host.from_root("/", python)

    same = """loader version features elf_class machine page_size system_directories cache_path lib_token
        platform_token legacy_hwcaps isa_level intel""".split()
    assert {name: getattr(told, name) for name in same} == {name: getattr(own, name) for name in same}
    startup = [one.path for one in own.loaded if one.startup and "vdso" not in one.path]
    assert sorted(startup) == sorted(one.path for one in told.loaded)


@pytest.fixture
def tree(tmp_path: Path, compiler: Compiler) -> Path:
    """A small system: a loader, a C library, a "python3" that opens its arguments, a package with a native module."""
    system_files(tmp_path)
    program(compiler, tmp_path / "usr/bin/python3.11")
    (tmp_path / "usr/bin/python3").symlink_to("/usr/bin/python3.11")
    library = tmp_path / "usr/lib/python3.11"
    (library / "site-packages/pkg").mkdir(parents=True)
    (library / "os.py").touch()
    (library / "site-packages/pkg/__init__.py").write_text("from pkg import _native\n")
    needed = compiler.shared(tmp_path / "opt/x/libx.so.1", "int x(void) { return 1; }", "-Wl,-soname,libx.so.1")
    compiler.shared(
        library / "site-packages/pkg/_native.so",
        "int x(void); int native(void) { return x(); }",
        str(needed),
        "-Wl,--enable-new-dtags,-rpath,/opt/link:$ORIGIN/../../../../../opt/none",
    )
    (tmp_path / "opt/link").symlink_to("/opt/x")
    return tmp_path


_NATIVE = "/usr/lib/python3.11/site-packages/pkg/_native.so"


def test_a_sound_tree(tree: Path) -> None:
    host = Host.from_root(tree)
    report = check_import("pkg", host=host)

    assert (host.executable, host.skipped) == ("/usr/bin/python3", ())
    assert str(report) == "pkg: ok, 2 libraries checked"
    assert report.trace is not None
    assert [one.path for one in report.trace.images] == [_NATIVE, "/opt/link/libx.so.1"]


def _gone(tree: Path) -> None:
    (tree / "opt/x/libx.so.1").unlink()


def _leads_out(tree: Path) -> None:
    """The link leads to a file that this machine has and the tree does not."""
    (tree / "opt/x").rename(tree.parent / f"{tree.name}-outside")
    (tree / "opt/link").unlink()
    (tree / "opt/link").symlink_to(tree.parent / f"{tree.name}-outside")


def _of_another_machine(tree: Path) -> None:
    path = tree / "opt/x/libx.so.1"
    path.write_bytes(with_header(path.read_bytes(), e_machine=183))


def _text(tree: Path) -> None:
    (tree / "opt/x/libx.so.1").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")


def _loops(tree: Path) -> None:
    (tree / "opt/x/libx.so.1").unlink()
    (tree / "opt/x/libx.so.1").symlink_to("/opt/link/libx.so.1")


def _other_copy(tree: Path) -> None:
    (tree / "opt/x/libx.so.1").rename(tree / "usr/lib/libx.so.1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda tree: None, ()),
        (_gone, ("TFG201",)),
        (_leads_out, ("TFG201",)),
        (_of_another_machine, ("TFG101",)),
        (_text, ("TFG119",)),
        (_loops, ("TFG201",)),
        (_other_copy, ()),
    ],
)
def test_the_loader_inside_says_the_same(tree: Path, spoil: Callable[[Path], None], codes: tuple[str, ...]) -> None:
    """Verdict, message and mapped files of the module as a chroot run shows them; no path is one of this machine."""
    spoil(tree)
    was = run("/usr/bin/python3", _NATIVE, root=str(tree))

    host = Host.from_root(tree)
    report = check_import("pkg", host=host)
    alone = check_library(_NATIVE, host=host)

    assert [one.path for one in host.loaded[1:-1]] == list(was.mapped)
    assert tuple(one.code for one in report.errors) == codes == tuple(one.code for one in alone.errors)
    assert alone.trace is not None
    said = alone.trace.failure
    assert ("opened" if said is None else said.message,) == was.opened
    assert str(tree) not in str(report)
    assert str(tree) not in json.dumps(report.to_dict()["traces"])


def test_what_is_no_tree_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Python is found in"):
        Host.from_root(tmp_path)
    with pytest.raises(NotADirectoryError):
        Host.from_root(tmp_path / "none")
    (tmp_path / "python").write_text("#!/bin/sh\nexec python3\n")
    with pytest.raises(ValueError, match="no program that a loader starts: a script for /bin/sh"):
        Host.from_root(tmp_path, "python")


def test_a_tree_without_its_loader(tree: Path) -> None:
    """Nothing is guessed where the loader that the program asks for is not there."""
    (tree / "lib64/ld-linux-x86-64.so.2").unlink()

    report = check_import("pkg", host=Host.from_root(tree))

    assert report.host.loader == "unknown"
    assert f"asks for the loader /lib64/ld-linux-x86-64.so.2, which {tree} does not have" in report.skipped[0]


def test_a_python_that_does_not_start(tree: Path) -> None:
    """What its own loader would say of it comes before any module."""
    (next(tree.glob("**/libc.so.6"))).unlink()

    report = check_import("pkg", host=Host.from_root(tree))

    assert [one.code for one in report.errors] == ["TFG201"]
    assert report.errors[0].loader_message == (
        "/usr/bin/python3: error while loading shared libraries: libc.so.6: cannot open shared object file: "
        "No such file or directory"
    )


def test_the_command_line_asks_about_a_tree(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packages, libraries by either spelling, and programs; the paths in the answers are those inside."""
    root = ["--root", str(tree)]
    outside = f"{tree}{_NATIVE}"
    lines = []
    for target in ("pkg", _NATIVE, _NATIVE[1:], outside, "usr/bin/python3.11"):
        assert main(["check", *root, target]) == 0
        lines.append(capsys.readouterr().out.strip())

    assert lines == [
        "pkg: ok, 2 libraries checked",
        *[f"{_NATIVE}: ok, 2 libraries checked"] * 3,
        "/usr/bin/python3.11: ok, 2 libraries checked",
    ]
    assert main(["tree", *root, "pkg"]) == 0
    assert "libx.so.1 => /opt/link/libx.so.1  (RUNPATH)" in capsys.readouterr().out
    assert main(["show", *root, _NATIVE]) == 0
    assert "libx.so.1" in capsys.readouterr().out


def test_a_package_that_a_tree_does_not_have(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The finding is that of an installation; another Python of the tree that has it is named, by its path inside."""
    assert main(["check", "--root", str(tree), "tensorflow"]) == 1
    absent = capsys.readouterr().out
    site = tree / "opt/venv/lib/python3.11/site-packages"
    (site / "tensorflow-2.99.0.dist-info").mkdir(parents=True)
    (tree / "opt/venv/bin").mkdir()
    (tree / "opt/venv/bin/python3.11").symlink_to("/usr/bin/python3.11")
    elsewhere = check_import("tensorflow", host=Host.from_root(tree, "usr/bin/python3")).findings

    assert absent.startswith("TFG401 not-installed: tensorflow is not installed in this Python (3.11.")
    assert "/usr/bin/python3 -m pip install tensorflow==" in absent
    assert str(tree) not in absent
    assert [one.code for one in elsewhere] == ["TFG419"]
    assert elsewhere[0].remedies[0].command == "/opt/venv/bin/python3.11 your_script.py"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--root", "{tree}/none", "pkg"), "{tree}/none: Not a directory"),
        (("--root", "{tree}/opt", "pkg"), "no Python is found in {tree}/opt; say which it is"),
        (("--root", "{tree}", "--python", "bin/python", "pkg"), "/bin/python: No such file or directory"),
        (("--env", "A=B", "pkg"), "--env is for another process: it goes with --root or --python"),
    ],
)
def test_wrong_use_is_said(
    arguments: tuple[str, ...], says: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *(one.format(tree=tree) for one in arguments)]) == 2
    assert capsys.readouterr().err == f"tfguard: {says.format(tree=tree)}\n"


@pytest.mark.parametrize(("level", "certain"), [(4, False), (9, True)])
def test_the_processor_of_a_tree_is_not_known(level: int, certain: bool, tree: Path) -> None:
    """A library for a higher level than that of this machine may load where the tree will run: a warning."""
    library = Library(soname="libx.so.1", isa_needed=1 << level - 1)
    (tree / "opt/x/libx.so.1").write_bytes(write(library))
    host = replace(Host.from_root(tree), isa_level=2, features=frozenset(("isa-level",)))

    report = check_library("/opt/x/libx.so.1", host=host)

    assert [one.code for one in report.findings] == ["TFG106"]
    assert [one.severity for one in report.findings] == ["error" if certain else "warning"]


def test_library_path_inside(tree: Path) -> None:
    """The environment is that of the process asked about, and its paths are those inside."""
    _gone(tree)
    (tree / "data").mkdir()
    host = Host.from_root(tree, "usr/bin/python3.11", environment={"LD_LIBRARY_PATH": "/data"})

    report = check_import("pkg", host=host)

    assert report.trace is not None
    assert report.trace.failure is not None
    assert report.trace.failure.lookup is not None
    assert "/data/libx.so.1" in [one.path for one in report.trace.failure.lookup.attempts]
