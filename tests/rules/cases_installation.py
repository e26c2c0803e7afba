"""Cases of the rules about what is installed: trees of small distributions that are wrong in one way each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase
from tests.support.distributions import lay_out
from tests.support.packages import native, write

# Of a release that nobody has measured: no list says which native modules it must have.
_RELEASE = "2.99.0"
_FILES: Mapping[str, str] = {"tensorflow/__init__.py": "", "tensorflow/python/__init__.py": ""}
# Any: values of fields of Python
_SOMEWHERE_ELSE: dict[str, Any] = {
    "home": "/nonexistent", "commands": [], "cwd": "/nonexistent", "system_prefixes": [], "virtual_env": None,
    "prefix": "/nonexistent", "base_prefix": "/nonexistent",
}  # fmt: skip

LayOut = Callable[[Scene], Question]


def _site(scene: Scene) -> Path:
    return scene.root / "site-packages"


def _ask(scene: Scene, *before: str, target: str = "tensorflow", **python: Any) -> Question:  # Any: fields of Python
    path = (*(str(scene.root / one) for one in before), str(_site(scene)))
    return Question(target=target, door="import", path=path, python=_SOMEWHERE_ELSE | python, asks=False)


def _nothing(name: str) -> LayOut:
    def lay_it_out(scene: Scene) -> Question:
        _site(scene).mkdir()
        return _ask(scene, target=name)

    return lay_it_out


def _no_wheel(**python: Any) -> LayOut:  # Any: fields of Python
    def lay_it_out(scene: Scene) -> Question:
        commands = scene.root / "bin"
        commands.mkdir()
        (commands / "python3.12").touch()
        return _ask(scene, **{"commands": [str(commands)], **python})

    return lay_it_out


def _frozen(freezer: str) -> LayOut:
    def lay_it_out(scene: Scene) -> Question:
        _site(scene).mkdir()
        return _ask(scene, freezer=freezer, executable="/opt/app/app")

    return lay_it_out


def _in_another(scene: Scene) -> Question:
    """VIRTUAL_ENV names an environment that has it, and another Python runs."""
    environment = scene.root / "project" / ".venv"
    lay_out(environment / "lib" / "python3.12" / "site-packages", "tensorflow-cpu", "2.20.0", _FILES)
    write(environment, {"bin/python3.12": ""})
    return _ask(scene, virtual_env=str(environment))


def _other_python(scene: Scene) -> Question:
    """A wheel for Python 3.8, its modules too: pybind11 compiles the version's text into them."""
    declare = r'const char compiled_for[] = "\0" "3.8";'
    module = native(scene.compiler, "_pywrap_cpu_feature_guard", declare=declare)
    files: dict[str, str | bytes | Path] = {**_FILES, "tensorflow/python/platform/_pywrap_cpu_feature_guard.so": module}
    lay_out(_site(scene), "tensorflow", _RELEASE, files, tags=("cp38-cp38-manylinux_2_17_x86_64",))
    return _ask(scene)


def _other_platform(scene: Scene) -> Question:
    lay_out(_site(scene), "tensorflow", _RELEASE, _FILES, tags=(f"{_tag()}-macosx_12_0_arm64",))
    return _ask(scene)


def _tag() -> str:
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return f"{version}-{version}"


def _several(scene: Scene) -> Question:
    """tensorflow over tensorflow-cpu: the files are those of the second one installed."""
    lay_out(_site(scene), "tensorflow-cpu", _RELEASE, {**_FILES, "tensorflow/_x.so": b"first"})
    lay_out(_site(scene), "tensorflow", "2.98.0", {**_FILES, "tensorflow/_x.so": b"the second"})
    return _ask(scene)


def _partial(*lost: str) -> LayOut:
    def lay_it_out(scene: Scene) -> Question:
        files = {**_FILES, "tensorflow/core.py": "", "tensorflow/util.py": ""}
        lay_out(_site(scene), "tensorflow", _RELEASE, files, lost=lost)
        return _ask(scene)

    return lay_it_out


def _no_module(scene: Scene) -> Question:
    files = {"tensorflow/__init__.py": "from tensorflow.python.core import x\n", "tensorflow/python/core.py": ""}
    lay_out(_site(scene), "tensorflow", _RELEASE, files, lost=("tensorflow/python/core.py",))
    return _ask(scene)


def _changed(scene: Scene) -> Question:
    lay_out(_site(scene), "tensorflow", _RELEASE, {**_FILES, "tensorflow/data.dll": b"short"})
    (_site(scene) / "tensorflow" / "data.dll").write_bytes(b"longer than that")
    return _ask(scene)


def _half_removed(scene: Scene) -> Question:
    lay_out(_site(scene), "tensorflow", _RELEASE, _FILES)
    write(_site(scene), {"~ensorflow/__init__.py": "", "~ensorflow-2.98.0.dist-info/METADATA": ""})
    return _ask(scene)


def _empty_folder(scene: Scene) -> Question:
    write(_site(scene), {"tensorflow/include/eigen.h": ""})
    return _ask(scene)


def _shadow(name: str) -> LayOut:
    def lay_it_out(scene: Scene) -> Question:
        lay_out(_site(scene), "tensorflow", _RELEASE, _FILES)
        lay_out(_site(scene), "numpy", "2.4.0", {"numpy/__init__.py": ""})
        write(scene.root, {f"project/{name}": "import tensorflow\n"})
        path = [str(scene.root / "project"), os.path.dirname(os.__file__), str(_site(scene))]
        return _ask(scene, "project", path=path, version=[3, 11, 0])

    return lay_it_out


def _source_tree(scene: Scene) -> Question:
    lay_out(_site(scene), "tensorflow", _RELEASE, _FILES)
    write(scene.root, {f"checkout/{name}": "" for name in (*_FILES, "tensorflow/BUILD", "tensorflow/tensorflow.bzl")})
    return _ask(scene, "checkout", version=[3, 11, 0])


def _user_site(scene: Scene, release: str = _RELEASE, old: str = "1.26.4") -> Question:
    environment = scene.root / "env"
    site, user = environment / "site-packages", scene.root / "user" / "site-packages"
    lay_out(site, "tensorflow", release, _FILES, requires=("numpy>=1.26",))
    lay_out(site, "numpy", "2.4.0", {"numpy/__init__.py": ""})
    lay_out(user, "numpy", old, {"numpy/__init__.py": ""})
    path = (str(user), str(site))
    python = _SOMEWHERE_ELSE | {"prefix": str(environment), "user_site": str(user), "path": list(path)}
    return Question(target="tensorflow", door="import", path=path, python=python, asks=False)


def _beside(release: str, requirement: str, *have: str, name: str = "tensorflow") -> LayOut:
    """TensorFlow with a requirement, and what is installed in its place, if anything."""

    def lay_it_out(scene: Scene) -> Question:
        lay_out(_site(scene), name, release, _FILES, requires=(requirement,))
        for one in have:
            beside, _, version = one.partition("==")
            top = {"protobuf": "google/protobuf"}.get(beside, beside.replace("-", "_"))
            lay_out(_site(scene), beside, version, {f"{top}/__init__.py": ""})
        return _ask(scene)

    return lay_it_out


def _undeclared(scene: Scene) -> Question:
    """An ml_dtypes built for NumPy 1, whose metadata could not know of NumPy 2."""
    lay_out(_site(scene), "tensorflow", _RELEASE, _FILES, requires=("ml_dtypes>=0.5.1", "numpy>=1.26"))
    lay_out(_site(scene), "ml-dtypes", "0.3.2", {"ml_dtypes/__init__.py": ""}, requires=("numpy>1.20",))
    lay_out(_site(scene), "numpy", "2.4.6", {"numpy/__init__.py": ""})
    return _ask(scene)


def _addon(scene: Scene) -> Question:
    lay_out(_site(scene), "tensorflow", _RELEASE, _FILES)
    requires = ("tensorflow<2.19,>=2.18.0", 'tensorflow-cpu<2.19,>=2.18.0; extra == "tensorflow-cpu"')
    lay_out(_site(scene), "tensorflow-text", "2.18.1", {"tensorflow_text/__init__.py": ""}, requires=requires)
    return _ask(scene)


def _plugin(*, owned: bool) -> LayOut:
    def lay_it_out(scene: Scene) -> Question:
        lay_out(_site(scene), "tensorflow", _RELEASE, _FILES)
        if owned:
            source = "void TF_Gone(void); void f(void) { TF_Gone(); }"
            library = scene.compiler.build(source, "-shared", "-fPIC")
            lay_out(_site(scene), "tensorflow-metal", "0.8.0", {"tensorflow-plugins/libmetal_plugin.so": library})
        else:
            scene.write("site-packages/tensorflow-plugins/libgarbage.so", b"this is no library at all " * 9)
        return _ask(scene, path=[str(_site(scene))])

    return lay_it_out


CASES: tuple[RuleCase, ...] = (
    RuleCase("TFG401", _nothing("tensorflow")),
    RuleCase("TFG401-unknown", _nothing("tfguard_nonesuch")),
    RuleCase("TFG402", _other_python),
    RuleCase("TFG402-platform", _other_platform, warning=True),
    RuleCase("TFG403", _several, warning=True),
    RuleCase("TFG404", _partial("tensorflow/core.py", "tensorflow/util.py"), warning=True),
    RuleCase("TFG404-namespace", _partial("tensorflow/__init__.py", "tensorflow/core.py")),
    RuleCase("TFG404-module", _no_module),
    RuleCase("TFG405", _changed, warning=True),
    RuleCase("TFG406", _half_removed, warning=True),
    RuleCase("TFG406-empty-folder", _empty_folder),
    RuleCase("TFG407", _shadow("code.py"), warning=True),
    RuleCase("TFG407-numpy", _shadow("numpy.py"), warning=True),
    RuleCase("TFG407-itself", _shadow("tensorflow.py"), warning=True),
    RuleCase("TFG408", _source_tree),
    RuleCase("TFG409", _user_site, warning=True),
    RuleCase("TFG409-deadly", lambda scene: _user_site(scene, "2.21.0", "1.24.4")),
    RuleCase("TFG410", _beside("2.15.1", "numpy<2.0.0,>=1.23.5", "numpy==2.0.2")),
    RuleCase("TFG410-untried", _beside(_RELEASE, "numpy<3,>=2.5", "numpy==2.4.6"), warning=True),
    RuleCase("TFG410-undeclared", _undeclared),
    RuleCase("TFG411", _beside("2.21.0", "protobuf<8.0.0,>=6.31.1", "protobuf==4.25.8", name="tensorflow-cpu")),
    RuleCase("TFG412", _beside(_RELEASE, "keras>=3.12.0", "keras==2.15.0"), warning=True),
    RuleCase("TFG413", _beside(_RELEASE, "h5py<3.15.0,>=3.11.0", "h5py==3.10.0"), warning=True),
    RuleCase("TFG414", _beside(_RELEASE, "wrapt<1.15,>=1.11.0", "wrapt==2.0.0"), warning=True),
    RuleCase("TFG415", _plugin(owned=True)),
    RuleCase("TFG415-nobodys", _plugin(owned=False)),
    RuleCase("TFG416", _addon, warning=True),
    RuleCase("TFG417", _no_wheel(version=[3, 15, 0])),
    RuleCase("TFG417-32-bit", _no_wheel(bits=32)),
    RuleCase("TFG417-intel-mac", _no_wheel(system="darwin", version=[3, 13, 0])),
    RuleCase("TFG419", _in_another),
    RuleCase("TFG421", _frozen("PyInstaller")),
    RuleCase("TFG421-cx-freeze", _frozen("cx_Freeze")),
    RuleCase("TFG420", _beside("2.21.0", "absl-py>=1.0.0", name="tensorflow-cpu")),
)
