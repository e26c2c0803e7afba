"""A Report as HTML for a notebook: one fragment that brings all it needs, and no script."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfguard.plain import command_lines, plain
from tfguard.telling.render import all_is_well, count_line, evidence_rows, more, remedy_text
from tfguard.telling.tree import tree_text

if TYPE_CHECKING:
    from tfguard.finding import Finding
    from tfguard.report import Report

# Text and background are the notebook's own, so that both light and dark ones can be read; what is coloured brings
# its own contrast. Styles stand in the elements: a style sheet would reach the rest of the notebook.
_RED, _YELLOW, _GREEN = "#b3261e", "#855c00", "#2e6b34"
_BOX = "border-left:4px solid {};padding:0.2em 0 0.2em 0.9em;margin:0.6em 0"
_BADGE = "background:{};color:#fff;border-radius:3px;padding:0.1em 0.45em;font-weight:600"
_PRE = (
    "background:rgba(128,128,128,0.15);color:inherit;border:0;border-radius:3px;padding:0.5em 0.7em;"
    "margin:0.3em 0;overflow-x:auto;scrollbar-color:#888 transparent;white-space:pre;line-height:1.4;"
    "font-family:monospace"
)
_CELL = "text-align:left;vertical-align:top;font-size:0.95em;"
_LABEL = _CELL + "padding:0.1em 1.2em 0.1em 0;white-space:nowrap;font-weight:400;opacity:0.75"
_FACT = _CELL + "padding:0.1em 0;font-family:monospace;overflow-wrap:anywhere;white-space:pre-wrap"
_TABLE = "border-collapse:collapse;border:0;margin:0.5em 0;background:none;font-size:inherit"
_ROW = "background:none"


def as_html(report: Report) -> str:
    """The report as an HTML fragment in ASCII: every text escaped, commands in <pre>, the tree in <details>."""
    return "\n".join(_parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield '<div class="tfguard" style="color:inherit;line-height:1.45;max-width:100%">'
    findings = report.errors + report.warnings
    if not report.errors:
        yield f'<div style="{_BOX.format(_GREEN)}">{_text(all_is_well(report))}</div>'
    for finding in findings:
        yield from _finding(finding)
    for note in report.notes:
        yield f'<div style="opacity:0.75">{_text(note.code)} {_text(note.slug)} (note): {_text(note.message)}</div>'
    for skipped in report.skipped:
        yield f'<div style="opacity:0.75">not checked: {_text(skipped)}</div>'
    if report.errors and len(findings) > 1:
        yield f"<div>{_text(count_line(report))}</div>"
    if any(trace.lookups for trace in report.traces):
        tree = html.escape(tree_text(report, width=100))
        yield "<details><summary>what the loader maps, and from where</summary>"
        yield f'<pre style="{_PRE}">{tree}</pre></details>'
    yield "</div>"


def _finding(finding: Finding) -> Iterator[str]:
    tint = _RED if finding.severity == "error" else _YELLOW
    yield f'<div style="{_BOX.format(tint)}">'
    yield (
        f'<div><span style="{_BADGE.format(tint)}">{_text(finding.severity)} {_text(finding.code)}</span> '
        f"{_text(finding.slug)}: <strong>{_text(finding.message)}</strong></div>"
    )
    if rows := evidence_rows(finding):
        yield f'<table style="{_TABLE}"><tbody>'
        for label, fact in rows:
            yield (
                f'<tr style="{_ROW}"><th scope="row" style="{_LABEL}">{_text(label)}</th>'
                f'<td style="{_FACT}">{_text(fact)}</td></tr>'
            )
        yield "</tbody></table>"
    for position, remedy in enumerate(finding.remedies):
        yield f"<div><strong>{'or' if position else 'fix'}</strong> {_text(remedy_text(remedy))}</div>"
        if remedy.command is not None:
            yield f'<pre style="{_PRE}">{html.escape(chr(10).join(command_lines(remedy.command)))}</pre>'
    yield f'<div style="opacity:0.75;margin-top:0.4em">{_text(more(finding))}</div>'
    yield "</div>"


def _text(text: str) -> str:
    return html.escape(plain(text))
