"""`show` and `diagnose`: a file's own words, and an error's."""

from __future__ import annotations

import argparse
import sys

from tfguard.commands.codes import check_codes
from tfguard.commands.output import to_json, wants_color, width
from tfguard.commands.process import shown_file
from tfguard.commands.usage import UsageError


def run_show(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.show import facts_of, facts_text

    try:
        facts = facts_of(shown_file(options))
    except OSError as error:
        raise UsageError(f"{options.file}: {error.strerror}") from None
    return (to_json([facts]) if options.json else facts_text(facts, width=width())), 0


def run_diagnose(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.diagnosis.post_mortem import MOST, diagnose
    from tfguard.telling.render import as_text

    check_codes(options.ignore)
    if options.file == "-":
        if sys.stdin.isatty():
            sys.stderr.write("tfguard: paste the error text, then end it with Ctrl-D\n")
        data = sys.stdin.buffer.read(MOST)
    else:
        try:
            with open(options.file, "rb") as file:
                data = file.read(MOST)
        except OSError as error:
            raise UsageError(f"{options.file}: {error.strerror}") from None
    report = diagnose(_decoded(data), ignore=options.ignore)
    status = 0 if report else 1
    if options.json:
        return to_json([report.to_dict()]), status
    color = wants_color(options.color)
    return as_text(report, color=color, verbose=options.verbose, width=width()), status


def _decoded(data: bytes) -> str:
    """Text of any kind: PowerShell's `>` writes UTF-16."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")
