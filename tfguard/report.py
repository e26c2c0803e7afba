"""The result of a check as a value: Report, with its text, HTML and JSON faces."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tfguard.errors import GuardError
    from tfguard.finding import Finding
    from tfguard.hosts.host import Host
    from tfguard.image import Image
    from tfguard.loader.trace import Trace
    from tfguard.macho_image import MachoImage

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found; true where no finding is an error.

    `target` is what was asked for, `traces` one story for each load that was played, in order, `skipped` what could
    not be checked and why. Findings come in the order in which the loader would meet them.
    """

    target: str
    host: Host = field(repr=False)
    findings: tuple[Finding, ...] = ()
    traces: tuple[Trace, ...] = field(default=(), repr=False)
    skipped: tuple[str, ...] = ()
    depth: Literal["files", "symbols", "loaded"] = "symbols"
    kind: Literal["import", "library", "op library", "program", "text"] = "library"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        """No error among the findings; warnings do not count."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are certain to end the load."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that need not end the load."""
        return tuple(one for one in self.findings if one.severity == "warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are worth knowing, and nothing to mend."""
        return tuple(one for one in self.findings if one.severity == "note")

    @property
    def trace(self) -> Trace | None:
        """The first load that fails, else the first one played."""
        failed = next((one for one in self.traces if one.failure is not None), None)
        return failed or (self.traces[0] if self.traces else None)

    @property
    def images(self) -> tuple[Image | MachoImage, ...]:
        """What the loader would map, in its order, over all loads played."""
        return tuple(mapped.image for trace in self.traces for mapped in trace.images)

    def to_dict(self) -> dict[str, object]:
        """The report as plain data for JSON; the layout is documented in docs/json.md and numbered by `schema`."""
        from tfguard.telling.render import as_dict

        return as_dict(self)

    def raise_for_errors(self) -> None:
        """Raise GuardImportError or OpLibraryError where there are errors; else do nothing."""
        if not self.ok:
            raise self.as_error()

    def as_error(self) -> GuardError:
        """The exception that fits what was checked."""
        from tfguard.errors import error_for

        return error_for(self)

    def __str__(self) -> str:
        from tfguard.telling.render import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from tfguard.telling.html import as_html

        return as_html(self)


def told(findings: Collection[Finding], ignore: Collection[str]) -> tuple[Finding, ...]:
    """The findings whose codes are not left out: errors first, then warnings, then notes, else in their own order."""
    left_out = {code.upper() for code in ((ignore,) if isinstance(ignore, str) else ignore)}
    kept = [one for one in findings if one.code not in left_out]
    return tuple(one for severity in ("error", "warning", "note") for one in kept if one.severity == severity)
