"""safe_import(), the import hook and what they raise: real packages with real native modules, in children."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.build import Compiler
from tests.support.packages import OPENS, RAISES, ROOT, native, run, write
from tests.support.tensorflow_copy import TensorFlowCopy

IMPORTS_EXT = "from . import _ext\n"
DLFCN = "void *dlopen(const char *, int); char *dlerror(void);"

# Imports NAME through the guard and says how that ended.
CHILD = """
import json, sys, traceback, warnings
import tfguard
def story(error):
    return None if error is None else {
        "type": type(error).__name__, "text": str(error), "codes": list(getattr(error, "codes", ())),
        "name": getattr(error, "name", None), "path": getattr(error, "path", None), "cause": story(error.__cause__),
        "frames": [one.name for one in traceback.extract_tb(error.__traceback__)],
        "notes": getattr(error, "__notes__", [])}
BEFORE
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        module = CALL  # the door
        said = {"error": None, "module": module.__name__, "same": module is sys.modules.get(module.__name__)}
    except BaseException as error:
        said = {"error": story(error)}
said["warnings"] = [[one.category.__name__, one.filename, one.line or "", str(one.message)] for one in caught]
print(json.dumps(said))
"""


def guarded(folder: Path, call: str, *, before: str = "", **options: Any) -> dict[str, Any]:  # Any: parsed JSON
    code = CHILD.replace("BEFORE", before).replace("CALL", call)
    said: dict[str, Any] = run(code, folder, **options)
    return said


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, compiler: Compiler) -> Path:
    """A folder of packages, sound and broken, each named after what is the matter with it."""
    good = native(compiler, "_ext")
    data = good.read_bytes()
    needy = compiler.build(
        "int helper(void); void *PyInit__ext(void) { helper(); return 0; }", "-w", "-shared", "-fPIC"
    )
    return write(
        tmp_path_factory.mktemp("packages"),
        {
            "good/__init__.py": IMPORTS_EXT,
            "good/_extSUFFIX": good,
            "good/sub/__init__.py": "inside = True\n",
            "plain/__init__.py": "x = 1\n",
            "cut/__init__.py": IMPORTS_EXT,
            "cut/_extSUFFIX": data[:100],
            "optional/__init__.py": "try:\n    from . import _ext\nexcept ImportError:\n    _ext = None\n",
            "optional/_extSUFFIX": data[:100],
            "unused/__init__.py": "",
            "unused/_extSUFFIX": data[:100],
            "symbolless/__init__.py": IMPORTS_EXT,
            "symbolless/_extSUFFIX": needy,
            "raises/__init__.py": IMPORTS_EXT,
            "raises/_extSUFFIX": native(compiler, "_ext", body=RAISES),
            "opens/__init__.py": "from ._ext import something\n",
            "opens/_extSUFFIX": native(compiler, "_ext", declare=DLFCN, body=OPENS),
            "initless/__init__.py": "import initless._ext\n",
            "initless/_extSUFFIX": native(compiler, "_other"),
            "advises/__init__.py": "try:\n    from . import _ext\nexcept ImportError as error:\n"
            "    raise ImportError('\\n\\nPLEASE READ THIS: a long advice') from error\n",
            "advises/_extSUFFIX": native(compiler, "_ext", body=RAISES),
            "wrong/__init__.py": "raise RuntimeError('not today')\n",
            "needs/__init__.py": "raise ImportError('needs foo')\n",
            "lacks/__init__.py": "import tfguard_nothing_of_that_name\n",
            "misnames/__init__.py": "from good import nothing_of_that_name\n",
            "misnames_native/__init__.py": "from good._ext import nothing_of_that_name\n",
            "relative/__init__.py": "from ... import x\n",
            "replaces/__init__.py": "try:\n    from . import _ext\nexcept ImportError:\n    pass\n"
            "raise ImportError('needs foo')\n",
            "replaces/_extSUFFIX": native(compiler, "_ext", body=RAISES),
            "byhand/__init__.py": "import ctypes\nctypes.CDLL('libtfguard_nowhere.so.1')\n",
            "nests/__init__.py": "import tfguard\ntfguard.safe_import('cut')\n",
            "inner/__init__.py": "import plain, good\n",
            "single_extSUFFIX": native(compiler, "single_ext"),
            "single_cutSUFFIX": data[:100],
        },
    )


# --- what arrives as it is


@pytest.mark.parametrize("name", ["good", "plain", "unused", "good.sub", "single_ext", "json", "sys"])
def test_sound_import(packages: Path, name: str) -> None:
    """The module comes back, the very one in sys.modules."""
    said = guarded(packages, f"tfguard.safe_import({name!r})")

    assert (said["error"], said["module"], said["same"]) == (None, name, True)
    assert [one[3].split()[0] for one in said["warnings"]] == (["TFG116"] if name == "unused" else [])


def test_real_native_package(tmp_path: Path) -> None:
    """numpy, as installed here."""
    pytest.importorskip("numpy")

    said = guarded(tmp_path, "tfguard.safe_import('numpy')")

    assert said == {"error": None, "module": "numpy", "same": True, "warnings": []}


# name of the package, type and text of the exception: what the same import raises without a guard
UNTOUCHED = [
    ("good.nothing", "ModuleNotFoundError", "No module named 'good.nothing'"),
    ("plain.nothing.more", "ModuleNotFoundError", "No module named 'plain.nothing'"),
    ("wrong", "RuntimeError", "not today"),
    ("needs", "ImportError", "needs foo"),
    ("lacks", "ModuleNotFoundError", "No module named 'tfguard_nothing_of_that_name'"),
    ("misnames", "ImportError", "cannot import name 'nothing_of_that_name' from 'good'"),
    ("misnames_native", "ImportError", "cannot import name 'nothing_of_that_name' from 'good._ext'"),
    ("relative", "ImportError", "attempted relative import beyond top-level package"),
    ("replaces", "ImportError", "needs foo"),
    ("", "ValueError", "Empty module name"),
    (".good", "TypeError", "the 'package' argument is required"),
]


def test_package_that_is_not_there(packages: Path) -> None:
    """Whoever catches ModuleNotFoundError for an optional package goes on catching it; the name is where it was."""
    code = (
        "import json, pickle, tfguard\ntry:\n    tfguard.safe_import('nothing_of_that_name')\n"
        "except ModuleNotFoundError as error:\n    same = pickle.loads(pickle.dumps(error))\n"
        "    guards = isinstance(error, tfguard.GuardImportError)\n"
        "    print(json.dumps([type(same).__name__, same.name, same.codes, guards]))"
    )

    assert run(code, packages) == ["GuardModuleNotFoundError", "nothing_of_that_name", ["TFG401"], True]


@pytest.mark.parametrize(("name", "kind", "text"), UNTOUCHED, ids=[f"{one[0]}-{one[1]}" for one in UNTOUCHED])
def test_exceptions_about_other_things_arrive_as_they_are(packages: Path, name: str, kind: str, text: str) -> None:
    """What has nothing to do with loading a file is none of the guard's business."""
    said = guarded(packages, f"tfguard.safe_import({name!r})")

    assert said["error"]["type"] == kind
    assert said["error"]["text"].startswith(text)
    assert said["error"]["cause"] is None
    assert said["warnings"] == []


def test_oserror_of_ctypes_stays_one(packages: Path) -> None:
    """A package that opens a library by hand raises OSError: code that catches that must go on catching it."""
    said = guarded(packages, "tfguard.safe_import('byhand')")

    assert said["error"]["type"] == "OSError"
    assert said["error"]["text"].startswith("libtfguard_nowhere.so.1: cannot open shared object file")
    if sys.version_info >= (3, 11):
        assert said["error"]["notes"][0].startswith("TFG201 needed-library-missing: libtfguard_nowhere.so.1")


def test_off(packages: Path) -> None:
    """TFGUARD=off: the door calls straight through."""
    said = guarded(packages, "tfguard.safe_import('cut')", environment={"TFGUARD": "off"})

    assert said["error"]["type"] == "ImportError"
    assert said["error"]["text"].endswith("cannot read file data")
    assert said["warnings"] == []


def test_already_imported(packages: Path) -> None:
    """What is imported already is given back without a check: its file may be gone by now."""
    before = "import good, good._ext, os; os.rename(good._ext.__file__, good._ext.__file__ + '.gone')"
    after = "(tfguard.safe_import('good'), os.rename(good._ext.__file__ + '.gone', good._ext.__file__))[0]"

    said = guarded(packages, after, before=before)

    assert said == {"error": None, "module": "good", "same": True, "warnings": []}


# --- what is refused


@pytest.mark.parametrize("name", ["cut", "single_cut", "cut.sub"])
def test_broken_import_is_refused_before_anything_is_loaded(packages: Path, name: str) -> None:
    """GuardImportError, an ImportError with the file at fault, the diagnosis in its first line, a short traceback."""
    said = guarded(packages, f"tfguard.safe_import({name!r})")["error"]

    top = name.partition(".")[0]
    assert said["type"] == "GuardImportError"
    assert said["codes"] == ["TFG116"]
    assert said["text"].splitlines()[0].startswith("TFG116 truncated-file: ")
    assert said["name"] == name
    assert Path(said["path"]).parent == (packages / "cut" if top == "cut" else packages)
    assert said["cause"] is None
    assert said["frames"] == ["<module>", "safe_import"]


def test_what_is_refused_was_not_touched(packages: Path) -> None:
    """Neither the package nor a file of it is in the process when the guard raises."""
    code = (
        "import json, sys, tfguard\n"
        "try:\n tfguard.safe_import('cut')\nexcept ImportError as error:\n assert error.msg == str(error)\n"
        "print(json.dumps(['cut' in sys.modules, '/cut/' in open('/proc/self/maps').read()]))"
    )

    assert run(code, packages) == [False, False]


def test_ignored_finding_lets_the_load_go_on(packages: Path) -> None:
    """With ignore the real load happens; where it fails, the exception names the cause and chains the original."""
    said = guarded(packages, "tfguard.safe_import('cut', ignore=('TFG116',))")["error"]

    assert said["type"] == "GuardImportError"
    assert said["codes"] == ["TFG116"]
    assert said["cause"]["type"] == "ImportError"
    assert said["cause"]["text"].endswith("cannot read file data")


@pytest.mark.parametrize("ignore", ["('TFG116',)", "'TFG116'", "{'tfg116'}"])
def test_ignored_warning_is_not_issued(packages: Path, ignore: str) -> None:
    """The codes may come in any collection, one alone as a text."""
    said = guarded(packages, f"tfguard.safe_import('optional', ignore={ignore})")

    assert (said["error"], said["warnings"]) == (None, [])


def test_warning_points_to_the_caller(packages: Path) -> None:
    """A native module that the package can do without is a GuardWarning, at the line that calls safe_import."""
    said = guarded(packages, "tfguard.safe_import('optional')")

    assert said["error"] is None
    ((category, filename, _, text),) = said["warnings"]
    assert category == "GuardWarning"
    assert filename == "<string>"
    assert text.startswith("TFG116 truncated-file: ")


def test_warning_points_to_the_import_statement(packages: Path, tmp_path: Path) -> None:
    """The same through the hook: the warning is shown for the line of the import statement."""
    write(tmp_path, {"caller.py": "x = 1\n\nimport optional\n"})
    before = "import sys; sys.path.insert(0, %r); tfguard.install_hook('optional')" % str(tmp_path)  # noqa: UP031

    said = guarded(packages, "__import__('caller')", before=before)

    ((_, filename, _, _),) = said["warnings"]
    assert filename == str(tmp_path / "caller.py")


# --- what fails although its checks passed

# name of the package, the codes wanted, how the original exception's text ends
UNFORESEEN = [
    ("raises", ["TFG901"], "no such device"),
    (
        "opens",
        ["TFG201", "TFG901"],
        "libtfguard_nowhere.so.1: cannot open shared object file: No such file or directory",
    ),
    ("initless", ["TFG507", "TFG901"], "dynamic module does not define module export function (PyInit__ext)"),
    ("symbolless", ["TFG506"], "undefined symbol: helper"),
]


@pytest.mark.parametrize(("name", "codes", "text"), UNFORESEEN, ids=[one[0] for one in UNFORESEEN])
def test_load_that_fails_after_its_checks(packages: Path, name: str, codes: list[str], text: str) -> None:
    """The guard's exception has the original one as its cause, and says what was checked."""
    said = guarded(packages, f"tfguard.safe_import({name!r})")["error"]

    assert said["type"] == "GuardImportError"
    assert said["codes"] == codes
    assert said["cause"]["type"] == "ImportError"
    assert said["cause"]["text"].endswith(text)
    if "TFG901" in codes:
        first = " ".join(said["text"].split())
        assert (f"loading {name} failed although every check passed: {said['cause']['text']}") in first
        assert "1 library, down to symbols" in first
    assert said["frames"] == ["<module>", "safe_import", "__exit__"]


def test_advice_wrapped_around_the_loaders_words(packages: Path) -> None:
    """numpy and TensorFlow raise an ImportError of their own from the loader's: the diagnosis quotes the loader."""
    said = guarded(packages, "tfguard.safe_import('advises')")["error"]

    assert said["codes"] == ["TFG901"]
    assert said["text"].splitlines()[0].endswith(": no such device")
    assert "PLEASE READ THIS" in said["cause"]["text"]


def test_module_that_the_package_should_do_without(packages: Path, tmp_path: Path) -> None:
    """A file that was only worth a warning is what the import failed of: then it comes first, as an error."""
    write(tmp_path, {"fickle/__init__.py": "if True:\n    from . import _ext\n", "fickle/_extSUFFIX": b"\x7fELF"})

    said = guarded(tmp_path, "tfguard.safe_import('fickle')")

    assert [one[3].split()[0] for one in said["warnings"]] == ["TFG116"]
    assert said["error"]["codes"] == ["TFG116"]
    assert said["error"]["cause"]["text"].endswith("file too short")


def test_guard_inside_a_guarded_import(packages: Path) -> None:
    """A package that guards an import of its own: its exception arrives as it was raised."""
    said = guarded(packages, "tfguard.safe_import('nests')")["error"]

    assert (said["type"], said["codes"], said["cause"]) == ("GuardImportError", ["TFG116"], None)
    assert Path(said["path"]).parent == packages / "cut"


# --- when tfguard itself trips


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tfguard whose list for numpy is no text: reading it raises."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(ROOT / "tfguard", folder / "tfguard", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tfguard" / "data" / "natives" / "good.txt").write_bytes(b"\xff\xfe\xfd")
    return folder


def test_fault_of_tfguard_is_a_warning(packages: Path, damaged: Path) -> None:
    """A broken data file of tfguard's own: the import goes on, with a warning that says where it tripped."""
    before = f"import sys; sys.path.insert(0, {str(packages)!r})"

    said = guarded(damaged, "tfguard.safe_import('good')", before=before)

    assert (said["error"], said["module"]) == (None, "good")
    ((category, _, _, text),) = said["warnings"]
    assert category == "GuardWarning"
    assert text.startswith("TFG904 guard-tripped: tfguard tripped, good was not checked: UnicodeDecodeError(")


def test_fault_of_tfguard_is_a_warning_in_the_report(packages: Path, damaged: Path) -> None:
    """check_import raises nothing, the report says what was not done."""
    code = (
        f"import json, sys; sys.path.insert(0, {str(packages)!r})\nimport tfguard\nr = tfguard.check_import('good')\n"
        "print(json.dumps([r.ok, [f.code for f in r.warnings], str(r)]))"
    )

    ok, codes, text = run(code, damaged)

    assert ok
    assert codes == ["TFG904"]
    assert "installation.py" in text


def test_package_of_tfguard_that_is_not_whole(packages: Path, damaged: Path, tmp_path: Path) -> None:
    """Even rules that cannot be imported stop nothing."""
    shutil.copytree(damaged / "tfguard", tmp_path / "tfguard")
    (tmp_path / "tfguard" / "rules" / "file.py").write_text("raise ZeroDivisionError('spilled coffee')\n")
    before = f"import sys; sys.path.insert(0, {str(packages)!r})"

    said = guarded(tmp_path, "tfguard.safe_import('optional')", before=before)

    assert (said["error"], said["module"]) == (None, "optional")
    ((category, _, _, text),) = said["warnings"]
    assert category == "GuardWarning"
    assert "ZeroDivisionError('spilled coffee')" in text


class _Interrupting:
    """A finder in whose search somebody presses Ctrl-C."""

    def find_spec(self, *_: object) -> None:
        raise KeyboardInterrupt


def test_keyboard_interrupt_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a check ends it, and is not taken for a fault."""
    import tfguard

    monkeypatch.setattr(sys, "meta_path", [_Interrupting(), *sys.meta_path])

    with pytest.raises(KeyboardInterrupt):
        tfguard.safe_import("tfguard_nothing_of_that_name")


# --- the hook

HOOKED = "(__import__('importlib').import_module, exec('import NAME', globals()), sys.modules['NAME'])[2]"


def imported(name: str) -> str:
    return HOOKED.replace("NAME", name)


@pytest.mark.parametrize("names", ["'cut'", "'plain', 'cut'"])
def test_hook_refuses_at_the_import_statement(packages: Path, names: str) -> None:
    """A plain import statement raises GuardImportError, out of two frames of the guard."""
    said = guarded(packages, imported("cut"), before=f"tfguard.install_hook({names})")["error"]

    assert (said["type"], said["codes"], said["name"]) == ("GuardImportError", ["TFG116"], "cut")
    assert said["frames"] == ["<module>", "<module>", "create_module"]


def test_hook_leaves_the_module_as_it_is(packages: Path) -> None:
    """A sound module comes out of the hook with its own loader and spec, as if there were none."""
    code = (
        "import json, tfguard\nhook = tfguard.install_hook('good')\nimport good\n"
        "print(json.dumps([type(good.__loader__).__name__, type(good.__spec__.loader).__name__, good._ext.__name__]))"
    )

    assert run(code, packages) == ["SourceFileLoader", "SourceFileLoader", "good._ext"]


def test_hook_does_not_touch_other_imports(packages: Path) -> None:
    """A broken package that was not named fails as ever, and nothing is checked."""
    said = guarded(packages, imported("cut"), before="tfguard.install_hook('good')")

    assert said["error"]["type"] == "ImportError"
    assert said["warnings"] == []
    assert guarded(packages, imported("optional"), before="tfguard.install_hook('good')")["warnings"] == []


def test_looking_for_a_package_is_not_loading_it(packages: Path) -> None:
    """importlib.util.find_spec, with which libraries ask what is there, raises nothing for a broken package."""
    code = (
        "import importlib.util, json, tfguard\nhook = tfguard.install_hook('cut')\n"
        "spec = importlib.util.find_spec('cut')\n"
        "print(json.dumps([spec.name, spec.origin, spec.loader.get_filename('cut')]))"
    )
    origin = str(packages / "cut" / "__init__.py")

    assert run(code, packages) == ["cut", origin, origin]


def test_hook_as_context_manager(packages: Path) -> None:
    """Outside the with block imports are unguarded; uninstalling twice does nothing."""
    code = (
        "import json, sys, tfguard\n"
        "with tfguard.install_hook('cut', 'good') as hook:\n"
        " import good\n"
        " assert hook in sys.meta_path\n"
        "assert hook not in sys.meta_path\nhook.uninstall()\nhook.uninstall()\n"
        "try:\n import cut\nexcept ImportError as error:\n print(json.dumps(type(error).__name__))"
    )

    assert run(code, packages) == "ImportError"


def test_default_name_of_the_hook() -> None:
    """Without names it guards tensorflow."""
    import tfguard

    with tfguard.install_hook() as hook:
        assert hook.names == {"tensorflow"}


# door, hooks: an import is checked once whoever calls
ONCE = {
    "safe_import under a hook": ("tfguard.safe_import('optional')", "tfguard.install_hook('optional')"),
    "two hooks": (imported("optional"), "tfguard.install_hook('optional'); tfguard.install_hook('optional')"),
    "nested import under a hook": ("tfguard.safe_import('outer')", "tfguard.install_hook('optional')"),
    "dotted name": ("tfguard.safe_import('optional')", "tfguard.install_hook('optional', 'optional._ext')"),
}


@pytest.mark.parametrize(("call", "before"), ONCE.values(), ids=ONCE)
def test_checked_once(packages: Path, tmp_path: Path, call: str, before: str) -> None:
    """One import, one check: one warning."""
    write(tmp_path, {"outer.py": "import optional\n"})

    said = guarded(packages, call, before=f"{before}; sys.path.insert(0, {str(tmp_path)!r})")

    assert said["error"] is None
    assert len(said["warnings"]) == 1


def test_ignore_holds_under_a_hook(packages: Path) -> None:
    """What safe_import was told to ignore, the hook does not bring up again."""
    said = guarded(
        packages, "tfguard.safe_import('optional', ignore={'TFG116'})", before="tfguard.install_hook('optional')"
    )

    assert (said["error"], said["warnings"]) == (None, [])


def test_hook_and_another_finder(packages: Path) -> None:
    """A finder that asks the others from within its own search, as wrapt's import hooks do, meets no endless loop."""
    before = (
        "import importlib.util\n"
        "class Asking:\n"
        " busy = False\n"
        " def find_spec(self, name, path=None, target=None):\n"
        "  if self.busy or name != 'optional': return None\n"
        "  self.busy = True\n"
        "  try: return importlib.util.find_spec(name)\n"
        "  finally: self.busy = False\n"
        "tfguard.install_hook('optional'); sys.meta_path.insert(0, Asking()); tfguard.install_hook('optional')"
    )

    said = guarded(packages, imported("optional"), before=before)

    assert said["error"] is None
    assert len(said["warnings"]) == 1


def test_reload_under_a_hook(packages: Path) -> None:
    """importlib.reload of a guarded module works, and keeps its loader."""
    code = (
        "import importlib, json, tfguard\nhook = tfguard.install_hook('good')\nimport good\n"
        "importlib.reload(good)\nprint(json.dumps(type(good.__spec__.loader).__name__))"
    )

    assert run(code, packages) == "SourceFileLoader"


@pytest.mark.tensorflow
def test_import_statement_on_a_broken_tensorflow(copy: TensorFlowCopy) -> None:
    """`import tensorflow` under the hook: GuardImportError, nothing of it mapped."""
    copy.cut("tensorflow/python/_pywrap_tfe.so", 4096)

    ended = copy.run(
        "import json, sys, tfguard\nhook = tfguard.install_hook()\n"
        "try:\n import tensorflow\nexcept ImportError as error:\n"
        " maps = open('/proc/self/maps').read()\n"
        " print(json.dumps({'type': type(error).__name__, 'codes': error.codes, 'mapped': '/tensorflow/' in maps,\n"
        "  'imported': 'tensorflow' in sys.modules}))"
    )

    assert ended.said == {"type": "GuardImportError", "codes": ["TFG116"], "mapped": False, "imported": False}, ended


@pytest.mark.tensorflow
def test_sound_tensorflow_through_every_door(tmp_path: Path) -> None:
    """safe_import, a dotted name and the hook, on the TensorFlow installed here."""
    code = (
        "import json, sys, warnings, tfguard\nwarnings.simplefilter('error', tfguard.GuardWarning)\n"
        "hook = tfguard.install_hook()\nkeras = tfguard.safe_import('tensorflow.keras')\n"
        "tf = tfguard.safe_import()\nimport tensorflow\n"
        "print(json.dumps([tf is tensorflow, tf is sys.modules['tensorflow'], hasattr(keras, 'Model')]))"
    )

    assert run(code, tmp_path) == [True, True, True]


# --- op libraries


@pytest.mark.tensorflow
def test_op_library_whose_finding_is_ignored(tmp_path: Path, compiler: Compiler) -> None:
    """The real load happens; where it fails, the exception is TensorFlow's NotFoundError too, and chains its own."""
    options = ("-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libtfguard_dep.so")
    dep = compiler.build("int dep(void) { return 1; }", *options)
    compiler.shared(tmp_path / "op.so", "int dep(void); int f(void) { return dep(); }", str(dep))

    said = guarded(tmp_path, "tfguard.load_op_library('./op.so', ignore='TFG201')", before="import tensorflow as tf")[
        "error"
    ]

    assert (said["type"], said["codes"]) == ("OpLibraryError", ["TFG201"])
    assert said["cause"]["type"] == "NotFoundError"
    assert said["cause"]["text"].startswith("libtfguard_dep.so: cannot open shared object file")
    assert said["frames"] == ["<module>", "load_op_library"]


@pytest.mark.tensorflow
def test_op_library_is_refused_before_tensorflow_is_imported(tmp_path: Path) -> None:
    """Three seconds of import are not spent on a library that will not load."""
    (tmp_path / "op.so").write_bytes(b"")

    said = guarded(tmp_path, "tfguard.load_op_library(b'op.so')", before="import atexit; atexit.register(lambda:"
                   " 'tensorflow' not in sys.modules or os._exit(9)); import os")["error"]  # fmt: skip

    assert (said["type"], said["codes"], said["cause"]) == ("OpLibraryError", ["TFG111"], None)
    assert said["frames"] == ["<module>", "load_op_library"]


@pytest.mark.parametrize("path", ["None", "5", "object()"])
def test_what_is_no_path(tmp_path: Path, path: str) -> None:
    """TypeError, as of every function that takes a path."""
    assert guarded(tmp_path, f"tfguard.load_op_library({path})")["error"]["type"] == "TypeError"


@pytest.mark.tensorflow
def test_op_library_under_a_broken_tensorflow(copy: TensorFlowCopy) -> None:
    """TensorFlow itself would not load: that is a GuardImportError, whatever the library is."""
    copy.cut("tensorflow/libtensorflow_framework.so.2", 0)

    ended = copy.run(
        "import json, tfguard\ntry:\n tfguard.load_op_library('/no/such/op.so')\n"
        "except tfguard.GuardError as error:\n"
        " print(json.dumps({'type': type(error).__name__, 'codes': error.codes, 'name': error.name}))"
    )

    assert ended.said == {"type": "GuardImportError", "codes": ["TFG115"], "name": "tensorflow"}, ended


@pytest.mark.tensorflow
def test_op_library_with_the_guard_off(tmp_path: Path) -> None:
    """TFGUARD=off: TensorFlow's own exception."""
    (tmp_path / "op.so").write_bytes(b"")

    said = guarded(tmp_path, "tfguard.load_op_library('./op.so')", environment={"TFGUARD": "off"})["error"]

    assert (said["type"], said["text"]) == ("NotFoundError", "./op.so: file too short")
