"""Every message of the loaders' catalogues is parsed into its facts; the ld.so here is made to say its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loader import cases_candidates, cases_file, cases_symbols, cases_versions
from tests.loader.scene import ANY, LOADS, Case, Scene, Unavailable
from tests.support.build import COMMAND, Compiler
from tests.support.here import is_glibc_x86_64
from tests.support.real_loader import Load, ask
from tfguard.diagnosis.judging import JUDGES
from tfguard.diagnosis.reading import messages
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.text import clean


def said(text: str) -> Said:
    """The message that tells most in a text."""
    found = messages(clean(text))
    assert found, text
    return min(found, key=lambda one: (one.weight, one.number))


ENOENT, EINVAL = "No such file or directory", "Invalid argument"

# G-14: the text behind `OBJECT: `, the errno text behind it where one follows, the kind, further facts.
GLIBC: list[tuple[str, str, str, dict[str, str]]] = [
    ("cannot open shared object file", ENOENT, "cannot-open", {}),
    ("cannot open shared object file", "Permission denied", "cannot-open", {}),
    ("cannot open shared object file", "Too many levels of symbolic links", "cannot-open", {}),
    ("file too short", "", "too-short", {}),
    ("cannot read file data", "Is a directory", "unreadable", {}),
    ("cannot read file data", "", "unreadable", {}),
    ("invalid ELF header", "", "bad-header", {}),
    ("wrong ELF class: ELFCLASS32", "", "wrong-class", {"elf_class": "ELFCLASS32"}),
    ("wrong ELF class: ELFCLASS64", "", "wrong-class", {"elf_class": "ELFCLASS64"}),
    ("ELF file data encoding not little-endian", "", "wrong-data", {"need": "little"}),
    ("ELF file data encoding not big-endian", "", "wrong-data", {"need": "big"}),
    ("ELF file version ident does not match current one", "", "bad-ident", {}),
    ("ELF file OS ABI invalid", "", "os-abi", {}),
    ("ELF file ABI version invalid", "", "os-abi", {}),
    ("nonzero padding in e_ident", "", "bad-ident", {}),
    ("internal error", "", "internal-error", {}),
    ("ELF file version does not match current one", "", "bad-ident", {}),
    ("only ET_DYN and ET_EXEC can be loaded", "", "not-dynamic", {}),
    ("ELF file's phentsize not the expected size", "", "damaged", {}),
    ("cannot stat shared object", "Input/output error", "resources", {}),
    ("cannot create shared object descriptor", "Cannot allocate memory", "resources", {}),
    ("cannot allocate memory for program header", "Cannot allocate memory", "resources", {}),
    ("cannot close file descriptor", "Input/output error", "resources", {}),
    ("cannot process note segment", "Cannot allocate memory", "resources", {}),
    ("ELF load command address/offset not page-aligned", "", "alignment", {}),
    ("ELF load command alignment not page-aligned", "", "alignment", {}),
    ("ELF load command address/offset not properly aligned", "", "alignment", {}),
    ("object file has no loadable segments", "", "damaged", {}),
    ("cannot dynamically load executable", "", "executable", {}),
    ("cannot dynamically load position-independent executable", "", "executable", {}),
    ("object file has no dynamic section", "", "no-dynamic", {}),
    ("failed to map segment from shared object", "", "cannot-map", {}),
    ("failed to map segment from shared object", "Operation not permitted", "cannot-map", {}),
    ("cannot change memory protections", "Permission denied", "cannot-map", {}),
    ("cannot map zero-fill pages", "Cannot allocate memory", "cannot-map", {}),
    ("shared object cannot be dlopen()ed", "", "no-dlopen", {}),
    ("cannot enable executable stack as shared object requires", EINVAL, "exec-stack", {}),
    ("CPU ISA level is lower than required", "", "isa-level", {}),
    ("DT_RELR without GLIBC_ABI_DT_RELR dependency", "", "relr", {}),
    ("rebuild shared object with IBT support enabled", "", "hardening", {"detail": "IBT"}),
    ("rebuild shared object with SHSTK support enabled", "", "hardening", {"detail": "SHSTK"}),
    ("failed to turn on BTI protection", "", "hardening", {"detail": "BTI"}),
    ("not GCS compatible", "", "hardening", {"detail": "GCS"}),
    ("cannot make segment writable for relocation", "Permission denied", "text-relocation", {}),
    ("cannot restore segment prot after reloc", "Permission denied", "text-relocation", {}),
    (
        "cannot apply additional memory protection after relocation",
        "Permission denied",
        "text-relocation",
        {},
    ),
    (
        "version `GLIBC_2.38' not found (required by /op/roi.so)",
        "",
        "version",
        {"version": "GLIBC_2.38", "requirer": "/op/roi.so"},
    ),
    ("undefined symbol: helper", "", "symbol", {"symbol": "helper"}),
    ("undefined symbol: pf, version pv_1.2", "", "symbol", {"symbol": "pf", "version": "pv_1.2"}),
    ("unexpected reloc type 0xc8", "", "relocation", {"detail": "0xc8"}),
    ("unexpected PLT reloc type 0xc8", "", "relocation", {"detail": "0xc8"}),
    ("cannot allocate memory in static TLS block", "", "static-tls", {}),
    ("DST not allowed in SUID/SGID programs", "", "tokens", {}),
    ("empty dynamic string token substitution", "", "tokens", {}),
    ("invalid mode for dlopen()", EINVAL, "mode", {}),
    ("invalid target namespace in dlmopen()", EINVAL, "mode", {}),
    ("no more namespaces available for dlmopen()", EINVAL, "mode", {}),
]
# How the line comes to a reader: as it is, in an exception, at start-up, quoted, from a rank, in JSON, retyped.
WRAPS = {
    "as-it-is": "%s",
    "exception": "ImportError: %s",
    "start-up": "./server: error while loading shared libraries: %s",
    "quoted": "> > tensorflow.python.framework.errors_impl.NotFoundError: %s",
    "rank": "[1,3]<stderr>:ImportError: %s",
    "colours": "\x1b[0;31mImportError\x1b[0m: %s\x1b[0m",
    "json": '{"log":"ImportError: %s\\n","stream":"stderr","time":"2024-05-01T10:00:00.1Z"}',
    "docker": "#42 0.250 OSError: %s",
    "pod": "2024-05-01T10:00:00.123456789Z stderr F ImportError: %s",
    "pytest": "E   ImportError: %s",
    "markdown": "**ImportError: %s**",
    "caused-by": "caused by: ['%s']",
}


@pytest.mark.parametrize(("text", "errno", "kind", "facts"), GLIBC, ids=[f"{one[0]}-{one[1]}" for one in GLIBC])
@pytest.mark.parametrize("wrap", WRAPS)
def test_glibc(text: str, errno: str, kind: str, facts: dict[str, str], wrap: str) -> None:
    """Kind, object, errno and what else there is, however the line is wrapped."""
    for path in ("/home/a b/lib/libx.so.1", "libx.so"):
        line = f"{path}: {text}" + (f": {errno}" if errno else "")

        found = said(WRAPS[wrap] % line)

        assert (found.kind, found.object, found.errno) == (kind, path, errno)
        assert {name: getattr(found, name) for name in facts} == facts
        assert found.kind in JUDGES


MUSL: list[tuple[str, str, dict[str, str]]] = [
    ("Error loading shared library libx.so: No such file or directory", "musl-library", {"library": "libx.so"}),
    (
        "Error loading shared library libgcc_s.so.1: No such file or directory (needed by /a/b.so)",
        "musl-library",
        {"library": "libgcc_s.so.1", "requirer": "/a/b.so", "errno": ENOENT},
    ),
    ("Error loading shared library /a/b.so: Exec format error", "musl-library", {"errno": "Exec format error"}),
    (
        "Error relocating /a/b.so: __sprintf_chk: symbol not found",
        "musl-symbol",
        {"object": "/a/b.so", "symbol": "__sprintf_chk"},
    ),
    ("Error relocating /a/b.so: unsupported relocation type 37", "musl-relocation", {"detail": "37"}),
    (
        "Error relocating /a/b.so: x: initial-exec TLS resolves to dynamic definition in /c/d.so",
        "musl-tls",
        {"object": "/a/b.so", "symbol": "x", "library": "/c/d.so"},
    ),
    (
        "Error relocating /a/b.so: RELRO protection failed: Out of memory",
        "musl-relro",
        {"errno": "Out of memory"},
    ),
    ("Library libx.so is not already loaded", "musl-noload", {"object": "libx.so"}),
    ("Dynamic loading not supported", "musl-static", {}),
    ("Cannot dlopen while program is exiting.", "musl-exiting", {}),
]


@pytest.mark.parametrize(("text", "kind", "facts"), MUSL, ids=[one[0][:50] for one in MUSL])
def test_musl(text: str, kind: str, facts: dict[str, str]) -> None:
    found = said(f"ImportError: {text}")

    assert found.kind == kind
    assert found.loader == "musl"
    assert {name: getattr(found, name) for name in facts} == facts


UUID = "<2DA1C68B-97BE-32D2-BBE1-C7BCB5C92FCC> "
TOP, LIB = "/v/lib/python3.11/site-packages/a/b.so", "/v/lib/libc.dylib"
DYLD: list[tuple[str, str, str, dict[str, str]]] = [
    (
        "missing-10-12",
        f"dlopen({TOP}, 6): Library not loaded: @rpath/libx.dylib\n  Referenced from: {TOP}\n  Reason: image not found",
        "dyld-library",
        {"library": "@rpath/libx.dylib", "requirer": TOP, "object": TOP, "errno": "image not found"},
    ),
    (
        "missing-12.5",
        (
            f"dlopen({TOP}, 0x0002): Library not loaded: '@rpath/libx.dylib'\n  Referenced from: '{TOP}'\n  Reason:"
            f" tried:"
            " '/a/libx.dylib' (no such file)"
        ),
        "dyld-library",
        {"library": "@rpath/libx.dylib", "requirer": TOP},
    ),
    (
        "missing-13",
        (
            f"dlopen({TOP}, 0x0002): Library not loaded: @rpath/libx.dylib\n  Referenced from: {UUID}{TOP} (built"
            f" for macOS"
            " 14.0 which is newer than running OS)\n  Reason: tried: '/a/libx.dylib' (no such file)"
        ),
        "dyld-library",
        {
            "library": "@rpath/libx.dylib",
            "requirer": TOP,
            "detail": "(built for macOS 14.0 which is newer than running OS)",
        },
    ),
    (
        "symbol-10",
        f"dlopen({TOP}, 2): Symbol not found: _x\n  Referenced from: {TOP}\n  Expected in: {LIB}\n in {TOP}",
        "dyld-symbol",
        {"symbol": "_x", "requirer": TOP, "library": LIB, "object": TOP},
    ),
    (
        "symbol-12.5",
        f"dlopen({TOP}, 0x0002): Symbol not found: (_x)\n  Referenced from: '{TOP}'\n  Expected in: '{LIB}'",
        "dyld-symbol",
        {"symbol": "_x", "requirer": TOP, "library": LIB},
    ),
    (
        "symbol-13",
        f"dlopen({TOP}, 0x0002): Symbol not found: _x\n  Referenced from: {UUID}{TOP}\n  Expected in:     {UUID}{LIB}",
        "dyld-symbol",
        {"symbol": "_x", "requirer": TOP, "library": LIB},
    ),
    ("flat-13", f"dlopen({TOP}, 0x0006): symbol not found in flat namespace '_x'", "dyld-symbol", {"symbol": "_x"}),
    ("flat-12.5", f"dlopen({TOP}, 0x0006): symbol not found in flat namespace (_x)", "dyld-symbol", {"symbol": "_x"}),
    ("weak-14", f"dlopen({TOP}, 0x0006): weak-def symbol not found '_x'", "dyld-symbol", {"symbol": "_x"}),
    (
        "found-bad-10",
        f"dlopen({TOP}, 6): no suitable image found.  Did find:\n\t{TOP}: mach-o, but wrong architecture",
        "dyld-tried",
        {"object": TOP, "errno": f"{TOP}: mach-o, but wrong architecture"},
    ),
    (
        "tried-13",
        (
            f"dlopen({TOP}, 0x0002): tried: '{TOP}' (mach-o file, but is an incompatible architecture (have"
            f" 'x86_64', need"
            " 'arm64e' or 'arm64'))"
        ),
        "dyld-tried",
        {"object": TOP},
    ),
    (
        "start-13",
        f"dyld[1234]: Library not loaded: {LIB}\n  Referenced from: {UUID}{TOP}",
        "dyld-library",
        {"library": LIB},
    ),
]


@pytest.mark.parametrize(("text", "kind", "facts"), [one[1:] for one in DYLD], ids=[one[0] for one in DYLD])
def test_dyld(text: str, kind: str, facts: dict[str, str]) -> None:
    """Each era's wording gives the same facts."""
    found = said(f"ImportError: {text}")

    assert found.kind == kind
    assert {name: getattr(found, name) for name in facts} == facts


# What stands behind a candidate of the list, and the cause it is of; numbers are those of the catalogue of messages.
REASONS = {
    # D-12, D-62
    "no such file": "TFG110",
    "no such file, not in dyld cache": "TFG110",
    "no such file, no dyld cache": "TFG110",
    # D-16 to D-18: no Mach-O at all
    "not a mach-o file": "TFG808",
    "slice is not valid mach-o file": "TFG808",
    "unknown file type, first eight bytes: 0x7F 0x45 0x4C 0x46 0x02 0x01 0x01 0x00": "TFG808",
    "not a mach-o file (start is no MH_MAGIC[_64])": "TFG808",
    "truncated fat file.  file length=100, but needed slice goes to 9000": "TFG811",
    # D-20: another processor
    "mach-o, but wrong architecture": "TFG802",
    "incompatible cpu-subtype: 0x80000002 in /a/b.so": "TFG802",
    "arm64 dylibs cannot be loaded into arm64e processes": "TFG802",
    "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')": "TFG802",
    "mach-o file, but is an incompatible architecture (have (x86_64), need (arm64e))": "TFG802",
    "mach-o file, but is an incompatible architecture (have 'i386', need 'arm64e' or 'arm64e.v1')": "TFG802",
    "fat file, but missing compatible architecture (have 'x86_64,i386', need 'arm64')": "TFG802",
    # D-22, D-23: another system of Apple's
    "mach-o, but not built for platform macOS": "TFG814",
    "mach-o, but built for simulator (not macOS)": "TFG814",
    "mach-o file (/a/b.so), but incompatible platform (have 'iOS', need 'macOS')": "TFG814",
    "mach-o file (/a/b.so), but incompatible platform (have (iOS), need (macOS))": "TFG814",
    # D-25: another type of file
    "unloadable mach-o file type 1 '/a/b.so'": "TFG807",
    "mach-o, but wrong filetype": "TFG807",
    # D-27 to D-29: what is in it
    "load commands length (9000) exceeds length of file (4096)": "TFG811",
    "malformed mach-o image: segment __LINKEDIT has vmsize < filesize": "TFG806",
    "malformed mach-o image: symbol table overruns __LINKEDIT": "TFG806",
    "file is too small (length=27)": "TFG811",
    "load command #3 string offset (99) outside its size (24)": "TFG806",
    "load command #3 string extends beyond end of load command": "TFG806",
    "load command #3 LC_UUID size wrong": "TFG806",
    "load command #3 LC_SEGMENT_64 size does not match number of sections": "TFG806",
    "load command #3 unknown required load command 0x80000099": "TFG806",
    "malformed load command (3 of 9) at 0x1000 with mh=0x1000, size=3": "TFG806",
    "too many LC_UUID load commands": "TFG806",
    "missing LC_UUID load command": "TFG806",
    "multiple LC_ID_DYLIB found": "TFG806",
    "MH_DYLIB is missing LC_ID_DYLIB": "TFG806",
    "found LC_ID_DYLIB found in non-MH_DYLIB": "TFG806",
    "duplicate linked dylib '/usr/lib/libc++.1.dylib'": "TFG806",
    "missing LC_LOAD_DYLIB (must link with at least libSystem.dylib)": "TFG806",
    "duplicate LC_RPATH '@loader_path/../lib'": "TFG810",
    "segment '__TEXT' load command content extends beyond end of file": "TFG811",
    "segment '__DATA' filesize exceeds vmsize": "TFG806",
    "__DATA segment permissions has invalid bits set (0x00000008)": "TFG806",
    "__TEXT segment permissions is not 'r-x'": "TFG806",
    "__DATA_CONST segment missing SG_READ_ONLY flag": "TFG806",
    "'__DATA' segment vm range wraps": "TFG806",
    "section '__text' size too large 0x9000000000": "TFG806",
    "section '__text' start address 0x10 is before containing segment's address 0x1000": "TFG806",
    "section '__text' end address 0x9000 is beyond containing segment's end address 0x8000": "TFG806",
    "missing __TEXT segment": "TFG806",
    "__TEXT segment fileoffset is not zero": "TFG806",
    "load commands do not fit in __TEXT segment filesize": "TFG806",
    "vm range of segment '__DATA' overlaps segment '__TEXT'": "TFG806",
    "file range of segment '__DATA' overlaps segment '__TEXT'": "TFG806",
    "duplicate segment name '__DATA'": "TFG806",
    "segment '__DATA' file offset out of order": "TFG806",
    "segment '__DATA' vm address out of order": "TFG806",
    "cannot load 'b.so' (load command 0x80000034 is unknown)": "TFG806",
    # D-72: the signature
    f"code signature in {UUID}'/a/b.so' not valid for use in process: mapped file has no cdhash": "TFG805",
    f"code signature invalid in {UUID}'/a/b.so' (errno=1) sliceOffset=0x0, codeBlobOffset=0x1": "TFG805",
    "code signature invalid for '/a/b.so'": "TFG805",
    "code signature invalid (errno=1) sliceOffset=0x0, codeBlobOffset=0x1, codeBlobSize=0x1 for '/a/b.so'": "TFG805",
    "code signature not valid for use in process using Library Validation: different Team IDs": "TFG805",
    "code signature does not cover entire file up to signature": "TFG805",
    "cannot load 'b.so' (segment outside of code signature)": "TFG805",
    "code signing blocked mmap() of '/a/b.so'": "TFG805",
    f"code signature in {UUID}'/b.so' not valid for use in process: library load disallowed by system policy": "TFG805",
}
# What has no list of candidates: the whole message behind `dlopen(...): `, its kind, its cause.
ALONE = {
    "cannot link against bundle '/a/b.so'": ("dyld-reason", "TFG807"),
    "cannot link against a main executable '/a/b'": ("dyld-reason", "TFG807"),
    "can't load a main executable": ("dyld-reason", "TFG807"),
    "cannot dlopen() image marked for no dynamic access '/a/b.so'": ("dyld-reason", "TFG807"),
    "can't resolve symbol _x in /a/b.so because dependent dylib libc.dylib could not be loaded": (
        "dyld-symbol",
        "TFG803",
    ),
    "Symbol not found: _x\n  Referenced from: <U> /a/b.so\n  Expected as weak-def export from some loaded dylib": (
        "dyld-symbol",
        "TFG803",
    ),
    "Symbol not found: _x\n  Referenced from: <U> /a/b.so\n  Expected in:     <no uuid> unknown": (
        "dyld-symbol",
        "TFG803",
    ),
    "Library not loaded: @rpath/libx.dylib\n  Referenced from: <U> /a/b.so\n  Reason: no LC_RPATH's found": (
        "dyld-library",
        "TFG801",
    ),
}


@pytest.mark.parametrize("text", ALONE)
def test_messages_of_dyld_without_candidates(text: str) -> None:
    from tfguard.diagnosis.post_mortem import diagnose

    whole = f"ImportError: dlopen({TOP}, 0x0002): {text}"

    assert said(whole).kind == ALONE[text][0]
    assert diagnose(whole, look=False).findings[0].code == ALONE[text][1]


@pytest.mark.parametrize("why", REASONS)
@pytest.mark.parametrize("form", ["tried: '{0}' ({1})", "tried: '{0}' ({1}), '/usr/lib/b.so' (no such file)"])
def test_candidates_of_dyld(why: str, form: str) -> None:
    """Of the candidates tried, the one that was there and bad tells the cause."""
    from tfguard.diagnosis.post_mortem import diagnose

    report = diagnose(f"ImportError: dlopen({TOP}, 0x0002): " + form.format(TOP, why), look=False)

    assert report.findings[0].code == REASONS[why]


# --- the real loader

REAL: tuple[Case, ...] = tuple(
    case
    for case in (*cases_file.CASES, *cases_candidates.CASES, *cases_versions.CASES, *cases_symbols.CASES)
    if case.ends not in (LOADS, ANY)
)


@pytest.fixture(scope="module")
def real(compiler: Compiler) -> Iterator[dict[str, str]]:
    """What ld.so says of each case, once for a wording."""
    if not is_glibc_x86_64() or not COMMAND:
        pytest.skip("needs glibc on x86-64 and a C compiler")
    root = Path(tempfile.mkdtemp(prefix="tfguard-messages-"))
    root.chmod(0o755)
    asked: dict[str, Load] = {}
    wordings: set[str] = set()
    for number, case in enumerate(REAL):
        if case.ends in wordings:
            continue
        try:
            asked[case.id] = case.lay_out(Scene(root=root / f"{number}", compiler=compiler))
        except Unavailable:
            continue
        wordings.add(case.ends)
    answers = dict(zip(asked, ask(list(asked.values())), strict=True))
    try:
        yield {name: one.pairs[-1][1].message or one.pairs[-1][1].stderr for name, one in answers.items()}
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_what_the_loader_here_says(real: dict[str, str]) -> None:
    """Each of its messages has a shape, and the object it names is the one found."""
    texts = {name: text for name, text in real.items() if text.strip() and text.isprintable()}
    found = {name: messages(clean(text)) for name, text in texts.items()}

    assert [texts[name] for name, all_said in found.items() if not all_said] == []
    first = {name: min(all_said, key=lambda one: one.weight) for name, all_said in found.items()}
    assert {name for name, one in first.items() if one.kind not in JUDGES} == set()
    assert [texts[name] for name, one in first.items() if one.object and one.object not in texts[name]] == []
    assert len({one.kind for one in first.values()}) >= 12, {one.kind for one in first.values()}
