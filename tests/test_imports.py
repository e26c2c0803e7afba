"""Which native modules an import is certain to load: a table of sources, each imported for real beside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.packages import run, write
from tfguard.installed.imports import certainly_imported
from tfguard.installed.installation import Package

BROKEN = b"\x7fELF"

# The native module is pkg._ext, broken. What is said of its import: certain to fail, or not. Where it is "certain"
# the real import must fail; where it does not fail, nothing certain may have been said.
CERTAIN: dict[str, dict[str, str]] = {
    "from . import": {"__init__.py": "from . import _ext\n"},
    "from .module import": {"__init__.py": "from ._ext import f\n"},
    "import with dots": {"__init__.py": "import pkg._ext\n"},
    "import as": {"__init__.py": "from . import _ext as other\n"},
    "absolute from": {"__init__.py": "from pkg import _ext\n"},
    "several names": {"__init__.py": "import json\nfrom . import a, _ext, b\n", "a.py": "", "b.py": ""},
    "through a module": {"__init__.py": "from .core import f\n", "core.py": "from . import _ext\ndef f(): pass\n"},
    "through a subpackage": {
        "__init__.py": "from .sub import core\n",
        "sub/__init__.py": "",
        "sub/core.py": "from .. import _ext\n",
    },
    "through the parent of a module": {
        "__init__.py": "import pkg.sub.leaf\n",
        "sub/__init__.py": "from .. import _ext\n",
        "sub/leaf.py": "",
    },
    "star import of a module": {"__init__.py": "from .core import *\n", "core.py": "from ._ext import *\n"},
    "try that raises again": {"__init__.py": "try:\n from . import _ext\nexcept ImportError:\n raise\n"},
    "try that raises another": {
        "__init__.py": "try:\n from . import _ext\nexcept ImportError as e:\n print('no')\n raise RuntimeError from e\n"
    },
    "try with finally": {"__init__.py": "try:\n from . import _ext\nfinally:\n x = 1\n"},
    "in a finally": {"__init__.py": "try:\n x = 1\nexcept ImportError:\n pass\nfinally:\n from . import _ext\n"},
    "warnings silenced": {"__init__.py": "import warnings\nwith warnings.catch_warnings():\n from . import _ext\n"},
    "circular": {"__init__.py": "from . import a\n", "a.py": "from . import b\n", "b.py": "from . import a, _ext\n"},
    "type checking beside": {
        "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import torch\nfrom . import _ext\n"
    },
    "encoding declared": {"__init__.py": "# -*- coding: latin-1 -*-\nx = 'caf\\xe9'\nfrom . import _ext\n"},
    "escape that warns": {"__init__.py": "x = '\\d'\nfrom . import _ext\n"},
}

UNCERTAIN: dict[str, dict[str, str]] = {
    "nothing": {"__init__.py": ""},
    "try": {"__init__.py": "try:\n from . import _ext\nexcept ImportError:\n _ext = None\n"},
    "try with one handler that passes": {
        "__init__.py": "try:\n from . import _ext\nexcept ValueError:\n raise\nexcept ImportError:\n pass\n"
    },
    "try that falls back": {
        "__init__.py": "try:\n from . import _ext\nexcept ImportError:\n"
        " try:\n  from . import slow\n except ImportError:\n  raise\n",
        "slow.py": "",
    },
    "function": {"__init__.py": "def f():\n from . import _ext\n"},
    "method": {"__init__.py": "class C:\n def f(self):\n  from . import _ext\n"},
    "lambda": {"__init__.py": "import importlib\nload = lambda: importlib.import_module('pkg._ext')\n"},
    "type checking": {"__init__.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n from . import _ext\n"},
    "python version": {"__init__.py": "import sys\nif sys.version_info < (3, 0):\n from . import _ext\n"},
    "platform": {"__init__.py": "import sys\nif sys.platform == 'plan9':\n from . import _ext\n"},
    "loop without turns": {"__init__.py": "for x in ():\n from . import _ext\n"},
    "suppressed": {"__init__.py": "import contextlib\nwith contextlib.suppress(ImportError):\n from . import _ext\n"},
    "swallowed by another manager": {
        "__init__.py": "class Swallow:\n def __enter__(self): pass\n def __exit__(self, *_): return True\n"
        "with Swallow():\n from . import _ext\n"
    },
    "module imported in a try": {
        "__init__.py": "try:\n from . import core\nexcept ImportError:\n pass\n",
        "core.py": "from . import _ext\n",
    },
    "attribute set before": {"__init__.py": "_ext = None\nfrom . import _ext\n"},
    "attribute set under another name": {"__init__.py": "_ext = None\nfrom . import _ext as fast\n"},
    "attribute of the package": {
        "__init__.py": "try:\n from . import _ext\nexcept ImportError:\n _ext = None\nfrom . import core\n",
        "core.py": "from . import _ext\n",
    },
    "function of that name": {
        "__init__.py": "def _ext(): pass\nfrom . import core\n",
        "core.py": "from . import _ext\n",
    },
    "lazy attributes": {
        "__init__.py": "def __getattr__(name):\n if name == '_ext': return 1\n raise AttributeError\n"
        "from . import core\n",
        "core.py": "from . import _ext\n",
    },
    "not imported module": {"__init__.py": "", "core.py": "from . import _ext\n"},
    "huge source": {"__init__.py": "x = 1\n" * 400_000},
}


def package(folder: Path, files: dict[str, str]) -> Package:
    write(folder, {f"pkg/{name}": text.encode("latin-1") for name, text in files.items()})
    write(folder, {"pkg/_extSUFFIX": BROKEN})
    return Package(name="pkg", locations=(str(folder / "pkg"),), origin=str(folder / "pkg" / "__init__.py"))


REAL = """
import json
try:
    import pkg
    print(json.dumps(True))
except Exception as error:
    print(json.dumps(False))
"""


@pytest.mark.parametrize("files", CERTAIN.values(), ids=CERTAIN)
def test_certain(tmp_path: Path, files: dict[str, str]) -> None:
    """An import that cannot be avoided is found, and Python agrees."""
    reached = certainly_imported(package(tmp_path, files))

    assert "pkg._ext" in reached.modules
    assert not reached.preloads
    assert run(REAL, tmp_path) is False


@pytest.mark.parametrize("files", UNCERTAIN.values(), ids=UNCERTAIN)
def test_uncertain(tmp_path: Path, files: dict[str, str]) -> None:
    """An import that may be avoided is not said to be certain: here it is avoided."""
    reached = certainly_imported(package(tmp_path, files))

    assert "pkg._ext" not in reached.modules
    assert run(REAL, tmp_path) is True


def test_syntax_error(tmp_path: Path) -> None:
    """A module that cannot be parsed is not followed."""
    reached = certainly_imported(
        package(tmp_path, {"__init__.py": "from . import core\n", "core.py": "from . import\n"})
    )

    assert reached.modules == {"pkg", "pkg.core"}


@pytest.mark.parametrize("text", [b"\0\0", b"\xff\xfe\xfd", b"(" * 5000, b"x = " + b"-" * 100_000 + b"1\n"])
def test_any_bytes(tmp_path: Path, text: bytes) -> None:
    """Whatever stands in a file, there is an answer."""
    write(tmp_path, {"pkg/__init__.py": text})

    reached = certainly_imported(Package(name="pkg", locations=(str(tmp_path / "pkg"),), origin=None))

    assert reached.modules == {"pkg"}


def test_many_modules(tmp_path: Path) -> None:
    """Beyond 400 modules nothing is promised: the rest may load libraries by hand."""
    write(tmp_path, {f"pkg/m{number}.py": f"from . import m{number + 1}\n" for number in range(500)})
    write(tmp_path, {"pkg/__init__.py": "from . import m0\n"})

    reached = certainly_imported(Package(name="pkg", locations=(str(tmp_path / "pkg"),), origin=None))

    assert len(reached.modules) == 400
    assert reached.preloads


def test_dotted_name(tmp_path: Path) -> None:
    """What a dotted name runs below its package is certain too."""
    where = package(tmp_path, {"__init__.py": "", "sub/__init__.py": "", "sub/core.py": "from .. import _ext\n"})

    assert "pkg._ext" not in certainly_imported(where).modules
    assert "pkg._ext" in certainly_imported(where, "pkg.sub.core").modules


def test_folder_without_init_inside_a_package(tmp_path: Path) -> None:
    """A namespace package below a package is gone through."""
    where = package(tmp_path, {"__init__.py": "from .ns import core\n", "ns/core.py": "from pkg import _ext\n"})

    assert "pkg._ext" in certainly_imported(where).modules


PRELOADS: dict[str, dict[str, str]] = {
    "ctypes": {"__init__.py": "import ctypes\nfrom . import _ext\n"},
    "from ctypes": {"__init__.py": "from ctypes import CDLL\nfrom . import _ext\n"},
    "ctypes in a function": {"__init__.py": "def f():\n import ctypes\nf()\nfrom . import _ext\n"},
    "ctypes in a module": {"__init__.py": "from . import loads, _ext\n", "loads.py": "from ctypes.util import x\n"},
    "ctypes in a conditional module": {
        "__init__.py": "import sys\nif sys.platform == 'linux':\n from . import loads\nfrom . import _ext\n",
        "loads.py": "import ctypes\n",
    },
    "ctypes by name": {"__init__.py": "import importlib\nimportlib.import_module('ctypes')\nfrom . import _ext\n"},
    "global modules": {"__init__.py": "import sys\nsys.setdlopenflags(258)\nfrom . import _ext\n"},
    "foreign package": {"__init__.py": "import torch\nfrom . import _ext\n"},
    "foreign package in a try": {
        "__init__.py": "try:\n import torch\nexcept ImportError:\n pass\nfrom . import _ext\n"
    },
    "unreadable module": {"__init__.py": "try:\n from . import odd\nexcept Exception:\n pass\nfrom . import _ext\n",
                          "odd.py": "x = (\n"},
}  # fmt: skip


@pytest.mark.parametrize("files", PRELOADS.values(), ids=PRELOADS)
def test_preloads(tmp_path: Path, files: dict[str, str]) -> None:
    """Where something may load libraries by hand before, that is said."""
    reached = certainly_imported(package(tmp_path, files))

    assert "pkg._ext" in reached.modules
    assert reached.preloads


def test_standard_library_and_numpy_bring_nothing(tmp_path: Path) -> None:
    """numpy and the standard library bring no library that others search by name."""
    files = {"__init__.py": "import os, json, numpy as np\nfrom numpy import linalg\nfrom . import _ext\n"}

    assert not certainly_imported(package(tmp_path, files)).preloads


def test_every_package_here_can_be_walked() -> None:
    """Each package installed beside this test is read without an exception."""
    sites = [Path(path) for path in sys.path if path.endswith("site-packages")]
    large = ("tensorflow", "keras", "mypy", "pip", "setuptools", "pkg_resources", "hypothesis")
    names = {one.parent.name: one.parent for site in sites for one in site.glob("*/__init__.py")}

    reached = {
        name: certainly_imported(Package(name=name, locations=(str(path),), origin=None))
        for name, path in names.items()
        if name.isidentifier() and name not in large
    }

    assert len(reached) > 5
    assert all(name in one.modules for name, one in reached.items())
