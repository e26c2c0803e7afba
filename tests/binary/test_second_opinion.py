"""Our readers and pyelftools agree on every ELF file of the system, and of TensorFlow where it is installed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from elftools.elf.dynamic import DynamicSegment, DynamicTag
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection
from elftools.elf.hash import ELFHashTable, GNUHashTable
from elftools.elf.sections import SymbolTableSection

from tests.support.here import is_glibc
from tfguard.binary.elf import look_at
from tfguard.binary.hashes import gnu_hash, sysv_hash
from tfguard.binary.ldcache import read_cache
from tfguard.binary.symbols import SymbolTable
from tfguard.hosts.live import this_host
from tfguard.image import Image

pytestmark = pytest.mark.skipif(not is_glibc(), reason="needs glibc")

SYMBOLS_A_FILE = 40
_TENSORFLOW = Path(sysconfig.get_path("purelib")) / "tensorflow"
_DEFINING_TYPES = ("STT_NOTYPE", "STT_OBJECT", "STT_FUNC", "STT_COMMON", "STT_TLS", "STT_LOOS")
_ABSENT = b"tfguard_no_such_symbol"
_BINDINGS = ("STB_GLOBAL", "STB_WEAK", "STB_LOOS")


def elf_files(places: Iterable[str], *, below: bool) -> Iterator[Path]:
    """Every regular ELF file in the places, each once; `below` looks into directories too."""
    seen: set[tuple[int, int]] = set()
    for place in places:
        for path in sorted(Path(os.path.realpath(place)).glob("**/*" if below else "*")):
            if not path.is_file():
                continue
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def difference(path: Path) -> str | None:
    """The first thing about which the two readers differ, or None."""
    content = look_at(str(path)).content
    with path.open("rb") as file:
        elf = ELFFile(file)
        if elf["e_type"] not in ("ET_DYN", "ET_EXEC"):
            return None
        segment = next((one for one in elf.iter_segments() if isinstance(one, DynamicSegment)), None)
        if not isinstance(content, Image):
            return None if segment is None or segment["p_filesz"] == 0 else f"only pyelftools reads it: {content}"
        if segment is None:
            return "only tfguard sees a dynamic section"
        facts = _facts(content)
        for name, theirs in _their_facts(elf, segment).items():
            if facts[name] != theirs:
                return f"{name}: {facts[name]!r}, pyelftools: {theirs!r}"
        return _version_difference(elf, content) or _symbol_difference(elf, content)


def _facts(image: Image) -> dict[str, object]:
    return {
        "class": image.elf_class,
        "little endian": image.little_endian,
        "type": image.type,
        "machine": image.machine,
        "segments": [tuple(one) for one in image.segments],
        "needed": list(image.needed),
        "soname": image.soname,
        "rpath": image.rpath,
        "runpath": image.runpath,
        "dynamic": image.dynamic,
    }


def _their_facts(elf: ELFFile, segment: DynamicSegment) -> dict[str, object]:
    raw = elf.stream
    raw.seek(16)
    order: Literal["little", "big"] = "little" if elf.little_endian else "big"
    words = raw.read(4)
    tags = [tag for tag in segment.iter_tags() if tag["d_tag"] != "DT_NULL"]
    single = {tag["d_tag"]: tag for tag in tags}

    def text(tag: str, attribute: str) -> str | None:
        return _attribute(single[tag], attribute) if tag in single else None

    return {
        "class": elf.elfclass,
        "little endian": elf.little_endian,
        "type": int.from_bytes(words[:2], order),
        "machine": int.from_bytes(words[2:], order),
        "segments": [
            (_number(elf, index, 0), _number(elf, index, 1), *(one[f"p_{name}"] for name in _SEGMENT_FIELDS))
            for index, one in enumerate(elf.iter_segments())
        ],
        "needed": [_attribute(tag, "needed") for tag in tags if tag["d_tag"] == "DT_NEEDED"],
        "soname": text("DT_SONAME", "soname"),
        "rpath": text("DT_RPATH", "rpath"),
        "runpath": text("DT_RUNPATH", "runpath"),
        "dynamic": {_tag_number(elf, tag.entry): tag["d_val"] for tag in tags},
    }


def _attribute(tag: DynamicTag, name: str) -> str:
    """The string that pyelftools adds to a tag, under a name that goes with the tag."""
    return str(getattr(tag, name))


_SEGMENT_FIELDS = ("offset", "vaddr", "filesz", "memsz", "align")


def _number(elf: ELFFile, index: int, field: int) -> int:
    """p_type or p_flags as a number: pyelftools gives the first as a name."""
    segment = elf.get_segment(index)
    if field == 1:
        return int(segment["p_flags"])
    elf.stream.seek(elf["e_phoff"] + index * elf["e_phentsize"])
    return int.from_bytes(elf.stream.read(4), "little" if elf.little_endian else "big")


def _tag_number(elf: ELFFile, entry: Any) -> int:  # Any: pyelftools' Container
    from elftools.elf.enums import ENUM_D_TAG

    tag = entry.d_tag
    return int(tag if isinstance(tag, int) else ENUM_D_TAG[tag])


def _version_difference(elf: ELFFile, image: Image) -> str | None:
    sections = list(elf.iter_sections())
    needs = [
        (library.name, aux.name, bool(aux["vna_flags"] & 2), aux["vna_other"])
        for section in sections
        if isinstance(section, GNUVerNeedSection)
        for library, auxiliaries in section.iter_versions()
        for aux in auxiliaries
    ]
    definitions = {
        entry["vd_ndx"]: next(auxiliaries).name
        for section in sections
        if isinstance(section, GNUVerDefSection)
        for entry, auxiliaries in section.iter_versions()
        if not entry["vd_flags"] & 1
    }
    table = SymbolTable(image)
    try:
        ours = [tuple(need) for need in table.versions.needs]
        if ours != needs:
            return f"version needs: {ours}, pyelftools: {needs}"
        if table.versions.definitions != definitions:
            return f"version definitions: {table.versions.definitions}, pyelftools: {definitions}"
    finally:
        table.close()
    return None


def _symbol_difference(elf: ELFFile, image: Image) -> str | None:
    """A sample of names, and some that nobody has, looked up in both ways."""
    section = elf.get_section_by_name(".dynsym")
    if not isinstance(section, SymbolTableSection) or section.num_symbols() < 2:
        return None
    versions = next((one for one in elf.iter_sections() if isinstance(one, GNUVerSymSection)), None)
    chooser = random.Random(str(image.path))
    count = section.num_symbols()
    chosen = sorted(chooser.sample(range(1, count), min(SYMBOLS_A_FILE, count - 1)))
    table = SymbolTable(image)
    try:
        for index in chosen:
            symbol = section.get_symbol(index)
            name = symbol.name.encode()
            found = {one.position: one for one in table.find((name,))[name]}
            info, value = symbol["st_info"], symbol["st_value"]
            defines = (
                (value or symbol["st_shndx"] == "SHN_ABS" or info["type"] == "STT_TLS")
                and info["type"] in _DEFINING_TYPES
                and info["bind"] in _BINDINGS
                and symbol["st_other"]["visibility"] in ("STV_DEFAULT", "STV_PROTECTED")
                and symbol["st_shndx"] != "SHN_UNDEF"
                and bool(name)
            )
            if symbol["st_shndx"] != "SHN_UNDEF" and defines != (index in found):
                return f"symbol {index}, {symbol.name}: {found}, pyelftools: {dict(symbol.entry)}"
            if index in found and found[index].value != value:
                return f"symbol {index}, {symbol.name}: value {found[index].value}, pyelftools: {value}"
            if index in found and versions is not None:
                theirs = versions.get_symbol(index)["ndx"]
                theirs = {"VER_NDX_LOCAL": 0, "VER_NDX_GLOBAL": 1}.get(theirs, theirs)
                if found[index].versym is None or found[index].versym != theirs:
                    return f"version of symbol {index}, {symbol.name}: {found[index].versym}, pyelftools: {theirs}"
        if table.find((_ABSENT,))[_ABSENT]:
            return "a symbol is found that nobody has"
    finally:
        table.close()
    return None


def test_system_libraries() -> None:
    """Every ELF file in and below the directories that ld.so searches by default."""
    paths = list(elf_files(this_host().system_directories, below=True))
    wrong = [f"{path}: {words}" for path in paths if (words := difference(path)) is not None]

    assert len(paths) > 10
    assert not wrong, "\n".join(wrong)


@pytest.mark.tensorflow
@pytest.mark.skipif(not _TENSORFLOW.is_dir(), reason="TensorFlow is not installed here")
def test_tensorflow_libraries() -> None:
    """Every shared object of the TensorFlow wheel."""
    paths = [path for path in elf_files([str(_TENSORFLOW)], below=True) if ".so" in path.name]
    wrong = [f"{path}: {words}" for path in paths if (words := difference(path)) is not None]

    assert len(paths) > 10
    assert not wrong, "\n".join(wrong)


def test_hashes_are_those_of_pyelftools() -> None:
    """Both hash functions, on names of many lengths."""
    chooser = random.Random(5)
    names = ["", "a", "main", "_ZNSt6vectorIiSaIiEE9push_backERKi", "caf\u00e9", "x" * 5000]
    names += ["".join(chooser.choices("abcXYZ_0189$@.", k=chooser.randrange(1, 300))) for _ in range(500)]

    for name in names:
        assert gnu_hash(name.encode()) == GNUHashTable.gnu_hash(name)
        assert sysv_hash(name.encode()) == ELFHashTable.elf_hash(name)


@pytest.mark.skipif(shutil.which("ldconfig", path="/sbin:/usr/sbin:/usr/bin") is None, reason="there is no ldconfig")
def test_cache_is_that_of_ldconfig() -> None:
    """The entries of ld.so.cache in the order and with the paths that `ldconfig -p` prints."""
    command = shutil.which("ldconfig", path="/sbin:/usr/sbin:/usr/bin") or ""
    printed = subprocess.run([command, "-p"], check=True, capture_output=True).stdout
    theirs = [
        (line.split(b" ")[0].strip(), line.partition(b" => ")[2]) for line in printed.splitlines() if b" => " in line
    ]
    cache = read_cache("/etc/ld.so.cache")
    ours = [entry for name in cache.names() for entry in cache.look_up(os.fsdecode(name))]

    assert {os.fsencode(entry.path) for entry in ours} == {path for _, path in theirs}
    assert len(ours) == len(theirs)
