"""The code signature of a Mach-O image: its code directory, and the hashes of its pages (dyld.md D-71, D-73)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from tfguard.binary.macho import Source
from tfguard.image import Damage
from tfguard.macho_image import MachoImage

AD_HOC = 0x2
RESTRICT = 0x800
LIBRARY_VALIDATION = 0x2000
RUNTIME = 0x10000
LINKER_SIGNED = 0x20000

_SUPER_BLOB, _CODE_DIRECTORY, _ENTITLEMENTS = 0xFADE0CC0, 0xFADE0C02, 0xFADE7171
_BLOB, _INDEX, _SUPER = Struct(">2I"), Struct(">2I"), Struct(">3I")
_DIRECTORY = Struct(">9I4B")
_WORD, _LONG = Struct(">I"), Struct(">Q")
_ALTERNATES = (0, *range(0x1000, 0x1005))
_HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
_RANK = {4: 4, 2: 3, 3: 2, 1: 1}  # the kernel takes the strongest that it knows
_BLOBS_LIMIT = 64
_SIGNATURE_LIMIT = 1 << 28
_AT_ONCE = 1 << 20


class Signature(NamedTuple):
    """The strongest code directory of an image.

    `code_limit` is how many bytes from the start of the slice are signed, `page_size` in bytes (0: one page),
    `hashes` the page hashes one behind the other, each of `hash_size` bytes. `entitlements` is the plist as it stands.
    """

    flags: int
    identifier: str
    team: str | None
    hash_type: int
    hash_size: int
    page_size: int
    pages: int
    code_limit: int
    hashes: bytes
    entitlements: bytes
    has_certificate: bool

    @property
    def ad_hoc(self) -> bool:
        """Whether nobody in particular signed it."""
        return bool(self.flags & AD_HOC) or not self.has_certificate


def read_signature(image: MachoImage, source: Source) -> Signature | Damage | None:
    """The image's signature, None where it has none, Damage where it cannot be one."""
    place = image.signature
    if not place.size:
        return None
    if place.offset + place.size > image.length:
        return Damage(kind="signature", detail="the signature would lie behind the end of the file")
    blob = source.read(min(place.size, _SIGNATURE_LIMIT), image.offset + place.offset)
    if len(blob) < _SUPER.size:
        return Damage(kind="signature", detail="the file ends in its signature")
    magic, length, count = _SUPER.unpack_from(blob)
    if magic != _SUPER_BLOB or length > len(blob) or count > _BLOBS_LIMIT:
        return Damage(kind="signature", detail=f"it begins {blob[:12].hex(' ')}")
    best: Signature | None = None
    entitlements, has_certificate = b"", False
    index = blob[_SUPER.size : _SUPER.size + count * _INDEX.size]
    for number, (kind, at) in enumerate(_INDEX.iter_unpack(index[: len(index) - len(index) % _INDEX.size])):
        if at + _BLOB.size > len(blob):
            return Damage(kind="signature", detail=f"part {number} would lie outside of it")
        inner_magic, size = _BLOB.unpack_from(blob, at)
        inner = blob[at : at + size]
        if kind in _ALTERNATES and inner_magic == _CODE_DIRECTORY:
            found = _directory(inner)
            if isinstance(found, Damage):
                return found
            if best is None or _RANK.get(found.hash_type, 0) > _RANK.get(best.hash_type, 0):
                best = found
        elif inner_magic == _ENTITLEMENTS:
            entitlements = inner[_BLOB.size :]
        elif kind == 0x10000:
            has_certificate = size > _BLOB.size
    if best is None:
        return Damage(kind="signature", detail="it holds no code directory")
    return best._replace(entitlements=entitlements, has_certificate=has_certificate)


def _directory(blob: bytes) -> Signature | Damage:
    if len(blob) < _DIRECTORY.size:
        return Damage(kind="signature", detail="its code directory is cut short")
    _, length, version, flags, hashes_at, identifier_at, _special, pages, limit, size, kind, _, shift = (
        _DIRECTORY.unpack_from(blob)
    )
    if version >= 0x20300 and len(blob) >= 64 and not limit:
        (limit,) = _LONG.unpack_from(blob, 56)
    team_at = _WORD.unpack_from(blob, 48)[0] if version >= 0x20200 and len(blob) >= 52 else 0
    name, width = _HASHES.get(kind, ("", 0))
    if length > len(blob) or not name or size != width or shift > 24 or hashes_at + pages * size > len(blob):
        return Damage(kind="signature", detail=f"its code directory claims {pages} hashes of {size} bytes, type {kind}")
    return Signature(
        flags=flags,
        identifier=_text(blob, identifier_at),
        team=_text(blob, team_at) if team_at else None,
        hash_type=kind,
        hash_size=size,
        page_size=1 << shift if shift else 0,
        pages=pages,
        code_limit=limit,
        hashes=blob[hashes_at : hashes_at + pages * size],
        entitlements=b"",
        has_certificate=False,
    )


def _text(blob: bytes, at: int) -> str:
    return blob[at : max(blob.find(b"\0", at), at)].decode("utf-8", "backslashreplace")


def changed_pages(image: MachoImage, source: Source, signature: Signature, *, most: int = 16) -> list[int]:
    """The numbers of the first pages whose bytes are not those that were signed."""
    import hashlib

    make = getattr(hashlib, _HASHES[signature.hash_type][0])
    size, width = signature.page_size, signature.hash_size
    changed: list[int] = []
    if not size:
        return changed  # one hash over everything, which no linker makes
    limit = min(signature.code_limit, signature.pages * size)
    at_once = max(_AT_ONCE // size, 1) * size
    for offset in range(0, limit, at_once):
        block = memoryview(source.read(min(at_once, limit - offset), image.offset + offset))
        for start in range(0, min(at_once, limit - offset), size):
            page = (offset + start) // size
            stop = min(start + size, limit - offset)
            wanted = signature.hashes[page * width : (page + 1) * width]
            if make(block[start:stop]).digest()[:width] != wanted or stop > len(block):
                changed.append(page)
                if len(changed) >= most:
                    return changed
    return changed
