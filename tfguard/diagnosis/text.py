"""Cleans pasted text: colours, quote and log prefixes, escaped line ends, typographic quotes; bounded in every way."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A line of a log may be a whole file: it is read in pieces that overlap by more than any message is long.
LONGEST = 6000
OVERLAP = 1500
MOST_JSON = 100_000
# More than this of a text is not read; of a longer one its beginning and its end are.
MOST = 16 << 20

_ANSI = re.compile(r"\x1b(?:\[[0-9;:?<=>]{0,40}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)?|[@-Z\\^_=>()]B?)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_QUOTES = str.maketrans(
    "\u2018\u2019\u201a\u201b\u00b4\u0060\u2032\uff07\u201c\u201d\u201e\u00a0\uff1a", "''''''''\"\"\" :"
)
# The right edge of a pane of tmux or screen, with the dots that stand for the room beside a smaller window.
_EDGE = re.compile(r"\s*[\u2502|]\s*[\u00b7.]{10,}$")
_WINDOWS_PATH = re.compile(r"(?<![A-Za-z])[A-Za-z]:\\{1,2}[^\s:]")

# What stands before a line of a traceback or of the loader, in logs of many kinds; each is taken off, several times.
_PREFIX = re.compile(
    r"""(?x)
      [>|#*\u2502]{1,4}\s                                  # mail and Markdown quotes, boxes
    | E\s(?=\S)                                            # pytest, whose many blanks are one by now
    | \#\d{1,4}\s+\d+\.\d+\s                               # docker build
    | \[\d{1,6}(?:,\d{1,6})+\]<std(?:err|out)>:?           # Open MPI
    | \[(?:rank)?\d{1,6}\]:\s?                             # MPICH, torchrun
    | \d{1,5}:\s(?=\s*(?:File|Traceback|ImportError|OSError|[A-Za-z_.]+Error))   # srun --label
    | \([\w.-]{1,60}\s(?:pid=\d+)[^)]{0,60}\)\s?           # ray
    | [\w./-]{1,80}\s{1,20}\|\s                            # docker compose
    | \[?\d{4}-\d\d-\d\d[T\s,]\s?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|\s?UTC|[+-]\d\d:?\d\d)?\]?:?\s+   # time stamps
    | std(?:err|out)\s[FP]\s                               # CRI logs
    | \[(?!WinError|Errno|libprotobuf)[\w./:@-]{1,80}\]\s(?=\S)   # [pod/name/container], [uWSGI]
    | \#\#\[\w{1,20}\]\s?                                  # GitHub Actions, Azure Pipelines
    | \{[\w./:-]{1,80}\}\s                                 # {subprocess.py:93} of Airflow
    | [-|]\s(?=\S)                                         # what is left of "time - name - level - "
    | [\w.]{1,60}:[\w<>]{1,60}:\d{1,6}\s-\s                # module:function:line of loguru
    | [\w.-]{1,60}\s[-|]\s(?=(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b)
    | [A-Z][a-z]{2}\s+\d{1,2}\s\d\d:\d\d:\d\d\s[\w.-]{1,60}\s[\w./-]{1,60}(?:\[\d+\])?:\s    # syslog
    | \[?(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\]?(?::|\s[-|])?\s\s*(?=\S)
    """
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text made ready: its lines with single blanks, without prefixes; the same in lower case, for quick looks."""

    lines: tuple[str, ...]
    low: tuple[str, ...]

    @property
    def whole(self) -> str:
        """All of it in lower case, a line each."""
        return "\n".join(self.low)


def clean(text: str) -> Text:
    """The lines of a pasted text; takes any string."""
    if len(text) > MOST:
        text = text[: MOST // 2] + "\n" + text[-MOST // 2 :]
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    text = _CONTROL.sub("", text.replace("\r", "\n")).translate(_QUOTES)
    found: list[str] = []
    known: dict[str, list[str]] = {}  # logs repeat themselves
    for raw in text.splitlines():
        lines = known.get(raw)
        if lines is None:
            lines = [
                one
                for line in _unescaped(raw)
                for one in _pieces(_without_prefix(_EDGE.sub("", " ".join(line.split()))))
            ]
            known[raw] = lines
        found += lines
    return Text(lines=tuple(found), low=tuple(lowered(line) for line in found))


def lowered(line: str) -> str:
    """The line in lower case, character for character: a place in one is the same place in the other."""
    low = line.lower()
    return low if len(low) == len(line) else "".join(one.lower() if len(one.lower()) == 1 else one for one in line)


def _unescaped(line: str) -> list[str]:
    r"""The lines in a line: JSON logs and repr() write a line end as \n, which in a Windows path begins a name."""
    if "&" in line and ";" in line:
        from html import unescape

        line = unescape(line).translate(_QUOTES)
    if line.lstrip()[:2] == '{"' and (told := _of_json(line)):
        return told.translate(_QUOTES).splitlines()
    if "\\n" not in line or (_WINDOWS_PATH.search(line) and not line.lstrip().startswith("{")):
        return [line]
    return [part for part in line.replace('\\"', '"').replace("\\'", "'").replace("\\t", " ").split("\\n") if part]


def _of_json(line: str) -> str:
    """The texts in a line of a JSON log, "" where it is none."""
    import json

    try:
        values = json.loads(line[:MOST_JSON])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(values, dict):
        return ""
    # what has a blank in it is a text; "stderr" and time stamps are not
    return "\n".join(one for one in values.values() if isinstance(one, str) and " " in one)


def _without_prefix(line: str) -> str:
    for _ in range(8):
        prefix = _PREFIX.match(line)
        if prefix is None or prefix.end() == len(line):
            return line
        line = line[prefix.end() :].lstrip()
    return line


def _pieces(line: str) -> list[str]:
    if len(line) <= LONGEST:
        return [line] if line else []
    return [line[at : at + LONGEST] for at in range(0, len(line), LONGEST - OVERLAP)]
