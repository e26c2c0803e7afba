"""Checks wheels for a Linux system that is named: would every native of them load there, once installed together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from tfguard.binary.wheel import Wheels
from tfguard.case import Case
from tfguard.checks.alike import once
from tfguard.checks.check import judged, report_of
from tfguard.evidence.surroundings import brought_and_gone
from tfguard.finding import Finding
from tfguard.hosts.host import Host
from tfguard.hosts.linux_system import LinuxSystem
from tfguard.hosts.wheel_tree import host_of_wheels, place_of, requirements_of, site_of
from tfguard.installed.imports import Reached, certainly_imported
from tfguard.installed.installation import Native, Package, find_package, listed_entries, natives_of, plugins_of
from tfguard.installed.known import published
from tfguard.installed.names import canonical
from tfguard.installed.wheel_name import (
    is_only_newer,
    python_of,
    refused_platform,
    refused_python,
    tags_of,
    takes_any_newer,
)
from tfguard.loader.process import Process
from tfguard.loader.processes import start
from tfguard.loader.trace import Failure, Trace
from tfguard.report import Report
from tfguard.rules import judge

_TENSORFLOW = ("tensorflow", "tensorflow_cpu", "tensorflow_cpu_aws", "tf_nightly")
# The Python of wheels that are for any.
_ANY_PYTHON = (3, 12)
# What is wrong with a whole wheel where it is wrong with one of its files.
_WRONG_MACHINE = "TFG101"
_ALIKE = frozenset((_WRONG_MACHINE, "TFG102", "TFG210", "TFG301", "TFG302", "TFG303"))


def check_wheels_on_linux(
    paths: Sequence[str],
    system: LinuxSystem,
    *,
    libraries: Sequence[str] = (),
    python: tuple[int, int] | None = None,
    ignore: Collection[str] = (),
    symbols: bool = True,
) -> Report:
    """Say whether every extension module and plugin in these wheels would load on this system.

    `libraries` are further files, opened after those. `python` is the version of its Python, by default the one that
    the wheels are for. Of large members only the tables that a loader reads are unpacked, into a temporary directory.
    Raises OSError and zipfile.BadZipFile for what is no readable wheel.
    """
    given = tuple(os.fspath(one) for one in paths)
    python = python or _python_of(given)
    site = site_of(python)
    wheels = Wheels(given, site)
    tops = [one for one in wheels.names_in(site) if not one.endswith((".dist-info", ".data"))]
    version = _version_of_tensorflow(wheels.names_in(site))
    listed = [one for one in tops if one == "tensorflow" and listed_entries(one, version)]
    with tempfile.TemporaryDirectory(prefix="tfguard-") as folder:
        host = host_of_wheels(wheels, system, python, folder, libraries=libraries, listed=listed)
        refused = {path: _tag_findings(path, system, python, host) for path in given}
        natives = [*_natives(tops, host), *_libraries(libraries)]
        traces, failed = _play(natives, host, site, symbols=symbols)
    found = tuple(_with_the_system(one, system) for one in once(failed, (site,), _ALIKE))
    told = tuple(one for findings in refused.values() for one in findings) + _not_explained(found, wheels, refused)
    target = ", ".join(os.path.basename(one) for one in (*given, *libraries))
    untagged = [os.path.basename(one) for one in given if tags_of(one) is None]
    skipped = tuple(f"for which Python and system {one} is: its name has no tags" for one in untagged)
    return report_of(
        target, host, "import", findings=told, traces=traces, ignore=ignore, symbols=symbols,
        skipped=skipped,
    )  # fmt: skip


def _python_of(paths: Iterable[str]) -> tuple[int, int]:
    """The Python that wheels are for: the very one of a tag, else the newest of the oldest that they allow."""
    exact: list[tuple[int, int]] = []
    oldest: list[tuple[int, int]] = []
    for path in paths:
        tags = tags_of(path)
        if tags is not None and (python := python_of(tags)) is not None:
            (oldest if takes_any_newer(tags) else exact).append(python)
    return max(exact or oldest or [_ANY_PYTHON])


def _version_of_tensorflow(names: Iterable[str]) -> str | None:
    """The version of TensorFlow among these folders, under whatever name it was distributed."""
    pairs = (one.removesuffix(".dist-info").partition("-") for one in names if one.endswith(".dist-info"))
    return next((version for name, _, version in pairs if name in _TENSORFLOW), None)


def _natives(tops: list[str], host: Host) -> list[tuple[Package | None, Native]]:
    """The natives of all packages, TensorFlow's first and in the order of its import; plugins come last."""
    found: list[tuple[Package | None, Native]] = []
    python = host.python
    packages: dict[str, Package] = {}
    for top in sorted(tops, key=lambda one: one != "tensorflow"):
        name = top.partition(".")[0]
        package = find_package(name, host) if name.isidentifier() else None
        if package is not None and name not in packages:
            packages[name] = package
            found += [(package, native) for native in natives_of(package, everything=True)]
    if (tensorflow := packages.get("tensorflow")) is not None and python is not None:
        found += [(tensorflow, native) for native in plugins_of(python.path, host.root)]
    return found


def _libraries(paths: Sequence[str]) -> list[tuple[Package | None, Native]]:
    """Files that no wheel brought: each is opened by its path."""
    return [(None, Native(os.path.basename(one), place_of(one), False, True, listed=True)) for one in paths]


def _play(
    natives: list[tuple[Package | None, Native]], host: Host, site: str, *, symbols: bool
) -> tuple[tuple[Trace, ...], tuple[Finding, ...]]:
    """Play every load in one process; what hangs on others is tried again after them."""
    traces: list[Trace] = []
    findings: dict[tuple[str, str], Finding] = {}
    reached: dict[str, Reached] = {}
    required = requirements_of(host, site)
    again: set[str] = set()
    seen: set[tuple[str, str]] = set()
    pending = [(package, native) for package, native in natives if native.path is not None]
    with start(host) as process:
        for package, native in pending:
            path = native.path or ""
            trace = _load(process, path, native, symbols=symbols)
            failure = trace.failure
            if failure is not None and _may_be_met(failure) and not native.listed and path not in again:
                # the true order is known of listed modules only: what this one lacks, a later one may bring
                again.add(path)
                pending.append((package, native))
                continue
            traces.append(trace)
            if failure is None:
                continue
            cause = (failure.kind, failure.provider or failure.path if failure.kind != "missing" else failure.name)
            if cause in seen:
                continue  # the same file at fault, met once more
            seen.add(cause)
            others: tuple[str, ...] = ()
            brings = failure.kind == "missing" and failure.requirer is not None
            if brings and brought_and_gone(failure.name, path, host.root) is None:
                others = tuple(dict.fromkeys(one for names in required.values() for one in names))
            certain = not _may_be_met(failure) or _certain(native, package, reached)
            for one in judged(process, trace, package=package, fatal=certain and not others):
                known = findings.setdefault((one.code, str(one.path)), _with_others(one, others))
                if known.severity == "warning" and one.severity == "error":
                    findings[one.code, str(one.path)] = one
    return tuple(traces), tuple(findings.values())


def _load(process: Process, path: str, native: Native, *, symbols: bool) -> Trace:
    if process.host.loader == "musl" and path.endswith("-linux-gnu.so"):
        failure = Failure(kind="module-for-glibc", rule="M-41", message=None, path="", name=native.module)
        return Trace(target=path, lookups=(), images=(), failure=failure._replace(path=path))
    return process.dlopen(path, make_global=native.make_global, symbols=symbols)


def _may_be_met(failure: Failure) -> bool:
    """Whether the load would go well, had somebody loaded the right library before."""
    return failure.kind == "symbol" or (failure.kind == "missing" and failure.requirer is not None)


def _certain(native: Native, package: Package | None, reached: dict[str, Reached]) -> bool:
    """Whether the import is certain to come to this module, and to load nothing by hand before it."""
    if package is None or native.listed:
        return native.certain
    if package.name not in reached:
        reached[package.name] = certainly_imported(package)
    modules, preloads = reached[package.name]
    return native.module in modules and not preloads


def _with_others(finding: Finding, others: tuple[str, ...]) -> Finding:
    if not others:
        return finding
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    row = ("not given", f"{', '.join(others[:4])}{more}, which the wheel requires and which may bring it")
    return replace(finding, evidence=(*finding.evidence, row))


def _with_the_system(finding: Finding, system: LinuxSystem) -> Finding:
    """A finding about a missing library with what the system, or the policy, has to say of it."""
    if finding.code != "TFG201":
        return finding
    said = "does not have it when it is fresh"
    if system.policy:
        said = "allows no wheel to need it of the system: it has to be inside the wheel"
    return replace(finding, evidence=(*finding.evidence, (system.name, said)))


def _not_explained(
    found: Iterable[Finding], wheels: Wheels, refused: Mapping[str, tuple[Finding, ...]]
) -> tuple[Finding, ...]:
    """What is not said already: of a wheel for another processor every file is for that one."""
    members = wheels.members()
    return tuple(
        one
        for one in found
        if one.code != _WRONG_MACHINE or not ((member := members.get(str(one.path))) and refused.get(member.wheel))
    )


def _tag_findings(path: str, system: LinuxSystem, python: tuple[int, int], host: Host) -> tuple[Finding, ...]:
    """The finding about a wheel that pip would not take there, by the tags in its name."""
    tags = tags_of(path)
    if tags is None:
        return ()
    other, refused = refused_python(tags, python), refused_platform(tags, system)
    if other is None and refused is None:
        return ()
    detail = f"for {other}, and this is Python {python[0]}.{python[1]}" if other is not None else refused or ""
    name = os.path.basename(path)
    instead = _published(name, host)
    failure = Failure(kind="wheel-tags", rule="", message=None, path=name, name=name, detail=detail, provider=instead)
    trace = Trace(target=name, lookups=(), images=(), failure=failure)
    # a newer glibc in the tag keeps only pip from it; of another Python or processor no module has a name that is tried
    fatal = other is not None or not is_only_newer(tags, system)
    return judge(Case(target=name, host=host, trace=trace, failure=failure, fatal=fatal))


def _published(wheel: str, host: Host) -> str | None:
    """What pip is asked for there in place of a wheel of TensorFlow, None for others."""
    name, version = wheel.split("-")[:2]
    if host.python is None:
        return None
    found = published(canonical(name), version, host.python, host.loader, host.version)
    return found.requirement if found is not None else None
