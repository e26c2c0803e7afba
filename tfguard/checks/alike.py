"""Tells what every file of a package gets alike once, with how many more there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from tfguard.finding import Finding


def once(findings: Iterable[Finding], sites: Sequence[str], codes: Collection[str]) -> tuple[Finding, ...]:
    """Of the findings of these codes the first for each package below a directory for packages; all others stay."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for one in findings:
        path = str(one.path)
        site = next((site for site in sites if path.startswith(f"{site}/")), None)
        package = path[len(site) + 1 :].partition("/")[0] if site is not None else path
        groups.setdefault((one.code, package, "" if one.code in codes else path, one.severity), []).append(one)
    kept = []
    for same in groups.values():
        first, more = same[0], len(same) - 1
        count = (("also", f"{more} more {'file' if more == 1 else 'files'} of the same package"),) if more else ()
        kept.append(replace(first, evidence=(*first.evidence[:-1], *count, *first.evidence[-1:])))
    return tuple(kept)
