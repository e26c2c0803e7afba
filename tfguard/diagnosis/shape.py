"""What a shape of message is, and how one is found in a line: Shape, and the object that a loader's line is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing_extensions import Unpack

from tfguard.diagnosis.said import Said

# A pattern is tried around its mark only: so a search takes time in proportion to the text, whatever stands in it.
TRAIL, FAR = 2600, 7000

_DLOPEN = re.compile(r"dlopen\((?P<object>[^,)\n]{1,600})")
_EDGE = re.compile(r"(?:: ?|\s-\s|[\[(]['\"]|^['\"]|=\s?['\"]?)(?=/|[A-Za-z]:\\|\.{1,2}/|@|[\w.+/-]{1,300}$|['\"])")
_TRAILING = " :'\"*([{,"
_LEADING = "'\"*([{ ,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A message: quick marks (one of them is in every line that has it, in lower case), and the pattern itself.

    Named groups of the pattern become the facts of the same names. Where no group is called `object`, that is what
    stands before the message in its line, as loaders write it. `reach` is how many lines below belong to it. A shape
    that `claims` keeps those behind it in the table from reading the same line, one that is `foreign` reads only lines
    that are not all ASCII. `lead` is how far before its mark a message may begin. Of one that is `traced`, the frame
    above it is read too.
    """

    kind: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    loader: str = "glibc"
    versions: str = "all"
    weight: int = 0
    reach: int = 0
    claims: bool = False
    before: bool = False
    foreign: bool = False
    lead: int = 250
    traced: bool = False


class _Fields(TypedDict, total=False):
    """The fields of a Shape that most rows leave as they are."""

    loader: str
    versions: str
    weight: int
    reach: int
    claims: bool
    before: bool
    foreign: bool
    lead: int
    traced: bool


def shape(kind: str, marks: str | Iterable[str], pattern: str, **fields: Unpack[_Fields]) -> Shape:
    """A row of the table."""
    return Shape(
        kind=kind,
        marks=(marks,) if isinstance(marks, str) else tuple(marks),
        pattern=re.compile(pattern, re.IGNORECASE),
        **fields,
    )


def read(shape: Shape, block: str, number: int, at: int = 0) -> Said | None:
    """What a block of lines says around its character `at`, None where it is not of this shape."""
    start = max(0, at - shape.lead)
    match = shape.pattern.search(block, start, at + (FAR if shape.reach else TRAIL))
    if match is None:
        return None
    facts = {
        name: value.strip(" " if name == "detail" else " '\"") for name, value in match.groupdict().items() if value
    }
    if shape.before and not facts.get("object"):
        left = block[max(0, match.start() - 1500) : match.start()]
        facts["object"] = _dlopened(left) if shape.loader == "dyld" else object_before(left)
    return Said(
        kind=shape.kind,
        loader=shape.loader,
        versions=shape.versions,
        line=block.split("\n", 1)[0],
        number=number,
        weight=shape.weight,
        **facts,  # type: ignore[arg-type]  # the names of groups are fields of Said
    )


def _dlopened(left: str) -> str:
    """What dlopen was asked for, or the path that a candidate's reason stands behind."""
    found = _DLOPEN.search(left[left.rfind("dlopen(") :]) if "dlopen(" in left else None
    return found["object"] if found is not None else object_before(left)


def object_before(left: str) -> str:
    """The path or name that ends the text before a loader's message: `ImportError: /x/liby.so: ` gives /x/liby.so."""
    left = left.rsplit("\n", 1)[-1].rstrip(_TRAILING)
    start = 0
    for edge in _EDGE.finditer(left):
        start = edge.end()
    found = left[start:].strip(_LEADING).rstrip(_TRAILING)
    if " " in found and not found.startswith(("/", ".", "@")) and found[1:3] != ":\\":
        last = found.split()[-1].strip(_LEADING)
        found = last if is_name(last) else ""
    return found if is_name(found) else ""


def is_name(text: str) -> bool:
    """Whether this can be the path or the name of a file that a loader opens."""
    if not text or len(text) > 1000:
        return False
    low = text.lower()
    return "/" in text or "\\" in text or ".so" in low or low.endswith((".dylib", ".dll", ".pyd", ".node", ".o", ".a"))
