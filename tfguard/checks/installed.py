"""The close look at an installation: what the rules say of it, and which failed loads that explains."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from tfguard.case import Case
from tfguard.checks.alike import once
from tfguard.finding import Finding
from tfguard.hosts.host import Host
from tfguard.installed.hashing import Progress
from tfguard.installed.installation import Native, Package
from tfguard.installed.python import Python
from tfguard.installed.survey import Installed, survey
from tfguard.loader.trace import Trace
from tfguard.rules import judge

# Failures that files of two builds beside one another give; others have their cause in the file itself.
_OF_A_MIXTURE = frozenset(("symbol", "macho-symbol", "version", "version-table", "version-without-library"))
# What is wrong with each file of a package where the package is the cause.
_OF_A_WHOLE_PACKAGE = frozenset(("TFG101", "TFG208"))
_MIXED, _FOREIGN, _PARTIAL, _CHANGED = "TFG403", "TFG402", "TFG404", "TFG405"


class Inspected(NamedTuple):
    """An installation and the findings about it."""

    installed: Installed
    findings: tuple[Finding, ...]


def inspect(
    name: str,
    package: Package | None,
    natives: Iterable[Native],
    host: Host,
    python: Python,
    *,
    deep: bool = False,
    progress: Progress | None = None,
) -> Inspected:
    """What is wrong with the installation around a package."""
    installed = survey(name, package, tuple(natives), host, python, deep=deep, progress=progress)
    trace = Trace(target=name, lookups=(), images=(), failure=None)
    return Inspected(installed, judge(Case(target=name, host=host, trace=trace, failure=None, installed=installed)))


def with_causes_first(
    inspected: Inspected, native: tuple[Finding, ...], traces: tuple[Trace, ...]
) -> tuple[Finding, ...]:
    """All findings in the order in which they are told: of the installation first where it explains a failed load.

    Then it is an error as well. What only says once more that one file is missing or changed is left out.
    """
    failures = [trace.failure for trace in traces if trace.failure is not None]
    installed = inspected.installed
    if not failures:
        return (*inspected.findings, *native)
    at_fault = {
        os.path.normpath(path)
        for one in failures
        for path in (one.path, one.requirer, one.provider)
        if path is not None
    }
    loaded = {os.path.normpath(one.path) for trace in traces if trace.failure is not None for one in trace.images}
    is_mixture = any(one.kind in _OF_A_MIXTURE for one in failures)
    dies = any(one.severity == "error" for one in native)
    causes: list[Finding] = []
    others: list[Finding] = []
    for finding in inspected.findings:
        explains = False
        if finding.code == _MIXED:
            explains = _lie_in(at_fault, (installed.package.directory,) if installed.package is not None else ())
        elif finding.code == _FOREIGN:
            tops = (os.path.join(one.distribution.site, one.distribution.name) for one in installed.foreign)
            explains = _lie_in(
                at_fault, (*tops, installed.package.directory if installed.package is not None else None)
            )
        elif finding.code in (_PARTIAL, _CHANGED):
            paths = _named(installed, missing=finding.code == _PARTIAL)
            if paths and paths <= at_fault and not (finding.code == _CHANGED and is_mixture):
                continue
            explains = (is_mixture or finding.code == _PARTIAL) and bool(paths & (at_fault | loaded))
        if explains and dies:
            causes.append(replace(finding, severity="error"))
        else:
            others.append(finding)
    if causes or any(one.severity == "error" for one in inspected.findings):
        native = once(native, installed.python.path, _OF_A_WHOLE_PACKAGE)
    return (*causes, *others, *native)  # a report tells errors before warnings, else in this order


def _lie_in(paths: set[str], folders: Iterable[str | None]) -> bool:
    inside = tuple(f"{os.path.normpath(one)}{os.sep}" for one in folders if one)
    return any(path.startswith(inside) for path in paths) if inside else False


def _named(installed: Installed, *, missing: bool) -> set[str]:
    """The paths that a finding about missing or changed files is about."""
    return {
        os.path.normpath(os.path.join(one.distribution.site, path))
        for one in installed.incomplete
        for path in (one.missing if missing else one.changed)
    }
