"""Looks at what surrounds a file at fault: its folder, permissions, mount, and the distribution that brought it."""

from __future__ import annotations

import difflib
import os
import re

from tfguard.binary.kinds import Kind, recognise
from tfguard.case import Origin, Place
from tfguard.hosts.host import Host
from tfguard.hosts.root import Root
from tfguard.image import PF_X, PT_GNU_STACK, PT_LOAD, Segment

_NAMES_SHOWN = 4
_SITE = re.compile(r"(.*/(?:site|dist)-packages)/(.+)")


def look_around(path: str, host: Host) -> tuple[Kind | None, Place]:
    """What the file at a path is, None where there is none to read, and what surrounds the path."""
    path, root = os.path.normpath(path), host.root
    # of another root it is not known who will read it there
    closed = _closed(path) if root.is_here else None
    if closed is not None:
        status = os.lstat(closed)
        return None, Place(mode=status.st_mode & 0o7777, owner=status.st_uid, closed=closed)
    if not root.exists(path):
        return None, Place(
            target=root.link_target(path), folder=_nearest_folder(path, root), names=_names_like(path, root)
        )
    status = os.stat(host.outside(path))
    head = host.look_at(path)
    segments = head.segments or ()
    return recognise(head), Place(
        mode=status.st_mode & 0o7777,
        owner=status.st_uid,
        folder=os.path.dirname(path),
        names=_libraries_in(path, root) if head.kind == "directory" else (),
        mount=_mount_point(path) if root.is_here else "",
        size=status.st_size,
        load_end=max((one.offset + one.filesz for one in segments if one.type == PT_LOAD), default=0),
        stack=_stack(segments),
        alignment=_alignment(segments),
    )


def _closed(path: str) -> str | None:
    """The first folder on the way that this user may not search, or the file where it may not be read."""
    folder = "/" if path.startswith("/") else "."
    for part in path.split("/")[:-1]:
        folder = os.path.join(folder, part)
        if os.path.isdir(folder) and not os.access(folder, os.X_OK, effective_ids=True):
            return os.path.normpath(folder)
    if os.path.exists(path) and not os.access(path, os.R_OK, effective_ids=True):
        return path
    return None


def _nearest_folder(path: str, root: Root) -> str:
    folder = os.path.dirname(path) or "."
    while not root.is_directory(folder) and folder not in ("/", "."):
        folder = os.path.dirname(folder) or "."
    return folder


def _names_like(path: str, root: Root) -> tuple[str, ...]:
    """Names in the folder that are near to the one asked for: misspelt, or built under another name."""
    folder, name = os.path.split(path)
    there = root.names_in(folder or ".")
    stem = name.split(".")[0].removeprefix("lib").strip("_")
    same = [one for one in there if stem and one.split(".")[0].removeprefix("lib").strip("_") == stem and ".so" in one]
    near = difflib.get_close_matches(name, there, n=_NAMES_SHOWN, cutoff=0.8)
    return tuple(dict.fromkeys(same + near))[:_NAMES_SHOWN]


def _libraries_in(folder: str, root: Root) -> tuple[str, ...]:
    return tuple(one for one in root.names_in(folder) if one.endswith(".so") or ".so." in one)[:_NAMES_SHOWN]


def _mount_point(path: str) -> str:
    place = os.path.realpath(path)
    while place != "/" and not os.path.ismount(place):
        place = os.path.dirname(place)
    return place


def _alignment(segments: tuple[Segment, ...]) -> int | None:
    """The largest power of two that address and offset of every segment agree to; None where all are the same."""
    apart = 0
    for segment in segments:
        if segment.type == PT_LOAD:
            apart |= segment.vaddr - segment.offset
    return apart & -apart or None


def _stack(segments: tuple[Segment, ...]) -> str:
    flags = next((one.flags for one in segments if one.type == PT_GNU_STACK), None)
    if flags is None:
        return "no PT_GNU_STACK, which counts as executable"
    return f"PT_GNU_STACK {'with' if flags & PF_X else 'without'} the execute flag"


def brought_by(path: str, root: Root) -> Origin | None:
    """The distribution whose RECORD lists this file."""
    place = _SITE.fullmatch(os.path.normpath(path))
    return _listed_in(place[1], place[2], root, exact=True) if place is not None else None


def brought_and_gone(name: str, requirer: str, root: Root) -> Origin | None:
    """The distribution beside `requirer` whose RECORD lists a library of this name that is not on disk."""
    place = _SITE.fullmatch(os.path.normpath(requirer))
    origin = _listed_in(place[1], os.path.basename(name), root, exact=False) if place is not None else None
    if place is None or origin is None or root.lexists(os.path.join(place[1], origin.listed)):
        return None
    return origin


def _listed_in(site: str, wanted: str, root: Root, *, exact: bool) -> Origin | None:
    """Search the RECORD of each distribution: lines of path, hash and size."""
    pattern = re.compile(rb"(?m)^\"?(%s%s)\"?," % (b"" if exact else rb"(?:[^,\n]*/)?", re.escape(os.fsencode(wanted))))
    folders = [one for one in root.names_in(site) if one.endswith(".dist-info")]
    top = wanted.partition("/")[0].partition(".")[0].lower()
    for folder in sorted(folders, key=lambda one: not one.lower().startswith(top)):
        found = pattern.search(root.read(os.path.join(site, folder, "RECORD"), 1 << 24) or b"")
        if found is not None:
            distribution, _, version = folder.removesuffix(".dist-info").partition("-")
            return Origin(distribution.replace("_", "-"), version, os.fsdecode(found[1]))
    return None
