"""Healthy environments of every kind stay silent: in the whole check, and in the glance that every import takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tests.support.distributions import lay_out, row
from tests.support.packages import ROOT

TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
# Of a release that nobody has measured: no list says which native modules it must have.
RELEASE = "2.99.0"
FILES = {"tensorflow/__init__.py": "", "tensorflow/python/__init__.py": ""}
WHEEL = (f"{TAG}-{TAG}-manylinux_2_27_x86_64",)

ASK = """
import json, sys
sys.path.append(ROOT)
sys.path.append(READERS)
import tfguard
from tfguard.installed.installation import find_package
from tfguard.installed.glance import calls_for_a_survey
report = tfguard.check_import("tensorflow")
print(json.dumps([[str(one.code) + ": " + one.message for one in report.findings], list(report.skipped),
                  calls_for_a_survey(find_package("tensorflow"), None)]))
"""


@dataclass(frozen=True)
class Start:
    """How a Python is started: which, with what options and variables, in which folder.

    `calm` is False where the glance may ask for a closer look, which then finds nothing.
    """

    python: Path = Path(sys.executable)
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    calm: bool = True


def tensorflow_in(site: Path, name: str = "tensorflow", **more: str) -> None:
    """A small distribution of TensorFlow and what it requires."""
    lay_out(site, name, RELEASE, {**FILES, **more}, requires=("numpy>=1.26", "absl-py"), tags=WHEEL)
    lay_out(site, "numpy", "2.4.0", {"numpy/__init__.py": ""}, tags=WHEEL)
    lay_out(site, "absl-py", "2.1.0", {"absl/__init__.py": ""})


def empty_venv(folder: Path, *, system: bool = False) -> tuple[Path, Path]:
    """A virtual environment without pip: its Python and its site-packages."""
    venv.create(folder, system_site_packages=system, with_pip=False, symlinks=True)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    return folder / "bin" / "python", site


def plain(folder: Path) -> Start:
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    return Start(python)


def target(folder: Path) -> Start:
    """pip install --target, and PYTHONPATH."""
    tensorflow_in(folder / "deps")
    return Start(options=("-S",), variables={"PYTHONPATH": str(folder / "deps")})


def overridden(folder: Path) -> Start:
    """One package of a newer version on PYTHONPATH before the environment's."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    lay_out(folder / "newer", "numpy", "2.5.0", {"numpy/__init__.py": ""}, tags=WHEEL)
    return Start(python, variables={"PYTHONPATH": str(folder / "newer")}, calm=False)


def split(folder: Path) -> Start:
    """TensorFlow in one directory of the path, what it requires in another."""
    lay_out(folder / "a", "tensorflow", RELEASE, FILES, requires=("numpy",), tags=WHEEL)
    lay_out(folder / "b", "numpy", "2.4.0", {"numpy/__init__.py": ""}, tags=WHEEL)
    return Start(options=("-S",), variables={"PYTHONPATH": f"{folder / 'a'}:{folder / 'b'}"})


def system_site(folder: Path) -> Start:
    """A virtual environment that sees the packages of the Python it was made by."""
    python, site = empty_venv(folder / "venv", system=True)
    tensorflow_in(site)
    return Start(python)


def conda(folder: Path) -> Start:
    """A prefix of its own: what conda installed has other sizes than RECORD says, and INSTALLER says conda."""
    python, site = empty_venv(folder / "env")
    tensorflow_in(site, **{"tensorflow/python/_x.dll": "built with a long placeholder for the prefix"})
    (site / "tensorflow" / "python" / "_x.dll").write_text("a short prefix, and quite another size than before, see")
    (site / f"tensorflow-{RELEASE}.dist-info" / "INSTALLER").write_text("conda\n")
    (folder / "env" / "conda-meta").mkdir()
    return Start(python)


def editable(folder: Path) -> Start:
    """An editable install of something that TensorFlow requires: a path file, and a RECORD without its code."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    (folder / "checkout" / "absl").mkdir(parents=True)
    (folder / "checkout" / "absl" / "__init__.py").touch()
    for path in sorted((site / "absl").rglob("*"), reverse=True):
        path.unlink()
    (site / "absl").rmdir()
    (site / "__editable__.absl_py-2.1.0.pth").write_text(f"{folder / 'checkout'}\n")
    record = row("__editable__.absl_py-2.1.0.pth", b"x") + "\nabsl_py-2.1.0.dist-info/RECORD,,\n"
    (site / "absl_py-2.1.0.dist-info" / "RECORD").write_text(record)
    return Start(python)


def meta_package(folder: Path) -> Start:
    """tensorflow that only requires tensorflow-intel, which has the files: as up to 2.18 on Windows."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site, "tensorflow-intel")
    lay_out(site, "tensorflow", RELEASE, {}, requires=(f"tensorflow-intel=={RELEASE}",), tags=WHEEL)
    return Start(python, calm=False)


def zip_application(folder: Path) -> Start:
    """An application in a zip file that brings pure Python packages in it."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
        archive.writestr("six.py", "")
        archive.writestr("termcolor/__init__.py", "")
    return Start(python, variables={"PYTHONPATH": str(folder / "app.pyz")})


def project(folder: Path) -> Start:
    """A project with folders and files whose names are nearly those of modules, and a folder called tensorflow."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    for name in ("tensorflow/notes.txt", "random/data.csv", "test.py", "numpy.txt", "my_random.py", "utils/code.py"):
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / name).touch()
    return Start(python, cwd=folder / "project", calm=False)


def slim(folder: Path) -> Start:
    """An image made small: no tests, no headers, Python files only as bytecode, no INSTALLER."""
    python, site = empty_venv(folder / "venv")
    more = {"tensorflow/python/a.py": "", "tensorflow/python/tests/b.py": "", "tensorflow/include/c.h": ""}
    tensorflow_in(site, **more)
    for name in ("python/tests/b.py", "include/c.h"):
        (site / "tensorflow" / name).unlink()
    (site / "tensorflow" / "python" / "a.py").rename(site / "tensorflow" / "python" / "a.pyc")
    (site / f"tensorflow-{RELEASE}.dist-info" / "INSTALLER").unlink()
    return Start(python)


def without_record(folder: Path) -> Start:
    """A system's own package: metadata, and no list of files."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    for path in site.glob("*.dist-info/RECORD"):
        path.unlink()
    return Start(python)


def addons(folder: Path) -> Start:
    """Add-ons for this very TensorFlow."""
    python, site = empty_venv(folder / "venv")
    tensorflow_in(site)
    requires = (f"tensorflow=={RELEASE}",)
    lay_out(site, "tensorflow-text", RELEASE, {"tensorflow_text/__init__.py": ""}, requires=requires, tags=WHEEL)
    return Start(python)


KINDS: tuple[Callable[[Path], Start], ...] = (
    plain, target, overridden, split, system_site, conda, editable, meta_package, zip_application, project, slim,
    without_record, addons,
)  # fmt: skip


def ask(start: Start, folder: Path) -> tuple[list[str], list[str], bool]:
    """The findings of the whole check, what was skipped, and whether the glance asks for a closer look."""
    import elftools
    import packaging

    readers = folder / "readers"
    if not readers.exists():
        readers.mkdir()
        for module in (packaging, elftools):
            (readers / module.__name__).symlink_to(Path(module.__file__ or "").parent)
    code = ASK.replace("ROOT", repr(str(ROOT))).replace("READERS", repr(str(readers)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TFGUARD", "PYTHON"))}
    kept.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        [str(start.python), "-B", *start.options, "-c", code],
        env={**kept, **start.variables},
        cwd=start.cwd or folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    findings, skipped, surveys = json.loads(done.stdout.splitlines()[-1])
    return findings, skipped, surveys


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="the wheels' tags are for Linux on x86-64")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_is_found(tmp_path: Path, kind: Callable[[Path], Start]) -> None:
    """Not one finding; and where nothing is out of the ordinary the glance ends there."""
    start = kind(tmp_path)

    findings, skipped, surveys = ask(start, tmp_path)

    assert findings == []
    assert skipped == []
    assert surveys is not start.calm


@pytest.mark.skipif(shutil.which("strip") is None, reason="needs strip")
def test_stripped_libraries(tmp_path: Path, compiler: Compiler) -> None:
    """Native files without their symbols, as images for containers have them; a shorter one with symbols is another."""
    library = compiler.build("int a(void) { return 1; }", "-shared", "-fPIC")
    shorter = compiler.build("int b(void) { return 1; }", "-shared", "-fPIC", "-Wl,--build-id=none")
    python, site = empty_venv(tmp_path / "venv")
    lay_out(site, "tensorflow", RELEASE, {**FILES, "tensorflow/liba.so.2": library}, tags=WHEEL)
    place = site / "tensorflow" / "liba.so.2"
    subprocess.run(["strip", str(place)], check=True)

    sound, _, _ = ask(Start(python), tmp_path)
    shutil.copy(shorter, place)
    other, _, _ = ask(Start(python), tmp_path)

    assert place.stat().st_size < library.stat().st_size
    assert sound == []
    assert other == [f"TFG405: 1 file of tensorflow {RELEASE} is not as installed: another size"]
