"""The door for what has failed already: diagnose() makes a report of an exception or of any pasted text."""

from __future__ import annotations

from collections.abc import Collection

from tfguard.diagnosis.judging import Judged, ranked
from tfguard.diagnosis.reading import reading
from tfguard.diagnosis.said import HARMLESS, WORDS, Said
from tfguard.diagnosis.setting import Setting, setting_of
from tfguard.diagnosis.text import clean
from tfguard.diagnosis.wrappers import wrappers_in
from tfguard.finding import Finding, Remedy
from tfguard.hosts.host import Host
from tfguard.report import Report
from tfguard.rules import rule_of

MOST = 64 << 20  # bytes of a file that are read
_MOST = 4
_SHOWN = 300


def diagnose(
    error: BaseException | str, *, host: Host | None = None, ignore: Collection[str] = (), look: bool = True
) -> Report:
    """Say what an exception, or any text that somebody pasted, comes from: causes, likeliest first.

    `error` is an exception (its chain is read too) or a text: a traceback, a log, an issue, a report that
    `python -m tfguard report` made elsewhere. The first finding is the cause thought likeliest, with why; those
    behind it are warnings, with what would decide. Files that the text names and that are on this machine are checked
    (`look=False`: not), and so is the package whose import an ImportError ended: the checks decide. `host` is the
    process to check them for, this one where it is None.
    Nothing is loaded or run. Raises TypeError for what is neither exception nor str, else nothing.
    """
    if isinstance(error, BaseException):
        from tfguard.errors import GuardError

        if isinstance(error, GuardError):
            return error.report
        text, failed = _text_of(error), _failed_import(error)
    elif isinstance(error, str):
        text, failed = error, ""
    else:
        raise TypeError(f"diagnose() takes an exception or a str, not {type(error).__name__}")
    try:
        return _diagnose(text, host, ignore, look=look, failed=failed)
    except Exception as fault:  # fail open: whoever asks about an error must not get another one
        return Report(target="the text", host=host or Host(), findings=_tripped(fault), kind="text")


def _text_of(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception as fault:  # a foreign exception's own __str__ may raise anything
        return f"{type(error).__name__}: {fault!r}"


def _failed_import(error: BaseException) -> str:
    """The top-level package whose import an exception of this process ended, "" where it does not tell.

    Python names the module, and nobody else writes the attribute: a text has no such fact.
    """
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        name = one.name if isinstance(one, ImportError) else None
        package = name.partition(".")[0] if isinstance(name, str) else ""
        if package.isidentifier():
            return package
        one = one.__cause__ or one.__context__
    return ""


def _tripped(fault: Exception) -> tuple[Finding, ...]:
    from tfguard.case import Case
    from tfguard.loader.trace import Failure, Trace
    from tfguard.rules import judge

    failure = Failure(
        kind="tripped", rule="", message=None, path="the text", name="diagnosis", certain=False, detail=repr(fault)
    )
    trace = Trace(target="the text", lookups=(), images=(), failure=failure)
    return judge(Case(target="the text", host=Host(), trace=trace, failure=failure))


def _diagnose(text: str, host: Host | None, ignore: Collection[str], *, look: bool, failed: str) -> Report:
    from tfguard.diagnosis.issue import report_in

    reported = report_in(text)
    if reported is not None and reported.findings:
        return reported
    left_out = {code.upper() for code in ((ignore,) if isinstance(ignore, str) else ignore)}
    ready, said = reading(clean(text))
    setting = setting_of(ready)
    judged = ranked(said, setting)
    findings = _findings(judged, setting)
    if look and (judged or failed):
        from tfguard.diagnosis.on_this_machine import decided

        findings = decided(findings, judged, setting, host, failed)
    if not findings and reported is not None:
        return reported
    if not findings:
        harmless = bool(said) and all(one.weight == HARMLESS for one in said)
        findings = (_harmless(said),) if harmless else (_unknown(ready.lines),)
    kept = tuple(one for one in findings if one.code not in left_out)
    return Report(target="the text", host=host or Host(), findings=kept, kind="text")


def _findings(judged: list[Judged], setting: Setting) -> tuple[Finding, ...]:
    first = judged[0] if judged else None
    made: list[Finding] = []
    for position, one in enumerate(judged[:_MOST]):
        others = judged[1:_MOST] if position == 0 else []
        made.append(finding_of(one, setting, others, first=one is first))
    return tuple(made)


def finding_of(one: Judged, setting: Setting, others: list[Judged], *, first: bool) -> Finding:
    """The finding for a cause; only the first one is an error, and tells all there is."""
    said, cause = one
    rule = rule_of(cause.code)
    rows = [("the text says", said.line[:_SHOWN])]
    rows += (
        [
            (
                "loader",
                f"{said.loader}, {said.versions} versions"
                if said.versions == "all"
                else f"{said.loader}, {said.versions}",
            )
        ]
        if first and said.loader in ("glibc", "musl", "dyld", "bionic")
        else []
    )
    rows += [row for row in cause.rows if row[1] and row[1] not in said.line[:_SHOWN]]
    guessed = said.weight == WORDS and said.loader == "somebody"
    if guessed:
        rows.append(("because", "the text quotes no message that decides; its words point to this"))
    elif cause.why:
        rows.append(("because", cause.why))
    if first:
        rows += [("a guess", f"{guess.who} {guess.verdict}") for guess in wrappers_in(setting.whole)]
        rows += [
            ("could also be", f"{other.cause.code} {rule_of(other.cause.code).slug}: {other.cause.message}")
            for other in others
        ]
    if cause.decides is not None:
        rows += [("would decide", cause.decides[0]), ("shown by", cause.decides[1])]
    if cause.vain:
        rows.append(("does not help", cause.vain))
    return Finding(
        code=cause.code,
        slug=rule.slug,
        severity=cause.severity if first and not guessed else "warning",
        message=cause.message,
        evidence=tuple(rows),
        remedies=cause.remedies[:3]
        or (Remedy("Find out first whether it is this.", cause.decides[1] if cause.decides else None),),
    )


def _harmless(said: tuple[Said, ...]) -> Finding:
    lines = dict.fromkeys(one.line[:_SHOWN] for one in said)
    return Finding(
        code="TFG905",
        slug=rule_of("TFG905").slug,
        severity="warning",
        message="every line in this text that looks like an error is harmless",
        evidence=tuple(("harmless", line) for line in list(lines)[:6]),
        remedies=(Remedy("Look for the error below or above these lines; if the program goes on, there is none."),),
    )


def _unknown(lines: tuple[str, ...]) -> Finding:
    last = next((line for line in reversed(lines) if line), "")
    return Finding(
        code="TFG906",
        slug=rule_of("TFG906").slug,
        severity="warning",
        message="no message of a loader, of Python or of TensorFlow is recognised in this text",
        evidence=(("its last line", last[:_SHOWN]),) if last else (("the text", "is empty"),),
        remedies=(
            Remedy(
                "Give all of the output, from the first line of the traceback to the last.",
                "python your_script.py 2>&1 | python -m tfguard diagnose -",
            ),
            Remedy("Check what is installed instead.", "python -m tfguard"),
        ),
    )
