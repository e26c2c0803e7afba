"""What other readers say of a Mach-O file, in our words: macholib, LIEF, llvm-objdump and llvm-nm."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfguard.binary.macho import look_at_macho, open_source
from tfguard.binary.macho_symbols import MachoSymbols
from tfguard.macho_image import LC_LOAD_DYLIB, LC_RPATH, MachoImage

_LOADS = (LC_LOAD_DYLIB, 0x80000018, 0x8000001F, 0x80000023)


def images_of(path: Path) -> list[MachoImage]:
    """All slices of a sound file."""
    return [one.content for one in look_at_macho(str(path)).slices if isinstance(one.content, MachoImage)]


def by_macholib(path: Path) -> str | None:
    """The first thing that macholib sees otherwise, None where it agrees."""
    from macholib.MachO import MachO

    images = images_of(path)
    headers = MachO(str(path), allow_unknown_load_commands=True).headers
    if len(headers) != len(images):
        return f"{len(headers)} slices, here {len(images)}"
    for header, image in zip(headers, images, strict=True):
        theirs = _macholib_facts(header)
        ours = {
            "architecture": (image.cputype, image.cpusubtype),
            "file type": image.filetype,
            "flags": image.flags,
            "offset": image.offset,
            "segments": [(one.name, one.vmaddr, one.vmsize, one.offset, one.filesize) for one in image.segments],
            "needed": [(one.name, one.current, one.compatibility) for one in image.dependents],
            "rpaths": list(image.rpaths),
            "install name": image.install_name,
            "uuid": image.uuid,
            "builds": [(one.platform, *one.minos, *one.sdk) for one in image.builds],
            "symbols": image.symbols,
            "signature": tuple(image.signature),
        }
        for name, fact in ours.items():
            if fact != theirs[name]:
                return f"{name}: {fact!r}, macholib: {theirs[name]!r}"
    return None


def _macholib_facts(header: Any) -> dict[str, object]:  # Any: macholib has no types
    facts: dict[str, Any] = {"segments": [], "needed": [], "rpaths": [], "builds": []}
    facts.update({"install name": None, "uuid": None, "symbols": (0, 0, 0, 0), "signature": (0, 0)})
    facts["architecture"] = (int(header.header.cputype), int(header.header.cpusubtype) & 0xFFFFFFFF)
    facts["file type"], facts["flags"] = int(header.header.filetype), int(header.header.flags)
    facts["offset"] = header.offset
    for load, command, data in header.commands:
        number = int(load.cmd) & 0xFFFFFFFF
        if number == 0x19:
            name = bytes(command.segname).partition(b"\0")[0].decode()
            words = (command.vmaddr, command.vmsize, command.fileoff, command.filesize)
            facts["segments"].append((name, *map(int, words)))
        elif number in _LOADS:
            name = data.partition(b"\0")[0].decode()
            facts["needed"].append((name, _word(command.current_version), _word(command.compatibility_version)))
        elif number == LC_RPATH:
            facts["rpaths"].append(data.partition(b"\0")[0].decode())
        elif number == 0xD:
            facts["install name"] = data.partition(b"\0")[0].decode()
        elif number == 0x1B:
            facts["uuid"] = bytes(command.uuid)
        elif number == 0x32:
            facts["builds"].append((int(command.platform), *_version(command.minos), *_version(command.sdk)))
        elif number == 0x24:
            facts["builds"].append((1, *_version(command.version), *_version(command.sdk)))
        elif number == 0x2:
            facts["symbols"] = tuple(map(int, (command.symoff, command.nsyms, command.stroff, command.strsize)))
        elif number == 0x1D:
            facts["signature"] = (int(command.dataoff), int(command.datasize))
    return facts


def _version(word: Any) -> tuple[int, int, int]:  # Any: macholib has no types
    number = _word(word)
    return number >> 16, number >> 8 & 0xFF, number & 0xFF


def _word(word: Any) -> int:  # Any: macholib has no types
    return int(getattr(word, "_version", word))


def by_lief(path: Path) -> str | None:
    """The first thing about exports and bindings that LIEF sees otherwise."""
    import lief

    parsed = lief.MachO.parse(str(path), lief.MachO.ParserConfig.deep)
    if parsed is None:
        return "LIEF reads nothing"
    for binary, image in zip(parsed, images_of(path), strict=True):
        table = MachoSymbols(image, open_source(str(path)))
        exported = {name for name, _ in table.exports()}
        tables = binary.dyld_exports_trie or binary.dyld_info
        theirs = {_raw(one.symbol.name) for one in (tables.exports if tables is not None else ()) if one.symbol}
        if exported != theirs:
            return f"{len(exported ^ theirs)} exports differ: {sorted(exported ^ theirs)[:3]}"
        bound = {_raw(one.symbol.name) for one in binary.bindings if one.symbol and _is_strong_stream(one)}
        ours = {one.name for one in table.imports()}
        table.close()
        # LIEF takes chained imports from the chains: our own writer's files have the imports and no chain
        has_no_chains = bool(image.chained_fixups.size) and not bound
        if bound != ours and not has_no_chains:
            return f"{len(bound ^ ours)} imports differ: {sorted(bound ^ ours)[:3]}"
    return None


def _is_strong_stream(binding: Any) -> bool:  # Any: LIEF's classes of bindings
    return "WEAK" not in str(getattr(binding, "binding_class", ""))


def _raw(name: str | bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name


OBJDUMP, NM = shutil.which("llvm-objdump"), shutil.which("llvm-nm")


def by_llvm(path: Path) -> str | None:
    """The first thing that llvm-objdump sees otherwise: libraries, rpaths, binds, exports."""
    for image in images_of(path):
        table = MachoSymbols(image, open_source(str(path)))
        architecture = ["--arch", image.architecture]
        needed = [line.split(" (compat")[0].strip() for line in _objdump(path, "--dylibs-used", *architecture)[1:]]
        if needed not in ([*image.needed], [image.install_name, *image.needed]):
            return f"needed: {needed}, here {image.needed}"
        bound = set(_binds(_objdump(path, "--bind", "--lazy-bind", *architecture)))
        ours = {one.name for one in table.imports()}
        table.close()
        if image.chained_fixups.size:
            continue  # llvm-objdump 14 reads neither their imports nor their separate export trie
        if bound != ours:
            return f"imports differ: {sorted(bound ^ ours)[:3]}"
        listed = {found[1].encode() for line in _objdump(path, "--exports-trie", *architecture)
                  if (found := re.match(r"(?:0x[0-9A-F]+|\[re-export\])\s+(\S+)", line))}  # fmt: skip
        exported = {name for name, _ in MachoSymbols(image, open_source(str(path))).exports()}
        if listed != exported:
            return f"exports differ: {sorted(listed ^ exported)[:3]}"
    return None


def by_nm(path: Path) -> str | None:
    """The first thing that llvm-nm sees otherwise: its symbols come from LC_SYMTAB, ours from binds and export trie."""
    for image in images_of(path):
        if not image.symbols[1]:
            continue  # stripped of the table: dyld does not need it
        table = MachoSymbols(image, open_source(str(path)))
        exported = {name for name, _ in table.exports()}
        # a weak C++ definition is bound like an import, and is one of the file's own
        ours = {one.name for one in table.imports()} - exported, exported
        table.close()
        undefined = _nm(path, "--undefined-only", image.architecture)
        defined = _nm(path, "--defined-only", image.architecture)
        for what, here, there in (("imports", ours[0], undefined), ("exports", ours[1], defined)):
            if here != there:
                return f"{what} differ: {sorted(here ^ there)[:3]}"
    return None


def _nm(path: Path, which: str, architecture: str) -> set[bytes]:
    assert NM is not None
    command = [NM, f"--arch={architecture}", "--extern-only", "--just-symbol-name", "--no-sort", which, str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    return {line for line in done.stdout.splitlines() if line and not line.endswith(b":")}


def _binds(lines: list[str]) -> Iterator[bytes]:
    for line in lines:
        words = line.split()
        if len(words) >= 5 and words[0].startswith("__"):
            end = next((index for index, word in enumerate(words) if word.startswith("(weak")), len(words))
            yield words[end - 1].encode()


def _objdump(path: Path, *options: str) -> list[str]:
    assert OBJDUMP is not None
    done = subprocess.run(
        [OBJDUMP, "--macho", *options, str(path)], capture_output=True, check=True, errors="surrogateescape", text=True
    )
    return done.stdout.splitlines()
