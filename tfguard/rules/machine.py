"""Rules about whom a file was built for: processor, class, byte order, system, page size."""

from __future__ import annotations

import os

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import machine_name
from tfguard.loader.trace import WRONG_CLASS, WRONG_MACHINE, Attempt
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, fetch_again, loader_row, needed_by, rebuild, search_rows


def _passed_over(case: Case, outcome: str) -> Attempt | None:
    failure = case.failure
    if failure is None or failure.kind not in ("missing", "wrong-class") or failure.lookup is None:
        return None
    return next((one for one in failure.lookup.attempts if one.outcome == outcome), None)


def _bits(case: Case) -> str:
    return f"{machine_name(case.host.machine)}, {case.host.elf_class}-bit"


@rule("TFG101", "Built for another processor")
def wrong_machine(case: Case) -> Verdict | None:
    """The library is a sound ELF file for another kind of processor (e_machine).

    glibc passes over such a file as if it were not there, so its message is "cannot open shared object file: No
    such file or directory" for a file that exists. No search path helps. Usual causes: a wheel or an op copied from
    another machine (an aarch64 image on x86-64, a layer built on a Mac with Apple silicon), or a wheel that was
    renamed to get past its tag.
    """
    attempt = _passed_over(case, WRONG_MACHINE)
    if attempt is None or case.failure is None:
        return None
    have = dict(case.kind.facts).get("machine", "") if case.kind is not None else ""
    have = have or "another processor"
    for one in case.elsewhere:
        if os.path.realpath(one.path) == os.path.realpath(attempt.path):
            have = one.why_not.removeprefix("is built for ")
    op = (rebuild(case, "Build it on this machine"),) if case.is_op and case.failure.requirer is None else ()
    return Verdict(
        message=f"{base(attempt.path)} is built for {have}, this Python runs on {machine_name(case.host.machine)}",
        path=attempt.path,
        evidence=(
            *needed_by(case),
            ("file", os.path.normpath(attempt.path)),
            ("have", have),
            ("need", _bits(case)),
            *loader_row(case),
        ),
        remedies=op or fetch_again(case, f"this copy is for {have}"),
    )


@rule("TFG102", "Built for the other word size")
def wrong_class(case: Case) -> Verdict | None:
    """The library is 32-bit and the process is 64-bit, or the reverse (EI_CLASS).

    glibc passes over it and remembers the fact: when nothing else is found it says "wrong ELF class". A 32-bit
    Python cannot use TensorFlow at all; a 32-bit library among 64-bit ones is usually from a lib32 or i386 package.
    """
    attempt = _passed_over(case, WRONG_CLASS)
    if attempt is None or case.failure is None:
        return None
    other = 96 - case.host.elf_class
    return Verdict(
        message=f"{base(attempt.path)} is a {other}-bit library, this process is {case.host.elf_class}-bit",
        path=attempt.path,
        evidence=(
            *needed_by(case),
            ("file", os.path.normpath(attempt.path)),
            ("have", f"ELFCLASS{other}"),
            ("need", _bits(case)),
            *search_rows(case),
            *loader_row(case),
        ),
        remedies=fetch_again(case, f"a {case.host.elf_class}-bit build is needed"),
    )


@rule("TFG103", "Built for the other byte order")
def wrong_byte_order(case: Case) -> Verdict | None:
    """The library's data encoding (EI_DATA) is not that of this processor: it was built for another machine."""
    if case.failure is None or case.failure.kind != "byte-order":
        return None
    wanted = "little" if case.host.little_endian else "big"
    return Verdict(
        message=f"{base(case.failure.path)} is not {wanted}-endian: it is built for another processor or damaged",
        evidence=(*needed_by(case), ("file", os.path.normpath(case.failure.path)), *loader_row(case)),
        remedies=fetch_again(case, "its identification bytes are not those of this machine"),
    )


@rule("TFG104", "Built for another operating system's ABI")
def wrong_os_abi(case: Case) -> Verdict | None:
    """EI_OSABI or EI_ABIVERSION is one that this loader refuses.

    glibc accepts System V (0) and GNU/Linux (3). FreeBSD libraries carry 9; any other value in a Linux library is
    damage.
    """
    if case.failure is None or case.failure.kind != "os-abi":
        return None
    return Verdict(
        message=f"{base(case.failure.path)} is built for another operating system's ABI ({case.failure.detail})",
        evidence=(
            *needed_by(case),
            ("file", os.path.normpath(case.failure.path)),
            ("have", case.failure.detail),
            ("need", "EI_OSABI 0 (System V) or 3 (GNU/Linux)"),
            *loader_row(case),
        ),
        remedies=fetch_again(case, "a Linux build is needed"),
    )


@rule("TFG105", "Segments are not aligned for this system's pages")
def page_alignment(case: Case) -> Verdict | None:
    """A loadable segment cannot be mapped because its address and its file offset differ within a page.

    A library linked for 4 KiB pages cannot be mapped on a kernel with 16 or 64 KiB pages (Asahi Linux, Raspberry
    Pi 5, some arm64 servers). Up to glibc 2.34 the recorded alignment is checked as well, which files edited by
    patchelf 0.18.0 fail.
    """
    if case.failure is None or case.failure.kind != "page-alignment":
        return None
    return Verdict(
        message=f"{base(case.failure.path)} cannot be mapped on pages of {case.host.page_size} bytes",
        evidence=(
            *needed_by(case),
            ("file", os.path.normpath(case.failure.path)),
            ("page size", f"{case.host.page_size} bytes"),
            *loader_row(case),
        ),
        remedies=(
            Remedy("Use a build that was linked with -z max-page-size=65536."),
            Remedy("Run on a kernel with 4 KiB pages."),
        ),
    )


@rule("TFG106", "Marked for a newer processor")
def processor_level_too_low(case: Case) -> Verdict | None:
    """The library carries a property that names an x86-64 level which this processor does not have.

    glibc 2.33 and later refuse it. Masking features with GLIBC_TUNABLES changes nothing here.
    """
    if case.failure is None or case.failure.kind != "isa-level":
        return None
    return Verdict(
        message=f"{base(case.failure.path)} {case.failure.detail}",
        evidence=(*needed_by(case), ("file", os.path.normpath(case.failure.path)), *loader_row(case)),
        remedies=(Remedy("Use a build for a lower level, or a newer processor."),),
    )


RULES = (wrong_machine, wrong_class, wrong_byte_order, wrong_os_abi, page_alignment, processor_level_too_low)
