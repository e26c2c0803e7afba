"""The objects of the played process: one LinkMap for each, as ld.so keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfguard.hosts.host import Host
from tfguard.image import Image


class LinkMap:
    """A loaded object: its recorded path, the names it answers to, who asked for it, its place in the scopes.

    Changes while a process is played: names are added when a look-up matches (ld-so.md G-110), `is_global` when it
    is promoted. `image` is None for an object whose file cannot be read; it may define anything.
    """

    __slots__ = (
        "dependencies",
        "image",
        "is_global",
        "is_main",
        "names",
        "new",
        "parent",
        "path",
        "scope",
        "search_list",
        "step",
    )

    def __init__(
        self, path: str, image: Image | None, *, parent: LinkMap | None = None, is_main: bool = False, step: str = ""
    ) -> None:
        self.path = path
        self.image = image
        self.names: set[str] = {path} if path else set()
        self.parent = parent
        self.is_main = is_main
        self.is_global = False
        self.new = True
        self.step = step
        self.dependencies: tuple[LinkMap, ...] | None = None
        # what symbols are looked up in for it, once it was opened itself
        self.scope: tuple[LinkMap, ...] | None = None
        # the entries of its RPATH or RUNPATH, expanded when first searched: the same for every name it needs
        self.search_list: list[str] | None = None

    @property
    def soname(self) -> str | None:
        """DT_SONAME; for an unreadable object its file name stands in."""
        return self.image.soname if self.image is not None else os.path.basename(self.path)

    @property
    def is_loader(self) -> bool:
        """Whether this is the ld.so of the process, and not a copy that was opened like any other file."""
        return not self.step and os.path.basename(self.path).startswith(("ld-linux", "ld.so", "ld64.so"))

    def rpath_chain(self) -> Iterator[LinkMap]:
        """This object, then the object that needed it, and so on up (G-64)."""
        link: LinkMap | None = self
        while link is not None:
            yield link
            link = link.parent


def link_maps_of(host: Host) -> list[LinkMap]:
    """The objects that the host's process has loaded, in load order.

    Names asked for are not on record anywhere: a soname or bare file name counts as asked for where a loaded object
    needs it (I-12), or where it was to be preloaded (G-160).
    """
    needed = {name for one in host.loaded if one.image is not None for name in one.image.needed}
    preloads = host.environment.get("LD_PRELOAD", "").replace(":", " ").split()
    links: list[LinkMap] = []
    for position, one in enumerate(host.loaded):
        link = LinkMap(one.path, one.image, is_main=position == 0 and not one.path)
        link.new = False
        link.is_global = one.startup
        asked = needed if one.path in preloads else needed.union(preloads)
        link.names |= asked & {link.soname, os.path.basename(one.path)}
        links.append(link)
    _guess_parents(links)
    return links


def _guess_parents(links: list[LinkMap]) -> None:
    """The first object that needs it is who brought it in: true where it was not opened by path before."""
    by_name = {name: link for link in reversed(links) for name in link.names}
    for link in links:
        for name in link.image.needed if link.image is not None else ():
            child = by_name.get(name)
            if child is not None and child.parent is None and child is not link and not child.is_main:
                child.parent = link
