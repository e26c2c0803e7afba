"""Makes the Host of a process that runs on a Mac: raw facts asked of the system, and what follows from them.

`ask_the_system` is the only part that needs a Mac, and does nothing but ask; everything that decides something is a
function of the facts, so that it is tested anywhere.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfguard.binary.files import Disk, Files
from tfguard.binary.macho_signature import LIBRARY_VALIDATION, RESTRICT, RUNTIME, Signature, read_signature
from tfguard.hosts.host import Host
from tfguard.hosts.mac import LoadedDylib, Mac, SharedCache
from tfguard.macho_image import MachoImage, Version

# Darwin's major version to that of macOS (D-03).
_DARWIN = {19: (10, 15), 20: (11, 0), 21: (12, 0), 22: (13, 0), 23: (14, 0), 24: (15, 0), 25: (26, 0)}
_ENTITLED = "com.apple.security.cs."
_APPLES = ("/usr/bin/", "/bin/", "/sbin/", "/usr/sbin/", "/System/")


class MacFacts(NamedTuple):
    """What the system says, as it says it.

    `product_version` is kern.osproductversion, `release` that of uname, `arguments` the block of KERN_PROCARGS2 (how
    the process was started, with its environment), `images` the paths of _dyld_get_image_name in load order.
    """

    product_version: str = ""
    release: str = ""
    machine: str = "arm64"
    translated: bool = False
    haswell: bool = True
    executable: str = ""
    arguments: bytes = b""
    images: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    sites: tuple[str, ...] = ()
    cwd: str = "/"


def this_mac() -> Host:
    """The process this is called in, on a Mac."""
    facts, cache = ask_the_system()
    return host_of(facts, Disk(), cache)


def host_of(facts: MacFacts, files: Files, cache: SharedCache) -> Host:
    """The host that these facts describe. What could not be found out is named in `Host.skipped`."""
    skipped: list[str] = []
    version = version_of(facts.product_version, facts.release)
    if version is None:
        skipped.append("the version of macOS could not be told: 14.0 stands in for it")
        version = (14, 0, 0)
    environment = environment_of(facts.arguments)
    if environment is None:
        skipped.append("the environment at process start could not be read: os.environ stands in for it")
        environment = {name: value for name, value in facts.environment.items() if _counts(name)}
    main = files.real_path(facts.executable) or facts.executable
    architecture = "x86_64" if facts.translated else facts.machine
    policy = policy_of(main, architecture, files)
    loaded = loaded_of(facts.images, architecture, files, cache)
    mac = Mac(
        version=version,
        architecture=architecture,
        haswell=facts.haswell,
        translated=facts.translated,
        main=main,
        caller=caller_of(facts.images, main),
        loaded=loaded,
        sites=facts.sites,
        environment=environment,
        cwd=facts.cwd,
        allows_path_variables=policy.allows_path_variables,
        validates_libraries=policy.validates_libraries,
        team=policy.team,
        cache=cache,
        files=files,
    )
    return Host(
        loader="dyld", version=version[:2], executable=sys.executable, environment=environment, cwd=facts.cwd,
        skipped=tuple(skipped), mac=mac,
    )  # fmt: skip


def version_of(product: str, release: str) -> Version | None:
    """The version of macOS: its own word, but 10.16 is what old programs are told in place of it (D-03)."""
    numbers = [int(part) for part in product.split(".") if part.isdigit()]
    if len(numbers) >= 2 and numbers[:2] != [10, 16]:
        return numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0
    major = release.partition(".")[0]
    known = _DARWIN.get(int(major)) if major.isdigit() else None
    return (known[0], known[1], 0) if known is not None else None


def environment_of(arguments: bytes) -> dict[str, str] | None:
    """The variables that dyld reads, as they were at process start: from the block that the kernel keeps.

    It holds the number of arguments (32 bits), the path of the program, NULs, the arguments, then the variables.
    None where it is no such block.
    """
    if len(arguments) < 8:
        return None
    count = int.from_bytes(arguments[:4], sys.byteorder)
    end = arguments.find(b"\0", 4)
    if end < 0 or count > 1 << 20:
        return None
    words = arguments[end:].lstrip(b"\0").split(b"\0")
    found: dict[str, str] = {}
    for word in words[count:]:
        if not word:
            break
        name, equals, value = os.fsdecode(word).partition("=")
        if equals and _counts(name):
            found.setdefault(name, value)
    return found


def _counts(name: str) -> bool:
    return name.startswith("DYLD_") or name in ("LD_LIBRARY_PATH", "HOME")


class Policy(NamedTuple):
    """What the main program's signature makes dyld allow (D-76)."""

    allows_path_variables: bool = True
    validates_libraries: bool = False
    team: str | None = None


def policy_of(main: str, architecture: str, files: Files) -> Policy:
    """The policy of a program, as far as its code directory and entitlements tell (D-74, D-79)."""
    image = next(
        (
            one.content
            for one in files.look_at(main).slices
            if isinstance(one.content, MachoImage) and one.content.architecture.startswith(architecture)
        ),
        None,
    )
    if image is None:
        return Policy()
    try:
        source = files.open(main)
    except OSError:
        return Policy()
    try:
        signature = read_signature(image, source)
    finally:
        source.close()
    if not isinstance(signature, Signature):
        return Policy()
    hardened = bool(signature.flags & (RUNTIME | RESTRICT))
    apples = main.startswith(_APPLES)
    validates = bool(signature.flags & (LIBRARY_VALIDATION | RUNTIME))
    return Policy(
        allows_path_variables=not apples and (not hardened or _entitles(signature, "allow-dyld-environment-variables")),
        validates_libraries=validates and not _entitles(signature, "disable-library-validation"),
        team=signature.team,
    )


def _entitles(signature: Signature, name: str) -> bool:
    pattern = rf"<key>{re.escape(_ENTITLED + name)}</key>\s*<true\s*/>"
    return re.search(pattern.encode(), signature.entitlements) is not None


def caller_of(images: Sequence[str], main: str) -> str:
    """The image with the interpreter: its LC_RPATHs count for every extension module (D-04)."""
    for path in images:
        leaf = os.path.basename(path)
        is_framework = leaf in ("Python", "Python3") and ".framework/" in path
        if is_framework or re.fullmatch(r"libpython3\.\d+\w*\.dylib", leaf):
            return path
    return main


def loaded_of(images: Sequence[str], architecture: str, files: Files, cache: SharedCache) -> tuple[LoadedDylib, ...]:
    """What is loaded, with what its files say; of a library in the shared cache nothing can be read."""
    found = []
    for path in images:
        image = None
        if not cache.holds(path):
            image = next(
                (
                    one.content
                    for one in files.look_at(path).slices
                    if isinstance(one.content, MachoImage) and one.content.architecture.startswith(architecture)
                ),
                None,
            )
        found.append(LoadedDylib(files.real_path(path) or path, image))
    return tuple(found)


def is_system_file(path: str) -> bool:
    """Whether macOS 10.15 has a library of its own there: in that release they are files as well as cached (D-95)."""
    return path.startswith(("/usr/lib/", "/System/Library/")) and os.path.exists(path)


def ask_the_system() -> tuple[MacFacts, SharedCache]:
    """Ask the running Mac. Needs one: everything else in this file does not."""
    import ctypes

    system = ctypes.CDLL(None)

    def sysctl(name: str) -> bytes:
        size = ctypes.c_size_t(0)
        if system.sysctlbyname(name.encode(), None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return b""
        value = ctypes.create_string_buffer(size.value)
        if system.sysctlbyname(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return b""
        return value.raw[: size.value]

    def arguments() -> bytes:
        names = (ctypes.c_int * 3)(1, 49, os.getpid())  # CTL_KERN, KERN_PROCARGS2
        size = ctypes.c_size_t(1 << 20)
        value = ctypes.create_string_buffer(size.value)
        if system.sysctl(names, 3, value, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return b""
        return value.raw[: size.value]

    def executable() -> str:
        size = ctypes.c_uint32(4096)
        value = ctypes.create_string_buffer(size.value)
        return os.fsdecode(value.value) if system._NSGetExecutablePath(value, ctypes.byref(size)) == 0 else ""

    system._dyld_image_count.restype = ctypes.c_uint32
    system._dyld_get_image_name.restype = ctypes.c_char_p
    names = [system._dyld_get_image_name(index) for index in range(system._dyld_image_count())]
    uname = os.uname()
    facts = MacFacts(
        product_version=sysctl("kern.osproductversion").rstrip(b"\0").decode("ascii", "replace"),
        release=uname.release,
        machine=uname.machine,
        translated=any(sysctl("sysctl.proc_translated")),
        haswell=any(sysctl("hw.optional.avx2_0")),
        executable=executable() or sys.executable,
        arguments=arguments(),
        images=tuple(os.fsdecode(one) for one in names if one),
        environment=dict(os.environ),
        sites=tuple(one for one in sys.path if one.endswith(("site-packages", "dist-packages"))),
        cwd=os.getcwd(),
    )
    ask = getattr(system, "_dyld_shared_cache_contains_path", None)
    if ask is None:
        return facts, SharedCache(contains=is_system_file)
    ask.restype = ctypes.c_bool
    return facts, SharedCache(contains=lambda path: bool(ask(os.fsencode(path))))
