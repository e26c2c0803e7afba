"""Messages of linkers, for those who build an op: GNU ld, gold, lld, and ld64 of macOS."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape


def _ld(kind: str, marks: str | tuple[str, ...], pattern: str, *, weight: int = 0, reach: int = 0) -> Shape:
    return shape(kind, marks, pattern, loader="ld", weight=weight, claims=True, reach=reach, lead=700)


SHAPES: tuple[Shape, ...] = (
    _ld(
        "link-undefined",
        "undefined reference to",
        r"(?:(?P<object>[\w./+-]{1,300}\.(?:o|a|so|cc|cpp)(?:\([\w.+-]{1,100}\))?)[^\n]{0,200}: )?undefined"
        r" reference to"
        r" ['\"]?(?P<symbol>[^'\"\n]{1,2000})",
    ),
    _ld(
        "link-undefined",
        "ld.lld: error: undefined symbol",
        r"ld\.lld: error: undefined symbol: (?P<symbol>[^\n]{1,2000})",
    ),
    _ld(
        "link-undefined",
        "undefined symbols for architecture",
        r"Undefined symbols for architecture \w{1,20}:\s{0,4}['\"](?P<symbol>[^'\"\n]{1,2000})['\"]",
        reach=2,
    ),
    _ld(
        "link-library",
        ("cannot find -l", "library not found for -l", "unable to find library -l", "library '", 'library "'),
        r"(?:cannot find|library not found for|unable to find library) -l:?(?P<object>[\w.+-]{1,100})"
        r"|ld: library ['\"](?P<library>[\w.+-]{1,100})['\"] not found",
    ),
    _ld(
        "exec-format",
        ("skipping incompatible", "in wrong format", "architecture of input file", "incompatible with"),
        r"skipping incompatible (?P<object>\S{1,500})|(?P<library>\S{1,500}): (?:error adding symbols: )?File in wrong"
        r" format|architecture of input file ['\"](?P<requirer>[^'\"\n]{1,500})['\"] is incompatible with"
        r"|\S{1,300} is incompatible with (?:elf)?\w{1,20}(?:$| output)",
        weight=1,
    ),
)
