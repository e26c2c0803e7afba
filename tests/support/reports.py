"""Reports to render: one good, several bad, and one in which every text is hostile."""

from __future__ import annotations

import shlex
from pathlib import Path

from tfguard.binary.symbols import Reference
from tfguard.finding import Finding, Remedy
from tfguard.hosts.host import Host, LoadedImage
from tfguard.image import EM_X86_64, ET_DYN, Image, VersionNeed
from tfguard.loader.trace import ABSENT, ALREADY_LOADED, TAKEN, Attempt, Failure, Lookup, Mapped, Trace
from tfguard.report import Report

HOSTILE = "lib\x1b[31m\n<script>alert('x')</script>\udcff\u202e\x00.so"
PRINTABLE = r"lib\x1b[31m\n<script>alert('x')</script>\xff\u202e\x00.so"


def image(path: str, **facts: object) -> Image:
    values: dict[str, object] = {
        "path": path,
        "device": 1,
        "inode": 2,
        "size": 4096,
        "elf_class": 64,
        "little_endian": True,
        "type": ET_DYN,
        "machine": EM_X86_64,
        "segments": (),
        "dynamic": {},
        "needed": ("libgomp.so.1", "libc.so.6"),
        "soname": None,
        "rpath": None,
        "runpath": "$ORIGIN/../lib",
        "section_end": 4096,
    }
    return Image(**(values | facts))  # type: ignore[arg-type]  # the values above, as a table


MISSING = Finding(
    code="TFG201",
    slug="needed-library-missing",
    severity="error",
    message="libgomp.so.1 is in none of the places the loader looks",
    evidence=(
        ("needed by", "roi_pooling.so"),
        ("already loaded", "no library of that name in this process"),
        ("LD_LIBRARY_PATH", "not set when this process started"),
        ("RUNPATH", "$ORIGIN/../lib                      no such file"),
        ("ld.so.cache", "no entry"),
        ("default", "4 directories                       no such file"),
    ),
    remedies=(
        Remedy("Install the system package that has it (this is Debian 12).", "apt-get install libgomp1"),
        Remedy(
            "Start Python with its directory on the search path (fill in DIR)",
            "LD_LIBRARY_PATH=DIR python your_script.py",
        ),
    ),
)
CUT = Finding(
    code="TFG117",
    slug="damaged-but-loads",
    severity="warning",
    message="libtensorflow_framework.so.2 is shorter than it says, and loads",
    path=Path("/opt/env/lib/libtensorflow_framework.so.2"),
    evidence=(("has", "10 bytes"), ("says", "20 bytes")),
)
FOREIGN = Finding(
    code="TFG101",
    slug="wrong-machine",
    severity="error",
    message="op.so is built for aarch64, this process is x86-64",
    path=Path("/a/rather/long/path/with a space in it/and/then/still/some/more/of/it/op.so"),
    loader_message="/a/rather/long/path/with a space in it/and/then/still/some/more/of/it/op.so: cannot open"
    " shared object file: No such file or directory",
    evidence=(("have", "aarch64"), ("need", "x86-64")),
    remedies=(Remedy("Get the build for x86-64"),),
)

OP = Mapped("./op.so", "./op.so", None, "path", image("./op.so"))
GOMP = Mapped("/lib/libgomp.so.1", "libgomp.so.1", "./op.so", "ld_so_cache", image("/lib/libgomp.so.1"))
GOOD = Trace(
    target="./op.so",
    lookups=(
        Lookup("./op.so", None, (Attempt("path", "./op.so", TAKEN),), "./op.so"),
        Lookup("libgomp.so.1", "./op.so", (Attempt("ld_so_cache", GOMP.path, TAKEN),), GOMP.path),
        Lookup(
            "libc.so.6", "./op.so", (Attempt("already_loaded", "/lib/libc.so.6", ALREADY_LOADED),), "/lib/libc.so.6"
        ),
        Lookup("libop.so", GOMP.path, (Attempt("already_loaded", "./op.so", ALREADY_LOADED),), "./op.so"),
    ),
    images=(OP, GOMP),
    resolved=True,
)
BAD_LOOKUP = Lookup(
    "libgomp.so.1",
    "./op.so",
    (
        Attempt("runpath", "./../lib/libgomp.so.1", ABSENT),
        Attempt("default_directories", "/lib/libgomp.so.1", "permission denied", "Permission denied"),
    ),
    None,
)
BAD = Trace(
    target="./op.so",
    lookups=(GOOD.lookups[0], BAD_LOOKUP),
    images=(OP,),
    failure=Failure(
        kind="missing",
        rule="G-65",
        message="libgomp.so.1: cannot open shared object file: No such file or directory",
        path="/lib/libgomp.so.1",
        name="libgomp.so.1",
        requirer="./op.so",
        lookup=BAD_LOOKUP,
        needs=(VersionNeed("libgomp.so.1", "GOMP_4.0", False, 2),),
        references=(Reference(b"GOMP_parallel\xff", VersionNeed("libgomp.so.1", "GOMP_4.0", False, 2), 7),),
    ),
)


def hostile_report() -> Report:
    """Every text of it holds an escape sequence, a line end, markup, a stray byte and a bidi override."""
    finding = Finding(
        code=HOSTILE,
        slug=HOSTILE,
        severity="error",
        message=HOSTILE,
        path=Path("/x/" + HOSTILE.replace("\0", "")),
        loader_message=f"{HOSTILE}: says",
        evidence=((HOSTILE, f"{HOSTILE} fact"),),
        remedies=(Remedy(HOSTILE, f"rm {shlex.quote(HOSTILE)}"),),
    )
    mapped = Mapped(HOSTILE, HOSTILE, None, HOSTILE, image(HOSTILE, soname=HOSTILE, needed=(HOSTILE,)))
    attempt = Attempt(HOSTILE, HOSTILE, TAKEN, HOSTILE)
    trace = Trace(
        target=HOSTILE,
        lookups=(Lookup(HOSTILE, None, (attempt,), HOSTILE), Lookup(HOSTILE, HOSTILE, (attempt,), None)),
        images=(mapped,),
        failure=Failure(kind=HOSTILE, rule=HOSTILE, message=HOSTILE, path=HOSTILE, name=HOSTILE, requirer=HOSTILE),
        notes=(HOSTILE,),
    )
    host = Host(
        executable=HOSTILE,
        environment={"LD_LIBRARY_PATH": HOSTILE},
        loaded=(LoadedImage(path=HOSTILE, image=image(HOSTILE)),),
        skipped=(HOSTILE,),
    )
    return Report(target=HOSTILE, host=host, findings=(finding,), traces=(trace,), skipped=(HOSTILE,))
