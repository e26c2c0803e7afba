"""Rules about whom a file was built for: processor, class, byte order, system, page size."""

from __future__ import annotations

import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import machine_name
from tfguard.loader.trace import NEWER_KERNEL, WRONG_CLASS, WRONG_MACHINE
from tfguard.rules.packages import install_command
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    elsewhere_rows,
    fetch_again,
    file_rows,
    install_again,
    loader_row,
    name_of,
    needed_by,
    path_of,
    rebuild,
    search_rows,
    usable,
    with_library_path,
)


def _was_passed_over(case: Case, kind: str, outcome: str) -> bool:
    """Whether the load fails because the file at fault was passed over for this."""
    failure = case.failure
    if failure is not None and failure.kind == "foreign-machine":
        return outcome is WRONG_MACHINE  # musl passes nothing over: it fails of the first relocation (M-12)
    if failure is None or failure.kind != kind or failure.lookup is None:
        return False
    return any(one.path == case.file and one.outcome == outcome for one in failure.lookup.attempts)


def _rows(case: Case, have: str) -> Rows:
    """Have and need, and for a library that was searched for all places: the others held none either."""
    return (
        *needed_by(case),
        ("file", path_of(case)),
        ("have", have),
        ("need", f"{machine_name(case.host.machine)}, {case.host.elf_class}-bit"),
        *search_rows(case),
        *elsewhere_rows(case, "exists as"),
        *loader_row(case),
    )


def _right_build(case: Case, why: str) -> tuple[Remedy, ...]:
    """How to come to a build for this machine."""
    better = usable(case)
    if better is not None and "/" not in (case.failure.name if case.failure is not None else "/"):
        directory = better.path.rpartition("/")[0]
        text = "Start Python with the folder of the right build on the search path."
        return (Remedy(text, with_library_path(case, directory)), *fetch_again(case, why))
    command = install_command(name_of(case), case.installer) if needed_by(case) else None
    if command is not None and case.origin is None:
        return (Remedy(f"Install the system package that has it (this is {case.system}).", command),)
    return fetch_again(case, why, instead=f"Build it on this machine, or get the build for it: {why}.")


@rule("TFG101", "Built for another processor")
def wrong_machine(case: Case) -> Verdict | None:
    """The library is a sound ELF file for another kind of processor (e_machine).

    glibc passes over such a file as if it were not there, so its message is "cannot open shared object file: No
    such file or directory" for a file that exists. No search path helps. Usual causes: a wheel or an op copied from
    another machine (an aarch64 image on x86-64, a layer built on a Mac with Apple silicon), or a wheel that was
    renamed to get past its tag.
    """
    if not _was_passed_over(case, "missing", WRONG_MACHINE):
        return None
    have = dict(case.kind.facts).get("machine", "") if case.kind is not None else ""
    have = have or "another processor"
    return Verdict(
        message=f"{name_of(case)} is built for {have}, this Python runs on {machine_name(case.host.machine)}",
        path=case.file,
        evidence=_rows(case, have),
        remedies=_right_build(case, f"this copy is for {have}"),
    )


@rule("TFG153", "Built for a newer kernel")
def newer_kernel(case: Case) -> Verdict | None:
    """The library says in a note (NT_GNU_ABI_TAG) that it needs a newer Linux kernel than the one that runs.

    glibc up to 2.35 passes over such a file as if it were not there, so its message is "cannot open shared object
    file: No such file or directory" for a file that exists; later ones do not look at the note. In a container the
    kernel is that of the machine below. Best known of libQt5Core, which asks for 3.17, on CentOS 7.
    """
    if not _was_passed_over(case, "missing", NEWER_KERNEL):
        return None
    lookup = case.failure.lookup if case.failure is not None else None
    needed = next((one.detail for one in lookup.attempts if one.path == case.file), "") if lookup is not None else ""
    own = ".".join(str(case.host.kernel >> shift & 0xFF) for shift in (16, 8, 0))
    return Verdict(
        message=f"{name_of(case)} is built for {needed}, the kernel here is {own}",
        path=case.file,
        evidence=(*needed_by(case), ("file", path_of(case)), ("have", f"Linux {own}"), ("need", needed),
                  *search_rows(case), *elsewhere_rows(case, "exists as"), *loader_row(case)),
        remedies=(
            Remedy("Run it where the kernel is new enough: that of a container is the one of the machine below.",
                   "uname -r"),
            Remedy("Take the note out of the file, if its code makes do with this kernel.",
                   f"strip --remove-section=.note.ABI-tag {shlex.quote(path_of(case))}"),
        ),
    )  # fmt: skip


@rule("TFG102", "Built for the other word size")
def wrong_class(case: Case) -> Verdict | None:
    """The library is 32-bit and the process is 64-bit, or the reverse (EI_CLASS).

    glibc passes over it and remembers the fact: when nothing else is found it says "wrong ELF class". A 32-bit
    Python cannot use TensorFlow at all; a 32-bit library among 64-bit ones is usually from a lib32 or i386 package.
    """
    if not _was_passed_over(case, "wrong-class", WRONG_CLASS):
        return None
    own, other = case.host.elf_class, 96 - case.host.elf_class
    have = dict(case.kind.facts).get("machine", "") if case.kind is not None else ""
    remedies = _right_build(case, f"a {own}-bit build is needed")
    if own == 32:
        remedies = (Remedy("Use a 64-bit Python: there is no 32-bit TensorFlow."),)
    return Verdict(
        message=f"{name_of(case)} is a {other}-bit library, this process is {own}-bit",
        path=case.file,
        evidence=_rows(case, f"{have}, {other}-bit".removeprefix(", ")),
        remedies=remedies,
    )


@rule("TFG103", "Built for the other byte order")
def wrong_byte_order(case: Case) -> Verdict | None:
    """The library's data encoding (EI_DATA) is not that of this processor.

    It was built for another machine (big-endian PowerPC, MIPS, S/390), or that byte of its header is damaged.
    """
    if case.failure is None or case.failure.kind != "byte-order":
        return None
    wanted, other = ("little", "big") if case.host.little_endian else ("big", "little")
    return Verdict(
        message=f"{name_of(case)} is not {wanted}-endian: it is built for another processor or damaged",
        evidence=file_rows(case, ("have", f"{other}-endian, or a damaged header"), ("need", f"{wanted}-endian")),
        remedies=fetch_again(
            case,
            "this copy is not for this machine",
            instead=f"Get the build of {name_of(case)} for {machine_name(case.host.machine)}, or this file once more.",
        ),
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
        message=f"{name_of(case)} is built for another operating system's ABI ({case.failure.detail})",
        evidence=file_rows(
            case, ("have", case.failure.detail), ("need", "EI_OSABI 0 (System V) or 3 (GNU/Linux)")
        ),
        remedies=fetch_again(
            case, "a build for Linux is needed", instead=f"Get the build of {name_of(case)} for Linux."
        ),
    )  # fmt: skip


@rule("TFG105", "Segments are not aligned for this system's pages")
def page_alignment(case: Case) -> Verdict | None:
    """A loadable segment cannot be mapped because its address and its file offset differ within a page.

    A library linked for 4 KiB pages cannot be mapped on a kernel with 16 or 64 KiB pages (Asahi Linux, Raspberry
    Pi 5, some arm64 servers). Up to glibc 2.34 the recorded alignment is checked as well, which files edited by
    patchelf 0.18.0 fail.
    """
    if case.failure is None or case.failure.kind != "page-alignment":
        return None
    need, have = case.host.page_size, case.place.alignment
    rows = (("have", f"segments placed for pages of {have} bytes"),) if have is not None and have < need else ()
    option = "-Wl,-z,max-page-size=65536"
    if case.is_op and not needed_by(case):
        remedies: tuple[Remedy, ...] = (rebuild(case, "Link it for large pages", option),)
    else:
        remedies = (Remedy(f"Use a build that was linked with {option}, or link it so."),)
    if rows:
        remedies += (Remedy(f"Run a kernel with pages of {have} bytes, where the system offers one."),)
    return Verdict(
        message=f"{name_of(case)} cannot be mapped on pages of {need} bytes",
        evidence=file_rows(case, *rows, ("need", f"pages of {need} bytes")),
        remedies=remedies,
    )


@rule("TFG106", "Marked for a newer processor")
def processor_level_too_low(case: Case) -> Verdict | None:
    """The library carries a mark that names an x86-64 level (v2, v3, v4) which this processor does not have.

    glibc 2.33 and later refuse it. Masking features with GLIBC_TUNABLES changes nothing here. A virtual machine or
    an emulator may show fewer features than the processor below it has.
    """
    if case.failure is None or case.failure.kind != "isa-level":
        return None
    have = f"x86-64-v{case.host.isa_level}"
    if case.is_op and not needed_by(case):
        remedy = rebuild(case, "Build it for this processor, without -march of a newer one")
    else:
        again = install_again(case, "the published wheel is built for every x86-64 processor")
        remedy = again or Remedy(f"Use a build for {have}.")
    return Verdict(
        message=f"{name_of(case)} {case.failure.detail}",
        evidence=file_rows(
            case,
            ("have", f"a processor of level {have}"),
            ("need", case.failure.detail.partition(",")[0].removeprefix("needs ")),
        ),
        remedies=(remedy, Remedy("In a virtual machine, pass the host's processor through (QEMU: -cpu host).")),
    )


RULES = (
    wrong_machine,
    newer_kernel,
    wrong_class,
    wrong_byte_order,
    wrong_os_abi,
    page_alignment,
    processor_level_too_low,
)
