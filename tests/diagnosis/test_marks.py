"""No alternative of a pattern is dead: whatever it matches holds one of the marks by which its line is found."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

from tfguard.diagnosis.reading import SHAPES
from tfguard.diagnosis.shape import Shape

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_parse

_CLASSES = {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "w", "CATEGORY_NOT_SPACE": "s"}
_TEXTS = 60  # of each pattern


def parsed(shape: Shape) -> Any:  # Any: the parser of `re` has no types
    """The shape's pattern as the parser of `re` has it."""
    return sre_parse.parse(shape.pattern.pattern, shape.pattern.flags)


def example(parsed: Any, chance: random.Random) -> str:  # Any: the parser of `re` has no types
    """A text that a parsed pattern matches, assertions aside."""
    text = ""
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            text += chr(argument)
        elif name in ("NOT_LITERAL", "ANY"):
            text += "x"
        elif name == "IN":
            text += member(argument, chance)
        elif name == "BRANCH":
            text += example(chance.choice(argument[1]), chance)
        elif name == "SUBPATTERN":
            text += example(argument[3], chance)
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inner = argument
            for _ in range(least if chance.random() < 0.5 else min(most, least + 1)):
                text += example(inner, chance)
    return text


def member(members: Any, chance: random.Random) -> str:
    if str(members[0][0]) == "NEGATE":
        return "q"
    kind, value = chance.choice(members)
    if str(kind) == "LITERAL":
        return chr(value)
    return chr(value[0]) if str(kind) == "RANGE" else _CLASSES.get(str(value), "z")


ASCII = [one for one in SHAPES if not one.foreign]


@pytest.mark.parametrize("shape", ASCII, ids=[f"{number}-{one.kind}" for number, one in enumerate(ASCII)])
def test_marks_cover_the_pattern(shape: Shape) -> None:
    chance = random.Random(1)

    texts = {example(parsed(shape), chance) for _ in range(_TEXTS)}

    found = [text for text in texts if shape.pattern.search(text)]
    assert [text for text in found if not any(mark in text.lower() for mark in shape.marks)] == []


def test_marks_are_in_lower_case() -> None:
    assert [one.kind for one in SHAPES for mark in one.marks if mark != mark.lower()] == []
