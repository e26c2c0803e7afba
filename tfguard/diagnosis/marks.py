"""Which shapes a text can have at all: those of which it holds a mark, found without a search for each mark."""

from __future__ import annotations

import re
from functools import cache

from tfguard.diagnosis.shape import Shape

_WORD = re.compile(r"[a-z]{3,}")
_RUN = re.compile(r"([a-z])\1{3,}")  # no mark has a letter four times on end
_LONG = 200
_LETTERS = 1 << 20  # of a text at a time: so many words are in memory, never those of all of it


def possible(shapes: tuple[Shape, ...], low: tuple[str, ...]) -> list[Shape]:
    """The shapes of which a mark stands in one of these lines, which are in lower case.

    Hundreds of searches in a log of megabytes take longer than a second each. What logs repeat is looked at once, and
    a mark is searched for only where its longest word is part of a word of the text.
    """
    whole = "\n".join(dict.fromkeys(low))
    words: set[str] = set()
    for start in range(0, len(whole), _LETTERS):  # a word that is cut in two here is whole in the overlap
        words.update(map(_short, _WORD.findall(whole, start, start + _LETTERS + 100)))
    known = "\n".join(words)
    plain = whole.isascii()

    def holds(mark: str) -> bool:
        key = _longest_word(mark)
        if plain and not mark.isascii():
            return False
        return (not key or key in known) and mark in whole

    return [one for one in shapes if any(map(holds, one.marks))]


def _short(word: str) -> str:
    return word if len(word) < _LONG else _RUN.sub(r"\1\1\1", word)


@cache
def _longest_word(mark: str) -> str:
    return max(_WORD.findall(mark), key=len, default="")
