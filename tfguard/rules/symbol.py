"""Rules about undefined symbols: the causes that one loader message stands for, told apart."""

from __future__ import annotations

import os

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.mangling.readable import readable
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import Rows, base, loader_row, needed_by, rebuild
from tfguard.twins import abseil_releases

_SHOWN = 4


def _symbols(case: Case) -> bool:
    return case.failure is not None and case.failure.kind == "symbol"


def _rows(case: Case, *more: tuple[str, str]) -> Rows:
    failure = case.failure
    if failure is None:
        return ()
    names = [readable(one.name) for one in failure.references]
    count = len(names)
    rows = [("file", os.path.normpath(failure.path)), ("undefined", f"{count} symbol{'s' if count > 1 else ''}")]
    rows += [("", name) for name in names[:_SHOWN]]
    if count > _SHOWN:
        rows.append(("", f"and {count - _SHOWN} more"))
    return (*needed_by(case), *rows, *more, *loader_row(case))


def _tensorflow(case: Case) -> str:
    return f"TensorFlow {case.framework}" if case.framework else "the installed TensorFlow"


@rule("TFG501", "Built with the other C++ ABI")
def other_cxx_abi(case: Case) -> Verdict | None:
    """The op was compiled with the other value of _GLIBCXX_USE_CXX11_ABI than TensorFlow.

    Functions that take or return std::string have another name then. TensorFlow exports the twin with the other
    spelling. Ask the installed TensorFlow for its flags (tf.sysconfig.get_compile_flags()); no fixed value is right
    for all builds of TensorFlow.
    """
    twin = next((one for one in case.twins if one.difference == "C++ ABI"), None)
    if not _symbols(case) or twin is None or case.failure is None:
        return None
    new = b"cxx11" in twin.name
    have, need = ("0", "1") if new else ("1", "0")
    return Verdict(
        message=f"{base(case.failure.path)} is built with _GLIBCXX_USE_CXX11_ABI={have},"
        f" {_tensorflow(case)} with {need}",
        evidence=_rows(case, ("exported instead", readable(twin.name)), ("by", os.path.normpath(twin.provider))),
        remedies=(rebuild(case, "Build it again with the flags of this TensorFlow"),),
    )


@rule("TFG502", "Built for another release of TensorFlow")
def other_tensorflow_version(case: Case) -> Verdict | None:
    """The op uses functions that this TensorFlow does not have, or has with other parameters.

    TensorFlow's C++ interface changes with each minor release, and the Abseil it exports carries its release in
    every name (lts_...). An op loads only into the minor release that it was built for.
    """
    if not _symbols(case) or case.failure is None:
        return None
    twin = next((one for one in case.twins if one.difference in ("Abseil release", "parameters")), None)
    names = [one.name for one in case.failure.references]
    foreign = any(_is_tensorflows(name) for name in names)
    if not foreign or (twin is None and not case.needs_framework):
        return None
    wanted = sorted({tag for name in names for tag in abseil_releases(name)})
    more: list[tuple[str, str]] = []
    if wanted:
        more.append(("built with Abseil", ", ".join(wanted)))
    if twin is not None:
        has = ", ".join(abseil_releases(twin.name))
        if has:
            more.append(("this one exports", has))
        more.append(("exported instead", readable(twin.name)))
    return Verdict(
        message=f"{base(case.failure.path)} is built for another release than {_tensorflow(case)}",
        evidence=_rows(case, *more),
        remedies=(
            rebuild(case, "Build it again for this TensorFlow"),
            Remedy("Install the TensorFlow release that it was built for (its own metadata names it)."),
        )
        if case.is_op
        else (Remedy("Install files of one TensorFlow release only: these come from two."),),
    )


def _is_tensorflows(name: bytes) -> bool:
    parts = (b"10tensorflow", b"3tsl", b"4absl", b"6google8protobuf", b"3xla", b"4mlir", b"4llvm", b"15stream_executor")
    return name.startswith((b"TF_", b"TFE_", b"TSL_")) or any(part in name for part in parts)


@rule("TFG503", "Not linked against TensorFlow")
def not_linked_to_framework(case: Case) -> Verdict | None:
    """The op uses symbols of libtensorflow_framework and does not name that library among its needed ones.

    Up to TensorFlow 2.18 the framework is loaded with RTLD_LOCAL, so an op sees it only through its own DT_NEEDED.
    TensorFlow 2.20 and later open themselves with RTLD_GLOBAL: such an op loads there, and fails when it is used
    with an older release.
    """
    failure = case.failure
    remedy = rebuild(case, "Link it with the flags that TensorFlow gives")
    if failure is None:
        if not case.is_op or not case.needs_framework:
            return None
        return Verdict(
            message=f"{base(case.target)} is not linked against libtensorflow_framework; this release loads it all"
            " the same",
            path=case.target,
            evidence=(("file", case.target), ("TensorFlow", case.framework or "")),
            remedies=(remedy,),
            severity="warning",
        )
    if not _symbols(case) or case.needs_framework or not case.exported_by_framework:
        return None
    return Verdict(
        message=f"{base(failure.path)} is not linked against libtensorflow_framework",
        evidence=_rows(case, ("needed libraries", ", ".join(case.others_needed) or "none")),
        remedies=(remedy,),
    )


@rule("TFG504", "Built for another Python")
def built_for_another_python(case: Case) -> Verdict | None:
    """The module uses functions of CPython's C interface that this interpreter does not have.

    A module built for one Python minor version does not load into another, unless it keeps to the stable interface
    (abi3). Renamed wheels and PYTHONPATH pointing to another Python's site-packages lead here.
    """
    if not _symbols(case) or case.failure is None:
        return None
    python = [one for one in case.failure.references if one.name.startswith((b"Py", b"_Py"))]
    if not python:
        return None
    return Verdict(
        message=f"{base(case.failure.path)} is built for another Python than {os.path.basename(case.host.executable)}",
        evidence=_rows(case, ("interpreter", case.host.executable)),
        remedies=(Remedy("Install the package with this interpreter's own pip."),),
    )


@rule("TFG505", "Another copy of a library is found first")
def other_library_first(case: Case) -> Verdict | None:
    """The library that should define the symbol is found in another copy, which does not.

    LD_LIBRARY_PATH beats RUNPATH, and a library that is loaded already beats both.
    """
    failure = case.failure
    if not _symbols(case) or failure is None:
        return None
    files = {one.need.file for one in failure.references if one.need is not None}
    for lookup in case.trace.lookups:
        attempt = lookup.attempts[-1] if lookup.attempts else None
        if attempt is None or lookup.found is None or attempt.step != "ld_library_path":
            continue
        ours = base(lookup.name).startswith("libtensorflow") and any(
            _is_tensorflows(one.name) for one in failure.references
        )
        if lookup.name in files or ours:
            return Verdict(
                message=f"{lookup.name} is taken from LD_LIBRARY_PATH ({os.path.dirname(lookup.found)}) and lacks"
                " what is needed of it",
                path=lookup.found,
                evidence=_rows(case, ("taken", lookup.found), ("found by", "LD_LIBRARY_PATH")),
                remedies=(
                    Remedy("Start Python without LD_LIBRARY_PATH.", "env -u LD_LIBRARY_PATH python your_script.py"),
                ),
            )
    return None


@rule("TFG506", "A symbol is missing from its own build")
def symbol_missing(case: Case) -> Verdict | None:
    """The library refers to a symbol that none of its libraries defines, and that is not TensorFlow's.

    An object file was left out of the link (often the one made from a .cu file), or a library was not named.
    """
    if not _symbols(case) or case.failure is None:
        return None
    first = case.failure.references[0]
    return Verdict(
        message=f"{base(case.failure.path)} refers to {readable(first.name)}, which no library defines",
        evidence=_rows(case, ("needed libraries", ", ".join(case.others_needed) or "none")),
        remedies=(Remedy("Add the object file or library that defines it to the link command."),),
    )


RULES = (
    other_library_first,
    built_for_another_python,
    not_linked_to_framework,
    other_cxx_abi,
    other_tensorflow_version,
    symbol_missing,
)
WARNINGS = (not_linked_to_framework,)
