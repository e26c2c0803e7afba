"""What a line of a text says, as facts: Said."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = 4  # the weight of a guess at what somebody means who quotes no message
HARMLESS = 5  # the weight of a line that is no error whatever it looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message found in a text.

    `kind` names the message, `loader` who makes it ("glibc", "musl", "dyld", "windows", "python" ...), `versions`
    which releases of that. `line` is the message as it stands in the text, `number` its line there, from 0. `weight`
    orders messages: 0 for the reason itself, 1 for what comes of it, 2 for a death, 3 for a guess of a wrapper, 4 for
    a warning, 5 for a line that is harmless. `tried` is rows of (path, why not). Of a Python exception, `frame` is the
    Python file that it came out of, and `importing` says that this was on an import statement.
    """

    kind: str
    loader: str
    versions: str
    line: str
    number: int
    weight: int = 0
    object: str = ""
    library: str = ""
    symbol: str = ""
    version: str = ""
    requirer: str = ""
    elf_class: str = ""
    errno: str = ""
    detail: str = ""
    have: str = ""
    need: str = ""
    tried: tuple[tuple[str, str], ...] = ()
    frame: str = ""
    importing: bool = False

    def facts(self) -> dict[str, str | tuple[tuple[str, str], ...]]:
        """The facts it holds, by name, without those it does not have."""
        names = "object library symbol version requirer elf_class errno detail have need tried".split()
        return {name: value for name in names if (value := getattr(self, name))}
