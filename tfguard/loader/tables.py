"""The symbol tables of a played process: each opened when it is first asked for, all open until its end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Protocol

    class _Closable(Protocol):
        def close(self) -> None: ...


Link = TypeVar("Link", bound=Hashable)
Table = TypeVar("Table", bound="_Closable")


class Tables(Generic[Link, Table]):
    """By object: a table is that of its object for as long as there is one, whatever else has gone meanwhile.

    `open_table` gives None for an object without a file; an OSError of it counts as that.
    """

    def __init__(self, open_table: Callable[[Link], Table | None]) -> None:
        self._open_table = open_table
        self._opened: dict[Link, Table | None] = {}

    def of(self, link: Link) -> Table | None:
        """The symbols of an object, None where its file cannot be read."""
        if link not in self._opened:
            try:
                self._opened[link] = self._open_table(link)
            except OSError:
                self._opened[link] = None
        return self._opened[link]

    def let_go(self, links: Iterable[Link]) -> None:
        """Close those of objects that the process has no more."""
        for link in links:
            if (table := self._opened.pop(link, None)) is not None:
                table.close()

    def close(self) -> None:
        """Close all."""
        self.let_go(list(self._opened))
