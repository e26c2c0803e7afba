"""What hosts of other languages than Python say of a library that they load: Java, Node."""

from __future__ import annotations

from tfguard.diagnosis import translated
from tfguard.diagnosis.shape import Shape, shape


def _host(kind: str, marks: str | tuple[str, ...], pattern: str, *, loader: str = "java", weight: int = 0) -> Shape:
    return shape(kind, marks, pattern, loader=loader, weight=weight, lead=700)


SHAPES: tuple[Shape, ...] = (
    _host(
        "host-no-native",
        "cannot find tensorflow native library",
        r"Cannot find (?P<object>TensorFlow) native library for OS: (?P<have>\w{1,20}), architecture:"
        r" (?P<need>\w{1,20})",
    ),
    _host(
        "missing-words",
        "in java.library.path",
        r"no (?P<object>\w{1,60}) in java\.library\.path",
        weight=1,
    ),
    _host("dll-words", "find dependent libraries", r"Can't find dependent libraries"),
    _host(
        "dll-bad",
        "can't load",
        r"(?P<detail>can't load (?:this|[\w -]{2,20}) \.dll (?:\([^)]{1,60}\) )?on an? [\w -]{2,30} platform)",
    ),
    _host(
        "wrong-machine",
        "can't load",
        r"can't load (?:this|(?P<have>[\w -]{2,20})) \.so (?:\([^)]{1,60}\) )?on an? (?P<need>[\w -]{2,30}) platform",
    ),
    _host(
        "dll-bad",
        ("badimageformatexception", "8007000b"),
        r"BadImageFormatException|0x8007000B",
        loader=".NET",
    ),
    _host("wrong-class", "word width mismatch", r"architecture word width mismatch"),
    _host(
        "dll-load-failed",
        (*translated.MODULE_NOT_FOUND[2:], "specified module could not be found"),
        rf"^(?:Uncaught )?(?:Error: )?(?P<detail>(?:The specified module could not be found"
        rf"|{translated.any_of(translated.MODULE_NOT_FOUND[2:])}).{{0,200}})",
        loader="windows",
        weight=1,
    ),
    _host(
        "missing-words",
        (".node'", '.node"'),
        r"Cannot find module ['\"](?P<object>[^'\"\n]{1,500}\.node)['\"]",
        loader="node",
        weight=1,
    ),
)
