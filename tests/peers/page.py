"""Writes docs/peers.md: which tool is right about which question, held against the real loader."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from tests.loader.reference import RULES, number_of
from tests.peers.tools import Tool

_INTRODUCTION = """\
Written by `make peers`. Each question is one file, laid out anew; the loader of the machine below is asked (dlopen with
RTLD_NOW in a process of its own), then tfguard and each tool. A tool is right where it sees trouble and the load fails
or dies, or where it sees none and names the very files that the loader maps. tfguard is right only where message, files
and their order are the loader's as well."""
_FAIRNESS = """\
The tools were made for other ends: `ldd` and `libtree` show what a program's start would find, both `lddtree`s what a
package needs. That they leave out symbols, versions or memory is no fault of theirs; it is what a person has to know
who reads their answer to "why does this import fail". `ldd` starts the loader on the file, which is not safe for files
from elsewhere."""

_PROGRAMS = """\
Here each is a program that is started; right is who foretells that start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question: the case, how its load ends, and who is right about it, tfguard first."""

    case: str
    outcome: str
    right: tuple[bool, ...]


def text(rows: Sequence[Row], programs: Sequence[Row], present: Sequence[Tool], absent: Sequence[Tool]) -> str:
    """The page."""
    names = ("tfguard", *(tool.name for tool in present))
    parts = ["# Other tools, asked the same", _INTRODUCTION, _FAIRNESS, _conditions(present, absent)]
    for title, mark in (
        ("What libtree's tests are about", "-libtree-"),
        ("What auditwheel's are about", "-auditwheel-"),
    ):
        chosen = [row for row in rows if mark in row.case]
        parts += [f"## {title}", _cases(chosen, names)]
    parts += ["## libtree's tests as programs", _PROGRAMS, _cases(programs, names)]
    parts += ["## All questions, by the rule of the loader that decides", _sums(rows, names)]
    return "\n\n".join(parts) + "\n"


def _conditions(present: Sequence[Tool], absent: Sequence[Tool]) -> str:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    said = [f"{tool.name} {tool.version()}" for tool in present if not tool.name.startswith("ldd ")]
    machine = f"{libc}, {platform.machine()}, CPython {platform.python_version()}"
    lines = [f"{datetime.date.today().isoformat()}, {machine}; {', '.join(said)}."]
    lines += [f"Left out, not on this machine: {tool.name} ({tool.source})." for tool in absent]
    return "\n".join(lines)


def _cases(rows: Sequence[Row], names: tuple[str, ...]) -> str:
    body = [(f"`{row.case}`", _short(row.outcome), *("yes" if one else "**no**" for one in row.right)) for row in rows]
    sums = [f"{sum(row.right[index] for row in rows)} of {len(rows)}" for index in range(len(names))]
    return _table(("question", "the loader", *names), [*body, ("right", "", *sums)])


def _sums(rows: Sequence[Row], names: tuple[str, ...]) -> str:
    body: list[tuple[str, ...]] = []
    for number, title in RULES.items():
        chosen = [row for row in rows if number_of(row.case) == number]
        if chosen:
            counts = (str(sum(row.right[index] for row in chosen)) for index in range(len(names)))
            body.append((number, title, str(len(chosen)), *counts))
    total = (str(sum(row.right[index] for row in rows)) for index in range(len(names)))
    return _table(("rule", "about", "questions", *names), [*body, ("all", "", str(len(rows)), *total)])


def _short(words: str) -> str:
    return words if len(words) < 70 else words[:67] + "..."


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join('---' for _ in headings)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(one.replace('|', '/') for one in row)} |" for row in rows)])
