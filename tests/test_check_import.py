"""check_import(): real packages, sound and broken, of every kind that Python finds; the patient is never imported."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.build import Compiler
from tests.support.packages import SUFFIX, native, run, write

# Checks packages one after another; says of each what was found and whether anything of it got into the process.
CHILD = """
import json, sys
BEFORE
import tfguard
answers = {}
for name in NAMES:
    known = set(sys.modules)
    report = tfguard.check_import(name)
    with open("/proc/self/maps") as maps:
        mapped = {line.split(None, 5)[5].strip() for line in maps if line.count("/")}
    answers[name] = {
        "ok": report.ok, "codes": [[one.code, one.severity] for one in report.findings], "skipped": report.skipped,
        "images": [one.path for one in report.images], "target": report.target, "kind": report.kind,
        "depth": report.depth, "text": str(report),
        "imported": sorted(one for one in set(sys.modules) - known if one.partition(".")[0] == name.partition(".")[0]),
        "mapped": sorted(one for one in mapped if one in {image.path for image in report.images}),
        "messages": [one.loader_message for one in report.findings]}
print(json.dumps(answers))
"""

Answers = dict[str, dict[str, Any]]  # Any: parsed JSON


def check(folder: Path, *names: str, before: str = "", **options: Any) -> Answers:
    answers: Answers = run(CHILD.replace("NAMES", repr(names)).replace("BEFORE", before), folder, **options)
    for name, said in answers.items():
        assert said["imported"] == [], f"checking {name} imported it"
        assert said["mapped"] == [], f"checking {name} mapped {said['mapped']}"
    return answers


IMPORTS_EXT = "from . import _ext\n"

# name of the package -> its files; CUT is a broken module, GOOD a sound one, NEEDY one that needs libtfguard_dep.so
CASES: dict[str, tuple[dict[str, str], list[list[str]]]] = {
    "unconditional": ({"__init__.py": IMPORTS_EXT, "_ext": "CUT"}, [["TFG116", "error"]]),
    "in_try": (
        {"__init__.py": "try:\n from . import _ext\nexcept ImportError:\n pass\n", "_ext": "CUT"},
        [["TFG116", "warning"]],
    ),
    "in_function": ({"__init__.py": "def f():\n from . import _ext\n", "_ext": "CUT"}, [["TFG116", "warning"]]),
    "sound": ({"__init__.py": IMPORTS_EXT, "_ext": "GOOD"}, []),
    "pure": ({"__init__.py": "x = 1\n"}, []),
    "needs_missing": ({"__init__.py": IMPORTS_EXT, "_ext": "NEEDY"}, [["TFG201", "error"]]),
    "needs_missing_maybe": ({"__init__.py": f"def f():\n {IMPORTS_EXT}", "_ext": "NEEDY"}, [["TFG201", "warning"]]),
    "preloads_by_hand": (
        {
            "__init__.py": "import ctypes, os\n"
            "ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libtfguard_dep.so'))\n" + IMPORTS_EXT,
            "_ext": "NEEDY",
            "lib/libtfguard_dep.so": "DEP",
        },
        [],
    ),
    "preloads_from_outside": (
        {
            "__init__.py": "import ctypes, os\nfolder = os.path.dirname(__file__)\n"
            "ctypes.CDLL(os.path.join(folder, '..', 'preloads_by_hand', 'lib', 'libtfguard_dep.so'))\n" + IMPORTS_EXT,
            "_ext": "NEEDY",
        },
        [["TFG201", "warning"]],
    ),
    "after_another_module": (
        {"__init__.py": "from . import _zfinds\nfrom . import _ext\n", "_ext": "NEEDY", "_zfinds": "FINDS",
         "lib/libtfguard_dep.so": "DEP"},
        [],
    ),
    "foreign_first": ({"__init__.py": "import absl\n" + IMPORTS_EXT, "_ext": "NEEDY"}, [["TFG201", "warning"]]),
    "symbol": ({"__init__.py": IMPORTS_EXT, "_ext": "SYMBOL"}, [["TFG506", "error"]]),
    "nested.sub": (
        {"__init__.py": "", "sub/__init__.py": "from .. import _ext\n", "_ext": "CUT"}, [["TFG116", "error"]]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def modules(compiler: Compiler) -> dict[str, bytes]:
    """Native modules by the names that the table uses."""
    options = ("-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libtfguard_dep.so")
    dep = compiler.build("int dep(void) { return 1; }", *options)
    declare = "int dep(void);"
    needy = native(compiler, "_ext", "-Wl,--no-as-needed", str(dep), declare=declare, body="dep();")
    rpath = "-Wl,--no-as-needed,-rpath,$ORIGIN/lib"
    finds = native(compiler, "_zfinds", rpath, str(dep), declare=declare, body="dep();")
    good = native(compiler, "_ext")
    return {
        "GOOD": good.read_bytes(),
        "CUT": good.read_bytes()[:100],
        "DEP": dep.read_bytes(),
        "NEEDY": needy.read_bytes(),
        "FINDS": finds.read_bytes(),
        "SYMBOL": native(compiler, "_ext", declare="int nowhere(void);", body="nowhere();").read_bytes(),
    }


def lay_out(folder: Path, name: str, files: dict[str, str], modules: dict[str, bytes]) -> None:
    for path, content in files.items():
        where = f"{name}/{path}" if "." in path else f"{name}/{path}{SUFFIX}"
        write(folder, {where: modules.get(content, content)})


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, modules: dict[str, bytes]) -> Answers:
    """What one child says of all packages of the table."""
    folder = tmp_path_factory.mktemp("cases")
    for name, (files, _) in CASES.items():
        lay_out(folder, name.partition(".")[0], files, modules)
    return check(folder, *CASES)


@pytest.mark.parametrize("name", CASES)
def test_package(answers: Answers, name: str) -> None:
    """An error only where the import is certain to die, a warning where it may live on."""
    wanted = CASES[name][1]

    assert answers[name]["codes"] == wanted, answers[name]["text"]
    assert answers[name]["ok"] is not any(severity == "error" for _, severity in wanted)
    assert (answers[name]["target"], answers[name]["kind"], answers[name]["depth"]) == (name, "import", "symbols")


REAL = """
import importlib, json, os, sys
ended = {}
for name in NAMES:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
            text = None
        except ImportError as error:
            text = str(error)
        os.write(writer, json.dumps(text).encode())
        os._exit(0)
    os.close(writer)
    ended[name] = json.loads(os.read(reader, 65536))
    os.waitpid(child, 0)
print(json.dumps(ended))
"""


def test_what_python_does_with_these_packages(tmp_path: Path, modules: dict[str, bytes], answers: Answers) -> None:
    """The real imports: each error comes true in the loader's own words, and what is no error is imported."""
    for name, (files, _) in CASES.items():
        lay_out(tmp_path, name.partition(".")[0], files, modules)
    names = [name for name in CASES if name != "foreign_first"]  # fails, of what a foreign package might have brought

    ended = run(REAL.replace("NAMES", repr(names)), tmp_path)

    for name in names:
        assert (ended[name] is None) is answers[name]["ok"], (name, ended[name])
        if ended[name] is not None:
            foreseen = [text.rpartition("/")[2] for text in answers[name]["messages"]]
            assert foreseen == [ended[name].rpartition("/")[2]]


def test_missing_package(tmp_path: Path) -> None:
    """A package that is not there is an error; what cannot be a package's name is not looked for."""
    said = check(tmp_path, "tfguard_nothing_of_that_name", "", ".x", "sys", "json")

    assert said["tfguard_nothing_of_that_name"]["codes"] == [["TFG401", "error"]]
    assert said[""]["skipped"] == ["no package called  is found on sys.path"]
    assert all(one["codes"] == [] for name, one in said.items() if not name.startswith("tfguard"))


@pytest.mark.parametrize("name", ["numpy", "h5py", "grpc", "google.protobuf", "wrapt", "yaml"])
def test_real_package(tmp_path: Path, name: str) -> None:
    """What is installed here and imports is found sound, all its native modules played."""
    import importlib.util

    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed here")

    said = check(tmp_path, name)[name]

    assert (said["ok"], said["codes"]) == (True, [])
    assert any(f"/{name.partition('.')[0]}/" in path for path in said["images"])


# --- the ways in which Python finds a package


@pytest.mark.parametrize("kind", ["CUT", "GOOD"])
def test_single_file_module(tmp_path: Path, modules: dict[str, bytes], kind: str) -> None:
    """An extension module without a package around it."""
    write(tmp_path, {f"_ext{SUFFIX}": modules[kind]})

    said = check(tmp_path, "_ext")["_ext"]

    assert said["codes"] == ([["TFG116", "error"]] if kind == "CUT" else [])
    assert said["images"] == ([] if kind == "CUT" else [str(tmp_path / f"_ext{SUFFIX}")])


def test_namespace_package(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """All portions of a namespace package are looked through; importing it alone dies of nothing in it."""
    write(tmp_path, {f"one/space/a/_ext{SUFFIX}": modules["GOOD"], "one/space/a/__init__.py": IMPORTS_EXT})
    write(tmp_path, {f"two/space/b/_ext{SUFFIX}": modules["CUT"], "two/space/b/__init__.py": IMPORTS_EXT})
    before = f"sys.path[:0] = [{str(tmp_path / 'one')!r}, {str(tmp_path / 'two')!r}]"

    said = check(tmp_path, "space", "space.a", "space.b", before=before)

    assert said["space"]["codes"] == [["TFG116", "warning"]]
    assert said["space.a"]["codes"] == [["TFG116", "warning"]]
    assert said["space.b"]["codes"] == [["TFG116", "error"]]
    assert said["space"]["images"] == [str(tmp_path / "one" / "space" / "a" / f"_ext{SUFFIX}")]


EDITABLE = """
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
class _EditableFinder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "editable":
            return spec_from_file_location(name, WHERE + "/__init__.py", submodule_search_locations=[WHERE])
sys.meta_path.append(_EditableFinder)
"""


@pytest.mark.parametrize("kind", ["CUT", "GOOD"])
def test_editable_install(tmp_path: Path, modules: dict[str, bytes], kind: str) -> None:
    """A finder as setuptools writes it, which maps the name to a folder of another name."""
    source = tmp_path / "checkout" / "src"
    write(source, {"__init__.py": IMPORTS_EXT, f"_ext{SUFFIX}": modules[kind]})

    said = check(tmp_path, "editable", before=EDITABLE.replace("WHERE", repr(str(source))))["editable"]

    assert said["codes"] == ([["TFG116", "error"]] if kind == "CUT" else [])


def test_editable_install_by_path_file(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """A .pth file that puts a checkout on sys.path."""
    write(tmp_path, {"checkout/pkg/__init__.py": IMPORTS_EXT, f"checkout/pkg/_ext{SUFFIX}": modules["CUT"]})
    write(tmp_path, {"site/pkg.pth": f"{tmp_path / 'checkout'}\n"})

    said = check(tmp_path, "pkg", before=f"import site; site.addsitedir({str(tmp_path / 'site')!r})")["pkg"]

    assert said["codes"] == [["TFG116", "error"]]


def test_zip_import(tmp_path: Path) -> None:
    """A package in a zip file has no native modules: nothing to check, nothing to trip over."""
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", IMPORTS_EXT)

    said = check(tmp_path, "zipped", before=f"sys.path.insert(0, {str(tmp_path / 'lib.zip')!r})")["zipped"]

    assert (said["ok"], said["codes"], said["images"]) == (True, [], [])


@pytest.mark.parametrize("entry", ["''", "'.'", "'packages'", "'./packages/'"])
def test_relative_entry_of_the_path(tmp_path: Path, modules: dict[str, bytes], entry: str) -> None:
    """A sys.path entry relative to the working directory: the paths foreseen are those that Python opens."""
    folder = tmp_path if entry in ("''", "'.'") else tmp_path / "packages"
    write(folder, {"relpkg/__init__.py": IMPORTS_EXT, f"relpkg/_ext{SUFFIX}": modules["GOOD"]})
    before = f"sys.path[:] = [{entry}] + [one for one in sys.path if one not in ('', {str(tmp_path)!r})]"
    code = f"import json, sys\n{before}\nimport relpkg\nprint(json.dumps(relpkg._ext.__file__))"

    said = check(tmp_path, "relpkg", before=before)["relpkg"]

    assert (said["ok"], said["images"]) == (True, [run(code, tmp_path)])


def test_symlinked_site_packages(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """Links are kept as sys.path spells them: a dependency is found from where the link leads the loader."""
    write(tmp_path, {"real/linked/__init__.py": IMPORTS_EXT, f"real/linked/_ext{SUFFIX}": modules["GOOD"]})
    (tmp_path / "site-packages").symlink_to("real")
    before = f"sys.path.insert(0, {str(tmp_path / 'site-packages')!r})"
    code = f"import json, sys\n{before}\nimport linked\nprint(json.dumps(linked._ext.__file__))"

    said = check(tmp_path, "linked", before=before)["linked"]

    assert said["images"] == [run(code, tmp_path)] == [str(tmp_path / "site-packages" / "linked" / f"_ext{SUFFIX}")]


def test_module_imported_already(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """What is in sys.modules is loaded: its file may change without harm to this process."""
    write(tmp_path, {"loaded/__init__.py": IMPORTS_EXT, f"loaded/_ext{SUFFIX}": modules["GOOD"]})
    code = (
        "import json, os, loaded, tfguard\n"
        "os.unlink(loaded._ext.__file__)\nopen(loaded._ext.__file__, 'w').close()\n"
        "report = tfguard.check_import('loaded')\nprint(json.dumps([report.ok, len(report.findings)]))"
    )

    assert run(code, tmp_path) == [True, 0]


def test_other_pythons_modules_are_not_looked_at(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """Files for another Python's suffix are none of this import's business."""
    other = f".cpython-3{sys.version_info[1] + 1}-x86_64-linux-gnu.so"
    write(tmp_path, {"many/__init__.py": IMPORTS_EXT, f"many/_ext{SUFFIX}": modules["GOOD"]})
    write(tmp_path, {f"many/_ext{other}": b"\x7fELF", "many/_other.pyd": b"MZ"})

    assert check(tmp_path, "many")["many"]["codes"] == []


def test_loop_of_links(tmp_path: Path, modules: dict[str, bytes]) -> None:
    """A package folder that contains a link to itself is gone through once."""
    write(tmp_path, {"loop/__init__.py": IMPORTS_EXT, f"loop/_ext{SUFFIX}": modules["GOOD"]})
    (tmp_path / "loop" / "again").symlink_to(".")
    (tmp_path / "loop" / f"_dead{SUFFIX}").symlink_to("nowhere.so")

    said = check(tmp_path, "loop")["loop"]

    assert said["ok"]
    assert len(said["images"]) == 1
