"""The table of all rules, in the order in which they are asked: the first that recognises a case names the cause."""

from __future__ import annotations

from tfguard.case import Case
from tfguard.finding import Finding
from tfguard.rules import (
    content,
    file,
    gpu,
    gpu_driver,
    guarding,
    installation,
    machine,
    macos,
    macos_needed,
    mapping,
    musl,
    needed,
    plugin,
    process,
    processor,
    requirements,
    symbol,
    told,
    version,
)
from tfguard.rules.rule import Rule

_FAMILIES = (processor, process, plugin, machine, file, content, mapping, gpu_driver, needed, version, symbol)

CAUSES: tuple[Rule, ...] = (
    *(one for family in _FAMILIES for one in family.RULES),
    installation.wheel_of_another_platform,  # a wheel that is not installed yet
    *guarding.RULES,
)
INSTALLATION: tuple[Rule, ...] = (*installation.RULES, *requirements.RULES)
WARNINGS: tuple[Rule, ...] = (*file.WARNINGS, *symbol.WARNINGS, *guarding.WARNINGS)
# On a Mac another loader decides, and of the causes above only those about plugins and about tfguard itself hold.
CAUSES_ON_MAC: tuple[Rule, ...] = (*plugin.RULES, *macos_needed.RULES, *macos.RULES, *guarding.RULES)
WARNINGS_ON_MAC: tuple[Rule, ...] = (*macos_needed.WARNINGS, *macos.WARNINGS, *guarding.WARNINGS)
CAUSES_ON_MUSL: tuple[Rule, ...] = (*musl.RULES, *CAUSES)
GPU: tuple[Rule, ...] = gpu.RULES
ALL: tuple[Rule, ...] = (*CAUSES, *musl.RULES, *INSTALLATION, *WARNINGS, *CAUSES_ON_MAC, *WARNINGS_ON_MAC, *GPU)
RULES: tuple[Rule, ...] = tuple(sorted({one.code: one for one in ALL + told.RULES}.values(), key=lambda one: one.code))


def judge(case: Case) -> tuple[Finding, ...]:
    """The finding for a failed load, or the warnings for one that goes well.

    All that is wrong where the case is an installation, or a GPU stack.
    """
    if case.installed is not None:
        if case.installed.package is None:  # one cause: in another Python, not to be had for this one, not installed
            return _first(INSTALLATION, case)
        return _all(INSTALLATION, case)
    on_mac = case.host.mac is not None
    if case.failure is not None:
        if case.host.loader == "musl":
            return _first(CAUSES_ON_MUSL, case)
        return _first(CAUSES_ON_MAC if on_mac else CAUSES, case)
    if case.gpu is not None:
        return _all(GPU, case)
    return _all(WARNINGS_ON_MAC if on_mac else WARNINGS, case)


def _first(rules: tuple[Rule, ...], case: Case) -> tuple[Finding, ...]:
    return next(((finding,) for one in rules if (finding := one.judge(case)) is not None), ())


def _all(rules: tuple[Rule, ...], case: Case) -> tuple[Finding, ...]:
    return tuple(finding for one in rules if (finding := one.judge(case)) is not None)


def explain(code: str) -> str:
    """The long explanation of a code: title, then the text of its page. Raises KeyError for an unknown code."""
    wanted = code.upper()
    for one in RULES:
        if wanted in (one.code, one.slug.upper()):
            return f"{one.code} {one.slug}: {one.title}\n\n{one.explanation}\n"
    raise KeyError(code)


def rule_of(code: str) -> Rule:
    """The rule of a code. Raises KeyError for an unknown code."""
    for one in RULES:
        if one.code == code:
            return one
    raise KeyError(code)
