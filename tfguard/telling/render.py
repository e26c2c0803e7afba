"""A Report as plain text for a person, and as plain data for a program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfguard.plain import command_lines, plain, wrap

if TYPE_CHECKING:
    from tfguard.finding import Finding, Remedy
    from tfguard.hosts.host import Host
    from tfguard.hosts.mac import Mac
    from tfguard.loader.trace import Failure, Lookup, Mapped, Trace
    from tfguard.report import Report

BOLD, RED, YELLOW, RESET = "\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"

# A longer label does not push the whole table to the right: its own fact follows it two columns on.
_LABEL_LIMIT = 24


def as_text(report: Report, *, color: bool = False, verbose: bool = False, width: int = 80) -> str:
    """The report as a person reads it: printable ASCII, without a line end at the end.

    The first line stands alone: the first error, or that all is well. `width` is in columns; paths and commands are
    longer where they must be. `color` adds ANSI bold, red and yellow, `verbose` the host as the check saw it.
    """
    findings = report.errors + report.warnings
    paths = _paths_with_spaces(report)
    blocks = [] if report.errors else [all_is_well(report)]
    blocks += [finding_text(one, color=color, width=width, unbroken=paths) for one in findings]
    tail = [f"{plain(one.code)} {plain(one.slug)} (note): {plain(one.message)}" for one in report.notes]
    tail += [f"not checked: {plain(one)}" for one in report.skipped]
    tail += _seen_of_the_host(report) if verbose else []
    if tail:
        blocks.append("\n".join(line for one in tail for line in wrap(one, width, indent="  ", unbroken=paths)))
    if report.errors and len(findings) > 1:
        blocks.append(count_line(report))
    return ("\n\n" if findings else "\n").join(blocks)


def finding_text(finding: Finding, *, color: bool = False, width: int = 80, unbroken: tuple[str, ...] = ()) -> str:
    """One finding: the diagnosis, the evidence, the remedies, where to read more.

    `unbroken` holds names with spaces in them that no line may be broken in.
    """
    head = _tinted(
        f"{plain(finding.code)} {plain(finding.slug)}", RED if finding.severity == "error" else YELLOW, color=color
    )
    mark = "" if finding.severity == "error" else f" ({finding.severity})"
    blocks = [f"{head}{mark}: {plain(finding.message)}"]
    if rows := evidence_rows(finding):
        blocks.append("\n".join(_table(rows, width, unbroken)))
    if finding.remedies:
        blocks.append("\n".join(_remedies(finding.remedies, width, unbroken, color=color)))
    blocks.append(f"  {more(finding)}")
    return "\n\n".join(blocks)


def more(finding: Finding) -> str:
    """Where to read about this cause."""
    return f"more: python -m tfguard explain {plain(finding.code)}"


def evidence_rows(finding: Finding) -> list[tuple[str, str]]:
    """The evidence as it is shown: printable, repeats counted, with the file and the loader's words in any case."""
    rows = [(plain(label), plain(fact)) for label, fact in finding.evidence]
    if finding.path is not None:
        path = plain(os.fspath(finding.path))
        if path not in plain(finding.message) and not any(path in fact for _, fact in rows):
            rows.insert(0, ("file", path))
    if finding.loader_message is not None:
        says = plain(finding.loader_message)
        if not any(says in fact for _, fact in rows):
            rows.append(("the loader says", says))
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return [(label, fact if times == 1 else f"{fact}  ({times} times)") for (label, fact), times in counts.items()]


def _table(rows: list[tuple[str, str]], width: int, unbroken: tuple[str, ...]) -> Iterator[str]:
    column = max((len(label) for label, _ in rows if len(label) <= _LABEL_LIMIT), default=0)
    previous = ""
    for label, fact in rows:
        start = f"  {'' if label == previous else label:<{column}}  "
        previous = label
        for line in wrap(fact, width - column - 4, first=width - len(start), unbroken=unbroken):
            yield (start + line).rstrip()
            start = " " * (column + 4)


def remedy_text(remedy: Remedy) -> str:
    """The sentence of a remedy, with a colon where its command follows."""
    text = plain(remedy.text).rstrip(". ")
    return text if remedy.command is None or text.endswith(":") else f"{text}:"


def _remedies(remedies: tuple[Remedy, ...], width: int, unbroken: tuple[str, ...], *, color: bool) -> Iterator[str]:
    for position, remedy in enumerate(remedies):
        word = "or" if position else "fix"
        start = f"  {_tinted(word, BOLD, color=color)}{'':{5 - len(word)}}"
        for line in wrap(remedy_text(remedy), width - 7, unbroken=unbroken):
            yield start + line
            start = " " * 7
        if remedy.command is not None:
            yield from (" " * 9 + line for line in command_lines(remedy.command))


def _tinted(text: str, tint: str, *, color: bool) -> str:
    return f"{tint}{text}{RESET}" if color else text


def all_is_well(report: Report) -> str:
    """The first line where there is no error: how much was checked; that it is ok only where something was."""
    target = plain(report.target)
    if report.kind == "text":
        return f"{target}: no error in it that ends a load"
    if report.depth == "loaded" and not report.skipped:
        return f"{target}: ok, loaded in a child process{_warned(report)}"
    checked = len({image.path for image in report.images})
    if checked:
        what = counted(checked, "library", "libraries") + " checked"
        what += "" if report.depth == "symbols" else ", symbols not looked up"
    elif any(trace.lookups for trace in report.traces):
        what = "already loaded in this process"
    elif report.skipped and not report.traces:
        return f"{target}: nothing was checked"
    else:
        what = "no library to check"
    return f"{target}: ok, {what}{_warned(report)}"


def _warned(report: Report) -> str:
    return f", {counted(len(report.warnings), 'warning', 'warnings')}" if report.warnings else ""


def count_line(report: Report) -> str:
    """The last line where there is more than one finding."""
    parts = [counted(len(report.errors), "error", "errors")]
    if report.warnings:
        parts.append(counted(len(report.warnings), "warning", "warnings"))
    return f"{plain(report.target)}: {', '.join(parts)}"


def counted(number: int, one: str, many: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {one if number == 1 else many}"


def _seen_of_the_host(report: Report) -> list[str]:
    host, mac = report.host, report.host.mac
    name = "LD_LIBRARY_PATH" if mac is None else "DYLD_LIBRARY_PATH"
    value = host.library_path if mac is None else mac.environment.get(name)
    lines = [
        f"host: {plain(host_summary(host))}",
        f"{name} at process start: {plain(value or 'not set')}",
        f"loaded before: {counted(len((host if mac is None else mac).loaded), 'image', 'images')}",
    ]
    lines += [f"not known of this host: {plain(one)}" for one in host.skipped if one not in report.skipped]
    notes = dict.fromkeys(note for trace in report.traces for note in trace.notes)
    return lines + [f"note: {plain(note)}" for note in notes]


def host_summary(host: Host) -> str:
    """The host in a few words: loader and version, machine, class, page size."""
    from tfguard.image import machine_name
    from tfguard.macho_image import version_text

    if host.mac is not None:
        translated = " under Rosetta" if host.mac.translated else ""
        return f"macOS {version_text(host.mac.version)}, {host.mac.architecture}{translated}"
    machine = machine_name(host.machine)
    return f"{host.loader} {_dotted(host.version)}, {machine}, {host.elf_class}-bit, pages of {host.page_size} bytes"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _paths_with_spaces(report: Report) -> tuple[str, ...]:
    paths = {os.fspath(one.path) for one in report.findings if one.path is not None} | {report.target}
    for trace in report.traces:
        for lookup in trace.lookups:
            paths |= {path for path in (lookup.requirer, lookup.found) if path is not None}
            paths |= {attempt.path for attempt in lookup.attempts}
    found = {plain(path) for path in paths if " " in path and "/" in path}
    found |= {os.path.dirname(path) for path in found}
    return tuple(sorted((path for path in found if " " in path), key=len, reverse=True))


def as_dict(report: Report) -> dict[str, object]:
    """The report as dict, list, str, int, bool and None; docs/json.md says what each field means."""
    from tfguard.report import SCHEMA

    return {
        "schema": SCHEMA,
        "target": report.target,
        "kind": report.kind,
        "depth": report.depth,
        "ok": report.ok,
        "findings": [finding_dict(one) for one in report.errors + report.warnings + report.notes],
        "skipped": list(report.skipped),
        "traces": [_trace_dict(one) for one in report.traces],
        "host": _host_dict(report.host),
    }


def finding_dict(finding: Finding) -> dict[str, object]:
    """A finding as plain data."""
    return {
        "code": finding.code,
        "slug": finding.slug,
        "severity": finding.severity,
        "message": finding.message,
        "path": None if finding.path is None else os.fspath(finding.path),
        "loader_message": finding.loader_message,
        "evidence": [{"label": label, "fact": fact} for label, fact in finding.evidence],
        "remedies": [{"text": one.text, "command": one.command} for one in finding.remedies],
    }


def _trace_dict(trace: Trace) -> dict[str, object]:
    return {
        "target": trace.target,
        "ok": trace.failure is None,
        "verdict": trace.verdict,
        "symbols_resolved": trace.resolved,
        "failure": None if trace.failure is None else _failure_dict(trace.failure),
        "images": [_mapped_dict(one) for one in trace.images],
        "lookups": [_lookup_dict(one) for one in trace.lookups],
        "notes": list(trace.notes),
    }


def _failure_dict(failure: Failure) -> dict[str, object]:
    return {
        "kind": failure.kind,
        "rule": failure.rule,
        "message": failure.message,
        "signal": failure.signal,
        "certain": failure.certain,
        "path": failure.path,
        "name": failure.name,
        "requirer": failure.requirer,
        "provider": failure.provider,
        "detail": failure.detail,
        "versions": [{"file": one.file, "version": one.version, "weak": one.weak} for one in failure.needs],
        "symbols": [
            {
                "name": one.name.decode("utf-8", "surrogateescape"),
                "version": None if one.need is None else one.need.version,
            }
            for one in failure.references
        ],
    }


def _mapped_dict(mapped: Mapped) -> dict[str, object]:
    from tfguard.image import machine_name
    from tfguard.macho_image import MachoImage

    image = mapped.image
    return {
        "path": mapped.path,
        "name": mapped.name,
        "requirer": mapped.requirer,
        "step": mapped.step,
        "soname": image.soname,
        "machine": image.architecture if isinstance(image, MachoImage) else machine_name(image.machine),
        "class": 64 if isinstance(image, MachoImage) else image.elf_class,
        "size": image.size,
        "needed": list(image.needed),
        "rpath": ":".join(image.rpaths) or None if isinstance(image, MachoImage) else image.rpath,
        "runpath": None if isinstance(image, MachoImage) else image.runpath,
    }


def _lookup_dict(lookup: Lookup) -> dict[str, object]:
    return {
        "name": lookup.name,
        "requirer": lookup.requirer,
        "found": lookup.found,
        "attempts": [
            {"step": one.step, "path": one.path, "outcome": one.outcome, "detail": one.detail}
            for one in lookup.attempts
        ],
    }


def _host_dict(host: Host) -> dict[str, object]:
    from tfguard.image import machine_name

    return {
        "loader": host.loader,
        "version": _dotted(host.version),
        "features": sorted(host.features),
        "machine": machine_name(host.machine),
        "class": host.elf_class,
        "byte_order": "little" if host.little_endian else "big",
        "page_size": host.page_size,
        "isa_level": host.isa_level,
        "processor": {
            "model": host.processor.model,
            "features": sorted(host.processor.features),
            "emulator": host.processor.emulator,
            "below": host.processor.below,
        },
        "limits": {"address_space": host.limits.address_space, "selinux": host.limits.selinux},
        "executable": host.executable,
        "root": host.root.directory,
        "sys_path": None if host.python is None else list(host.python.path),
        "environment": dict(sorted(host.environment.items())),
        "late_library_path": host.late_library_path,
        "secure": host.secure,
        "refuses_write_execute": host.refuses_write_execute,
        "cwd": host.cwd,
        "system_directories": list(host.system_directories),
        "cache_path": host.cache_path,
        "tokens": {"LIB": host.lib_token, "PLATFORM": host.platform_token},
        "loaded": [
            {"path": one.path, "soname": one.image.soname if one.image else None, "startup": one.startup}
            for one in host.loaded
        ],
        "mac": None if host.mac is None else _mac_dict(host.mac),
        "skipped": list(host.skipped),
    }


def _mac_dict(mac: Mac) -> dict[str, object]:
    return {
        "version": _dotted(mac.version),
        "architecture": mac.architecture,
        "translated": mac.translated,
        "accepts": list(mac.accepts),
        "main": mac.main,
        "caller": mac.caller,
        "sites": list(mac.sites),
        "environment": dict(mac.environment),
        "allows_path_variables": mac.allows_path_variables,
        "validates_libraries": mac.validates_libraries,
        "team": mac.team,
        "loaded": [one.path for one in mac.loaded],
    }
