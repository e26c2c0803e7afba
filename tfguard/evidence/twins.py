"""Finds the exported twin of a missing C++ symbol: the same function under another ABI, release or signature."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from tfguard.binary.symbols import Reference, SymbolTable
from tfguard.case import Twin
from tfguard.image import DT_STRSZ, Image
from tfguard.loader.process import Process
from tfguard.loader.trace import Failure
from tfguard.mangling.parser import parsed
from tfguard.mangling.string_abi import other_abi_spelling, same_function

_MOST_NAMES = 50
_MOST_SCANNED = 3
# Some 1 ms a megabyte: each name in TensorFlow's small library, two of them in its large one of 82 MB.
_SCAN_BUDGET = 240 << 20
_OVERLOADS = 20

_NAME = re.compile(rb"_Z(N[rVK]*[RO]?)?(?=[0-9])")
_LENGTH = re.compile(rb"([0-9]{1,4})")
_CODE = re.compile(rb"[CD][0-9]|[a-z][a-zA-Z]")
_ABSEIL = re.compile(rb"12(lts_[0-9]{8})")
_DIFFERENCES = ("C++ ABI", "Abseil release", "parameters")
# How std::string shows in a mangled name: the namespace and the tag of the new ABI, the abbreviations of the old one.
_NEW_STRING = re.compile(rb"7__cxx11|B5cxx11")
_STRING = re.compile(rb"7__cxx11|B5cxx11|S[sb]")
_STANDARD = (b"_ZNSt", b"_ZNKSt", b"_ZSt")


class _Provider(NamedTuple):
    """A library of TensorFlow's and what it exports; `size` is that of its string table in bytes."""

    path: str
    table: SymbolTable
    size: int


def find_twins(failure: Failure, process: Process) -> tuple[Twin, ...]:
    """The exported function that tells most of why the failure's symbols are missing; empty where none is like them.

    Looked for in this order, over all missing symbols each: the same function built with the other string ABI, the
    same under another release of Abseil (both by hash), one of the same name that differs otherwise (by reading
    string tables, within a bound that keeps it below 0.3 s).
    """
    providers = _providers(failure, process)
    names = [
        one.name
        for one in sorted(failure.references, key=_tells_little)[:_MOST_NAMES]
        if one.name.startswith(b"_Z") and not any(here.table.accepts(one.name, None) for here in providers)
    ]
    if not providers or not names:
        return ()
    share_abi = _share_new_abi(failure.path, providers, process)
    twin = next(_other_string_abi(names, providers, share_abi=share_abi), None)
    if twin is None:
        release = _exported_abseil(names, providers)
        twin = next(_other_abseil(names, providers, release), None) or next(
            _same_qualified_name(names, providers, release, share_abi=share_abi), None
        )
    return (twin,) if twin is not None else ()


def _providers(failure: Failure, process: Process) -> list[_Provider]:
    """TensorFlow's libraries in the process, each file once, those that are soonest read first."""
    found: dict[str, _Provider] = {}
    for link in process.links:
        if link.image is None or "tensorflow" not in os.path.basename(link.path) or link.path == failure.path:
            continue
        if (table := process.table(link)) is not None:
            size = link.image.dynamic.get(DT_STRSZ, 0)
            found.setdefault(process.host.root.realpath(link.path), _Provider(link.path, table, size))
    return sorted(found.values(), key=lambda one: one.size)


def _tells_little(reference: Reference) -> bool:
    return not _STRING.search(reference.name)


# --- the same function, by hash


def _other_string_abi(names: list[bytes], providers: list[_Provider], *, share_abi: bool) -> Iterator[Twin]:
    for name in names:
        for spelling in other_abi_spelling(name):
            if share_abi and _differ_by_tag(name, spelling):
                continue
            yield from _exported(spelling, providers, "C++ ABI")


def _other_abseil(names: list[bytes], providers: list[_Provider], release: bytes) -> Iterator[Twin]:
    for name in names:
        renamed = _ABSEIL.sub(b"12" + release, name) if release else name
        if renamed != name:
            for spelling in (renamed, *other_abi_spelling(renamed)):
                yield from _exported(spelling, providers, "Abseil release")


def _exported(name: bytes, providers: list[_Provider], difference: str) -> Iterator[Twin]:
    for provider in providers:
        if provider.table.accepts(name, None):
            yield Twin(name, provider.path, difference)


def _differ_by_tag(a: bytes, b: bytes) -> bool:
    """Whether only the tag of a returned std::string tells the two apart.

    A function that returned a `const char*` in another release differs in just that, too.
    """
    return a.replace(b"B5cxx11", b"") == b.replace(b"B5cxx11", b"")


def _share_new_abi(path: str, providers: list[_Provider], process: Process) -> bool:
    """Whether the library binds to a function of TensorFlow's with a new std::string: both have the new ABI then."""
    image = process.host.look_at(path).content
    if not isinstance(image, Image):
        return False
    try:
        table = SymbolTable(image)
    except OSError:
        return False
    try:
        names = [one.name for one in table.references() if _NEW_STRING.search(one.name)][:_MOST_NAMES]
    finally:
        table.close()
    return any(one.table.accepts(name, None) for name in names if not name.startswith(_STANDARD) for one in providers)


def _exported_abseil(names: list[bytes], providers: list[_Provider]) -> bytes:
    """The release of Abseil that TensorFlow exports; nothing where it exports none or no name asks for it."""
    if not any(b"4absl" in name for name in names):
        return b""
    for provider in providers:
        for name in provider.table.exported_like(b"4absl12lts_", limit=1):
            if (tag := _ABSEIL.search(name)) is not None:
                return tag[1]
    return b""


# --- one of the same name, by reading string tables


def _same_qualified_name(
    names: list[bytes], providers: list[_Provider], release: bytes, *, share_abi: bool
) -> Iterator[Twin]:
    wanted: dict[tuple[bytes, ...], bytes] = {}
    for name in names:
        if path := qualified_name(name):
            wanted.setdefault(path, name)
    left = _SCAN_BUDGET
    for provider in providers:
        for path, missing in list(wanted.items())[:_MOST_SCANNED]:
            left -= provider.size
            if left < 0:
                return
            like = provider.table.exported_like(_fragment(path, release), limit=_OVERLOADS)
            twins = [
                Twin(one, provider.path, _difference(missing, one, share_abi=share_abi))
                for one in like
                if qualified_name(one) == path
            ]
            yield from sorted(twins, key=partial(_order, missing))


def _order(missing: bytes, twin: Twin) -> tuple[int, int]:
    """What tells most comes first, among alike ones the overload most like what is missing."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(missing, twin.name, strict=False))
    return _DIFFERENCES.index(twin.difference), -len(list(alike))


def _fragment(path: tuple[bytes, ...], release: bytes) -> bytes:
    """The text that every mangled name with this qualified name contains."""
    found = b"" if len(path) > 1 else b"_Z"
    for part in path:
        found += part[1:] if part.startswith(b" ") else b"%d%s" % (len(part), part)
        if part == b"absl" and release:
            found += b"12" + release
    return found


def qualified_name(name: bytes) -> tuple[bytes, ...]:
    """The identifiers that name the function itself: parameters, ABI tags and Abseil's release are left out.

    `_ZN4absl12lts_202308026Status5CloneEv` gives (absl, Status, Clone). The last part of a constructor, a destructor
    or an operator is a space and its code. Nothing for what is no C++ function or one of the standard library, and
    for a member of a class template: another instance of it is another function.
    """
    start = _NAME.match(name)
    if start is None:
        return ()
    nested = start[1] is not None
    found: list[bytes] = []
    at = start.end()
    while (length := _LENGTH.match(name, at)) is not None and (nested or not found):
        part = name[length.end() : length.end() + int(length[1])]
        at = length.end() + len(part)
        if not part.startswith(b"lts_"):
            found.append(part)
        while name[at : at + 1] == b"B" and (tag := _LENGTH.match(name, at + 1)) is not None:
            at = tag.end() + int(tag[1])
    if nested and (code := _CODE.match(name, at)) is not None:
        found.append(b" " + (code[0][:1] if code[0][:1] in b"CD" else code[0]))
    elif (nested and name[at : at + 1] not in (b"E", b"I")) or (name[at : at + 1] == b"I" and _is_in_template(name)):
        return ()
    return tuple(found)


def _is_in_template(name: bytes) -> bool:
    """Whether the function is a member of a class template; of one in a name that is not understood, False."""
    read = parsed(name)
    if read is None:
        return False
    graph, root = read
    node = graph.nodes[root]
    while node.kind in ("encoding", "member", "template"):
        node = graph.nodes[node.parts[0]]
    while node.kind == "scoped":
        node = graph.nodes[node.parts[0]]
        if node.kind == "template":
            return True
    return False


def _difference(missing: bytes, exported: bytes, *, share_abi: bool) -> str:
    one_is_new = bool(_NEW_STRING.search(missing)) != bool(_NEW_STRING.search(exported))
    if one_is_new and same_function(missing, exported) and not (share_abi and _differ_by_tag(missing, exported)):
        return "C++ ABI"
    releases = abseil_releases(missing), abseil_releases(exported)
    if releases[0] != releases[1] and (all(releases) or qualified_name(missing)[:1] == (b"absl",)):
        return "Abseil release"
    return "parameters"


def abseil_releases(name: bytes) -> tuple[str, ...]:
    """The Abseil releases in a mangled name, as in absl::lts_20230802::Status."""
    return tuple(dict.fromkeys(tag.decode("ascii") for tag in _ABSEIL.findall(name)))
