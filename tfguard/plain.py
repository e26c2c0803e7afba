"""Text from files and names made printable ASCII, and put into lines."""

from __future__ import annotations

import os
from collections.abc import Iterable

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NARROWEST = 20


def plain(text: str) -> str:
    r"""`text` in printable ASCII on one line, whatever a file name holds.

    A byte that is no character in the file system's encoding becomes \xNN, any other character \uNNNN, so that the
    two cannot be taken for each other.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if " " <= one <= "~" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if number < 0x80:
        return f"\\x{number:02x}"
    if 0xDC80 <= number <= 0xDCFF:  # PEP 383: a byte that could not be decoded
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def command_lines(command: str) -> list[str]:
    r"""A shell command as lines of printable ASCII that a shell reads the same.

    What is not ASCII becomes $'\NNN' (POSIX.1-2024; in bash, zsh and ksh since long), so that a command with such a
    file name in it can still be pasted. A line end inside quotes belongs to a name; outside it ends the line.
    """
    parts: list[str] = []
    quote = ""
    after_backslash = False
    for one in command:
        if " " <= one <= "~":
            if after_backslash:
                after_backslash = False
            elif one == "\\" and quote != "'":
                after_backslash = True
            elif not quote and one in "'\"":
                quote = one
            elif one == quote:
                quote = ""
            parts.append(one)
        elif one == "\n" and not quote:
            parts.append(one)
        else:
            octal = "".join(f"\\{byte:03o}" for byte in _bytes_of(one))
            parts.append(f"{quote}$'{octal}'{quote}")
    return "".join(parts).split("\n")


def _bytes_of(character: str) -> bytes:
    try:
        return os.fsencode(character)
    except UnicodeEncodeError:
        return character.encode("utf-8", "surrogatepass")


def wrap(
    text: str, width: int, *, first: int | None = None, indent: str = "", unbroken: Iterable[str] = ()
) -> list[str]:
    """`text` in lines of at most `width` columns, the first one of at most `first`; `indent` opens all others.

    Breaks only at spaces, and never inside one of the names in `unbroken`: a path stays in one piece however long.
    """
    for name in unbroken:
        text = text.replace(name, name.replace(" ", "\0"))
    room = max(width if first is None else first, _NARROWEST)
    lines: list[str] = []
    line = gap = ""
    for word in text.split(" "):
        if not word:  # a run of spaces is a column: kept, except where the line breaks
            gap += " "
        elif line and len(line) + len(gap) + len(word) > room:
            lines.append(line)
            room, line, gap = max(width, _NARROWEST), indent + word, " "
        else:
            line, gap = line + gap + word, " "
    return [one.replace("\0", " ") for one in (*lines, line)]
