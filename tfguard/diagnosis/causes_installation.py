"""Causes behind what Python does not find: not installed, in part, for another platform, hidden by another file."""

from __future__ import annotations

import re
import shlex
import sys

from tfguard.diagnosis.cause import Cause, in_packages, package_of
from tfguard.diagnosis.causes_mixed import inside, mixed, over_one_another
from tfguard.diagnosis.causes_requirements import CHECK, asks_as_keras, keras
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

# Names of the standard library that people give to scripts which never meet the library's own: no sign of a shadow.
_COMMON = frozenset("test main run site this setup __main__ builtins".split())


def no_module_numpy(said: Said, setting: Setting) -> list[Cause]:
    """NumPy's compiled part is not seen: its file name carries another platform or Python."""
    return [
        Cause(
            code="TFG402",
            message="the installed NumPy is a build for another platform or another Python: its compiled part is not"
            " seen",
            why="Python looks only at files whose names end as its own (.cpython-311-x86_64-linux-gnu.so); others"
            " are not there for it",
            decides=(
                "the suffixes of this Python, and the files that are there",
                (
                    'python -c "import importlib.machinery as m; print(m.EXTENSION_SUFFIXES)"; ls'
                    " SITE_PACKAGES/numpy/*core/_multiarray*"
                ),
            ),
            remedies=(
                Remedy(
                    "Install it with this very Python, on this platform.",
                    "python -m pip install --force-reinstall --no-cache-dir numpy",
                ),
                Remedy(
                    "For a Lambda layer, fetch wheels of the function's platform and Python.",
                    "python -m pip install --platform manylinux2014_x86_64 --python-version 3.11 --only-binary=:all:"
                    " --target DIR numpy",
                ),
            ),
        ),
        Cause(
            code="TFG404",
            message="the installation of NumPy may be incomplete",
            why="a half-removed or mixed installation looks the same",
            remedies=(Remedy("Install it again.", "python -m pip install --force-reinstall numpy"),),
        ),
    ]


def no_init(said: Said, setting: Setting) -> list[Cause]:
    """The file is loaded, and is no module of that name."""
    return [
        Cause(
            code="TFG507",
            message=f"the file has no function {said.symbol or 'PyInit_...'}: it is no module of that name for this"
            f" Python",
            why="Python looks for PyInit_ and the module's name (up to Python 2: init); a file that was renamed, or"
            " built for another Python, has another",
            decides=("what it exports", "nm -D FILE | grep -i init"),
            remedies=(
                Remedy("Build it for this Python, under the name it was written for."),
                Remedy("A library that is no Python module is opened by ctypes or tf.load_op_library."),
            ),
        )
    ]


def lazy_loader(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow 2.0's lazy loader swallowed the true exception."""
    return [
        Cause(
            code="TFG418",
            message="the true error is hidden: TensorFlow's lazy loader has swallowed it",
            why=f"{said.requirer} is a package; that Python finds none means that its import failed, and was not told",
            decides=(
                "the true error",
                "python -c 'import tensorflow.python; import tensorflow.python.tools.module_util'",
            ),
            remedies=(
                Remedy(
                    "Import the inner module by itself: that shows what failed.",
                    "python -c 'import tensorflow_core.python'",
                ),
                Remedy("Then ask again with that text.", "python -m tfguard diagnose -"),
            ),
        )
    ]


def shadowed(said: Said, setting: Setting) -> list[Cause]:
    """A file of the user's has the name of a module."""
    module = (said.requirer or said.object).partition(".")[0] if said.requirer else said.object.partition(".")[0]
    path = said.library or f"{module}.py"
    if said.library and in_packages(said.library):
        return [*_in_parts(said, setting), _shadow(module, path)]
    return [_shadow(module, path)]


def _in_parts(said: Said, setting: Setting) -> list[Cause]:
    """It is the package itself that comes round to itself: what it asks for is not there."""
    if said.object.startswith("keras"):
        return keras(said, setting)
    return [
        Cause(
            code="TFG404",
            message=f"{said.object} of the installed package is imported in part:"
            f" {said.symbol or 'what it asks for'} is"
            " not there",
            why="the module is the package's own, not a file of that name: a part of it is missing, or its requirements"
            " come round to it",
            decides=("what is missing", "python -m tfguard; python -m pip check"),
            remedies=(
                Remedy("Install the package again.", "python -m pip install --force-reinstall --no-cache-dir PACKAGE"),
            ),
        )
    ]


def _shadow(module: str, path: str) -> Cause:
    is_folder = path.endswith(("/__init__.py", "\\__init__.py"))
    kind, own = ("folder", path[: -len("/__init__.py")]) if is_folder else ("file", path)
    base = re.split(r"[\\/]", own)[-1]
    return Cause(
        code="TFG407",
        message=f"a {kind} of one's own is imported in place of the module {module or 'of that name'}: {own}",
        why=f"the folder of the script comes first on sys.path, so that a {kind} of that name is taken for the module",
        decides=(
            "what is imported",
            f'python -c "import importlib.util as u; print(u.find_spec({module!r}).origin)"',
        ),
        remedies=(
            Remedy(
                f"Rename that {kind}, and delete its __pycache__.",
                shlex.join(("mv", own, f"{own[: -len(base)]}my_{base}")),
            ),
        ),
        vain="installing the package again",
    )


def shadowing_script(setting: Setting) -> str:
    """A script in the traceback that has the name of a module of the standard library, "" where there is none."""
    for path in setting.frames:
        base = re.split(r"[\\/]", path)[-1].removesuffix(".py")
        outside = not re.search(r"[\\/]lib(64)?[\\/]|python\d|site-packages|<frozen", path)
        if outside and base in sys.stdlib_module_names and base not in _COMMON:
            return path
    return ""


def source_tree(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow's source tree, without the compiled part, is imported."""
    return [
        Cause(
            code="TFG408",
            message="TensorFlow is imported from a source tree, or from an install without its compiled part",
            why="the compiled module is not beside the Python files that ask for it",
            decides=("where it is imported from", "cd / && python -c 'import tensorflow; print(tensorflow.__file__)'"),
            remedies=(
                Remedy("Start Python in another folder.", "cd / && python your_script.py"),
                Remedy(
                    "Where that does not help, install it again.",
                    "python -m pip install --force-reinstall --no-cache-dir tensorflow",
                ),
            ),
        ),
        Cause(
            code="TFG404",
            message="the installation of TensorFlow may be incomplete",
            why="a compiled part that is missing shows in the same words",
            remedies=(
                Remedy("Install it again.", "python -m pip install --force-reinstall --no-cache-dir tensorflow"),
            ),
        ),
    ]


def no_generated(said: Said, setting: Setting) -> list[Cause]:
    """The build makes the files ..._pb2.py: a checkout of TensorFlow does not have them."""
    name = said.object if said.object.startswith("tensorflow.") else f"tensorflow.{said.object}"
    if not re.match(r"tensorflow\.(core|tsl|python)\.", name):
        return []
    outside = any(re.match(r"(?!.*-packages/)(?:.{0,300}/)?tensorflow/", frame) for frame in setting.frames)
    causes = source_tree(said, setting)
    return causes if outside else causes[::-1]


def python_release(said: Said, setting: Setting) -> list[Cause]:
    """A compiled module, or compiled Python code, says that it was made with another Python."""
    built = f" (built with {said.need}, runs with {said.have})" if said.need else ""
    return [
        Cause(
            code="TFG504",
            message=f"{said.object or 'a module'} is built for another Python than the one that loads it{built}",
            why="the module compares the release itself"
            if said.need
            else "the first bytes of compiled Python code name the release that wrote it",
            decides=("the interpreter", 'python -c "import sys; print(sys.version, sys.path)"'),
            remedies=(
                Remedy(
                    "Install the package with this interpreter's own pip.",
                    "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
                ),
            ),
        )
    ]


def no_native(said: Said, setting: Setting) -> list[Cause]:
    """TensorFlow's compiled module is not seen at all."""
    other = Cause(
        code="TFG402",
        message=f"{said.object} is not seen: the installed package is a build for another platform or Python",
        why="Python does not look at compiled modules whose names end for another platform (.so on Windows)",
        decides=(
            "the file that is there, and this Python's suffixes",
            (
                'python -c "import importlib.machinery as m, platform; print(m.EXTENSION_SUFFIXES,'
                ' platform.architecture())"'
            ),
        ),
        remedies=(
            Remedy(
                "Use a 64-bit Python of a version that has wheels, and pip's own choice of wheel.",
                "python -m pip install --force-reinstall --no-cache-dir tensorflow",
            ),
        ),
        vain="renaming a wheel, or a link to one for another system",
    )
    partial = Cause(
        code="TFG404",
        message=f"{said.object} is missing from the installation",
        why="a file that the package brought is gone, or files of several releases are mixed",
        decides=("what is missing", "python -m tfguard; python -m pip show -f tensorflow | grep _pywrap"),
        remedies=(
            Remedy(
                "Uninstall, delete what is left of the folder, install again.",
                "python -m pip uninstall tensorflow && python -m pip install --no-cache-dir tensorflow",
            ),
        ),
    )
    internal = "internal" in said.object or said.object.startswith("tensorflow")
    if not said.object.rpartition(".")[2].startswith("_pywrap") or setting.mentions("32 bit", "32-bit", "32bit"):
        return [other, partial]
    return [partial, other] if internal else [other, partial]


def no_tensorflow(said: Said, setting: Setting) -> list[Cause]:
    """Python finds no tensorflow at all."""
    absent = Cause(
        code="TFG401",
        message="this Python has no TensorFlow installed",
        why="the top-level name is not found on sys.path",
        decides=(
            "which Python this is, and what it has",
            "python -c 'import sys; print(sys.executable)'; python -m pip list | grep -i tensorflow",
        ),
        remedies=(Remedy("Install it with this very Python.", "python -m pip install tensorflow"),),
        vain="pip of another Python: use `python -m pip`",
    )
    several = Cause(
        code="TFG403",
        message="several TensorFlow distributions may have been installed and removed over one another",
        why="tensorflow, tensorflow-gpu and tf-nightly own the same folder: removing one removes it from the others",
        decides=("the distributions", "python -m pip list | grep -iE 'tensorflow|tf.nightly'"),
        remedies=(
            Remedy(
                "Uninstall all of them, then install one.",
                "python -m pip uninstall tensorflow tensorflow-gpu tf-nightly; python -m pip install tensorflow",
            ),
        ),
    )
    told = setting.mentions("tensorflow-gpu", "tensorflow_gpu", "tf-nightly", "pip uninstall")
    return [several, absent] if told else [absent, several]


def no_module(said: Said, setting: Setting) -> list[Cause]:
    """Python finds no package of a name, any other than TensorFlow."""
    return [
        Cause(
            code="TFG401",
            message=f"this Python has no {said.object} installed",
            why="the top-level name is not found on sys.path",
            decides=(
                "which Python this is, and what it has",
                "python -c 'import sys; print(sys.executable)'; python -m pip list",
            ),
            remedies=(
                Remedy(
                    f"Install what brings {said.object}, with this very Python: its own documentation says what pip has"
                    " to be asked for."
                ),
            ),
            vain="pip of another Python: use `python -m pip`",
        )
    ]


def no_module_in_tensorflow(said: Said, setting: Setting) -> list[Cause]:
    """A part of TensorFlow is not found."""
    if said.object.startswith("tensorflow.contrib"):
        return [
            Cause(
                code="TFG416",
                message="the code is for TensorFlow 1: tensorflow.contrib is gone in TensorFlow 2",
                why="the module was removed with 2.0",
                remedies=(Remedy("Use TensorFlow 1.15 (Python up to 3.7), or the code's port to 2."),),
            )
        ]
    return [
        Cause(
            code="TFG404",
            message=f"{said.object} is missing: the installation is incomplete, or another folder of that name comes"
            f" first",
            why="a part of the package that every release has is not found",
            decides=(
                "what is imported, and where it is from",
                'python -c "import tensorflow; print(tensorflow.__path__)"; python -m tfguard',
            ),
            remedies=(
                Remedy(
                    "Uninstall, delete what is left of the folder, install again.",
                    "python -m pip uninstall tensorflow && python -m pip install --no-cache-dir tensorflow",
                ),
                Remedy("Look into the user's site-packages, which come before the environment's.", "python -m site"),
            ),
            vain="a new environment while the broken copy lies in the user's site-packages",
        ),
        Cause(
            code="TFG403",
            message="several TensorFlow distributions may own one folder",
            why="removing one of them removes files of the others",
            decides=("the distributions", "python -m pip list | grep -iE 'tensorflow|tf.nightly'"),
        ),
    ]


# Names of TensorFlow 1 that Keras up to 2.2 asks for as soon as a layer is made; scripts ask for them seldom.
_KERAS_ASKS = ("get_default_graph", "get_default_session")


def _is_asked_by_keras(said: Said, setting: Setting) -> bool:
    """By the frame, by the part of Keras that asks, or because no frame tells of anybody else."""
    if said.frame:
        return package_of(said.frame) in ("keras", "tf_keras")
    return setting.mentions("tensorflow_backend.py", "keras") or not setting.frames


def no_attribute(said: Said, setting: Setting) -> list[Cause]:
    """`module 'tensorflow' has no attribute`: of TensorFlow 1, or the module is not TensorFlow."""
    if said.symbol in _KERAS_ASKS and _is_asked_by_keras(said, setting):
        return keras(said, setting)
    if said.symbol in (
        "Session",
        "placeholder",
        "ConfigProto",
        "get_default_graph",
        "app",
        "flags",
        "contrib",
        "global_variables_initializer",
        "reset_default_graph",
        "logging",
    ):
        return [
            Cause(
                code="TFG416",
                message=f"the code is for TensorFlow 1: tf.{said.symbol} is gone in TensorFlow 2",
                why="the name was removed with 2.0",
                remedies=(Remedy("Use tf.compat.v1, or the code's port to TensorFlow 2."),),
            )
        ]
    if said.object != "tensorflow":
        return keras(said, setting) if setting.mentions("keras") and not inside(said) else cannot_import(said, setting)
    partial = no_module_in_tensorflow(said, setting)[0]
    from dataclasses import replace

    own = re.search(r"(?<!-packages)[/\\]tensorflow\.py\b", setting.whole)
    if own is not None:
        return [_shadow("tensorflow", own[0][1:]), partial]
    told = len(setting.distributions) > 1 or ("uninstall" in setting.whole and "tensorflow-gpu" in setting.whole)
    return [
        *((over_one_another(setting),) if told else ()),
        replace(
            partial,
            message=f"what is imported as tensorflow has no {said.symbol}: a leftover folder, a file of that name,"
            f" or another release",
        ),
        *shadowed(replace(said, object="tensorflow", library=""), setting),
    ]


def cannot_import(said: Said, setting: Setting) -> list[Cause]:
    """A name that this TensorFlow does not have."""
    if inside(said) or said.library == "unknown location":
        return mixed(said, setting)  # a folder without its own __init__.py is what is left of a package
    if asks_as_keras(said):
        return keras(said, setting)
    return [
        Cause(
            code="TFG416",
            message=f"a package asks {said.object} for {said.symbol}, which this TensorFlow does not have",
            why="the package was made for another release of TensorFlow",
            decides=("the versions", f"python -m pip list | grep -iE 'tensorflow|keras'; {CHECK}"),
            remedies=(
                Remedy(
                    "Install the release of that package made for this TensorFlow, or the TensorFlow it asks for.",
                    CHECK,
                ),
            ),
        ),
        Cause(
            code="TFG404",
            message="the installation of TensorFlow may be mixed of two releases",
            why="files of two releases ask each other for names",
            remedies=(
                Remedy("Install it again.", "python -m pip install --force-reinstall --no-cache-dir tensorflow"),
            ),
        ),
    ]


def wheel_tag(said: Said, setting: Setting) -> list[Cause]:
    """pip refuses a wheel by its name."""
    return [
        Cause(
            code="TFG402",
            message=f"{said.object or 'the wheel'} is for another Python or platform than this one",
            why="the tags in its name (Python, ABI, platform) are none of those that this pip takes",
            decides=("the tags that are taken", "python -m pip debug --verbose | head -40"),
            remedies=(
                Remedy("Let pip choose.", "python -m pip install tensorflow"),
                Remedy("Use a 64-bit Python of a version that the release has wheels for."),
            ),
            vain="renaming the wheel, or unpacking it by hand",
        )
    ]


def broken_off(said: Said, setting: Setting) -> list[Cause]:
    """pip says why it could not write a file."""
    if "long path" in said.errno.lower():
        return [
            Cause(
                code="TFG857",
                message="a path of the package is longer than Windows takes, and the install has broken off",
                why="259 characters are the limit where long paths are not enabled; pip says so itself",
                remedies=(
                    Remedy("Enable long paths in Windows (the policy LongPathsEnabled), and start it again."),
                    Remedy("Use an environment with a shorter path.", "python -m venv C:\\tf"),
                ),
            )
        ]
    if not setting.mentions("pip", "install", "wheel", "site-packages"):
        return []
    return [
        Cause(
            code="TFG404",
            message="the disk was full, and the install has broken off: files of the package are missing or cut off",
            why="the system says that there was no room to write",
            decides=("the room", "df -h . /tmp; python -m pip cache info"),
            remedies=(
                Remedy(
                    "Make room, and install again without the cache.",
                    "python -m pip install --force-reinstall --no-cache-dir tensorflow",
                ),
                Remedy(
                    "Where /tmp is small, have pip unpack elsewhere.",
                    "TMPDIR=$HOME/tmp python -m pip install tensorflow",
                ),
            ),
        )
    ]


def no_distribution(said: Said, setting: Setting) -> list[Cause]:
    """No file on the index fits this Python."""
    return [
        Cause(
            code="TFG417",
            message=f"there is no wheel of {said.object or 'that release'} for this Python and platform",
            why="pip offers what the index has for this version, word size and processor, and that is nothing",
            decides=(
                "this Python",
                (
                    "python -c \"import sys, struct, platform; print(sys.version, struct.calcsize('P') * 8,"
                    ' platform.machine())"'
                ),
            ),
            remedies=(
                Remedy(
                    "Use a 64-bit Python of a version that the release supports (3.10 to 3.13 for 2.21).",
                    "python3.12 -m venv env && env/bin/python -m pip install tensorflow",
                ),
                Remedy("Update pip: an old one does not know newer tags.", "python -m pip install --upgrade pip"),
            ),
            vain="a wheel for another Python under a new name",
        )
    ]
