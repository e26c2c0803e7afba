"""Rules about one file: missing, unreadable, or not the kind of file that a loader takes."""

from __future__ import annotations

import os

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    Rows,
    base,
    belongs_to_package,
    fetch_again,
    found_row,
    install_again,
    loader_row,
    needed_by,
)


def _rows(case: Case, *more: tuple[str, str]) -> Rows:
    path = case.failure.path if case.failure is not None else case.target
    return (*needed_by(case), ("file", os.path.normpath(path)), *found_row(case), *more, *loader_row(case))


def _name(case: Case) -> str:
    return base(case.failure.path if case.failure is not None else case.target)


def _stem(case: Case) -> str:
    return _name(case).split(".", maxsplit=1)[0]


def _is(case: Case, *kinds: str) -> bool:
    return case.failure is not None and case.failure.kind in kinds


@rule("TFG110", "The file does not exist")
def file_missing(case: Case) -> Verdict | None:
    """The path given leads to no file.

    A relative path counts from the working directory, not from the Python file that uses it. An op that was never
    built, or was built under another name, ends here too.
    """
    failure = case.failure
    if not _is(case, "missing") or failure is None or failure.requirer is not None or "/" not in failure.name:
        return None
    if os.path.lexists(failure.path):
        return None
    folder = os.path.dirname(failure.path) or "."
    return Verdict(
        message=f"{failure.path} does not exist",
        evidence=(
            ("file", failure.path),
            ("folder", f"{folder} {'exists' if os.path.isdir(folder) else 'does not exist'}"),
            ("working directory", case.host.cwd),
            *loader_row(case),
        ),
        remedies=(
            install_again(case, "a file of this installation is missing")
            if belongs_to_package(case)
            else Remedy("Give the path of the library as it is on disk: os.path.abspath() of a path that exists."),
        ),
    )


@rule("TFG111", "A name without a slash is not looked up in the working directory")
def bare_name_not_searched_here(case: Case) -> Verdict | None:
    """A library was asked for by a bare file name and lies in the working directory.

    The loader opens a name as a path only when it has a slash in it. Every other name is searched in
    LD_LIBRARY_PATH, the run paths, ld.so.cache and the system's directories, and the working directory is none of
    them.
    """
    failure = case.failure
    if not _is(case, "missing", "wrong-class") or failure is None or failure.requirer is not None:
        return None
    if "/" in failure.name or not case.elsewhere:
        return None
    return Verdict(
        message=f"{failure.name} has no slash in it, so the loader does not look in the working directory",
        path=case.elsewhere[0].path,
        evidence=(("exists", case.elsewhere[0].path), ("asked for", failure.name), *loader_row(case)),
        remedies=(Remedy(f'Ask for it by path: load_op_library("./{failure.name}").'),),
    )


@rule("TFG112", "The file may not be read")
def no_read_permission(case: Case) -> Verdict | None:
    """The file or a folder on the way to it may not be read by this user.

    For a library found by searching, glibc passes over an unreadable file and then says "No such file or
    directory". Execute permission is not needed to load a library.
    """
    failure = case.failure
    if not _is(case, "missing") or failure is None or failure.lookup is None:
        return None
    denied = next((one for one in failure.lookup.attempts if "Permission denied" in (one.outcome, one.detail)), None)
    denied = denied or next((one for one in failure.lookup.attempts if one.outcome == "permission denied"), None)
    if denied is None:
        return None
    mode = f"mode {case.mode:03o}, owner {case.owner}" if case.mode is not None else "its folder cannot be searched"
    return Verdict(
        message=f"{base(denied.path)} may not be read by user {case.user}",
        path=denied.path,
        evidence=(*needed_by(case), ("file", os.path.normpath(denied.path)), ("have", mode), *loader_row(case)),
        remedies=(
            Remedy(
                "Give read permission, as the file's owner or as root.", f"chmod a+r {os.path.normpath(denied.path)}"
            ),
        ),
    )


@rule("TFG113", "A directory stands in place of the library")
def directory_in_its_place(case: Case) -> Verdict | None:
    """The loader opens a directory of that name, cannot read it, and ends the search there."""
    if not _is(case, "directory"):
        return None
    return Verdict(
        message=f"{_name(case)} is a directory, not a library",
        evidence=_rows(case),
        remedies=fetch_again(case, "a directory of that name is in the way"),
    )


@rule("TFG114", "Not a regular file")
def special_file(case: Case) -> Verdict | None:
    """The path is a FIFO, a device or a socket. Opening a FIFO makes the loader wait for ever."""
    if not _is(case, "special-file", "read-error"):
        return None
    return Verdict(message=f"{_name(case)} is not a regular file", evidence=_rows(case))


@rule("TFG115", "The file is empty")
def empty_file(case: Case) -> Verdict | None:
    """The file has no bytes: an interrupted download or copy, a full disk.

    An empty libcuda.so.1 in a container means that the container was started without the GPU runtime.
    """
    if case.kind is None or case.kind.kind != "empty":
        return None
    if _name(case).startswith("libcuda.so"):
        remedies: tuple[Remedy, ...] = (Remedy("Start the container with its GPU runtime (docker run --gpus all)."),)
    else:
        remedies = fetch_again(case, "this copy has no bytes")
    return Verdict(message=f"{_name(case)} is empty (0 bytes)", evidence=_rows(case), remedies=remedies)


@rule("TFG116", "The file is cut off")
def truncated_file(case: Case) -> Verdict | None:
    """The file ends before the segments that its program headers announce.

    When the loader touches a page behind the end of the file, the kernel kills the process with SIGBUS: no
    exception, no message, no traceback. Interrupted downloads and copies, full disks and quota limits leave such
    files.
    """
    if not _is(case, "truncated", "headers-past-end", "too-short"):
        return None
    if case.kind is not None and case.kind.kind not in ("elf", "unknown"):
        return None
    failure = case.failure
    detail = failure.detail if failure is not None else ""
    return Verdict(
        message=f"{_name(case)} is cut off: {detail}",
        evidence=_rows(case, ("have", detail)),
        remedies=fetch_again(case, "this copy is not complete"),
    )


@rule("TFG117", "Damaged, but the loader does not read that part")
def damaged_but_loads(case: Case) -> Verdict | None:
    """The file ends before its section headers, or before a part that only debuggers read.

    The loader never reads section headers, so the library loads. The file is still not what was built: whatever cut
    it may have changed more.
    """
    if case.failure is not None:
        return None
    for mapped in case.trace.images:
        image = mapped.image
        if image.size < image.section_end or image.size < image.load_end:
            end = max(image.section_end, image.load_end)
            return Verdict(
                message=f"{base(mapped.path)} is shorter than it was built ({image.size} of {end} bytes), but loads",
                path=mapped.path,
                evidence=(("file", mapped.path), ("have", f"{image.size} bytes"), ("need", f"{end} bytes")),
                remedies=(Remedy("Get this file again when there is time: what cut it may have changed more."),),
                severity="warning",
            )
    return None


@rule("TFG118", "Damaged")
def damaged_file(case: Case) -> Verdict | None:
    """The file begins like an ELF library but fields that the loader checks have impossible values."""
    if not _is(case, "not-elf", "elf-version", "padding", "header-size", "no-segments", "damaged", "relr"):
        return None
    if case.kind is not None and case.kind.kind not in ("elf", "wiped-elf", "zeros", "unknown"):
        return None
    failure = case.failure
    have = case.kind.detail if case.kind is not None and case.kind.kind != "elf" else failure.detail if failure else ""
    return Verdict(
        message=f"{_name(case)} is damaged" + (f": {have}" if have else ""),
        evidence=_rows(case),
        remedies=fetch_again(case, "this copy is damaged"),
    )


@rule("TFG119", "A Git LFS pointer, not the file")
def git_lfs_pointer(case: Case) -> Verdict | None:
    """The repository keeps this file in Git LFS and only the pointer was checked out.

    It happens when git-lfs was not installed at the time of the clone, or with archives made by a forge.
    """
    if case.kind is None or case.kind.kind != "git-lfs-pointer":
        return None
    return Verdict(
        message=f"{_name(case)} is a Git LFS pointer, not the library",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=(
            Remedy("Fetch the real files, in the repository it came from.", "git lfs install && git lfs pull"),
            *(fetch_again(case, "the wheel holds the real file") if belongs_to_package(case) else ()),
        ),
    )


@rule("TFG120", "A web page was saved instead of the file")
def web_page(case: Case) -> Verdict | None:
    """The file holds HTML, XML or JSON: a download that ended on a login, error or landing page."""
    if case.kind is None or case.kind.kind != "html":
        return None
    return Verdict(
        message=f"{_name(case)} is a web page, not a library",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=fetch_again(case, "the download gave a page instead of the file; check its address and access"),
    )


@rule("TFG121", "A linker script, not a library")
def linker_script(case: Case) -> Verdict | None:
    """The file is a text for the linker that names the real library, as -dev packages install it.

    The linker follows it, the loader does not.
    """
    if case.kind is None or case.kind.kind != "linker-script":
        return None
    return Verdict(
        message=f"{_name(case)} is a linker script, not a library",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=(Remedy("Open the library that the script names, by its versioned name (as libc.so.6)."),),
    )


@rule("TFG122", "A static archive, not a shared library")
def static_archive(case: Case) -> Verdict | None:
    """The file is an ar archive of object files, which only the linker can use."""
    if case.kind is None or case.kind.kind != "archive":
        return None
    return Verdict(
        message=f"{_name(case)} is a static archive, not a shared library",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=(
            Remedy(
                "Link a shared library from it.",
                f"g++ -shared -o {_stem(case)}.so -Wl,--whole-archive {_name(case)} -Wl,--no-whole-archive",
            ),
        ),
    )


@rule("TFG123", "An object file that was never linked")
def relocatable_object(case: Case) -> Verdict | None:
    """The file is ET_REL, what `g++ -c` makes: it was not linked with -shared."""
    if not _is(case, "not-dynamic"):
        return None
    return Verdict(
        message=f"{_name(case)} is an object file (.o), not a shared library",
        evidence=_rows(case),
        remedies=(Remedy("Link it.", f"g++ -shared -o {_stem(case)}.so {_name(case)}"),),
    )


@rule("TFG124", "A program, not a library")
def executable_program(case: Case) -> Verdict | None:
    """The file is a program, position-independent or not: it was linked without -shared.

    glibc 2.30 and later refuse both kinds.
    """
    if not _is(case, "executable", "pie"):
        return None
    return Verdict(
        message=f"{_name(case)} is a program, not a shared library",
        evidence=_rows(case),
        remedies=(Remedy("Link it with -shared -fPIC."),),
    )


@rule("TFG125", "A macOS library")
def macho_file(case: Case) -> Verdict | None:
    """The file is Mach-O: it comes from a macOS wheel or was built on a Mac."""
    if case.kind is None or case.kind.kind != "macho":
        return None
    return Verdict(
        message=f"{_name(case)} is a macOS library ({case.kind.detail}), this is Linux",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=fetch_again(case, "the Linux build is needed"),
    )


@rule("TFG126", "A Windows library")
def pe_file(case: Case) -> Verdict | None:
    """The file is PE: it comes from a Windows wheel. Windows op libraries are called .so as well."""
    if case.kind is None or case.kind.kind != "pe":
        return None
    return Verdict(
        message=f"{_name(case)} is a Windows library ({case.kind.detail}), this is Linux",
        evidence=_rows(case, ("have", case.kind.detail)),
        remedies=fetch_again(case, "the Linux build is needed"),
    )


@rule("TFG127", "Not a library at all")
def other_format(case: Case) -> Verdict | None:
    """The file is an archive, a text or something else that no loader takes."""
    if not _is(case, "not-elf", "too-short"):
        return None
    have = case.kind.detail if case.kind is not None else "an unknown format"
    return Verdict(
        message=f"{_name(case)} is not a library: {have}",
        evidence=_rows(case, ("have", have)),
        remedies=fetch_again(case, "this is something else under its name"),
    )


@rule("TFG128", "On a file system mounted noexec")
def noexec_mount(case: Case) -> Verdict | None:
    """The file lies on a file system mounted noexec, which forbids mapping code from it.

    The mode of the file plays no part. Temporary folders, home directories and /dev/shm are mounted so on some
    systems.
    """
    if not _is(case, "noexec"):
        return None
    return Verdict(
        message=f"{_name(case)} lies on a file system mounted noexec",
        evidence=_rows(case),
        remedies=(
            Remedy("Put it on a file system that allows execution (for pip: another TMPDIR or --target)."),
            Remedy("Allow execution there, as root (fill in the mount point).", "mount -o remount,exec MOUNTPOINT"),
        ),
    )


@rule("TFG129", "Asks for an executable stack")
def executable_stack(case: Case) -> Verdict | None:
    """The library asks for an executable stack, which glibc 2.41 and later do not grant to a loaded library.

    Usually one assembler file in its build lacks the .note.GNU-stack section.
    """
    if not _is(case, "executable-stack"):
        return None
    path = os.path.normpath(case.failure.path) if case.failure is not None else ""
    return Verdict(
        message=f"{_name(case)} asks for an executable stack, which this glibc refuses",
        evidence=_rows(case, ("glibc", ".".join(map(str, case.host.version)))),
        remedies=(
            Remedy("Clear the mark in the file.", f"patchelf --clear-execstack {path}"),
            Remedy("Allow it for one run.", "GLIBC_TUNABLES=glibc.rtld.execstack=2 python your_script.py"),
        ),
    )


@rule("TFG130", "Marked as not for dlopen")
def not_for_dlopen(case: Case) -> Verdict | None:
    """The library was linked with -z nodlopen: it may only be loaded when a program starts."""
    if not _is(case, "no-dlopen"):
        return None
    return Verdict(
        message=f"{_name(case)} is marked as not loadable by dlopen",
        evidence=_rows(case),
        remedies=(Remedy("Link it without -z nodlopen."),),
    )


@rule("TFG131", "Has nothing to load")
def debug_information_only(case: Case) -> Verdict | None:
    """The file has no dynamic section: it holds only debug information, or was linked statically."""
    if not _is(case, "no-dynamic-section"):
        return None
    return Verdict(
        message=f"{_name(case)} has no dynamic section: debug information only, or not a shared library",
        evidence=_rows(case),
        remedies=fetch_again(case, "this file holds nothing that can be loaded"),
    )


RULES = (
    bare_name_not_searched_here,
    file_missing,
    no_read_permission,
    directory_in_its_place,
    special_file,
    empty_file,
    git_lfs_pointer,
    web_page,
    linker_script,
    static_archive,
    macho_file,
    pe_file,
    truncated_file,
    damaged_file,
    other_format,
    relocatable_object,
    executable_program,
    noexec_mount,
    executable_stack,
    not_for_dlopen,
    debug_information_only,
)
WARNINGS = (damaged_but_loads,)
