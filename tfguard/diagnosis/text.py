"""Cleans pasted text: colours, quote and log prefixes, escaped line ends, typographic quotes; bounded in every way."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise

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
# Markup around a text that was copied out of a page; template arguments of C++ have none of these names.
_BREAK = re.compile(r"<br\s?/?>|</?(?:pre|p|div|li|tr|summary|details)>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:code|span|b|i|em|strong|td)(?:\s[^<>\n]{0,200})?>", re.IGNORECASE)
_WINDOWS_PATH = re.compile(r"(?<![A-Za-z])[A-Za-z]:\\{1,2}[^\s:]")

# What stands before a line of a traceback or of the loader, in logs of many kinds; each is taken off, several times.
_PREFIX = re.compile(
    r"""(?x)
      [>|#*\u2502]{1,4}\s                                  # mail and Markdown quotes, boxes
    | E\s(?=\S)                                            # pytest, whose many blanks are one by now
    | \#\d{1,4}\s+\d+\.\d+\s                               # docker build
    | \[\d{1,6}(?:,\d{1,6})+\]<std(?:err|out)>:?           # Open MPI
    | \[(?:rank)?\d{1,6}\]:\s?                             # MPICH, torchrun
    | \d{1,5}:\s(?=\S)                                     # srun --label
    | >{2,6}(?=[A-Za-z/"'(\[])                             # mail, quoted without blanks
    | (?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]{1,80}:\s?(?=\S)    # logging.basicConfig
    | time="[^"]{1,40}"\slevel=\w{1,9}\smsg="?            # logrus
    | [\w.-]{1,160}\.log:\s                               # what fluentd calls a container
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
    | \[?(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\s?\]?(?::|\s[-|])?\s\s*(?=\S)
    """
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text made ready: its lines with single blanks, without prefixes; the same in lower case, for quick looks.

    `widths` is how many columns each line had in the text as it came; none where lines have been put together.
    """

    lines: tuple[str, ...]
    low: tuple[str, ...]
    widths: tuple[int, ...] = ()

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
    if "<" in text and _BREAK.search(text):
        text = _TAG.sub("", _BREAK.sub("\n", text))
    found: list[str] = []
    widths: list[int] = []
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
        widths += [len(raw)] * len(lines)
    if len(found) <= _FEW:
        torn = [part for line in found for part in _torn(line)]
        found, widths = (torn, []) if len(torn) > len(found) else (found, widths)
    if (common := _common_prefix(found)) is not None:
        found = [_without_prefix(common.sub("", line, count=1)) for line in found]
    if _is_upside_down(found):
        found.reverse()
        widths.reverse()
    return Text(lines=tuple(found), low=tuple(lowered(line) for line in found), widths=tuple(widths))


_FEW = 3  # lines
_LONG = 160
# What begins a line wherever it stands: of a text whose line ends were lost.
_BEGINNING = re.compile(
    r"""(?x)(?<=\S\ )(?=
      Traceback\ \(most\ recent | File\ "[^"\n]{1,300}",\ line\ \d | During\ handling\ of | The\ above\ exception\ was
    | (?:[a-z]\w{0,40}\.){0,6}[A-Z]\w{0,60}(?:Error|Exception):\ | \d{4}-\d\d-\d\d[\ T]\d\d:\d\d:\d\d
    | [IWEF]\ tensorflow/ | \[libprotobuf\ | OMP:\ | Aborted\ \(core | Segmentation\ fault\ \( | Process\ finished
    | qemu:\ uncaught | Referenced\ from:\ | Expected\ in:\ | tensorflow[\w-]{0,40}==\d | >>>\ )"""
)


def _torn(line: str) -> list[str]:
    return _BEGINNING.sub("\n", line).split("\n") if len(line) > _LONG else [line]


_SAMPLE = 400  # lines; in a longer log some will not have the prefix
_DIGITS = re.compile(r"\d+")
_OF_MESSAGES = re.compile(r"[/\\(#'\x60]|\.so|\.dylib|[a-z](?:Error|Warning)\b|^(?:File|dyld|OMP|at|from)\b|^\w+:? ?$")


def _common_prefix(lines: list[str]) -> re.Pattern[str] | None:
    """What all lines begin with, numbers aside, where that is no part of a message: the label of some launcher."""
    labelled = {line[:400] for line in lines} if len(lines) <= _SAMPLE else set()
    if len(labelled) < 2:
        return None
    masked = [_DIGITS.sub("0", line) for line in labelled]
    first = os.path.commonprefix([min(masked), max(masked)])  # noqa: RUF071 - of texts, not of paths
    first = first[: max(first.rfind(one) for one in ":]|>=") + 1]
    if not first or len(first) > 120 or _OF_MESSAGES.search(first):
        return None
    return re.compile("^" + re.escape(first).replace("0", r"\d+") + " ?")


def _is_upside_down(lines: list[str]) -> bool:
    """Whether the last line of the text stands first, as log viewers show what came last: by what has a fixed order."""
    frames = [number for number, line in enumerate(lines) if line.startswith('File "')]
    heads = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if frames and heads and heads[-1] > frames[-1] and heads[0] > frames[0]:
        return True
    if len(lines) > 1 and lines[-1].startswith('File "') and _EXCEPTION.match(lines[0]):
        return True
    return any(
        (above.startswith("Referenced from:") and ("Library not loaded" in line or "Symbol not found" in line))
        or (above.startswith(("Reason:", "Expected in:")) and line.startswith("Referenced from:"))
        or (above.startswith("/") and line.endswith("Did find:"))
        for above, line in pairwise(lines)
    )


_EXCEPTION = re.compile(r"[\w.]{0,100}(?:Error|Exception)\b")


def lowered(line: str) -> str:
    """The line in lower case, character for character: a place in one is the same place in the other."""
    low = line.lower()
    return low if len(low) == len(line) else "".join(one.lower() if len(one.lower()) == 1 else one for one in line)


def _unescaped(line: str) -> list[str]:
    r"""The lines in a line: JSON logs and repr() write a line end as \n, which in a Windows path begins a name."""
    if "&" in line and ";" in line:
        from html import unescape

        line = unescape(line).translate(_QUOTES)
    at = line.find('{"', 0, 300)
    if at >= 0 and line.rstrip().endswith("}") and (told := _of_json(line[at:])):
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
    texts = ((key, one) for key, one in values.items() if isinstance(one, str))
    return "\n".join(one for key, one in texts if " " in one or key in ("log", "message", "msg", "line"))


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
