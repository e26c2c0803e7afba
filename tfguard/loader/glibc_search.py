"""Where glibc's ld.so looks for a bare name: the steps in their order, each a function named after the place.

Every step gives lists of directories (or whole paths, for the cache); `search` tries them and keeps each attempt.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tfguard.binary.ldcache import NO_CACHE, Cache, read_cache
from tfguard.hosts.host import Host
from tfguard.image import DF_1_NODEFLIB, EM_386, EM_AARCH64, EM_X86_64, Head
from tfguard.loader.glibc_file import SKIP_CLASS, SKIP_KERNEL, SKIP_MACHINE, Refusal, refused_header
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import (
    ABSENT,
    LIST_ENDS,
    NEWER_KERNEL,
    NO_DIRECTORY,
    STOPPED,
    TAKEN,
    UNREADABLE,
    WRONG_CLASS,
    WRONG_MACHINE,
    Attempt,
)

# ld.so.cache flags of the ABI: ld-so.md G-103.
_CACHE_FLAGS = {EM_X86_64: (0x303,), EM_AARCH64: (0xA03,), EM_386: (3, 1)}
# Its hwcap field up to glibc 2.36: features, platforms of which one may be named, thread-local storage.
_LEGACY_BITS = {
    "sse2": 1 << 0, "x86_64": 1 << 1, "avx512_1": 1 << 2, "atomics": 1 << 8,
    "i586": 1 << 48, "i686": 1 << 49, "haswell": 1 << 50, "xeon_phi": 1 << 51,
}  # fmt: skip
_LEGACY_PLATFORMS, _LEGACY_TLS = 0xF << 48, 1 << 63
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")


class Query(NamedTuple):
    """A name to search: the host, the object that needs it (None: the program itself) and the main program."""

    name: str
    host: Host
    requirer: LinkMap | None
    main: LinkMap | None


class Place(NamedTuple):
    """One list that a step searches: directories, or complete paths where `is_path`."""

    entries: Iterable[str]
    is_path: bool = False


Step = Callable[[Query], Iterator[Place]]


def rpath(query: Query) -> Iterator[Place]:
    """DT_RPATH of the requirer and of who needed it, up the chain, then of the main program (G-64 1)."""
    first = query.requirer or query.main
    if first is None or (first.image is not None and first.image.runpath is not None):
        return
    seen_main = False
    for link in first.rpath_chain():
        seen_main = seen_main or link.is_main
        if (place := _rpath_of(link, query.host)) is not None:
            yield place
    if not seen_main and query.main is not None and (place := _rpath_of(query.main, query.host)) is not None:
        yield place


def _rpath_of(link: LinkMap, host: Host) -> Place | None:
    image = link.image
    if image is None or not image.rpath or image.runpath is not None:
        return None
    return Place(_own_list(link, image.rpath, host))


def ld_library_path(query: Query) -> Iterator[Place]:
    """LD_LIBRARY_PATH as it was when the process started (G-70)."""
    value = query.host.library_path
    if value:
        yield Place(expand_list(value.replace(";", ":").split(":"), query.main, query.host))


def runpath(query: Query) -> Iterator[Place]:
    """DT_RUNPATH of the requirer only (G-64 3)."""
    link = query.requirer or query.main
    if link is not None and link.image is not None and link.image.runpath:
        yield Place(_own_list(link, link.image.runpath, query.host))


def _own_list(link: LinkMap, value: str, host: Host) -> list[str]:
    """The expanded entries of an object's RPATH or RUNPATH, of which at most one counts (G-63)."""
    if link.search_list is None:
        link.search_list = expand_list(value.split(":"), link, host)
    return link.search_list


def ld_so_cache(query: Query) -> Iterator[Place]:
    """The path that ld.so.cache has for the name (G-101 to G-106)."""
    host = query.host
    entries = cache_of(host).look_up(query.name)
    wanted = _CACHE_FLAGS.get(host.machine, ())
    subdirectories = host.hwcap_subdirectories
    best: tuple[int, str] | None = None
    for entry in entries:
        if entry.flags not in wanted or _is_newer(entry.os_version, host):
            continue
        if not entry.is_named:
            if best is None and _has_legacy_hwcap(entry.legacy_hwcap, host):
                best = (0, entry.path)
            if best is not None:
                break  # those of subdirectories come first; the first of the rest ends it
        elif f"glibc-hwcaps/{entry.subdirectory}" in subdirectories and entry.level <= host.isa_level:
            rank = subdirectories.index(f"glibc-hwcaps/{entry.subdirectory}")
            if best is None or rank < best[0]:
                best = (rank, entry.path)
    if best is not None and not _default_directories_refused(query, best[1]):
        yield Place((best[1],), is_path=True)


def _is_newer(os_version: int, host: Host) -> bool:
    """Whether an entry of the cache is for a newer kernel than runs: asked up to glibc 2.35 (G-105)."""
    return bool(host.kernel) and "checks-abi-tag" in host.features and os_version > host.kernel


def _has_legacy_hwcap(bits: int, host: Host) -> bool:
    """Whether the process has what an entry needs by the bits of glibc up to 2.36; later on there are none (G-102)."""
    if not bits or host.version > (2, 36):
        return not bits
    own = sum(_LEGACY_BITS.get(name, 0) for name in host.legacy_hwcaps) | _LEGACY_TLS
    if (platform := bits & _LEGACY_PLATFORMS) and platform != _LEGACY_BITS.get(host.platform_token):
        return False
    return not bits & ~own & ~_LEGACY_PLATFORMS


def cache_of(host: Host) -> Cache:
    """The entries of the host's ld.so.cache; none where it has no such file, or uses none."""
    if host.cache_path is None:
        return NO_CACHE
    try:
        return read_cache(host.root.outside(host.cache_path), little_endian=host.little_endian)
    except OSError:
        return NO_CACHE


def preloaded(host: Host) -> list[tuple[str, str]]:
    """The names of LD_PRELOAD and ld.so.preload, each with where it stands (G-160, G-161)."""
    names = [] if host.secure else re.split("[ :]", host.environment.get("LD_PRELOAD", ""))
    text = host.root.read("/etc/ld.so.preload", 1 << 16) or b""
    lines = [line.partition("#")[0] for line in os.fsdecode(text).splitlines()]
    listed = [name for line in lines for name in re.split(r"[\s:]", line)]
    return [(one, "LD_PRELOAD") for one in names if one] + [(one, "/etc/ld.so.preload") for one in listed if one]


def default_directories(query: Query) -> Iterator[Place]:
    """The directories compiled into the loader (G-77), unless the requirer has DF_1_NODEFLIB (G-78)."""
    if not _default_directories_refused(query, None):
        yield Place(query.host.system_directories)


def _default_directories_refused(query: Query, cached: str | None) -> bool:
    link = query.requirer or query.main
    if link is None or link.image is None or not link.image.flags_1 & DF_1_NODEFLIB:
        return False
    return cached is None or cached.startswith(tuple(f"{one}/" for one in query.host.system_directories))


STEPS: tuple[Step, ...] = (rpath, ld_library_path, runpath, ld_so_cache, default_directories)


def expand_list(entries: list[str], link: LinkMap | None, host: Host) -> list[str]:
    """A list's entries as ld.so keeps them: tokens replaced, trailing slashes gone, no duplicates.

    "" stands for the working directory.
    """
    found: dict[str, None] = {}
    for entry in entries:
        expanded = expand_tokens(entry, link, host) if "$" in entry else entry
        if expanded is not None and not _is_distrusted(entry, expanded, link, host):
            found[(expanded.rstrip("/") or "/") if expanded else ""] = None
    return list(found)


def has_token(text: str) -> bool:
    """Whether a name has a token that ld.so replaces (G-76)."""
    return _TOKEN.search(text) is not None


def _is_distrusted(entry: str, expanded: str, link: LinkMap | None, host: Host) -> bool:
    """Whether secure mode drops an entry of the program: $ORIGIN that ends outside the default directories (G-166)."""
    if not host.secure or link is None or not link.is_main or "ORIGIN" not in entry or not has_token(entry):
        return False
    return not f"{os.path.normpath(expanded)}/".startswith(tuple(f"{one}/" for one in host.system_directories))


def expand_tokens(text: str, link: LinkMap | None, host: Host) -> str | None:
    """$ORIGIN, $LIB and $PLATFORM replaced (G-76); None where $ORIGIN has no value."""
    origin = origin_of(link, host)
    if origin is None and "ORIGIN" in text:
        return None

    def value(match: re.Match[str]) -> str:
        token = match[1] or match[2]
        return (origin or "") if token == "ORIGIN" else host.lib_token if token == "LIB" else host.platform_token

    return _TOKEN.sub(value, text)


def origin_of(link: LinkMap | None, host: Host) -> str | None:
    """The directory of the path as recorded, links unresolved, made absolute (G-75); of the program: resolved."""
    if link is None or link.is_main:
        if link is not None and link.image is not None:
            return os.path.dirname(host.root.inside(os.path.realpath(link.image.path)))
        return os.path.dirname(host.root.realpath(host.executable))
    path = link.path if link.path.startswith("/") else f"{host.cwd}/{link.path}"
    return path.rpartition("/")[0] or "/"


class Found(NamedTuple):
    """The end of a search: a head to map, or a refusal that ends it, or neither; and whether a class was wrong."""

    head: Head | None
    refusal: Refusal | None
    other_class: bool
    errno: int
    attempts: tuple[Attempt, ...]


class Directories:
    """Which directories exist, remembered as the loader does for absolute ones (G-72, G-73).

    `errno` is the number that the last opening of a file left, `missing` the directories that were found missing
    since then: what a message ends with where nothing could be opened at all.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, tuple[str, ...] | None] = {}
        self.errno = 0
        self.missing: list[str] = []
        self.root: bool | None = None

    def opened(self, number: int) -> None:
        """Note how the opening of a file went."""
        self.errno = number
        self.missing.clear()

    def subdirectories(self, directory: str, below: tuple[str, ...]) -> tuple[str, ...] | None:
        """`directory` and those of its hwcap subdirectories that exist, in the order tried; None where none does.

        A relative directory counts as existing: only opening a file in it tells what is wrong with it (G-65).
        """
        try:
            return self._known[directory]
        except KeyError:
            pass
        found: list[str] = []
        if self._exists(directory or "."):
            # One look at the parent spares a stat for each of up to eleven subdirectories nobody ever has.
            tops = {top for top in {one.partition("/")[0] for one in below} if self._exists(_joined(directory, top))}
            found = [
                path for one in below if one.partition("/")[0] in tops and self._exists(path := _joined(directory, one))
            ]
            found.append(directory)
        if not directory.startswith("/"):
            return tuple(found) or (directory,)
        result = self._known[directory] = tuple(found) or None
        if result is None:
            self.missing.append(directory)
        return result

    def without_root(self, existing: tuple[str, ...] | None, query: Query) -> tuple[str, ...] | None:
        """What is looked at for an entry "/": not the root itself, once nothing was found there (G-73).

        ld.so up to 2.36 (2.41 no longer) then asks whether the directory exists, by a name without its last slash:
        there is none of no name.
        """
        if self.root is None and "/" in _searched_at_start(query):
            self.root = False
        if self.root is not False:
            self.root = self.root or False
            return existing
        return tuple(one for one in existing or () if one != "/") or None

    def _exists(self, directory: str) -> bool:
        try:
            place = directory if self._host.foreign is None else self._host.outside(directory)
            return stat.S_ISDIR(os.stat(place).st_mode)
        except (OSError, ValueError):
            return False


def _joined(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}" if directory else name


def search(query: Query, directories: Directories) -> Found:
    """Try every place for a bare name, in order, until one is taken or a bad file ends the search (G-65)."""
    attempts: list[Attempt] = []
    other_class = False
    below = query.host.hwcap_subdirectories
    for step in STEPS:
        name = step.__name__
        for place in step(query):
            for entry in place.entries:
                if place.is_path:
                    candidates: tuple[str, ...] = (entry,)
                else:
                    existing = directories.subdirectories(entry, below)
                    if entry == "/" and query.host.version <= (2, 36):
                        existing = directories.without_root(existing, query)
                    if existing is None:
                        attempts.append(Attempt(name, entry, NO_DIRECTORY))
                        continue
                    candidates = tuple([_joined(one, query.name) for one in existing])
                list_ends = False
                for candidate in candidates:
                    head, refusal, outcome = try_candidate(candidate, query.host)
                    attempts.append(Attempt(name, candidate, outcome, detail_of(head, refusal)))
                    if outcome is TAKEN or outcome is STOPPED:
                        directories.opened(0)
                        if entry == "/":
                            directories.root = True
                        return Found(head, refusal, other_class, 0, tuple(attempts))
                    other_class = other_class or outcome is WRONG_CLASS
                    directories.opened(head.errno or errno.ENOENT)
                    list_ends = outcome is LIST_ENDS  # the directory itself, tried last, decides
                if list_ends:
                    break
    if set(directories.missing) - _searched_at_start(query):
        directories.opened(errno.ENOENT)
    return Found(None, None, other_class, directories.errno, tuple(attempts))


def _searched_at_start(query: Query) -> set[str]:
    """The directories that the loader looked into for what the program itself needs: known to be missing (G-73)."""
    own = query._replace(requirer=query.main)
    places = itertools.chain(rpath(own), ld_library_path(own), runpath(own))
    return {entry for place in places for entry in place.entries}


def detail_of(head: Head, refusal: Refusal | None) -> str:
    """What an attempt tells of the file beyond its outcome."""
    if refusal is not None:
        return refusal.text or refusal.detail
    return os.strerror(head.errno) if head.errno not in (0, errno.ENOENT) else ""


def try_candidate(path: str, host: Host) -> tuple[Head, Refusal | None, str]:
    """Open one candidate and make the header checks: the head, what refuses it, and the outcome (G-65)."""
    head = host.look_at(path)
    if head.errno:
        if head.errno == errno.ENOENT or (head.errno == errno.ENOTDIR and host.version >= (2, 39)):
            return head, None, ABSENT
        return head, None, UNREADABLE if head.errno == errno.EACCES else LIST_ENDS
    refusal = refused_header(head, host)
    if refusal is None:
        return head, None, TAKEN
    if refusal is SKIP_CLASS:
        return head, refusal, WRONG_CLASS
    if refusal is SKIP_MACHINE:
        return head, refusal, WRONG_MACHINE
    if refusal.kind == SKIP_KERNEL:
        return head, refusal, NEWER_KERNEL
    return head, refusal, STOPPED
