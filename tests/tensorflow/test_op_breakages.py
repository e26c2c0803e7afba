"""A real op library, sound and broken in each of the ways people meet: the guard against tf.load_op_library."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.support.build import Compiler

pytestmark = [pytest.mark.tensorflow, needs("g++")]

ROOT = Path(__file__).parents[2]
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 56232\n"

# name of the library, the code wanted first (None: it loads)
CASES: list[tuple[str, str | None]] = [
    ("sound.so", None),
    ("abi0.so", "TFG501"),
    ("helper.so", "TFG201"),
    ("empty.so", "TFG115"),
    ("100.so", "TFG116"),
    ("4096.so", "TFG116"),
    ("half.so", "TFG116"),
    ("magic.so", "TFG118"),
    ("lfs.so", "TFG119"),
    ("page.so", "TFG120"),
    ("aarch64.so", "TFG101"),
    ("object.o", "TFG123"),
    ("archive.a", "TFG122"),
    ("program", "TFG124"),
    ("undefined.so", "TFG506"),
    ("glibc.so", "TFG301"),
    ("tf1.so", "TFG206"),
    ("folder.so", "TFG113"),
    ("nothere.so", "TFG110"),
    ("nodlopen.so", "TFG130"),
    ("python.so", "TFG504"),
]


def flags() -> tuple[list[str], list[str]]:
    code = "import tensorflow as tf; print(*tf.sysconfig.get_compile_flags()); print(*tf.sysconfig.get_link_flags())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    compile_line, link_line = done.stdout.strip().splitlines()[-2:]
    return compile_line.split(), link_line.split()


@pytest.fixture(scope="module")
def ops(tmp_path_factory: pytest.TempPathFactory, compiler: Compiler) -> Path:
    """A folder with the demo's op, built with the wheel's own flags, and its broken relatives."""
    folder = tmp_path_factory.mktemp("ops")
    compiling, linking = flags()
    source = str(ROOT / "demo" / "roi_pooling.cc")
    base = ["g++", "-w", "-O0", "-fPIC"]

    def run(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, capture_output=True)

    run(*base, *compiling, "-c", source, "-o", "object.o")
    other = [flag.replace("CXX11_ABI=1", "CXX11_ABI=0") for flag in compiling]
    run(*base, *other, "-c", source, "-o", "abi0.o")
    run("g++", "-shared", "object.o", *linking, "-o", "sound.so")
    run("g++", "-shared", "abi0.o", *linking, "-o", "abi0.so")
    run("g++", "-shared", "object.o", *linking, "-Wl,-O1", "-o", "second.so")
    (folder / "link.so").symlink_to("sound.so")
    run("g++", "-shared", "object.o", "-o", "nolink.so")
    run("g++", "-shared", "object.o", *linking, "-Wl,-z,nodlopen", "-o", "nodlopen.so")
    run("ar", "rc", "archive.a", "object.o")
    shutil.copy(compiler.build("int main(void) { return 0; }", "-pie", "-fPIE"), folder / "program")
    compiler.shared(folder / "libroi_helper.so", "int helper(void) { return 1; }", "-Wl,-soname,libroi_helper.so")
    run("g++", "-shared", "object.o", *linking, "-Wl,--no-as-needed", "libroi_helper.so", "-o", "helper.so")
    (folder / "late").mkdir()
    (folder / "libroi_helper.so").rename(folder / "late" / "libroi_helper.so")
    calls = compiler.build("int nowhere_defined(void); int f(void) { return nowhere_defined(); }", "-c", "-fPIC")
    run("g++", "-shared", "object.o", "-x", "none", str(calls), *linking, "-o", "undefined.so")
    python = compiler.build("int PyOfTomorrow_New(void); int f(void) { return PyOfTomorrow_New(); }", "-c", "-fPIC")
    run("g++", "-shared", "object.o", str(python), *linking, "-o", "python.so")
    compiler.shared(folder / "stub" / "libtensorflow_framework.so.1", "int f(void) { return 1; }",
                    "-Wl,-soname,libtensorflow_framework.so.1")  # fmt: skip
    run("g++", "-shared", "object.o", "-Wl,--no-as-needed", "stub/libtensorflow_framework.so.1", "-o", "tf1.so")
    (folder / "v.map").write_text("GLIBC_2.99 { global: puts; local: *; };")
    stub = compiler.shared(folder / "stub" / "libc.so.6", "int puts(const char *s) { return 0; }",
                           "-Wl,-soname,libc.so.6", f"-Wl,--version-script={folder / 'v.map'}")  # fmt: skip
    user = "int puts(const char *); int say(void) { return puts(0); }"
    compiler.shared(folder / "glibc.so", user, str(stub))
    sound = (folder / "sound.so").read_bytes()
    for name, size in (("empty.so", 0), ("100.so", 100), ("4096.so", 4096), ("half.so", len(sound) // 2)):
        (folder / name).write_bytes(sound[:size])
    (folder / "magic.so").write_bytes(b"\0\0\0\0" + sound[4:])
    (folder / "lfs.so").write_text(LFS)
    (folder / "page.so").write_text("<!DOCTYPE html><html><body>404</body></html>" * 4)
    changed = bytearray(sound)
    struct.pack_into("<H", changed, 18, 183)
    (folder / "aarch64.so").write_bytes(changed)
    (folder / "folder.so").mkdir()
    return folder


def ask(when: str, folder: Path, names: list[str], **env: str) -> dict[str, dict[str, dict[str, object]]]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0",
                   "PYTHONPATH": str(ROOT), **env}  # fmt: skip
    command = [sys.executable, "-m", "tests.support.op_child", when, *names]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["path"]: line for line in lines}


@pytest.fixture(scope="module")
def loaded(ops: Path) -> dict[str, dict[str, dict[str, object]]]:
    """The answers of one process that has TensorFlow loaded."""
    return ask("loaded", ops, [f"./{name}" for name, _ in CASES] + ["./nolink.so", "sound.so", "/no/such/place/op.so"])


@pytest.fixture(scope="module")
def foretold(ops: Path) -> dict[str, dict[str, dict[str, object]]]:
    """The answers of one process without TensorFlow, for the process as it would stand after the import."""
    return ask("foretold", ops, [f"./{name}" for name, _ in CASES] + ["./nolink.so"])


@pytest.mark.parametrize(("name", "code"), CASES, ids=[case[0] for case in CASES])
def test_op(loaded: dict[str, dict[str, dict[str, object]]], name: str, code: str | None) -> None:
    """The guard raises before the load, names the cause, and foresaw the message or the death."""
    guarded, real = loaded[f"./{name}"]["guarded"], loaded[f"./{name}"]["real"]

    if code is None:
        assert real == {"error": None}
        assert guarded == {"error": None, "warnings": [], "ops": True}
        return
    assert guarded["error"] == "OpLibraryError", guarded
    codes = guarded["codes"]
    assert isinstance(codes, list)
    assert codes[0] == code, guarded["text"]
    assert str(guarded["text"]).startswith(f"{code} ")
    assert guarded["not_found"]
    assert not guarded["chained"]
    if "signal" in real:
        assert guarded["loader_message"] is None
        assert {7: "SIGBUS"}[int(str(real["signal"]))] in str(guarded["dies"])
    else:
        assert real["error"] == "NotFoundError"
        assert guarded["loader_message"] == real["text"]


@pytest.mark.parametrize(("name", "code"), CASES, ids=[case[0] for case in CASES])
def test_op_foretold(
    foretold: dict[str, dict[str, dict[str, object]]],
    loaded: dict[str, dict[str, dict[str, object]]],
    name: str,
    code: str | None,
) -> None:
    """check_library(after="tensorflow") says the same before TensorFlow is imported."""
    said = foretold[f"./{name}"]["foretold"]

    assert said["ok"] == (code is None)
    assert said["codes"] == ([] if code is None else [code])
    if code is not None:
        assert said["loader_message"] == loaded[f"./{name}"]["guarded"]["loader_message"]


def test_op_not_linked_to_the_framework(
    loaded: dict[str, dict[str, dict[str, object]]], foretold: dict[str, dict[str, dict[str, object]]]
) -> None:
    """TensorFlow opens itself with RTLD_GLOBAL from 2.19 on: such an op loads, with a warning."""
    answer = loaded["./nolink.so"]

    assert answer["real"] == {"error": None}
    # no op: TensorFlow says nothing when an op of that name (that of sound.so) is registered already, the guard does
    assert answer["guarded"] == {"error": None, "warnings": ["TFG503", "TFG703"], "ops": False}
    assert foretold["./nolink.so"]["foretold"] == {"ok": True, "codes": ["TFG503"], "loader_message": None}


def test_bare_name_in_the_working_directory(loaded: dict[str, dict[str, dict[str, object]]]) -> None:
    """A name without a slash is not looked up where the file lies."""
    answer = loaded["sound.so"]

    assert answer["guarded"]["codes"] == ["TFG111"]
    assert answer["guarded"]["loader_message"] == answer["real"]["text"]


def test_library_path_set_inside_the_process(ops: Path) -> None:
    """os.environ["LD_LIBRARY_PATH"] reaches no loader that runs already."""
    code = (
        "import json, os, tfguard\n"
        f"os.environ['LD_LIBRARY_PATH'] = {str(ops / 'late')!r}\n"
        "import tensorflow as tf\n"
        "try:\n tfguard.load_op_library('./helper.so')\n"
        "except tfguard.OpLibraryError as error:\n said = error\n"
        "try:\n tf.load_op_library('./helper.so')\n"
        "except tf.errors.NotFoundError as error:\n real = str(error)\n"
        "print(json.dumps([said.codes, said.findings[0].loader_message, real]))"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    environment.pop("LD_LIBRARY_PATH", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ops, env=environment, capture_output=True, text=True, check=True
    )

    codes, foreseen, real = json.loads(done.stdout.splitlines()[-1])
    assert codes == ["TFG203"]
    assert foreseen == real


def test_what_it_gives_back(ops: Path) -> None:
    """load_op_library gives back just what tf.load_op_library gives: the same module, with a working op."""
    code = (
        "import tfguard, numpy as np\n"
        "module = tfguard.load_op_library('./sound.so')\n"
        "import tensorflow as tf\n"
        "again = tf.load_op_library('./sound.so')\n"
        "assert module is again or module.__name__ == again.__name__, (module, again)\n"
        "features = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)\n"
        "out = module.roi_pooling(features, [[0, 0, 0, 3, 3]], pool_height=2, pool_width=2)\n"
        "print(out.shape)"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ops, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "(1, 2, 2, 2)" in done.stdout


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs mounted noexec."""
    where = tmp_path / "noexec"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "noexec,size=8m", "tmpfs", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_op_on_a_noexec_mount(ops: Path, noexec: Path) -> None:
    """The op lies on a file system mounted noexec."""
    path = str(shutil.copy(ops / "sound.so", noexec / "sound.so"))

    answer = ask("loaded", ops, [path])[path]

    assert answer["guarded"]["codes"] == ["TFG128"]
    assert answer["guarded"]["loader_message"] == answer["real"]["text"]


def test_op_registered_twice(ops: Path) -> None:
    """A second build, and the file itself by another path, load without a word and give no op; the guard says why."""
    answers = ask("loaded", ops, ["./sound.so", "./second.so", "./link.so", "./sound.so"])

    assert all(one["real"]["error"] is None for one in answers.values())
    told = {path: (one["guarded"]["ops"], one["guarded"]["warnings"]) for path, one in answers.items()}
    assert told == {
        "./sound.so": (True, []),
        "./second.so": (False, ["TFG703"]),
        "./link.so": (False, ["TFG703"]),
    }


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_report_is_read_on_another_machine(ops: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each of them: the block that is made here says there, where the file is not, what the check says here."""
    from tfguard.checks.check import check_library
    from tfguard.diagnosis.issue import as_json, block, facts_of, markdown
    from tfguard.diagnosis.post_mortem import diagnose

    monkeypatch.chdir(ops)
    reports = {name: facts_of(check_library(f"./{name}", after="tensorflow")) for name, code in CASES if code}
    monkeypatch.chdir("/")
    texts = {
        name: {"text": block(facts), "markdown": markdown(facts), "json": json.dumps(as_json(facts), indent=2)}[form]
        for name, facts in reports.items()
    }

    told = {name: diagnose(text).findings[0].code for name, text in texts.items()}

    assert told == {name: facts.report.findings[0].code for name, facts in reports.items()}
    assert told == {name: code for name, code in CASES if code}
