"""Messages of dyld, the loader of macOS, in the wording of each of its eras."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape

_REACH = 8
_UUID = r"(?:<[^>\n]{1,60}> ?)?"
_FROM = (
    rf"(?:[\n ]{{0,6}}Referenced from: ?{_UUID}'?(?P<requirer>[^\n'(]{{1,600}}[^\n'( ])'?"
    r"(?P<detail> ?\([^)\n]{1,120}\))?"
)


def _dyld(
    kind: str, marks: str | tuple[str, ...], pattern: str, *, versions: str = "all", weight: int = 0, reach: int = 0
) -> Shape:
    return shape(kind, marks, pattern, loader="dyld", versions=versions, weight=weight, reach=reach, before=True)


SHAPES: tuple[Shape, ...] = (
    _dyld("dyld-reason", "codesigning", r"(?P<errno>Namespace CODESIGNING[^\n]{0,60})", versions="crash reports"),
    _dyld(
        "dyld-symbol",
        "symbol not found",
        r"(?:weak-def )?symbol not found(?: in flat"
        r" namespace)?(?:: ?|(?= ?[('\"_]) ?)"
        r"[('\"]{0,2}(?P<symbol>[A-Za-z_$][\w$.]{0,2000})[)'\"]{0,2}"
        rf"{_FROM})?(?:[\n ]{{0,6}}Expected (?:in|as): ?{_UUID}'?(?P<library>[^\n'(]{{1,500}}[^\n'( ])'?)?",
        reach=_REACH,
    ),
    _dyld(
        "dyld-symbol",
        "can't resolve symbol",
        r"can't resolve symbol (?P<symbol>\S{1,800}) in (?P<object>.{1,500}?) because dependent dylib"
        r" (?P<library>.{1,500}?) could not be loaded",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-library",
        "library not loaded",
        r"Library not loaded:"
        r" ?'?(?P<library>[^\s'\"]{1,500})?'?"
        rf"{_FROM})?(?:[\n ]{{0,6}}Reason: ?(?P<errno>[^\n]{{1,5000}}(?:\n[^\n]{{1,1000}})?))?",
        reach=_REACH,
    ),
    _dyld(
        "dyld-tried",
        ("tried:", "did find:"),
        r"(?:no suitable image found\.? ?)?(?:tried:|Did"
        r" find:) ?\n?"
        r"(?P<errno>[^\n]{1,6000}(?:\n[^\n]{1,1500}){0,3})",
        reach=_REACH,
    ),
    _dyld(
        "dyld-reason",
        "wrong architecture",
        r"(?P<errno>mach-o, but wrong architecture)",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-reason",
        ("incompatible architecture", "missing compatible architecture"),
        r"(?P<errno>(?:mach-o file|fat file),? but (?:is an incompatible|missing compatible) architecture"
        r"(?: ?\(have \(?'(?P<have>[^']{1,60})'\)?, need \(?(?P<need>'[^)\n]{1,80}'))?)",
        versions="12 and later",
    ),
    _dyld(
        "dyld-reason",
        "incompatible cpu-subtype",
        r"(?P<errno>incompatible cpu-subtype: ?0x[0-9A-F]+) in (?P<object>\S{1,500})",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-reason",
        "no matching architecture",
        r"(?P<errno>no matching architecture in universal wrapper)",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-reason",
        "arm64e processes",
        r"(?P<errno>arm64 dylibs cannot be loaded into arm64e processes)",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-reason",
        ("unknown file type", "not a mach-o file", "not valid mach-o"),
        r"(?P<errno>unknown file type, first eight bytes:(?: 0x[0-9A-F]{2}){1,8}"
        r"|not a mach-o file"
        r"|slice is not valid mach-o file)",
    ),
    _dyld(
        "dyld-reason",
        "code signature",
        r"(?P<errno>code signature (?:in .{1,700}? )?(?:not valid for use in process|invalid)[^\n]{0,400}"
        r"|code signature does not cover entire file[^\n]{0,200}|segment outside of code signature)",
    ),
    _dyld(
        "dyld-reason",
        "code signing blocked",
        r"(?P<errno>code signing blocked mmap\(\) of '?(?P<object>[^'\n]{1,500}))",
    ),
    _dyld(
        "dyld-reason",
        (
            "disallowed by system policy",
            "team ids",
            "no cdhash",
            "no team id",
            "unsigned library",
            "valid for use in process",
            "cs_invalid_page",
        ),
        r"(?P<errno>library load disallowed by system policy|different Team IDs|mapped file has no (?:cdhash|Team"
        r" ID)|Trying to load an unsigned library|not valid for use in process|CODE SIGNING: cs_invalid_page)",
    ),
    _dyld(
        "dyld-reason",
        "malformed mach-o",
        r"(?P<errno>malformed mach-o(?: image)?: ?[^\n]{0,300})",
    ),
    _dyld(
        "dyld-reason",
        (
            "beyond end of",
            "segment '",
            "range of segment",
            "load commands",
            "load command",
            "lc_rpath",
            "lc_uuid",
            "truncated fat file",
            "fat header",
            "slice is not page aligned",
            "__text segment",
            "filesize exceeds vmsize",
            "lc_id_dylib",
            "overlaps segment",
            "duplicate linked dylib",
        ),
        r"(?P<errno>segment '[^'\n]{1,40}' [^\n]{1,100}|slice \d+ extends beyond end of file|\w+ slice extends"
        r" beyond end of file"
        r"|slice headers extend beyond end of file|(?<!ELF )load commands? (?!0x8)[^\n]{1,120}|malformed load"
        r" command[^\n]{0,100}|duplicate LC_RPATH '[^'\n]{1,200}'"
        r"|duplicate linked dylib '[^'\n]{1,200}'|missing LC_UUID load command|truncated fat file[^\n]{0,100}|fat"
        r" header [^\n]{1,100}"
        r"|slice is not page aligned|missing __TEXT segment|MH_DYLIB is missing LC_ID_DYLIB|vm range of segment"
        r" [^\n]{1,100}"
        r"|file range of segment [^\n]{1,100})",
    ),
    _dyld(
        "dyld-reason",
        "incompatible platform",
        r"(?P<errno>mach-o file(?: \([^)\n]{1,500}\))?, but incompatible platform(?: ?\(have"
        r" \(?'(?P<have>[^']{1,40})'\)?, need \(?'(?P<need>[^')]{1,40}))?)",
    ),
    _dyld("dyld-reason", "built for platform", r"(?P<errno>mach-o, but not built for platform (?P<need>\w+))"),
    _dyld(
        "dyld-reason",
        ("unloadable mach-o", "wrong filetype"),
        r"(?P<errno>unloadable mach-o file type \d+|mach-o, but wrong filetype)",
    ),
    _dyld(
        "dyld-reason",
        (
            "link against bundle",
            "link against a bundle",
            "link against a main",
            "link against main",
            "load a main exec",
            "no dynamic access",
        ),
        r"(?P<errno>cannot link against (?:a )?(?:bundle|main executable)|can't load a main executable|image marked for"
        r" no dynamic access)(?: '(?P<object>[^'\n]{1,500}))?",
    ),
    _dyld("dyld-reason", "bad cpu type", r"(?P<errno>[Bb]ad CPU type in executable)"),
    _dyld(
        "dyld-reason",
        ("developer cannot be verified", "unidentified developer", "damaged and can't be opened"),
        r"(?P<errno>developer cannot be verified|unidentified developer|is damaged and can't be opened)",
    ),
    _dyld(
        "dyld-library",
        "library missing",
        r"DYLD, (?:Code 1|\[0x1\]) Library missing",
        versions="crash reports",
        weight=1,
    ),
    _dyld(
        "dyld-symbol",
        ("symbol missing", "missing symbol called"),
        r"DYLD, (?:Code 4|\[0x4\]) Symbol missing|missing symbol called",
        versions="crash reports",
        weight=1,
    ),
    _dyld("dyld-reason", "lc_rpath's found", r"(?P<errno>no LC_RPATH's found)", weight=1),
    _dyld(
        "dyld-not-found",
        "image not found",
        r"image not found",
        versions="10.x and 11",
        weight=1,
    ),
    _dyld(
        "dyld-min-os",
        "is unknown",
        r"(?P<detail>load command 0x8[0-9A-F]{7} is unknown)",
        versions="10.x and 11",
    ),
    _dyld(
        "dyld-min-os",
        ("built for macos", "built for mac os x"),
        r"\((?P<detail>(?:which was )?built for (?:macOS|Mac OS X) (?P<need>[\d.]+)[^)\n]{0,60})\)",
        weight=1,
    ),
)
