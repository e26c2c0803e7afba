"""Asks the loader of a world and tfguard the same questions, from a process that has the world's tree as its root.

tfguard itself is not installed there, and a Python that it needs may not be either: this process loads what it needs
first, and changes its root then. The world's own loader works in another process, a small C program.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import pickle
import re
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from tests.oracle.musl_worlds import MuslWorld
from tests.oracle.worlds import PLACE, Unavailable, World
from tests.support.own_etc import etc_of
from tests.support.real_loader import Answer, Load, Prediction, Reality
from tfguard.binary import elf, holes, ldcache, relocations, symbols, versions
from tfguard.hosts import live
from tfguard.hosts.host import Host, LoadedImage, kernel_release
from tfguard.hosts.loader_file import lib_token
from tfguard.hosts.processor import look_at_processor, masked_features
from tfguard.image import EM_AARCH64, EM_X86_64, Image
from tfguard.loader import glibc, glibc_abi_tag, glibc_symbols, glibc_tls
from tfguard.loader.processes import start
from tfguard.loader.trace import ALREADY_LOADED, NO_DIRECTORY, Trace

# What the prediction imports only when it needs it must be there before the root is another.
_NEEDED_LATER = (glibc, holes, ldcache, relocations, symbols, glibc_abi_tag, glibc_symbols, glibc_tls)

T = TypeVar("T")

_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 0x40000, 0x1000
_LIBC = ctypes.CDLL(None, use_errno=True)
_ATOMICS = 1 << 8
_CACHED = re.compile(rb" search cache=.*\n.* trying file=.*\n")
_CIRCLE = "G-85"
_TRYING = re.compile(rb"^ *\d+:\t *trying file=(.*?)$", re.MULTILINE)


def enter(world: World | MuslWorld, shared: Path | None = None) -> None:
    """Make the world's tree the root of this process, with /proc and an empty file system for forests.

    `shared` is a directory that is seen there by the same name. There is no way back: call it in a fork. The mounts
    are seen by this process and its children alone.
    """
    tree = os.fsencode(world.tree)
    place = tree + os.fsencode(PLACE)
    os.makedirs(place, exist_ok=True)
    binds = [b"/proc", b"/dev"]
    if shared is not None:
        binds.append(os.fsencode(shared))
    for one in binds:
        os.makedirs(tree + one, exist_ok=True)
    if _LIBC.unshare(_CLONE_NEWNS):
        raise Unavailable(f"no mounts of its own for a process: {os.strerror(ctypes.get_errno())}")
    for source, target, kind, flags in (
        (b"none", b"/", None, _MS_REC | _MS_PRIVATE),
        *((one, tree + one, None, _MS_BIND | _MS_REC) for one in binds),
        (b"tmpfs", place, b"tmpfs", 0),
    ):
        if _LIBC.mount(source, target, kind, flags, b"mode=755" if kind else None):
            raise Unavailable(f"mount of {target!r}: {os.strerror(ctypes.get_errno())}")
    os.chroot(tree)
    os.chdir("/")


def in_world(world: World | MuslWorld, shared: Path | None, work: Callable[[], T]) -> T:
    """What a function gives in a process of its own that has entered the world; raises Unavailable where it cannot."""
    with tempfile.TemporaryFile() as out:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                given: object
                try:
                    enter(world, shared)
                    given = work()
                except Unavailable as reason:
                    given = reason
                pickle.dump(given, out)
                out.flush()
                status = 0
            except Exception:  # whatever it is, it must be seen, and this process must end here
                traceback.print_exc()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        if ended:
            raise RuntimeError(f"the process in {world.name} ended with {os.waitstatus_to_exitcode(ended)}")
        out.seek(0)
        told = pickle.load(out)
    if isinstance(told, Unavailable):
        raise told
    return cast(T, told)


class Told(NamedTuple):
    """What the program said: of itself, of the objects loaded at start and then, and how each load went."""

    version: tuple[int, int]
    page_size: int
    hwcap: int
    platform: str
    secure: bool
    started_with: tuple[str, ...]
    trouble: str | None
    loads: tuple[Reality, ...]


def ask(world: World, load: Load, program: str = "ask_loader") -> Answer | str:
    """The prediction and what happened, for each load; a text where the question could not be asked."""
    if load.program is not None or load.opener is not None or load.no_write_execute:
        return "it is asked of a process that only a Python of the world could be"
    environment = {name: value for name, value in load.environment.items() if name.startswith(("LD_", "GLIBC_"))}
    with tempfile.TemporaryFile() as errors, etc_of(load.etc):
        told = told_by(*run(world, load, program, environment, errors.fileno()), len(load.names))
        errors.seek(0)
        lines = errors.read()
        if isinstance(told, str):
            return told
        if told.trouble is not None:
            return f"before any question: {told.trouble}"
        host = _host(world, told, program, environment, load.cwd or "/")
        predictions = predict(host, load)
    if isinstance(predictions, str):
        return predictions
    if "LD_DEBUG" not in environment:
        predictions = [replace(one, tried=()) for one in predictions]
        return Answer(pairs=tuple(zip(predictions, told.loads, strict=False)), seconds=0)
    parts = [_TRYING.findall(_CACHED.sub(b"", part)) for part in lines.split(b"@\n")[1:]]
    tried = [_compared(map(os.fsdecode, part), host) for part in parts]
    said = [replace(one, tried=_compared(one.tried, host)) for one in predictions]
    ends = [len(one.tried) if one.rule == _CIRCLE and one.signal else None for one in said]  # what follows is the same
    was = [replace(one, tried=places[:end]) for one, places, end in zip(told.loads, tried, ends, strict=False)]
    return Answer(pairs=tuple(zip(said, was, strict=False)), seconds=0)


def _compared(paths: Iterable[str], host: Host) -> tuple[str, ...]:
    """Those in directories that exist: a loader finds out by trying what tfguard asks for once.

    What the cache has is left out: the loader names it even where DF_1_NODEFLIB refuses it and nothing is opened.
    """
    there = (path for path in paths if os.path.isdir(os.path.join(host.cwd, os.path.dirname(path))))
    return tuple(path for path, _ in itertools.groupby(there))  # "x86_64" may be two names of one directory: G-82


def alone(world: World, path: str) -> Reality:
    """What the loader of a world does with one file, in a process of `ask_loader` that has loaded nothing before."""
    with open(os.devnull, "w") as errors:
        told = told_by(*run(world, Load(names=((path, 0),)), "ask_loader", {}, errors.fileno()), 1)
    if isinstance(told, str):
        raise Unavailable(told)
    return told.loads[0]


def run(
    world: World | MuslWorld, load: Load, program: str, environment: dict[str, str], errors: int
) -> tuple[list[tuple[str, str]], int]:
    """What the program says, by letter and text, and how it ends: an exit status, or a signal's number below 0."""
    words = [*world.emulator, f"/{program}", load.cwd or "", "" if load.user is None else str(load.user)]
    words += [str(load.patience), str(len(load.before))]
    for name, mode in (*load.before, *load.names):
        words += [str(mode), name]
    reader, writer = os.pipe()
    child = os.posix_spawn(
        words[0],
        words,
        environment,
        file_actions=(
            (os.POSIX_SPAWN_DUP2, writer, 3),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ),
    )
    os.close(writer)
    parts: list[bytes] = []
    while part := os.read(reader, 1 << 16):
        parts.append(part)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    said = [(one[:1].decode(), os.fsdecode(one[1:])) for one in b"".join(parts).split(b"\0")[:-1]]
    return said, ended


def told_by(said: list[tuple[str, str]], ended: int, asked: int) -> Told | str:
    """What the program said in answer to so many questions; a text where it did not come to them."""
    facts = {kind: text for kind, text in said if kind in "VSHLXT"}
    lists: list[list[str]] = []
    loads: list[Reality] = []
    for kind, text in said:
        if kind == "R":
            lists.append([])
        elif kind == "N":
            lists[-1].append(text)
        elif kind in "EO":
            loads.append(Reality(message=text if kind == "E" else None))
        elif kind == "M":
            loads[-1] = Reality(mapped=(*loads[-1].mapped, text), message=loads[-1].message)
    if not lists:
        return f"the program did not start: it ended with {ended}"
    if "T" not in facts and len(lists) < 2:
        return f"what should have been loaded before ended the program with {ended}"
    if "T" not in facts and len(loads) < asked:
        loads.append(Reality(died=death_of(ended)))
    return Told(
        version=_numbers(facts.get("V", "0.0")),
        page_size=int(facts["S"]),
        hwcap=int(facts["H"]),
        platform=facts["L"],
        secure=facts["X"] != "0",
        started_with=tuple(lists[0]),
        trouble=facts.get("T"),
        loads=tuple(loads),
    )


def _numbers(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def death_of(status: int) -> str:
    """How a process ended, by the status that subprocess gives."""
    if status == -signal.SIGALRM:
        return "waits for ever"
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def _host(world: World, told: Told, program: str, environment: dict[str, str], cwd: str) -> Host:
    """The process of the program as it stood after its start."""
    loader = next(path for path in told.started_with if os.path.basename(path).startswith("ld-linux"))
    features, system_directories = live._loader_file(loader)
    images = [(path, elf.look_at(path or f"/{program}").content) for path in told.started_with]
    main = images[0][1]
    assert isinstance(main, Image)
    machine = main.machine
    flags, intel = _processor()
    used = flags - masked_features(environment.get("GLIBC_TUNABLES", ""), told.version)
    if machine == EM_X86_64:
        platform = live.platform_token_of(machine, used, intel)
        legacy = live.legacy_hwcaps_of(machine, used, intel)
    else:
        platform = told.platform
        legacy = ("atomics",) if machine == EM_AARCH64 and told.hwcap & _ATOMICS else ()
    return Host(
        version=told.version,
        features=features,
        elf_class=main.elf_class,
        machine=machine,
        page_size=told.page_size,
        kernel=kernel_release(os.uname().release),
        executable=f"/{program}",
        loaded=tuple(
            LoadedImage(path, image if isinstance(image, Image) else None, startup=True) for path, image in images
        ),
        environment=environment,
        secure=told.secure,
        cwd=cwd,
        system_directories=system_directories,
        lib_token=lib_token(system_directories),
        platform_token=platform,
        legacy_hwcaps=legacy,
        isa_level=live.isa_level_of(flags) if machine == EM_X86_64 else 0,
        directory_level=live.isa_level_of(used) if machine == EM_X86_64 else 0,
        intel=intel,
    )


@lru_cache(maxsize=1)
def _processor() -> tuple[frozenset[str], bool]:
    """The features of this machine's processor, and whether Intel made it."""
    return look_at_processor(EM_X86_64)[:2]


def predict(host: Host, load: Load) -> list[Prediction] | str:
    """tfguard's story of the loads, those before the question included."""
    ldcache._read_cache.cache_clear()
    versions._known.clear()  # a file of the last question may have had the same number, size and time
    os.chdir(host.cwd)
    found: list[Prediction] = []
    with _as_user(load.user, after=len(load.before)) as play, start(host) as process:
        for position, (name, mode) in enumerate((*load.before, *load.names)):
            play(position)
            trace = process.dlopen(name, make_global=bool(mode & os.RTLD_GLOBAL))
            found.append(prediction_of(trace))
    os.chdir("/")
    for position, one in enumerate(found[: len(load.before)]):
        if not one.loads:
            return f"load {position + 1} before the question went well, tfguard says {one}"
    return found[len(load.before) :]


@contextmanager
def _as_user(user: int | None, *, after: int) -> Iterator[_Switch]:
    switch = _Switch(user, after)
    try:
        yield switch
    finally:
        switch.back()


class _Switch:
    """Becomes another effective user at the load with a number, and root again at the end."""

    def __init__(self, user: int | None, after: int) -> None:
        self.user, self.after = user, after

    def __call__(self, position: int) -> None:
        if self.user is not None and position == self.after:
            os.setegid(self.user)
            os.seteuid(self.user)

    def back(self) -> None:
        if self.user is not None:
            os.seteuid(0)
            os.setegid(0)


def prediction_of(trace: Trace) -> Prediction:
    """What tfguard says of a load, as it is compared with what happens."""
    failure = trace.failure
    return Prediction(
        images=tuple(image.path for image in trace.images),
        rule=failure.rule if failure is not None else None,
        message=failure.message if failure is not None else None,
        signal=failure.signal if failure is not None else None,
        certain=failure.certain if failure is not None else True,
        detail=failure.detail if failure is not None else "",
        tried=tuple(
            attempt.path
            for lookup in trace.lookups
            for attempt in lookup.attempts
            if attempt.step not in ("path", "ld_so_cache") and attempt.outcome not in (NO_DIRECTORY, ALREADY_LOADED)
        ),
    )
