"""Packages found on disk without importing them, and the measured lists of what their imports load."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.packages import SUFFIX, run, write
from tfguard.installed import installation
from tfguard.installed.installation import Package, find_package, natives_of

LISTS = sorted(Path(installation._DATA).glob("*.txt"))
FLAGS = {"global", "fatal", "tolerated", "dispensable"}
MODULE = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def entries(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="ascii").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


# --- finding


def test_missing_package() -> None:
    """What is not there is None."""
    assert find_package("tfguard_nothing_of_that_name") is None


@pytest.mark.parametrize("name", ["sys", "json", "_ctypes", "os"])
def test_standard_library(name: str) -> None:
    """Built-in, frozen, extension and plain modules are found as Python finds them."""
    found = find_package(name)
    module = __import__(name)

    assert found is not None
    assert (found.name, found.distribution) == (name, None)
    if getattr(module, "__path__", None):
        assert found.locations == tuple(module.__path__)
    if name == "_ctypes" and hasattr(module, "__file__"):
        assert [one.path for one in natives_of(found, everything=False)] == [module.__file__]


# dist-info folders beside the package, name of the package, what is told
DISTRIBUTIONS: list[tuple[list[str], str, tuple[str | None, str | None]]] = [
    (["pkg-1.2.3"], "pkg", ("pkg", "1.2.3")),
    (["Pkg-1.2.3"], "pkg", ("pkg", "1.2.3")),
    (["other-1.2.3"], "pkg", (None, None)),
    (["pkg_more-1.2.3"], "pkg", (None, None)),
    ([], "pkg", (None, None)),
    (["my_pkg-4.0.dev1"], "my_pkg", ("my-pkg", "4.0.dev1")),
    (["my.pkg-4.0"], "my_pkg", ("my-pkg", "4.0")),
    (["tensorflow-2.21.0"], "tensorflow", ("tensorflow", "2.21.0")),
    (["tensorflow_cpu-2.21.0"], "tensorflow", ("tensorflow-cpu", "2.21.0")),
    (["tf_nightly-2.22.0.dev20261101"], "tensorflow", ("tf-nightly", "2.22.0.dev20261101")),
    (
        ["tensorflow-2.21.0", "tensorflow_estimator-2.15.0", "tensorflow_io-0.37"],
        "tensorflow",
        ("tensorflow", "2.21.0"),
    ),
    (["~ensorflow-2.15.0", "tensorflow-2.21.0"], "tensorflow", ("tensorflow", "2.21.0")),
    (["tensorflow_estimator-2.15.0"], "tensorflow", (None, None)),
]


@pytest.mark.parametrize(
    ("folders", "name", "told"), DISTRIBUTIONS, ids=[f"{one[1]}:{one[0]}" for one in DISTRIBUTIONS]
)
def test_distribution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folders: list[str],
    name: str,
    told: tuple[str | None, str | None],
) -> None:
    """Name and version come from the dist-info folder beside the package, whatever its spelling."""
    write(tmp_path, {f"{name}/__init__.py": ""})
    for folder in folders:
        (tmp_path / f"{folder}.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    found = find_package(name)

    assert found is not None
    assert (found.distribution, found.version) == told


def test_dead_entries_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that are not there, files and closed folders on sys.path are passed over."""
    write(tmp_path, {"site/pkg/__init__.py": "", "file": "", "closed/pkg/__init__.py": ""})
    (tmp_path / "closed").chmod(0)
    monkeypatch.setattr(sys, "path", [str(tmp_path / name) for name in ("nothing", "file", "site")])

    found = find_package("pkg")
    (tmp_path / "closed").chmod(0o755)

    assert found is not None
    assert found.directory == str(tmp_path / "site" / "pkg")


# --- native modules


def test_natives_of_a_folder(tmp_path: Path) -> None:
    """All that this Python could import, in the order of their paths; nothing of caches, headers and other Pythons."""
    names = ("__init__.py", f"b{SUFFIX}", "a.abi3.so", "libc.so", f"sub/d{SUFFIX}", "no.txt", f"__pycache__/e{SUFFIX}")
    others = (f"include/f{SUFFIX}", "g.cpython-27m-x86_64-linux-gnu.so", "h.pypy310-pp73-x86_64-linux-gnu.so", "i.so.1")
    write(tmp_path, {f"pkg/{name}": "" for name in (*names, *others)})

    found = natives_of(Package(name="pkg", locations=(str(tmp_path / "pkg"),), origin=None), everything=True)

    assert [one.module for one in found] == ["pkg.a", "pkg.b", "pkg.libc", "pkg.sub.d"]
    assert not any(one.certain or one.make_global or one.listed for one in found)


# --- the lists


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_list_parses(path: Path) -> None:
    """Each line is a module or a file and known flags, none twice."""
    found = entries(path)

    assert found
    for what, *flags in found:
        assert what.startswith("file:") or MODULE.fullmatch(what), what
        assert set(flags) <= FLAGS, (what, flags)
        assert len(set(flags)) == len(flags)
        assert not {"fatal", "tolerated"} <= set(flags), what
        assert "dispensable" not in flags or "fatal" in flags, what
    names = [what for what, *_ in found]
    assert len(set(names)) == len(names)


def test_lists_are_of_known_packages() -> None:
    """A list is named after a package, or a package and a release."""
    assert {path.stem for path in LISTS} >= {"numpy", "tensorflow-2.15", "tensorflow-2.18", "tensorflow-2.21"}
    assert all(re.fullmatch(r"[a-z_]+(-\d+\.\d+)?", path.stem) for path in LISTS)


@pytest.mark.parametrize("release", ["2.15", "2.18", "2.21"])
def test_measured_lists_say_what_is_fatal(release: str) -> None:
    """For the releases that the tests run with, each entry was measured."""
    found = entries(Path(installation._DATA) / f"tensorflow-{release}.txt")

    assert all({"fatal", "tolerated"} & set(flags) for _, *flags in found)


def test_numpy_here() -> None:
    """The list for numpy leads to files of the numpy installed here, and numpy dies without them."""
    pytest.importorskip("numpy")
    package = find_package("numpy")
    assert package is not None

    found = natives_of(package, everything=False)

    assert found
    assert all(one.certain and one.listed and one.path is not None and os.path.exists(one.path) for one in found)


@pytest.mark.tensorflow
def test_installed_tensorflow_has_all_that_its_list_names() -> None:
    """Every entry of the list for this release leads to a file; what is TensorFlow's own is certain where fatal."""
    package = find_package("tensorflow")
    if package is None:
        pytest.skip("TensorFlow is not installed in this environment")
    release = ".".join((package.version or "").split(".")[:2])
    listed = entries(Path(installation._DATA) / f"tensorflow-{release}.txt")

    found = {one.module: one for one in natives_of(package, everything=False)}

    for what, *flags in listed:
        name = what.removeprefix("file:")
        if not name.startswith(("tensorflow", "numpy", "ml_dtypes")):
            continue  # other distributions change their modules without regard to TensorFlow's release
        assert name in found, name
        path = found[name].path
        assert path is not None
        assert os.path.exists(path), name
        assert found[name].certain == ("fatal" in flags)
        assert found[name].make_global == ("global" in flags)


@pytest.mark.tensorflow
def test_release_without_a_list(tmp_path: Path) -> None:
    """A TensorFlow that nobody has measured: all its native files, none of them certain."""
    write(tmp_path, {"tensorflow/__init__.py": "", f"tensorflow/python/_pywrap_tfe{SUFFIX}": b""})
    (tmp_path / "tensorflow-9.9.dist-info").mkdir()
    code = (
        "import json\nfrom tfguard.installed.installation import find_package, natives_of\n"
        "package = find_package('tensorflow')\n"
        "print(json.dumps([package.version, [one for one in natives_of(package, everything=False)]]))"
    )

    version, found = run(code, tmp_path)

    assert version == "9.9"
    path = str(tmp_path / "tensorflow" / "python" / f"_pywrap_tfe{SUFFIX}")
    assert found == [["tensorflow.python._pywrap_tfe", path, False, False, False]]
