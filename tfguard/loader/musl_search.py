"""Where musl's loader looks for a bare name, and what it makes of an rpath (ld-so.md §14.1)."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from tfguard.hosts.host import Host
from tfguard.hosts.loader_family import entries_of
from tfguard.image import Head
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import ABSENT, LIST_ENDS, TAKEN, UNREADABLE, Attempt

# Names beginning so are the loader itself, which is the C library as well (M-07).
_RESERVED = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.")
_PASSED_OVER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG)
_ORIGIN = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")
_NAME_MAX = 255
# musl builds the path in a buffer of this size, and passes over an entry that does not fit.
_BUFFER = 2 * _NAME_MAX + 2


def is_reserved(name: str) -> bool:
    """Whether a name stands for musl itself, whatever file may have it (M-07)."""
    return name.startswith(_RESERVED)


class Found(NamedTuple):
    """The end of a search: the head of the file opened or None, the errno that is left in any case, what was tried."""

    head: Head | None
    errno: int
    attempts: tuple[Attempt, ...]


def rpath_of(link: LinkMap, host: Host) -> str | None:
    """An object's DT_RUNPATH, else its DT_RPATH, with $ORIGIN replaced; None where it has none that is used (M-06)."""
    image = link.image
    text = None if image is None else image.runpath if image.runpath is not None else image.rpath
    if text is None or "$" not in text:
        return text
    if text.count("$") != len(_ORIGIN.findall(text)) or (link.is_main and host.secure):
        return None  # one other token, and the whole of it is left unused
    path = os.path.realpath(image.path) if link.is_main and image is not None else link.path
    path = host.root.inside(path) if link.is_main else path
    folder, slash, _ = path.rpartition("/")
    origin = folder if slash else "."
    if host.secure and not origin.startswith("/"):
        return None
    return _ORIGIN.sub(lambda _: origin, text)


def lists_for(requirer: LinkMap | None, host: Host) -> Iterator[tuple[str, str]]:
    """(step, list) in the order of the search: LD_LIBRARY_PATH, the rpaths up the chain, the system path (M-01)."""
    if host.library_path is not None:
        yield "ld_library_path", host.library_path
    link = requirer
    while link is not None:
        text = rpath_of(link, host)
        if text is not None:
            yield "rpath", text
        link = link.parent
    yield "system_path", ":".join(host.system_directories)


def search(name: str, requirer: LinkMap | None, host: Host, number: int = 0) -> Found:
    """The first file of that name that opens; an error other than not being there ends all of it (M-05).

    `number` is errno as it stands: where no place is tried at all, musl tells what it was before (M-04).
    """
    attempts: list[Attempt] = []
    if len(os.fsencode(name)) > _NAME_MAX:
        return Found(None, number, ())
    for step, text in lists_for(requirer, host):
        for entry in entries_of(text):
            path = f"{entry}/{name}"
            if len(os.fsencode(path)) >= _BUFFER:
                continue
            head = host.look_at(path)
            if not head.errno:
                attempts.append(Attempt(step, path, TAKEN))
                return Found(head, number, tuple(attempts))
            number = head.errno
            if number not in _PASSED_OVER:
                attempts.append(Attempt(step, path, LIST_ENDS, os.strerror(number)))
                return Found(None, number, tuple(attempts))
            attempts.append(Attempt(step, path, UNREADABLE if number == errno.EACCES else ABSENT))
    return Found(None, number, tuple(attempts))
