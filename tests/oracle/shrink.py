"""Makes a forest smaller while what is wrong with it stays wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from tests.oracle.forest import Forest, Plant
from tests.support.elf_writer import Library

T = TypeVar("T")


def shrink(forest: Forest, is_wrong: Callable[[Forest], bool]) -> Forest:
    """The smallest forest that can be reached by taking one thing away at a time, each step still wrong."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(forest):
            if is_wrong(candidate):
                forest, smaller = candidate, True
                break
    return forest


def _without(items: tuple[Any, ...], *, at_least: int = 0) -> Iterator[tuple[Any, ...]]:  # Any: whatever they hold
    """Without half of the items, then without each one."""
    if len(items) > 3:
        yield from (items[: len(items) // 2], items[len(items) // 2 :])
    if len(items) > at_least:
        for position in range(len(items) - 1, -1, -1):
            yield items[:position] + items[position + 1 :]


def _smaller(forest: Forest) -> Iterator[Forest]:
    for loads in _without(forest.loads, at_least=1):
        yield replace(forest, loads=loads)
    for before in _without(forest.before):
        yield replace(forest, before=before)
    for plants in _without(forest.plants):
        yield replace(forest, plants=plants)
    for environment in _smaller_environments(forest.environment):
        yield replace(forest, environment=environment)
    yield from _set_back(forest, user=None, program="ask_loader", cwd="")
    for position, plant in enumerate(forest.plants):
        for changed in _simpler_plants(plant):
            yield replace(forest, plants=(*forest.plants[:position], changed, *forest.plants[position + 1 :]))


def _smaller_environments(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for name, value in environment.items():
        yield {one: text for one, text in environment.items() if one != name}
        for separator in (":", ";", "\n"):
            for entries in _without(tuple(value.split(separator)), at_least=1):
                yield {**environment, name: separator.join(entries)}


def _changed(thing: T, name: str, value: object) -> T:
    """A copy of a dataclass with one field set."""
    fields: dict[str, Any] = {name: value}  # Any: the field's own type
    return cast(T, replace(cast(Any, thing), **fields))


def _set_back(thing: T, **plain: object) -> Iterator[T]:
    """Copies of a dataclass, each with one of these fields as it is in a plain one."""
    for name, simple in plain.items():
        if getattr(thing, name) != simple:
            yield _changed(thing, name, simple)


def _simpler_plants(plant: Plant) -> Iterator[Plant]:
    if plant.library is not None:
        for library in _simpler(plant.library):
            yield replace(plant, library=library)
    if plant.text:
        for lines in _without(tuple(plant.text.split("\n"))):
            yield replace(plant, text="\n".join(lines))
    yield from _set_back(plant, damage=None, mode=None, small_pages=False)


def _simpler(library: Library) -> Iterator[Library]:
    for name in ("needed", "filtees", "imports", "exports", "needs"):
        for rest in _without(getattr(library, name)):
            yield _changed(library, name, rest)
    for name in ("rpath", "runpath"):
        value = getattr(library, name)
        if value is not None:
            yield _changed(library, name, None)
            for separator in (":", "\n"):
                for entries in _without(tuple(value.split(separator)), at_least=1):
                    yield _changed(library, name, separator.join(entries))
    yield from _set_back(
        library, flags_1=0, stack=6, isa_needed=None, soname=None, has_gnu_hash=True, has_sysv_hash=False, relr=False
    )
