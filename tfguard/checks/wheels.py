"""Checks wheels for a Mac that is named: would every native of them load there, once they are installed together."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from tfguard.binary.macho_symbols import tables_of
from tfguard.binary.wheel import LARGE, Wheels
from tfguard.checks.mac import play_natives, report_on_mac
from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac
from tfguard.hosts.named import SITE
from tfguard.installed.mac_packages import PLUGINS, RTLD_NOW_LOCAL, MacNative, MacPackage, mac_natives
from tfguard.macho_image import MachoImage, Table
from tfguard.report import Report

_TAG = re.compile(r"macosx_(\d+)_(\d+)_(\w+)$")


def check_wheels(paths: Sequence[str], host: Host, *, ignore: Collection[str] = (), symbols: bool = True) -> Report:
    """Say whether every extension module and plugin in these wheels would load on this Mac.

    Nothing is unpacked to disk, of large members only the tables are read. Raises OSError and
    zipfile.BadZipFile for what is no readable wheel.
    """
    wheels = Wheels(tuple(os.fspath(one) for one in paths), SITE)
    wheels.names_in(SITE)  # what is no wheel says so here
    mac = replace(host.mac or Mac(), files=wheels, sites=(SITE,))
    here = replace(host, mac=mac)
    natives = _natives(mac, wheels)
    with wheels.read_ahead(_tables(wheels, mac) if symbols else {}):
        traces, findings = play_natives(natives, here, symbols=symbols, fatal=True, pages=False)
    target = ", ".join(os.path.basename(one) for one in paths)
    return report_on_mac(
        target, here, "import", findings=findings, traces=traces, ignore=ignore, symbols=symbols,
        skipped=_not_looked_at(wheels, mac),
    )  # fmt: skip


def _natives(mac: Mac, wheels: Wheels) -> list[MacNative]:
    """The natives of all packages, TensorFlow's in the order of its import; plugins come last."""
    found: dict[str, MacNative] = {}
    names = [one for one in wheels.names_in(SITE) if not one.endswith((".dist-info", ".data"))]
    for name in sorted(names, key=lambda one: (one == PLUGINS, one != "tensorflow")):
        path = f"{SITE}/{name}"
        if name.endswith(".so"):
            found[path] = MacNative(name, path)
        elif name == PLUGINS:
            for one in wheels.names_in(path):
                if one.endswith((".dylib", ".so")):
                    found[f"{path}/{one}"] = MacNative(one, f"{path}/{one}", RTLD_NOW_LOCAL, True)
        else:
            version = _version_of(wheels, name)
            for native in mac_natives(mac, MacPackage(name, SITE, path, name, version)):
                if native.path is not None and native.path.startswith(f"{path}/"):
                    found.setdefault(native.path, native)
    return list(found.values())


def _tables(wheels: Wheels, mac: Mac) -> dict[str, tuple[Table, ...]]:
    """Where the symbols of every large library lie, of universal ones those of the slices that this Mac may take."""
    found: dict[str, tuple[Table, ...]] = {}
    for path, member in wheels.members().items():
        if member.size >= LARGE and path.endswith((".so", ".dylib")):
            images = (one.content for one in wheels.look_at(path).slices)
            theirs = [one for one in images if isinstance(one, MachoImage) and one.architecture in mac.accepts]
            found[path] = tuple(table for one in theirs for table in tables_of(one))
    return found


def _version_of(wheels: Wheels, package: str) -> str | None:
    for one in wheels.names_in(SITE):
        name, _, version = one.removesuffix(".dist-info").partition("-")
        if one.endswith(".dist-info") and name.lower().replace("-", "_") in (
            package.lower(),
            f"{package.lower()}_macos",
        ):
            return version
    return None


def _not_looked_at(wheels: Wheels, mac: Mac) -> tuple[str, ...]:
    """Code signatures are not checked page by page, and libraries of wheels that are not given are not known."""
    signed = any(one.endswith((".so", ".dylib")) for one in wheels.below(SITE))
    return ("the pages of the files were not compared with their code signatures",) if signed else ()
