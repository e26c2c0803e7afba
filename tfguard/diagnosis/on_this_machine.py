"""Lets what is on this machine decide between causes: the files that a text names, the package that it imports."""

from __future__ import annotations

import os
from dataclasses import replace

from tfguard.checks.check import check_import, check_library
from tfguard.diagnosis.cause import package_of
from tfguard.diagnosis.judging import Judged
from tfguard.diagnosis.setting import Setting
from tfguard.errors import NOT_THERE
from tfguard.finding import Finding
from tfguard.hosts.host import Host
from tfguard.installed.installation import find_package
from tfguard.report import Report

_MOST_FILES = 3


def decided(
    findings: tuple[Finding, ...], judged: list[Judged], setting: Setting, host: Host | None, failed: str
) -> tuple[Finding, ...]:
    """The findings, with what checks of the files named have shown; as they are where no file is here.

    `failed` is the package whose import an exception of this process ended, "" for a text. Where a check fails, its
    finding comes first: it rests on the file itself. Where the loader says the very words of the text, nothing else
    can be meant. Where a file is there and loads, that is said: the text is of another time, place or process.
    """
    seen: set[str] = set()
    for one in judged:
        path = _path(one)
        if not path or path in seen or len(seen) >= _MOST_FILES:
            continue
        seen.add(path)
        if os.path.isfile(path):
            report = check_library(path, after=_after(path, setting), host=host)
            if report.errors:
                return _foremost(report, findings)
            if report.images:
                return (_noted(findings[0], ("checked here", f"{path} is here, and would load")), *findings[1:])
        elif one.said.kind == "cannot-open" and os.path.isdir(os.path.dirname(path)):
            return _absent(path, findings)
    if failed and not any(map(_path, judged[:1])):
        report = check_import(failed, host=host)
        if report.errors:
            return _foremost(report, () if report.errors[0].slug in NOT_THERE else findings)
        told = next((one for one in report.warnings if one.code in _ENOUGH), None)
        if told is not None and (not judged or judged[0].said.loader == "python"):
            return _foremost(replace(report, findings=(replace(told, severity="error"),)), findings)
    return _by_import(findings, judged[0], setting, host) if judged else findings


# States of an installation that a check only warns of: where the import has failed, and Python's own words are all that
# there is, they are why. Wheels of another platform, several distributions, files missing, a name that hides another,
# a package replaced while it was loaded.
_ENOUGH = ("TFG402", "TFG403", "TFG404", "TFG407", "TFG408", "TFG707")

_SEARCHED = ("cannot-open", "missing-words", "version", "symbol", "wrong-class", "exec-stack", "static-tls")


def _by_import(
    findings: tuple[Finding, ...], first: Judged, setting: Setting, host: Host | None
) -> tuple[Finding, ...]:
    """A bare name: who needs it is not said, but what was imported is, and that import can be played here."""
    name = os.path.basename(first.said.object or first.said.library)
    if first.said.kind not in _SEARCHED or not name or "/" in (first.said.object or first.said.library):
        return findings
    package = _imported(first, setting)
    if not package or find_package(package, host) is None:
        return findings
    report = check_import(package, host=host)
    told = next((one for one in report.errors if _mentions(one, name)), None)
    if told is not None:
        return _foremost(replace(report, findings=(told,)), findings)
    if report.errors:
        met = report.errors[0]
        other = f"import {package} fails here as well, of something else: {met.code} {met.message}"
        return (_noted(findings[0], ("checked here", other)), *findings[1:])
    place = next((one.path for one in report.images if name in (one.soname, os.path.basename(one.path))), "")
    where = f": {name} is {place}" if place else ""
    return (_noted(findings[0], ("checked here", f"import {package} would not fail here{where}")), *findings[1:])


def _imported(one: Judged, setting: Setting) -> str:
    """The top-level package that the text imports when the loader gives up, "" where it does not show."""
    package = package_of(one.said.frame)
    if package in ("tensorflow_core", "tensorflow_intel"):
        return "tensorflow"
    if package.isidentifier():
        return package
    seen = "tensorflow" in setting.imports or any("/tensorflow/" in frame for frame in setting.frames)
    return "tensorflow" if seen else ""


def _mentions(finding: Finding, name: str) -> bool:
    return name in f"{finding.message} {finding.loader_message or ''} {finding.evidence} {finding.path or ''}"


def _path(one: Judged) -> str:
    """The file to check: by an absolute path; what a relative one leads to hangs on where the text comes from.

    Python names the source file of a module that it cannot take a name from: no loader is ever given that.
    """
    for path in (one.said.requirer, one.said.object, one.said.library):
        if path.endswith((".py", ".pyc")):
            continue
        if path.startswith("/") and "\0" not in path and not path.startswith(("/proc/", "/dev/", "/sys/")):
            return os.path.normpath(path)
    return ""


def _after(path: str, setting: Setting) -> str | None:
    from tfguard.binary.elf import look_at
    from tfguard.image import Image

    image = look_at(path).content
    needed = image.needed if isinstance(image, Image) else ()
    is_op = setting.op_load or any(os.path.basename(one).startswith("libtensorflow_framework.") for one in needed)
    return "tensorflow" if is_op and find_package("tensorflow") is not None else None


def _foremost(report: Report, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    first = report.errors[0]
    told = findings[0].evidence[:1] if findings else ()
    checked = replace(first, evidence=(*told, ("checked here", report.target), *first.evidence))
    rest = (replace(one, severity="warning") for one in findings if one.code != first.code)
    return (checked, *rest)


def _absent(path: str, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The folder is here and the file is not: then it does not exist, and is not for another machine."""
    note = ("checked here", f"{os.path.dirname(path)} is here, and has no {os.path.basename(path)}")
    absent = next((one for one in findings if one.code == "TFG110"), None)
    if absent is None:
        return findings
    rest = (replace(one, severity="warning") for one in findings if one is not absent)
    return (_noted(replace(absent, severity="error"), note), *rest)


def _noted(finding: Finding, *rows: tuple[str, str]) -> Finding:
    return replace(finding, evidence=(*rows, *finding.evidence))
