"""Real environments broken in the ways people break them: the finding, its remedy carried out, the import working.

Beside each stands what the import says of it without a guard, so that the difference can be seen.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installation.environment import Environment, codes
from tests.support.build import Compiler
from tests.support.packages import ROOT

pytestmark = pytest.mark.tensorflow


@dataclass(frozen=True)
class Breakage:
    """A way to break an environment.

    `says` is in the last line of the unguarded import, "" where the import lives; `remedy` is the number of the one
    carried out.
    """

    id: str
    apply: Callable[[Environment], None]
    code: str
    severity: str
    says: str
    remedy: int = 0


def _write(name: str, text: str) -> Callable[[Environment], None]:
    return lambda environment: _written(environment.project / name, text)


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _plugin(environment: Environment) -> None:
    _written(
        environment.site / "tensorflow-plugins" / "libgarbage.so", "no library at all, left here by somebody\n" * 4
    )


def _tilde(environment: Environment) -> None:
    _written(environment.site / "~ensorflow" / "__init__.py", "")


def _source_tree(environment: Environment) -> None:
    """What a checkout has of the package: Python files, no native ones, and what the build writes is not there."""
    checkout = environment.project / "tensorflow"
    ignore = shutil.ignore_patterns("*.so*", "include", "build_info.py", "lite", "__pycache__", "*.pyc")
    shutil.copytree(environment.site / "tensorflow", checkout, ignore=ignore)
    for name in ("BUILD", "tensorflow.bzl"):
        (checkout / name).touch()


# No network is needed for these. Half of them is enough for every run: each is two imports of TensorFlow.
HERE = (
    Breakage("plugin", _plugin, "TFG415", "error", "libgarbage.so: invalid ELF header"),
    Breakage(
        "numpy.py",
        _write("numpy.py", "print('mine')\n"),
        "TFG407",
        "warning",
        "cannot import name 'typing' from 'numpy'",
    ),
    Breakage(
        "random.py",
        _write("random.py", "import tensorflow\n"),
        "TFG407",
        "warning",
        "cannot import name 'Random' from 'random'",
    ),
    Breakage("tilde", _tilde, "TFG406", "warning", ""),
    Breakage("source-tree", _source_tree, "TFG408", "error", "Could not import tensorflow. Do not import tensorflow"),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One copy for what leaves it as it was once the remedy was carried out."""
    return Environment.copied(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A copy of its own."""
    yield Environment.copied(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


def _hold(environment: Environment, case: Breakage) -> None:
    case.apply(environment)

    before = environment.last_words()
    findings = environment.findings()
    assert (case.says in before) if case.says else (before == ""), before
    assert codes(findings)[:1] == [(case.code, case.severity)], findings
    command = findings[0].remedies[case.remedy][1]
    assert command is not None
    done = environment.carry_out(command)

    assert done.returncode == 0, (command, done.stderr[-2000:])
    if "your_script.py" in command:
        assert "it works" in done.stdout, (command, done.stderr[-2000:])
    elif before:
        assert environment.last_words() == ""
    else:
        assert codes(environment.findings()) == []


_ALWAYS = ("random.py", "source-tree")


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=() if one.id in _ALWAYS else pytest.mark.slow, id=one.id) for one in HERE],
)
def test_broken_and_mended(shared: Environment, case: Breakage) -> None:
    """The true cause first, the remedy as it stands, and then the program runs."""
    try:
        _hold(shared, case)
    finally:
        shutil.rmtree(shared.project)
        shared.project.mkdir()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before")
def test_exception_with_a_note(shared: Environment) -> None:
    """What may be the cause is a warning before the import, and a note on the exception after it."""
    _write("numpy.py", "print('mine')\n")(shared)
    script = f"import sys; sys.path.insert(1, {str(ROOT)!r}); import tfguard; tfguard.safe_import()"

    said = shared.last_words(script, whole=True)
    (shared.project / "numpy.py").unlink()

    assert "GuardWarning: TFG407 shadowed-module: " in said
    assert "ImportError: cannot import name 'typing' from 'numpy'" in said
    assert said.index("What tfguard finds in this installation:") > said.index("ImportError: cannot import name")


def test_in_another_environment(shared: Environment, tmp_path: Path) -> None:
    """VIRTUAL_ENV names the environment that has it, and another Python runs: its own Python is the remedy."""
    other = Environment.empty(tmp_path)
    other.variables |= {"VIRTUAL_ENV": str(shared.python.parents[1]), "HOME": str(tmp_path)}

    before = other.last_words()
    findings = other.findings()
    done = other.carry_out(findings[0].remedies[0][1] or "")

    assert before == "ModuleNotFoundError: No module named 'tensorflow'"
    assert codes(findings) == [("TFG419", "error")]
    assert str(shared.python.parents[1]) in findings[0].message
    assert "it works" in done.stdout, done.stderr


def test_plugin_for_another_tensorflow(shared: Environment, compiler: Compiler) -> None:
    """A plugin that calls what this TensorFlow does not have, as one of another release does."""
    library = compiler.build("void TF_Gone(void); void f(void) { TF_Gone(); }", "-shared", "-fPIC")
    folder = shared.site / "tensorflow-plugins"
    folder.mkdir(exist_ok=True)
    shutil.copy(library, folder / "libold_plugin.so")
    try:
        _hold(shared, Breakage("", lambda _: None, "TFG415", "error", "undefined symbol: TF_Gone"))
    finally:
        shutil.rmtree(folder)


def test_flipped_byte(shared: Environment) -> None:
    """One byte of a library: the import says nothing, and a checksum of every file finds it."""
    path = next((shared.site / "tensorflow" / "python").glob("_pywrap_tfe*.so"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    code = "import sys; from tfguard.__main__ import main; sys.exit(main(['check', '--deep']))"

    plain = shared.findings()
    child = subprocess.run(
        [str(shared.python), "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    shutil.copy(Path(sys.prefix) / path.relative_to(shared.python.parents[1]), path)

    assert codes(plain) == []
    assert "TFG405 changed-files (warning): 1 file of tensorflow" in child.stdout
    assert "tensorflow/python/_pywrap_tfe.so" in child.stdout
    assert "hashing tensorflow: " in child.stderr
    assert "MB/s" in child.stderr
