"""The check for a machine that has only a name: which door it goes through, by the system that the name is of."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from tfguard.binary.tbd import Sdk
from tfguard.checks.check import check_library
from tfguard.checks.wheels import check_wheels
from tfguard.hosts.linux_system import is_linux_name, linux_system
from tfguard.hosts.named import named_host
from tfguard.report import Report


def check_elsewhere(
    name: str,
    paths: Sequence[str],
    *,
    python: str | None = None,
    sdk: str | None = None,
    ignore: Collection[str] = (),
    symbols: bool = True,
) -> list[Report]:
    """Say whether wheels and libraries would load on the host of a name.

    Wheels are taken as installed together; for a Linux system libraries are opened after what is in the wheels, for a
    Mac each by itself. `sdk` is the folder of a macOS SDK, or one of its text stubs (.tbd). `python` is a version
    ("3.11"); by default the one that the wheels are for. Raises ValueError for a name or a version that is none,
    OSError and zipfile.BadZipFile for what cannot be read.
    """
    wheels = [one for one in paths if one.endswith(".whl")]
    others = [one for one in paths if one not in wheels]
    version = None if python is None else _version(python)
    if is_linux_name(name):
        from tfguard.checks.wheels_on_linux import check_wheels_on_linux

        if sdk is not None:
            raise ValueError(f"an SDK has no say on {name}: it is for a Mac")
        system = linux_system(name)
        return [check_wheels_on_linux(wheels, system, libraries=others, python=version, ignore=ignore, symbols=symbols)]
    host = named_host(name)
    if sdk is not None and host.mac is not None:
        os.stat(sdk)  # what is not there says so here
        host = replace(host, mac=replace(host.mac, sdk=Sdk(sdk, host.mac.architecture)))
    reports = [check_library(os.path.abspath(one), host=host, ignore=ignore) for one in others]
    if wheels:
        reports.append(check_wheels(wheels, host, ignore=ignore, symbols=symbols))
    return reports


def _version(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"3\.(\d{1,2})(?:\.\d+)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no version of Python: with --host it is 3.11, say")
    return 3, int(match[1])
