"""python -m tfguard on real files: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tfguard import __version__
from tfguard.__main__ import main
from tfguard.rules import RULES

ROOT = Path(__file__).parent.parent
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One run of the command line; a warning of Python's would show on stderr."""
    return subprocess.run(
        [sys.executable, "-m", "tfguard", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, compiler: Compiler) -> Path:
    """A folder with good.so, op.so that needs the missing libdep.so.1, lfs.so, and a package that is all sound."""
    compiler.shared(tmp_path / "good.so", "int good(void) { return 1; }")
    dependency = compiler.shared(
        tmp_path / "gone" / "libdep.so.1", "int dep(void) { return 1; }", "-Wl,-soname,libdep.so.1"
    )
    compiler.shared(tmp_path / "op.so", "int dep(void); int op(void) { return dep(); }", str(dependency))
    dependency.unlink()
    (tmp_path / "lfs.so").write_text(LFS)
    (tmp_path / "sound").mkdir()
    (tmp_path / "sound" / "__init__.py").touch()
    return tmp_path


def test_good_library_is_one_line(folder: Path) -> None:
    done = run("check", "good.so", cwd=folder)

    assert (done.stdout, done.stderr, done.returncode) == ("./good.so: ok, 1 library checked\n", "", 0)


def test_broken_library_is_named_in_the_first_line(folder: Path) -> None:
    done = run("check", "op.so", cwd=folder)

    assert done.stdout.startswith("TFG201 needed-library-missing: libdep.so.1 ")
    assert done.stdout.endswith("\n  more: python -m tfguard explain TFG201\n")
    assert (done.stderr, done.returncode) == ("", 1)


def test_several_targets_give_several_reports(folder: Path) -> None:
    done = run("check", "good.so", "./lfs.so", "sound", cwd=folder)

    blocks = done.stdout.split("\n\n")
    assert blocks[0] == "./good.so: ok, 1 library checked"
    assert blocks[1].startswith("TFG119 git-lfs-pointer: ")
    assert blocks[-1] == "sound: ok, no library to check\n"
    assert done.returncode == 1


def test_ignored_codes_are_left_out(folder: Path) -> None:
    for arguments in (("--ignore", "tfg119", "check"), ("check", "--ignore", "TFG101,TFG119")):
        done = run(*arguments, "lfs.so", cwd=folder)

        assert done.returncode == 0
        assert "TFG119" not in done.stdout


def test_json_is_the_report(folder: Path) -> None:
    one = run("--json", "check", "op.so", cwd=folder)
    two = run("check", "--json", "op.so", "good.so", cwd=folder)

    report = json.loads(one.stdout)
    assert (report["schema"], report["target"], report["ok"], one.returncode) == (1, "./op.so", False, 1)
    assert [finding["code"] for finding in report["findings"]] == ["TFG201"]
    assert [one["target"] for one in json.loads(two.stdout)] == ["./op.so", "./good.so"]


def test_op_library_is_checked_as_after_the_import(folder: Path, compiler: Compiler) -> None:
    """It finds TensorFlow's framework only because that is loaded; here the package beside it is an empty one."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").touch()
    soname = "-Wl,-soname,libtensorflow_framework.so.2"
    framework = compiler.shared(folder / "gone" / "framework.so", "int tf(void) { return 1; }", soname)
    compiler.shared(folder / "custom.so", "int tf(void); int f(void) { return tf(); }", str(framework))

    asked = {
        name: json.loads(run("check", "--json", name, cwd=folder).stdout)["kind"] for name in ("custom.so", "op.so")
    }

    assert asked == {"custom.so": "op library", "op.so": "library"}


def test_tree_shows_where_the_search_ended(folder: Path) -> None:
    good = run("tree", "good.so", cwd=folder)
    bad = run("tree", "op.so", cwd=folder)

    assert (good.stdout, good.returncode) == ("   1 ./good.so  (by path)\n", 0)
    assert bad.stdout.startswith("   1 ./op.so  (by path)\n       libdep.so.1 => not found\n")
    assert "the loader says libdep.so.1: cannot open shared object file" in bad.stdout
    assert bad.returncode == 1


def test_show_tells_what_the_file_says(folder: Path) -> None:
    text = run("show", "op.so", cwd=folder)
    data = json.loads(run("show", "--json", "op.so", cwd=folder).stdout)
    pointer = run("show", "lfs.so", cwd=folder)

    assert "\nneeded            libdep.so.1\n" in text.stdout
    assert "\nsections          " in text.stdout
    assert (data["needed"], data["class"], text.returncode) == (["libdep.so.1"], 64 if sys.maxsize > 2**32 else 32, 0)
    assert "\nkind              Git LFS pointer for a file of 5 bytes\n" in pointer.stdout
    assert f"\nsize              {len(LFS)} bytes\n" in pointer.stdout
    assert pointer.returncode == 0


def test_hostile_file_reaches_the_terminal_as_ascii(folder: Path) -> None:
    name = "a\x1b[31m\n\u00e9.so"
    (folder / name).write_text(LFS)

    for command in ("check", "tree", "show"):
        done = run(command, name, cwd=folder)

        assert done.stdout.isascii()
        assert "\x1b" not in done.stdout
        assert r"a\x1b[31m\n\u00e9.so" in done.stdout


def test_explain_takes_code_or_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("TFG201", "tfg201", "needed-library-missing"):
        assert main(["explain", name]) == 0
        assert capsys.readouterr().out.startswith("TFG201 needed-library-missing: ")
    assert main(["explain", "--json", "tfg201"]) == 0
    assert json.loads(capsys.readouterr().out)["slug"] == "needed-library-missing"


def test_rules_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [one.code for one in RULES]
    assert main(["rules", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(RULES)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("explain", "TFG2O1"), "no code 'TFG2O1'; near it: TFG201"),
        (("explain", "needed-libary-missing"), "near it: needed-library-missing"),
        (("explain", "xyzzy"), "python -m tfguard rules lists them all"),
        (("check", "--ignore", "TFG2O1", "sound"), "near it: TFG201"),
        (("check", "a.b"), "without dots"),
        (("check", "good.so", "--after", "nonesuch"), "has no package 'nonesuch'"),
        (("good.so",), "python -m tfguard check good.so"),
        (("show", "nonesuch"), "nonesuch: No such file or directory"),
        (("show", "."), "Is a directory"),
        (("show",), "usage: "),
        (("--color", "sometimes"), "usage: "),
        (("tree", "a.so", "b.so"), "usage: "),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert hint in captured.err


def test_help_and_version_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "0 no errors, 1 errors found" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tfguard {__version__}\n"


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> bytes:
    """What a run writes to a terminal."""
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "tfguard", *arguments],
        cwd=cwd,
        env={**variables, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        stdout=theirs,
        check=False,
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:  # Linux: the other end is closed
        pass
    os.close(ours)
    return written


def test_colour_only_where_it_is_wanted(folder: Path) -> None:
    arguments = ("check", "lfs.so")

    assert b"\x1b[1;31mTFG119" in on_a_terminal(*arguments, cwd=folder)
    assert b"\x1b" not in on_a_terminal(*arguments, cwd=folder, NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal(*arguments, cwd=folder, TERM="dumb")
    assert b"\x1b" not in on_a_terminal(*arguments, "--color", "never", cwd=folder)
    assert "\x1b" not in run(*arguments, cwd=folder).stdout
    assert "\x1b[1;31mTFG119" in run(*arguments, "--color", "always", cwd=folder, NO_COLOR="1").stdout


def test_reader_may_leave(folder: Path) -> None:
    """`| head -1` gives no traceback, and the status is that of the check."""
    ours, theirs = os.pipe()
    os.close(ours)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments, status in ((("check", "lfs.so"), 1), (("rules",), 0)):
        done = subprocess.run(
            [sys.executable, "-m", "tfguard", *arguments],
            cwd=folder, env=environment, stdout=theirs, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip

        assert (done.stderr, done.returncode) == (b"", status)
    os.close(theirs)


def test_explain_imports_no_reader_of_files(tmp_path: Path) -> None:
    """It answers at once: nothing that reads ELF, and none of the libraries that do, is imported for a text."""
    code = "import sys; from tfguard.__main__ import main; main(['explain', 'TFG201']); print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {
        "elftools",
        "macholib",
        "packaging",
        "json",
        "tensorflow",
        "tfguard.telling.html",
        "tfguard.checks.check",
    }
