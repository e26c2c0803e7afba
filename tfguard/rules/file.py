"""Rules about one file as it lies on disk: missing, closed to this user, not a file, empty, cut off, damaged."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import (
    base,
    bypass,
    fetch_again,
    file_rows,
    install_again,
    loader_row,
    name_of,
    needed_by,
    path_of,
    rebuild,
)


def _is(case: Case, *kinds: str) -> bool:
    return case.failure is not None and case.failure.kind in kinds


def _kind_is(case: Case, *kinds: str) -> bool:
    return case.kind is not None and case.kind.kind in kinds


@rule("TFG110", "The file does not exist")
def file_missing(case: Case) -> Verdict | None:
    """The path given leads to no file, or is a link that leads to none.

    A relative path counts from the working directory, not from the Python file that uses it. An op that was never
    built, or was built under another name, ends here too. Links break when the file behind them is moved or removed,
    and when a folder is copied without what its links lead to.
    """
    failure = case.failure
    if not _is(case, "missing") or failure is None or failure.requirer is not None or "/" not in failure.name:
        return None
    place = case.place
    if case.kind is not None or place.closed is not None:
        return None
    rows = [("file", failure.path)]
    if place.target is not None:
        message = f"{failure.path} is a link to {place.target}, and no file is there"
    else:
        message = f"{failure.path} does not exist"
        folder = os.path.dirname(os.path.normpath(failure.path)) or "."
        if os.path.normpath(place.folder) != folder:
            rows.append(("folder", f"{folder} does not exist, {place.folder} does"))
        else:
            rows.append(("folder", "exists, and has no such file"))
        rows += [("there is" if not i else "", one) for i, one in enumerate(place.names)]
    if not failure.path.startswith("/"):
        rows.append(("looked up in", case.host.cwd))
    return Verdict(message=message, evidence=(*rows, *loader_row(case)), remedies=_to_a_file(case))


def _to_a_file(case: Case) -> tuple[Remedy, ...]:
    """How to come from a path that leads to no file to one that does."""
    again = install_again(case, "a file that it brought is gone")
    if again is not None:
        return (again,)
    place, path = case.place, path_of(case)
    if place.target is not None:
        return (Remedy("Put the file there, or give the path of the file itself and not of a link."),)
    remedies: list[Remedy] = []
    if place.names:
        remedies.append(Remedy(f"Give the name of a file that is there: {os.path.join(place.folder, place.names[0])}."))
    elif not path.startswith("/"):
        remedies.append(Remedy("Give the whole path, as os.path.join(os.path.dirname(__file__), NAME) makes it."))
    if case.is_op:
        remedies.append(rebuild(case, "Build it, where that was not done yet"))
    if not place.names:
        remedies.append(Remedy("Look for it under its name.", f"find / -name {shlex.quote(base(path))} 2>/dev/null"))
    return tuple(remedies)


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
    here = os.path.join(case.host.cwd, failure.name)
    if "/" in failure.name or not any(one.path == here for one in case.elsewhere):
        return None
    call = "tf.load_op_library" if case.is_op else "ctypes.CDLL"
    return Verdict(
        message=f"{failure.name} has no slash in it, so the loader does not look in the working directory",
        path=here,
        evidence=(("exists", here), ("asked for", failure.name), *loader_row(case)),
        remedies=(Remedy(f'Ask for it by path: {call}("./{failure.name}").'),),
    )


@rule("TFG112", "The file may not be read")
def no_read_permission(case: Case) -> Verdict | None:
    """The file, or a folder on the way to it, is closed to this user.

    A folder on the way must be searchable (x), the file itself readable (r); execute permission on the file is not
    needed. For a library found by searching, glibc passes over an unreadable file and then says "No such file or
    directory" in place of "Permission denied".
    """
    place, failure = case.place, case.failure
    if not _is(case, "missing") or failure is None or place.closed is None:
        return None
    is_file = place.closed == path_of(case)
    needs = "r" if is_file else "x"
    mode = f"mode {place.mode or 0:03o}, owner {place.owner}"
    closed_by_mode = not _mode_allows(case, needs)
    whose = "u" if place.owner == case.user else "a"
    owner = "the file's owner" if is_file else "the folder's owner"
    change = "Let this user read it" if is_file else "Let this user into the folder"
    quoted = shlex.quote(place.closed)
    remedies = (
        (Remedy(f"{change}, as {owner} or as root.", f"chmod {whose}+{needs} {quoted}"),)
        if closed_by_mode
        else (Remedy(f"Its mode allows it: look at access lists, security modules and mounts ({quoted})."),)
    )
    what = f"{base(place.closed)} may not be read" if is_file else f"{name_of(case)} is in a folder that is closed to"
    return Verdict(
        message=f"{what} by user {case.user}" if is_file else f"{what} user {case.user}: {place.closed}",
        path=path_of(case),
        evidence=(
            *needed_by(case),
            ("file", path_of(case)),
            *((("folder", place.closed),) if not is_file else ()),
            ("have", mode),
            ("need", f"{'read' if is_file else 'search'} permission ({needs}) for user {case.user}"),
            *loader_row(case),
        ),
        remedies=(*bypass(case), *remedies),
    )


def _mode_allows(case: Case, letter: str) -> bool:
    """Whether the mode alone would let this user in; the group is not known and counts as no."""
    bit = {"r": 0o4, "x": 0o1}[letter]
    mode = case.place.mode or 0
    return bool(mode & bit << 6) if case.place.owner == case.user else bool(mode & bit)


@rule("TFG113", "A directory stands in place of the library")
def directory_in_its_place(case: Case) -> Verdict | None:
    """The path of the library is that of a directory.

    The loader opens a directory of that name, cannot read it, and ends the search there. Either the path of a folder
    was given in place of the file in it, or a copy or a container mount made a folder where a file should be: Docker
    makes an empty one where the source of a bind mount does not exist.
    """
    if not _is(case, "directory"):
        return None
    names = case.place.names
    rows = [("in it" if not i else "", one) for i, one in enumerate(names)]
    if names and not needed_by(case):
        inner = os.path.join(path_of(case), names[0])
        remedies: tuple[Remedy, ...] = (Remedy(f"Give the path of the library in it: {inner}."),)
    else:
        remedies = fetch_again(case, "a directory of that name is in its place")
    return Verdict(
        message=f"{name_of(case)} is a directory, not a library", evidence=file_rows(case, *rows), remedies=remedies
    )


@rule("TFG114", "Not a regular file")
def special_file(case: Case) -> Verdict | None:
    """The path is a FIFO, a device or a socket.

    Only regular files can be mapped. Opening a FIFO that nobody writes to makes the loader wait for ever, so that
    the import seems to hang.
    """
    if not _is(case, "special-file"):
        return None
    is_fifo = case.failure is not None and case.failure.signal is not None
    what = "a FIFO (named pipe)" if is_fifo else "a device or socket"
    return Verdict(
        message=f"{name_of(case)} is {what}, not a library",
        evidence=file_rows(case),
        remedies=fetch_again(
            case, f"{what} is in its place", instead="Give the path of the library, or put the library in this place."
        ),
    )


@rule("TFG115", "The file is empty")
def empty_file(case: Case) -> Verdict | None:
    """The file has no bytes: an interrupted download or copy, a full disk or quota.

    An empty libcuda.so.1 in a container is a placeholder that the GPU runtime puts the host's driver over: the
    container was started without that runtime.
    """
    if not _is(case, "too-short") or not _kind_is(case, "empty"):
        return None
    if name_of(case).startswith(("libcuda.so", "libnvidia-")):
        remedies: tuple[Remedy, ...] = (
            Remedy("Start the container with its GPU runtime (docker run --gpus all): it mounts the driver there."),
        )
    else:
        remedies = fetch_again(case, "this copy has no bytes; look for a full disk first (df -h)")
    return Verdict(message=f"{name_of(case)} is empty (0 bytes)", evidence=file_rows(case), remedies=remedies)


@rule("TFG116", "The file is cut off")
def truncated_file(case: Case) -> Verdict | None:
    """The file ends before the segments that its program headers announce.

    When the loader touches a page behind the end of the file, the kernel kills the process with SIGBUS: no
    exception, no message, no traceback. Interrupted downloads and copies, full disks and quota limits leave such
    files.
    """
    failure = case.failure
    if failure is None or not _is(case, "truncated", "headers-past-end", "too-short"):
        return None
    if case.kind is not None and not _kind_is(case, "elf", "unknown"):
        return None
    have, need = f"{case.place.size} bytes", f"at least {case.place.load_end} bytes"
    rows = [("have", have), ("need", f"{need}: there its segments end")]
    message = f"has {case.place.size} of {need}"
    if _is(case, "too-short"):
        message, rows[1] = f"has {have}, less than an ELF header", ("need", "64 bytes for the ELF header alone")
    elif not case.place.load_end:
        message, rows[1] = f"has {have}", ("need", f"program headers: {failure.detail}")
    elif "; " in failure.detail:
        rows.append(("first missed", failure.detail.partition("; ")[2].removeprefix("first missed: ")))
    return Verdict(
        message=f"{name_of(case)} is cut off: it {message}",
        evidence=file_rows(case, *rows),
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
    """The file is an ELF library whose fields or tables have impossible values, or it holds nothing but zeros.

    A file system or a download tool that reserves space first leaves zeros when it is interrupted. Single wrong
    fields come from bad storage, from transfers in text mode and from tools that edit libraries.
    """
    damaged = ("not-elf", "elf-version", "padding", "header-size", "no-segments", "damaged", "dynamic-section",
               "relocation-type")  # fmt: skip
    zeros = _is(case, "too-short") and _kind_is(case, "zeros")
    failure = case.failure
    if failure is None or not (zeros or _is(case, *damaged)):
        return None
    if _is(case, "not-elf") and not _kind_is(case, "wiped-elf", "zeros"):
        return None
    have = failure.detail
    if case.kind is not None and case.kind.kind != "elf":
        have = case.kind.detail
    have = have or _WHAT_IS_WRONG.get(failure.kind, "")
    return Verdict(
        message=f"{name_of(case)} is damaged" + (f": {have}" if have else ""),
        evidence=file_rows(case),
        remedies=fetch_again(case, "this copy is damaged"),
    )


_WHAT_IS_WRONG = {
    "elf-version": "the version in its ELF header is not 1",
    "padding": "bytes of its ELF header that must be zero are not",
    "header-size": "its program headers do not have the size that they must have",
    "no-segments": "it has no segment to load",
}

RULES = (
    bare_name_not_searched_here,
    no_read_permission,
    file_missing,
    directory_in_its_place,
    special_file,
    empty_file,
    truncated_file,
    damaged_file,
)
WARNINGS = (damaged_but_loads,)
