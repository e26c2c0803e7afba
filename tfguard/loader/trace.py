"""What playing a loader gives: every place tried with its outcome, the images it would map, the first failure."""

# Annotations are no strings in this file: a NamedTuple, or data class, would compile each, at the cost of every import.

from typing import TYPE_CHECKING, NamedTuple

from tfguard.image import Image, VersionNeed

if TYPE_CHECKING:
    from tfguard.binary.symbols import Reference
    from tfguard.macho_image import MachoImage

# Outcomes of an attempt. The first six let the search go on, the next two end it, the last begins no search at all.
ABSENT = "no such file"
NO_DIRECTORY = "no such directory"
UNREADABLE = "permission denied"
WRONG_CLASS = "wrong class, passed over"
WRONG_MACHINE = "wrong machine, passed over"
NEWER_KERNEL = "for a newer kernel, passed over"
LIST_ENDS = "error, rest of this list left out"
STOPPED = "bad file, search ends"
TAKEN = "taken"
ALREADY_LOADED = "already loaded"
# In place of a signal: dyld gives a message, whose words are the kernel's and not known.
REFUSES_SIGNATURE = "refuses the code signature"
# dyld takes it from the cache of the system's libraries: there is no file.
SHARED_CACHE = "in the shared cache"


class Attempt(NamedTuple):
    """One place looked at: the step (the name of its function), the path, the outcome, and what was found there."""

    step: str
    path: str
    outcome: str
    detail: str = ""


class Lookup(NamedTuple):
    """The search for one name: who needs it (None for the opened object itself), what was tried, what was found."""

    name: str
    requirer: str | None
    attempts: tuple[Attempt, ...]
    found: str | None

    @property
    def step(self) -> str:
        """The step that found it, "" where none did."""
        return self.attempts[-1].step if self.found is not None and self.attempts else ""


class Mapped(NamedTuple):
    """An object that the load maps, in order: the path the loader records, what asked for it, and its image."""

    path: str
    name: str
    requirer: str | None
    step: str
    image: "Image | MachoImage"


class Unmet(NamedTuple):
    """A symbol that dyld does not find: its raw name, the library it must come from ("" for one of any, flat look-up).

    `certain` is false where a library of the system may have it, whose symbols cannot be read.
    """

    name: bytes
    library: str
    certain: bool = True


class Failure(NamedTuple):
    """Where a load ends.

    `kind` is the check that fails (a word of `loader.glibc_file`, "missing", "version", "symbol" ...), `rule` its
    number in the loader reference, `message` the loader's own text, None where it says nothing because the process
    dies of `signal` ("SIGBUS", "SIGSEGV", "exit 127"). `path` is the file it is about, as tried, `name` as it was
    asked for, `requirer` the object that needs it. `certain` is false where the outcome hangs on bytes not read.
    `others` are further files that were there and not taken, with the kind of each refusal.
    """

    kind: str
    rule: str
    message: str | None
    path: str
    name: str
    requirer: str | None = None
    signal: str | None = None
    certain: bool = True
    detail: str = ""
    lookup: Lookup | None = None
    needs: tuple[VersionNeed, ...] = ()
    references: "tuple[Reference, ...]" = ()
    provider: str | None = None
    unmet: tuple[Unmet, ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    @property
    def dies(self) -> bool:
        """Whether the process ends of it, or waits for ever: no `except` around the import catches that (G-05)."""
        return self.message is None and self.signal != REFUSES_SIGNATURE

    @property
    def says(self) -> str:
        """What a person sees of it: the message, or what the process dies of."""
        return self.message if self.message is not None else f"nothing: {self.signal}"


class Trace(NamedTuple):
    """The story of one load.

    `images` are the newly mapped objects in load order (up to the failure), `scope` the paths of every object in
    whose symbols the new ones may bind, in search order. `resolved` says whether symbols were looked up at all.
    """

    target: str
    lookups: tuple[Lookup, ...]
    images: tuple[Mapped, ...]
    failure: Failure | None = None
    scope: tuple[str, ...] = ()
    resolved: bool = False
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """How the load ends: "loads", "refused" (the loader gives a message), or "dies" (the process ends of it)."""
        if self.failure is None:
            return "loads"
        return "dies" if self.failure.dies else "refused"
