"""Where dyld of macOS 12 and later looks for one name: candidates in order, each with the step that makes it (D-30).

A candidate that exists and is not fit does not end the search (D-32); the same path may come several times, and
messages show it (D-31).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tfguard.hosts.mac import Mac
from tfguard.loader.dyld_image import Chain, DyldImage


class Candidate(NamedTuple):
    """A path to try. `on_disk` says that the shared cache is not asked, `guessed` that no file names this path."""

    step: str
    path: str
    on_disk: bool = False
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """One name to find. `chain` gives the rpaths, the image with the load command or the caller first.

    `static` says that the name comes from a load command and not from a call of dlopen.
    """

    name: str
    mac: Mac
    chain: Chain
    static: bool

    @property
    def requester(self) -> DyldImage | None:
        """The image with the load command; of a dlopen the caller."""
        return self.chain[0] if self.chain else None

    @property
    def leaf(self) -> str:
        """The name behind its last slash."""
        return self.name.rpartition("/")[2]

    @property
    def framework(self) -> str | None:
        """From `Foo.framework` on, where the name is that of a framework's library."""
        parts = self.name.split("/")
        for length in (2, 4):
            is_framework = len(parts) >= length and parts[-length] == f"{parts[-1]}.framework"
            if is_framework and (length == 2 or parts[-3] == "Versions"):
                return "/".join(parts[-length:])
        return None

    @property
    def is_relative(self) -> bool:
        """Whether dlopen was given a name that begins neither with a slash nor with @."""
        return not self.static and not self.name.startswith(("/", "@"))


def path_variables(query: Query) -> Iterator[Candidate]:
    """DYLD_FRAMEWORK_PATH for frameworks, DYLD_LIBRARY_PATH for all else, whatever the name looks like (D-30 1)."""
    framework = query.framework
    variable = "DYLD_LIBRARY_PATH" if framework is None else "DYLD_FRAMEWORK_PATH"
    for directory in query.mac.variable(variable) or ():
        yield Candidate(variable.lower(), f"{directory}/{framework or query.leaf}")


def versioned(query: Query) -> Iterator[Candidate]:
    """DYLD_VERSIONED_LIBRARY_PATH and its like, where what lies there is newer (D-30 2, D-78)."""
    framework = query.framework
    variable = "DYLD_VERSIONED_LIBRARY_PATH" if framework is None else "DYLD_VERSIONED_FRAMEWORK_PATH"
    for directory in query.mac.variable(variable) or ():
        path = f"{directory}/{framework or query.leaf}"
        if (found := _dylib_version(query.mac, path)) is None:
            continue
        name, current = found
        if name != query.name:
            continue
        installed = _dylib_version(query.mac, name)
        if installed is None or installed[1] < current:
            yield Candidate("versioned", path)


def _dylib_version(mac: Mac, path: str) -> tuple[str, int] | None:
    from tfguard.macho_image import MachoImage

    for one in mac.files.look_at(path).slices:
        if isinstance(one.content, MachoImage) and one.content.install_name is not None:
            return one.content.install_name, one.content.current
    return None


def on_disk_first(query: Query) -> Iterator[Candidate]:
    """From macOS 13 on the name itself on disk, before everything else but the variables (D-30 3a)."""
    mac = query.mac
    if mac.cryptex is None:
        return
    if not query.name.startswith("@"):
        yield Candidate("on_disk", query.name, on_disk=True)
    elif mac.version < (13, 3):
        yield from (one._replace(on_disk=True) for one in expand(query, query.name))


def cryptex(query: Query) -> Iterator[Candidate]:
    """The same name below the cryptex, plainly put together; of a relative one that makes no path (D-30 3b)."""
    mac = query.mac
    if mac.cryptex is not None and (not query.name.startswith("@") or mac.version < (13, 3)):
        yield Candidate("cryptex", mac.cryptex + query.name)


def the_name(query: Query) -> Iterator[Candidate]:
    """The name with its @ expanded; what dlopen was given without a slash in front is looked up as @rpath (D-30 4)."""
    mac = query.mac
    if not query.is_relative:
        yield from expand(query, query.name)
        return
    yield from expand(query, f"@rpath/{query.name}")
    if mac.version >= (13,):
        yield Candidate("usr_lib", f"/usr/lib/{query.name}", guessed=True)
        if not mac.allows_at_paths:
            return
    yield Candidate("working_directory", query.name)


def fallbacks(query: Query) -> Iterator[Candidate]:
    """The last directories: of the variable where it is set, else those that are built in (D-38)."""
    mac, framework = query.mac, query.framework
    variable = "DYLD_FALLBACK_LIBRARY_PATH" if framework is None else "DYLD_FALLBACK_FRAMEWORK_PATH"
    directories = mac.variable(variable)
    has_slash = "/" in query.name
    if not query.static and has_slash:
        if framework is None and mac.version >= (12, 3):
            return
        if mac.version < (13,):
            directories = None
    if directories is None:
        if mac.version >= (13,) and not _needs_fallbacks(query.requester):
            return
        directories = _LIBRARIES if framework is None else _FRAMEWORKS
        if not mac.allows_classic_fallbacks:
            directories = directories[1:]
    for directory in directories:
        path = f"{directory}/{framework or query.leaf}"
        if path != query.name:
            yield Candidate("fallback", path, guessed=True)


_LIBRARIES = ("/usr/local/lib", "/usr/lib")
_FRAMEWORKS = ("/Library/Frameworks", "/System/Library/Frameworks")


def _needs_fallbacks(requester: DyldImage | None) -> bool:
    """Images built with an SDK before that of macOS 14; what does not say counts as old (D-38)."""
    return requester is None or requester.image is None or requester.image.sdk < (14,)


Step = Callable[[Query], Iterator[Candidate]]

STEPS: tuple[Step, ...] = (path_variables, versioned, on_disk_first, cryptex, the_name, fallbacks)


def candidates(query: Query) -> Iterator[Candidate]:
    """Every path that is tried for a name, in order, until one is taken."""
    suffixes = query.mac.variable("DYLD_IMAGE_SUFFIX") or ()
    for step in STEPS:
        found = False
        for candidate in step(query):
            found = True
            for suffix in suffixes:
                yield candidate._replace(path=with_suffix(candidate.path, suffix))
            yield candidate
        if found and step is versioned:
            return


def with_suffix(path: str, suffix: str) -> str:
    """The suffix in front of the last dot of the file's name."""
    directory, slash, leaf = path.rpartition("/")
    stem, dot, extension = leaf.rpartition(".")
    return f"{directory}{slash}{stem}{suffix}.{extension}" if dot else f"{path}{suffix}"


def expand(query: Query, name: str) -> Iterator[Candidate]:
    """A name as paths: @loader_path, @executable_path, @rpath, or the name as it stands (D-34, D-35, D-36)."""
    if name.startswith("@rpath/"):
        yield from _rpaths(query, name[len("@rpath") :])
        return
    requester = query.requester
    if requester is not None and (path := _loader_path(name, requester)) is not None:
        yield Candidate("loader_path", path)
        if (other := _without_version(requester, name)) is not None:
            yield Candidate("loader_path", other)
    elif (path := _executable_path(name, query.mac)) is not None:
        yield Candidate("executable_path", path)
    elif not name.startswith("@"):
        yield Candidate("path", name)


def _loader_path(name: str, image: DyldImage) -> str | None:
    if name != "@loader_path" and not name.startswith("@loader_path/"):
        return None
    return image.path.rpartition("/")[0] + name[len("@loader_path") :]


def _without_version(image: DyldImage, name: str) -> str | None:
    """Old dylibs inside a framework are given a second try beside their Versions folder (D-34)."""
    facts = image.image
    if facts is None or facts.install_name is None or facts.sdk >= (13,):
        return None
    leaf = facts.install_name.rpartition("/")[2]
    front, slash, version = image.path.removesuffix(f"/{leaf}").rpartition("/")
    if not slash or len(version) != 1 or not front.endswith("/Versions") or not image.path.endswith(f"/{leaf}"):
        return None
    return front.removesuffix("/Versions") + name[len("@loader_path") :]


def _executable_path(name: str, mac: Mac) -> str | None:
    if not mac.main or not mac.allows_at_paths:
        return None
    if name != "@executable_path" and not name.startswith("@executable_path/"):
        return None
    end, rest = mac.main.rfind("/"), name[len("@executable_path") :]
    while mac.version >= (13,) and rest.startswith("/.."):  # the path is real: what leads upwards is cut off
        above = mac.main.rfind("/", 0, end)
        if above <= 0:
            break
        end, rest = above, rest[3:]
    return mac.main[:end] + (rest or "/")


def _rpaths(query: Query, tail: str) -> Iterator[Candidate]:
    """Each LC_RPATH of each image of the chain, joined with what stands behind @rpath (D-36, D-43)."""
    mac = query.mac
    for link in query.chain:
        for rpath in link.image.rpaths if link.image is not None else ():
            path = _loader_path(rpath, link) if mac.allows_at_paths or not link.is_main else None
            if path is None:
                path = _executable_path(rpath, mac)
            if path is not None:
                yield Candidate("lc_rpath", _joined(path, tail), guessed=True)
            elif rpath.startswith("/"):
                yield Candidate("lc_rpath", _joined(rpath, tail), guessed=True)
                if mac.cryptex is not None:
                    yield Candidate("lc_rpath", _joined(mac.cryptex + rpath, tail), guessed=True)
            elif mac.allows_at_paths:
                yield Candidate("lc_rpath", _joined(rpath, tail), guessed=True)


def _joined(path: str, tail: str) -> str:
    return path[:-1] + tail if path.endswith("/") else path + tail


def has_rpath(chain: Chain) -> bool:
    """Whether any image of the chain has an LC_RPATH at all (D-37)."""
    return any(link.image is not None and link.image.rpaths for link in chain)
