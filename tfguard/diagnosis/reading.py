"""Finds what a text says: every line that has the shape of a message, once each."""

from __future__ import annotations

import re
from dataclasses import replace

from tfguard.diagnosis import shapes_deaths, shapes_dyld, shapes_elf, shapes_python, shapes_tensorflow, shapes_windows
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.shape import FAR, TRAIL, Shape, read
from tfguard.diagnosis.text import Text, lowered

# In this order a line is asked: what claims a line keeps the rest from it.
SHAPES: tuple[Shape, ...] = (
    *shapes_tensorflow.SHAPES,
    *shapes_windows.SHAPES,
    *shapes_dyld.SHAPES,
    *shapes_elf.SHAPES,
    *shapes_python.SHAPES,
    *shapes_deaths.SHAPES,
)
_MOST = 400
_TAIL = 400
_LONG = 5000  # lines; in a longer log those that differ in numbers alone are one
_NO_DIGITS = dict.fromkeys(map(ord, "0123456789"))
_BUDGET = 300_000  # characters that patterns may look at, beside as many as the text has
_BLOCK = 7000


_UNNAMED = re.compile(r"cannot import name ['\"]?(?P<name>\w{1,80})['\"]?\.?$", re.IGNORECASE)
_FROM = re.compile(r"from (?P<module>[\w.]{1,100}) import [^\n]{0,200}")


def completed(text: Text) -> Text:
    """The text, with the module named where an old Python left it out: it stands in the statement above."""
    if "cannot import name" not in text.whole:
        return text
    lines = list(text.lines)
    for number, line in enumerate(lines):
        unnamed = _UNNAMED.search(line) if "annot import name" in line else None
        above = "\n".join(lines[max(0, number - 3) : number])
        if unnamed is not None and (found := _FROM.search(above)) is not None and unnamed["name"] in found[0]:
            lines[number] = f"{line} from '{found['module']}'"
    return Text(lines=tuple(lines), low=tuple(lowered(line) for line in lines))


def messages(text: Text) -> tuple[Said, ...]:
    """What is said in a text, in its order; of equal messages the first."""
    text = completed(text)
    found = _in_lines(text.lines, text.low)
    if len(text.lines) < _LONG and not any(one.weight <= 2 for one in found):
        # a narrow terminal or a mail program has broken the line in two, between words or inside of one
        for joint in (" ", ""):
            lines = [
                f"{a}{joint}{b}" if len(a) + len(b) < 1000 else ""
                for a, b in zip(text.lines, text.lines[1:], strict=False)
            ]
            again = _in_lines(tuple(lines), tuple(lowered(line) for line in lines))
            if any(one.weight <= 2 for one in again):
                return (*again, *found)
    return found


def _in_lines(lines: tuple[str, ...], low: tuple[str, ...]) -> tuple[Said, ...]:
    whole = "\n".join(low)
    live = [one for one in SHAPES if any(mark in whole for mark in one.marks)]
    budget = _BUDGET + len(whole)
    found: dict[tuple[object, ...], Said] = {}
    # what ended the process stands at the end of a log; what stands there must be read before the budget is used up
    tail = max(0, len(low) - _TAIL)
    seen: set[str] = set()
    for number in (*range(tail, len(low)), *range(tail)) if live else ():
        line = low[number]
        alike = line if len(low) < _LONG else line.translate(_NO_DIGITS)
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
                found[key] = said
            if shape.claims:
                break
        if len(found) >= _MOST or budget < 0:
            break
    return tuple(sorted(found.values(), key=lambda one: one.number))


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
