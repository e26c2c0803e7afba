"""Looks at the running process: this_host(), the only look at the world that a check takes besides its files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from tfguard.binary.elf import look_at
from tfguard.hosts.host import Host, LoadedImage, kernel_release
from tfguard.hosts.limits import look_at_limits
from tfguard.hosts.loader_file import glibc_facts, lib_token
from tfguard.hosts.processor import look_at_processor, masked_features
from tfguard.image import EM_AARCH64, EM_X86_64, PF_X, PT_LOAD, Image

if TYPE_CHECKING:
    from tfguard.hosts.loader_family import LoaderFile

_TOKEN_PLATFORMS = {EM_X86_64: "x86_64", EM_AARCH64: "aarch64"}

# x86-64 psABI, micro-architecture levels, by the names of /proc/cpuinfo (ld-so.md G-53, H-06).
_ISA_LEVELS = (
    ("sse2", "cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"),
    ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"),
    ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
)

_PR_GET_MDWE = 66

LOADER_VARIABLES = frozenset(
    ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_BIND_NOW", "GLIBC_TUNABLES", "LD_ASSUME_KERNEL")
)


def this_host() -> Host:
    """The process this is called in.

    Reads files under /proc, the loader's own file and the headers of the loaded objects; loads and runs nothing.
    What cannot be found out is named in `Host.skipped`, and the most usual value stands in for it.
    """
    if sys.platform == "darwin":
        from tfguard.hosts.live_mac import this_mac

        return this_mac()
    skipped: list[str] = []
    environment = _initial_environment(skipped)
    paths, sees_global_symbol = _loaded_objects(skipped)
    loader_path = next((path for path in paths if os.path.basename(path).startswith(("ld-linux", "ld.so", "ld64"))), "")
    features, system_directories = _loader_file(loader_path)
    loader = "glibc" if loader_path and system_directories else "unknown"
    version = _glibc_version()
    if not loader_path and (musl := _musl(paths)) is not None:
        found, system_directories = musl
        loader, version, features = "musl", found.version or (1, 2), found.features
    if loader == "unknown":
        skipped.append("the dynamic loader of this process is none that tfguard knows")
    started = _started_through(loader_path, environment, skipped)
    if not started.understood:
        loader = "unknown"
    environment = started.environment
    program = look_at(started.program).content
    if not isinstance(program, Image):
        skipped.append("the headers of the running program could not be read")
    machine = program.machine if isinstance(program, Image) else EM_X86_64
    processor = look_at_processor(machine)
    flags, intel = processor.features, processor.intel
    secure = _is_secure()
    used = flags - masked_features("" if secure else environment.get("GLIBC_TUNABLES", ""), version)
    return Host(
        loader=loader,
        version=version,
        features=features,
        elf_class=program.elf_class if isinstance(program, Image) else 64,
        little_endian=sys.byteorder == "little",
        machine=machine,
        page_size=os.sysconf("SC_PAGESIZE"),
        kernel=kernel_release(os.uname().release) if "checks-abi-tag" in features else 0,
        executable=sys.executable,
        loaded=_loaded_images(paths, program if isinstance(program, Image) else None, environment),
        environment=environment,
        late_library_path=os.environ.get("LD_LIBRARY_PATH"),
        secure=secure,
        refuses_write_execute=_refuses_write_execute(),
        cwd=_cwd(skipped),
        system_directories=system_directories or ("/lib64", "/usr/lib64"),
        cache_path="/etc/ld.so.cache" if started.uses_cache else None,
        lib_token=lib_token(system_directories),
        platform_token=platform_token_of(machine, used, intel),
        legacy_hwcaps=legacy_hwcaps_of(machine, used, intel),
        isa_level=isa_level_of(flags) if machine == EM_X86_64 else 0,
        directory_level=isa_level_of(used) if machine == EM_X86_64 else 0,
        intel=intel,
        processor=processor,
        limits=look_at_limits(),
        sees_global_symbol=sees_global_symbol,
        skipped=tuple(skipped),
    )


def _cwd(skipped: list[str]) -> str:
    try:
        return os.getcwd()
    except OSError:
        skipped.append("the working directory no longer exists")
        return "/"


def _read_small(path: str, limit: int = 1 << 16, start: int = 0) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, limit, start) if start else os.read(fd, limit)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _initial_environment(skipped: list[str]) -> dict[str, str]:
    """The loader's variables as they were given to execve (ld-so.md I-08)."""
    block = _read_small("/proc/self/environ", 1 << 22)
    pairs = [entry.partition(b"=") for entry in block.split(b"\0") if entry]
    if not pairs or not all(equals for _, equals, _ in pairs):
        skipped.append("the environment at process start could not be read: os.environ stands in for it")
        return {name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ}
    found: dict[str, str] = {}
    for position, (name, _, value) in enumerate(pairs):
        if (decoded := os.fsdecode(name)) in LOADER_VARIABLES:
            words = [value]
            if decoded == "GLIBC_TUNABLES":  # glibc up to 2.38 puts a NUL behind each tunable, in that very memory
                more = takewhile(lambda pair: pair[0].startswith(b"glibc."), pairs[position + 1 :])
                words += [b"=".join((key, text)) for key, _, text in more]
            found.setdefault(decoded, os.fsdecode(b":".join(words)))
    return found


class _Start(NamedTuple):
    """How the program was started: its file, the loader's variables, whether the cache is used.

    `understood` is false where it was in a way that cannot be told any more: then nothing is known of the search.
    """

    program: str
    environment: dict[str, str]
    uses_cache: bool = True
    understood: bool = True


_LOADER_VALUES = (
    "--library-path", "--preload", "--argv0", "--inhibit-rpath", "--audit", "--glibc-hwcaps-prepend",
    "--glibc-hwcaps-mask",
)  # fmt: skip


def _started_through(loader_path: str, environment: dict[str, str], skipped: list[str]) -> _Start:
    """The program, or what `ld.so --library-path P ... PROGRAM` made of it (ld-so.md G-164, I-10)."""
    try:
        if not loader_path or not os.path.samefile("/proc/self/exe", loader_path):
            return _Start("/proc/self/exe", environment)
    except OSError:
        return _Start("/proc/self/exe", environment)
    words = [os.fsdecode(word) for word in _read_small("/proc/self/cmdline", 1 << 22).split(b"\0")[1:]]
    values: dict[str, str] = {}
    while words and words[0].startswith("--"):
        word = words.pop(0)
        values[word] = words.pop(0) if word in _LOADER_VALUES and words else ""
    program = words[0] if words else ""
    if not isinstance(look_at(program).content, Image):
        skipped.append("this process was started through ld.so, with what options cannot be told")
        return _Start("/proc/self/exe", environment, understood=False)
    skipped += [
        f"this process was started with ld.so {word}, which is left out of account"
        for word in values
        if word not in ("--library-path", "--preload", "--argv0", "--inhibit-cache")
    ]
    environment = dict(environment)
    if "--library-path" in values:
        environment["LD_LIBRARY_PATH"] = values["--library-path"]
    if "--preload" in values:
        environment["LD_PRELOAD"] = f"{environment.get('LD_PRELOAD', '')} {values['--preload']}".strip()
    return _Start(program, environment, uses_cache="--inhibit-cache" not in values)


def _is_secure() -> bool:
    """AT_SECURE (23) of the auxiliary vector (ld-so.md I-11)."""
    vector = memoryview(_read_small("/proc/self/auxv"))
    if not vector:  # closed to this user, as it is just where AT_SECURE is set
        import ctypes

        return bool(ctypes.CDLL(None).getauxval(ctypes.c_ulong(23)))
    words = vector[: len(vector) - len(vector) % 16].cast("Q") if sys.maxsize > 2**32 else vector.cast("I")
    return any(words[i] == 23 and words[i + 1] for i in range(0, len(words) - 1, 2))


def _refuses_write_execute() -> bool:
    """Whether the kernel denies this process memory that is writable and executable: PR_GET_MDWE (H-08)."""
    try:
        import ctypes

        return bool(max(ctypes.CDLL(None).prctl(_PR_GET_MDWE, 0, 0, 0, 0), 0) & 1)
    except (ImportError, OSError, AttributeError):
        return False


def _glibc_version() -> tuple[int, int]:
    try:
        major, minor = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[1].split(".")[:2]
        return int(major), int(minor)
    except (ValueError, IndexError, OSError):
        return (2, 17)


def _musl(paths: list[str]) -> tuple[LoaderFile, tuple[str, ...]] | None:
    """musl's own file and its system path, in a process that musl loaded; None where that is not so (ld-so.md H-01)."""
    path = next((one for one in paths if os.path.basename(one).startswith(("ld-musl-", "libc.musl-"))), None)
    if path is None:
        return None
    from tfguard.hosts.loader_family import read_loader, system_directories

    found = read_loader(path)
    return (found, system_directories(found, path)) if found.family == "musl" else None


def _loader_file(path: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """What the loader's file tells: features (H-04) and its compiled-in directories (H-02)."""
    try:
        status = os.stat(path)
    except OSError:
        return frozenset(), ()
    return _read_loader_file(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)
def _read_loader_file(path: str, identity: tuple[int, int, int]) -> tuple[frozenset[str], tuple[str, ...]]:
    content = look_at(path).content
    segments = content.segments if isinstance(content, Image) else ()
    # its texts lie in segments of their own, a fifth of the file, where the linker keeps code apart
    data = b"".join(
        _read_small(path, min(one.filesz, 1 << 23), one.offset)
        for one in segments
        if one.type == PT_LOAD and not one.flags & PF_X and one.offset < identity[1]
    )
    features, directories = glibc_facts(data)
    return (features, directories) if directories else glibc_facts(_read_small(path, min(identity[1], 1 << 23)))


def isa_level_of(flags: frozenset[str]) -> int:
    """The x86-64 level that the flags add up to, 1 to 4 (G-53)."""
    level = 1
    for needed in _ISA_LEVELS:
        if not flags.issuperset(needed):
            break
        level += 1
    return level


def platform_token_of(machine: int, flags: frozenset[str], intel: bool) -> str:
    """$PLATFORM: AT_PLATFORM, or the name that glibc gives to some Intel processors (G-76, V-03)."""
    if machine == EM_X86_64 and intel:
        if flags.issuperset(("avx512cd", "avx512er")):
            return "xeon_phi"
        if flags.issuperset(("avx2", "fma", "bmi1", "bmi2", "abm", "movbe", "popcnt")):
            return "haswell"
    return _TOKEN_PLATFORMS.get(machine, os.uname().machine)


def legacy_hwcaps_of(machine: int, flags: frozenset[str], intel: bool) -> tuple[str, ...]:
    """The processor features that glibc up to 2.36 has directories for (G-82), lowest bit first."""
    if machine == EM_AARCH64:
        return ("atomics",) if "atomics" in flags else ()
    if machine != EM_X86_64:
        return ()
    wide = intel and "avx512er" not in flags and flags.issuperset(("avx512cd", "avx512bw", "avx512dq", "avx512vl"))
    return ("x86_64", "avx512_1") if wide else ("x86_64",)


def _loaded_objects(skipped: list[str]) -> tuple[list[str], Callable[[bytes], bool] | None]:
    """The names that the loader recorded, in load order, and a question to its global scope (I-12)."""
    try:
        import ctypes

        process = ctypes.CDLL(None)
        names: list[str] = []

        class Info(ctypes.Structure):
            _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))

        def note(info: ctypes._Pointer[Info], _size: int, _data: object) -> int:
            names.append(os.fsdecode(info.contents.name or b""))
            return 0

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
        process.dl_iterate_phdr(kind(note), None)
    except (ImportError, OSError, AttributeError) as error:
        skipped.append(f"the loaded objects could not be listed: {error}")
        return [], None

    def sees(name: bytes) -> bool:
        find = process.dlsym
        find.restype, find.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)
        return bool(find(process._handle, name))

    return names, sees


def _loaded_images(paths: list[str], program: Image | None, environment: Mapping[str, str]) -> tuple[LoadedImage, ...]:
    """The objects of a process by the names that its loader recorded, the main program first.

    glibc gives that one no name and musl the one that it was started by. musl has an unnamed one itself, the vDSO,
    as the last that is loaded at the start.
    """
    images = [("", program) if position == 0 else (path, _image_at(path))
              for position, path in enumerate(paths) if path or position == 0]  # fmt: skip
    unnamed = next((position for position, path in enumerate(paths) if position and not path), None)
    startup = set(range(unnamed)) if unnamed is not None else _startup_objects(images, environment)
    return tuple(
        LoadedImage(path=path, image=image, startup=index in startup) for index, (path, image) in enumerate(images)
    )


def _startup_objects(images: list[tuple[str, Image | None]], environment: Mapping[str, str]) -> set[int]:
    """The main program, its preloads and what these need, transitively: the objects in the global scope (G-130)."""
    by_name: dict[str, int] = {}
    for index, (path, image) in enumerate(images):
        for name in (image.soname if image else None, os.path.basename(path), path):
            if name:
                by_name.setdefault(name, index)
    preloads = environment.get("LD_PRELOAD", "").replace(":", " ").split()
    pending = [0] if images else []
    pending += [by_name[name] for name in preloads if name in by_name]
    pending += [
        by_name[name]
        for name in by_name
        if name.startswith(("ld-linux", "linux-vdso", "ld64.so", "ld.so", "ld-musl-", "libc.musl-"))
    ]
    found: set[int] = set()
    while pending:
        index = pending.pop()
        if index in found:
            continue
        found.add(index)
        image = images[index][1]
        pending += [by_name[name] for name in (image.needed if image else ()) if name in by_name]
    return found


def _image_at(path: str) -> Image | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _read_image(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1024)
def _read_image(path: str, identity: tuple[int, int, int, int]) -> Image | None:
    content = look_at(path).content
    return content if isinstance(content, Image) and content.inode == identity[1] else None
