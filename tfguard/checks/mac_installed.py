"""What is installed around a package of a Mac: the survey of any installation, for its Python and below its root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace

from tfguard.binary.files import Disk
from tfguard.checks.installed import inspect, with_causes_first
from tfguard.finding import Finding
from tfguard.hosts.foreign import Foreign
from tfguard.hosts.host import Host
from tfguard.hosts.root import HERE, Root
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
    root = _root_of(mac.files)
    if not root.is_here:
        host = replace(host, foreign=(host.foreign or Foreign(root))._replace(python=python))
    folder = root.realpath(package.folder)
    init = os.path.join(folder, "__init__.py")
    origin = init if root.is_file(init) else None
    known = Package(name, (folder,), origin, package.distribution, package.version, interpreter=python, root=root)
    theirs = [
        Native(one.module, root.realpath(one.path), False, one.certain) for one in natives if one.path is not None
    ]
    return with_causes_first(inspect(name, known, theirs, host, python), loads, traces)


def _root_of(files: Disk) -> Root:
    return Root(files.root) if files.root else HERE


def _python_of(host: Host) -> Python | None:
    """The Python of the Mac, its paths as it spells them."""
    mac = host.mac
    if mac is None or not isinstance(mac.files, Disk):
        return None
    if _root_of(mac.files).is_here:
        return this_python() if host.foreign is None and host.executable == this_python().executable else None
    versions = [found for one in mac.sites if (found := _VERSIONED.search(one)) is not None]
    if not versions:
        return None
    version = int(versions[0][1]), int(versions[0][2])
    return Python(
        executable=host.executable,
        version=(*version, 0),
        path=mac.sites,
        prefix=mac.sites[0].partition("/lib/python")[0],
        suffixes=(f".cpython-{version[0]}{version[1]}-darwin.so", ".abi3.so", ".so"),
        system="darwin",
        machine=mac.architecture,
    )
