"""Finds what a text says: every line that has the shape of a message, once each."""

from __future__ import annotations

import re
from dataclasses import replace

from tfguard.diagnosis import (
    shapes_bionic,
    shapes_build,
    shapes_deaths,
    shapes_driver,
    shapes_dyld,
    shapes_elf,
    shapes_hosts,
    shapes_pip,
    shapes_python,
    shapes_tensorflow,
    shapes_windows,
    shapes_words,
)
from tfguard.diagnosis.frames import left
from tfguard.diagnosis.marks import possible
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.shape import FAR, TRAIL, Shape, read
from tfguard.diagnosis.text import Text, lowered

# In this order a line is asked: what claims a line keeps the rest from it.
SHAPES: tuple[Shape, ...] = (
    *shapes_tensorflow.SHAPES,
    *shapes_windows.SHAPES,
    *shapes_dyld.SHAPES,
    *shapes_build.SHAPES,
    *shapes_elf.SHAPES,
    *shapes_bionic.SHAPES,
    *shapes_hosts.SHAPES,
    *shapes_driver.SHAPES,
    *shapes_pip.SHAPES,
    *shapes_python.SHAPES,
    *shapes_deaths.SHAPES,
    *shapes_words.SHAPES,
)
_MOST = 400
_TAIL = 400
_A_LINE = 500
_PASTED = 200_000
_LONG = 5000  # lines; in a longer log those that differ in numbers alone are one
_DIGITS = re.compile(r"[0-9]+")
_BUDGET = 300_000  # characters that patterns may look at, beside as many as the text has
_BLOCK = 7000


_UNNAMED = re.compile(r"cannot import name ['\"]?(?P<name>\w{1,80})['\"]?\.?$", re.IGNORECASE)
_FROM = re.compile(r"from (?P<module>[\w.]{1,100}) import [^\n]{0,200}")
_PART = re.compile(r"No module named (?P<name>\w{1,80})$")  # Python 2: the last part of the name alone
_WHOLE = re.compile(r"^\W{0,12}(?:from|import) (?P<module>\w{1,60}(?:\.\w{1,60}){1,8})\b")


def completed(text: Text) -> Text:
    """The text, with the module named where an old Python left it out: it stands in the statement above."""
    if "cannot import name" not in text.whole and "no module named" not in text.whole:
        return text
    lines = list(text.lines)
    for number, line in enumerate(lines):
        unnamed = _UNNAMED.search(line) if "annot import name" in line else None
        if unnamed is not None:
            for above in (*lines[max(0, number - 3) : number], line[: unnamed.start()]):
                if (found := _FROM.search(above)) is not None and unnamed["name"] in found[0]:
                    lines[number] = f"{line} from '{found['module']}'"
        elif "o module named" in line and (part := _PART.search(line)) is not None:
            for above in lines[max(0, number - 3) : number]:
                module = _up_to(above, part["name"])
                lines[number] = f"{line[: part.start('name')]}{module}" if module else lines[number]
    return Text(lines=tuple(lines), low=tuple(lowered(line) for line in lines), widths=text.widths)


def _up_to(statement: str, name: str) -> str:
    """The module that a statement imports, up to its part of that name; "" where it has none, or begins with it."""
    found = _WHOLE.match(statement[:_A_LINE])
    parts = found["module"].split(".") if found is not None else []
    return ".".join(parts[: parts.index(name) + 1]) if name in parts[1:] and parts[0] != name else ""


# Beginnings of what loaders say most, for a last line that was cut off.
_ENDINGS = (
    "cannot open shared object file: no such file or directory",
    "invalid elf header",
    "file too short",
    "wrong elf class: elfclass64",
    "elf file os abi invalid",
    "cannot allocate memory in static tls block",
    "failed to map segment from shared object",
    "cannot enable executable stack as shared object requires: invalid argument",
    "elf load command alignment not page-aligned",
    "image not found",
    "mach-o, but wrong architecture",
    "not a mach-o file",
    "symbol not found",
    "illegal instruction (core dumped)",
    "segmentation fault (core dumped)",
    "_array_api not found",
    "already initialized.",
    "is not a supported wheel on this platform.",
    "the specified module could not be found.",
    "initialization routine failed.",
    "descriptors cannot not be created directly.",
)


def uncut(text: Text) -> Text:
    """The text with its last line brought to its end, where that is the beginning of a known message."""
    if not text.low:
        return text
    last = text.low[-1].rstrip("'\" ")
    for ending in _ENDINGS:
        for length in range(len(ending) - 1, max(9, len(ending) // 2), -1):
            if last.endswith(ending[:length]):
                whole = text.lines[-1].rstrip("'\" ") + ending[length:]
                return Text(lines=(*text.lines[:-1], whole), low=(*text.low[:-1], lowered(whole)))
    return text


# Where terminals and mail programs break lines.
_WIDTHS = frozenset((79, 80, 90, 100, 110, 120, 127, 128, 132, 140, 160))


def _is_log(text: Text) -> bool:
    """Whether this is more than somebody pastes: then lines are taken as they are."""
    return len(text.lines) >= _LONG or sum(map(len, text.lines)) > _PASTED


def unwrapped(text: Text) -> Text:
    """The text with lines put together that a terminal has broken at its right edge; itself where none shows."""
    width = max(map(len, text.lines), default=0)
    full = sum(len(line) == width for line in text.lines)
    if width < 60 or _is_log(text) or not (full >= 3 or (width in _WIDTHS and full)):
        return text
    lines: list[str] = []
    goes_on = False
    for line in text.lines:
        if goes_on and len(lines[-1]) < 4000:
            lines[-1] += line
        else:
            lines.append(line)
        goes_on = len(line) == width
    return Text(lines=tuple(lines), low=tuple(map(lowered, lines)))


# Columns at which mail programs break lines, with what quotes add; a word that is longer stands alone.
_NARROW, _USUAL, _MAIL = 66, 72, 90


# What begins a line of its own whatever room there was above it.
_NEW = re.compile(
    r"File ['\"]|Traceback|[\w.]{0,200}(?:Error|Exception)\b|During handling|The above exc|Referenced from:"
    r"|Expected in:|Reason:|[\w.-]{1,60}==|import |from [\w.]{1,100} import "
)


def refilled(text: Text) -> Text:
    """The text with lines put together that a mail program has broken between words; itself where none shows.

    Such a line is as wide as the next word allows.
    """
    if len(text.widths) != len(text.lines) or _is_log(text):
        return text
    width = max((width for line, width in zip(text.lines, text.widths, strict=True) if " " in line), default=0)
    if width > _MAIL:
        return text
    width = width if width >= _NARROW else _USUAL
    lines: list[str] = []
    goes_on = False
    for number, line in enumerate(text.lines):
        if goes_on and len(lines[-1]) < 4000:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        below = text.lines[number + 1] if number + 1 < len(text.lines) else ""
        word = below.split(" ", 1)[0]
        goes_on = bool(word) and text.widths[number] + 1 + len(word) > width and not _NEW.match(below)
    return Text(lines=tuple(lines), low=tuple(map(lowered, lines)))


def messages(text: Text) -> tuple[Said, ...]:
    """What is said in a text, in its order; of equal messages the first."""
    return reading(text)[1]


def reading(text: Text) -> tuple[Text, tuple[Said, ...]]:
    """The text with its lines as they were before something broke them, and what is said in it."""
    text = completed(text)
    wholes = (*(one for one in (unwrapped(text), refilled(text)) if one is not text), text)
    # of readings whose best messages count the same the first: a message that was broken is told in full there alone
    told = [(whole, _in_lines(whole.lines, whole.low)) for whole in wholes]
    best, found = min(told, key=lambda one: min((said.weight for said in one[1]), default=9))
    if any(one.weight <= 2 for one in found):
        return best, found
    if told[-1][1] or not found:  # a guess is as good of the text as it came, whose lists are whole
        best, found = told[-1]
    whole = uncut(text)
    if whole is not text:
        return best, (*_in_lines(whole.lines[-1:], whole.low[-1:]), *found)
    return best, (*_across_lines(text), *found)


def _across_lines(text: Text) -> tuple[Said, ...]:
    """What two lines say together: mail programs break a line between words, terminals inside of one."""
    if _is_log(text):
        return ()
    for joint in (" ", ""):
        pairs = zip(text.lines, text.lines[1:], strict=False)
        lines = tuple(f"{a}{joint}{b}" if len(a) + len(b) < 1000 else "" for a, b in pairs)
        found = _in_lines(lines, tuple(map(lowered, lines)))
        if any(one.weight <= 2 for one in found):
            return found
    return ()


def _in_lines(lines: tuple[str, ...], low: tuple[str, ...]) -> tuple[Said, ...]:
    live = possible(SHAPES, low)
    budget = _BUDGET + sum(map(len, low))
    found: dict[tuple[object, ...], Said] = {}
    # what ended the process stands at the end of a log; what stands there must be read before the budget is used up
    tail = max(0, len(low) - _TAIL)
    seen: set[str] = set()
    for number in (*range(tail, len(low)), *range(tail)) if live else ():
        line = low[number]
        alike = line if len(low) < _LONG else _DIGITS.sub("", line)
        if alike in seen:
            continue
        seen.add(alike)
        for shape in live:
            if shape.foreign and line.isascii():
                continue
            at = min((at for mark in shape.marks if (at := line.find(mark)) >= 0), default=-1)
            if at < 0:
                continue
            block = _block(lines, number, shape.reach)
            budget -= min(len(block), shape.lead + (FAR if shape.reach else TRAIL))
            said = read(shape, block, number, at)
            if said is None:
                continue
            said = _of_preload(said)
            key = tuple(getattr(said, name) for name in ("kind", "object", "library", "symbol", "version", "errno"))
            if key not in found or found[key].number > number:
                found[key] = _traced(said, lines) if shape.traced else said
            # on a line that is a whole log, what is harmless keeps nobody from reading the rest
            if shape.claims and (shape.weight < 5 or len(line) < _A_LINE):
                break
        if len(found) >= _MOST or budget < 0:
            break
    return tuple(sorted(found.values(), key=lambda one: one.number))


def _traced(said: Said, lines: tuple[str, ...]) -> Said:
    frame, importing = left(lines, said.number)
    return replace(said, frame=frame, importing=importing)


def _of_preload(said: Said) -> Said:
    """For a name in LD_PRELOAD the loader puts its message into brackets."""
    if said.kind != "preload" or not said.detail:
        return said
    for shape in shapes_elf.GLIBC:
        if shape.before and (inner := read(shape, f"{said.object}: {said.detail}", said.number)) is not None:
            return replace(inner, line=said.line)
    return said


def _block(lines: tuple[str, ...], number: int, reach: int) -> str:
    if not reach:
        return lines[number]
    return "\n".join(lines[number : number + reach + 1])[:_BLOCK]
