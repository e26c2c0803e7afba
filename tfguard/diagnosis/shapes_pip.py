"""Messages of pip, uv and Poetry about what they cannot install, or have installed against somebody's wish."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape


def _pip(kind: str, marks: str | tuple[str, ...], pattern: str, *, weight: int = 0, lead: int = 250) -> Shape:
    return shape(kind, marks, pattern, loader="pip", weight=weight, claims=True, lead=lead)


SHAPES: tuple[Shape, ...] = (
    _pip(
        "wheel-tag",
        "not a supported wheel",
        r"(?P<object>[\w.+-]{1,200}\.whl) is not a supported wheel on this platform",
        weight=0,
    ),
    _pip("wheel-tag", "not a supported wheel", r"not a supported wheel", weight=0),
    _pip(
        "no-distribution",
        ("no matching distribution", "no distributions at all"),
        r"(?:No matching distribution|No distributions at all) found for"
        r" (?P<object>(?:tensorflow|tf)[\w.=<>~!-]{0,60})",
        weight=1,
    ),
    _pip(
        "no-distribution",
        ("satisfies the requirement", "satisfy the requirement"),
        r"Could not find (?:a version|any downloads) that satisf(?:ies|y) the requirement"
        r" (?P<object>(?:tensorflow|tf)[\w.=<>~!-]{0,60})",
        weight=1,
    ),
    _pip(
        "requirement",
        "which is incompatible",
        r"(?P<object>[A-Za-z][\w.-]{0,80}) (?P<version>[\w.+-]{1,60}) (?:requires|has requirement)"
        r" (?P<need>[A-Za-z][\w.-]{0,60}[^,\n]{0,80}(?:,[<>=!~]{1,3}[\w.*]{1,20}){0,5}),"
        r" but you(?: have|'ll have) (?P<have>[A-Za-z][\w.-]{0,60} [\w.+-]{1,40}) which is incompatible",
        weight=1,
        lead=500,
    ),
    _pip(
        "no-distribution",
        "requires a different python",
        r"Package ['\"](?P<object>[\w.-]{1,80})['\"] requires a different Python: (?P<have>[\w.]{1,20}) not in"
        r" ['\"](?P<need>[^'\"\n]{1,60})",
    ),
    _pip(
        "no-distribution",
        "that require a different python",
        r"Ignored the following versions that require a different python version: (?P<version>[\w.]{1,20})",
        weight=2,
    ),
    _pip(
        "no-distribution",
        ("has no wheels with a matching", "because it doesn't have", "source distribution or wheel"),
        r"(?P<object>[A-Za-z][\w.-]{1,60}(?:==[\w.]{1,20})?)['\"]? (?:has no wheels with a matching|can't be"
        r" installed because"
        r" it doesn't have|doesn't have a source distribution or wheel)",
    ),
    _pip(
        "no-distribution",
        "unable to find installation candidates",
        r"Unable to find installation candidates for (?P<object>[\w.-]{1,80})",
    ),
    _pip(
        "no-distribution",
        ("packagesnotfounderror", "from current channels", "resolvepackagenotfound", "libmambaunsatisfiableerror"),
        r"PackagesNotFoundError|not available from current channels|ResolvePackageNotFound"
        r"|LibMambaUnsatisfiableError",
        weight=1,
    ),
    _pip(
        "no-distribution",
        ("unsatisfiableerror", "found to be incompatible"),
        r"UnsatisfiableError: |specifications were found to be incompatible with (?:the existing python"
        r"|each other|your system)",
        weight=1,
    ),
    _pip(
        "no-distribution",
        ("version solving failed", "resolutionimpossible", "no solution found when", "resolutionfailure"),
        r"version solving failed|ResolutionImpossible|No solution found when resolving|ResolutionFailure",
        weight=2,
    ),
    _pip(
        "broken-off",
        ("no space left on device", "long path support"),
        r"(?P<errno>No space left on device|Long Path support)",
        weight=1,
    ),
)
