"""What the judging layers need of a process in which loads are played, whichever its loader is: Process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tfguard.binary.symbols import SymbolTable
from tfguard.hosts.host import Host
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Trace


class Process(Protocol):
    """A process in which loads are played one after another: what one maps, the next finds loaded.

    Starts as the host's process stands, `links` in load order. Used as a context manager: it may keep files open
    until the end.
    """

    @property
    def host(self) -> Host: ...

    @property
    def links(self) -> Sequence[LinkMap]: ...

    def __enter__(self) -> Process: ...

    def __exit__(self, *_: object) -> None: ...

    def dlopen(
        self, name: str, *, caller: LinkMap | None = None, make_global: bool = False, symbols: bool = True
    ) -> Trace:
        """Play an eager dlopen; with `symbols=False` without the look-up of symbols. `caller` is who calls it."""
        ...

    def start_program(self, program: str) -> Trace:
        """Play the start of a program, by its path, in a process that has nothing mapped yet."""
        ...

    def loaded_as(self, name: str) -> LinkMap | None:
        """The loaded object that answers to a name."""
        ...

    def table(self, link: LinkMap) -> SymbolTable | None:
        """The symbols of an object, None where its file cannot be read."""
        ...

    def places(self, name: str, requirer: LinkMap | None) -> Iterator[str]:
        """Every path that a search for a bare name tries, in order, whatever is found on the way."""
        ...

    def cached(self, name: str) -> tuple[str, ...]:
        """The paths that the system's list of libraries has for a name; empty for a loader without one."""
        ...

    def not_taken(self, path: str) -> str | None:
        """Why the loader would not take the file at a path, in words that follow its name; None where it would."""
        ...
