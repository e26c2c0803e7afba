"""Finds the exported twin of a missing C++ symbol: the same function under another ABI, release or signature."""

from __future__ import annotations

import os
import re

from tfguard.binary.symbols import Reference
from tfguard.case import Twin
from tfguard.loader.glibc import Process
from tfguard.loader.trace import Failure

_LIMIT = 6
_NESTED = re.compile(rb"_ZT?[VISZ]?N?[rVK]*(?:St)?")
_LENGTH = re.compile(rb"([0-9]{1,4})")
_ABSEIL = re.compile(rb"12(lts_[0-9]{8})")
# How std::string shows in a mangled name: the abbreviation of the old ABI, the namespace and the tag of the new one.
_OLD_STRING = re.compile(rb"Ss|ISs")
_NEW_STRING = re.compile(rb"7__cxx11|B5cxx11")


def find_twins(failure: Failure, process: Process) -> tuple[Twin, ...]:
    """For the missing symbols most likely to tell: exported functions of the same name that differ otherwise."""
    providers = {
        os.path.realpath(link.path): link
        for link in process.links
        if link.image is not None and "tensorflow" in os.path.basename(link.path) and link.path != failure.path
    }
    twins: list[Twin] = []
    for reference in sorted(failure.references, key=_tells_little)[:_LIMIT]:
        path = qualified_name(reference.name)
        if not path:
            continue
        fragment = b"".join(b"%d%s" % (len(part), part) for part in path[-2:])
        for link in providers.values():
            table = process.table(link)
            for name in table.exported_like(fragment, limit=20) if table is not None else ():
                if qualified_name(name) == path:
                    twins.append(Twin(name, link.path, _difference(reference.name, name)))
    return tuple(twins)


def _tells_little(reference: Reference) -> bool:
    return not (_OLD_STRING.search(reference.name) or _NEW_STRING.search(reference.name))


def qualified_name(name: bytes) -> tuple[bytes, ...]:
    """The identifiers that name the function itself: parameters, ABI tags and Abseil's release are left out.

    `_ZN4absl12lts_202308026Status5CloneEv` gives (absl, Status, Clone); what is not C++ gives nothing.
    """
    start = _NESTED.match(name)
    if start is None:
        return ()
    found: list[bytes] = []
    at = start.end()
    while (length := _LENGTH.match(name, at)) is not None:
        part = name[length.end() : length.end() + int(length[1])]
        at = length.end() + len(part)
        if not part.startswith(b"lts_"):
            found.append(part)
        while name[at : at + 1] == b"B" and (tag := _LENGTH.match(name, at + 1)) is not None:
            at = tag.end() + int(tag[1])
    return tuple(found)


def _difference(missing: bytes, exported: bytes) -> str:
    if bool(_NEW_STRING.search(missing)) != bool(_NEW_STRING.search(exported)):
        return "C++ ABI"
    if abseil_releases(missing) != abseil_releases(exported):
        return "Abseil release"
    return "parameters"


def abseil_releases(name: bytes) -> tuple[str, ...]:
    """The Abseil releases in a mangled name, as in absl::lts_20230802::Status."""
    return tuple(dict.fromkeys(tag.decode("ascii") for tag in _ABSEIL.findall(name)))
