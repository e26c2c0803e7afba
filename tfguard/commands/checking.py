"""`check`, `tree` and `report`: targets to a text."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tfguard.commands.output import to_json, wants_color, width
from tfguard.commands.targets import reports_of

if TYPE_CHECKING:
    from tfguard.report import Report


def run_check(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.render import as_text

    reports = [_probed(one, options) if options.probe else one for one in reports_of(options)]
    status = 0 if all(reports) else 1
    if options.json:
        return to_json([one.to_dict() for one in reports]), status
    color = wants_color(options.color)
    texts = [as_text(one, color=color, verbose=options.verbose, width=width()) for one in reports]
    # one-line answers stand together, longer ones apart
    joiner = "\n\n" if any("\n" in text for text in texts) else "\n"
    return joiner.join(texts), status


def run_tree(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.tree import tree_text

    (report,) = reports_of(options)
    status = 0 if report else 1
    if options.json:
        return to_json([report.to_dict()]), status
    color = wants_color(options.color)
    return tree_text(report, color=color, verbose=options.verbose, width=width()), status


def run_report(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.diagnosis.issue import as_json, block, facts_of, markdown

    facts = [facts_of(one) for one in reports_of(options)]
    if options.json:
        return to_json([as_json(one) for one in facts]), 0
    return "\n\n".join(markdown(one) if options.markdown else block(one) for one in facts), 0


def _probed(report: Report, options: argparse.Namespace) -> Report:
    """What becomes of a real load, where the checks have nothing against it."""
    if not report.ok:
        return report
    from dataclasses import replace

    from tfguard.probing.probe import probe

    loaded = probe(report.target, timeout=options.timeout, ignore=options.ignore)
    return replace(loaded, findings=loaded.findings + report.warnings, traces=report.traces)
