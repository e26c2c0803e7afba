"""Cases of the rules about what a process holds: OpenMP, a TensorFlow, ops, half an import, what was replaced."""

from __future__ import annotations

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase

_FRAMEWORK = "libtensorflow_framework.so.2"
# What an op library made with REGISTER_OP calls, and the name of its op.
_OP = (
    'extern void define(const char *) __asm__("_ZN10tensorflow12OpDefBuilderC1E");'
    ' const char *padding = ""; void op(void) { define("%s"); }'
)
_DEFINES = 'void define(const char *name) __asm__("_ZN10tensorflow12OpDefBuilderC1E"); void define(const char *name) {}'


def _tensorflow(scene: Scene, folder: str, init: bytes = b"", *natives: str) -> str:
    scene.write(f"{folder}/tensorflow/__init__.py", init)
    scene.write(f"{folder}/tensorflow/python/__init__.py", b"")
    record = "".join(f"tensorflow/{one},,\n" for one in ("__init__.py", "python/__init__.py", *natives))
    scene.write(f"{folder}/tensorflow-2.99.0.dist-info/RECORD", record.encode())
    return f"{scene.root}/{folder}"


def _two_openmp_runtimes(scene: Scene) -> Question:
    first = scene.library("conda/lib/libomp.so.5", soname="libomp.so.5")
    scene.library("lib/libiomp5-0a1b2c3d.so", soname="libiomp5-0a1b2c3d.so")
    op = scene.library("op.so", soname="op.so", needed=("libiomp5-0a1b2c3d.so",), runpath="$ORIGIN/lib")
    return Question(target=op, before=(first,))


def _another_framework(scene: Scene) -> Question:
    site = _tensorflow(scene, "site-packages", b"", _FRAMEWORK, "python/_pywrap_tfe.so")
    scene.library(f"site-packages/tensorflow/{_FRAMEWORK}", soname=_FRAMEWORK)
    scene.library("site-packages/tensorflow/python/_pywrap_tfe.so", needed=(_FRAMEWORK,), runpath="$ORIGIN/..")
    other = scene.library(f"other/{_FRAMEWORK}", soname=_FRAMEWORK)
    return Question(target="tensorflow", door="import", path=(site,), before=(other,))


def _left_over(scene: Scene) -> Question:
    broken = _tensorflow(scene, "old", b"import tensorflow.python\nimport a_module_that_is_not_here\n")
    return Question(target="tensorflow", door="import", path=(_tensorflow(scene, "site-packages"),), first=broken)


def _replaced(scene: Scene) -> Question:
    site = _tensorflow(scene, "site-packages")
    scene.write("site-packages/numpy/__init__.py", b"__version__ = '2.0.2'\n")
    old = scene.write("site-packages/numpy-2.0.2.dist-info/RECORD", b"numpy/__init__.py,,\n")
    folder = old.rpartition("/")[0]
    new = folder.replace("2.0.2", "1.26.4")
    return Question(target="tensorflow", door="import", path=(site,), replaced=("numpy", folder, new))


def _op_libraries(scene: Scene, *names: str) -> tuple[str, ...]:
    """Op libraries, each of which registers one op, and a framework that they are linked to."""
    framework = scene.compile(_FRAMEWORK, _DEFINES, f"-Wl,-soname,{_FRAMEWORK}")
    options = (framework, f"-Wl,-rpath,{scene.root}")
    return tuple(
        scene.compile(f"{chr(97 + i)}/roi_pooling.so", _OP % name, f"-DNUMBER={i}", *options)
        for i, name in enumerate(names)
    )


def _second_build(scene: Scene) -> Question:
    first, second = _op_libraries(scene, "RoiPooling", "RoiPooling")
    return Question(target=second, door="lost ops", before=(first,), registered=("RoiPooling",))


def _other_path(scene: Scene) -> Question:
    (first,) = _op_libraries(scene, "RoiPooling")
    link = scene.link("link.so", first)
    return Question(target=link, door="lost ops", before=(first,), registered=("RoiPooling",))


def _name_of_tensorflow(scene: Scene) -> Question:
    (library,) = _op_libraries(scene, "MatMul")
    return Question(target=library, door="lost ops", registered=("MatMul",))


CASES = (
    RuleCase("TFG701", _two_openmp_runtimes, warning=True),
    RuleCase("TFG703", _second_build, warning=True),
    RuleCase("TFG703-other-path", _other_path, warning=True),
    RuleCase("TFG703-name-of-tensorflow", _name_of_tensorflow, warning=True),
    RuleCase("TFG705", _another_framework, warning=True),
    RuleCase("TFG706", _left_over, warning=True),
    RuleCase("TFG707", _replaced, warning=True),
)
