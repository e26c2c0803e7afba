"""The checks that dyld of macOS 10.15 and 11 makes on one file, in its order and with its words (dyld.md §3)."""

from __future__ import annotations

from tfguard.hosts.mac import Mac
from tfguard.image import Damage
from tfguard.loader.dyld2_structure import malformed
from tfguard.loader.dyld_file import Refusal, foreign_team
from tfguard.macho_image import (
    CPU_ARM64,
    MH_BUNDLE,
    MH_DYLIB,
    MH_EXECUTE,
    MH_PIE,
    PLATFORM_MACOS,
    MachoHead,
    MachoImage,
    MachoSlice,
    architecture_name,
)

_SHORTEST = 4096
_MOST_SLICES = (4096 - 8) // 20
_FAT_MAGIC = b"\xca\xfe\xba\xbe"
_MAGICS = (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf")


def refused_file(head: MachoHead, mac: Mac, *, static: bool) -> MachoImage | Refusal:
    """The slice that dyld maps of a regular file, or why it takes none."""
    if head.start[:4] == _FAT_MAGIC:
        chosen = _slice(head, mac)
        if isinstance(chosen, Refusal):
            return chosen
    else:
        chosen = MachoSlice(0, head.size, None, head.start[:32], None, 0, Damage(kind="not-macho", detail=""))
        if head.slices and head.fat_count is None:
            chosen = head.slices[0]
    if head.size < _SHORTEST:
        return Refusal("too-short", "D-12", "file too short")
    if chosen.start[:4] not in _MAGICS:
        eight = " ".join(f"0x{byte:02X}" for byte in chosen.start[:8])
        return Refusal("not-macho", "D-13", f"unknown file type, first eight bytes: {eight}")
    name = architecture_name(*chosen.architecture) if chosen.architecture is not None else "unknown"
    if name not in (*mac.accepts, "arm64e.old"):
        return Refusal("wrong-architecture", "D-20", "mach-o, but wrong architecture", detail=name)
    image = chosen.content
    if isinstance(image, Damage):
        return _damaged(chosen, image)
    refusal = _refused_type(image, static=static) or _refused_platform(image, mac) or _refused_layout(image)
    if refusal is None and (why := foreign_team(image, mac)) is not None:
        text = f"code signature in ({image.path}) not valid for use in process using Library Validation: {why}"
        refusal = Refusal("library-validation", "D-74", text, mac.team is not None, why)
    return refusal or image


def _slice(head: MachoHead, mac: Mac) -> MachoSlice | Refusal:
    if (head.fat_count or 0) > _MOST_SLICES:
        return Refusal("malformed", "D-17", f"fat header too large: {head.fat_count} entries")
    names = [architecture_name(*(one.fat_architecture or (0, 0))) for one in head.slices]
    for wanted in mac.accepts:
        for name, one in zip(names[: head.fat_count], head.slices, strict=False):
            if name.removesuffix(".old") != wanted:
                continue
            end = one.offset + one.length
            if end > head.size:
                text = f"truncated fat file.  file length={head.size}, but needed slice goes to {end}"
                return Refusal("truncated", "D-17", text)
            return one
    text = "no matching architecture in universal wrapper"
    return Refusal("wrong-architecture", "D-17", text, detail=", ".join(names))


def _damaged(one: MachoSlice, damage: Damage) -> Refusal:
    if damage.kind == "commands-past-end":
        size = int.from_bytes(one.start[20:24], "little") + 32
        text = f"malformed mach-o: load commands size ({size}) > mach-o file size ({one.length})"
        return Refusal("truncated", "D-14", text)
    return Refusal("malformed", "D-27", f"malformed mach-o image: {damage.detail}")


def _refused_type(image: MachoImage, *, static: bool) -> Refusal | None:
    """Bundles may be opened and not needed; programs may be opened where they can lie anywhere (D-25)."""
    if image.filetype not in (MH_EXECUTE, MH_DYLIB, MH_BUNDLE):
        return Refusal("file-type", "D-25", "mach-o, but wrong filetype")
    if image.filetype == MH_EXECUTE and (static or not image.flags & MH_PIE):
        return Refusal("program-needed" if static else "file-type", "D-25", "can't load a main executable")
    if static and image.filetype != MH_DYLIB:
        return Refusal("bundle-needed", "D-25", "not a dylib")
    return None


def _refused_platform(image: MachoImage, mac: Mac) -> Refusal | None:
    platforms = [one.platform for one in image.builds]
    if not platforms or PLATFORM_MACOS in platforms:
        return None
    if mac.version >= (11,):
        return Refusal("wrong-platform", "D-23", "mach-o, but not built for platform macOS", detail=str(platforms[0]))
    if platforms[0] in (7, 8, 9):
        return Refusal("wrong-platform", "D-23", "mach-o, but built for simulator (not macOS)")
    return None


def _refused_layout(image: MachoImage) -> Refusal | None:
    """What damaged or strange files fail: their structure (D-27), their end, on Apple silicon their signature."""
    if (wrong := malformed(image)) is not None:
        return Refusal("malformed", "D-27", wrong.text, wrong.certain)
    cut = next((one for one in image.segments if one.offset + one.filesize > image.length), None)
    if cut is not None:
        end = cut.offset + cut.filesize
        text = f"truncated mach-o error: segment {cut.name} extends to {end} which is past end of file {image.length}"
        return Refusal("truncated", "D-27", text)
    place = image.signature
    if image.cputype == CPU_ARM64 and (not place.size or place.offset + place.size > image.length):
        kind = "unsigned" if not place.size else "truncated"
        return Refusal(kind, "D-74", f"code signature invalid for '{image.path}'\n")
    return None
