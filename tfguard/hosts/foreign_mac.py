"""Describes a process that does not run: the Python of a Mac whose directory tree lies on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tfguard.binary.files import Disk
from tfguard.hosts.foreign import Foreign
from tfguard.hosts.host import Host
from tfguard.hosts.live_mac import policy_of
from tfguard.hosts.mac import Mac, SharedCache
from tfguard.hosts.root import Root
from tfguard.macho_image import MachoImage, Version

SYSTEM_VERSION = "/System/Library/CoreServices/SystemVersion.plist"

_PYTHONS = (
    "/Users/*/*/bin/python3",
    "/Library/Frameworks/Python.framework/Versions/3.*/bin/python3",
    "/opt/homebrew/bin/python3",
    "/opt/*conda*/bin/python3",
    "/opt/miniforge3/bin/python3",
    "/usr/local/bin/python3",
)
_CORE = re.compile(r"libpython3\.\d+\w*\.dylib|Python3?")
# Where a map of the shared cache lies beside it (D-97).
_MAPS = (
    "/System/Volumes/Preboot/Cryptexes/OS/System/Library/dyld",
    "/System/Cryptexes/OS/System/Library/dyld",
    "/System/Library/dyld",
)
_MAP_LIMIT = 1 << 26


def is_mac(root: Root) -> bool:
    """Whether a tree is that of macOS."""
    return root.exists(SYSTEM_VERSION)


def host_of_mac_tree(root: Root, python: str | None = None, environment: Mapping[str, str] | None = None) -> Host:
    """The process of a Python of this tree, from the files there alone.

    `python` is its path inside, where none is given the first of the usual ones. The macOS is the tree's own, its
    shared cache known where the tree has the map of it. What could not be told is said in `skipped`.
    """
    skipped: list[str] = []
    # the file system of a Mac does not tell upper from lower case, but where it was made to
    files = Disk("" if root.is_here else root.directory, ignores_case=not root.is_here)
    version = version_of_tree(root)
    if version is None:
        skipped.append("the tree does not say which macOS it is: 14.0 stands in for it")
        version = (14, 0, 0)
    given = f"/{python.lstrip('/')}" if python is not None else next(iter(_pythons(root)), None)
    main, caller, architecture = "", "", "arm64"
    if given is None:
        skipped.append("no Python is found in the tree: its LC_RPATHs are not known")
    else:
        main = _program(root, given)
        images = {one.architecture: one for one in _images(files, main)}
        architecture = next((one for one in ("arm64", "x86_64") if one in images), "arm64")
        if len(images) > 1:
            skipped.append(f"the Python is for {' and '.join(images)}: it is taken to run as {architecture}")
        caller = _caller(files, main, images.get(architecture))
    policy = policy_of(main, architecture, files)
    mac = Mac(
        version=version,
        architecture=architecture,
        main=main,
        caller=caller,
        sites=_sites(root, given),
        environment={} if environment is None else environment,
        allows_path_variables=policy.allows_path_variables,
        validates_libraries=policy.validates_libraries,
        team=policy.team,
        cache=SharedCache(paths=cached_paths(root, architecture)),
        files=files,
    )
    return Host(
        loader="dyld", version=version[:2], executable=given or "python3", environment=mac.environment, cwd="/",
        foreign=Foreign(root), skipped=tuple(skipped), mac=mac,
    )  # fmt: skip


def version_of_tree(root: Root) -> Version | None:
    """What SystemVersion.plist says, None where it says nothing."""
    data = root.read(SYSTEM_VERSION, 1 << 16) or b""
    found = re.search(rb"<key>ProductVersion</key>\s*<string>(\d+)\.(\d+)(?:\.(\d+))?</string>", data)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found is not None else None


def cached_paths(root: Root, architecture: str) -> frozenset[str] | None:
    """The libraries that the map of the shared cache lists, None where there is no map (D-97)."""
    names = ("arm64e", "arm64") if architecture == "arm64" else ("x86_64h", "x86_64")
    for folder in _MAPS:
        for name in names:
            data = root.read(f"{folder}/dyld_shared_cache_{name}.map", _MAP_LIMIT)
            if data:
                lines = data.decode("utf-8", "replace").splitlines()
                return frozenset(line for line in lines if line.startswith("/"))
    return None


def _pythons(root: Root) -> list[str]:
    return [path for pattern in _PYTHONS for path in root.matching(pattern)]


def _program(root: Root, python: str) -> str:
    """What the kernel runs in the end: python.org's `bin/python3` starts the program inside the framework (D-100)."""
    real = root.realpath(python)
    framework = re.fullmatch(r"(.*/Python3?\.framework/Versions/[\d.]+)/bin/python[\d.]*", real)
    if framework is not None:
        inner = f"{framework[1]}/Resources/Python.app/Contents/MacOS/Python"
        if root.is_file(inner):
            return root.realpath(inner)
    return real


def _images(files: Disk, path: str) -> list[MachoImage]:
    return [one.content for one in files.look_at(path).slices if isinstance(one.content, MachoImage)]


def _caller(files: Disk, main: str, image: MachoImage | None) -> str:
    """The library with the interpreter, by what the program needs; the program itself where it is linked in (D-04)."""
    folder = main.rpartition("/")[0]
    for needed in image.needed if image is not None else ():
        leaf = needed.rpartition("/")[2]
        if _CORE.fullmatch(leaf) is None:
            continue
        named = needed.replace("@executable_path", folder).replace("@loader_path", folder)
        places = [named] if named.startswith("/") else []
        if needed.startswith("@rpath/") and image is not None:
            rpaths = [one.replace("@executable_path", folder).replace("@loader_path", folder) for one in image.rpaths]
            places += [f"{one.rstrip('/')}/{needed[len('@rpath/') :]}" for one in rpaths]
        for place in places:
            if (real := files.real_path(place)) is not None:
                return real
    return main


def _sites(root: Root, python: str | None) -> tuple[str, ...]:
    """Where packages lie: below the prefix of the Python as it was named, then of what it is a link to."""
    if python is None:
        return tuple(root.matching("/Users/*/*/lib/python3*/site-packages"))
    found: dict[str, None] = {}
    for path in (python, root.realpath(python)):
        prefix = path.rpartition("/")[0].rpartition("/")[0]
        found.update(dict.fromkeys(root.matching(f"{prefix}/lib/python3*/site-packages")))
    return tuple(found)
