"""Rules about a file that holds something else than a shared library of this system."""

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
    name_of,
    needed_by,
    path_of,
    rebuild,
)


def _kind_is(case: Case, *kinds: str) -> bool:
    return _is(case, "not-elf", "too-short") and case.kind is not None and case.kind.kind in kinds


def _is(case: Case, *kinds: str) -> bool:
    return case.failure is not None and case.failure.kind in kinds


def _detail(case: Case) -> str:
    return case.kind.detail if case.kind is not None else "data of no known format"


def _fact(case: Case, name: str) -> str:
    return dict(case.kind.facts).get(name, "") if case.kind is not None else ""


@rule("TFG119", "A Git LFS pointer, not the file")
def git_lfs_pointer(case: Case) -> Verdict | None:
    """The repository keeps this file in Git LFS and only the pointer was checked out.

    It happens when git-lfs was not installed at the time of the clone, and with the source archives that a forge
    makes of a repository, which hold pointers only.
    """
    if not _kind_is(case, "git-lfs-pointer"):
        return None
    folder = os.path.dirname(path_of(case)) or "."
    again = install_again(case, "it was installed from a checkout without the real files; the published wheel has them")
    pull = Remedy(
        "Fetch the real file, where this is the clone (the program git-lfs must be installed).",
        f"git lfs install && git -C {shlex.quote(folder)} lfs pull",
    )
    return Verdict(
        message=f"{name_of(case)} is a Git LFS pointer, not the library",
        evidence=file_rows(case, ("have", _detail(case))),
        remedies=(*bypass(case), again if again is not None else pull),
    )


@rule("TFG120", "A web page was saved instead of the file")
def web_page(case: Case) -> Verdict | None:
    """The file holds HTML, XML or JSON: a download that ended on a login, error or landing page.

    Downloaders save what the server answers, whatever it is; `curl` without `--fail` also saves the page of an
    error. The address of a file's page at a forge is not the address of the file.
    """
    if not _kind_is(case, "html"):
        return None
    return Verdict(
        message=f"{name_of(case)} is a web page or a server's answer, not a library",
        evidence=file_rows(case, ("have", _detail(case))),
        remedies=(
            *bypass(case),
            install_again(case, "a server's answer was saved in its place")
            or Remedy("Download it again, from the address of the file itself: curl --fail tells of an error."),
        ),
    )


@rule("TFG121", "A linker script, not a library")
def linker_script(case: Case) -> Verdict | None:
    """The file is a text for the linker that names the real library, as -dev packages install it.

    The linker follows it, the loader does not. The name without a number behind .so is for linking; the one with a
    number (libc.so.6) is for loading.
    """
    if not _kind_is(case, "linker-script"):
        return None
    named = _fact(case, "names")
    if needed_by(case):
        remedy = Remedy(f"Link {base(needed_by(case)[0][1])} again, with the library that the script names.")
    elif named:
        remedy = Remedy(f"Open the library that the script names: {named}.")
    else:
        remedy = Remedy("Open the library that the script names, by its name with a number.")
    return Verdict(
        message=f"{name_of(case)} is a linker script, not a library",
        evidence=file_rows(case, ("have", _detail(case)), *((("it names", named),) if named else ())),
        remedies=(*bypass(case), remedy),
    )


@rule("TFG122", "A static archive, not a shared library")
def static_archive(case: Case) -> Verdict | None:
    """The file is an ar archive of object files, which only the linker can use.

    A shared library can be linked from it where its objects were compiled with -fPIC.
    """
    if not _kind_is(case, "archive"):
        return None
    options = ("-Wl,--whole-archive {} -Wl,--no-whole-archive", "a") if "import library" not in _detail(case) else None
    return Verdict(
        message=f"{name_of(case)} is a static archive, not a shared library",
        evidence=file_rows(case, ("have", _detail(case))),
        remedies=_link(case, *options) if options else fetch_again(case, "this one holds no code, it stands for a DLL"),
    )


@rule("TFG123", "An object file that was never linked")
def relocatable_object(case: Case) -> Verdict | None:
    """The file is ET_REL, what `g++ -c` makes: it was compiled and not linked.

    The loader takes shared objects only. They are made by a second step, `g++ -shared`, from objects that were
    compiled with -fPIC.
    """
    if not _is(case, "not-dynamic"):
        return None
    return Verdict(
        message=f"{name_of(case)} is not a shared library: {_detail(case)}",
        evidence=file_rows(case, ("have", _detail(case)), ("need", "ELF shared object (ET_DYN)")),
        remedies=_link(case, "{}", "o"),
    )


def _link(case: Case, objects: str, suffix: str) -> tuple[Remedy, ...]:
    """Link a shared library from the file at fault, which is renamed first where it has the library's name."""
    again = install_again(case, "this is a step of a build, not its result")
    if again is not None or needed_by(case):
        return (*bypass(case), *((again,) if again is not None else fetch_again(case, "it was never linked")))
    path = path_of(case)
    stem = path[: -len(suffix) - 1] if path.endswith(f".{suffix}") else path
    given = path if stem != path else f"{path}.{suffix}"
    made = stem if stem.endswith(".so") else f"{stem}.so"
    rename = "" if given == path else f"mv {shlex.quote(path)} {shlex.quote(given)} && "
    flags = ""
    if case.is_op:
        python = shlex.quote(case.host.executable)
        flags = f' $({python} -c "import tensorflow as tf; print(*tf.sysconfig.get_link_flags())")'
    command = f"{rename}g++ -shared {objects.format(shlex.quote(given))} -o {shlex.quote(made)}{flags}"
    return (Remedy("Link a shared library from it.", command),)


@rule("TFG124", "A program, not a library")
def executable_program(case: Case) -> Verdict | None:
    """The file is a program, position-independent or not: it was linked without -shared.

    glibc 2.30 and later refuse both kinds, earlier ones only those that are not position-independent. Compilers of
    today make position-independent programs by default, which look like libraries at first sight (ET_DYN).
    """
    failure = case.failure
    if failure is None or not _is(case, "executable", "pie"):
        return None
    have = "position-independent program (DF_1_PIE)" if failure.kind == "pie" else "program (ET_EXEC)"
    if case.is_op and not needed_by(case):
        remedies: tuple[Remedy, ...] = (rebuild(case, "Link it as a shared library"),)
    else:
        again = install_again(case, "a program is in its place")
        remedies = (*bypass(case), again or Remedy("Link it with -shared, from objects compiled with -fPIC."))
    return Verdict(
        message=f"{name_of(case)} is a program, not a shared library",
        evidence=file_rows(case, ("have", have), ("need", "ELF shared object (ET_DYN)")),
        remedies=remedies,
    )


@rule("TFG125", "A macOS library")
def macho_file(case: Case) -> Verdict | None:
    """The file is Mach-O: it comes from a macOS wheel or was built on a Mac.

    Linux cannot load it. Wheels tagged py3-none-any and folders copied from a Mac bring such files past pip's check
    of the platform.
    """
    return _foreign(case, "macho", "macOS")


@rule("TFG126", "A Windows library")
def pe_file(case: Case) -> Verdict | None:
    """The file is PE: it comes from a Windows wheel or was built there.

    Linux cannot load it. Op libraries for Windows are called .so as well, so that the name does not tell.
    """
    return _foreign(case, "pe", "Windows")


def _foreign(case: Case, kind: str, system: str) -> Verdict | None:
    if not _kind_is(case, kind):
        return None
    return Verdict(
        message=f"{name_of(case)} is a {system} library, this is Linux",
        evidence=file_rows(case, ("have", _detail(case)), ("need", f"ELF {case.host.elf_class}-bit (Linux)")),
        remedies=fetch_again(
            case,
            f"pip on Linux takes the build for it, this one is for {system}",
            instead=f"Get the build of {name_of(case)} for Linux, or build it here.",
        ),
    )


@rule("TFG127", "Not a library at all")
def other_format(case: Case) -> Verdict | None:
    """The file is a text, a packed archive, LLVM bitcode or something else that no loader takes.

    A text of one line that names another library is a symbolic link that was saved as text: by an unpacker that
    knows no links, a file system without them, or Git with core.symlinks off.
    """
    if not _is(case, "not-elf", "too-short"):
        return None
    detail = _detail(case)
    return Verdict(
        message=f"{name_of(case)} is not a library: {detail}",
        evidence=file_rows(case),
        remedies=(*bypass(case), *_way_back(case)),
    )


def _way_back(case: Case) -> tuple[Remedy, ...]:
    """What makes a library of this very file, where something does."""
    kind, path = case.kind.kind if case.kind is not None else "", shlex.quote(path_of(case))
    python = shlex.quote(case.host.executable)
    again = install_again(case, "this is something else under its name")
    if again is not None:
        return (again,)
    if kind == "symlink-text":
        return (Remedy("Make a link of it again.", f"ln -sf {shlex.quote(_fact(case, 'target'))} {path}"),)
    unpack = {"gzip": "gzip", "xz": "xz", "bzip2": "bzip2", "zstd": "zstd"}.get(kind)
    if unpack is not None:
        packed = path_of(case) + ".packed"
        command = f"mv {path} {shlex.quote(packed)} && {unpack} -dc {shlex.quote(packed)} > {path}"
        return (Remedy("Unpack it; where it turns out to be a tar archive, take the library from that.", command),)
    if kind == "zip":
        wheel = "wheel" in _detail(case)
        return (
            Remedy("Install the wheel with pip, under the file name that it was published with.")
            if wheel
            else Remedy("See what is in it, and take the library out of it.", f"{python} -m zipfile -l {path}"),
        )
    if kind == "bitcode":
        return (Remedy("Compile it to machine code: without -emit-llvm, and linked with -shared."),)
    if kind == "python-source":
        return (Remedy("Import it as a Python module; only compiled libraries are loaded this way."),)
    return tuple(one for one in fetch_again(case, "this is something else under its name") if one not in bypass(case))


RULES = (
    git_lfs_pointer,
    web_page,
    linker_script,
    static_archive,
    macho_file,
    pe_file,
    other_format,
    relocatable_object,
    executable_program,
)
