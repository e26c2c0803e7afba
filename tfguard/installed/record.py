"""A distribution's RECORD held against the files on disk: what is missing, what is not as it was installed."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.binary.elf import look_at
from tfguard.image import Image
from tfguard.installed.distributions import Distribution, read_text

# What an import runs or loads; everything else may be left out of an image to save space, and often is.
_RUN = (".py", ".so", ".pyd", ".dll", ".dylib")
_VERSIONED = re.compile(r"\.so(\.\d+)+$")
_CODE = re.compile(r"\.(?:py|so|pyd|dll|dylib)[.\d]*\"?,")
_NOT_RUN = frozenset(("tests", "test", "testing", "include"))
NAMES_KEPT = 50
_DIGITS = 19  # of a size that a file can have


class Row(NamedTuple):
    """A line of RECORD: the path below the directory of the distribution, its hash, its size in bytes."""

    path: str
    digest: str
    size: int | None


class Standing(NamedTuple):
    """How much of a distribution lies there as it was installed.

    `files` counts the files looked for, `missing` are those of them that are not there, `changed` those with another
    size (or another hash, where hashes were asked for), as RECORD spells them; the counts go on where the names end.
    """

    distribution: Distribution
    files: int
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    missing_count: int = 0
    changed_count: int = 0
    hashed: bool = False

    @property
    def is_whole(self) -> bool:
        """Nothing is missing and nothing was changed."""
        return not self.missing_count and not self.changed_count


def rows_of(distribution: Distribution) -> list[Row]:
    """The lines of its RECORD, none where it has none."""
    return [_row(line) for line in _lines(distribution)]


def rows_of_code(distribution: Distribution) -> list[Row]:
    """The lines of its RECORD for code: modules and native files, a fifth of all where there are headers."""
    return [_row(line) for line in _lines(distribution) if _CODE.search(line)]


def _lines(distribution: Distribution) -> list[str]:
    return read_text(distribution, "RECORD").splitlines()


def _row(line: str) -> Row:
    if line.startswith('"'):
        path, _, rest = line[1:].rpartition('"')
        path, rest = path.replace('""', '"'), rest.lstrip(",")
    else:
        path, _, rest = line.partition(",")
    digest, _, size = rest.partition(",")
    return Row(path, digest, int(size) if size.isdecimal() and len(size) < _DIGITS else None)


def claims(distribution: Distribution, *paths: str) -> bool:
    """Whether its RECORD lists one of these files."""
    text = "\n" + read_text(distribution, "RECORD")
    return any(f"\n{path}," in text for path in paths)


def is_native(path: str) -> bool:
    """Whether a file of this name is one for the loader."""
    return path.endswith(_RUN[1:]) or _VERSIONED.search(path) is not None


def stand(distribution: Distribution, rows: list[Row], *, sizes: bool = True) -> Standing:
    """Look for every file that an import may run or load; of native files the size is compared as well.

    `rows` are those of its code. One listing for each folder. A file of Python that lies there compiled is there.
    """
    names: dict[str, frozenset[str]] = {}
    missing: list[str] = []
    changed: list[str] = []
    count = 0
    for row in rows:
        if not is_run(row.path):
            continue
        count += 1
        folder, _, name = row.path.rpartition("/")
        if folder not in names:
            names[folder] = frozenset(distribution.root.names_in(os.path.join(distribution.site, folder)))
        if name not in names[folder]:
            if f"{name}c" not in names[folder]:
                missing.append(row.path)
        elif sizes and row.size is not None and is_native(name) and not _has_size(distribution, row, row.size):
            changed.append(row.path)
    return Standing(
        distribution, count, tuple(missing[:NAMES_KEPT]), tuple(changed[:NAMES_KEPT]), len(missing), len(changed)
    )


def is_run(path: str) -> bool:
    """Whether an import may run or load a file of this name."""
    if path.startswith(("..", "/")) or not (path.endswith(_RUN) or _VERSIONED.search(path)):
        return False
    return not _NOT_RUN.intersection(path.split("/")[1:-1])


def _has_size(distribution: Distribution, row: Row, size: int) -> bool:
    try:
        path = distribution.root.outside(os.path.join(distribution.site, row.path))
        found = os.stat(path).st_size
    except (OSError, ValueError):
        return True  # nothing can be said of it here: the loader's own rules do
    if found == size:
        return True
    return found < size and _is_stripped(path)


def _is_stripped(path: str) -> bool:
    """Whether it is whole for the loader and without the symbols that it does not read, taken out to save space."""
    image = look_at(path).content
    if not isinstance(image, Image) or image.size < max(image.load_end, image.section_end):
        return False
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            return ELFFile(file).get_section_by_name(".symtab") is None
    except Exception:  # of a foreign parser: the loader's own rules say what there is to say
        return True
