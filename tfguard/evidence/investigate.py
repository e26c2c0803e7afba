"""Gathers what the rules need to tell why a load fails: looks at the files around the failure, judges nothing."""

from __future__ import annotations

import os
import sys

from tfguard.binary.symbols import Reference
from tfguard.binary.versions import versions_of
from tfguard.case import Case, Elsewhere
from tfguard.evidence import whereabouts
from tfguard.evidence.gpu_stack import GpuStack
from tfguard.evidence.surroundings import brought_and_gone, brought_by, look_around
from tfguard.evidence.twins import find_twins
from tfguard.hosts.host import Host
from tfguard.hosts.root import Root
from tfguard.image import Image
from tfguard.installed.installation import FRAMEWORK, Package
from tfguard.installed.python import is_managed
from tfguard.loader.link_map import LinkMap
from tfguard.loader.process import Process
from tfguard.loader.trace import NEWER_KERNEL, UNREADABLE, WRONG_CLASS, WRONG_MACHINE, Failure, Trace

_ABOUT_SYMBOLS = frozenset(("version", "version-table", "version-without-library", "symbol", "relr"))
# glibc's own libraries: they belong together and no other copy of one helps.
_OF_GLIBC = ("libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "ld-linux")


def investigate(
    process: Process,
    trace: Trace,
    *,
    package: Package | None = None,
    fatal: bool = True,
    is_op: bool = False,
    gpu: GpuStack | None = None,
) -> Case:
    """The case for the rules: this trace, its failure, and the facts around it."""
    failure = trace.failure
    facts: dict[str, object] = {}
    if failure is not None:
        facts.update(_file_facts(failure, process.host))
        if process.host.loader == "musl":
            facts["glibc"] = _built_for_glibc(failure, process)
            if "origin" not in facts and failure.requirer is not None:
                facts["origin"] = brought_by(failure.requirer, process.host.root)
        if failure.kind in ("missing", "wrong-class"):
            facts.update(_search_facts(failure, process))
        elif failure.kind in ("version", "version-table"):
            facts["elsewhere"] = whereabouts.other_providers(failure, process, trace)
            facts["provided"] = _provided(failure, process)
        elif failure.kind == "symbol":
            facts.update(_symbol_facts(failure, process, trace))
        else:
            facts["elsewhere"] = whereabouts.behind(failure, process, trace)
    elif is_op and trace.images:
        facts["needs_framework"] = _binds_to(process, trace, _framework(process))
    system, installer = _system(process.host.root)
    python = process.host.python  # None for the one that runs this
    release, prefix = (python.version, python.prefix) if python is not None else (sys.version_info, sys.prefix)
    version = package.version if package is not None else None
    return Case(
        target=trace.target,
        host=process.host,
        trace=trace,
        failure=failure,
        fatal=fatal,
        is_op=is_op,
        user=os.geteuid(),
        distribution=package.distribution if package is not None else None,
        version=version,
        framework=version if package is not None and package.name == "tensorflow" else None,
        python=f"{release[0]}.{release[1]}",
        conda=prefix if process.host.root.is_directory(os.path.join(prefix, "conda-meta")) else None,
        is_managed=python.is_managed if python is not None else is_managed(),
        system=system,
        installer=installer,
        gpu=gpu,
        **facts,  # type: ignore[arg-type]  # each key is a field of Case, with its type, in the functions below
    )


def _file_facts(failure: Failure, host: Host) -> dict[str, object]:
    path = _file_at_fault(failure, host)
    kind, place = look_around(path, host) if path else (None, None)
    facts: dict[str, object] = {"file": path}
    if place is not None and failure.kind not in _ABOUT_SYMBOLS:
        facts.update(kind=kind, place=place)
    origin = brought_by(path, host.root)
    if failure.kind == "missing" and failure.requirer is not None:
        origin = brought_and_gone(failure.name, failure.requirer, host.root) or origin
    if origin is not None:
        facts["origin"] = origin
    return facts


def _file_at_fault(failure: Failure, host: Host) -> str:
    """The path tried; for a search that found nothing, the first file it passed over and might have taken."""
    if failure.lookup is not None and failure.kind in ("missing", "wrong-class"):
        outcomes = (WRONG_CLASS,) if failure.kind == "wrong-class" else (WRONG_MACHINE, NEWER_KERNEL, UNREADABLE)
        for attempt in failure.lookup.attempts:
            # of a folder that cannot be searched it is not known whether it holds the file
            if attempt.outcome in outcomes and ("/" in failure.name or host.root.lexists(attempt.path)):
                return attempt.path
        if "/" not in failure.name:
            return ""
    return failure.path


def _system(root: Root) -> tuple[str, str]:
    """The operating system's name and its package manager's command, from /etc/os-release."""
    values: dict[str, str] = {}
    for line in (root.read("/etc/os-release", 1 << 16) or b"").decode("utf-8", "replace").splitlines():
        key, _, value = line.strip().partition("=")
        values[key] = value.strip("\"'")
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


def _built_for_glibc(failure: Failure, process: Process) -> tuple[str, ...]:
    """What shows that the failing file, or who needs it, was built for glibc: versions that it needs, its name."""
    path = failure.requirer or failure.path
    image = process.host.look_at(path).content
    if not isinstance(image, Image):
        return ()
    versions = versions_of(image)
    found = [one.version for one in versions.needs if one.version.startswith("GLIBC_")] if versions is not None else []
    marks = [max(found, key=_numbers)] if found else []
    marks += [name for name in image.needed if name.startswith("ld-linux")]
    if not marks and os.path.basename(path).endswith("-linux-gnu.so"):
        marks.append("its name ends in -linux-gnu.so")
    return tuple(marks)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.rpartition("_")[2].split(".") if part.isdigit())


def _search_facts(failure: Failure, process: Process) -> dict[str, object]:
    """For a name that was searched for, or is needed by a path: where such files are."""
    if "/" in failure.name and failure.requirer is None:
        return {}
    return {
        "elsewhere": whereabouts.elsewhere(failure, process),
        "late_directories": whereabouts.late_directories(failure.name, process),
        "configured": whereabouts.configured_directories(process.host.root),
    }


def _provided(failure: Failure, process: Process) -> tuple[str, ...]:
    """The versions that the provider does define, of the family of the first one missing."""
    link = process.loaded_as(failure.provider or "") or _unmapped(failure.provider, process)
    table = process.table(link) if link is not None else None
    if table is None or not failure.needs:
        return ()
    family = failure.needs[0].version.rpartition("_")[0] + "_"
    return tuple(sorted(one for one in table.versions.defined_names if one.startswith(family)))


def _unmapped(path: str | None, process: Process) -> LinkMap | None:
    image = process.host.look_at(path).content if path is not None else None
    return LinkMap(path, image) if path is not None and isinstance(image, Image) else None


def _framework(process: Process) -> LinkMap | None:
    return next((link for link in process.links if FRAMEWORK in (link.soname or os.path.basename(link.path))), None)


def _symbol_facts(failure: Failure, process: Process, trace: Trace) -> dict[str, object]:
    framework = _framework(process)
    link = process.loaded_as(failure.path) or _unmapped(failure.path, process)
    needed = link.image.needed if link is not None and link.image is not None else ()
    table = process.table(framework) if framework is not None else None
    met = [table.accepts(one.name, one.need) for one in failure.references] if table is not None else []
    return {
        "others_needed": needed,
        "exported_by_framework": any(met),
        "framework_loaded": framework is not None,
        "needs_framework": any(FRAMEWORK in name or "libtensorflow_cc" in name for name in needed),
        "twins": find_twins(failure, process),
        "elsewhere": _better_copies(failure, process, trace),
    }


def _better_copies(failure: Failure, process: Process, trace: Trace) -> tuple[Elsewhere, ...]:
    """Copies that define the missing symbol, of a library that the failing one needs and finds in another copy."""
    reference = failure.references[0]
    for lookup in trace.lookups:
        if lookup.found is None or lookup.name.startswith(_OF_GLIBC) or lookup.requirer != failure.path:
            continue
        if reference.need is not None and reference.need.file != lookup.name:
            continue
        found = whereabouts.copies_with_symbol(lookup.name, lookup.found, reference, failure, process, trace)
        if found:
            return found
    return ()


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
