"""What is installed on a Mac that may be another machine: packages, their natives in the import's order, plugins."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.hosts.mac import Mac
from tfguard.installed.installation import _LISTS_HOLD_FOR, listed_entries

PLUGINS = "tensorflow-plugins"
RTLD_NOW, RTLD_NOW_LOCAL = 2, 6

_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)\.dist-info")
# Which distributions bring a package of another name (D-102).
_OTHER_NAMES = {"tensorflow": ("tensorflow_macos", "tensorflow_cpu", "tf_nightly")}


class MacNative(NamedTuple):
    """A native file that an import may load, how dlopen is called for it, and whether the import ends when it fails."""

    module: str
    path: str | None
    mode: int = RTLD_NOW
    certain: bool = False


class MacPackage(NamedTuple):
    """A package in one of the Mac's directories for packages: its folder, its distribution's name and version."""

    name: str
    site: str
    folder: str
    distribution: str | None = None
    version: str | None = None


def find_mac_package(mac: Mac, name: str) -> MacPackage | None:
    """The package that `import name` would run, None where it is in none of the sites."""
    for site in mac.sites:
        names = mac.files.names_in(site)
        if name not in names:
            continue
        known = {one["name"].lower().replace("-", "_"): one for one in map(_DISTRIBUTION.fullmatch, names) if one}
        candidates = (name.lower(), *_OTHER_NAMES.get(name, ()))
        found = [known[one] for one in candidates if one in known]
        # from 2.15 on the files are in `tensorflow`, before in `tensorflow-macos`; the other one is empty
        best = found[0] if found else None
        return MacPackage(
            name, site, f"{site}/{name}", best["name"] if best else None, best["version"] if best else None
        )
    return None


def mac_natives(mac: Mac, package: MacPackage, *, everything: bool = True) -> tuple[MacNative, ...]:
    """The natives of an import in its order, then with `everything` all others below the package's folder.

    The lists were measured on Linux; what TensorFlow's Python code imports is the same here, and a module that the
    wheel for macOS does not have is left out.
    """
    found: dict[str, MacNative] = {}
    for what, *flags in listed_entries(package.name, package.version):
        if what.startswith("file:"):
            continue
        path = _module_file(mac, package.site, what)
        if path is not None:
            certain = "fatal" in flags and what.startswith(_LISTS_HOLD_FOR)
            mode = RTLD_NOW_LOCAL if what.endswith("._pywrap_tensorflow_internal") else RTLD_NOW
            found[path] = MacNative(what, path, mode, certain)
    listed = tuple(found.values())
    plugins = tuple(MacNative(path, path, RTLD_NOW_LOCAL, True) for path in mac_plugins(mac, package))
    if listed and not everything:
        return (*listed, *plugins)
    others = (
        MacNative(path[len(package.site) + 1 :], path)
        for path in mac.files.below(package.folder)
        if path.endswith(".so") and path not in found
    )
    return (*listed, *others, *plugins)


def mac_plugins(mac: Mac, package: MacPackage) -> tuple[str, ...]:
    """The libraries that `import tensorflow` opens besides its own (D-105)."""
    if package.name != "tensorflow":
        return ()
    folder = f"{package.site}/{PLUGINS}"
    return tuple(f"{folder}/{one}" for one in mac.files.names_in(folder) if one.endswith((".dylib", ".so")))


def _module_file(mac: Mac, site: str, module: str) -> str | None:
    folder, _, leaf = f"{site}/{module.replace('.', '/')}".rpartition("/")
    names = [one for one in mac.files.names_in(folder) if one.startswith(f"{leaf}.") and one.endswith(".so")]
    return f"{folder}/{min(names, key=len)}" if names else None


class Brought(NamedTuple):
    """The distribution whose RECORD lists a file: name, version, the file as it lists it."""

    distribution: str
    version: str
    listed: str


def brought_by_distribution(mac: Mac, path: str) -> Brought | None:
    """Which distribution brought a file, by the RECORDs beside it."""
    site = next((one for one in mac.sites if path.startswith(f"{one}/")), None)
    if site is None:
        site = next((found[0] for found in [re.match(r".*/(?:site|dist)-packages(?=/)", path)] if found), None)
    if site is None:
        return None
    wanted = path[len(site) + 1 :]
    top = wanted.partition("/")[0].lower().replace("-", "_")
    folders = [one for one in mac.files.names_in(site) if one.endswith(".dist-info")]
    for folder in sorted(folders, key=lambda one: not one.lower().replace("-", "_").startswith(top)):
        match = _DISTRIBUTION.fullmatch(folder)
        if match is not None and _lists(mac, f"{site}/{folder}/RECORD", wanted):
            return Brought(match["name"].replace("_", "-"), match["version"], wanted)
    return None


def _lists(mac: Mac, record: str, wanted: str) -> bool:
    try:
        source = mac.files.open(record)
    except OSError:
        return False
    try:
        text = b"\n" + source.read(min(source.size, 1 << 24), 0)
    finally:
        source.close()
    return b"\n" + os.fsencode(wanted) + b"," in text


def files_called(mac: Mac, leaf: str, near: str) -> tuple[str, ...]:
    """Files of a name near an image: beside it, in the folders above it up to its package, in TensorFlow's."""
    folders = [near.rpartition("/")[0]]
    site = next((one for one in mac.sites if near.startswith(f"{one}/")), None)
    while site is not None and folders[-1].startswith(f"{site}/") and len(folders) < 8:
        folders.append(folders[-1].rpartition("/")[0])
    for one in mac.sites:
        folders += [f"{one}/tensorflow", f"{one}/tensorflow/python", f"{one}/tensorflow/compiler"]
        folders += [f"{one}/{name}/.dylibs" for name in mac.files.names_in(one) if "." not in name]
    folders += ["/opt/homebrew/lib", "/usr/local/lib", "/opt/local/lib"]
    found = {f"{folder}/{leaf}": None for folder in dict.fromkeys(folders) if leaf in mac.files.names_in(folder)}
    return tuple(found)
