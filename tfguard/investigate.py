"""Gathers what the rules need to tell why a load fails: looks at the files around the failure, judges nothing."""

from __future__ import annotations

import glob
import os
import re
import sys

from tfguard.binary.elf import look_at
from tfguard.binary.kinds import recognise
from tfguard.binary.ldcache import cache_key, read_cache
from tfguard.binary.symbols import Reference
from tfguard.case import Case, Elsewhere
from tfguard.host import Host
from tfguard.image import Head, Image, machine_name
from tfguard.installation import FRAMEWORK, Package
from tfguard.loader.glibc import Process
from tfguard.loader.glibc_file import SKIP_CLASS, SKIP_MACHINE, refused_header
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import ALREADY_LOADED, Failure, Trace
from tfguard.twins import find_twins

_GLOB_LIMIT = 40
_ABOUT_THE_FILE = frozenset(
    "directory read-error special-file too-short elf-version not-dynamic header-size headers-past-end not-elf "
    "byte-order os-abi padding page-alignment no-segments executable no-dynamic-section noexec no-dlopen pie "
    "executable-stack truncated damaged missing wrong-class".split()
)


def investigate(
    process: Process, trace: Trace, *, package: Package | None = None, fatal: bool = True, is_op: bool = False
) -> Case:
    """The case for the rules: this trace, its failure, and the facts around it."""
    failure = trace.failure
    host = process.host
    framework = _framework(process)
    facts: dict[str, object] = {}
    if failure is not None:
        path = _file_at_fault(failure)
        if failure.kind in _ABOUT_THE_FILE and os.path.lexists(path):
            facts.update(_file_facts(path))
        if failure.kind in ("missing", "wrong-class"):
            facts["elsewhere"] = _elsewhere(failure, process)
            facts["late_directories"] = _late_directories(failure.name, host)
        elif failure.kind in ("version", "version-table"):
            facts["elsewhere"] = _better_providers(failure, process)
            facts["loaded_before"] = any(
                lookup.name == failure.name and lookup.attempts[-1].outcome is ALREADY_LOADED
                for lookup in trace.lookups
            ) and not any(mapped.path == failure.provider for mapped in trace.images)
        elif failure.kind == "symbol":
            facts.update(_symbol_facts(failure, process, framework))
    elif is_op and trace.images:
        facts["needs_framework"] = _binds_to(process, trace, framework)
    system, installer = _system()
    return Case(
        target=trace.target,
        host=host,
        trace=trace,
        failure=failure,
        fatal=fatal,
        is_op=is_op,
        user=os.geteuid(),
        framework=package.version if package is not None else None,
        distribution=package.distribution if package is not None else None,
        system=system,
        installer=installer,
        **facts,  # type: ignore[arg-type]  # each key is a field of Case, with its type, in the functions below
    )


def _file_at_fault(failure: Failure) -> str:
    """The tried path; for a bare name that nothing was found for, the file of that name in the working directory."""
    return failure.path


def _file_facts(path: str) -> dict[str, object]:
    head = look_at(path)
    status = os.stat(path) if os.path.exists(path) else os.lstat(path)
    return {"kind": recognise(head), "mode": status.st_mode & 0o7777, "owner": status.st_uid}


def _system() -> tuple[str, str]:
    """The operating system's name and its package manager's command, from /etc/os-release."""
    values: dict[str, str] = {}
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.strip().partition("=")
                values[key] = value.strip("\"'")
    except OSError:
        return "", ""
    family = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".split()
    managers = (
        ("apt-get", ("debian", "ubuntu")),
        ("dnf", ("fedora", "rhel", "centos", "amzn")),
        ("zypper", ("suse", "opensuse")),
        ("apk", ("alpine",)),
        ("pacman", ("arch",)),
    )
    installer = next((name for name, ids in managers if any(one in family for one in ids)), "")
    return values.get("PRETTY_NAME", ""), installer


# --- a missing library


def _elsewhere(failure: Failure, process: Process) -> tuple[Elsewhere, ...]:
    """Files of that name, or of that library in another version, that exist on this machine."""
    name = os.path.basename(failure.name)
    if failure.requirer is None or not name:
        return _beside(name, process.host) if "/" not in failure.name else ()
    tried = {attempt.path for attempt in failure.lookup.attempts} if failure.lookup is not None else set()
    stem = re.split(r"\.so\b", name)[0] + ".so"
    found: list[Elsewhere] = []
    for path in _candidates(name, stem, failure, process):
        if len(found) >= 8:
            break
        why, usable = _why_not(path, process.host, tried)
        exact = os.path.basename(path) == name
        if exact or usable:
            found.append(Elsewhere(path, why, exact, usable and exact))
    return tuple(sorted(found, key=lambda one: (not one.usable, not one.exact)))


def _beside(name: str, host: Host) -> tuple[Elsewhere, ...]:
    """For a bare name that was to be opened: the file of that name in the working directory."""
    path = os.path.join(host.cwd, name)
    if not os.path.exists(path):
        return ()
    return (Elsewhere(path, "a name without a slash is not looked up in the working directory", True, True),)


def _candidates(name: str, stem: str, failure: Failure, process: Process) -> list[str]:
    host = process.host
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    folders = [
        os.path.dirname(failure.requirer or ""),
        *(host.late_library_path or "").split(":"),
        os.path.join(sys.prefix, "lib"),
        os.path.join(os.environ.get("CONDA_PREFIX", sys.prefix), "lib"),
        *host.system_directories,
        "/usr/local/lib",
        "/usr/lib64",
        "/usr/lib32",
        "/opt/lib",
    ]
    patterns = [f"{glob.escape(folder)}/{glob.escape(stem)}*" for folder in folders if folder]
    for site in sites:
        root = glob.escape(site)
        patterns += [f"{root}/{sub}/{glob.escape(stem)}*" for sub in ("nvidia/*/lib", "*.libs", "tensorflow", "*/lib")]
    patterns += [
        f"{where}/{glob.escape(stem)}*"
        for where in ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/opt/*/lib", "/usr/lib/*-linux-*")
    ]
    entries = read_cache(host.cache_path or "").get(cache_key(os.fsencode(name)), ())
    paths = [entry.path for entry in entries]
    for pattern in patterns:
        paths += sorted(glob.glob(pattern))[:_GLOB_LIMIT]
    unique = {os.path.realpath(path): path for path in reversed(paths) if os.path.lexists(path)}
    return sorted(unique.values(), key=lambda path: (os.path.basename(path) != name, paths.index(path)))


def _why_not(path: str, host: Host, tried: set[str]) -> tuple[str, bool]:
    """Why the loader does not take this file, and whether it would if it looked there."""
    head = look_at(path)
    if head.errno:
        return os.strerror(head.errno).lower(), False
    refusal = refused_header(head, host)
    if refusal is SKIP_CLASS:
        return f"is a {'32' if host.elf_class == 64 else '64'}-bit library", False
    if refusal is SKIP_MACHINE:
        return f"is built for {_machine_of(head)}", False
    if refusal is not None:
        return (refusal.text or "cannot be loaded"), False
    if path in tried:
        return "was tried", False
    return "is not in a place where the loader looks", True


def _machine_of(head: Head) -> str:
    order = "little" if head.start[5:6] == b"\1" else "big"
    return machine_name(int.from_bytes(head.start[18:20], order))  # type: ignore[arg-type]  # a literal either way


def _late_directories(name: str, host: Host) -> tuple[str, ...]:
    """Directories that os.environ's LD_LIBRARY_PATH has now, that were not there at start, and that hold the file."""
    late = (host.late_library_path or "").replace(";", ":").split(":")
    early = (host.library_path or "").replace(";", ":").split(":")
    base = os.path.basename(name)
    return tuple(one for one in late if one and one not in early and os.path.exists(os.path.join(one, base)))


# --- a version that the provider does not have


def _better_providers(failure: Failure, process: Process) -> tuple[Elsewhere, ...]:
    """Other files of the provider's name that define every version asked for."""
    wanted = {need.version for need in failure.needs}
    name = os.path.basename(failure.name)
    found: list[Elsewhere] = []
    for path in _candidates(name, name, failure, process):
        if os.path.realpath(path) == os.path.realpath(failure.provider or "") or os.path.basename(path) != name:
            continue
        image = look_at(path).content
        if not isinstance(image, Image) or image.machine != process.host.machine:
            continue
        table = process.table(LinkMap(path, image))
        if table is not None and wanted <= table.versions.defined_names:
            found.append(Elsewhere(path, "has every version asked for", True, True))
    return tuple(found[:4])


# --- undefined symbols


def _framework(process: Process) -> LinkMap | None:
    return next((link for link in process.links if FRAMEWORK in (link.soname or "")), None)


def _symbol_facts(failure: Failure, process: Process, framework: LinkMap | None) -> dict[str, object]:
    facts: dict[str, object] = {}
    link = process.loaded_as(failure.path)
    image = link.image if link is not None else look_at(failure.path).content
    needed = image.needed if isinstance(image, Image) else ()
    facts["others_needed"] = needed
    table = process.table(framework) if framework is not None else None
    if table is not None:
        met = [table.accepts(reference.name, reference.need) for reference in failure.references]
        facts["exported_by_framework"] = any(met)
    facts["needs_framework"] = any(FRAMEWORK in name or "libtensorflow_cc" in name for name in needed)
    facts["twins"] = find_twins(failure, process)
    return facts


def _binds_to(process: Process, trace: Trace, framework: LinkMap | None) -> bool:
    """Whether the opened library uses symbols of the framework without having it among its DT_NEEDED."""
    link = process.loaded_as(trace.images[0].path)
    if link is None or framework is None or link.image is None:
        return False
    if any(FRAMEWORK in name or "libtensorflow" in name for name in link.image.needed):
        return False
    table, provider = process.table(link), process.table(framework)
    if table is None or provider is None:
        return False
    return any(_is_tensorflow(one) and provider.accepts(one.name, one.need) for one in table.references())


def _is_tensorflow(reference: Reference) -> bool:
    return b"10tensorflow" in reference.name or reference.name.startswith((b"TF_", b"TFE_"))
