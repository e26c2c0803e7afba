"""How an answer leaves: JSON, colour, width, plain characters."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO


def to_json(values: Sequence[object]) -> str:
    """One value as an object, several as an array: as many as were asked for."""
    import json

    return json.dumps(values[0] if len(values) == 1 else values, indent=2)


def wants_color(choice: str) -> bool:
    """`auto` means a terminal that is not dumb, and no NO_COLOR (https://no-color.org)."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """The terminal's columns, 80 where there is none; wider than 100 nobody reads."""
    from shutil import get_terminal_size

    return max(40, min(get_terminal_size((80, 24)).columns, 100)) if sys.stdout.isatty() else 80


def ascii_only(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def write(stream: TextIO, text: str) -> None:
    """Write a text and its line end; whoever reads may stop reading at any time."""
    try:
        stream.write(f"{ascii_only(text)}\n")
        stream.flush()
    except BrokenPipeError:
        # the interpreter flushes once more at its end: give it something to flush into
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
