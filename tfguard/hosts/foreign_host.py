"""Describes a process that does not run: a program on this machine, or the Python of another directory tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import replace

from tfguard.binary.program import loader_of
from tfguard.hosts.foreign import Foreign
from tfguard.hosts.foreign_mac import host_of_mac_tree, is_mac
from tfguard.hosts.foreign_python import find_python, interpreter_at
from tfguard.hosts.host import Host, LoadedImage, Processor, kernel_release
from tfguard.hosts.live import isa_level_of, legacy_hwcaps_of, platform_token_of
from tfguard.hosts.loader_family import LoaderFile, glibc_version, read_loader, system_directories
from tfguard.hosts.loader_file import lib_token
from tfguard.hosts.processor import look_at_processor
from tfguard.hosts.root import HERE, Root
from tfguard.image import EM_386, EM_AARCH64, EM_X86_64, Image
from tfguard.loader.processes import knows, start

_LIBC_LIMIT = 1 << 23
_PLATFORMS = {EM_X86_64: "x86_64", EM_AARCH64: "aarch64", EM_386: "i686"}
# What nearly every server has; nothing in a tree says on what it will run.
_USUAL_LEVEL = 3
_SEVERAL_PAGE_SIZES = (EM_AARCH64, 8, 21, 258)


def host_of_root(
    directory: str | os.PathLike[str], python: str | None = None, *, environment: Mapping[str, str] | None = None
) -> Host:
    """The process of a Python that would run with `directory` as its "/", from the files there alone.

    `python` is its path as that process would spell it, with or without the first slash; where none is given, the
    one that `python3` would most likely be there. `environment` is that of the process: the loader's variables and
    those of Python. Nothing is run. Raises OSError where the directory or the Python cannot be read, ValueError where
    it has no Python, or something else in its place.
    """
    place = os.path.realpath(directory)
    if not os.path.isdir(place):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)
    root, given = Root(place), environment or {}
    if is_mac(root):
        return host_of_mac_tree(root, python, given)
    path = find_python(root) if python is None else f"/{python.lstrip('/')}"
    if root.is_here and python is not None:
        path = os.path.abspath(python)
    if path is None:
        raise ValueError(f"no Python is found in {place}; say which it is")
    host = host_of_program(path, root, environment=given, cwd=os.getcwd() if root.is_here else "/")
    skipped = list(host.skipped)
    platform = f"{_PLATFORMS.get(host.machine, 'unknown')}-linux-{'musl' if host.loader == 'musl' else 'gnu'}"
    interpreter = interpreter_at(path, root, given, skipped, platform=platform, bits=host.elf_class, cwd=host.cwd)
    assert host.foreign is not None
    return replace(host, foreign=host.foreign._replace(python=interpreter), skipped=tuple(skipped))


def host_of_program(
    program: str, root: Root = HERE, *, environment: Mapping[str, str] | None = None, cwd: str = "/"
) -> Host:
    """The process of a program as its loader hands it over: start-up played, everything that needs mapped.

    Raises OSError where the program cannot be read and ValueError where it is none that Linux could start.
    """
    host, image = _before_start(program, root, environment or {}, cwd)
    if not knows(host) or host.foreign is None:
        return host
    with start(host) as process:
        trace = process.start_program(program)
    loaded = [LoadedImage("", image, startup=True)]
    loaded += [
        LoadedImage(one.path, one.image, startup=True) for one in trace.images[1:] if isinstance(one.image, Image)
    ]
    own = host.look_at(host.foreign.loader).content
    loaded.append(LoadedImage(host.foreign.loader, own if isinstance(own, Image) else None, startup=True))
    return replace(host, loaded=tuple(loaded), foreign=host.foreign._replace(start=trace))


def _before_start(program: str, root: Root, environment: Mapping[str, str], cwd: str) -> tuple[Host, Image]:
    skipped: list[str] = []
    assumed: list[str] = []
    base = Host(foreign=Foreign(root), cwd=cwd, executable=program, environment=environment)
    head = base.look_at(program)
    if head.errno or head.read_errno:
        number = head.errno or head.read_errno
        raise OSError(number, os.strerror(number), program)
    image = head.content
    if not isinstance(image, Image):
        raise ValueError(f"{program} is no program that a loader starts: {_what(head.start)}")
    loader_path = loader_of(head)
    family = _loader(program, loader_path, root, skipped)
    same = image.machine == _this_machine()
    processor = look_at_processor(image.machine) if same else Processor()
    flags, intel = processor.features, processor.intel
    if not same and image.machine == EM_X86_64:
        assumed.append("the processor is not known: one of level x86-64-v3 is assumed")
    if image.machine in _SEVERAL_PAGE_SIZES and not root.is_here:
        assumed.append("the page size of the system that will run it is not known: 4096 bytes are assumed")
    level = 0 if image.machine != EM_X86_64 else isa_level_of(flags) if same else _USUAL_LEVEL
    host = replace(
        base,
        loader=family.family or "unknown",
        foreign=Foreign(root, loader_path or "", assumed=tuple(assumed)),
        version=_version(family, root, skipped),
        features=family.features,
        elf_class=image.elf_class,
        little_endian=image.little_endian,
        machine=image.machine,
        page_size=os.sysconf("SC_PAGESIZE") if same and root.is_here else 4096,
        kernel=kernel_release(os.uname().release) if root.is_here else 0,
        system_directories=system_directories(family, loader_path or "", root),
        cache_path=family.cache,
        lib_token=lib_token(family.directories),
        platform_token=platform_token_of(image.machine, flags, intel),
        legacy_hwcaps=legacy_hwcaps_of(image.machine, flags, intel),
        isa_level=level,
        intel=intel,
        processor=processor if root.is_here else Processor(),
        skipped=tuple(skipped),
    )
    return host, image


def _what(start: bytes) -> str:
    if start.startswith(b"#!"):
        words = start[2:].partition(b"\n")[0]
        return f"a script for {os.fsdecode(words.strip())}"
    return "an ELF file that cannot be read" if start.startswith(b"\x7fELF") else "no ELF file"


def _loader(program: str, path: str | None, root: Root, skipped: list[str]) -> LoaderFile:
    if path is None:
        skipped.append(f"{program} is linked statically: it has no loader")
        return LoaderFile("")
    if not root.exists(path):
        where = "this machine" if root.is_here else root.directory
        skipped.append(f"{program} asks for the loader {path}, which {where} does not have")
        return LoaderFile("")
    found = read_loader(root.outside(path))
    if not found.family:
        skipped.append(f"{path}, the loader of {program}, is none that tfguard knows")
    return found


def _version(found: LoaderFile, root: Root, skipped: list[str]) -> tuple[int, int]:
    if found.version is not None:
        return found.version
    for folder in found.directories:
        data = root.read(f"{folder}/libc.so.6", _LIBC_LIMIT)
        if data is not None and (version := glibc_version(data)) is not None:
            return version
    if found.family:
        skipped.append(f"the version of {found.family} could not be read: the oldest in use is assumed")
    return (2, 17)


def _this_machine() -> int:
    names = {"x86_64": EM_X86_64, "AMD64": EM_X86_64, "aarch64": EM_AARCH64, "arm64": EM_AARCH64, "i686": EM_386}
    return names.get(os.uname().machine, 0)
