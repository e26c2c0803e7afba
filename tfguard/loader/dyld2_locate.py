"""Where dyld of macOS 10.15 and 11 looks for one name, and what it says of what it finds (dyld.md §4.4).

Two passes over the same places: the first compares with what is loaded, the second opens files (D-40).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from tfguard.hosts.mac import Mac
from tfguard.loader.dyld2_file import refused_file
from tfguard.loader.dyld_file import Refusal
from tfguard.loader.dyld_image import DyldImage
from tfguard.loader.dyld_locate import Found, absolute, same_file
from tfguard.loader.dyld_search import Candidate, Query, with_suffix
from tfguard.loader.trace import ABSENT, ALREADY_LOADED, SHARED_CACHE, TAKEN, Attempt
from tfguard.macho_image import MachoImage


def locate(query: Query, images: Sequence[DyldImage]) -> Found:
    """Play the search for one name."""
    for candidate in _candidates(query, opens=False):
        if (match := _matching(candidate.path, query, images)) is not None:
            return Found((Attempt("already_loaded", match.path, ALREADY_LOADED),), loaded=match)
    mac = query.mac
    attempts: list[Attempt] = []
    refusals: list[tuple[str, Refusal]] = []
    for candidate in _candidates(query, opens=True):
        step, path = candidate.step, candidate.path
        if mac.cache.holds(path, guessed=candidate.guessed):
            attempts.append(Attempt(step, path, SHARED_CACHE))
            return Found(tuple(attempts), cached=path, refusals=tuple(refusals))
        if not mac.allows_path_variables and not path.startswith("/"):
            refused = Refusal("relative", "D-12", "file system relative paths not allowed in hardened programs")
            refusals.append((path, refused))
            attempts.append(Attempt(step, path, refused.text or ""))
            continue
        head = mac.files.look_at(absolute(path, mac))
        if head.errno == errno.ENOENT:
            attempts.append(Attempt(step, path, ABSENT))
            continue
        if (same := same_file(head, images)) is not None:
            attempts.append(Attempt(step, path, ALREADY_LOADED))
            return Found(tuple(attempts), loaded=same, refusals=tuple(refusals))
        result: MachoImage | Refusal
        if head.errno:
            what = "open()" if head.errno == errno.EACCES else "stat()"
            result = Refusal("permission", "D-12", f"{what} failed with errno={head.errno}", certain=False)
        elif head.kind != "regular":
            result = Refusal("not-a-file", "D-12", "not a file")
        else:
            result = refused_file(head, mac, static=query.static)
        if isinstance(result, MachoImage):
            attempts.append(Attempt(step, path, TAKEN))
            return Found(tuple(attempts), image=result, path=path, refusals=tuple(refusals))
        refusals.append((path, result))
        attempts.append(Attempt(step, path, result.text or result.kind))
    return Found(tuple(attempts), refusals=tuple(refusals), reason=_reason(refusals))


def _reason(refusals: Sequence[tuple[str, Refusal]]) -> str:
    """A missing file says nothing, only what was there does (D-62)."""
    if not refusals:
        return "image not found"
    said = "".join(f"\n\t{one.text}" if one.kind == "relative" else f"\n\t{path}: {one.text}" for path, one in refusals)
    return f"no suitable image found.  Did find:{said}"


def _matching(path: str, query: Query, images: Sequence[DyldImage]) -> DyldImage | None:
    """Paths match; install names for dlopen, and for what is asked for as @rpath (D-53)."""
    for one in images:
        if path in (one.given, one.path) or (not query.static and one.matches(path)):
            return one
        if query.name.startswith("@rpath/") and one.image is not None and one.image.install_name == query.name:
            return one
    return None


def _candidates(query: Query, *, opens: bool) -> Iterator[Candidate]:
    suffixes = query.mac.variable("DYLD_IMAGE_SUFFIX") or ()
    for candidate in _places(query, opens=opens):
        for suffix in suffixes:
            yield candidate._replace(path=with_suffix(candidate.path, suffix))
        yield candidate


def _places(query: Query, *, opens: bool) -> Iterator[Candidate]:
    """The places in their order (D-40)."""
    mac, name, framework = query.mac, query.name, query.framework
    is_leaf = not query.static and "/" not in name
    if is_leaf:
        yield from _below("ld_library_path", _ld_library_path(mac), query.leaf, mac, opens=opens)
    if framework is not None:
        frameworks = mac.variable("DYLD_FRAMEWORK_PATH") or ()
        yield from _below("dyld_framework_path", frameworks, framework, mac, opens=opens)
    else:
        libraries = mac.variable("DYLD_LIBRARY_PATH") or ()
        yield from _below("dyld_library_path", libraries, query.leaf, mac, opens=opens)
    yield from _the_name(query, opens=opens)
    if opens:
        yield from _fallbacks(query, is_leaf=is_leaf)
    if is_leaf and not mac.allows_classic_fallbacks:
        yield Candidate("usr_lib", f"/usr/lib/{query.leaf}", guessed=True)
    if opens and not name.startswith("@") and (mac.allows_path_variables or name.startswith("/")):
        real = mac.files.real_path(absolute(name, mac))
        if real is not None:
            yield Candidate("real_path", real)


def _ld_library_path(mac: Mac) -> tuple[str, ...]:
    return mac.variable("LD_LIBRARY_PATH") or ()


def _below(
    step: str, directories: Sequence[str], tail: str, mac: Mac, *, opens: bool, guessed: bool = False
) -> Iterator[Candidate]:
    """A name in each directory; a file is tried once more by its real path (a file that failed fails twice)."""
    for directory in directories:
        path = f"{directory}/{tail}"
        yield Candidate(step, path, guessed=guessed)
        if opens and (real := mac.files.real_path(absolute(path, mac))) is not None:
            yield Candidate(step, real, guessed=guessed)


def _the_name(query: Query, *, opens: bool) -> Iterator[Candidate]:
    mac, name = query.mac, query.name
    requester = query.requester
    if name.startswith("@executable_path/") and mac.main:
        yield Candidate("executable_path", mac.main.rpartition("/")[0] + name[len("@executable_path") :])
        return
    if name.startswith("@loader_path/") and requester is not None:
        for path in dict.fromkeys((requester.given, requester.path)):
            yield Candidate("loader_path", path.rpartition("/")[0] + name[len("@loader_path") :])
        return
    if name.startswith("@rpath/") or (not query.static and not name.startswith("/")):
        tail = name.removeprefix("@rpath/")
        for rpath in _rpaths(query):
            yield Candidate("lc_rpath", f"{rpath.rstrip('/') if rpath != '/' else ''}/{tail}", guessed=True)
        leaf = tail.rpartition("/")[2]
        yield from _below("ld_library_path", _ld_library_path(mac), leaf, mac, opens=opens)
        if name.startswith("@rpath/"):
            return
        yield Candidate("working_directory", name)
        return
    yield Candidate("path", name)


def _rpaths(query: Query) -> Iterator[str]:
    """The LC_RPATHs of the chain as this engine keeps them: expanded, absolute ones by their real path (D-41)."""
    mac = query.mac
    for link in query.chain:
        for rpath in link.image.rpaths if link.image is not None else ():
            if rpath == "@loader_path" or rpath.startswith("@loader_path/"):
                if link.is_main and not mac.allows_at_paths:
                    continue
                yield link.path.rpartition("/")[0] + rpath[len("@loader_path") :]
            elif rpath == "@executable_path" or rpath.startswith("@executable_path/"):
                if mac.allows_at_paths and mac.main:
                    yield mac.main.rpartition("/")[0] + rpath[len("@executable_path") :]
            elif rpath.startswith("/"):
                yield mac.files.real_path(rpath) or rpath
            elif mac.allows_path_variables:
                yield rpath


def _fallbacks(query: Query, *, is_leaf: bool) -> Iterator[Candidate]:
    mac, framework = query.mac, query.framework
    home = mac.environment.get("HOME")
    below_home = () if not home or not mac.allows_classic_fallbacks else (home,)
    if framework is not None:
        directories = mac.variable("DYLD_FALLBACK_FRAMEWORK_PATH")
        if directories is None:
            built_in = ("/Library/Frameworks", "/Network/Library/Frameworks", "/System/Library/Frameworks")
            own = tuple(f"{one}/Library/Frameworks" for one in below_home)
            directories = (*own, *(built_in if mac.allows_classic_fallbacks else built_in[-1:]))
        yield from _below("fallback", directories, framework, mac, opens=True, guessed=True)
    elif query.static or is_leaf:
        directories = mac.variable("DYLD_FALLBACK_LIBRARY_PATH")
        if directories is None:
            libraries = ("/usr/local/lib", "/usr/lib")
            own = tuple(f"{one}/lib" for one in below_home)
            directories = (*own, *(libraries if mac.allows_classic_fallbacks else libraries[-1:]))
        yield from _below("fallback", directories, query.leaf, mac, opens=True, guessed=True)
