"""The ELF writer's files say what the compiler's say, to pyelftools and to the loader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from tests.support.build import COMMAND, Compiler
from tests.support.elf_writer import R_JUMP_SLOT, STB_WEAK, STT_FUNC, Export, Import, Library, write
from tests.support.here import is_glibc_x86_64
from tests.support.real_loader import Load, ask
from tfguard.binary.elf import look_at
from tfguard.binary.symbols import SymbolTable
from tfguard.image import Filtee, Image

pytestmark = pytest.mark.skipif(not is_glibc_x86_64() or not COMMAND, reason="needs glibc on x86-64 and gcc")

_PROVIDER = "int f(void) { return 1; } int g(void) { return 2; } int old(void) { return 3; }"
_MAP = "P_1 { global: f; old; }; P_2 { global: g; } P_1;"
_USER = """
int f(void); int g(void); int maybe(void) __attribute__((weak));
int use(void) { return f() + g() + (maybe ? maybe() : 0); }
"""
_DYNAMIC = ("DT_NEEDED", "DT_SONAME", "DT_RUNPATH")


def _pair_by_compiler(place: Path, compiler: Compiler) -> None:
    (place / "map").write_text(_MAP)
    provider = compiler.shared(
        place / "libp.so",
        _PROVIDER,
        "-Wl,-soname,libp.so",
        f"-Wl,--version-script={place}/map",
        "-Wl,--hash-style=both",
    )
    options = ("-Wl,-soname,libu.so", "-Wl,--enable-new-dtags,-rpath,$ORIGIN")
    compiler.shared(place / "libu.so", _USER, str(provider), *options)


def _pair_by_writer(place: Path) -> None:
    functions = (("f", "P_1"), ("old", "P_1"), ("g", "P_2"))
    provider = Library(
        soname="libp.so",
        exports=tuple(Export(name=name, version=version, type=STT_FUNC) for name, version in functions),
        has_sysv_hash=True,
    )
    user = Library(
        soname="libu.so",
        needed=("libp.so",),
        runpath="$ORIGIN",
        exports=(Export(name="use", type=STT_FUNC),),
        imports=(
            Import(name="f", file="libp.so", version="P_1", relocation=R_JUMP_SLOT),
            Import(name="g", file="libp.so", version="P_2", relocation=R_JUMP_SLOT),
            Import(name="maybe", binding=STB_WEAK),
        ),
    )
    (place / "libp.so").write_bytes(write(provider))
    (place / "libu.so").write_bytes(write(user))


def _said(path: Path) -> dict[str, Any]:  # Any: facts of several kinds
    """What a file says of names and versions, to pyelftools and to tfguard."""
    with path.open("rb") as file:
        segment = next(one for one in ELFFile(file).iter_segments() if isinstance(one, DynamicSegment))
        tags = [(tag["d_tag"], _text(tag)) for tag in segment.iter_tags() if tag["d_tag"] in _DYNAMIC]
        symbols = {
            symbol.name: (symbol["st_info"]["bind"], symbol["st_shndx"] == "SHN_UNDEF")
            for symbol in segment.iter_symbols()
            if symbol.name
        }
    image = look_at(str(path)).content
    assert isinstance(image, Image)
    table = SymbolTable(image)
    try:
        return {
            "tags": sorted(tags),
            "symbols": symbols,
            "needs": sorted((need.file, need.version) for need in table.versions.needs),
            "definitions": sorted(table.versions.defined_names),
            "references": sorted((one.name, one.need and one.need.version) for one in table.references(weak=True)),
            "found": {name: len(found) for name, found in table.find((b"f", b"g", b"old", b"use", b"none")).items()},
        }
    finally:
        table.close()


def _text(tag: Any) -> str:  # Any: pyelftools' DynamicTag
    return str(getattr(tag, {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RUNPATH": "runpath"}[tag["d_tag"]]))


def test_says_what_the_compiler_says(tmp_path: Path) -> None:
    """Names, symbols, versions, and what is found by hash, of a library and of one that uses it."""
    by_compiler, by_writer = tmp_path / "compiler", tmp_path / "writer"
    by_compiler.mkdir()
    by_writer.mkdir()
    _pair_by_compiler(by_compiler, Compiler(tmp_path / "built"))
    _pair_by_writer(by_writer)

    for name in ("libp.so", "libu.so"):
        ours, theirs = _said(by_writer / name), _said(by_compiler / name)
        # A linker exports the names of versions as symbols, too.
        theirs["symbols"] = {key: value for key, value in theirs["symbols"].items() if not key.startswith("P_")}
        assert ours == theirs


def test_filtees_stand_where_they_are_said(tmp_path: Path) -> None:
    """Among what is needed, in file order, as the reader gives them."""
    filtees = (Filtee("libf.so", optional=False, after=0), Filtee("libg.so", optional=True, after=1))
    path = tmp_path / "libx.so"
    path.write_bytes(write(Library(soname="libx.so", needed=("liba.so", "libb.so"), filtees=filtees)))

    image = look_at(str(path)).content
    with path.open("rb") as file:
        dynamic = next(one for one in ELFFile(file).iter_segments() if isinstance(one, DynamicSegment))
        tags = [tag.entry.d_tag for tag in dynamic.iter_tags()][:4]

    assert isinstance(image, Image)
    assert (image.needed, image.filtees) == (("liba.so", "libb.so"), filtees)
    assert tags == ["DT_FILTER", "DT_NEEDED", "DT_AUXILIARY", "DT_NEEDED"]


def test_loads_as_the_compiler_s_does(tmp_path: Path) -> None:
    """The loader maps both pairs, and finds every symbol."""
    _pair_by_writer(tmp_path)

    (answer,) = ask([Load(names=((str(tmp_path / "libu.so"), os.RTLD_NOW),))])
    assert answer.pairs[0][1].mapped == (str(tmp_path / "libu.so"), str(tmp_path / "libp.so"))
    assert answer.disagreement is None
