"""Where filtees come to stand, libraries whose symbols come before those of the object that names them (G-85)."""

from __future__ import annotations

from tfguard.loader.glibc_file import Refusal
from tfguard.loader.link_map import LinkMap

# More of them in one load no linker ever asked for, and a file may ask for more than there is time to play.
_MOST_MOVES = 2000

NOT_OPENED = Refusal(
    "filter", "G-85", None, signal="exit 127", detail="glibc up to 2.31 cannot open an object that has a filtee"
)
_FOR_EVER = Refusal(
    "filters-in-a-circle",
    "G-85",
    None,
    signal="SIGSEGV",
    detail="ld.so moves them before each other until its stack is full",
)


class Moves:
    """The moves of one load: a filtee that stands behind its object is put before it, and is walked again.

    `chain` are the objects of the process in load order, in which it is moved as in the scope.
    """

    def __init__(self, chain: list[LinkMap]) -> None:
        self._chain = chain
        self._states: set[tuple[int, ...]] = set()

    def put_before(self, link: LinkMap, filtee: LinkMap, scope: list[LinkMap]) -> bool:
        """Put a filtee before its object; whether it did not stand there already."""
        if filtee in scope:
            if scope.index(filtee) <= scope.index(link):
                return False
            scope.remove(filtee)
        scope.insert(scope.index(link), filtee)
        self._chain.remove(filtee)
        self._chain.insert(self._chain.index(link), filtee)
        return True

    def never_end(self, scope: list[LinkMap], walked: set[int]) -> Refusal | None:
        """The death of the process where the walk stands after a move where it stood before.

        Each move takes memory of the loader's stack. A walk that is merely very long may fit into it.
        """
        state = (*map(id, scope), 0, *sorted(walked))
        if state in self._states:
            return _FOR_EVER
        if len(self._states) == _MOST_MOVES:
            return _FOR_EVER._replace(certain=False)
        self._states.add(state)
        return None
