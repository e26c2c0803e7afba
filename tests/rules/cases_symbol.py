"""Cases of the rules about undefined symbols: small C files whose names are those that C++ would give."""

from __future__ import annotations

from collections.abc import Callable

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase

_FRAMEWORK = "libtensorflow_framework.so.2"
_OP_KERNEL = "_ZN10tensorflow8OpKernelC2EPNS_20OpKernelConstructionE"
_ATTR_NEW = "_ZN10tensorflow12OpDefBuilder4AttrENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
_ATTR_OLD = "_ZN10tensorflow12OpDefBuilder4AttrESs"
_STATUS = "_ZNK4absl12lts_{}6Status8ToStringENS0_18StatusToStringModeE"

LayOut = Callable[[Scene], Question]


def _defining(*names: str) -> str:
    return "".join(f"int {name}(void) {{ return 1; }}\n" for name in names)


def _calling(*names: str) -> str:
    calls = "".join(f"    sum += {name}();\n" for name in names)
    return (
        "".join(f"int {name}(void);\n" for name in names)
        + f"int f(void) {{\n    int sum = 0;\n{calls}    return sum;\n}}\n"
    )


def _tensorflow(scene: Scene, *names: str, version: str = "2.99.0") -> str:
    """A folder of packages with a TensorFlow whose framework library exports these names; the library's path."""
    scene.write("site-packages/tensorflow/__init__.py", b"")
    scene.write(f"site-packages/tensorflow-{version}.dist-info/RECORD", b"tensorflow/__init__.py,,\n")
    return scene.compile(f"site-packages/tensorflow/{_FRAMEWORK}", _defining(*names), f"-Wl,-soname,{_FRAMEWORK}")


def _op(*missing: str, exported: tuple[str, ...] = (_OP_KERNEL,), linked: bool = True, **fields: object) -> LayOut:
    """An op that calls these, in a process that has loaded a framework which exports those."""

    def lay_out(scene: Scene) -> Question:
        framework = _tensorflow(scene, *exported)
        options = ("-Wl,--no-as-needed", framework) if linked else ()
        op = scene.compile("op.so", _calling(*missing), *options)
        place = {"before": (framework,)} | fields
        return Question(target=op, door="op", path=(f"{scene.root}/site-packages",), **place)  # type: ignore[arg-type]

    return lay_out


def _everyone_sees(scene: Scene) -> Question:
    """An op without the framework among its needed libraries, where the framework is open to all."""
    question = _op(_OP_KERNEL, linked=False)(scene)
    return Question(target=question.target, door="op", path=question.path, before_global=question.before)


def _before_the_import(scene: Scene) -> Question:
    return Question(target=scene.compile("op.so", _calling(_OP_KERNEL)))


def _other_python(name: str) -> LayOut:
    return lambda scene: Question(target=scene.compile(name, _calling("PyOfTomorrow_New", "_PyOfTomorrow_Get")))


def _stub_on_path(scene: Scene) -> Question:
    """LD_LIBRARY_PATH leads to a framework that exports nothing of what the op needs."""
    scene.compile(f"lib/{_FRAMEWORK}", _defining("nothing"), f"-Wl,-soname,{_FRAMEWORK}")
    op = scene.compile("op.so", _calling(_OP_KERNEL), "-Wl,--no-as-needed", f"{scene.root}/lib/{_FRAMEWORK}")
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})


def _two_copies(scene: Scene) -> tuple[str, str]:
    """An op whose run path leads to the right copy of a library; and the wrong copy."""
    right = scene.compile("libpart.so.1", _defining("part_new"), "-Wl,-soname,libpart.so.1")
    wrong = scene.compile("old/libpart.so.1", _defining("part_old"), "-Wl,-soname,libpart.so.1")
    op = scene.compile("op.so", _calling("part_new"), "-Wl,--no-as-needed", right, "-Wl,-rpath,$ORIGIN")
    return op, wrong


def _wrong_copy_on_path(scene: Scene) -> Question:
    op, _ = _two_copies(scene)
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/old"})


def _wrong_copy_loaded(scene: Scene) -> Question:
    op, wrong = _two_copies(scene)
    return Question(target=op, before=(wrong,))


def _alone(*missing: str) -> LayOut:
    return lambda scene: Question(target=scene.compile("op.so", _calling(*missing)))


def _of_other_release(scene: Scene) -> Question:
    """A symbol with a version, wanted of a library that is found without it."""
    script = scene.write("versions.map", b"PART_1 { global: *; };")
    options = (f"-Wl,--version-script={script}", "-Wl,-soname,libpart.so.1")
    full = scene.compile("full/libpart.so.1", _defining("part_old", "part_new"), *options)
    op = scene.compile("op.so", _calling("part_new"), "-Wl,--no-as-needed", full, f"-Wl,-rpath,{scene.root}/lib")
    scene.compile("lib/libpart.so.1", _defining("part_old"), *options)
    return Question(target=op)


CASES = (
    RuleCase("TFG501", _op(_ATTR_OLD, exported=(_ATTR_NEW,))),
    RuleCase("TFG501-tensorflow-is-old", _op(_ATTR_NEW, exported=(_ATTR_OLD,))),
    RuleCase("TFG502", _op(_STATUS.format("20230802"), exported=(_STATUS.format("20250814"),))),
    RuleCase("TFG502-function-gone", _op("_ZN10tensorflow11TraceStringEi")),
    RuleCase("TFG503", _op(_OP_KERNEL, linked=False)),
    RuleCase("TFG503-loads-all-the-same", _everyone_sees, warning=True),
    RuleCase("TFG503-before-the-import", _before_the_import),
    RuleCase("TFG504", _other_python("op.so")),
    RuleCase("TFG504-named", _other_python("op.cpython-39-x86_64-linux-gnu.so")),
    RuleCase("TFG505", _wrong_copy_on_path),
    RuleCase("TFG505-already-loaded", _wrong_copy_loaded),
    RuleCase("TFG505-framework", _stub_on_path),
    RuleCase("TFG506", _alone("_Z24RoiPoolingKernelLauncherPKfiiPf", "helper")),
    RuleCase("TFG506-cuda", _alone("__cudaPushCallConfiguration")),
    RuleCase("TFG506-plain", _alone("nowhere_defined")),
    RuleCase("TFG506-other-release", _of_other_release),
)
