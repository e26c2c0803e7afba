"""Rules for macOS about a single file: its processor, its format, its signature, its structure."""

from __future__ import annotations

import os
import re
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.macos_words import (
    PYTHON,
    build_again,
    failure_of,
    fetch_again,
    file_rows,
    image_of,
    install_again,
    mac_of,
    name_of,
    sign_again,
)
from tfguard.rules.rule import Verdict, rule


@rule("TFG815", "There is no file of that name on this Mac")
def no_such_file_on_mac(case: Case) -> Verdict | None:
    """The path that was to be opened leads to nothing.

    dyld lists the path several times, once with the folder of the system cryptex in front: that is where it looks
    for the system's own libraries, and says nothing about the cause.
    """
    failure = failure_of(case, "dylib-missing", "not-a-file")
    if failure is None or failure.requirer is not None:
        return None
    near = tuple(("nearby" if not i else "", one) for i, one in enumerate(case.place.names))
    what = "is not a file" if failure.kind == "not-a-file" else "does not exist"
    return Verdict(
        message=f"{failure.path} {what}",
        evidence=file_rows(case, *near),
        remedies=(
            install_again(case, "the file is gone")
            or Remedy(f"Give the path of the library as it is; see what lies in {case.place.folder or '.'}."),
        ),
    )


@rule("TFG808", "Not a Mach-O file")
def not_a_macho(case: Case) -> Verdict | None:
    """The file is no macOS library: one for Linux or Windows, a Git LFS pointer, a text, or empty.

    A wheel tagged py3-none-any, a folder copied from another machine, or a repository that ships a built .so brings
    such files to a Mac. dyld says "not a mach-o file", from 15.4 on "slice is not valid mach-o file", and up to macOS
    11 "unknown file type" with the first eight bytes.
    """
    failure = failure_of(case, "not-macho", "empty", "too-short")
    if failure is None or (case.kind is not None and case.kind.kind == "macho"):
        return None
    detail = case.kind.detail if case.kind is not None else "an empty file"
    pointer = case.kind is not None and case.kind.kind == "git-lfs-pointer"
    pull = Remedy(
        "Fetch the real file, where this is the clone (the program git-lfs must be installed).",
        f"git lfs install && git -C {shlex.quote(os.path.dirname(case.file) or '.')} lfs pull",
    )
    return Verdict(
        message=f"{name_of(case)} is not a macOS library: {detail}",
        evidence=file_rows(case, ("have", detail), ("need", "a Mach-O library (macOS)")),
        remedies=(pull,) if pointer and case.origin is None else (fetch_again(case, "this one is not for macOS"),),
    )


@rule("TFG802", "Built for the other processor of Macs")
def wrong_architecture(case: Case) -> Verdict | None:
    """The file holds code for Intel and the process is for Apple silicon, or the reverse.

    One process has one architecture: a Python for Intel runs under Rosetta on Apple silicon, with all it loads.
    pip chooses wheels for the Python that runs it, so that a mix comes of an environment made by another Python, of
    `arch -x86_64`, of a conda for Intel, or of a wheel cached by the other one. `python3 -c "import platform;
    print(platform.machine())"` tells which Python it is.
    """
    failure = failure_of(case, "wrong-architecture")
    if failure is None:
        return None
    mac = mac_of(case)
    have, wants_intel = failure.detail, mac.architecture == "x86_64"
    process = f"{mac.architecture}{' (an Intel Python under Rosetta)' if mac.translated else ''}"
    again = install_again(case, f"pip takes the build for {mac.architecture}")
    remedies = [again if again is not None else build_again(case, f"for {mac.architecture}")]
    if wants_intel and "arm64" in have:
        remedies.append(
            Remedy(
                "Where this Mac has Apple silicon, use a Python that is native: this must say arm64.",
                f'arch -arm64 {PYTHON} -c "import platform; print(platform.machine())"',
            )
        )
    return Verdict(
        message=f"{name_of(case)} is built for {have}, this process is {mac.architecture}",
        evidence=file_rows(case, ("have", have), ("need", f"{' or '.join(mac.accepts)}, the process is {process}")),
        remedies=tuple(remedies),
    )


@rule("TFG814", "Built for another platform than macOS")
def built_for_another_platform(case: Case) -> Verdict | None:
    """The file was built for iOS, its simulator, Mac Catalyst or the like.

    The processor is the same as a Mac's, the system is not: dyld refuses it by the platform in its load commands.
    """
    failure = failure_of(case, "wrong-platform")
    if failure is None:
        return None
    return Verdict(
        message=f"{name_of(case)} is built for {failure.detail or 'another platform'}, not for macOS",
        evidence=file_rows(case, ("have", failure.detail or "another platform"), ("need", "macOS")),
        remedies=(fetch_again(case, f"this one is for {failure.detail or 'another platform'}"),),
    )


@rule("TFG807", "An object file or a program, not a library")
def object_file(case: Case) -> Verdict | None:
    """The file is of a Mach-O type that cannot be loaded here: an object file, or a bundle or program that is needed.

    `clang -c` makes object files; a library is made of them by a second step, `clang -dynamiclib`. A bundle can be
    opened and cannot be linked against. Up to macOS 11 an object file smaller than 4096 bytes is "file too short".
    """
    failure = failure_of(case, "file-type", "bundle-needed", "program-needed", "too-short", "no-access")
    if failure is None:
        return None
    detail = case.kind.detail if case.kind is not None else "not a library"
    path = case.file
    made = re.sub(r"\.(so|o|dylib)$", "", path)
    link = Remedy(
        "Link a library from it, where it was compiled and not linked.",
        f"clang++ -dynamiclib {shlex.quote(path)} -o {shlex.quote(f'{made}.linked.so')}",
    )
    is_object = case.kind is not None and "object file" in case.kind.detail and failure.requirer is None
    return Verdict(
        message=f"{name_of(case)} is not a library: {detail}",
        evidence=file_rows(case, ("have", detail), ("need", "Mach-O dynamic library")),
        remedies=(link,)
        if is_object and case.origin is None
        else (fetch_again(case, "this one cannot be loaded as a library"),),
    )


@rule("TFG810", "The same LC_RPATH twice")
def duplicate_rpath(case: Case) -> Verdict | None:
    """The file has one search path twice, and dyld refuses that from macOS 15.4 on.

    It does so for files that were built with the SDK of 15.4 or later (on macOS 26: of 26 or later); older linkers
    wrote the path twice where two flags gave it, conda's and meson's among them. Taking one away changes the file, so
    that it must be signed again.
    """
    failure = failure_of(case, "malformed")
    found = re.search(r"duplicate LC_RPATH '(.*?)'", failure.message or "") if failure is not None else None
    if failure is None or found is None:
        return None
    path = shlex.quote(case.file)
    newer = install_again(case, "a newer release has it once")
    upgrade = Remedy("Upgrade the package that brought it.", f"{PYTHON} -m pip install --upgrade {_distribution(case)}")
    return Verdict(
        message=f"{name_of(case)} has the LC_RPATH {found[1]} twice, which this macOS refuses",
        evidence=file_rows(case, ("LC_RPATH twice", found[1])),
        remedies=(
            *((upgrade,) if newer is not None else ()),
            Remedy(
                "Take one away and sign the file again.",
                f"install_name_tool -delete_rpath {shlex.quote(found[1])} {path} && {sign_again(case.file)}",
            ),
        ),
    )


def _distribution(case: Case) -> str:
    return shlex.quote(case.origin.distribution) if case.origin is not None else ""


@rule("TFG811", "A library for macOS that is cut short")
def library_cut_short(case: Case) -> Verdict | None:
    """The file ends before what its load commands say is in it: a download or copy that stopped, or a full disk.

    From macOS 15.4 on dyld says so. Before that the kernel refuses its signature, or the process dies when it uses a
    page that is not there.
    """
    failure = failure_of(case, "truncated", "malformed")
    if failure is None or (failure.kind == "malformed" and failure.detail != "truncated"):
        return None
    facts = (("have", f"{case.place.size} bytes"), *((("need", failure.detail),) if " " in failure.detail else ()))
    return Verdict(
        message=f"{name_of(case)} is cut short: the file ends before its contents do",
        evidence=file_rows(case, *facts),
        remedies=(fetch_again(case, "the file is not whole"),),
    )


@rule("TFG805", "The code signature is missing, broken or of another team")
def code_signature(case: Case) -> Verdict | None:
    """The kernel does not let this process run the code of the file, because of its signature.

    On Apple silicon all code must be signed, an ad-hoc signature is enough. A file that was changed after it was
    signed (by install_name_tool, strip or an editor) passes dyld and kills the process when a changed page is used.
    Programs with the hardened runtime may load only libraries of their own team, unless they have the entitlement
    com.apple.security.cs.disable-library-validation.
    """
    failure = failure_of(case, "unsigned", "signature", "changed-pages", "library-validation")
    if failure is None:
        return None
    name = name_of(case)
    sign = Remedy("Sign it again, where you trust the change.", sign_again(case.file))
    again = install_again(case, "the published file is signed and whole")
    remedies = (*((again,) if again is not None else ()), sign)
    if failure.kind == "changed-pages":
        message = f"{name} was changed after it was signed: its code signature does not fit ({failure.detail})"
    elif failure.kind == "library-validation":
        message = f"{name} may not be loaded into this program: {failure.detail}"
        remedies = (
            Remedy("Use a Python without library validation, such as those of python.org, Homebrew or conda."),
            Remedy("Have the library signed by the team that signed the program."),
        )
    else:
        message = f"{name} has no code signature, which Apple silicon asks for"
    team = (("team wanted", mac_of(case).team or "none"),) if failure.kind == "library-validation" else ()
    return Verdict(message=message, evidence=file_rows(case, *team), remedies=remedies)


@rule("TFG816", "A file under quarantine")
def quarantined(case: Case) -> Verdict | None:
    """The file was downloaded by a program that marks what it fetches, and nobody has approved it yet.

    Browsers, mail programs and AirDrop put the extended attribute com.apple.quarantine on files, and unpackers hand
    it on; pip does not. When such a file is loaded macOS asks its Gatekeeper, which lets through what is signed by a
    known developer and notarised by Apple. All else is refused with `library load disallowed by system policy`, until
    it is approved in System Settings, Privacy & Security, or the attribute is taken away. Whether a file is notarised,
    and what is allowed on that Mac, no file shows, so that this is a warning.
    """
    marked = [(path, value) for path, value in case.quarantine if not _is_approved(value)]
    if not marked:
        return None
    path, value = marked[0]
    agent = value.split(";")[2:3]
    name = os.path.basename(path)
    command = f"xattr -d com.apple.quarantine {shlex.quote(path)}"
    return Verdict(
        message=f"{name} is under quarantine: macOS may refuse to load it",
        path=path,
        severity="warning",
        evidence=(
            ("file", path),
            ("com.apple.quarantine", value),
            *((("fetched by", agent[0]),) if agent and agent[0] else ()),
            ("dyld may say", "library load disallowed by system policy"),
        ),
        remedies=(
            Remedy("Take the mark away, where you trust the file.", command),
            Remedy("Approve it in System Settings, Privacy & Security, after the first attempt to load it."),
        ),
    )


def _is_approved(value: str) -> bool:
    """Whether the user has said yes to it: bit 0x40 of the first field (QTN_FLAG_USER_APPROVED)."""
    flags = value.partition(";")[0]
    try:
        return bool(int(flags, 16) & 0x40)
    except ValueError:
        return False


@rule("TFG806", "The file is damaged or put together wrongly")
def malformed_macho(case: Case) -> Verdict | None:
    """The load commands contradict each other or the file: segments that overlap, a command of a wrong size.

    dyld checks much of that up to macOS 11 and again from 15.4 on. In between it takes such files, and the load ends
    in some other way. What breaks files so: programs that edit them, unpackers, unusual linkers.
    """
    failure = case.failure
    if failure is None or failure.kind in ("dylib-missing", "macho-symbol", "tripped"):
        return None
    image = image_of(case, case.file)
    built = (("built with", f"the SDK of macOS {'.'.join(map(str, image.sdk[:2]))}"),) if image is not None else ()
    detail = failure.detail or (failure.message or "").rpartition("(")[2].rstrip(")'") or failure.kind
    return Verdict(
        message=f"{name_of(case)} is damaged: {detail}",
        evidence=file_rows(case, *built),
        remedies=(fetch_again(case, "this file is damaged"),),
    )


RULES = (
    no_such_file_on_mac,
    not_a_macho,
    wrong_architecture,
    built_for_another_platform,
    object_file,
    duplicate_rpath,
    library_cut_short,
    code_signature,
    malformed_macho,
)

WARNINGS = (quarantined,)
