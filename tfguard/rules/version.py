"""Rules about symbol versions: a library that is found, and is older than what the file was built with."""

from __future__ import annotations

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import VersionNeed
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import Rows, base, loader_row, step_words


def _needs(case: Case, *prefixes: str) -> tuple[VersionNeed, ...]:
    failure = case.failure
    if failure is None or failure.kind != "version":
        return ()
    first = failure.needs[0]
    return failure.needs if first.version.startswith(prefixes) else ()


def _provider_step(case: Case) -> str:
    failure = case.failure
    if failure is None:
        return ""
    lookup = next((one for one in case.trace.lookups if one.found == failure.provider and one.attempts), None)
    return lookup.attempts[-1].step if lookup is not None else "already_loaded"


def _rows(case: Case) -> Rows:
    failure = case.failure
    if failure is None:
        return ()
    step = _provider_step(case)
    rows = [
        ("needed by", failure.requirer or ""),
        ("need", ", ".join(dict.fromkeys(need.version for need in failure.needs))),
        ("have", failure.provider or ""),
        ("found by", step_words(step)),
    ]
    rows += [("better" if not i else "", f"{one.path}: {one.why_not}") for i, one in enumerate(case.elsewhere)]
    return (*rows, *loader_row(case))


def _highest(needs: tuple[VersionNeed, ...]) -> str:
    return max((need.version for need in needs), key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.rpartition("_")[2].split(".") if part.isdigit())


@rule("TFG301", "The system's glibc is too old")
def glibc_too_old(case: Case) -> Verdict | None:
    """The library was built on a system with a newer glibc than this one.

    glibc cannot be replaced inside an environment: it belongs to the system together with its loader.
    """
    needs = _needs(case, "GLIBC_")
    if not needs:
        return None
    have = ".".join(map(str, case.host.version))
    requirer = base(case.failure.requirer or "") if case.failure is not None else ""
    return Verdict(
        message=f"{requirer} needs {_highest(needs)}, this system has glibc {have}",
        path=case.failure.requirer if case.failure is not None else None,
        evidence=(*_rows(case), *((("system", case.system),) if case.system else ())),
        remedies=(
            Remedy("Use a build for an older system (a manylinux wheel), or build it here."),
            Remedy("Use a newer system or container; do not replace libc.so.6."),
        ),
    )


@rule("TFG304", "An older copy of a library is found first")
def older_library_first(case: Case) -> Verdict | None:
    """The library that provides the versions is found in an older copy, while a newer one is on this machine.

    Whoever loads a library first decides for the whole process: a copy on LD_LIBRARY_PATH wins over the system's,
    and a copy loaded earlier (by another module, by ctypes) wins over everything.
    """
    failure = case.failure
    if failure is None or failure.kind not in ("version", "version-table") or not case.elsewhere:
        return None
    step = _provider_step(case)
    if step not in ("ld_library_path", "already_loaded", "rpath", "runpath"):
        return None
    better = case.elsewhere[0].path
    if step == "ld_library_path":
        how = "LD_LIBRARY_PATH leads to it"
        remedies: tuple[Remedy, ...] = (
            Remedy("Start Python without LD_LIBRARY_PATH.", "env -u LD_LIBRARY_PATH python your_script.py"),
        )
    elif step == "already_loaded":
        how = "it is loaded already"
        remedies = (
            Remedy(f"Import {base(case.target)} before what loads the older copy."),
            Remedy("Load the newer copy first.", f"LD_PRELOAD={better} python your_script.py"),
        )
    else:
        how = f"{step.upper()} of {base(failure.requirer or '')} leads to it"
        remedies = (Remedy("Load the newer copy first.", f"LD_PRELOAD={better} python your_script.py"),)
    what = ", ".join(dict.fromkeys(need.version for need in failure.needs[:3]))
    return Verdict(
        message=f"an older {base(failure.name)} without {what} comes first: {how}",
        path=failure.provider,
        evidence=_rows(case),
        remedies=remedies,
    )


@rule("TFG302", "The C++ library is too old")
def glibcxx_too_old(case: Case) -> Verdict | None:
    """The library was built with a newer GCC than the libstdc++ that the loader finds belongs to.

    GLIBCXX versions are those of libstdc++.so.6. A newer libstdc++ serves older libraries as well.
    """
    needs = _needs(case, "GLIBCXX_")
    return _cxx_library_too_old(case, needs) if needs else None


@rule("TFG303", "The C++ support library is too old")
def cxxabi_too_old(case: Case) -> Verdict | None:
    """As TFG302, for the part of libstdc++ that the CXXABI versions number."""
    needs = _needs(case, "CXXABI_")
    return _cxx_library_too_old(case, needs) if needs else None


def _cxx_library_too_old(case: Case, needs: tuple[VersionNeed, ...]) -> Verdict:
    failure = case.failure
    requirer = base(failure.requirer or "") if failure is not None else ""
    remedies = [
        Remedy("Install a newer libstdc++ in a conda environment.", "conda install -c conda-forge libstdcxx-ng")
    ]
    if case.installer == "apt-get":
        remedies.insert(0, Remedy("Use a newer release of the system, whose libstdc++6 has it."))
    return Verdict(
        message=f"{requirer} needs {_highest(needs)}, which {failure.provider if failure else ''} does not have",
        path=failure.requirer if failure is not None else None,
        evidence=_rows(case),
        remedies=tuple(remedies),
    )


@rule("TFG305", "A library lacks a version that is needed")
def version_missing(case: Case) -> Verdict | None:
    """The library that was found does not define a symbol version that the file was linked with."""
    failure = case.failure
    if failure is None or failure.kind != "version":
        return None
    return Verdict(
        message=f"{base(failure.requirer or '')} needs {failure.needs[0].version} of {failure.name},"
        " which the file found does not have",
        path=failure.requirer,
        evidence=_rows(case),
        remedies=(Remedy(f"Use the release of {failure.name} that {base(failure.requirer or '')} was built with."),),
    )


@rule("TFG306", "Version information that ends the process")
def broken_version_information(case: Case) -> Verdict | None:
    """The file's version tables contradict what it needs, and glibc answers with an assertion that ends the process.

    It happens when a needed library was removed or renamed with an old patchelf, or when a library that should have
    versions was replaced by one built without them.
    """
    failure = case.failure
    if failure is None or failure.kind not in ("version-without-library", "version-table"):
        return None
    return Verdict(
        message=f"loading {base(failure.requirer or failure.path)} ends the process: {failure.detail}",
        path=failure.path,
        evidence=_rows(case),
        remedies=(Remedy("Build it again; where patchelf was used, use a current release of it."),),
    )


RULES = (
    older_library_first,
    glibc_too_old,
    glibcxx_too_old,
    cxxabi_too_old,
    version_missing,
    broken_version_information,
)
