"""Rules about loads that musl's loader refuses and glibc's would not: builds for the other C library (Alpine)."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, loader_row, needed_by, path_of, rebuild

# Libraries that a build for glibc needs and that musl's world has not, or not by this name (ld-so.md M-40, M-43).
_OF_GLIBC = ("ld-linux", "ld64.so", "libgcc_s.so", "libstdc++.so", "libcrypt.so", "libnsl.so", "libresolv.so",
             "libanl.so", "libmvec.so")  # fmt: skip
_REFUSED = ("symbol", "relocation-type", "dynamic-tls", "module-for-glibc")


@rule("TFG210", "Built for glibc, and this system has musl")
def glibc_library_on_musl(case: Case) -> Verdict | None:
    """The library was built against glibc (a manylinux wheel, or a file copied from Debian), and musl runs here.

    Alpine Linux and images made from it have another C library than nearly all other systems. musl takes glibc's
    libc.so.6 for itself, so that such a file may come a long way before it fails: over ld-linux-x86-64.so.2 or another
    library that only glibc's world has, or over a function that musl does not have. Python itself does not even try
    a module whose name ends in -linux-gnu.so. pip never installs a manylinux wheel here: it comes with a virtual
    environment, or with an image stage, that was made on another system. TensorFlow publishes no wheels for musl.
    """
    failure = case.failure
    if failure is None or not case.glibc:
        return None
    if failure.kind == "missing":
        if not os.path.basename(failure.name).startswith(_OF_GLIBC):
            return None
        why: tuple[tuple[str, str], ...] = (("lacks", f"{failure.name} is in none of the places musl looks"),)
    elif failure.kind in _REFUSED:
        passed_over = failure.kind == "module-for-glibc"
        why = (("Python here", "does not try names that end in -linux-gnu.so"),) if passed_over else ()
    else:
        return None
    name = base(failure.requirer or path_of(case) or case.target)
    rows = (
        ("file", failure.requirer or path_of(case)),
        ("have", f"a build for glibc ({', '.join(case.glibc)})"),
        ("need", "a build for musl (a musllinux wheel)"),
        *why,
        *loader_row(case),
    )
    return Verdict(
        message=f"{name} is built for glibc, this Python runs on musl",
        path=failure.requirer or failure.path,
        evidence=rows,
        remedies=_another_build(case, name),
    )


def _another_build(case: Case, name: str) -> tuple[Remedy, ...]:
    python = case.python or "3"
    image = Remedy(f"Use an image with glibc: FROM python:{python}-slim in place of python:{python}-alpine.")
    if case.framework is not None or case.is_op:
        return (image,)
    distribution = case.origin.distribution if case.origin is not None else case.distribution
    if distribution is None:
        return (Remedy(f"Build {name} on this system, or get the build of it for musl."), image)
    words = [case.host.executable, "-m", "pip", "install", "--force-reinstall", "--no-cache-dir", distribution]
    command = shlex.join(words)
    return (Remedy("Install it here: pip takes the build for musl, or builds it.", command), image)


@rule("TFG211", "Thread-local variables of a library that comes late")
def late_static_tls(case: Case) -> Verdict | None:
    """The library keeps thread-local variables in the initial-exec way, for which musl has room only at the start.

    glibc keeps some room free for such libraries, musl none: only what the program itself needs, or LD_PRELOAD brings,
    can have them. GLIBC_TUNABLES changes nothing here.
    """
    failure = case.failure
    if failure is None or failure.kind != "dynamic-tls":
        return None
    definer = failure.provider or failure.path
    command = f"LD_PRELOAD={shlex.quote(definer)} python your_script.py"
    remedies = [Remedy("Load it with the program.", command)]
    remedies.append(Remedy("Build it without -ftls-model=initial-exec and without __attribute__((tls_model))."))
    return Verdict(
        message=f"{base(failure.path)} has initial-exec thread-local variables, which musl takes only at program start",
        path=failure.path,
        evidence=(*needed_by(case), ("file", failure.path), ("defined in", definer), *loader_row(case)),
        remedies=tuple(remedies),
    )


@rule("TFG212", "A relocation that musl does not know")
def unsupported_relocation(case: Case) -> Verdict | None:
    """The library has a relocation of a type that musl does not apply, most often that of an indirect function.

    Indirect functions (IFUNC, `__attribute__((ifunc))`, `target_clones`) are chosen at load time by glibc alone.
    """
    failure = case.failure
    if failure is None or failure.kind != "relocation-type":
        return None
    number = failure.detail.rpartition(" ")[2]
    what = "IRELATIVE, of indirect functions (IFUNC)" if number in ("37", "1032") else f"type {number}"
    build = "Build it without ifunc and target_clones attributes."
    return Verdict(
        message=f"{base(failure.path)} has a relocation that musl does not know: {what}",
        path=failure.path,
        evidence=(*needed_by(case), ("file", failure.path), ("have", f"a relocation of {what}"), *loader_row(case)),
        remedies=(rebuild(case, build.rstrip(".")) if case.is_op and not needed_by(case) else Remedy(build),),
    )


@rule("TFG213", "Packed relocations, and a musl that does not apply them")
def packed_relocations(case: Case) -> Verdict | None:
    """The library keeps its relative relocations packed (DT_RELR), which musl applies from release 1.2.4 on.

    An older musl takes such a file without a word and leaves its pointers as they are in the file: it calls a
    constructor where nothing is, and the process is killed. Linkers pack with -z pack-relative-relocs. The libgcc_s,
    libstdc++ and libgfortran of newer Alpines are linked so, and wheels bring them along (numpy 2.4 does): their tag
    musllinux_1_2 promises musl 1.2.0, and pip installs them where they die, up to Alpine 3.17.
    """
    failure = case.failure
    if failure is None or failure.kind != "packed-relocations":
        return None
    name = base(failure.path)
    image = f"FROM python:{case.python or '3'}-alpine"
    remedies: tuple[Remedy, ...] = (Remedy(f"Use an image with musl 1.2.4 or later (Alpine 3.18 and later): {image}."),)
    distribution = case.origin.distribution if case.origin is not None else case.distribution
    if distribution is not None:
        words = [case.host.executable, "-m", "pip", "install", "--force-reinstall", "--no-binary", distribution]
        remedies += (Remedy("Build it here, with this system's linker.", shlex.join([*words, distribution])),)
    else:
        remedies += (Remedy("Link it without -z pack-relative-relocs."),)
    return Verdict(
        message=f"{name} has packed relocations (DT_RELR), and the musl of this process is too old to apply them",
        path=failure.path,
        evidence=(
            *needed_by(case),
            ("file", failure.path),
            ("have", "musl up to 1.2.3, which leaves these addresses as they are in the file"),
            ("need", "musl 1.2.4 or later"),
            ("so", failure.detail),
            *loader_row(case),
        ),
        remedies=remedies,
    )


RULES = (glibc_library_on_musl, late_static_tls, unsupported_relocation, packed_relocations)
