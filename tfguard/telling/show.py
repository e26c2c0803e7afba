"""What one file says about itself, for a person: what its loader reads of it, then what nobody but people reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tfguard.binary.detail import describe
from tfguard.binary.elf import look_at
from tfguard.binary.versions import read_versions
from tfguard.image import Head, Image, machine_name
from tfguard.plain import plain, wrap

if TYPE_CHECKING:
    from tfguard.binary.detail import Detail, Slice

_COLUMN = 16  # the longest label, "versions defined"


def facts_of(path: str) -> dict[str, object]:
    """Everything shown of the file at `path`, as plain data by name; raises OSError where it cannot be opened."""
    head = look_at(path)
    if number := head.errno or head.read_errno:
        raise OSError(number, os.strerror(number), path)
    detail = describe(path)
    facts: dict[str, object] = {"file": path, "kind": detail.kind.detail, "size": head.size}
    if detail.kind.facts:
        facts["about"] = dict(detail.kind.facts)
    facts.update(_read_by_the_loader(head))
    facts.update(_read_by_people(detail))
    return facts


def _read_by_the_loader(head: Head) -> dict[str, object]:
    image = head.content
    if not isinstance(image, Image):
        return {} if image is None else {"damage": image.detail}
    fd = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        versions = read_versions(image, fd)
    finally:
        os.close(fd)
    needs: dict[str, list[str]] = {}
    for need in versions.needs:
        needs.setdefault(need.file, []).append(need.version + (" (weak)" if need.weak else ""))
    return {
        "machine": machine_name(image.machine),
        "class": image.elf_class,
        "soname": image.soname,
        "needed": list(image.needed),
        "rpath": _entries(image.rpath),
        "runpath": _entries(image.runpath),
        "version_needs": needs,
        "versions_defined": list(versions.definitions.values()),
        "loaded_up_to": image.load_end,
    }


def _entries(value: str | None) -> list[str]:
    return list(dict.fromkeys(value.split(":"))) if value else []


def _read_by_people(detail: Detail) -> dict[str, object]:
    facts: dict[str, object] = {}
    if detail.kind.kind == "elf":
        facts = {
            "compilers": list(detail.compilers),
            "build_id": detail.build_id,
            "notes": dict(detail.properties),
            "symbols": dict(detail.symbols),
            "stripped": detail.stripped,
            "debug_info": detail.debug_info,
            "sections": [one._asdict() for one in detail.sections],
        }
    if detail.slices:
        facts["slices"] = [_slice_dict(one) for one in detail.slices]
    if detail.problem:
        facts["problem"] = detail.problem
    return facts


def _slice_dict(one: Slice) -> dict[str, object]:
    return {
        "architecture": one.architecture,
        "type": one.type,
        "install_name": one.install_name,
        "needed": list(one.libraries),
        "rpath": list(one.rpaths),
    }


def facts_text(facts: Mapping[str, object], *, width: int = 80) -> str:
    """The facts as a table in printable ASCII."""
    return "\n".join(_rows(facts, width))


def _rows(facts: Mapping[str, object], width: int) -> Iterator[str]:
    for label, fact in facts.items():
        start = f"{plain(label).replace('_', ' '):<{_COLUMN}}  "
        for text in _texts(label, fact):
            for line in wrap(text, width - len(start), indent="  "):
                yield f"{start}{line}".rstrip()
                start = " " * len(start)


def _texts(label: str, fact: object) -> list[str]:
    """The lines of one fact, not wrapped."""
    if label in _IN_BYTES:
        return [f"{fact} bytes"]
    if label == "class":
        return [f"{fact}-bit"]
    if isinstance(fact, bool):
        return ["yes" if fact else "no"]
    if fact is None or fact in ([], {}):
        return ["none"]
    if isinstance(fact, Mapping):
        return [f"{plain(str(name))}: {', '.join(_texts('', value))}" for name, value in fact.items()]
    if isinstance(fact, Sequence) and not isinstance(fact, str):
        return [_line(one) for one in fact]
    return [plain(str(fact))]


_IN_BYTES = ("size", "loaded_up_to")


def _line(item: object) -> str:
    if not isinstance(item, Mapping):
        return plain(str(item))
    if "flags" in item:
        return f"{plain(str(item['name'])):<20} {item['type']:<12} {item['size']:>12} {item['flags']}".rstrip()
    return "; ".join(f"{name}: {', '.join(_texts('', value))}" for name, value in item.items())
