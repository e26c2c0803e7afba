"""`explain` and `rules`: what a code means."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfguard.commands.output import to_json
from tfguard.commands.usage import UsageError


def run_explain(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.rules import RULES, explain

    try:
        text = explain(options.code)
    except KeyError:
        raise _unknown_code(options.code) from None
    if not options.json:
        return text.rstrip(), 0
    wanted = options.code.upper()
    rule = next(one for one in RULES if wanted in (one.code, one.slug.upper()))
    return to_json([{**_rule_dict(rule.code, rule.slug, rule.title), "explanation": rule.explanation}]), 0


def run_rules(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.rules import RULES

    if options.json:
        return to_json([[_rule_dict(one.code, one.slug, one.title) for one in RULES]]), 0
    column = max(len(one.slug) for one in RULES)
    return "\n".join(f"{one.code}  {one.slug:<{column}}  {one.title}" for one in RULES), 0


def _rule_dict(code: str, slug: str, title: str) -> dict[str, str]:
    return {"code": code, "slug": slug, "title": title}


def check_codes(codes: Sequence[str]) -> None:
    if not codes:  # a check that finds nothing needs no rules
        return
    from tfguard.rules import RULES

    known = {one.code for one in RULES}
    for code in codes:
        if code not in known:
            raise _unknown_code(code)


def _unknown_code(code: str) -> UsageError:
    from difflib import get_close_matches

    from tfguard.rules import RULES

    digits = code.upper().replace("O", "0")  # a letter in place of a digit is the usual slip
    near = get_close_matches(digits, [one.code for one in RULES], cutoff=0.7)
    near += get_close_matches(code.lower(), [one.slug for one in RULES])
    hint = f"near it: {', '.join(near)}" if near else "python -m tfguard rules lists them all"
    return UsageError(f"no code {code!r}; {hint}")
