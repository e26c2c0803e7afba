"""Gathers what the rules need to tell why a load on a Mac fails: looks at the files around it, judges nothing."""

from __future__ import annotations

from tfguard.binary.kinds import Kind, recognise
from tfguard.case import Case, Elsewhere, Origin, Place
from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac
from tfguard.image import Head
from tfguard.installed.mac_packages import brought_by_distribution, files_called, find_mac_package
from tfguard.loader.trace import Failure, Trace
from tfguard.macho_image import MachoImage

_SHOWN = 4


def investigate_mac(host: Host, trace: Trace, *, fatal: bool = True, is_op: bool = False) -> Case:
    """The case for the rules: this trace, its failure, and the facts around it."""
    mac = host.mac or Mac()
    failure = trace.failure
    facts: dict[str, object] = {}
    if failure is not None:
        facts.update(_file_facts(failure, mac))
        if failure.kind == "dylib-missing" and failure.requirer is not None:
            facts.update(_missing_facts(failure, mac))
    else:
        facts["quarantine"] = tuple(
            (one.path, value) for one in trace.images if (value := mac.files.quarantine(one.path)) is not None
        )
    tensorflow = find_mac_package(mac, "tensorflow")
    return Case(
        target=trace.target,
        host=host,
        trace=trace,
        failure=failure,
        fatal=fatal,
        is_op=is_op,
        framework=tensorflow.version if tensorflow is not None else None,
        distribution=tensorflow.distribution if tensorflow is not None else None,
        **facts,  # type: ignore[arg-type]  # each key is a field of Case, with its type, in the functions below
    )


def _file_facts(failure: Failure, mac: Mac) -> dict[str, object]:
    """What the file at fault is, and who brought it; of a missing library who brought the one that needs it."""
    path = failure.requirer if failure.kind == "dylib-missing" and failure.requirer is not None else failure.path
    facts: dict[str, object] = {"file": failure.path, "kind": _kind_of(failure.path, mac)}
    head = mac.files.look_at(failure.path)
    facts["place"] = Place(folder=failure.path.rpartition("/")[0], size=head.size, names=_names_like(failure.path, mac))
    brought = brought_by_distribution(mac, path)
    if brought is not None:
        facts["origin"] = Origin(brought.distribution, brought.version, brought.listed)
    return facts


def _kind_of(path: str, mac: Mac) -> Kind | None:
    head = mac.files.look_at(path)
    if head.errno or head.kind != "regular":
        return None
    return recognise(Head(path=path, kind=head.kind, size=head.size, start=head.start))


def _names_like(path: str, mac: Mac) -> tuple[str, ...]:
    folder, _, leaf = path.rpartition("/")
    stem = leaf.partition(".")[0].removeprefix("lib")
    return tuple(one for one in mac.files.names_in(folder) if stem and stem in one and one != leaf)[:_SHOWN]


def _missing_facts(failure: Failure, mac: Mac) -> dict[str, object]:
    leaf = failure.name.rpartition("/")[2]
    found = []
    for path in files_called(mac, leaf, failure.requirer or ""):
        images = [one.content for one in mac.files.look_at(path).slices if isinstance(one.content, MachoImage)]
        fits = any(one.architecture in mac.accepts for one in images)
        why = "is not in a place where dyld looks" if fits else "is for another processor"
        found.append(Elsewhere(path, why, True, fits))
    return {"elsewhere": tuple(found[:_SHOWN])}
