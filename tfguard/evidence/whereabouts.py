"""Finds the files of a wanted name on this machine, and why the loader does not come to them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from tfguard.binary.symbols import Reference
from tfguard.case import Elsewhere
from tfguard.hosts.root import HERE, Root
from tfguard.image import Image
from tfguard.installed.python import this_python
from tfguard.loader.link_map import LinkMap
from tfguard.loader.process import Process
from tfguard.loader.trace import Failure, Trace

_GLOB_LIMIT = 40
_SHOWN = 6


def elsewhere(failure: Failure, process: Process) -> tuple[Elsewhere, ...]:
    """Files of the name that was searched for, or of that library in another version, that exist on this machine."""
    host = process.host
    name = os.path.basename(failure.name)
    if not name:
        return ()
    tried = {attempt.path for attempt in failure.lookup.attempts} if failure.lookup is not None else set()
    stem = re.split(r"\.so\b", name)[0] + ".so"
    found: list[Elsewhere] = []
    here = os.path.join(host.cwd, name)
    if failure.requirer is None and host.root.exists(here):
        found.append(Elsewhere(here, "a name without a slash is not looked up in the working directory", True, True))
    for path in _candidates(name, stem, failure.requirer, process):
        if len(found) >= _SHOWN:
            break
        if path in tried or (failure.requirer is None and path == here):
            continue  # what was tried is in the search already
        why, usable = _why_not(path, process)
        exact = os.path.basename(path) == name
        # the name without a number is for linking: it says nothing of the version
        if exact or (usable and os.path.basename(path) != stem):
            found.append(Elsewhere(path, why, exact, usable and exact))
    if any(one.usable for one in found):
        found = [one for one in found if one.exact]
    return tuple(sorted(found, key=lambda one: (not one.usable, not one.exact)))


def _candidates(name: str, stem: str, requirer: str | None, process: Process) -> list[str]:
    host, root = process.host, process.host.root
    python = host.python or this_python()
    sites = [path for path in python.path if path.endswith(("site-packages", "dist-packages"))]
    folders = [
        os.path.dirname(requirer or ""),
        *(host.late_library_path or "").split(":"),
        *host.environment.get("LD_LIBRARY_PATH", "").split(":"),
        os.path.join(python.prefix, "lib"),
        os.path.join((os.environ if root.is_here else host.environment).get("CONDA_PREFIX", python.prefix), "lib"),
        *host.system_directories,
        "/usr/local/lib",
        "/usr/lib64",
        "/usr/lib32",
        "/opt/lib",
    ]
    patterns = [f"{glob.escape(folder)}/{glob.escape(stem)}*" for folder in folders if folder]
    for site in sites:
        place = glob.escape(site)
        patterns += [f"{place}/{sub}/{glob.escape(stem)}*" for sub in ("nvidia/*/lib", "*.libs", "tensorflow", "*/lib")]
    patterns += [
        f"{where}/{glob.escape(stem)}*"
        for where in ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/opt/*/lib", "/usr/lib/*-linux-*")
    ]
    paths = list(process.cached(name))
    for pattern in patterns:
        paths += root.matching(pattern)[:_GLOB_LIMIT]
    # One file by several names counts once: by the wanted name, else by the first.
    unique: dict[str, str] = {}
    for path in sorted(dict.fromkeys(paths), key=lambda path: os.path.basename(path) != name):
        if root.lexists(path):
            unique.setdefault(root.realpath(path), path)
    return list(unique.values())


def _why_not(path: str, process: Process) -> tuple[str, bool]:
    """Why the loader does not take this file, and whether it would if it looked there."""
    host = process.host
    if (refused := process.not_taken(path)) is not None:
        return refused, False
    if host.secure and os.path.dirname(path) in host.environment.get("LD_LIBRARY_PATH", "").split(":"):
        return "is on LD_LIBRARY_PATH, which is ignored in a process with raised privileges", True
    return "is not in a place where the loader looks", True


def late_directories(name: str, process: Process) -> tuple[str, ...]:
    """Directories that os.environ's LD_LIBRARY_PATH has now, that were not there at start, and that hold the file."""
    host = process.host
    late = (host.late_library_path or "").replace(";", ":").split(":")
    early = host.environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    base = os.path.basename(name)
    return tuple(one for one in late if one and one not in early and host.root.exists(os.path.join(one, base)))


def behind(failure: Failure, process: Process, trace: Trace) -> tuple[Elsewhere, ...]:
    """The file that the search would have come to next, had the bad file at fault not ended it."""
    if "/" in failure.name or failure.lookup is None or not failure.lookup.attempts:
        return ()
    tried = {attempt.path for attempt in failure.lookup.attempts}
    for path in _places(failure.name, failure.requirer, process, trace):
        if path not in tried and process.not_taken(path) is None:
            why = f"is not reached: the search ends at {failure.path}"
            return (Elsewhere(path, why, True, True),)
    return ()


def _places(name: str, requirer: str | None, process: Process, trace: Trace) -> Iterator[str]:
    """Every path that a search for a name tries, whatever is found on the way."""
    link = process.loaded_as(requirer) if requirer is not None else None
    mapped = next((one for one in trace.images if one.path == requirer), None)
    if link is None and mapped is not None and isinstance(mapped.image, Image):
        # a load that failed leaves nothing in the process
        link = LinkMap(mapped.path, mapped.image)
    return process.places(name, link)


def other_providers(failure: Failure, process: Process, trace: Trace) -> tuple[Elsewhere, ...]:
    """Other files of the provider's name that define every version asked for."""
    wanted = {need.version for need in failure.needs if need.file == failure.name}
    found: list[Elsewhere] = []
    for path, image in _other_copies(failure.name, failure.provider, failure.requirer, process, trace):
        table = process.table(LinkMap(path, image))
        if table is not None and wanted <= table.versions.defined_names:
            what = "has every version asked for" if len(wanted) > 1 else f"has {', '.join(wanted)}"
            found.append(Elsewhere(path, what, True, True))
    return tuple(found[:4])


def copies_with_symbol(
    name: str, taken: str, reference: Reference, failure: Failure, process: Process, trace: Trace
) -> tuple[Elsewhere, ...]:
    """Other files of a library's name that define a symbol which the copy taken does not."""
    found: list[Elsewhere] = []
    for path, image in _other_copies(name, taken, failure.path, process, trace):
        table = process.table(LinkMap(path, image))
        if table is not None and table.accepts(reference.name, reference.need):
            found.append(Elsewhere(path, "defines the symbol", True, True))
    return tuple(found[:4])


def _other_copies(
    name: str, taken: str | None, requirer: str | None, process: Process, trace: Trace
) -> Iterator[tuple[str, Image]]:
    """Files of just this name, other than the one taken, that are for this machine; those of the search first."""
    base = os.path.basename(name)
    paths = [*_places(base, requirer, process, trace), *_candidates(base, base, requirer, process)]
    realpath = process.host.root.realpath
    seen = {realpath(taken or "")}
    for path in paths:
        if realpath(path) in seen or os.path.basename(path) != base:
            continue
        seen.add(realpath(path))
        image = process.host.look_at(path).content
        if isinstance(image, Image) and image.machine == process.host.machine:
            yield path, image


def configured_directories(root: Root = HERE, path: str = "/etc/ld.so.conf", *, depth: int = 3) -> tuple[str, ...]:
    """The folders that ldconfig looks in, by its configuration: ldconfig(8)."""
    found: dict[str, None] = {}
    for line in (root.read(path, 1 << 16) or b"").decode("utf-8", "surrogateescape").splitlines():
        word = line.partition("#")[0].strip()
        if word.startswith("include") and depth:
            pattern = os.path.join(os.path.dirname(path), word[len("include") :].strip())
            for included in root.matching(pattern)[:_GLOB_LIMIT]:
                found.update(dict.fromkeys(configured_directories(root, included, depth=depth - 1)))
        elif word.startswith("/"):
            found[word.rstrip("/")] = None
    return tuple(found)
