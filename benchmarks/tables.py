"""Tables as values, and their two faces: plain text and Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; `columns` are the headings, `notes` stand below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def as_text(tables: Iterable[Table]) -> str:
    """Columns padded to their width, the first to the left, the others to the right."""
    parts = []
    for table in tables:
        lines = [table.title, ""]
        cells = (table.columns, *table.rows)
        widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
        for row in cells:
            first, *others = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join((first, *others)).rstrip())
        lines += [f"  {note}" for note in table.notes]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_markdown(tables: Iterable[Table]) -> str:
    """The same as Markdown sections."""
    parts = []
    for table in tables:
        lines = [f"## {table.title}", "", _row(table.columns), _row(("---", *["---:"] * (len(table.columns) - 1)))]
        lines += [_row(row) for row in table.rows]
        if table.notes:
            lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
