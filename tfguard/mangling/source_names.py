"""Lists the identifiers in a mangled name, also in one that the parser does not understand."""

from __future__ import annotations

import re

_LONGEST = 4096

_SOURCE_TOKEN = re.compile(
    rb"S[0-9A-Z]*_|T[0-9]*_|[CD][0-9]|A[0-9]+_|L[a-z]n?[0-9]+E|_Z|B(?P<tag>[0-9]{1,5})|(?P<length>[0-9]{1,5})|.",
    re.DOTALL,
)
_ABI_NAMES = frozenset((b"__cxx11", b"basic_string", b"char_traits"))


def source_names(name: bytes) -> tuple[bytes, ...]:
    """The identifiers in a mangled name, in their order, without ABI tags and what differs between the string ABIs.

    Works on any name, also one that cannot be parsed; (name,) for one that is not C++.
    """
    if not name.startswith(b"_Z"):
        return (name,)
    found: list[bytes] = []
    at = 0
    name = name[:_LONGEST]
    while (token := _SOURCE_TOKEN.match(name, at)) is not None:
        at = token.end()
        length = int(token["length"] or token["tag"] or 0)
        identifier = name[at : at + length]
        at += length
        if token["length"] and identifier and identifier not in _ABI_NAMES:
            found.append(identifier)
    return tuple(found)
