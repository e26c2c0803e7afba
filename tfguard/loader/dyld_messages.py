"""What dyld says of a load that fails, word for word for each macOS (dyld.md §7, §8)."""

from __future__ import annotations

from tfguard.hosts.mac import Mac
from tfguard.loader.dyld_image import DyldImage
from tfguard.loader.trace import Unmet
from tfguard.macho_image import Dependent, MachoImage, unpack_version, version_text


def outer(name: str, mode: int, text: str, mac: Mac) -> str:
    """The whole of what dlerror gives (D-60)."""
    return f"dlopen({name}, 0x{mode:04X}): {text}" if mac.is_dyld4 else f"dlopen({name}, {mode}): {text}"


def not_loaded(needed: str, importer: DyldImage, reason: str, mac: Mac) -> str:
    """A needed library was not found, or was found and not taken (D-61)."""
    if mac.version >= (13,):
        who = f"<{importer.uuid}> {importer.path}{too_new(importer.image, mac)}"
    elif mac.version >= (12, 5):
        needed = f"'{needed.replace(chr(39), ' ')}'"
        who = f"'{importer.path.replace(chr(39), ' ')}'"
    else:
        who = importer.path
    return f"Library not loaded: {needed}\n  Referenced from: {who}\n  Reason: {reason}"


def symbol_not_found(unmet: Unmet, importer: DyldImage, provider: DyldImage | None, mac: Mac) -> str:
    """A symbol is in none of the places where it is looked for (D-80 to D-83)."""
    name = unmet.name.decode("utf-8", "surrogateescape")
    if not mac.is_dyld4:
        expected = provider.given if provider is not None else unmet.library or "flat namespace"
        addendum = too_new(importer.image, mac)
        return (
            f"Symbol not found: {name}\n  Referenced from: {importer.given}{addendum}\n"
            f"  Expected in: {expected}\n in {importer.given}"
        )
    quoted_style = (12, 5) <= mac.version < (13,)
    if not unmet.library:
        shown = f"({name})" if quoted_style else f"'{name}'"
        return f"symbol not found in flat namespace {shown}"
    if unmet.library == "weak":
        if mac.version < (15,):
            return f"weak-def symbol not found '{name}'"
        return (
            f"Symbol not found: {name}\n  Referenced from: <{importer.uuid}> {importer.path}\n"
            "  Expected as weak-def export from some loaded dylib"
        )
    if mac.version >= (13,):
        uuid = provider.uuid if provider is not None else "no uuid"
        who = f"<{importer.uuid}> {importer.path}{too_new(importer.image, mac)}"
        return f"Symbol not found: {name}\n  Referenced from: {who}\n  Expected in:     <{uuid}> {unmet.library}"
    if quoted_style:
        return f"Symbol not found: ({name})\n  Referenced from: '{importer.path}'\n  Expected in: '{unmet.library}'"
    return f"Symbol not found: {name}\n  Referenced from: {importer.path}\n  Expected in: {unmet.library}"


def too_new(image: MachoImage | None, mac: Mac) -> str:
    """What is added where the importer was built for a newer system (D-64)."""
    if image is None or image.minos <= mac.version:
        return ""
    if mac.is_dyld4:
        return f" (built for macOS {version_text(image.minos)} which is newer than running OS)"
    return f" (which was built for Mac OS X {image.minos[0]}.{image.minos[1]})"


def incompatible(needed: Dependent, found: MachoImage, importer: DyldImage) -> str:
    """An older library than was linked to (D-47)."""
    wanted, have = (".".join(map(str, unpack_version(one))) for one in (needed.compatibility, found.compatibility))
    leaf = importer.path.rpartition("/")[2]
    library = found.path.rpartition("/")[2]
    return (
        f"Incompatible library version: {leaf} requires version {wanted} or later, "
        f"but {library} provides version {have}"
    )
