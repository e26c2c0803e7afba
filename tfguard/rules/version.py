"""Rules about symbol versions: a library that is found, and is older than what the file was built with."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import VersionNeed
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    base,
    elsewhere_rows,
    install_again,
    loader_row,
    rebuild,
    step_words,
    usable,
    without,
)

# The first GCC release whose libstdc++ has a version: the libstdc++ manual, "ABI Policy and Guidelines".
_GCC = {
    "GLIBCXX": {21: "5", 22: "6", 23: "7", 24: "7.2", 25: "8", 26: "9", 27: "9", 28: "9.3", 29: "11", 30: "12",
                31: "13", 32: "13.2", 33: "14", 34: "15"},
    "CXXABI": {9: "5", 10: "6", 11: "7", 12: "9", 13: "11", 14: "13", 15: "14", 16: "15"},
}  # fmt: skip


def _needs(case: Case, *prefixes: str) -> tuple[VersionNeed, ...]:
    """The versions missing, of one family; empty where the first one missing is of another."""
    failure = case.failure
    if failure is None or failure.kind != "version" or not failure.needs[0].version.startswith(prefixes):
        return ()
    return tuple(need for need in failure.needs if need.version.startswith(prefixes))


def _requirer(case: Case) -> str:
    return case.failure.requirer or "" if case.failure is not None else ""


def _provider(case: Case) -> str:
    return case.failure.provider or "" if case.failure is not None else ""


def _provider_step(case: Case) -> str:
    provider = _provider(case)
    lookup = next((one for one in case.trace.lookups if one.found == provider and one.attempts), None)
    return lookup.attempts[-1].step if lookup is not None else "already_loaded"


def _rows(case: Case) -> Rows:
    failure = case.failure
    if failure is None:
        return ()
    need = ", ".join(dict.fromkeys(need.version for need in failure.needs))
    highest = max(case.provided, key=_numbers, default="")
    rows = [("needed by", _requirer(case)), ("need", need)]
    if highest:
        rows.append(("have", f"up to {highest}{_of_gcc(highest)}"))
    rows += [("in", _provider(case)), ("found by", step_words(_provider_step(case)))]
    return (*rows, *elsewhere_rows(case, "better"), *loader_row(case))


def _highest(needs: tuple[VersionNeed, ...]) -> str:
    return max((need.version for need in needs), key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.rpartition("_")[2].split(".") if part.isdigit())


def _of_gcc(version: str) -> str:
    """The GCC release that a version of libstdc++ came with, in brackets."""
    family, _, number = version.partition("_")
    series, _, last = number.rpartition(".")
    known = _GCC.get(family, {}) if series in ("3.4", "1.3") and last.isdigit() else {}
    release = known.get(int(last)) if known else None
    return f" (GCC {release})" if release is not None else ""


def _preload(path: str) -> Remedy:
    return Remedy("Load the newer copy first.", f"LD_PRELOAD={shlex.quote(path)} python your_script.py")


@rule("TFG301", "The system's glibc is too old")
def glibc_too_old(case: Case) -> Verdict | None:
    """The library was built on a system with a newer glibc than this one.

    glibc cannot be replaced inside an environment: it belongs to the system together with its loader. pip checks
    this by the wheel's tag (manylinux_2_28 needs glibc 2.28), so that the file came past pip or was built elsewhere.
    """
    needs = _needs(case, "GLIBC_")
    have = ".".join(map(str, case.host.version))
    # GLIBC_ABI_DT_RELR has no number: it came with 2.36
    need = max((_numbers(one.version) or (2, 36) for one in needs), default=())
    if not needs or need[:2] <= case.host.version:
        return None
    own = case.is_op and _requirer(case) == case.target
    again = install_again(case, "pip takes the build for this system's glibc, where there is one")
    build = rebuild(case, "Build it on this system") if own else None
    return Verdict(
        message=f"{base(_requirer(case))} needs glibc {'.'.join(map(str, need))}, this system has {have}",
        path=_requirer(case),
        evidence=(*_rows(case), *((("system", case.system),) if case.system else ())),
        remedies=(
            build or again or Remedy("Use a build for an older system (a manylinux wheel), or build it here."),
            Remedy("Use a newer system, or a container image of one; libc.so.6 alone cannot be exchanged."),
        ),
    )


@rule("TFG304", "An older copy of a library is found first")
def older_library_first(case: Case) -> Verdict | None:
    """The library that provides the versions is found in an older copy, while a newer one is on this machine.

    Whoever loads a library first decides for the whole process: a copy on LD_LIBRARY_PATH wins over the system's,
    and a copy loaded earlier (by another module, by ctypes) wins over everything.
    """
    failure, better = case.failure, usable(case)
    if failure is None or failure.kind not in ("version", "version-table") or better is None:
        return None
    step = _provider_step(case)
    preload = _preload(better.path)
    if step == "ld_library_path":
        how = "LD_LIBRARY_PATH leads to it"
        folder = os.path.dirname(_provider(case))
        remedies: tuple[Remedy, ...] = (Remedy(f"Leave {folder} out of LD_LIBRARY_PATH.", without(case, folder)),)
    elif step == "already_loaded":
        how = "it is loaded already"
        what = f"Import {case.distribution}" if case.distribution is not None else f"Load {base(case.target)}"
        remedies = (Remedy(f"{what} before the module that loads the older copy."), preload)
    elif step in ("rpath", "runpath"):
        how = f"{step.upper()} of {base(_requirer(case))} leads to it"
        remedies = (preload,)
    else:
        return None
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

    GLIBCXX versions are those of libstdc++.so.6, and each GCC release adds some. A newer libstdc++ serves older
    libraries as well, so that the newest one at hand is the right one for all.
    """
    return _cxx_library_too_old(case, _needs(case, "GLIBCXX_"))


@rule("TFG303", "The C++ support library is too old")
def cxxabi_too_old(case: Case) -> Verdict | None:
    """As TFG302, for the part of libstdc++ that the CXXABI versions number.

    It holds what the compiler itself calls: exceptions, run-time types, new and delete.
    """
    return _cxx_library_too_old(case, _needs(case, "CXXABI_"))


def _cxx_library_too_old(case: Case, needs: tuple[VersionNeed, ...]) -> Verdict | None:
    if not needs:
        return None
    need, better = _highest(needs), usable(case)
    remedies: list[Remedy] = [_preload(better.path)] if better is not None else []
    if case.conda is not None:
        command = f"conda install -p {shlex.quote(case.conda)} -c conda-forge libstdcxx-ng"
        remedies.append(Remedy("Bring the environment's own libstdc++ up to date.", command))
    if case.is_op and _requirer(case) == case.target:
        remedies.append(rebuild(case, "Build it with this system's compiler"))
    elif case.conda is None:
        remedies.append(Remedy("Use a build for an older system (a manylinux wheel), or build it here."))
    remedies.append(Remedy("Use a newer release of the system, or a container image of one."))
    return Verdict(
        message=f"{base(_requirer(case))} needs {need}{_of_gcc(need)}, which {_provider(case)} does not have",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=tuple(remedies),
    )


@rule("TFG305", "A library lacks a version that is needed")
def version_missing(case: Case) -> Verdict | None:
    """The library that was found does not define a symbol version that the file was linked with.

    It is of another release than the one at build time, or another project's library of the same name.
    """
    failure = case.failure
    if failure is None or failure.kind != "version":
        return None
    provider, step = _provider(case), _provider_step(case)
    remedies: list[Remedy] = []
    if step == "ld_library_path":
        folder = os.path.dirname(provider)
        remedies.append(Remedy(f"Leave {folder} out of LD_LIBRARY_PATH.", without(case, folder)))
    better = usable(case)
    if better is not None and step != "ld_library_path":
        remedies.append(Remedy("Load the copy that has it first.", _preload(better.path).command))
    remedies.append(Remedy(f"Use the release of {failure.name} that {base(_requirer(case))} was built with."))
    return Verdict(
        message=f"{base(_requirer(case))} needs {failure.needs[0].version} of {failure.name},"
        f" which {provider} does not have",
        path=_requirer(case),
        evidence=_rows(case),
        remedies=tuple(remedies),
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
    if failure.provider is not None:
        rows = _rows(case)
        remedy = Remedy(f"Put the {failure.name} in its place that {base(_requirer(case))} was built with.")
    else:
        rows = (("file", failure.path), ("have", failure.detail), *loader_row(case))
        remedy = Remedy("Build it again; where patchelf was used, use a current release of it.")
    return Verdict(
        message=f"loading {base(failure.requirer or failure.path)} ends the process: {failure.detail}",
        path=failure.path,
        evidence=rows,
        remedies=(install_again(case, "its version tables are damaged") or remedy,),
    )


@rule("TFG307", "Packed relocations without their mark")
def unmarked_relative_relocations(case: Case) -> Verdict | None:
    """The library has DT_RELR relocations and does not need the version GLIBC_ABI_DT_RELR.

    glibc 2.36 and later refuse it: the version is what keeps older ones, which would skip these relocations, from
    loading it. Linkers add it with -z pack-relative-relocs; with --pack-dyn-relocs=relr LLD does not.
    """
    failure = case.failure
    if failure is None or failure.kind != "relr":
        return None
    flags = "-Wl,-z,pack-relative-relocs in place of -Wl,--pack-dyn-relocs=relr"
    return Verdict(
        message=f"{base(failure.path)} has DT_RELR relocations and does not need GLIBC_ABI_DT_RELR",
        evidence=(("file", failure.path), ("have", "DT_RELR"), ("need", "version GLIBC_ABI_DT_RELR of libc.so.6"),
                  *loader_row(case)),
        remedies=(Remedy(f"Link it with {flags}."),),
    )  # fmt: skip


RULES = (
    older_library_first,
    glibc_too_old,
    glibcxx_too_old,
    cxxabi_too_old,
    version_missing,
    broken_version_information,
    unmarked_relative_relocations,
)
