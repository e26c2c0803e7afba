"""Writes docs/survey.md: what the survey found, with date and versions."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.comparison import CONSTRUCTOR, DIES, LOADS, REFUSED, Compared
from tests.survey.install import Environment
from tfguard.binary.elf import look_at
from tfguard.image import Image

_INTRODUCTION = """\
Written by `make survey`. Every shared object of every package was loaded for real, by dlopen in a process of its own
that nothing else was loaded in, and tfguard was asked before: verdict, message, files and their order must be the
loader's. Packages are installed without their dependencies, so many objects cannot load here, and tfguard must say
why in the loader's own words."""
_CONSTRUCTORS = """\
An object that dies in a constructor is one that ld.so has mapped and bound when code of its own ends the process
(LD_DEBUG=files shows it at `calling init`): tfguard says that the loader accepts it, and no more."""

_VERSION = "import platform; print(platform.python_version())"

# What the loader says, without the names in it.
_KINDS = (
    ("cannot open shared object file", "a needed library is missing"),
    ("undefined symbol", "a symbol is defined nowhere"),
    ("version `", "a version is missing"),
    ("static TLS", "no room for thread-local variables"),
    ("invalid ELF header", "not a library"),
    ("executable stack", "an executable stack"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One package in one environment."""

    name: str
    version: str
    results: tuple[Compared, ...]

    def count(self, outcome: str) -> int:
        """How many files ended so."""
        return sum(one.outcome == outcome for one in self.results)

    @property
    def agreeing(self) -> int:
        """How many files tfguard is right about."""
        return sum(one.wrong is None for one in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One environment: its packages, and the requirements that pip could not meet, with what it said."""

    environment: Environment
    rows: tuple[Row, ...]
    refused: Mapping[str, str]

    @property
    def results(self) -> list[Compared]:
        """Every file of every package."""
        return [one for row in self.rows for one in row.results]


def summary(columns: Sequence[Column]) -> str:
    """One line an environment, and one for all."""
    lines = [_line(f"Python {one.environment.version}", one.rows) for one in columns]
    rows = [row for one in columns for row in one.rows]
    return "\n".join([*lines, _line("all", rows)])


def _line(title: str, rows: Sequence[Row]) -> str:
    counts = ", ".join(f"{sum(row.count(one) for row in rows)} {one}" for one in (LOADS, REFUSED, DIES, CONSTRUCTOR))
    objects, agreeing = sum(len(row.results) for row in rows), sum(row.agreeing for row in rows)
    return f"{title}: {len(rows)} packages, {objects} shared objects: {counts}; tfguard agrees on {agreeing}"


def text(columns: Sequence[Column]) -> str:
    """The page."""
    results = [one for column in columns for one in column.results]
    names = {row.name for column in columns for row in column.rows}
    parts = [
        "# Survey of installed packages",
        _INTRODUCTION,
        f"{len(names)} packages, **{len(results)} shared objects; {_faults(results)}**.",
        _table(("what", "value"), [("date", datetime.date.today().isoformat()), *_conditions(columns)]),
        "## Sums",
        _table(
            ("environment", "installed packages", "objects", LOADS, REFUSED, DIES, CONSTRUCTOR, "tfguard agrees"),
            [_sums(f"Python {one.environment.version}", one.rows) for one in columns]
            + [_sums("all", [row for one in columns for row in one.rows])],
        ),
        "## Why objects do not load",
        _table(("the loader says", "objects"), _reasons(results)),
        _CONSTRUCTORS,
        *(part for column in columns for part in _packages(column)),
    ]
    return "\n\n".join(parts) + "\n"


def _faults(results: Sequence[Compared]) -> str:
    """How often tfguard is wrong, by the kind of fault."""
    wrong = [one.wrong for one in results if one.wrong is not None]
    kinds = {
        "false alarm": "false alarms",
        "missed": "misses",
        "other words": "other words",
        "other files": "other files",
    }
    return ", ".join(f"{name}: {sum(one.startswith(start) for one in wrong)}" for start, name in kinds.items())


def _conditions(columns: Sequence[Column]) -> list[tuple[str, str]]:
    with open("/etc/os-release", encoding="utf-8") as file:
        system = re.search(r'^PRETTY_NAME="?([^"\n]*)', file.read(), re.MULTILINE)
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    rows = [
        ("system", f"{system[1] if system else 'Linux'}, {libc}, kernel {platform.release().split('-')[0]}"),
        ("machine", platform.machine()),
    ]
    for column in columns:
        python = column.environment.python
        told = subprocess.run([python, "-I", "-c", _VERSION], capture_output=True, text=True, check=True).stdout
        program = look_at(os.path.realpath(python)).content
        needed = program.needed if isinstance(program, Image) else ()
        symbols = "libpython" if any(name.startswith("libpython") for name in needed) else "the program"
        rows.append((f"Python {column.environment.version}", f"CPython {told.strip()}, its symbols in {symbols}"))
    return rows


def _sums(title: str, rows: Sequence[Row]) -> tuple[str, ...]:
    objects, agreeing = sum(len(row.results) for row in rows), sum(row.agreeing for row in rows)
    counts = (sum(row.count(one) for row in rows) for one in (LOADS, REFUSED, DIES, CONSTRUCTOR))
    return (title, str(len(rows)), str(objects), *map(str, counts), str(agreeing))


def _reasons(results: Sequence[Compared]) -> list[tuple[str, ...]]:
    counts: Counter[str] = Counter()
    for one in results:
        if one.outcome != LOADS:
            known = (words for text, words in _KINDS if text in one.words)
            counts[f"{one.outcome}: {one.words}" if one.outcome != REFUSED else next(known, one.words)] += 1
    return [(reason, str(count)) for reason, count in counts.most_common()]


def _packages(column: Column) -> list[str]:
    headings = ("package", "version", "objects", LOADS, REFUSED, DIES, CONSTRUCTOR, "tfguard agrees")
    rows = [
        (row.name, row.version, str(len(row.results)), *(str(row.count(one) or "") for one in headings[3:7]),
         str(row.agreeing))
        for row in column.rows
    ]  # fmt: skip
    parts = [f"## Python {column.environment.version}", _table(headings, rows)]
    if column.refused:
        lines = (f"- {name}: {why.removeprefix('ERROR: ')}" for name, why in column.refused.items())
        parts.append("No wheel to be had for this Python:\n\n" + "\n".join(lines))
    return parts


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join('---' for _ in headings)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
