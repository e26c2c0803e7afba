"""The checks that dyld of macOS 12 and later makes on one file, in its order and with its words (dyld.md §3, §10)."""

from __future__ import annotations

import errno
from typing import NamedTuple

from tfguard.hosts.mac import Mac
from tfguard.image import Damage
from tfguard.loader.dyld_structure import refused_structure, refused_universal
from tfguard.macho_image import (
    CPU_ARM64,
    MH_BUNDLE,
    MH_DYLIB,
    MH_EXECUTE,
    MH_NO_DYNAMIC_ACCESS,
    PLATFORM_MACOS,
    MachoHead,
    MachoImage,
    MachoSlice,
    architecture_name,
    platform_name,
)


class Refusal(NamedTuple):
    """Why a file is not taken: the check by its name and number, and dyld's text for it.

    `text` is None where what is said hangs on the kernel. `certain` is false where the outcome does.
    """

    kind: str
    rule: str
    text: str | None
    certain: bool = True
    detail: str = ""


MISSING = "no such file"


def refused_stat(head: MachoHead, mac: Mac) -> Refusal | None:
    """What is no file, or cannot be looked at (D-10)."""
    if head.errno in (errno.ENOENT, 0) and head.errno:
        return Refusal("missing", "D-10", MISSING)
    if head.errno == errno.EACCES:
        # stat(2) goes well where only open(2) is refused
        return Refusal("permission", "D-10", f"open() failed with errno={head.errno}", certain=False)
    if head.errno:
        return Refusal("missing", "D-10", MISSING if mac.version < (13,) else f"errno={head.errno}")
    if head.kind != "regular":
        return Refusal("not-a-file", "D-10", "not a file")
    if head.read_errno:
        return Refusal("unreadable", "D-10", None, certain=False, detail=f"read failed with errno={head.read_errno}")
    if head.size == 0:
        return Refusal("empty", "D-11", "")
    return None


def refused_file(head: MachoHead, mac: Mac, *, static: bool) -> MachoImage | Refusal:
    """The slice that dyld maps of a regular file with bytes in it, or why it takes none."""
    chosen = _slice(head, mac)
    if isinstance(chosen, Refusal):
        return chosen
    image = chosen.content
    refusal = _refused_type(chosen, head.path, mac, static=static)
    if refusal is not None:
        return refusal
    if mac.version >= (15, 4) and (text := refused_structure(chosen, head.size, mac.version)) is not None:
        return Refusal("malformed", "D-28", text, detail=_reason(text))
    if isinstance(image, Damage):
        return Refusal("malformed", "D-27", None, certain=False, detail=image.detail)
    refusal = refused_mapping(image, mac)
    if refusal is None and (why := foreign_team(image, mac)) is not None:
        refusal = Refusal("library-validation", "D-74", in_process(image, mac, why), mac.team is not None, why)
    return refusal or image


def _reason(text: str) -> str:
    return "truncated" if "extends beyond end of file" in text else ""


def _slice(head: MachoHead, mac: Mac) -> MachoSlice | Refusal:
    """Choose the slice for this process (D-15 to D-20)."""
    if head.fat_count is None:
        only = head.slices[0]
        if isinstance(only.content, Damage) and only.architecture is None:
            return _not_macho(mac)
        if isinstance(only.content, Damage) and only.content.kind == "commands-past-end" and mac.version < (15, 4):
            return Refusal("truncated", "D-14", "load commands exceed length of first segment", mac.version >= (13,))
        name = architecture_name(*(only.architecture or (0, 0)))
        if name not in mac.accepts:
            text = f"mach-o file, but is an incompatible architecture {have_need(name, mac)}"
            return Refusal("wrong-architecture", "D-20", text, detail=name)
        return _refused_platform(only, head.path, mac) or only
    if mac.version >= (15, 4) and (wrong := refused_universal(head)) is not None:
        return Refusal("malformed", "D-17", wrong, detail=_reason(wrong))
    names = [_name(one.fat_architecture) for one in head.slices]
    for wanted in mac.accepts:
        for one in head.slices:
            name = _name(one.fat_architecture)
            if name != wanted and not (wanted == "arm64e" and name == "arm64e.old"):
                continue
            if one.offset + one.length > head.size:
                return Refusal("truncated", "D-17", _no_slice(names, mac), detail=f"the slice for {name} is cut off")
            if one.architecture is None:
                return _not_macho(mac)
            return _refused_platform(one, head.path, mac) or one
    return Refusal("wrong-architecture", "D-17", _no_slice(names, mac), detail=", ".join(names))


def _no_slice(names: list[str], mac: Mac) -> str:
    return f"fat file, but missing compatible architecture {have_need(','.join(names), mac)}"


def _not_macho(mac: Mac) -> Refusal:
    text = "not a mach-o file" if mac.version < (15, 4) else "slice is not valid mach-o file"
    return Refusal("not-macho", "D-13", text)


def _name(architecture: tuple[int, int] | None) -> str:
    return architecture_name(*architecture) if architecture is not None else "unknown"


def have_need(have: str, mac: Mac, need: str | None = None) -> str:
    """The bracket with what is there and what is wanted; its marks changed over the years (D-17, D-20)."""
    if need is None:
        need = mac.accepts[0] if mac.version < (13,) else "' or '".join(_accepted(mac))
    if (12, 5) <= mac.version < (13,):
        return f"(have ({have}), need ({need}))"
    return f"(have '{have}', need '{need}')"


def _accepted(mac: Mac) -> tuple[str, ...]:
    if mac.version >= (26,) and mac.architecture == "arm64":
        return ("arm64e", "arm64e.v1", "arm64", "arm64") if mac.arm64e_dyld else ("arm64", "arm64")
    return mac.accepts


def _refused_platform(one: MachoSlice, path: str, mac: Mac) -> Refusal | None:
    """Built for something else than macOS (D-22, D-23); a file that names no platform is taken for macOS."""
    if not isinstance(one.content, MachoImage):
        return None
    platforms = [build.platform for build in one.content.builds]
    if not platforms or PLATFORM_MACOS in platforms:
        return None
    have = platform_name(platforms[0])
    text = f"mach-o file ({path}), but incompatible platform {have_need(have, mac, 'macOS')}"
    if platforms[0] > 12 and mac.version >= (15, 4):
        text = "unknown platform"
    return Refusal("wrong-platform", "D-23", text, detail=have)


def _refused_type(one: MachoSlice, path: str, mac: Mac, *, static: bool) -> Refusal | None:
    """Which file types may be opened, and which may be needed (D-25, D-26)."""
    if one.filetype == MH_BUNDLE and static:
        return Refusal("bundle-needed", "D-25", f"cannot link against bundle '{path}'")
    if one.filetype == MH_EXECUTE and static:
        return Refusal("program-needed", "D-25", f"cannot link against a main executable '{path}'")
    if one.filetype not in (MH_DYLIB, MH_BUNDLE, MH_EXECUTE):
        return Refusal("file-type", "D-25", f"unloadable mach-o file type {one.filetype} '{path}'")
    flags = one.content.flags if isinstance(one.content, MachoImage) else 0
    if not static and mac.version >= (26,) and flags & MH_NO_DYNAMIC_ACCESS:
        return Refusal("no-access", "D-26", f"cannot dlopen() image marked for no dynamic access '{path}'")
    return None


def refused_mapping(image: MachoImage, mac: Mac) -> Refusal | None:
    """What the kernel refuses: bytes that are not there, and on Apple silicon code without a signature (D-27, D-74)."""
    place = image.signature
    cut = next((one for one in image.segments if one.offset + one.filesize > image.length), None)
    if cut is not None or (place.size and place.offset + place.size > image.length):
        what = f"segment {cut.name} ends at byte {cut.offset + cut.filesize}" if cut else "its signature is cut off"
        return Refusal(
            "truncated", "D-27", None, certain=image.cputype == CPU_ARM64 or bool(place.size),
            detail=f"{what}, the file at byte {image.length}",
        )  # fmt: skip
    if not place.size and image.cputype == CPU_ARM64:
        return Refusal("unsigned", "D-74", in_process(image, mac, "Trying to load an unsigned library"))
    return None


def foreign_team(image: MachoImage, mac: Mac) -> str | None:
    """Why a program that validates its libraries does not take this one, in the kernel's words (D-72, D-74)."""
    if not mac.validates_libraries:
        return None
    from tfguard.binary.macho_signature import Signature, read_signature

    try:
        source = mac.files.open(image.path)
    except OSError:
        return None
    try:
        signature = read_signature(image, source)
    finally:
        source.close()
    if not isinstance(signature, Signature):
        return "mapped file has no cdhash, completely unsigned? Code has to be at least ad-hoc signed."
    if signature.team is None:
        return "mapped file has no Team ID and is not a platform binary (signed with custom identity or adhoc?)"
    if signature.team != mac.team:
        return "mapping process and mapped file (non-platform) have different Team IDs"
    return None


def in_process(image: MachoImage, mac: Mac, why: str) -> str:
    """What is said where the kernel does not want a file in this process, by whatever link it was reached (D-72)."""
    from tfguard.loader.dyld_image import DyldImage

    uuid = DyldImage(image.path, image).uuid
    place = mac.files.real_path(image.path) or image.path
    return f"code signature in <{uuid}> '{place}' not valid for use in process: {why}"
