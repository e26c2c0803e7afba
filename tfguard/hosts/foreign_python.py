"""Reads a Python's installation without running it: its version, prefixes, sys.path and the endings of its modules."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from tfguard.hosts.root import Root
from tfguard.installed.python import MANAGED, Python

_VERSIONED = re.compile(r"python(\d+)\.(\d+)(t?)$")
_IN_FILE = re.compile(rb"[/\0]python3\.(\d{1,2})[/\0]")
_FILE_LIMIT = 1 << 25
_PTH_LIMIT = 1 << 16
# Lines of .pth files that add nothing to sys.path: setuptools' and those of coverage tools.
_HARMLESS = re.compile(r"distutils-precedence|_distutils_hack|_virtualenv|coverage")
# Where the images and installers that people use put the Python that counts, most particular first.
_USUAL = (
    "/opt/venv/bin", "/venv/bin", "/app/.venv/bin", "/.venv/bin", "/opt/conda/bin", "/opt/miniconda3/bin",
    "/usr/local/bin", "/var/lang/bin", "/usr/bin", "/bin",
)  # fmt: skip


def find_python(root: Root) -> str | None:
    """The Python that `python3` would most likely be there, or None where none of the usual places has one."""
    for folder in _USUAL:
        for name in ("python3", "python"):
            if root.is_file(f"{folder}/{name}"):
                return f"{folder}/{name}"
    return None


def interpreter_at(
    executable: str,
    root: Root,
    environment: Mapping[str, str],
    skipped: list[str],
    *,
    platform: str,
    bits: int,
    cwd: str,
) -> Python | None:
    """The Python behind a path, by the layout of its installation; None where that is not one that is known.

    `platform` ends the suffix of its native modules ("x86_64-linux-gnu") where no module of its own shows it, `bits`
    is its class. What cannot be known is added to `skipped`.
    """
    config, home = _pyvenv(executable, root)
    real = root.realpath(executable)
    start = home if home is not None else os.path.dirname(real)
    found = _standard_library(start, _version_of(real, root), root)
    if found is None:
        skipped.append(f"no standard library is found for {executable}: its sys.path is not known")
        return None
    base, library, version = found
    venv = os.path.dirname(os.path.dirname(executable)) if home is not None else None
    prefix = venv or base
    sites = _site_directories(prefix, library, version, root, is_base=venv is None)
    if venv is not None and config.get("include-system-site-packages", "false").lower() == "true":
        sites += _site_directories(base, library, version, root, is_base=True)
    user = _user_site(environment, version)
    if venv is None and user is not None and root.is_directory(user):
        sites.insert(0, user)
    path = [one for one in environment.get("PYTHONPATH", "").split(":") if one]
    path += [f"{base}/lib/python{version[0]}{version[1]}.zip", library, f"{library}/lib-dynload"]
    for site in sites:
        path += _site(site, root, skipped)
    return Python(
        executable=executable,
        version=(*version, _patch_level(real, version, root)),
        path=tuple(dict.fromkeys(path)),
        prefix=prefix,
        base_prefix=base,
        library=library,
        user_site=user if user in sites else None,
        suffixes=_suffixes(library, version, root, platform),
        machine=platform.partition("-")[0],
        bits=bits,
        virtual_env=environment.get("VIRTUAL_ENV"),
        home=environment.get("HOME", "/root"),
        commands=tuple(environment.get("PATH", "").split(":")),
        cwd=cwd,
        is_managed=venv is None and root.exists(f"{library}/{MANAGED}"),
    )


def _pyvenv(executable: str, root: Root) -> tuple[dict[str, str], str | None]:
    """The settings of a virtual environment, and the folder of the Python that it was made with (PEP 405)."""
    folder = os.path.dirname(executable)
    for place in (folder, os.path.dirname(folder)):
        data = root.read(f"{place}/pyvenv.cfg", _PTH_LIMIT)
        if data is None:
            continue
        pairs = (line.partition("=") for line in data.decode("utf-8", "replace").splitlines())
        config = {key.strip().lower(): value.strip() for key, _, value in pairs}
        if "home" in config:
            return config, config["home"]
    return {}, None


def _version_of(real: str, root: Root) -> tuple[int, int, str] | None:
    """The version in the name of the executable itself, else the one that its bytes name most."""
    named = _VERSIONED.search(os.path.basename(real))
    if named is not None:
        return int(named[1]), int(named[2]), named[3]
    found = _IN_FILE.findall(root.read(real, _FILE_LIMIT) or b"")
    return (3, int(max(set(found), key=found.count)), "") if found else None


def _patch_level(real: str, version: tuple[int, int], root: Root) -> int:
    """The last number of the version, as the bytes of a static Python show it; 0 where they do not."""
    found = re.search(rb"\x00%d\.%d\.(\d{1,2})\+?\x00" % version, root.read(real, _FILE_LIMIT) or b"")
    return int(found[1]) if found is not None else 0


def _standard_library(
    start: str, version: tuple[int, int, str] | None, root: Root
) -> tuple[str, str, tuple[int, int]] | None:
    """Prefix, folder and version of the standard library: the landmark os.py, searched upwards (getpath.py)."""
    names = [f"python{version[0]}.{version[1]}{version[2]}"] if version is not None else []
    folder = start
    while True:
        for library in ("lib", "lib64"):
            place = f"{folder.rstrip('/')}/{library}"
            known = [one for one in root.names_in(place) if _VERSIONED.fullmatch(one)] if version is None else names
            for name in known:
                number = _VERSIONED.fullmatch(name)
                if number is not None and root.is_file(f"{place}/{name}/os.py"):
                    return folder, f"{place}/{name}", (int(number[1]), int(number[2]))
        if folder in ("/", ""):
            return None
        folder = os.path.dirname(folder)


def _site_directories(prefix: str, library: str, version: tuple[int, int], root: Root, *, is_base: bool) -> list[str]:
    """The folders that site.py adds for a prefix: site-packages, and dist-packages of Debian's own Python."""
    name = os.path.basename(library)
    folders = dict.fromkeys((os.path.basename(os.path.dirname(library)), "lib"))  # sys.platlibdir is lib64 on Fedora
    found = [f"{prefix.rstrip('/')}/{one}/{name}/site-packages" for one in folders]
    if is_base and prefix == "/usr" and root.is_directory("/usr/lib/python3/dist-packages"):
        found = [f"/usr/local/lib/{name}/dist-packages", "/usr/lib/python3/dist-packages", f"{library}/dist-packages"]
    elif is_base and prefix == "/usr" and not _is_debian(root):  # Fedora's own Python keeps pip's packages apart
        found = [f"/usr/local/{one}/{name}/site-packages" for one in folders] + found
    return [one for one in found if root.is_directory(one)]


def _is_debian(root: Root) -> bool:
    return root.exists("/etc/debian_version")


def _user_site(environment: Mapping[str, str], version: tuple[int, int]) -> str | None:
    """The user's own site-packages; who runs in a container is root where nothing else is said."""
    if environment.get("PYTHONNOUSERSITE"):
        return None
    base = environment.get("PYTHONUSERBASE") or f"{environment.get('HOME', '/root')}/.local"
    return f"{base}/lib/python{version[0]}.{version[1]}/site-packages"


def _site(folder: str, root: Root, skipped: list[str]) -> list[str]:
    """A site directory and what its .pth files add (site.py, addpackage)."""
    found = [folder]
    for name in root.names_in(folder):
        if not name.endswith(".pth") or name.startswith("."):
            continue
        data = root.read(f"{folder}/{name}", _PTH_LIMIT) or b""
        for line in data.decode("utf-8", "surrogateescape").splitlines():
            if line.startswith(("import ", "import\t")):
                if not _HARMLESS.search(name + line):
                    skipped.append(
                        f"{folder}/{name} runs code when Python starts: what it adds to sys.path is not known"
                    )
            elif line.strip() and not line.startswith("#"):
                place = os.path.normpath(os.path.join(folder, line.rstrip()))
                if root.exists(place):
                    found.append(place)
    return found


def _suffixes(library: str, version: tuple[int, int], root: Root, platform: str) -> tuple[str, ...]:
    """The endings of native modules: as a module of its own shows them, else as CPython makes them (PEP 3149)."""
    mark = re.compile(rf"[^.]+(\.cpython-{version[0]}{version[1]}t?-[\w-]+\.so)$")
    shown = (mark.fullmatch(name) for name in root.names_in(f"{library}/lib-dynload"))
    own = next((one[1] for one in shown if one is not None), f".cpython-{version[0]}{version[1]}-{platform}.so")
    return own, ".abi3.so", ".so"
