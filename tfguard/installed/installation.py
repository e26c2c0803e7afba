"""What is installed, read from disk without importing it: where a package lies, its release, its native modules."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from typing import TYPE_CHECKING, NamedTuple

from tfguard.hosts.root import HERE, Root

if TYPE_CHECKING:
    from tfguard.hosts.host import Host
    from tfguard.installed.python import Python

_DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "natives")
# The library that holds TensorFlow's core and that ops are linked to; a version number follows.
FRAMEWORK = "libtensorflow_framework.so"
_DISTRIBUTIONS_OF_TENSORFLOW = (
    "tensorflow", "tensorflow_cpu", "tf_nightly", "tensorflow_gpu", "tensorflow_rocm", "tensorflow_intel",
    "tensorflow_macos", "tf_nightly_cpu", "intel_tensorflow", "tensorflow_cpu_aws",
)  # fmt: skip
# Of other packages (h5py, charset_normalizer) the lists were measured with one version and may not hold for the next.
_LISTS_HOLD_FOR = ("tensorflow", "numpy", "ml_dtypes")
_FILE_LIMIT = 50_000
_OWN_SUFFIXES = tuple(EXTENSION_SUFFIXES)
# TensorFlow keeps 12,000 headers under include: half the time of a walk.
_NO_NATIVES = frozenset(("__pycache__", "include"))
# In a name that ends in plain ".so": a module for another Python.
_OTHER_PYTHON = re.compile(r"\.(cpython|pypy|graalpy)[\w-]*\.so$")


class Native(NamedTuple):
    """A native file that an import may load: module name (or relative path), path (None where it is missing).

    `make_global` is set where it is opened with RTLD_GLOBAL. `certain` says that the import ends when this file does
    not load; it is only set where that was measured or follows from the source. `listed` says that its place in the
    order is the true one.
    """

    module: str
    path: str | None
    make_global: bool
    certain: bool
    listed: bool = False


class Package(NamedTuple):
    """A top-level package or module as the import system would find it.

    `locations` are the folders that hold the package: none for a single module, several for a namespace package.
    `origin` is the file that would run, `version` that of the distribution beside it where one could be told.
    `interpreter` is the Python that would import it, None for the one that runs this, and `root` its file system.
    """

    name: str
    locations: tuple[str, ...]
    origin: str | None
    distribution: str | None = None
    version: str | None = None
    interpreter: Python | None = None
    root: Root = HERE

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of native modules, in the order in which they are tried."""
        return self.interpreter.suffixes if self.interpreter is not None else _OWN_SUFFIXES

    @property
    def directory(self) -> str | None:
        """The folder that holds the package, the first where there are several."""
        return self.locations[0] if self.locations else None


def find_package(name: str, host: Host | None = None) -> Package | None:
    """The package that `import name` would run in the host's Python, or None; nothing of it is imported.

    Only top-level names: a dotted name would make Python import the parents to find it.
    """
    if host is not None and host.python is not None:
        return _found_elsewhere(name, host.python, host.root)
    spec = PathFinder.find_spec(name)
    if spec is None:
        spec = _from_other_finders(name)
    if spec is None:
        return None
    locations = tuple(spec.submodule_search_locations or ())
    distribution, version = _distribution_beside(locations[0], name) if locations else (None, None)
    return Package(name=name, locations=locations, origin=spec.origin, distribution=distribution, version=version)


def _found_elsewhere(name: str, interpreter: Python, root: Root) -> Package | None:
    from tfguard.installed.sys_path import find_spec

    found = find_spec(name, interpreter, root)
    if found is None:
        return None
    beside = _distribution_beside(found.locations[0], name, root) if found.locations else (None, None)
    return Package(name, found.locations, found.origin, *beside, interpreter=interpreter, root=root)


def _from_other_finders(name: str):  # type: ignore[no-untyped-def]  # ModuleSpec | None, whose import costs time
    """Editable installs and frozen applications bring finders of their own; ours is passed over."""
    for finder in sys.meta_path:
        if finder is PathFinder or getattr(type(finder), "__module__", "").startswith("tfguard"):
            continue
        find = getattr(finder, "find_spec", None)
        spec = find(name, None) if find is not None else None
        if spec is not None:
            return spec
    return None


def _distribution_beside(directory: str, name: str, root: Root = HERE) -> tuple[str | None, str | None]:
    """Name and version from the dist-info folder beside a package: one listing, no metadata parsed."""
    wanted = _DISTRIBUTIONS_OF_TENSORFLOW if name == "tensorflow" else (name.lower(),)
    found: dict[str, str] = {}
    for entry in root.names_in(os.path.dirname(directory) or "."):
        if entry.endswith(".dist-info"):
            distribution, _, version = entry[: -len(".dist-info")].partition("-")
            found[distribution.lower().replace("-", "_").replace(".", "_")] = version
    for distribution in wanted:
        if distribution in found:
            return distribution.replace("_", "-"), found[distribution]
    return None, None


def natives_of(package: Package, *, everything: bool) -> tuple[Native, ...]:
    """The native files that `import package` loads, in its order; with `everything` also those that it may load.

    For TensorFlow the order was measured for each release and is kept as data; for other packages the files below
    the package's folder are taken in the order of their names, and `imports.py` says which of them are certain.
    """
    if package.directory is None:
        single = package.origin
        is_native = single is not None and single.endswith(package.suffixes)
        return (Native(package.name, single, False, True),) if is_native else ()
    listed = _located(listed_entries(package.name, package.version), package)
    if listed and not everything:
        return listed
    realpath = package.root.realpath
    named = {native.path for native in listed}
    seen = {realpath(path) for path in named if path is not None}
    others = [
        Native(_module_of(path, package, location), path, False, False)
        for location in package.locations
        for path in sorted(_native_files(location, package))
        if path not in named and realpath(path) not in seen
    ]
    return (*listed, *others)


def plugins_of(path: Iterable[str], root: Root = HERE) -> tuple[Native, ...]:
    """What lies in the folders `tensorflow-plugins`: TensorFlow opens every library in them at the end of its import.

    It looks for them in the entries of sys.path that have "site-packages" in their names; the user's own is one.
    """
    found = []
    for site in dict.fromkeys(one for one in path if "site-packages" in one):
        folder = os.path.join(site, "tensorflow-plugins")
        for name in root.names_in(folder):
            if name.endswith((".so", ".dylib", ".dll")) or ".so." in name:
                found.append(Native(f"tensorflow-plugins/{name}", os.path.join(folder, name), False, True, listed=True))
    return tuple(found)


def core_natives_of(package: Package) -> tuple[Native, ...]:
    """What every library opened after the import can rest on.

    The first native file, which brings the framework, and those that are opened with RTLD_GLOBAL, which put it into the
    global scope.
    """
    entries = listed_entries(package.name, package.version)
    if not entries:
        return natives_of(package, everything=False)[:1]
    last = max((place for place, (_, *flags) in enumerate(entries) if "global" in flags), default=0)
    found = [one for one in _located(entries[: last + 1], package) if one.path is not None]
    return tuple(one for one in found if one is found[0] or one.make_global)


def _located(entries: list[list[str]], package: Package) -> tuple[Native, ...]:
    """The native files of these lines of a data file, those that are there or would have to be."""
    natives = []
    places: dict[str, str | None] = {package.name: package.directory}
    for what, *flags in entries:
        path, expected = _locate(what, places, package)
        if path is not None or (expected and "fatal" in flags and "dispensable" not in flags):
            certain = "fatal" in flags and what.removeprefix("file:").startswith(_LISTS_HOLD_FOR)
            natives.append(Native(what.removeprefix("file:"), path, "global" in flags, certain, listed=True))
    return tuple(natives)


def listed_entries(name: str, version: str | None) -> list[list[str]]:
    """The lines of the data file for a package and release, each the entry and its flags."""
    release = ".".join((version or "").split(".")[:2])
    for file_name in (f"{name}-{release}.txt", f"{name}.txt"):
        try:
            with open(os.path.join(_DATA, file_name), encoding="utf-8") as file:
                return [line.split() for line in file.read().splitlines() if line and not line.startswith("#")]
        except OSError:
            continue
    return []


def _locate(what: str, places: dict[str, str | None], package: Package) -> tuple[str | None, bool]:
    """The file of a listed entry, and whether its package is there at all so that it should be."""
    top = what.removeprefix("file:").partition("/")[0].partition(".")[0]
    if top not in places:
        places[top] = _folder_of(top, package)
    directory = places[top]
    if directory is None:
        return None, False
    site = os.path.dirname(directory)
    if what.startswith("file:"):
        path = os.path.join(site, what[5:])
        return (path if package.root.lexists(path) else None), True
    stem = os.path.join(directory, *what.split(".")[1:])
    for suffix in package.suffixes:
        if package.root.lexists(stem + suffix):
            return stem + suffix, True
    # Other packages move their modules from release to release: only TensorFlow's own list is for this very one.
    return None, top == "tensorflow"


def _folder_of(name: str, package: Package) -> str | None:
    """Where another package that this one's Python imports lies."""
    if package.interpreter is not None:
        other = _found_elsewhere(name, package.interpreter, package.root)
        return other.directory if other is not None else None
    spec = PathFinder.find_spec(name)
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    return locations[0] if locations else None


def _native_files(directory: str, package: Package) -> Iterator[str]:
    suffixes = package.suffixes
    # what a Python on musl passes over is told of: it is the build for the other C library (ld-so.md M-41)
    tried = (suffixes[0], suffixes[0].replace("-linux-musl.", "-linux-gnu."))
    pending = [directory]
    count = 0
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(package.root.outside(folder)))
        except OSError:
            continue
        for entry in entries:
            path = os.path.join(folder, entry.name)
            count += 1
            if count > _FILE_LIMIT:
                return
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _NO_NATIVES:
                        pending.append(path)
                elif entry.name.endswith(tried) or (
                    entry.name.endswith(suffixes) and not _OTHER_PYTHON.search(entry.name)
                ):
                    yield path
            except OSError:
                continue


def _module_of(path: str, package: Package, location: str) -> str:
    relative = os.path.relpath(path, location)
    stem = next((relative[: -len(suffix)] for suffix in package.suffixes if relative.endswith(suffix)), relative)
    stem = stem.partition(".cpython-")[0]
    return f"{package.name}.{stem.replace(os.sep, '.')}"
