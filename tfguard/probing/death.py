"""What the end of a probed child comes from: a signal, a message, a time or memory that ran out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tfguard.diagnosis.cause import quoted
from tfguard.diagnosis.post_mortem import diagnose
from tfguard.finding import Finding, Remedy
from tfguard.probing.child import Ending
from tfguard.probing.instruction import feature_of
from tfguard.rules import rule_of

_FRAME = re.compile(r'^  File "(?P<file>[^"\n]{1,400})", line (?P<line>\d+) in (?P<name>\S{1,100})', re.MULTILINE)
_OWN = ("probing/inside.py", "<frozen runpy>", "<string>", "runpy.py")
_QUIET = frozenset(("TFG905", "TFG906", "TFG757", "TFG751", "TFG601", "TFG116", "TFG760"))


def findings_of(target: str, ending: Ending) -> tuple[Finding, ...]:
    """The findings for how a child ended; none where the load went well."""
    loaded = bool(ending.facts.get("loaded"))
    if ending.reason == "timeout":
        return (_hang(target, ending),)
    if ending.reason == "memory":
        return (_memory(target, ending),)
    if ending.status == 0 or (loaded and ending.status > 0):
        return ()
    told = diagnose(ending.output).findings
    if ending.signal:
        return _by_signal(target, ending, told, loaded=loaded)
    named = tuple(one for one in told if one.code not in ("TFG905", "TFG906"))
    rows = (*_rows(ending), ("ended with", f"exit status {ending.status}"))
    if named:
        return (_with(replace(named[0], severity="error"), rows), *named[1:])
    return (_finding("TFG757", f"loading {_base(target)} ended the process: {_last_line(ending)}", rows, _SEE),)


_SEE = (
    Remedy("Load it in a terminal, and read what stands above the last line.", "python -X faulthandler your_script.py"),
)


def _by_signal(target: str, ending: Ending, told: tuple[Finding, ...], *, loaded: bool) -> tuple[Finding, ...]:
    rows = (*_rows(ending), ("ended by", ending.signal + (", after it had been loaded" if loaded else "")))
    named = [one for one in told if one.code not in _QUIET and one.severity == "error"]
    if ending.signal == "SIGILL":
        return (_illegal(target, ending, rows),)
    if ending.signal == "SIGBUS":
        return (_bus(target, ending, rows),)
    if ending.signal == "SIGKILL":
        remedy = Remedy("Look for what the kernel says of it.", "dmesg | tail")
        return (
            _finding(
                "TFG760",
                f"loading {_base(target)} was killed from outside, as the kernel does where memory runs out",
                rows,
                (remedy,),
            ),
        )
    if named:  # an abort says why, before it ends the process; so do two copies of a library
        return (
            _with(replace(named[0], severity="error"), rows),
            *(replace(one, severity="warning") for one in named[1:]),
        )
    if ending.signal == "SIGABRT":
        return (_finding("TFG757", f"native code of {_base(target)} called abort: {_last_line(ending)}", rows, _SEE),)
    return (_crash(target, ending, rows),)


def _illegal(target: str, ending: Ending, rows: tuple[tuple[str, str], ...]) -> Finding:
    code = bytes.fromhex(str(ending.facts.get("code") or ""))
    feature = feature_of(code)
    have = frozenset(map(str, _list(ending.facts.get("features"))))
    emulator = str(ending.facts.get("emulator") or "") or (
        "QEMU" if "qemu: uncaught target signal" in ending.output else ""
    )
    library = _path(ending.facts.get("at"))
    where = f" in {_base(library)}" if library else ""
    rows = (*rows, *((("instruction", f"{code.hex(' ')}{_of(feature)}"),) if code else ()))
    if feature == "ud2":
        return _finding(
            "TFG751",
            f"native code{where} ended the process on purpose (ud2), where control must not come",
            rows,
            _rebuild(library or target),
        )
    if have:
        rows = (
            *rows,
            ("this processor has", " ".join(one for one in _ORDER if one in have) or "none of AVX and later"),
        )
    wanted = feature if feature and feature not in have else _missing(have)
    what = wanted.upper() if wanted else "an instruction"
    if emulator:
        remedy = Remedy(
            "Use a Python, or an image, for the machine's own processor.", "docker run --platform linux/arm64 IMAGE"
        )
        message = f"the processor that {emulator} plays does not have {what}, which {_base(library or target)} uses"
        return _finding("TFG602", message, rows, (remedy,))
    code_of = {"avx": "TFG601", "avx2": "TFG606", "fma": "TFG606"}.get(wanted, "TFG755")
    remedies = (
        Remedy("Use a build without it, or a machine that has it."),
        Remedy("See what the processor has.", "grep -m1 flags /proc/cpuinfo"),
    )
    return _finding(code_of, f"this processor does not have {what}, which code{where} uses", rows, remedies)


_ORDER = ("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "f16c", "fma", "avx2", "bmi1", "bmi2", "avx512f", "amx_tile")


def _missing(have: frozenset[str]) -> str:
    """The first extension that this processor lacks, of those that builds of TensorFlow use."""
    return next((one for one in ("avx", "avx2", "fma") if have and one not in have), "")


def _of(feature: str) -> str:
    return f" (of {feature.upper()})" if feature and feature != "ud2" else ""


def _bus(target: str, ending: Ending, rows: tuple[tuple[str, str], ...]) -> Finding:
    touched = ending.facts.get("touched")
    path = _path(touched)
    if not path:
        return _crash(target, ending, rows)
    offset = int(str(touched.get("offset", 0))) if isinstance(touched, Mapping) else 0
    try:
        size = os.stat(path).st_size
    except OSError:
        size = -1
    if 0 <= size <= offset:
        rows = (*rows, ("size", f"{size} bytes"), ("touched", f"byte {offset} of it"))
        remedies = (
            Remedy(
                "Install or copy it again, with room on the disk.",
                "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
            ),
        )
        return replace(
            _finding("TFG116", f"{_base(path)} is cut off: what was touched lies behind its end", rows, remedies),
            path=Path(path),
        )
    return _finding(
        "TFG751",
        f"reading {_base(path)} failed while it was mapped: the disk or the network file system",
        rows,
        (Remedy("Look for what the kernel says of it.", "dmesg | tail"),),
    )


def _crash(target: str, ending: Ending, rows: tuple[tuple[str, str], ...]) -> Finding:
    library = _path(ending.facts.get("at"))
    where = f" in {_base(library)}" if library else ""
    torch = any("/torch/" in str(one) for one in _list(ending.facts.get("mapped")))
    both = torch and any("/tensorflow" in str(one) for one in _list(ending.facts.get("mapped")))
    if both:
        rows = (*rows, ("in the process", "libraries of torch and of tensorflow"))
    finding = _finding(
        "TFG702" if both else "TFG751",
        f"native code crashed{where} while {_base(target)} was loaded",
        rows,
        _rebuild(library or target),
    )
    return replace(finding, path=Path(library)) if library else finding


def _rebuild(path: str) -> tuple[Remedy, ...]:
    return (
        Remedy("Look for another copy of it, or of what it needs.", f"python -m tfguard check {quoted(path)}"),
        Remedy("Build it with the compiler and flags of what it is loaded with, or install the release made for that."),
    )


def _hang(target: str, ending: Ending) -> Finding:
    frames = _frames(ending)
    where = f" at {frames[0]}" if frames else ""
    rows = (*_rows(ending), ("waited", f"{ending.seconds:.0f} s"))
    remedies = (
        Remedy(
            "Where it stands in native code, see it with a debugger.", "gdb -p PID -batch -ex 'thread apply all bt'"
        ),
        Remedy(
            "Give it more time where the machine is slow.",
            f"python -m tfguard check --probe --timeout 600 {quoted(target)}",
        ),
    )
    return _finding("TFG759", f"loading {_base(target)} has not come to an end{where}", rows, remedies)


def _memory(target: str, ending: Ending) -> Finding:
    rows = (*_rows(ending), ("had", f"{ending.peak >> 20} MiB when it was ended"))
    return _finding(
        "TFG760",
        f"loading {_base(target)} takes all memory that is free",
        rows,
        (Remedy("Give the machine or container more memory, or find what takes it."),),
    )


# --- what is shown


def _rows(ending: Ending) -> tuple[tuple[str, str], ...]:
    rows = [("probed", "loaded for real in a child process")]
    at = ending.facts.get("at")
    if library := _path(at):
        offset = at.get("offset", 0) if isinstance(at, Mapping) else 0
        rows.append(("instruction in", f"{library}, at offset {int(str(offset)):#x}"))
    rows += [("Python", frame) for frame in _frames(ending)[:4]]
    return tuple(rows)


def _frames(ending: Ending) -> list[str]:
    """The Python frames that faulthandler wrote, innermost first, without the probe's own and the import system's."""
    found = []
    for frame in _FRAME.finditer(ending.output):
        if not frame["file"].endswith(_OWN) and "<frozen importlib" not in frame["file"]:
            found.append(f"{frame['file']}:{frame['line']} in {frame['name']}")
    return list(dict.fromkeys(found))


_ENDS = re.compile(
    r"^(Fatal Python error|Stack \(most recent|Current thread|Thread 0x|Extension modules|  File |qemu: uncaught"
    r"|Aborted"
    r"|Timeout)"
)


def _last_line(ending: Ending) -> str:
    """What was written last before the end, without faulthandler's lines."""
    lines = [line.strip() for line in ending.output.splitlines() if line.strip() and not _ENDS.match(line)]
    lines = [line for line in lines if "<no Python frame>" not in line]
    return lines[-1][:200] if lines else "without a word"


def _finding(code: str, message: str, rows: tuple[tuple[str, str], ...], remedies: tuple[Remedy, ...]) -> Finding:
    return Finding(
        code=code, slug=rule_of(code).slug, severity="error", message=message, evidence=rows, remedies=remedies
    )


def _with(finding: Finding, rows: tuple[tuple[str, str], ...]) -> Finding:
    return replace(finding, evidence=(*rows, *finding.evidence))


def _path(mapping: object) -> str:
    path = str(mapping.get("path") or "") if isinstance(mapping, Mapping) else ""
    return path.removesuffix(" (deleted)") if path.startswith("/") else ""


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _base(path: str) -> str:
    return os.path.basename(path) or path
