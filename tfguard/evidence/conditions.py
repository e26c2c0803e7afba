"""What of the machine and the process's limits stands against loads that go well as far as their files go."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from tfguard.hosts.host import Host, wants_executable_stack
from tfguard.image import EM_X86_64, Image
from tfguard.loader.trace import Failure, Mapped, Trace

# What Python itself allocates while TensorFlow is imported, in bytes: measured with 2.21, 990 MB in all, 750 MB of them
# mapped libraries.
_ROOM_FOR_AN_IMPORT = 256 << 20
# What `import tensorflow` must be able to write to, in bytes: in a control group of 180 MiB 2.21 is killed, in one of
# 220 MiB it lives; with 2.12 it takes more.
_MEMORY_OF_AN_IMPORT = 192 << 20


def conditions(host: Host, traces: Collection[Trace], *, sure: bool, runs: bool) -> Iterator[Failure]:
    """Each obstacle as a failure of the load that would meet it first.

    `sure` says that all these loads will happen, `runs` that their code is known to run while they do. Files are read
    again only where the processor lacks something.
    """
    yield from _processor(host, traces, certain=sure and runs)
    yield from _address_space(host, traces, certain=sure)
    yield from _memory(host, traces)
    yield from _selinux(host, traces)


def _processor(host: Host, traces: Collection[Trace], *, certain: bool) -> Iterator[Failure]:
    """The first library that was compiled for instructions which this processor does not have."""
    features = host.processor.features
    if host.machine != EM_X86_64 or not features or features.issuperset(("avx", "avx2", "fma")):
        return
    from tfguard.binary.encoding import sample_encoding

    for mapped, image in _mapped(traces):
        if os.path.dirname(mapped.path) in host.system_directories:
            continue  # of the system: chooses at run time
        code = sample_encoding(image.path)
        if code is None or not code.needs_avx:
            continue
        without_avx = "avx" not in features
        if without_avx or code.needs_avx2:
            counted = f"{code.vex} of {code.vex + code.old} instructions looked at"
            yield Failure(
                kind="processor", rule="H-06", message=None, path=mapped.path, requirer=mapped.requirer,
                name="avx" if without_avx else "avx2", signal="SIGILL",
                certain=certain and without_avx, detail=counted,
            )  # fmt: skip
            return


def _address_space(host: Host, traces: Collection[Trace], *, certain: bool) -> Iterator[Failure]:
    """The library at which the limit of the process is reached, when nothing else takes of it."""
    limit = host.limits.address_space
    if limit is None:
        return
    room = limit - host.limits.address_space_used
    taken = 0
    mapped: Mapped | None = None
    for mapped, image in _mapped(traces):
        taken += image.span
        if taken > room:
            yield Failure(
                kind="address-space", rule="G-41", path=mapped.path, name=mapped.name, requirer=mapped.requirer,
                message=f"{mapped.name}: failed to map segment from shared object", certain=certain,
                detail=f"{taken} {room}",
            )  # fmt: skip
            return
    if mapped is not None and taken > _ROOM_FOR_AN_IMPORT and taken + _ROOM_FOR_AN_IMPORT > room:
        yield Failure(
            kind="address-space", rule="G-41", message=None, path=mapped.path, name=mapped.name, certain=False,
            detail=f"{taken + _ROOM_FOR_AN_IMPORT} {room}",
        )  # fmt: skip


def _memory(host: Host, traces: Collection[Trace]) -> Iterator[Failure]:
    """A control group that leaves less memory than TensorFlow's import was seen to end of."""
    limit = host.limits.memory
    if limit is None:
        return
    room = limit - host.limits.memory_used
    if room >= _MEMORY_OF_AN_IMPORT:
        return
    taken = 0
    for mapped, image in _mapped(traces):
        taken += image.span
        if taken > _ROOM_FOR_AN_IMPORT:
            yield Failure(
                kind="memory", rule="", message=None, path=mapped.path, name=mapped.name, signal="SIGKILL",
                certain=False, detail=f"{_MEMORY_OF_AN_IMPORT} {max(room, 0)}",
            )  # fmt: skip
            return


def _selinux(host: Host, traces: Collection[Trace]) -> Iterator[Failure]:
    """What an enforcing SELinux denies where its booleans do not allow it; labels may allow it all the same."""
    if host.limits.selinux != "enforcing":
        return
    allowed = host.limits.selinux_allows
    for mapped, image in _mapped(traces):
        if "execmod" not in allowed and image.has_text_relocations:
            yield _denied(mapped, "text relocations", "cannot restore segment prot after reloc: Permission denied")
        elif "execstack" not in allowed and not host.stack_is_executable and wants_executable_stack(image):
            says = "cannot enable executable stack as shared object requires: Permission denied"
            yield _denied(mapped, "an executable stack", says)


def _denied(mapped: Mapped, what: str, says: str) -> Failure:
    return Failure(
        kind="selinux", rule="G-50", message=f"{mapped.name}: {says}", path=mapped.path, name=mapped.name,
        requirer=mapped.requirer, certain=False, detail=what,
    )  # fmt: skip


def _mapped(traces: Collection[Trace]) -> Iterator[tuple[Mapped, Image]]:
    """The ELF objects of these loads: what is asked here are questions of Linux."""
    for trace in traces:
        for mapped in trace.images:
            if isinstance(mapped.image, Image):
                yield mapped, mapped.image
