"""Cases of one file that is strange, damaged or not a library: ld-so.md G-20 to G-56."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.loader.scene import ANY, LOADS, Case, Scene
from tests.support.elf_edit import dynamic_value, segment_offsets, with_dynamic, with_header, with_segment
from tests.support.elf_writer import PF_R, Export, Import, Library, write
from tests.support.real_loader import Load
from tfguard.image import (
    DF_1_NOOPEN,
    DF_1_PIE,
    DT_GNU_HASH,
    DT_PLTREL,
    DT_RELA,
    DT_RELAENT,
    DT_SONAME,
    DT_STRTAB,
    DT_SYMTAB,
    DT_TEXTREL,
    PF_X,
    PT_DYNAMIC,
    PT_GNU_STACK,
    PT_LOAD,
)

_PLAIN = write(Library(soname="libx.so", exports=(Export(name="x"),)))
_C_LIBRARY = """
#include <stdio.h>
#include <stdlib.h>
static char big[20000] = {1};
static const char *table[] = {"a", "b", "c"};
char *(*pointer)(const char *) = getenv;
int answer(int i) { printf("%s", table[i]); return big[i]; }
"""
_EMPTY_PROGRAM = "int main(void) { return 0; }"


def _bytes(data: bytes, name: str = "libx.so") -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.write(name, data))


def _header(**fields: int | bytes) -> Callable[[Scene], Load]:
    return _bytes(with_header(_PLAIN, **fields))


def _segment(kind: int, position: int = 0, **fields: int) -> Callable[[Scene], Load]:
    return _bytes(with_segment(_PLAIN, kind, position, **fields))


def _falling() -> bytes:
    """The two PT_LOAD in the other order."""
    data = bytearray(_PLAIN)
    first, second = segment_offsets(_PLAIN, PT_LOAD)
    data[first : first + 56], data[second : second + 56] = _PLAIN[second : second + 56], _PLAIN[first : first + 56]
    return bytes(data)


def _missing(scene: Scene) -> Load:
    return scene.load(scene.path("libnone.so"))


def _directory(scene: Scene) -> Load:
    return scene.load(scene.directory("libx.so"))


def _fifo(scene: Scene) -> Load:
    path = scene.path("libx.so")
    os.mkfifo(path)
    return scene.load(path, patience=1)


def _not_executable(scene: Scene) -> Load:
    path = scene.write("libx.so", _PLAIN)
    os.chmod(path, 0o444)
    return scene.load(path)


def _not_readable(scene: Scene) -> Load:
    path = scene.write("libx.so", _PLAIN)
    os.chmod(path, 0)
    return scene.load(path, user=65534) if os.geteuid() == 0 else scene.load(path)


def _not_searchable(scene: Scene) -> Load:
    path = scene.write("closed/libx.so", _PLAIN)
    os.chmod(scene.path("closed"), 0)
    return scene.load(path, user=65534) if os.geteuid() == 0 else scene.load(path)


def _dangling(scene: Scene) -> Load:
    return scene.load(scene.link("libx.so", "nowhere"))


def _circle(scene: Scene) -> Load:
    scene.link("liby.so", "libx.so")
    return scene.load(scene.link("libx.so", "liby.so"))


def _below_file(scene: Scene) -> Load:
    return scene.load(scene.write("libx.so", _PLAIN) + "/liby.so")


def _long_name(scene: Scene) -> Load:
    return scene.load(scene.path("l" * 300 + ".so"))


def _strange_name(scene: Scene) -> Load:
    return scene.load(scene.write("lib\udcff\u00e9 x.so", b"text, not a library"))


def _cut(size: int | str) -> Callable[[Scene], Load]:
    """A gcc-made library cut to a size, or at a place named."""

    def lay_out(scene: Scene) -> Load:
        path = Path(scene.compile("libx.so", _C_LIBRARY, "-lc"))
        data = path.read_bytes()
        ends = {"half": len(data) // 2, "last segment": _load_end(data), "one short": _load_end(data) - 1}
        path.write_bytes(data[: ends[size] if isinstance(size, str) else size])
        return scene.load(str(path))

    return lay_out


def _load_end(data: bytes) -> int:
    loads = [struct.unpack_from("<IIQQQQQQ", data, at) for at in segment_offsets(data, PT_LOAD)]
    return max(int(offset + size) for _, _, offset, _, _, size, _, _ in loads)


def _cut_writer(keep: Callable[[bytes], int]) -> Callable[[Scene], Load]:
    """A library by the writer, with data pages enough to cut in."""

    def lay_out(scene: Scene) -> Load:
        data = write(
            Library(
                soname="libx.so",
                exports=tuple(Export(name=f"x{i}") for i in range(2000)),
                imports=tuple(Import(name=f"x{i}") for i in range(2000)),
            )
        )
        return scene.load(scene.write("libx.so", data[: keep(data)]))

    return lay_out


def _no_section_headers(scene: Scene) -> Load:
    path = Path(scene.compile("libx.so", _C_LIBRARY, "-lc"))
    path.write_bytes(with_header(path.read_bytes(), e_shoff=0, e_shnum=0, e_shstrndx=0))
    return scene.load(str(path))


def _bad_section_headers(scene: Scene) -> Load:
    path = Path(scene.compile("libx.so", _C_LIBRARY, "-lc"))
    path.write_bytes(with_header(path.read_bytes(), e_shoff=2**60, e_shnum=65535, e_shentsize=3))
    return scene.load(str(path))


def _debug_only(scene: Scene) -> Load:
    built = scene.compile("full.so", _C_LIBRARY, "-lc", "-g")
    path = scene.path("libx.so")
    subprocess.run(["objcopy", "--only-keep-debug", built, path], check=True)
    return scene.load(path)


def _built(*options: str, source: str = _EMPTY_PROGRAM, name: str = "program") -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        built = scene.compiler.build(source, *options)
        return scene.load(scene.write(name, built.read_bytes()))

    return lay_out


def _hash(style: str) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        scene.compile("libbase.so", "int base(void) { return 1; }", f"-Wl,--hash-style={style}")
        return scene.load(
            scene.compile(
                "libtop.so",
                "int base(void); int top(void) { return base(); }",
                scene.path("libbase.so"),
                "-Wl,-rpath,$ORIGIN",
            )
        )

    return lay_out


def _no_hash(scene: Scene, *, used: bool) -> Load:
    scene.library("libbase.so", soname="libbase.so", exports=(Export(name="base"),), has_gnu_hash=False)
    imports = (Import(name="base"),) if used else ()
    return scene.load(
        scene.library("libtop.so", needed=("libbase.so",), runpath="$ORIGIN", imports=imports),
    )


def _text_relocation(scene: Scene, *, marked: bool) -> Load:
    extra = ((DT_TEXTREL, 0),) if marked else ()
    data = bytearray(write(Library(exports=(Export(name="x"),), imports=(Import(name="x"),), extra=extra)))
    table = dynamic_value(bytes(data), DT_RELA)
    data[table : table + 8] = bytes(8)  # its one relocation now writes to the ELF header
    return scene.load(scene.write("libx.so", bytes(data)))


def _isa(needed: int) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.library("libx.so", soname="libx.so", isa_needed=needed))


def _isa_of_dependency(scene: Scene) -> Load:
    scene.library("liby.so", soname="liby.so", isa_needed=0x8000)
    return scene.load(scene.library("libx.so", needed=("liby.so",), runpath="$ORIGIN"))


def _relr(*, marker: bool, libc: bool, needs: bool) -> Callable[[Scene], Load]:
    def lay_out(scene: Scene) -> Load:
        wanted = (("libc.so.6", "GLIBC_ABI_DT_RELR"),) if marker else (("libc.so.6", "GLIBC_2.2.5"),) if needs else ()
        fields = {"relr": True, "needs": wanted, "needed": ("libc.so.6",) if libc else ()}
        return scene.load(scene.library("libx.so", soname="libx.so", **fields))

    return lay_out


def _stack(flags: int | None) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.library("libx.so", soname="libx.so", stack=flags))


_FILE_ERROR = "cannot open shared object file"
_MACHINES = {"i386": 3, "aarch64": 183, "none": 0, "all ones": 0xFFFF}

CASES = (
    Case("G-20-missing", _FILE_ERROR, _missing),
    Case("G-20-dangling-link", "No such file", _dangling),
    Case("G-20-circle-of-links", "Too many levels of symbolic links", _circle),
    Case("G-20-below-a-file", "Not a directory", _below_file),
    Case("G-20-long-name", "File name too long", _long_name),
    Case("G-20-not-executable-loads", LOADS, _not_executable),
    Case("G-20-not-readable", "Permission denied", _not_readable),
    Case("G-20-directory-not-searchable", "Permission denied", _not_searchable),
    Case("G-20-fifo", "waits for ever", _fifo),
    Case("G-20-device", "file too short", lambda scene: scene.load("/dev/null"), certain=False),
    Case("G-21-directory", "cannot read file data: Is a directory", _directory),
    Case("G-22-empty", "file too short", _bytes(b"")),
    Case("G-22-one-byte", "file too short", _bytes(b"\x7f")),
    Case("G-22-63-bytes", "file too short", _bytes(_PLAIN[:63])),
    Case("G-22-header-alone", "cannot read file data", _bytes(_PLAIN[:64])),
    Case("G-22-short-text", "file too short", _bytes(b"GROUP ( libc.so.6 )\n")),
    Case("G-23-text", "invalid ELF header", _bytes(b"/* GNU ld script */\nGROUP ( libc.so.6 )\n" * 9)),
    Case("G-23-name-not-utf-8", "file too short", _strange_name),
    Case(
        "G-23-lfs-pointer",
        "invalid ELF header",
        _bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"),
    ),
    Case("G-23-magic-zeroed", "invalid ELF header", _header(magic=b"\0\0\0\0")),
    Case("G-23-archive", "invalid ELF header", _bytes(b"!<arch>\n" + bytes(200))),
    *(Case(f"G-24-class-{number}", "wrong ELF class: ELFCLASS32", _header(ei_class=number)) for number in (0, 1, 3)),
    Case("G-24-class-and-machine-32-bit", "wrong ELF class", _header(ei_class=1, e_machine=3)),
    Case("G-24-class-before-rest", "wrong ELF class", _header(ei_class=1, ei_data=7, ei_osabi=9, e_type=77)),
    *(Case(f"G-25-data-{number}", "data encoding not little-endian", _header(ei_data=number)) for number in (0, 2, 3)),
    Case("G-25-big-endian-machine", ANY, _header(ei_data=2, e_machine=0x1600)),
    Case("G-26-ident-version", "file version ident does not match", _header(ei_version=0)),
    *(Case(f"G-27-os-abi-{number}", "ELF file OS ABI invalid", _header(ei_osabi=number)) for number in (1, 2, 9, 97)),
    Case("G-27-os-abi-3-loads", LOADS, _header(ei_osabi=3)),
    Case("G-27-abi-version", "ABI version invalid", _header(ei_abiversion=1)),
    Case("G-27-os-abi-3-version-1-loads", LOADS, _header(ei_osabi=3, ei_abiversion=1)),
    Case("G-27-os-abi-3-version-200", "ABI version invalid", _header(ei_osabi=3, ei_abiversion=200)),
    Case("G-28-padding", "nonzero padding in e_ident", _header(ei_pad=1)),
    Case("G-28-order-of-ident", "ELF file OS ABI invalid", _header(ei_osabi=9, ei_pad=1, e_version=7)),
    Case("G-29-version", "ELF file version does not match", _header(e_version=0)),
    Case("G-29-version-before-machine", ANY, _header(e_version=0, e_machine=183)),
    *(Case(f"G-29a-machine-{name}", "No such file", _header(e_machine=number)) for name, number in _MACHINES.items()),
    Case("G-29a-machine-before-type", "No such file", _header(e_machine=183, e_type=1)),
    *(Case(f"G-30-type-{number}", "only ET_DYN and ET_EXEC", _header(e_type=number)) for number in (0, 1, 4, 0xFE00)),
    Case("G-30-relocatable-object", "only ET_DYN and ET_EXEC", _built("-c", name="x.o")),
    Case("G-31-header-size", "phentsize not the expected size", _header(e_phentsize=32)),
    Case("G-31-headers-past-end", "cannot read file data", _header(e_phoff=1 << 20)),
    Case("G-31-headers-half-past-end", "cannot read file data", _header(e_phoff=len(_PLAIN) - 56)),
    Case("G-31-offset-beyond-any-file", "cannot read file data: Invalid argument", _header(e_phoff=1 << 63)),
    Case("G-31-offset-all-ones", ANY, _header(e_phoff=2**64 - 1), certain=False),
    Case("G-31-65535-headers", "cannot read file data", _header(e_phnum=65535)),
    Case("G-31-headers-behind-first-read", LOADS, _bytes(with_header(_PLAIN + _PLAIN[64:400], e_phoff=len(_PLAIN)))),
    Case("G-33-no-section-headers", LOADS, _no_section_headers),
    Case("G-33-bad-section-headers", LOADS, _bad_section_headers),
    Case("G-36-no-dynamic-header", "object file has no dynamic section", _segment(PT_DYNAMIC, type=6)),
    Case("G-36-dynamic-of-no-bytes", "object file has no dynamic section", _segment(PT_DYNAMIC, filesz=0)),
    Case("G-36-debug-only", "object file has no dynamic section", _debug_only),
    Case("G-37-no-program-headers", "no loadable segments", _header(e_phnum=0)),
    Case(
        "G-37-no-load-segment",
        "no loadable segments",
        _bytes(with_segment(with_segment(_PLAIN, PT_LOAD, 1, type=6), PT_LOAD, 0, type=6)),
    ),
    Case("G-38-not-page-aligned", "address/offset not page-aligned", _segment(PT_LOAD, 1, offset=0x2010)),
    *(
        Case(f"G-38-align-{align:#x}-loads", ANY, _segment(PT_LOAD, 1, align=align))
        for align in (0, 1, 3, 0x1800, 2**21)
    ),
    Case("G-38-segments-in-one-page", ANY, _segment(PT_LOAD, 0, filesz=0x1010, memsz=0x1010)),
    Case("G-38-memory-in-one-page", LOADS, _segment(PT_LOAD, 0, memsz=0x1010)),
    Case("G-41-segments-in-falling-order", "failed to map segment", _bytes(_falling())),
    Case(
        "G-38-before-no-dynamic",
        "not page-aligned",
        _bytes(with_segment(with_segment(_PLAIN, PT_LOAD, 1, offset=0x2010), PT_DYNAMIC, filesz=0)),
    ),
    Case("G-40-executable", "cannot dynamically load executable", _header(e_type=2)),
    Case("G-40-real-executable", "cannot dynamically load executable", _built("-no-pie")),
    Case("G-40-static-executable", "cannot dynamically load executable", _built("-static", "-no-pie")),
    Case(
        "G-42-no-dlopen",
        "shared object cannot be dlopen()ed",
        lambda scene: scene.load(scene.library("libx.so", flags_1=DF_1_NOOPEN)),
    ),
    Case("G-43-pie-flag", ANY, lambda scene: scene.load(scene.library("libx.so", flags_1=DF_1_PIE))),
    Case("G-43-real-pie", ANY, _built("-pie", "-fPIE")),
    Case("G-43-static-pie", ANY, _built("-static-pie", "-fPIE")),
    Case("G-43-before-42", ANY, lambda scene: scene.load(scene.library("libx.so", flags_1=DF_1_PIE | DF_1_NOOPEN))),
    *(Case(f"G-44-cut-to-{size}", ANY, _cut(size)) for size in (0, 100, 700, 4096, "half", "one short")),
    Case("G-44-cut-behind-last-segment", LOADS, _cut("last segment")),
    Case("G-44-writer-data-cut", ANY, _cut_writer(lambda data: len(data) - 3 * 4096)),
    Case(
        "G-44-writer-cut-at-dynamic",
        "SIGBUS",
        _cut_writer(lambda data: dynamic_value(data, 3) // 4096 * 4096 - 64 * 4096 or 4096),
    ),
    Case("G-44-writer-one-page", "SIGBUS", _cut_writer(lambda data: 4096)),
    *(Case(f"G-46-hash-style-{style}", LOADS, _hash(style)) for style in ("gnu", "sysv", "both")),
    Case("G-46-no-hash-table", LOADS, lambda scene: _no_hash(scene, used=False)),
    Case("G-46-no-hash-table-used", "undefined symbol: base", lambda scene: _no_hash(scene, used=True)),
    Case(
        "G-48-pltrel",
        "exit 127",
        lambda scene: scene.load(
            scene.library("libx.so", imports=(Import(name="y", relocation=7),), replaced={DT_PLTREL: 17})
        ),
    ),
    Case(
        "G-48-relaent",
        "exit 127",
        lambda scene: scene.load(scene.library("libx.so", imports=(Import(name="y"),), replaced={DT_RELAENT: 23})),
    ),
    Case(
        "G-48-no-relaent",
        "SIGSEGV",
        lambda scene: scene.load(scene.library("libx.so", imports=(Import(name="y"),), replaced={DT_RELAENT: None})),
    ),
    Case("G-48-relrent", ANY, lambda scene: scene.load(scene.library("libx.so", relr=True, replaced={37: 4}))),
    Case("G-48-no-relrent", ANY, lambda scene: scene.load(scene.library("libx.so", relr=True, replaced={37: None}))),
    Case("G-50-executable-stack", ANY, _stack(7)),
    Case("G-50-no-stack-header", ANY, _stack(None)),
    Case(
        "G-50-before-missing-library",
        ANY,
        lambda scene: scene.load(scene.library("libx.so", stack=7, needed=("libnone.so.7",))),
    ),
    Case("G-53-baseline", LOADS, _isa(1)),
    Case("G-53-unknown-level", "CPU ISA level is lower", _isa(0x8000)),
    Case("G-53-of-a-dependency", "CPU ISA level is lower", _isa_of_dependency),
    Case(
        "G-53-dependency-first",
        "liby.so: CPU ISA level",
        lambda scene: scene.load(
            scene.library("liby.so", soname="liby.so", isa_needed=0x8000)
            and scene.library("libx.so", needed=("liby.so",), runpath="$ORIGIN", isa_needed=0x8000)
        ),
    ),
    Case("G-53-every-level-the-processor-may-have", ANY, _isa(15)),
    Case("G-54-no-marker", ANY, _relr(marker=False, libc=True, needs=True)),
    Case("G-54-marker", ANY, _relr(marker=True, libc=True, needs=True)),
    Case("G-54-no-libc", ANY, _relr(marker=False, libc=False, needs=False)),
    Case("G-54-no-needs", ANY, _relr(marker=False, libc=True, needs=False)),
    Case(
        "G-56-unmarked-text-relocation",
        "SIGSEGV",
        lambda scene: _text_relocation(scene, marked=False),
    ),
    Case("G-56-marked-text-relocation", LOADS, lambda scene: _text_relocation(scene, marked=True)),
    Case("G-44-string-table-nowhere", LOADS, _bytes(with_dynamic(_PLAIN, DT_STRTAB, 1 << 40)), certain=False),
    Case("G-44-symbol-table-nowhere-unused", LOADS, _bytes(with_dynamic(_PLAIN, DT_SYMTAB, 1 << 40))),
    Case("G-44-soname-nowhere-unused", ANY, _bytes(with_dynamic(_PLAIN, DT_SONAME, 1 << 40)), certain=False),
    Case("G-46-hash-table-nowhere", "SIGSEGV", _bytes(with_dynamic(_PLAIN, DT_GNU_HASH, 1 << 40)), certain=False),
    Case(
        "G-50-stack-header-twice",
        ANY,
        _bytes(with_segment(with_segment(_PLAIN, PT_DYNAMIC, flags=PF_R), PT_GNU_STACK, flags=PF_R | PF_X | 2)),
    ),
)
