"""The passes of a check, in order: find what would be loaded, play the loads, judge what fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tfguard.hosts.host import Host
from tfguard.hosts.live import this_host
from tfguard.installed.glance import calls_for_a_survey
from tfguard.installed.installation import (
    FRAMEWORK,
    Native,
    Package,
    core_natives_of,
    find_package,
    natives_of,
    plugins_of,
)
from tfguard.loader.processes import knows, start
from tfguard.loader.trace import Failure, Trace
from tfguard.report import Report, told

if TYPE_CHECKING:
    from tfguard.checks.gpu import GpuCheck
    from tfguard.checks.installed import Inspected
    from tfguard.finding import Finding
    from tfguard.installed.hashing import Progress
    from tfguard.installed.python import Python
    from tfguard.loader.link_map import LinkMap
    from tfguard.loader.process import Process

StrPath = str | os.PathLike[str]


def check_import(
    name: str = "tensorflow",
    *,
    host: Host | None = None,
    ignore: Collection[str] = (),
    symbols: bool | Literal["auto"] = True,
    gpu: bool = False,
    deep: bool = False,
    progress: Progress | None = None,
    python: Python | None = None,
) -> Report:
    """Say what `import name` would fail of, without importing it.

    Every native file that the import loads is played through the loader in one process, in the import's order: what
    one maps, the next finds loaded. With `symbols=False` undefined symbols are not looked up, with "auto" only where
    some library comes from a place that the installation does not vouch for. With `gpu` also say why TensorFlow would
    see no GPU, as warnings: its import does not fail of that. What is installed around the package is
    looked at as well, with "auto" only where something about it is out of the ordinary; with `deep` every file of it
    is hashed (about a gigabyte; `progress` is told bytes done, bytes in all and the file in hand). `python` is the
    interpreter that this is for, by default the one that runs this. `ignore` holds codes of findings to leave out.
    Of a dotted name the whole package is checked. Raises nothing: where tfguard itself trips, that is a warning in
    the report.
    """
    try:
        host = host if host is not None else this_host()
        python = python or host.python
        return _check_import(name, host, python, ignore, symbols=symbols, gpu=gpu, deep=deep, progress=progress)
    except Exception as error:  # fail open
        return report_of(name, host or Host(), "import", findings=tripped(name, error), ignore=ignore)


def _check_import(
    name: str,
    host: Host,
    python: Python | None,
    ignore: Collection[str],
    *,
    symbols: bool | Literal["auto"],
    gpu: bool,
    deep: bool,
    progress: Progress | None,
) -> Report:
    if host.mac is not None:
        from tfguard.checks.mac import check_mac_import

        return check_mac_import(name, host, ignore, symbols)
    top = name.partition(".")[0]
    if host.start is not None and host.start.failure is not None:
        with start(host) as process:  # Python itself does not start there
            judgement = judged(process, host.start, package=None)
        return report_of(name, host, "import", findings=judgement, traces=(host.start,), ignore=ignore)
    package = find_package(top, host)
    if package is None and not top.isidentifier():
        return report_of(name, host, "import", skipped=(f"no package called {name} is found on sys.path",))
    everything = symbols is True
    natives = list(natives_of(package, everything=everything)) if package is not None else []

    def look() -> Inspected:
        from tfguard.checks.installed import inspect
        from tfguard.installed.python import this_python

        return inspect(top, package, natives, host, python or this_python(), deep=deep, progress=progress)

    closely = everything or deep or not host.root.is_here  # the glance is for imports, and none happens in a tree
    inspected = look() if closely or calls_for_a_survey(package, python) else None
    found = inspected.findings if inspected is not None else ()
    if package is None:
        return report_of(name, host, "import", findings=found, ignore=ignore)
    if unknown := _unknown_loader(host):
        return report_of(name, host, "import", findings=found, ignore=ignore, skipped=(unknown,))
    if top == "tensorflow":
        natives += plugins_of(python.path if python is not None else sys.path, host.root)
    to_play = [one for one in natives if not _is_imported(one, host)]
    plays = _play(package, to_play, host, name=name, symbols=everything, gpu=gpu)
    if symbols == "auto" and _is_unusual(plays.traces, host, package):
        plays = _play(package, to_play, host, name=name, symbols=True, gpu=gpu)
    findings = plays.findings
    if inspected is None and any(one.severity == "error" for one in findings):
        inspected = look()
    if inspected is not None:
        from tfguard.checks.installed import with_causes_first

        findings = with_causes_first(inspected, findings, plays.traces)
    traces, skipped = plays.traces, tuple[str, ...]()
    if plays.gpu is not None:
        findings += plays.gpu.findings
        traces += plays.gpu.traces
        skipped = plays.gpu.skipped
    return report_of(
        name, host, "import", findings=findings, traces=traces, ignore=ignore, symbols=plays.symbols, skipped=skipped
    )


def check_library(
    path: StrPath | bytes,
    *,
    after: str | None = None,
    host: Host | None = None,
    ignore: Collection[str] = (),
) -> Report:
    """Say what opening the library at `path` would fail of, without opening it.

    The answer is for a dlopen in this process as it stands; `after="tensorflow"` answers for the process as it
    would stand after that import, which op libraries need: they find TensorFlow's framework only because it is
    loaded. Raises TypeError for what is no path, else nothing: where tfguard itself trips, that is a warning in the
    report.
    """
    target = os.fsdecode(path)
    kind: Literal["library", "op library"] = "op library" if after == "tensorflow" else "library"
    try:
        return _check_library(target, after, host if host is not None else this_host(), ignore, kind)
    except Exception as error:  # fail open
        return report_of(target, host or Host(), kind, findings=tripped(target, error), ignore=ignore)


def _check_library(
    target: str, after: str | None, host: Host, ignore: Collection[str], kind: Literal["library", "op library"]
) -> Report:
    if host.mac is not None:
        from tfguard.checks.mac import check_mac_library

        return check_mac_library(target, after, host, ignore, kind)
    if unknown := _unknown_loader(host):
        return report_of(target, host, kind, skipped=(unknown,))
    with start(host) as process:
        package = find_package(after, host) if after is not None else None
        skipped = [f"no package called {after} is found on sys.path"] if after is not None and package is None else []
        imported = _Import(process, package) if package is not None else None
        if imported is not None and (failed := imported.play_core()) is not None:
            findings = judged(process, failed, package=package)
            return report_of(target, host, kind, findings=findings, traces=(failed,), ignore=ignore)
        trace = process.dlopen(target, caller=_caller(process, is_op=kind == "op library"))
        if imported is not None and trace.failure is not None and trace.failure.kind in ("missing", "symbol"):
            imported.play_rest()
            trace = process.dlopen(target, caller=_caller(process, is_op=kind == "op library"))
        is_op = kind == "op library"
        stands = _judge_conditions(process, target, [trace], package, sure=True, runs=False, is_op=is_op)
        findings = (*stands, *judged(process, trace, package=package, is_op=is_op))
    return report_of(target, host, kind, findings=findings, traces=(trace,), ignore=ignore, skipped=tuple(skipped))


class _Plays:
    """The loads of one import, played, and what was found."""

    def __init__(self, *, symbols: bool) -> None:
        self.symbols = symbols
        self.traces: tuple[Trace, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self.gpu: GpuCheck | None = None


def _play(
    package: Package, natives: list[Native], host: Host, *, name: str, symbols: bool, gpu: bool = False
) -> _Plays:
    plays = _Plays(symbols=symbols)
    traces: list[Trace] = []
    measured: list[Trace] = []
    findings: dict[tuple[str, str], Finding] = {}
    reached = _Certainty(package, name)
    pending = list(natives)
    again: set[str] = set()
    met: set[tuple[str, str, bool]] = set()
    ends = False
    with start(host) as process:
        for native in pending:
            if native.path is None:
                trace = _missing_module(package, native)
            elif host.loader == "musl" and _is_not_tried(native.path, package.suffixes):
                trace = _module_for_glibc(native.path, native.module)
            else:
                # Behind an error the import is over: what else is broken is still named, without the price of symbols.
                look_up = symbols and not ends
                trace = process.dlopen(native.path, make_global=native.make_global, symbols=look_up)
            if _hangs_on_others(trace.failure) and not native.listed and native.module not in again:
                # The true order is known of listed modules only: what this one lacks, a later one may bring.
                again.add(native.module)
                pending.append(native)
                continue
            traces.append(trace)
            if native.certain:
                measured.append(trace)
            if trace.failure is None and not _is_short(trace):
                continue
            fatal = native.certain or reached.certain(native, trace)
            failure = trace.failure
            cause = (failure.kind, failure.provider or failure.path, fatal) if failure is not None else None
            if failure is not None and failure.kind == "module-for-glibc":
                cause = (failure.kind, "", fatal)  # of a package all are, or none
            if cause in met:
                continue  # the same file at fault, met once more
            met.update(() if cause is None else (cause,))
            for finding in judged(process, trace, package=package, fatal=fatal):
                key = (finding.code, str(finding.path))
                known = findings.get(key)
                if known is None or (known.severity == "warning" and finding.severity == "error"):
                    findings[key] = finding
                ends = ends or finding.severity == "error"
        stands = _judge_conditions(process, name, measured or traces, package, sure=bool(measured), runs=bool(measured))
        if gpu:
            from tfguard.checks.gpu import check_gpu

            plays.gpu = check_gpu(process, package)
    plays.traces = tuple(traces)
    plays.findings = (*stands, *findings.values())
    return plays


def _judge_conditions(
    process: Process, target: str, traces: list[Trace], package: Package | None, *, sure: bool, runs: bool,
    is_op: bool = False,
) -> tuple[Finding, ...]:  # fmt: skip
    """The findings about what stands against these loads beside their files."""
    from tfguard.evidence.conditions import conditions
    from tfguard.evidence.conflicts import conflicts

    found: list[Finding] = []
    asked = None if is_op else package  # an op is opened after the import, whatever state that is in
    against = (*conditions(process.host, traces, sure=sure, runs=runs), *conflicts(process.host, asked, traces))
    for failure in against:
        trace = Trace(target=target, lookups=(), images=(), failure=failure)
        found += judged(process, trace, package=package, is_op=is_op)
    return tuple(found)


def judged(
    process: Process, trace: Trace, *, package: Package | None, fatal: bool = True, is_op: bool = False
) -> tuple[Finding, ...]:
    """The findings for one trace. The rules are loaded here: a load that goes well never needs them."""
    from tfguard.evidence.investigate import investigate
    from tfguard.rules import judge

    return judge(investigate(process, trace, package=package, fatal=fatal, is_op=is_op))


def tripped(target: str, error: Exception) -> tuple[Finding, ...]:
    """A fault of tfguard as a finding: what was raised, and in which line of it."""
    import traceback

    from tfguard.case import Case
    from tfguard.rules import judge

    own = os.path.dirname(os.path.dirname(__file__))
    frames = traceback.extract_tb(error.__traceback__)
    # in a frozen application they have the names of files on the machine that froze it
    last = [one for one in frames if one.filename.startswith(own)][-1:] or frames[-1:]
    where = f"{last[0].filename}:{last[0].lineno} in {last[0].name}" if last else "no line of it"
    failure = Failure(kind="tripped", rule="", message=None, path="", name=where, certain=False, detail=repr(error))
    trace = Trace(target=target, lookups=(), images=(), failure=failure)
    return judge(Case(target=target, host=Host(), trace=trace, failure=failure))


def _is_short(trace: Trace) -> bool:
    return any(one.image.size < max(one.image.section_end, one.image.load_end) for one in trace.images)


def _missing_module(package: Package, native: Native) -> Trace:
    path = os.path.join(os.path.dirname(package.directory or ""), *native.module.split("."))
    failure = Failure(kind="module-missing", rule="", message=None, path=path, name=native.module)
    return Trace(target=native.module, lookups=(), images=(), failure=failure)


def _is_not_tried(path: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a module's name says that it is for glibc; before 3.11 a CPython on musl gives its own that name too."""
    return path.endswith("-linux-gnu.so") and f".{os.path.basename(path).partition('.')[2]}" not in suffixes


def _module_for_glibc(path: str, module: str) -> Trace:
    """A module that a Python on musl does not even try: its name says that it is for glibc (ld-so.md M-41)."""
    failure = Failure(kind="module-for-glibc", rule="M-41", message=None, path=path, name=module)
    return Trace(target=path, lookups=(), images=(), failure=failure)


class _Certainty:
    """Whether the import of `name` ends when a module fails: looked up in the package's source, when first asked."""

    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._name = name
        self._reached: tuple[frozenset[str], bool] | None = None

    def certain(self, native: Native, trace: Trace) -> bool:
        if self._package.name == "tensorflow":
            return False  # measured: the list of the release says which are certain
        if self._reached is None:
            from tfguard.installed.imports import certainly_imported

            self._reached = certainly_imported(self._package, self._name)
        modules, preloads = self._reached
        return native.module in modules and not (preloads and _hangs_on_others(trace.failure))


def _hangs_on_others(failure: Failure | None) -> bool:
    """Whether a load that fails so would succeed, had somebody loaded the right libraries before."""
    if failure is None:
        return False
    return failure.requirer is not None or failure.kind in ("missing", "symbol", "version", "version-table")


def _is_imported(native: Native, host: Host) -> bool:
    return host.python is None and bool(native.module) and native.module in sys.modules


def _is_unusual(traces: tuple[Trace, ...], host: Host, package: Package) -> bool:
    """Whether a library comes from LD_LIBRARY_PATH, or was loaded before from outside system and environment."""
    own = tuple(
        f"{os.path.normpath(one)}/"
        for one in (*host.system_directories, *_prefixes(host), os.path.dirname(package.directory or ""))
        if one
    )
    loaded = {one.path for one in host.loaded if one.path and not host.root.realpath(one.path).startswith(own)}
    for trace in traces:
        for mapped in trace.images:
            if mapped.step == "ld_library_path" or not os.path.normpath(mapped.path).startswith(own):
                return True
        if any(lookup.found in loaded for lookup in trace.lookups):
            return True
    return False


def _prefixes(host: Host) -> tuple[str, str]:
    python = host.python
    return (sys.prefix, sys.base_prefix) if python is None else (python.prefix, python.base_prefix)


class _Import:
    """The loads of an import that has not happened yet, played into a process as far as a library needs them."""

    def __init__(self, process: Process, package: Package) -> None:
        self._process = process
        self._package = package
        self._core = [one for one in core_natives_of(package) if not _is_imported(one, process.host)]

    def play_core(self) -> Trace | None:
        """Load what every import needs; the trace of the first that fails, or None."""
        for native in self._core:
            trace = self._play(native)
            if trace.failure is not None:
                return trace
        return None

    def play_rest(self) -> None:
        """Load everything else; what fails there is not the library's fault."""
        for native in natives_of(self._package, everything=False):
            if native.path and native not in self._core and not _is_imported(native, self._process.host):
                self._play(native)

    def _play(self, native: Native) -> Trace:
        return self._process.dlopen(native.path or "", make_global=native.make_global, symbols=False)


def _caller(process: Process, *, is_op: bool) -> LinkMap | None:
    """The object whose code calls dlopen: TensorFlow's framework for ops, else the _ctypes module (G-62, I-02)."""
    mark = FRAMEWORK if is_op else "_ctypes."
    return next((link for link in process.links if mark in os.path.basename(link.path)), None)


def _unknown_loader(host: Host) -> str | None:
    return None if knows(host) else "this process has a loader that tfguard does not know yet"


def report_of(
    target: str,
    host: Host,
    kind: Literal["import", "library", "op library", "program"],
    *,
    findings: Collection[Finding] = (),
    traces: tuple[Trace, ...] = (),
    ignore: Collection[str] = (),
    skipped: tuple[str, ...] = (),
    symbols: bool = True,
) -> Report:
    """What was found, without what the user wants left out."""
    return Report(
        target=target,
        # a question to this living process has no place in a value that is kept and pickled
        host=replace(host, sees_global_symbol=None),
        findings=told(findings, ignore),
        traces=traces,
        skipped=(*host.skipped, *(host.foreign.assumed if host.foreign is not None else ()), *skipped),
        depth="symbols" if symbols else "files",
        kind=kind,
    )
