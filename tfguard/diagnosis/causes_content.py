"""Causes behind what a file is: cut off, of another format, class, machine or system, a program, an object file."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, in_packages, name, package_of, quoted, show
from tfguard.diagnosis.causes_nvidia import DRIVER
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy


def too_short(said: Said, setting: Setting) -> list[Cause]:
    """Fewer bytes than a header has: empty, cut off; on macOS an object file; for the driver a container without it."""
    base = name(said, "the file")
    if DRIVER.match(base):
        return [
            Cause(
                code="TFG115",
                message=f"{base} is an empty stand-in: this container was started without its GPU runtime",
                why="images for GPUs hold an empty file of that name, which the NVIDIA runtime covers with the host's",
                decides=("the size of the file", f"ls -lL {quoted(said.object or base)}"),
                remedies=(Remedy("Start the container with the GPU runtime.", "docker run --gpus all IMAGE"),),
                vain="installing CUDA or a driver inside of the container",
            )
        ]
    if setting.system == "macos":
        return [
            Cause(
                code="TFG807",
                message=f"{base} is no dynamic library: an object file, or cut off",
                why="dyld up to macOS 11 says 'file too short' of every file below 4096 bytes, as `gcc -c` makes them",
                decides=("what the file is", f"file {quoted(said.object or 'FILE')}"),
                remedies=(Remedy("Link it.", f"clang -shared -undefined dynamic_lookup SOURCE.c -o {quoted(base)}"),),
            )
        ]
    return [
        Cause(
            code="TFG116",
            message=f"{base} is cut off, or empty",
            why="it has fewer bytes than the header of an ELF file",
            decides=("its size, and what it links to", f"ls -lL {quoted(said.object or 'FILE')}"),
            remedies=(
                Remedy(
                    "Fetch or install it again, with room on the disk; a copied link may have become an empty file."
                ),
            ),
        ),
        Cause(
            code="TFG119",
            message=f"{base} may be a Git LFS pointer",
            why="a pointer has some 130 bytes",
            remedies=(Remedy("Fetch the file itself.", "git lfs pull"),),
        ),
    ]


def unreadable(said: Said, setting: Setting) -> list[Cause]:
    """Opened, and not read: a directory, or cut off in its headers."""
    if "directory" in said.errno.lower():
        return [
            Cause(
                code="TFG113",
                message=f"a directory stands in place of {name(said)}",
                why="the errno is that of reading a directory",
                remedies=(Remedy("Give the path of the file inside, or move the directory away."),),
            )
        ]
    return [
        Cause(
            code="TFG116",
            message=f"{name(said)} is cut off within its headers",
            why="the program headers that it announces lie behind its end",
            decides=("its size", f"ls -lL {quoted(said.object or 'FILE')}"),
            remedies=(Remedy("Fetch or install it again, with room on the disk."),),
        )
    ]


# What `head`, `cat` or `file` shows of a file that is no ELF: a pointer of Git LFS, a web page, a library of macOS.
_BEGINNINGS = (("https://git-lfs.github.com/spec",), ("<!doctype html",), ("mach-o 64-bit", "mach-o universal"))


def bad_header(said: Said, setting: Setting) -> list[Cause]:
    """Not ELF: the words alone cannot tell a macOS library, a pointer, a script and damage apart."""
    path, base = said.object.replace("\\", "/"), name(said)
    decides = ("its first bytes", f"head -c 64 {quoted(path or 'FILE')} | xxd; {show(path)}")

    def cause(code: str, message: str, why: str, *remedies: Remedy) -> Cause:
        return Cause(code=code, message=message, why=why, decides=decides, remedies=remedies)

    foreign = cause(
        "TFG125",
        f"{base} is a library of another system, most likely macOS",
        "installed files that are not ELF mostly came from a Mac: packed there, or from a wheel tagged py3-none-any",
        Remedy(
            "Install it on this system, not copied from a Mac.",
            f"python -m pip install --force-reinstall {package_of(path) or 'PACKAGE'}",
        ),
        Remedy(
            "For a Lambda or container image made on a Mac, have pip fetch Linux wheels.",
            "python -m pip install --platform manylinux2014_x86_64 --only-binary=:all: --target DIR PACKAGE",
        ),
    )
    damaged = cause(
        "TFG118",
        f"{base} is damaged",
        "one library of an otherwise sound package that is not ELF was damaged on its way, or copied from another"
        " system",
        Remedy(
            "Install its package again, without the cached file.",
            "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
        ),
    )
    pointer = cause(
        "TFG119",
        f"{base} is a Git LFS pointer, not the file",
        "it lies in a checkout of a repository, not in a package",
        Remedy("Fetch the files themselves.", "git lfs install && git lfs pull"),
    )
    text = cause(
        "TFG127",
        f"{base} is a text, such as a link that was saved as a file",
        "downloads and checkouts turn symbolic links into small text files",
        Remedy("Fetch the file it names.", f"cat {quoted(path or 'FILE')}"),
    )
    script = cause(
        "TFG121",
        f"{base} is a script for the linker, not a library",
        "a system library without a number behind .so is often a text for the linker",
        Remedy("Open the library by its versioned name, as in libm.so.6."),
    )
    page = cause(
        "TFG120",
        f"{base} is a web page, not the file",
        "the text shows what it begins with: an answer of a server that was saved under that name",
        Remedy("Download the file itself: of a page at GitHub the link called Raw or Download."),
    )
    shown = next(
        (one for words, one in zip(_BEGINNINGS, (pointer, page, foreign), strict=True) if setting.mentions(*words)),
        None,
    )
    if shown is not None:
        return [shown]
    if re.fullmatch(r"(/usr)?(/local)?/lib(32|64)?(/[\w-]+-linux-gnu)?/lib[\w+-]+\.so", path):
        return [script, damaged]
    if setting.mentions("lambda", "/var/task", "node_modules", ".node:"):
        return [foreign, damaged]  # packed on the developer's own machine, mostly a Mac
    if in_packages(path) or not path:
        torch = package_of(path) in ("torch", "nvidia")
        versioned = bool(re.search(r"\.so\.\d", base)) or "/../" in path
        if torch or (versioned and package_of(path) not in ("tensorflow", "tensorflow_core")):
            return [damaged, foreign]
        return [foreign, damaged, pointer]
    if re.search(r"/(src|build|github|projects|repos?|workspace|checkout|git)[/-]", path.lower()):
        return [pointer, text, foreign] if not _links(base, path) else [text, pointer, foreign]
    if re.search(r"\.so\.\d", base):
        return [damaged, foreign]
    return [foreign, text, pointer]


def _links(base: str, path: str) -> bool:
    """Whether this is such a name as SDKs link from: a bare .so in a folder of a system's name."""
    return "/system/" in path.lower() or (
        "/linux/" in path.lower() and "/build/" not in path.lower() and base.endswith(".so")
    )


def linker_script(said: Said, setting: Setting) -> list[Cause]:
    """The linker takes what it does not know for a script: a pointer of Git LFS, mostly."""
    if setting.mentions("ascii text", "unicode text"):
        return [
            Cause(
                code="TFG127",
                message=f"{name(said)} is a text, such as a link that was saved as a file",
                why="`file` says so; downloads and checkouts turn symbolic links into small text files",
                decides=("its content", f"cat {quoted(said.object or 'FILE')}"),
                remedies=(Remedy("Fetch the file it names."),),
            )
        ]
    return [
        Cause(
            code="TFG119",
            message=f"{name(said)} is a text, most likely a Git LFS pointer",
            why="the linker takes any text for a linker script",
            decides=("its first line", f"head -1 {quoted(said.object or 'FILE')}"),
            remedies=(Remedy("Fetch the file itself.", "git lfs pull"),),
        ),
        Cause(
            code="TFG121",
            message=f"{name(said)} may be a linker script",
            why="the linker takes any text for a linker script",
        ),
    ]


def wrong_class(said: Said, setting: Setting) -> list[Cause]:
    """32 bits and 64 bits do not mix in one process."""
    bits = re.sub(r"\D", "", said.elf_class)[-2:]
    have = f"{bits}-bit" if bits in ("32", "64") else "of the other word size"
    need = {"32": "a 64-bit", "64": "a 32-bit"}.get(bits, "this")
    if said.object and "/" not in said.object:
        message = f"every {name(said)} that the search finds is {have}, in {need} process"
        remedy = Remedy(
            "Put the folder with the other build behind, or out of, LD_LIBRARY_PATH, or install the right one.",
            "echo $LD_LIBRARY_PATH",
        )
    else:
        message = f"{name(said)} is {have}, the process that loads it is not"
        remedy = Remedy(
            "Use a Python and a package of the same word size.",
            "python -c 'import platform; print(platform.architecture())'",
        )
    return [
        Cause(
            code="TFG102",
            message=message,
            why="ELFCLASS in the message is the file's own",
            decides=("both word sizes", f"{show(said.object)}; getconf LONG_BIT"),
            remedies=(remedy,),
        )
    ]


def wrong_machine(said: Said, setting: Setting) -> list[Cause]:
    """Android names the machine; qemu, Rosetta and the kernel miss the other machine's loader."""
    loader = said.kind in ("no-loader-for-machine", "no-loader-here")
    what = "a program or library" if loader else name(said, "a program")
    return [
        Cause(
            code="TFG101",
            message=f"{what} is built for another processor than this system's",
            why="the other processor's loader or format is what is missed" + (f" ({said.object})" if loader else ""),
            decides=("both machines", "uname -m; file PROGRAM"),
            remedies=(
                Remedy("Use the build or the image for this processor."),
                Remedy(
                    "For a container, ask for an image of this platform, or emulate the whole image.",
                    "docker run --platform linux/amd64 IMAGE",
                ),
            ),
        )
    ]


def about(code: str, message: str, why: str, *remedies: Remedy, vain: str = "") -> list[Cause]:
    return [Cause(code=code, message=message, why=why, remedies=remedies, vain=vain)]


def wrong_data(said: Said, setting: Setting) -> list[Cause]:
    """Big-endian on little, or the reverse."""
    return about(
        "TFG103",
        f"{name(said)} is built for the other byte order",
        "EI_DATA in its header",
        Remedy("Use the build for this processor."),
    )


def damaged(said: Said, setting: Setting) -> list[Cause]:
    """Fields that no linker writes."""
    return about(
        "TFG118",
        f"{name(said)} is damaged",
        "no linker writes such a header",
        Remedy("Fetch or install it again.", "python -m pip install --force-reinstall --no-cache-dir PACKAGE"),
    )


def os_abi(said: Said, setting: Setting) -> list[Cause]:
    """EI_OSABI that this loader does not take."""
    return [
        Cause(
            code="TFG104",
            message=f"{name(said)} is marked for an ABI that this system's loader does not know",
            why="toolchains mark a file GNU (3) where it uses what glibc below 2.11 does not know; FreeBSD and"
            " others have numbers of their own",
            decides=(
                "the file's EI_OSABI and this glibc",
                f"readelf -h {quoted(said.object or 'FILE')} | grep ABI; ldd --version",
            ),
            remedies=(
                Remedy("Use a newer system, or build it on this one."),
                Remedy("Leave the folder of that other glibc out of LD_LIBRARY_PATH.", "echo $LD_LIBRARY_PATH"),
            ),
        )
    ]


def not_dynamic(said: Said, setting: Setting) -> list[Cause]:
    """ET_REL or ET_CORE."""
    return about(
        "TFG123",
        f"{name(said)} is an object file that was never linked",
        "its e_type is not that of a shared object",
        Remedy("Link it.", "g++ -shared FILE.o -o FILE.so"),
    )


def executable(said: Said, setting: Setting) -> list[Cause]:
    """A program where a library is wanted."""
    return about(
        "TFG124",
        f"{name(said)} is a program, not a library",
        "DF_1_PIE, or ET_EXEC, in the file",
        Remedy("Link it with -shared, not -pie.", f"gcc -shared -fPIC SOURCE.c -o {quoted(name(said, 'FILE.so'))}"),
    )


def no_dynamic(said: Said, setting: Setting) -> list[Cause]:
    """No PT_DYNAMIC."""
    return about(
        "TFG131",
        f"{name(said)} has nothing to load: debug information only, or linked statically",
        "it has no dynamic section",
        Remedy("Give the library itself, not its debug file."),
    )
