"""What the whole of a text tells of the machine it comes from: Setting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tfguard.diagnosis.frames import natives
from tfguard.diagnosis.text import Text

_IMPORT = re.compile(r"(?:^|[;\"'>]|\s)(?:import|from) ([a-z_][\w]{0,40})")
_FRAME = re.compile(r"file ['\"](?P<path>[^'\"\n]{1,400}\.py)['\"], line \d+")
_RELEASES = re.compile(
    r"(?:^|[^\w.-])(tensorflow|tf|python|numpy|protobuf|keras|glibc|macos|cuda|cudnn)(?: version)?["
    r" :=v]{1,4}(\d{1,4}(?:\.\d+){1,3})"
)
_SO = re.compile(r"\.so\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The machine and the moment, as far as the text shows them; False and "" where it does not.

    `system` is "windows", "macos", "android" or "linux". `imports` are the packages that the text imports, in order,
    `frames` the Python files of its tracebacks, `natives` the libraries of its native stacks, innermost first,
    `releases` rows of (what, version), `distributions` those of TensorFlow that a list of pip's names, `requirers`
    those that pip says miss something. `whole` is the text in lower case.
    """

    whole: str
    system: str = ""
    arm: bool = False
    emulated: bool = False
    musl: bool = False
    op_load: bool = False
    imports: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    natives: tuple[str, ...] = ()
    releases: tuple[tuple[str, str], ...] = ()
    distributions: tuple[str, ...] = ()
    requirers: tuple[str, ...] = ()

    def mentions(self, *words: str) -> bool:
        """Whether one of these (in lower case) is in the text."""
        return any(word in self.whole for word in words)


_MACOS = (
    "/users/",
    "dlopen(/",
    ".dylib",
    "darwin",
    "dyld",
    "macosx",
    "macos",
    "mach-o",
    "/library/frameworks",
    "zsh: ",
)
_WINDOWS = (":\\", "dll load failed", "winerror", ".pyd", "_win_amd64", "appdata", "windows 10", "windows 11", "win32")
_ARM = (
    "aarch64",
    "arm64",
    "armv7",
    "armhf",
    "raspberry",
    "jetson",
    "graviton",
    "apple silicon",
    "apple m1",
    "m1 ",
    "m2 ",
)
_EMULATED = ("qemu", "rosetta", "uncaught target signal", "linux/amd64) does not match", "box64", "fex-emu")
_OP_LOAD = ("load_op_library", "tf_loadlibrary", "notfounderror", "load_library(")


def setting_of(text: Text) -> Setting:
    """The setting of a text."""
    whole = text.whole
    imports: dict[str, None] = {}
    frames: dict[str, None] = {}
    releases: dict[tuple[str, str], None] = {}
    for line in text.low:
        if len(line) > 2000:
            continue
        if len(imports) < 60 and ("import" in line):
            imports.update(dict.fromkeys(one[1] for one in _IMPORT.finditer(line)))
        if len(frames) < 200 and "line " in line:
            frames.update(dict.fromkeys(one["path"] for one in _FRAME.finditer(line)))
        if len(releases) < 20:
            releases.update(dict.fromkeys((one[1], one[2]) for one in _RELEASES.finditer(line)))
    return Setting(
        whole=whole,
        system=_system(whole),
        arm=any(word in whole for word in _ARM),
        emulated=any(word in whole for word in _EMULATED),
        musl="alpine" in whole or "musl" in whole,
        op_load=any(word in whole for word in _OP_LOAD),
        imports=tuple(imports),
        frames=tuple(frames),
        natives=natives(text.lines),
        releases=tuple(releases),
        distributions=_distributions(text.low),
        requirers=_requirers(text.low),
    )


# Distributions whose wheels hold the folder tensorflow/ itself, as pip's freeze, list and show write them.
_OURS = r"(?:tensorflow|tensorflow[-_](?:gpu|cpu|rocm|directml)|tf[-_]nightly(?:[-_](?:gpu|cpu))?|intel[-_]tensorflow)"
_LISTED = re.compile(rf"(?P<name>{_OURS})(?:==| )\d[\w.+-]{{0,40}}$|name: (?P<shown>{_OURS})$")


def _distributions(low: tuple[str, ...]) -> tuple[str, ...]:
    found = (_LISTED.match(line) for line in low if line.startswith(("tensorflow", "tf", "intel", "name: ")))
    return tuple(dict.fromkeys((one["name"] or one["shown"]).replace("_", "-") for one in found if one is not None))


_ASKS = re.compile(
    r"(?:error: )?(?P<name>(?:tensorflow|tf[-_]nightly)(?:[-_](?:gpu|cpu|intel|macos|rocm|nightly|aarch64)){0,4})"
    r" [\w.+-]{1,40} (?:requires|has requirement)"
)


def _requirers(low: tuple[str, ...]) -> tuple[str, ...]:
    found = (_ASKS.match(line) for line in low if line.startswith(("tensorflow", "tf", "error: t")))
    return tuple(dict.fromkeys(one["name"] for one in found if one is not None))


def _system(whole: str) -> str:
    if "/data/data/" in whole or "dlopen failed:" in whole:
        return "android"
    if any(word in whole for word in _WINDOWS):
        return "windows"
    if any(word in whole for word in _MACOS):
        return "macos"
    return "linux" if "/lib/" in whole or "/usr/" in whole or _SO.search(whole) else ""
