"""What is installed around a package of a Mac: the survey of any installation, for its Python and below its root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace

from tfguard.binary.files import Disk
from tfguard.checks.installed import inspect, with_causes_first
from tfguard.finding import Finding, Remedy
from tfguard.hosts.host import Host
from tfguard.installed.installation import Native, Package
from tfguard.installed.mac_packages import MacNative, MacPackage
from tfguard.installed.python import Python, this_python
from tfguard.loader.trace import Trace

_VERSIONED = re.compile(r"/python(\d+)\.(\d+)t?/(?:site|dist)-packages$")


def with_installation(
    name: str,
    package: MacPackage,
    natives: Iterable[MacNative],
    host: Host,
    loads: tuple[Finding, ...],
    traces: tuple[Trace, ...],
) -> tuple[Finding, ...]:
    """The findings about loads together with those about the installation, causes first.

    Without a word about the installation where its Python is not known, or it lies in no directory that can be read.
    """
    mac = host.mac
    python = _python_of(host)
    if mac is None or python is None or not isinstance(mac.files, Disk):
        return loads
    disk = mac.files

    def outside(path: str) -> str:
        return disk.place(path) or path

    folder = outside(package.folder)
    init = os.path.join(folder, "__init__.py")
    origin = init if os.path.isfile(init) else None
    known = Package(name, (folder,), origin, package.distribution, package.version, interpreter=python)
    theirs = [Native(one.module, outside(one.path), False, one.certain) for one in natives if one.path is not None]
    inspected = inspect(name, known, theirs, host, python)
    found = with_causes_first(inspected, loads, tuple(_told_outside(one, disk) for one in traces))
    return tuple(_told_inside(one, disk) for one in found)


def _python_of(host: Host) -> Python | None:
    """The Python of the Mac; its paths are those of this machine."""
    mac = host.mac
    if mac is None or not isinstance(mac.files, Disk):
        return None
    if not mac.files.root:
        return this_python() if host.foreign is None and host.executable == this_python().executable else None
    versions = [found for one in mac.sites if (found := _VERSIONED.search(one)) is not None]
    if not versions:
        return None
    version = int(versions[0][1]), int(versions[0][2])
    prefix = mac.sites[0].partition("/lib/python")[0]
    return Python(
        executable=host.executable,
        version=(*version, 0),
        path=tuple(mac.files.place(one) or one for one in mac.sites),
        prefix=mac.files.place(prefix) or prefix,
        suffixes=(f".cpython-{version[0]}{version[1]}-darwin.so", ".abi3.so", ".so"),
        system="darwin",
        machine=mac.architecture,
    )


def _told_outside(trace: Trace, disk: Disk) -> Trace:
    """A trace with the paths that its files have on this machine."""

    def outside(path: str | None) -> str | None:
        return None if path is None else disk.place(path) or path

    failure = trace.failure
    if failure is not None:
        failure = failure._replace(
            path=outside(failure.path) or "", requirer=outside(failure.requirer), provider=outside(failure.provider)
        )
    images = tuple(one._replace(path=outside(one.path) or "") for one in trace.images)
    return trace._replace(failure=failure, images=images)


def _told_inside(finding: Finding, disk: Disk) -> Finding:
    """A finding in which the tree's own paths stand again."""
    if not disk.root:
        return finding
    from pathlib import Path

    mark = f"{os.path.realpath(disk.root)}/"

    def inside(text: str) -> str:
        return text.replace(mark, "/").replace(f"{disk.root}/", "/")

    return replace(
        finding,
        message=inside(finding.message),
        path=Path(inside(str(finding.path))) if finding.path is not None else None,
        evidence=tuple((label, inside(fact)) for label, fact in finding.evidence),
        remedies=tuple(Remedy(one.text, inside(one.command) if one.command else None) for one in finding.remedies),
    )
