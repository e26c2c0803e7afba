"""The images of the played process, as dyld keeps them: one DyldImage for each, and the chain that gives rpaths."""

from __future__ import annotations

import os

from tfguard.hosts.mac import Mac
from tfguard.macho_image import MH_DYLIB, MachoImage


class DyldImage:
    """A loaded image: its real path, what is known of its file, the libraries it needs in the order of its ordinals.

    `given` is the path by which it was opened, which dyld of macOS 10.15 and 11 keeps and shows.

    `image` is None where the file cannot be read, as of every library in the shared cache (`cached`). Entries of
    `dependents` are None for weak ones that are missing. `local` hides its exports from flat look-ups (D-84).
    """

    __slots__ = ("cached", "dependents", "given", "image", "is_main", "local", "new", "parent", "path", "step")

    def __init__(
        self,
        path: str,
        image: MachoImage | None,
        *,
        cached: bool = False,
        local: bool = False,
        is_main: bool = False,
        parent: DyldImage | None = None,
        step: str = "",
        given: str = "",
    ) -> None:
        self.path = path
        self.given = given or path
        self.image = image
        self.cached = cached
        self.local = local
        self.is_main = is_main
        self.parent = parent
        self.step = step
        self.new = True
        self.dependents: list[DyldImage | None] = []

    @property
    def soname(self) -> str | None:
        """The install name; of an image that cannot be read its path stands in."""
        return self.image.install_name if self.image is not None else self.path

    @property
    def directory(self) -> str:
        """Its directory with a slash, what @loader_path stands for."""
        return self.path.rpartition("/")[0] + "/"

    def matches(self, path: str) -> bool:
        """Whether a path means this image: its own, or a dylib's install name (D-50)."""
        if path == self.path:
            return True
        image = self.image
        return image is not None and image.filetype == MH_DYLIB and image.install_name == path

    @property
    def uuid(self) -> str:
        """The UUID as messages print it (D-61)."""
        raw = self.image.uuid if self.image is not None else None
        if raw is None or not any(raw):
            return "no uuid"
        text = raw.hex().upper()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


Chain = tuple[DyldImage, ...]


def loaded_images(mac: Mac) -> list[DyldImage]:
    """The images that the process has loaded, in load order, the main program first where it is known."""
    images: list[DyldImage] = []
    paths = {one.path for one in mac.loaded}
    if mac.main and mac.main not in paths:
        images.append(_from_disk(mac.main, mac, is_main=True))
    if mac.caller and mac.caller not in (mac.main, *paths):
        images.append(_from_disk(mac.caller, mac))
    for one in mac.loaded:
        cached = one.image is None and mac.cache.holds(one.path)
        made = DyldImage(one.path, one.image, cached=cached, local=one.local, is_main=one.path == mac.main)
        images.append(made)
    for image in images:
        image.new = False
    _connect(images)
    return images


def _from_disk(path: str, mac: Mac, *, is_main: bool = False) -> DyldImage:
    content = next(
        (
            one.content
            for one in mac.files.look_at(path).slices
            if isinstance(one.content, MachoImage) and one.content.architecture in mac.accepts
        ),
        None,
    )
    return DyldImage(mac.files.real_path(path) or path, content, is_main=is_main)


def _connect(images: list[DyldImage]) -> None:
    """Which loaded image meets each need is on no record: it is one that answers to the name, else one of that leaf."""
    for image in images:
        for needed in image.image.dependents if image.image is not None else ():
            found = next((one for one in images if one.matches(needed.name)), None)
            if found is None:
                leaf = os.path.basename(needed.name)
                found = next((one for one in images if os.path.basename(one.path) == leaf), None)
            image.dependents.append(found)
