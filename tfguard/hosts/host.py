"""The process that will load, as its loader sees it: Host, a value that `live.py` makes of the running process."""

# Annotations are no strings in this file: a NamedTuple, or data class, would compile each, at the cost of every import.

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from errno import EIO, ENOENT
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tfguard.binary.elf import look_at
from tfguard.hosts.root import HERE, Root
from tfguard.image import EM_X86_64, PF_X, PT_GNU_STACK, Head, Image

if TYPE_CHECKING:
    from tfguard.hosts.foreign import Foreign
    from tfguard.hosts.mac import Mac
    from tfguard.installed.python import Python
    from tfguard.loader.trace import Trace


class LoadedImage(NamedTuple):
    """An object that the process has mapped; `path` as the loader recorded it, "" for the main program.

    `image` is None where its file can no longer be read (deleted, replaced, the vDSO).
    """

    path: str
    image: Image | None
    startup: bool = False


class Processor(NamedTuple):
    """The processor as the programs of a process find it.

    `features` by their names in /proc/cpuinfo ("avx", "avx2"), empty where they could not be found out. `emulator` is
    what plays the processor ("QEMU", "Rosetta"), "" where nothing shows that one does; `below` is the machine
    under it ("aarch64") where that is another one.
    """

    features: frozenset[str] = frozenset()
    intel: bool = False
    model: str = ""
    emulator: str = ""
    below: str = ""


class Limits(NamedTuple):
    """What the kernel allows the process.

    `address_space` is the limit (RLIMIT_AS) and `address_space_used` what of it is used, in bytes; None where there is
    no limit. `memory` is the memory limit of a control group, `memory_used` what of it is used for good, in bytes, and
    `memory_group` the group's folder. `selinux` is "enforcing", "permissive", or "" where there is none;
    `selinux_allows` holds its booleans that are on, of those about executing memory.
    """

    address_space: int | None = None
    address_space_used: int = 0
    memory: int | None = None
    memory_used: int = 0
    memory_group: str = ""
    selinux: str = ""
    selinux_allows: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Host:
    """Everything outside the file that decides a load (ld-so.md §2).

    `environment` holds the loader's variables as they were at process start, `late_library_path` the
    LD_LIBRARY_PATH that `os.environ` shows now. `page_size` is in bytes, `isa_level` 1 to 4 on x86-64, else 0;
    `directory_level` is the one that directories are chosen by, where a tunable lowers it.
    `legacy_hwcaps` are the processor features that name directories up to glibc 2.36, lowest bit first (G-82).
    `processor` and `limits` are what the loader does not look at, and a load may end of.
    `refuses_write_execute` says that the kernel denies it memory that is writable and executable (prctl, G-41).
    `devices_root` is the folder whose proc, sys and dev tell of GPUs and of a container.
    `sees_global_symbol` asks the living process whether a name is in its global scope; None for a host that is
    not this process. `foreign` is None for a process that runs. `skipped` says in words what could not be found out.
    Where `loader` is "dyld", `mac` holds what that one knows, and the fields above are its own only as
    far as their names fit.
    """

    loader: str = "glibc"
    version: tuple[int, int] = (2, 36)
    features: frozenset[str] = frozenset()
    elf_class: int = 64
    little_endian: bool = True
    machine: int = EM_X86_64
    page_size: int = 4096
    kernel: int = 0
    executable: str = sys.executable
    loaded: tuple[LoadedImage, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    late_library_path: str | None = None
    secure: bool = False
    refuses_write_execute: bool = False
    cwd: str = "/"
    system_directories: tuple[str, ...] = ("/lib64", "/usr/lib64")
    cache_path: str | None = "/etc/ld.so.cache"
    lib_token: str = "lib64"
    platform_token: str = "x86_64"
    legacy_hwcaps: tuple[str, ...] = ("x86_64",)
    isa_level: int = 1
    directory_level: int | None = None
    intel: bool = False
    processor: Processor = field(default_factory=Processor)
    limits: Limits = field(default_factory=Limits)
    devices_root: str = "/"
    sees_global_symbol: Callable[[bytes], bool] | None = None
    foreign: "Foreign | None" = None
    skipped: tuple[str, ...] = ()
    mac: "Mac | None" = None

    def __repr__(self) -> str:
        """What it is and how much it holds: all of its images would fill pages."""
        version = ".".join(map(str, self.version))
        return f"<Host {self.executable}: {self.loader} {version}, {len(self.loaded)} objects loaded>"

    def look_at(self, path: str) -> Head:
        """What opening a path gives, as this process spells it."""
        if self.foreign is None:
            return look_at(path)
        try:
            head = look_at(self.outside(path))
        except OSError as error:
            return Head(path=path, errno=error.errno or EIO)
        except ValueError:  # a name with a NUL byte in it
            return Head(path=path, errno=ENOENT)
        if isinstance(head.content, Image) and head.content.noexec and not self.root.is_here:
            # of the file system that the tree lies on here, which says nothing of where it will lie
            head = head._replace(content=head.content._replace(noexec=False))
        return head

    @property
    def root(self) -> Root:
        """What "/" is for the process."""
        return HERE if self.foreign is None else self.foreign.root

    @property
    def python(self) -> "Python | None":
        """The Python of a process that does not run; None for one that does, and where none is known."""
        return None if self.foreign is None else self.foreign.python

    @property
    def start(self) -> "Trace | None":
        """The start of its program where that is played, not seen."""
        return None if self.foreign is None else self.foreign.start

    @staticmethod
    def from_root(
        directory: str | os.PathLike[str], python: str | None = None, *, environment: Mapping[str, str] | None = None
    ) -> "Host":
        """The process of a Python that would run with `directory` as its "/": a container image, a chroot, a sysroot.

        Everything is told from the files there, nothing is run, and the machine may be another one. `python` is its
        path inside, the most usual one where none is given; `environment` is that of the process from its start. What
        cannot be known is said in `skipped`. Raises OSError where the directory or the Python cannot be read,
        ValueError where there is no Python.
        """
        from tfguard.hosts.foreign_host import host_of_root

        return host_of_root(directory, python, environment=environment)

    def outside(self, path: str) -> str:
        """Where a file of the process lies on this machine; raises the OSError that opening it would."""
        return self.root.outside(path if path.startswith("/") or self.root.is_here else f"{self.cwd}/{path}")

    @property
    def library_path(self) -> str | None:
        """LD_LIBRARY_PATH as the loader uses it: at process start, and not in secure mode (G-165)."""
        return None if self.secure else self.environment.get("LD_LIBRARY_PATH") or None

    @property
    def hwcap_subdirectories(self) -> tuple[str, ...]:
        """What is tried below each directory before the directory itself, in order (G-81, G-82)."""
        legacy = (*self.legacy_hwcaps, self.platform_token, "tls") if self.version <= (2, 36) else ()
        level = self.isa_level if self.directory_level is None else self.directory_level
        levels = level if self.machine == EM_X86_64 and "glibc-hwcaps" in self.features else 0
        return _hwcap_subdirectories(levels, legacy)

    def tunable(self, name: str, default: int, *, low: int = 0, high: int = 1 << 62) -> int:
        """The number that GLIBC_TUNABLES gives to a tunable; `default` where none is given or it is not allowed.

        The variable is not looked at in secure mode (G-165), and the last of several counts.
        """
        given = [word.partition("=") for word in self.environment.get("GLIBC_TUNABLES", "").split(":")]
        strict = self.version >= (2, 39)  # what is behind a number, or a second "=", was passed over before
        if self.secure or (strict and any("=" in text for _, _, text in given)):
            return default
        value = default
        for key, _, text in given:
            if key == name and (number := _number(text, strict=strict)) is not None and low <= number <= high:
                value = number
        return value

    @property
    def stack_is_executable(self) -> bool:
        """Whether a start-up object or a tunable made the stacks executable (G-50)."""
        if self.tunable("glibc.rtld.execstack", 1, high=2) == 2:
            return True
        return any(one.startup and one.image is not None and wants_executable_stack(one.image) for one in self.loaded)


def _number(text: str, *, strict: bool) -> int | None:
    """The number that ld.so reads at the beginning of a text, 0 where there is none; None where more may not follow."""
    match = re.match(r"[ \t]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|(\d*))", text)
    if match is None or (strict and match.end() != len(text)):
        return None
    number = int(match[2], 16) if match[2] else int(match[3], 8) if match[3] else int(match[4] or "0")
    return (1 << 64) - number if match[1] == "-" and number else number


def wants_executable_stack(image: Image) -> bool:
    """Whether ld.so would make the stack executable for this object (G-50)."""
    for segment in image.segments:
        if segment.type == PT_GNU_STACK:
            return bool(segment.flags & PF_X)
    return image.machine in (EM_X86_64, 3, 40, 20, 22, 8)


def kernel_release(release: str) -> int:
    """The number that ld.so up to 2.35 makes of what uname(2) says: "5.10.0-8-amd64" is 0x050A00 (G-32)."""
    parts = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", release)
    numbers = [int(one or 0) for one in parts.groups()] if parts else [0, 0, 0]
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2]


@lru_cache(maxsize=8)
def _hwcap_subdirectories(isa_level: int, legacy: tuple[str, ...]) -> tuple[str, ...]:
    """Directories of ISA levels, then every combination of the legacy names, those with the last names first."""
    found = [f"glibc-hwcaps/x86-64-v{level}" for level in range(isa_level, 1, -1)]
    for chosen in range((1 << len(legacy)) - 1, 0, -1):
        found.append("/".join(legacy[bit] for bit in range(len(legacy) - 1, -1, -1) if chosen >> bit & 1))
    return tuple(dict.fromkeys(found))
