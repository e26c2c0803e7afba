"""Causes behind the messages of dyld, the loader of macOS."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, in_packages, is_plugin, name, package_of, quoted
from tfguard.diagnosis.causes_nvidia import driver_missing, name_of_plugin, plugin
from tfguard.diagnosis.causes_symbols import undefined
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

_ARCH = re.compile(r"architecture|(?i:cpu type)|cpu-subtype|arm64e processes")
_NOT_MACHO = re.compile(r"not a mach-o file|not valid mach-o|unknown file type")
_SIGNATURE = re.compile(
    r"(?i)code[ -]?sign|for use in process|system policy|developer|damaged and|Team ID|cdhash|unsigned library"
)
_OBJECT = re.compile(
    r"file too short|wrong filetype|unloadable mach-o file type|link against (?:a )?(?:bundle|main)"
    r"|load a main executable|no dynamic access"
)
_CUT = re.compile(r"extends? beyond end of file|truncated|exceeds length of file|is too small|needed slice goes to")
_MALFORMED = re.compile(
    r"malformed|extends? beyond|truncated|fat header|load command|LC_[A-Z]|is too small|duplicate (?:linked|segment)"
    r"|page aligned|overlaps|__TEXT|filesize exceeds|segment permissions|SG_READ_ONLY|vm range|section '|out of order"
)
_PLATFORM = re.compile(r"incompatible platform|not built for platform|built for (?:a )?simulator")
_ABSENT = re.compile(r"no such file|image not found|not in dyld cache|no LC_RPATH|errno=2\b|not a file")
# Functions of Apple's own frameworks, by their first letters.
_APPLES = re.compile(r"^_(?:SSL|Sec|CF|CG|NS|IO|AudioUnit|objc_|os_unfair|os_log|dispatch_|kSec|kCF|vImage)[A-Za-z]")
# What lies there is a part of macOS, but for what Swift for TensorFlow is built to find there.
_SYSTEMS = re.compile(r"^/usr/lib/(?!swift/libswift(?:TensorFlow|Python))|^/System/Library/", re.IGNORECASE)
# Helpers of compilers (arithmetic of wide types, thread-locals) have three underscores too, and are no part of macOS.
_COMPILERS = re.compile(
    r"^___(?:add|sub|mul|div|mod|neg|pow|fix|float|ext|trunc|cmp|unord|eq|ne|lt|le|gt|ge|udiv|umod|ash|lsh|emutls)"
)


def tried(reason: str) -> tuple[tuple[str, str], ...]:
    """The candidates of a `tried:` or `Did find:` list: rows of (path, why not)."""
    rows: list[tuple[str, str]] = []
    for part in re.split(r"(?<=\)), (?=')", reason)[:60]:
        head, _, tail = part.partition("' (")
        if tail:
            rows.append((head.strip(" '\n"), tail.strip().removesuffix(")")))
    for line in reason.split("\n")[:20]:
        path, colon, why = line.strip().partition(": ")
        if colon and path.startswith(("/", "@", ".")) and "' (" not in line:
            rows.append((path, why))
    return tuple(dict.fromkeys(rows))


def library(said: Said, setting: Setting) -> list[Cause]:
    """Library not loaded: the reason tells which of the candidates was there, and what it was."""
    bad = _by_reason(said, said.errno, setting)
    if bad:
        return bad
    wanted = said.library
    base = os.path.basename(wanted)
    if base.startswith("libcuda."):
        return [driver_missing(base)]
    requirer = said.requirer or said.object
    if _SYSTEMS.match(wanted):
        return [
            _newer_than_here(said, requirer, f"{wanted} is a part of macOS itself, which this release does not have")
        ]
    if is_plugin(requirer):
        return [plugin(requirer, f"it needs {base}, which this TensorFlow does not have under that name")]
    stripped = Cause(
        code="TFG809",
        message="DYLD_LIBRARY_PATH does not reach Python: macOS takes it away from protected programs",
        why="System Integrity Protection removes DYLD_* where a script is started by /bin/sh, /usr/bin/env or"
        " Apple's Python",
        decides=(
            "what arrives",
            "python -c \"import os; print({k: v for k, v in os.environ.items() if k.startswith('DYLD')})\"",
        ),
        remedies=(
            Remedy(
                "Give the library an rpath instead.",
                f"install_name_tool -add_rpath DIR {quoted(requirer or 'FILE')} && codesign --force --sign -"
                f" {quoted(requirer or 'FILE')}",
            ),
        ),
        vain="switching System Integrity Protection off",
    )
    framework = "libtensorflow" in base
    missing = Cause(
        code="TFG801",
        message=f"{wanted or 'a needed library'} is not found"
        + (f"; {os.path.basename(requirer)} needs it" if requirer else ""),
        why="none of the run paths leads to a file of that name"
        + ("; its number is that of the TensorFlow it was built for" if framework else ""),
        rows=_rows(said),
        decides=(
            "the run paths, and where the file is",
            (
                f"otool -l {quoted(requirer or 'FILE')} | grep -A2 LC_RPATH; find / -name {quoted(base or 'NAME')}"
                f" 2>/dev/null"
            ),
        ),
        remedies=(
            *(
                (
                    Remedy(
                        "Install the op's or plugin's release for the installed TensorFlow, and import tensorflow"
                        " first."
                    ),
                )
                if framework
                else ()
            ),
            Remedy("Install the package that brings it, in one environment with what needs it."),
            Remedy(
                "Add its folder to the run paths, and sign the file anew.",
                f"install_name_tool -add_rpath DIR {quoted(requirer or 'FILE')} && codesign --force --sign -"
                f" {quoted(requirer or 'FILE')}",
            ),
        ),
        vain="a link of that name to another major version" if framework else "",
    )
    return (
        [stripped, missing]
        if setting.mentions("dyld_library_path", "dyld_fallback", "system integrity")
        else [missing, stripped]
    )


def reason(said: Said, setting: Setting) -> list[Cause]:
    """Only a candidate's reason is left, or a whole list of them."""
    bad = _by_reason(said, said.errno, setting)
    if bad:
        return bad
    path = said.object
    if path and "/" in path:
        return [
            Cause(
                code="TFG110",
                message=f"{os.path.basename(path)} does not exist at the path it is opened by",
                why="every candidate that dyld tried is missing, the path itself among them",
                rows=_rows(said),
                decides=("whether it exists", f"ls -l {quoted(path)}"),
                remedies=(Remedy("Build it, or give the path where it lies."),),
            )
        ]
    return library(said, setting)


def not_found(said: Said, setting: Setting) -> list[Cause]:
    """`image not found`, with or without a path before it."""
    return reason(said, setting)


def _rows(said: Said) -> tuple[tuple[str, str], ...]:
    rows = [(label, fact) for label, fact in (("needed", said.library), ("needed by", said.requirer)) if fact]
    rows += [("tried", f"{path}: {why}") for path, why in tried(said.errno)[:6]]
    return tuple(rows)


def _by_reason(said: Said, text: str, setting: Setting) -> list[Cause]:
    path = _blamed(text) or said.object
    base = os.path.basename(path) or name(said)
    rows = _rows(said)
    if _ARCH.search(text):
        have, need = _have_need(said, text)
        return [
            Cause(
                code="TFG802",
                message=f"{base} is built for another processor{f' ({have})' if have else ''} than Python runs as"
                + (f" ({need})" if need else ""),
                why="a process is of one architecture throughout; under Rosetta that is x86_64, also on Apple silicon",
                rows=rows,
                decides=(
                    "both architectures",
                    f"python -c 'import platform; print(platform.machine())'; lipo -archs {quoted(path or 'FILE')}",
                ),
                remedies=(
                    Remedy(
                        "Use a Python of the machine's own architecture, and install the package with it.",
                        "arch -arm64 python3 -m venv env && env/bin/python -m pip install tensorflow",
                    ),
                    Remedy(
                        "Install the package again, past the cache.",
                        "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
                    ),
                ),
            )
        ]
    if _NOT_MACHO.search(text):
        elf = "0x7F 0x45 0x4C 0x46" in text
        return [
            Cause(
                code="TFG808",
                message=f"{base} is not a macOS library"
                + (": it is one for Linux" if elf else "; most likely it is one for Linux"),
                why="its first bytes are those of ELF"
                if elf
                else "a .so in a wheel tagged 'any', or in a repository, mostly comes from Linux",
                rows=rows,
                decides=("what it is", f"file {quoted(path or 'FILE')}"),
                remedies=(Remedy("Install the build for macOS, or build it on this machine."),),
            )
        ]
    if _SIGNATURE.search(text):
        return [_signature(path, base, text, rows)]
    if _PLATFORM.search(text):
        return [
            Cause(
                code="TFG814",
                message=f"{base} is built for another platform than macOS",
                why="its build version command says so",
                rows=rows,
                remedies=(Remedy("Build it for macOS."),),
            )
        ]
    if _OBJECT.search(text):
        return [
            Cause(
                code="TFG807",
                message=f"{base} is no dynamic library: an object file, or cut off"
                if "short" in text or "filetype" in text
                else f"{base} is of a type that cannot be loaded here: an object file, a bundle or a program",
                why="dyld up to macOS 11 says 'file too short' of every file below 4096 bytes, as `gcc -c` makes them"
                if "short" in text
                else "the type in its header",
                rows=rows,
                decides=("what it is", f"file {quoted(path or 'FILE')}"),
                remedies=(Remedy("Link it.", f"clang -shared -undefined dynamic_lookup SOURCE.c -o {quoted(base)}"),),
            )
        ]
    if _malformed(text):
        cut = _CUT.search(text) is not None
        return [
            Cause(
                code="TFG810" if "LC_RPATH" in text else "TFG811" if cut else "TFG806",
                message=f"{base} has the same LC_RPATH twice, which macOS refuses since 15.4"
                if "LC_RPATH" in text
                else f"{base} is {'cut off' if cut else 'malformed, or put together wrongly'}",
                why="a table of the file does not fit the file",
                rows=rows,
                decides=("what is wrong in it", f"python -m tfguard show {quoted(path or 'FILE')}"),
                remedies=(
                    Remedy("Install or build it again; load it only when it is written completely."),
                    *(
                        (
                            Remedy(
                                "Take the second run path away, and sign the file anew.",
                                f"install_name_tool -delete_rpath RPATH {quoted(path or 'FILE')} && codesign --force"
                                f" --sign - {quoted(path or 'FILE')}",
                            ),
                        )
                        if "LC_RPATH" in text
                        else ()
                    ),
                ),
            )
        ]
    return []


def _malformed(text: str) -> bool:
    return bool(_MALFORMED.search(text)) and "no LC_RPATH" not in text


def _blamed(text: str) -> str:
    """The candidate that was there and bad."""
    for path, why in tried(text):
        if not _ABSENT.search(why) or _SIGNATURE.search(why):
            return path
    return ""


def _have_need(said: Said, text: str) -> tuple[str, str]:
    match = re.search(r"have \(?'([^']{1,60})'\)?, need \(?'([^)\n]{1,60}?)'?\)", text)
    if match is None:
        return said.have, said.need.strip("'")
    return match[1], match[2].replace("' or '", " or ")


def _signature(path: str, base: str, text: str, rows: tuple[tuple[str, str], ...]) -> Cause:
    file = quoted(path or "FILE")
    if "Team ID" in text:
        why = "the program that loads it is signed and takes only libraries of its own team"
        remedies: tuple[Remedy, ...] = (
            Remedy("Use a Python that is not hardened (Homebrew, conda, pyenv), or sign both with one identity."),
            Remedy("Give the host program the entitlement com.apple.security.cs.disable-library-validation."),
        )
    elif "system policy" in text:
        why = "the file is in quarantine, as browsers and AirDrop leave what they bring"
        remedies = (Remedy("Take the quarantine away.", f"xattr -d com.apple.quarantine {file}"),)
    else:
        why = "native code on Apple silicon has to carry at least an ad-hoc signature; an edited file needs a new one"
        remedies = (Remedy("Sign it.", f"codesign --force --sign - {file}"),)
    return Cause(
        code="TFG805",
        message=f"the code signature of {base} is missing, broken, or not accepted by this program",
        why=why,
        rows=rows,
        decides=("the signature", f"codesign -dv {file}"),
        remedies=remedies,
        vain="switching System Integrity Protection off",
    )


def symbol(said: Said, setting: Setting) -> list[Cause]:
    """Symbol not found: of the system (too old a macOS), of a plugin, of another ABI, release or build."""
    raw, requirer, expected = said.symbol, said.requirer or said.object, said.library
    too_new = "built for" in said.detail or setting.mentions("newer than running os", "which was built for mac os x")
    systems = bool(_SYSTEMS.match(expected)) or (not expected and _looks_systems(raw))
    if is_plugin(requirer):
        return [
            plugin(requirer, f"{raw} is not in the installed TensorFlow: {name_of_plugin(requirer)} is for another one")
        ]
    if too_new or systems:
        return [
            _newer_than_here(
                said,
                requirer,
                f"{raw} is looked for in the system's own {os.path.basename(expected) or 'libraries'}, which do"
                f" not have it yet" + (f"; {said.detail.strip(' ()')}" if said.detail else ""),
            )
        ]
    causes = undefined(said, setting)
    first = causes[0].code if causes else ""
    if first == "TFG501" and not re.search(r"cxx11|Ss|Sb[IS]", raw):
        causes = causes[1:]  # libc++ has one spelling of a string only, and none of it in what a function gives back
        first = causes[0].code if causes else ""
    published = in_packages(requirer) and package_of(requirer).startswith(("tensorflow_", "horovod"))
    if first in ("TFG504", "TFG501", "TFG415") or (first == "TFG502" and (published or "lts_" in raw)):
        return causes
    return [
        Cause(
            code="TFG803",
            message=f"{os.path.basename(requirer) or 'the library'} wants {raw or 'a symbol'}, which the library"
            f" that is loaded does not export",
            why="it was built against another build or release of that library"
            + (f" ({expected})" if expected else ""),
            rows=_rows(said),
            decides=(
                "what the library exports",
                f"nm -gU {quoted(expected or 'LIBRARY')} | grep {quoted(raw or 'SYMBOL')}",
            ),
            remedies=(Remedy("Build or install both for each other: from one source, for one release."),),
        ),
        *causes[:1],
    ]


def _newer_than_here(said: Said, requirer: str, why: str) -> Cause:
    return Cause(
        code="TFG804",
        message=f"{os.path.basename(requirer) or 'the library'} is built for a newer macOS than this one",
        why=why,
        rows=_rows(said),
        decides=(
            "this macOS, and the one it is built for",
            f"sw_vers; otool -l {quoted(requirer or 'FILE')} | grep -A4 -E 'LC_BUILD_VERSION|LC_VERSION_MIN'",
        ),
        remedies=(
            Remedy("Update macOS, or install an older release of the package."),
            Remedy(
                "Build it with a lower deployment target.",
                "MACOSX_DEPLOYMENT_TARGET=10.15 python -m pip install --no-binary :all: PACKAGE",
            ),
        ),
    )


def _looks_systems(raw: str) -> bool:
    if _APPLES.match(raw):
        return True
    return raw.startswith("___") and not raw.startswith("___Z") and not _COMPILERS.match(raw)


def min_os(said: Said, setting: Setting) -> list[Cause]:
    """The addendum that dyld gives of files built for a newer system; a load command that it would have to know."""
    if "is unknown" in said.detail:
        return [_newer_than_here(said, said.object, f"{said.detail}: a later dyld knows it")]
    return symbol(said, setting)
