"""The passes of a check for a Mac, in order: find what would be loaded, play the loads, judge what fails."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tfguard.binary.files import Disk
from tfguard.checks.alike import once
from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac
from tfguard.installed.mac_packages import MacNative, MacPackage, find_mac_package, mac_natives
from tfguard.loader.dyld import RTLD_LOCAL, RTLD_NOW, DyldProcess
from tfguard.loader.dyld_image import DyldImage
from tfguard.loader.trace import SHARED_CACHE, Trace
from tfguard.report import Report, told

if TYPE_CHECKING:
    from tfguard.finding import Finding

# What is wrong with a whole package where it is wrong with one of its files.
_ALIKE = frozenset(("TFG802", "TFG804", "TFG805", "TFG808", "TFG810", "TFG814", "TFG816"))
# What a load that comes first may bring: another module of the package has it in the process by then.
_HANG_ON_OTHERS = ("dylib-missing", "macho-symbol")


def check_mac_import(
    name: str, host: Host, ignore: Collection[str], symbols: bool | Literal["auto"], *, fatal: bool = False
) -> Report:
    """Say what `import name` would fail of on this Mac; `fatal` counts every module as one that must load."""
    mac = host.mac or Mac()
    package = find_mac_package(mac, name.partition(".")[0])
    if package is None:
        where = ", ".join(mac.sites) or "no directory for packages is known"
        return report_on_mac(name, host, "import", skipped=(f"no package called {name} is found ({where})",))
    natives = mac_natives(mac, package, everything=symbols is True)
    traces, findings = play_natives(natives, host, symbols=symbols is True, fatal=fatal)
    if symbols is True or any(one.severity == "error" for one in findings):
        from tfguard.checks.mac_installed import with_installation

        findings = with_installation(package.name, package, natives, host, findings, traces)
    return report_on_mac(name, host, "import", findings=findings, traces=traces, ignore=ignore, symbols=symbols is True)


def play_natives(
    natives: Iterable[MacNative], host: Host, *, symbols: bool, fatal: bool = False, pages: bool = True
) -> tuple[tuple[Trace, ...], tuple[Finding, ...]]:
    """Play the loads of an import one after the other in one process; the traces, and what was found."""
    traces: list[Trace] = []
    found: dict[tuple[str, str], Finding] = {}
    judged: set[tuple[str, str]] = set()
    pending, again = list(natives), set[str]()
    with DyldProcess(host) as process:
        for native in pending:
            trace = process.dlopen(native.path or "", mode=native.mode, symbols=symbols, pages=symbols and pages)
            failure = trace.failure
            waits = failure is not None and failure.kind in _HANG_ON_OTHERS and not native.certain
            if waits and native.module not in again:
                again.add(native.module)
                pending.append(native)
                continue
            traces.append(trace)
            cause = (failure.kind, failure.provider or failure.path) if failure is not None else None
            if cause is not None and cause in judged:
                continue  # the same file at fault, met once more
            judged.update(() if cause is None else (cause,))
            for finding in _judge(host, trace, fatal=fatal or native.certain):
                found.setdefault((finding.code, str(finding.path)), finding)
    return tuple(traces), once(found.values(), (host.mac or Mac()).sites, _ALIKE)


def check_mac_library(
    target: str, after: str | None, host: Host, ignore: Collection[str], kind: Literal["library", "op library"]
) -> Report:
    """Say what opening a library would fail of on this Mac, after an import where one is named."""
    mac = host.mac or Mac()
    package = find_mac_package(mac, after) if after is not None else None
    skipped = [f"no package called {after} is found"] if after is not None and package is None else []
    is_op = kind == "op library"
    with DyldProcess(host) as process:
        if package is not None:
            failed = _play_import(process, package, mac)
            if failed is not None:
                return report_on_mac(target, host, kind, findings=_judge(host, failed), traces=(failed,), ignore=ignore)
        trace = process.dlopen(target, caller=_caller(process, is_op=is_op), mode=RTLD_NOW | RTLD_LOCAL, pages=True)
    findings = _judge(host, trace, is_op=is_op)
    return report_on_mac(target, host, kind, findings=findings, traces=(trace,), ignore=ignore, skipped=tuple(skipped))


def _caller(process: DyldProcess, *, is_op: bool) -> DyldImage | None:
    """The image whose code calls dlopen: TensorFlow's framework for ops, else the _ctypes module (D-04)."""
    mark = "libtensorflow_framework." if is_op else "_ctypes."
    return next((link for link in process.links if mark in link.path.rpartition("/")[2]), None)


def _play_import(process: DyldProcess, package: MacPackage, mac: Mac) -> Trace | None:
    """Load what the import loads, plugins left out; the trace of the first that must load and fails, or None."""
    for native in mac_natives(mac, package, everything=False):
        if native.path is None or "/tensorflow-plugins/" in native.path:
            continue
        trace = process.dlopen(native.path, mode=native.mode, symbols=False)
        if trace.failure is not None and native.certain:
            return trace
    return None


def _judge(host: Host, trace: Trace, *, fatal: bool = True, is_op: bool = False) -> tuple[Finding, ...]:
    """The findings for one trace. The rules are loaded here: a load that goes well hardly needs them."""
    from tfguard.evidence.investigate_mac import investigate_mac
    from tfguard.rules import judge

    return judge(investigate_mac(host, trace, fatal=fatal, is_op=is_op))


def report_on_mac(
    target: str,
    host: Host,
    kind: Literal["import", "library", "op library"],
    *,
    findings: Collection[Finding] = (),
    traces: tuple[Trace, ...] = (),
    ignore: Collection[str] = (),
    skipped: tuple[str, ...] = (),
    symbols: bool = True,
) -> Report:
    """A report with what was taken for granted of the system among its skipped parts."""
    return Report(
        target=target,
        host=replace(host, mac=_kept(host.mac)),
        findings=told(findings, ignore),
        traces=traces,
        skipped=(*host.skipped, *skipped, *_assumed(host, traces)),
        depth="symbols" if symbols else "files",
        kind=kind,
    )


def _kept(mac: Mac | None) -> Mac | None:
    """What a report keeps: no questions to a living system, and no list of files."""
    if mac is None:
        return None
    return replace(mac, files=Disk(), cache=replace(mac.cache, contains=None))


def _assumed(host: Host, traces: tuple[Trace, ...]) -> tuple[str, ...]:
    """What was taken for granted of the system, in words."""
    mac = host.mac
    if mac is None or not mac.cache.assumed:
        return ()
    names = {
        lookup.found
        for trace in traces
        for lookup in trace.lookups
        if lookup.found is not None and lookup.attempts and lookup.attempts[-1].outcome == SHARED_CACHE
    }
    if not names:
        return ()
    count = "1 library of macOS is" if len(names) == 1 else f"{len(names)} libraries of macOS are"
    symbols = (
        "with all symbols" if mac.sdk is None else "with the symbols that the SDK names, or all where it names none"
    )
    return (f"{count} taken to be in its shared cache, {symbols}",)
