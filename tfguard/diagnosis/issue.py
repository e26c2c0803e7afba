"""One block to paste into an issue: what was checked, found and installed, without personal names; and its reader."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tfguard.finding import Finding, Remedy
from tfguard.hosts.host import Host
from tfguard.report import Report

SCHEMA = 1
_FIRST = f"tfguard report {SCHEMA}"
_LAST = "end of tfguard report"
# The distributions whose versions matter for an import of TensorFlow.
_MATTERS = re.compile(
    r"(?i)^(tensorflow|tf[-_]|keras|numpy|protobuf|h5py|torch|jax|scipy|grpcio|ml[-_]dtypes|nvidia[-_]|horovod"
    r"|intel[-_]"
    r"|mkl|pip$|conda)"
)
_LOADERS = re.compile(r"^(LD_|DYLD_|GLIBC_TUNABLES$)")
# A home wherever it is mounted or shared; of a name with blanks the end is where the path goes on.
_PEOPLE = re.compile(
    r"((?:[/\\]|^)(?:home|Users)[/\\]+)(?:[^/\\\n'\":;,=]{1,60}(?=[/\\])|[^/\\\s'\":;,]+)", re.MULTILINE
)
_TILDE = re.compile(r"(?<![\w/~])~[A-Za-z_][\w.-]{0,60}(?=/)")
_CREDENTIALS = re.compile(r"(://)[^/\s@]{1,200}@")
# Any number: what another release adds to the block is read as far as it is known, the rest is passed over.
_BEGINS = re.compile(r"(?:^|\s)tfguard report (?P<schema>\d{1,4})$")
_LINE = re.compile(r"^(?P<key>[a-z][a-z _-]{2,19}): (?P<value>.*)$")


class Facts(NamedTuple):
    """What the block holds: rows of (key, value), and the report they are of."""

    rows: tuple[tuple[str, str], ...]
    report: Report


def facts_of(report: Report) -> Facts:
    """The facts of this machine that matter for a report."""
    import platform

    from tfguard import __version__
    from tfguard.telling.render import host_summary

    host = report.host
    rows = [
        ("target", report.target),
        ("tfguard", __version__),
        ("python", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"),
        ("system", f"{_system()}, {platform.system()} {platform.release()} {platform.machine()}"),
        ("host", host_summary(host)),
    ]
    environment = {name: value for name, value in sorted(host.environment.items()) if _LOADERS.match(name)}
    rows += [("environment", f"{name}={value}") for name, value in environment.items()]
    if host.late_library_path and host.late_library_path != host.library_path:
        rows.append(("environment", f"LD_LIBRARY_PATH={host.late_library_path} (set later, in os.environ)"))
    rows += [("installed", one) for one in _installed()]
    rows += [("not checked", one) for one in report.skipped]
    return Facts(tuple((key, anonymous(value)) for key, value in rows), report)


def _system() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            names = dict(line.strip().partition("=")[::2] for line in file)
    except OSError:
        return "unknown system"
    return names.get("PRETTY_NAME", "unknown system").strip("\"'")


def _installed() -> list[str]:
    from importlib import metadata

    found = {f"{one.name} {one.version}" for one in metadata.distributions() if one.name and _MATTERS.match(one.name)}
    return sorted(found, key=str.lower)


def anonymous(text: str) -> str:
    """The text without the home directory and the user's name; of other people's homes too."""
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    text = _PEOPLE.sub(lambda match: f"{match[1]}USER", text)
    text = _CREDENTIALS.sub(r"\1USER@", _TILDE.sub("~USER", text))
    name = _user()
    if len(name) < 3 or name == "root":
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", "USER", text)


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "")


def block(facts: Facts) -> str:
    """The block as text, a fact a line: it may be quoted, indented and cut, and still be read."""
    from tfguard.plain import plain

    lines = [_FIRST, *(f"{key}: {plain(value)}" for key, value in facts.rows)]
    for finding in facts.report.errors + facts.report.warnings:
        lines.append(f"finding: {finding.code} {finding.slug} ({finding.severity}): {_shown(finding.message)}")
        if finding.path is not None:
            lines.append(f"path: {_shown(os.fspath(finding.path))}")
        if finding.loader_message:
            lines.append(f"loader says: {_shown(finding.loader_message)}")
        lines += [f"evidence: {label} = {_shown(fact)}" for label, fact in finding.evidence]
        for remedy in finding.remedies:
            lines.append(f"remedy: {_shown(remedy.text)}")
            if remedy.command:
                lines.append(f"command: {_shown(remedy.command)}")
    lines.append(f"result: {len(facts.report.errors)} errors, {len(facts.report.warnings)} warnings")
    return "\n".join([*lines, _LAST])


def _shown(text: str) -> str:
    from tfguard.plain import plain

    return plain(anonymous(text)).replace("\n", "; ")


def markdown(facts: Facts) -> str:
    """The block as Markdown folds it away in an issue."""
    first = next(iter(facts.report.errors + facts.report.warnings), None)
    title = f"{first.code} {first.slug}: {_shown(first.message)}" if first is not None else "no error found"
    return f"<details><summary>tfguard report: {title}</summary>\n\n```text\n{block(facts)}\n```\n\n</details>"


def as_json(facts: Facts) -> dict[str, object]:
    """The block as plain data."""
    rows: dict[str, object] = {"tfguard_report": SCHEMA}
    for key in dict.fromkeys(key for key, _ in facts.rows):
        values = [value for other, value in facts.rows if other == key]
        rows[key.replace(" ", "_")] = values if key in ("environment", "installed", "not checked") else values[0]
    rows["findings"] = [_plain_finding(one) for one in facts.report.errors + facts.report.warnings]
    return rows


def _plain_finding(finding: Finding) -> dict[str, object]:
    from tfguard.telling.render import finding_dict

    return {key: _anonymous_all(value) for key, value in finding_dict(finding).items()}


def _anonymous_all(value: object) -> object:
    if isinstance(value, str):
        return anonymous(value)
    if isinstance(value, list):
        return [_anonymous_all(one) for one in value]
    if isinstance(value, dict):
        return {key: _anonymous_all(one) for key, one in value.items()}
    return value


# --- a block of another machine


def report_in(text: str) -> Report | None:
    """The report that a block in a text holds, None where there is none."""
    if '"tfguard_report"' in text:
        return _from_json(text)
    if "tfguard report " not in text:
        return None
    from tfguard.diagnosis.text import clean

    lines = list(clean(text).lines)
    for at, line in enumerate(lines):
        begins = _BEGINS.search(line)
        if begins is not None:
            return _from_lines(lines[at + 1 :], int(begins["schema"]))
    return None


def _from_lines(lines: Iterable[str], schema: int) -> Report:
    rows: list[tuple[str, str]] = []
    for line in lines:
        if line.endswith(_LAST):
            break
        match = _LINE.match(line)
        if match is not None:
            rows.append((match["key"], match["value"]))
        elif rows:  # a line that was broken in two
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line}")
    groups: list[list[tuple[str, str]]] = []
    for row in rows:
        if row[0] == "finding":
            groups.append([])
        if groups and row[0] != "result":
            groups[-1].append(row)
    findings = tuple(found for group in groups if (found := _finding(group)) is not None)
    return _report(dict(rows), [value for key, value in rows if key == "installed"], findings, schema)


_HEAD = re.compile(r"(?P<code>TFG\d{3,5}) (?P<slug>[\w-]{1,60}) \((?P<severity>[a-z]{1,20})\): (?P<message>.*)")


def _finding(rows: list[tuple[str, str]]) -> Finding | None:
    from pathlib import Path

    head = _HEAD.match(rows[0][1])
    if head is None:
        return None
    values = dict(rows)
    evidence = [value.partition(" = ") for key, value in rows if key == "evidence"]
    remedies: list[Remedy] = []
    for key, value in rows:
        if key == "remedy":
            remedies.append(Remedy(value))
        elif key == "command" and remedies:
            remedies[-1] = Remedy(remedies[-1].text, value)
    return Finding(
        code=head["code"],
        slug=head["slug"],
        severity="error" if head["severity"] == "error" else "warning",
        message=head["message"],
        path=Path(values["path"]) if "path" in values else None,
        loader_message=values.get("loader says"),
        evidence=tuple((label, fact) for label, _, fact in evidence),
        remedies=tuple(remedies),
    )


def _from_json(text: str) -> Report | None:
    import json

    start, end = text.find("{"), text.rfind("}")
    try:
        data = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
        return None
    groups = [_rows_of(one) for one in data["findings"] if isinstance(one, dict)]
    findings = tuple(found for group in groups if (found := _finding(group)) is not None)
    installed = data.get("installed")
    schema = data.get("tfguard_report")
    number = schema if isinstance(schema, int) else SCHEMA
    return _report(data, installed if isinstance(installed, list) else [], findings, number)


def _rows_of(finding: Mapping[str, object]) -> list[tuple[str, str]]:
    """A finding of the JSON block as the rows of the text block."""
    head = "{code} {slug} ({severity}): {message}".format_map({key: finding.get(key) for key in _KEYS})
    rows = [("finding", head)]
    rows += [("path", str(finding["path"]))] if finding.get("path") else []
    rows += [("loader says", str(finding["loader_message"]))] if finding.get("loader_message") else []
    for one in _dicts(finding.get("evidence")):
        rows.append(("evidence", f"{one.get('label')} = {one.get('fact')}"))
    for one in _dicts(finding.get("remedies")):
        rows.append(("remedy", str(one.get("text"))))
        rows += [("command", str(one["command"]))] if one.get("command") else []
    return rows


_KEYS = ("code", "slug", "severity", "message")


def _dicts(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _report(
    values: Mapping[str, object], installed: Iterable[object], findings: tuple[Finding, ...], schema: int
) -> Report:
    host = re.match(r"(\w+) (\d+)\.(\d+)", str(values.get("host", "")))
    seen = Host(loader=host[1], version=(int(host[2]), int(host[3]))) if host is not None else Host()
    where = f"{values.get('system', 'unknown system')}, {values.get('python', 'unknown Python')}"
    writer = f"tfguard {values.get('tfguard', 'of an unknown release')}"
    packages = ", ".join(str(one) for one in list(installed)[:40])
    noted = tuple(
        Finding(
            code=one.code,
            slug=one.slug,
            severity=one.severity,
            message=one.message,
            path=one.path,
            loader_message=one.loader_message,
            evidence=(
                ("reported from", where),
                ("by", writer),
                *one.evidence,
                *((("installed", packages),) if packages else ()),
            ),
            remedies=one.remedies,
        )
        for one in findings
    )
    newer = (
        (f"what only {writer} knows: its report is of a newer form ({schema}, here {SCHEMA} is known)",)
        if schema > SCHEMA
        else ()
    )
    target = str(values.get("target", "the report"))
    return Report(target=target, host=seen, findings=noted, skipped=newer, kind="text")
