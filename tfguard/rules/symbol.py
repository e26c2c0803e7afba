"""Rules about undefined symbols: the causes that one loader message stands for, told apart."""

from __future__ import annotations

import os
import re
import shlex

from tfguard.case import Case
from tfguard.evidence.twins import abseil_releases
from tfguard.finding import Remedy
from tfguard.loader.trace import Failure
from tfguard.mangling.readable import readable
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    base,
    elsewhere_rows,
    install_again,
    loader_row,
    needed_by,
    rebuild,
    step_words,
    usable,
    without,
)

_SHOWN = 4


def _undefined(case: Case) -> Failure | None:
    return case.failure if case.failure is not None and case.failure.kind == "symbol" else None


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
    return f"TensorFlow {case.framework}" if case.framework else "the TensorFlow loaded here"


def _is_tensorflows(name: bytes) -> bool:
    parts = (b"10tensorflow", b"3tsl", b"4absl", b"6google8protobuf", b"3xla", b"4mlir", b"4llvm", b"15stream_executor")
    return name.startswith((b"TF_", b"TFE_", b"TSL_")) or any(part in name for part in parts)


@rule("TFG501", "Built with the other C++ ABI")
def other_cxx_abi(case: Case) -> Verdict | None:
    """The op was compiled with the other value of _GLIBCXX_USE_CXX11_ABI than TensorFlow.

    Functions that take or return std::string have another name then. TensorFlow exports the twin with the other
    spelling. Ask the installed TensorFlow for its flags (tf.sysconfig.get_compile_flags()); no fixed value is right
    for all builds of TensorFlow.
    """
    twin = next((one for one in case.twins if one.difference == "C++ ABI"), None)
    failure = _undefined(case)
    if failure is None or twin is None:
        return None
    new = b"cxx11" in twin.name
    have, need = ("0", "1") if new else ("1", "0")
    return Verdict(
        message=f"{base(failure.path)} is built with _GLIBCXX_USE_CXX11_ABI={have}, {_tensorflow(case)} with {need}",
        evidence=_rows(
            case,
            ("have", f"_GLIBCXX_USE_CXX11_ABI={have}"),
            ("need", f"_GLIBCXX_USE_CXX11_ABI={need}"),
            ("exported instead", readable(twin.name)),
            ("by", os.path.normpath(twin.provider)),
        ),
        remedies=_build_again(case, "Build it again with the flags of this TensorFlow"),
    )


def _build_again(case: Case, why: str) -> tuple[Remedy, ...]:
    """Build the op again, or have the package that it came with built again."""
    if case.origin is None:
        return (rebuild(case, why),)
    name = case.origin.distribution
    return (Remedy(f"Use a release of {name} that was built for this TensorFlow: its own pages say which."),)


@rule("TFG502", "Built for another release of TensorFlow")
def other_tensorflow_version(case: Case) -> Verdict | None:
    """The op uses functions that this TensorFlow does not have, or has with other parameters.

    TensorFlow's C++ interface changes with each minor release, and the Abseil it exports carries its release in
    every name (lts_...). An op loads only into the minor release that it was built for.
    """
    failure = _undefined(case)
    if failure is None:
        return None
    twin = next((one for one in case.twins if one.difference in ("Abseil release", "parameters")), None)
    names = [one.name for one in failure.references]
    if not any(_is_tensorflows(name) for name in names) or (twin is None and not case.needs_framework):
        return None
    wanted = sorted({tag for name in names for tag in abseil_releases(name)})
    more: list[tuple[str, str]] = []
    if wanted:
        more.append(("built with Abseil", ", ".join(wanted)))
    if twin is not None:
        if has := ", ".join(abseil_releases(twin.name)):
            more.append(("this one exports", has))
        more.append(("exported instead", readable(twin.name)))
    if case.is_op:
        release = "the TensorFlow release that it was built for (its author or its metadata names it)"
        remedies = (*_build_again(case, "Build it again for this TensorFlow"), Remedy(f"Install {release}."))
    else:
        again = install_again(case, "files of two TensorFlow releases lie in one folder")
        remedies = (again or Remedy("Use files of one TensorFlow release only: these come from two."),)
    return Verdict(
        message=f"{base(failure.path)} is built for another release than {_tensorflow(case)}",
        evidence=_rows(case, *more),
        remedies=remedies,
    )


@rule("TFG503", "Not linked against TensorFlow")
def not_linked_to_framework(case: Case) -> Verdict | None:
    """The op uses symbols of libtensorflow_framework and does not name that library among its needed ones.

    Up to TensorFlow 2.18 the framework is loaded with RTLD_LOCAL, so an op sees it only through its own DT_NEEDED.
    TensorFlow 2.20 and later open themselves with RTLD_GLOBAL: such an op loads there, and fails when it is used
    with an older release.
    """
    failure = case.failure
    remedies = _build_again(case, "Link it with the flags that TensorFlow gives")
    if failure is None:
        if not case.is_op or not case.needs_framework:
            return None
        return Verdict(
            message=f"{base(case.target)} is not linked against libtensorflow_framework; this release loads it all"
            " the same",
            path=case.target,
            evidence=(("file", case.target), ("TensorFlow", case.framework or "")),
            remedies=remedies,
            severity="warning",
        )
    if _undefined(case) is None or case.needs_framework:
        return None
    of_no_one_loaded = not case.framework_loaded and any(_is_tensorflows(one.name) for one in failure.references)
    if not case.exported_by_framework and not of_no_one_loaded:
        return None
    return Verdict(
        message=f"{base(failure.path)} is not linked against libtensorflow_framework",
        evidence=_rows(
            case,
            ("have", f"needed libraries: {', '.join(case.others_needed) or 'none'}"),
            ("need", "libtensorflow_framework.so.2 among them"),
        ),
        remedies=remedies,
    )


_BUILT_FOR = re.compile(r"\.(?:cpython-|pypy)(\d)(\d+)[a-z]*-")


@rule("TFG504", "Built for another Python")
def built_for_another_python(case: Case) -> Verdict | None:
    """The module uses functions of CPython's C interface that this interpreter does not have.

    A module built for one Python minor version does not load into another, unless it keeps to the stable interface
    (abi3). Renamed wheels and PYTHONPATH pointing to another Python's site-packages lead here.
    """
    failure = _undefined(case)
    if failure is None or not any(one.name.startswith((b"Py", b"_Py")) for one in failure.references):
        return None
    tag = _BUILT_FOR.search(base(failure.path))
    have = f"Python {tag[1]}.{tag[2]}" if tag is not None else "another Python"
    if have == f"Python {case.python}":
        have = "another build of Python"
    again = install_again(case, "this interpreter's pip takes the build for it")
    remedies = (again,) if again is not None else (Remedy(f"Build it with the headers of Python {case.python}."),)
    return Verdict(
        message=f"{base(failure.path)} is built for {have}, this is Python {case.python}",
        evidence=_rows(case, ("have", have), ("need", f"Python {case.python} ({case.host.executable})")),
        remedies=(*remedies, Remedy("Look for a folder of another Python on PYTHONPATH.", "echo $PYTHONPATH")),
    )


@rule("TFG505", "Another copy of a library is found first")
def other_library_first(case: Case) -> Verdict | None:
    """The library that should define the symbol is found in another copy, which does not.

    LD_LIBRARY_PATH beats RUNPATH and ld.so.cache, and a library that is loaded already beats all of them: whoever
    comes first decides for the whole process.
    """
    failure, better = _undefined(case), usable(case)
    if failure is None:
        return None
    for lookup in case.trace.lookups:
        attempt = lookup.attempts[-1] if lookup.attempts else None
        if attempt is None or lookup.found is None:
            continue
        has_better = better is not None and base(better.path) == base(lookup.name)
        if not has_better and (attempt.step != "ld_library_path" or not _should_define(lookup.name, failure)):
            continue
        found_by = step_words(attempt.step)
        how = "is loaded already" if attempt.step == "already_loaded" else f"is found by {found_by}"
        remedies: list[Remedy] = []
        if attempt.step == "ld_library_path":
            folder = os.path.dirname(lookup.found)
            remedies.append(Remedy(f"Leave {folder} out of LD_LIBRARY_PATH.", without(case, folder)))
        elif better is not None:
            command = f"LD_PRELOAD={shlex.quote(better.path)} python your_script.py"
            remedies.append(Remedy("Load the copy that defines it first.", command))
        first = failure.references[0]
        return Verdict(
            message=f"the {base(lookup.name)} that {how} does not define {_short(first.name)}: {lookup.found}",
            path=lookup.found,
            evidence=_rows(case, ("taken", lookup.found), ("found by", found_by), *elsewhere_rows(case, "better")),
            remedies=tuple(remedies),
        )
    return None


def _should_define(name: str, failure: Failure) -> bool:
    """Whether the missing symbols are wanted of the library of this name."""
    if any(one.need is not None and one.need.file == name for one in failure.references):
        return True
    return base(name).startswith("libtensorflow") and any(_is_tensorflows(one.name) for one in failure.references)


def _short(name: bytes) -> str:
    """A readable name for the first line: without its parameters where they make it long."""
    text = readable(name)
    return text if len(text) <= 60 else text.partition("(")[0]


_CUDA = re.compile(rb"_{0,2}cuda[A-Z]|cu[A-Z]|cublas|cudnn|cusolver|cusparse|cufft|curand|nccl")
_KERNEL = re.compile(rb"(?i)kernel|launch|functor")


@rule("TFG506", "A symbol is missing from its own build")
def symbol_missing(case: Case) -> Verdict | None:
    """The library refers to a symbol that none of its libraries defines, and that is not TensorFlow's.

    An object file was left out of the link (often the one made from a .cu file), or a library was not named, or the
    library that is found is of another release than the one at build time. The linker says nothing of it unless it is
    given -Wl,-z,defs.
    """
    failure = _undefined(case)
    if failure is None:
        return None
    first = failure.references[0]
    owner = first.need.file if first.need is not None else None
    found = next((one.found for one in case.trace.lookups if one.name == owner), None)
    rows = [("needed libraries", ", ".join(case.others_needed) or "none")]
    if found is not None:
        rows.append(("expected in", f"{owner}, found as {found}"))
    if owner is not None:
        remedy = Remedy(f"Use the release of {owner} that {base(failure.path)} was built with.")
    elif _CUDA.match(first.name):
        remedy = Remedy("Link it with the CUDA runtime of the nvcc that compiled it: -lcudart, found with -L.")
    elif any(_KERNEL.search(one.name) for one in failure.references):
        remedy = Remedy("Add the object file that defines it to the link command: that of the .cu file, most often.")
    else:
        remedy = Remedy("Add the object file or library that defines it to the link command.")
    again = install_again(case, "its files may come from two releases") if owner is None else None
    lacks = f", which {owner} does not define" if owner is not None else ", which no library defines"
    return Verdict(
        message=f"{base(failure.path)} refers to {_short(first.name)}{lacks}",
        evidence=_rows(case, *rows),
        remedies=(again or remedy, *(() if again is not None else _find_all(case))),
    )


def _find_all(case: Case) -> tuple[Remedy, ...]:
    """Have the linker name every such symbol, for who builds the library."""
    return (Remedy("Have the linker name all such symbols: link with -Wl,-z,defs."),) if case.is_op else ()


RULES = (
    other_library_first,
    built_for_another_python,
    not_linked_to_framework,
    other_cxx_abi,
    other_tensorflow_version,
    symbol_missing,
)
WARNINGS = (not_linked_to_framework,)
