"""Hosts by name, for a check of what would run elsewhere: macos-14-arm64, macos-13.5-x86_64."""

from __future__ import annotations

import re

from tfguard.binary.files import Disk, Files
from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac

# Where packages lie in the Python that is taken for granted: an environment of the one from python.org.
SITE = "/Users/me/venv/lib/python3/site-packages"

_MACOS = re.compile(r"macos-(\d+)(?:[._](\d+))?(?:[._](\d+))?-(arm64|x86_64|rosetta)")
_OLDEST, _NEWEST = (10, 15), (26,)
FORMS = "macos-14-arm64, macos-13.5-x86_64 or macos-15-rosetta"


class UnknownHost(ValueError):
    """There is no host of that name; the text says which there are."""


def named_host(name: str, files: Files | None = None) -> Host:
    """The host of a name, with no files but those given.

    A version without its minor part is the first of that macOS. Raises UnknownHost.
    """
    match = _MACOS.fullmatch(name.strip().lower())
    if match is None:
        raise UnknownHost(f"no host is called {name!r}: there are {FORMS}")
    major, minor, patch = (int(part or 0) for part in match.group(1, 2, 3))
    version = (major, minor, patch)
    if version < _OLDEST or 16 <= major < _NEWEST[0]:
        raise UnknownHost(f"macOS {major}.{minor} is not known: from 10.15 to 15, and 26")
    processor = match[4]
    architecture = "x86_64" if processor == "rosetta" else processor
    mac = Mac(
        version=version,
        architecture=architecture,
        translated=processor == "rosetta",
        sites=(SITE,),
        files=files if files is not None else Disk(),
    )
    return Host(loader="dyld", version=(major, minor), executable="python3", cwd="/", mac=mac)
