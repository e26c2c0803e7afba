"""Cases of the note that says which kernel a library is for, asked about by glibc up to 2.35: ld-so.md G-32."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.loader.scene import ANY, GOOD, LOADS, Case, Scene
from tests.support.elf_edit import segment_value, with_segment
from tests.support.elf_writer import Export, Library, write
from tests.support.real_loader import Load
from tfguard.image import PT_GNU_PROPERTY, PT_NOTE

_OLD, _FUTURE = (2, 6, 32), (99, 0, 0)
_WITH_ROOM = write(Library(soname="libx.so.1", isa_needed=1, exports=(Export(name="x"),)))


def for_kernel(kernel: tuple[int, int, int] = _FUTURE, *, system: int = 0, owner: bytes = b"GNU\0", kind: int = 1,
            described: int = 16, **segment: int) -> bytes:  # fmt: skip
    """A library whose only note is that tag; further fields are those of its program header."""
    note = struct.pack("<III4sIIII", 4, described, kind, owner, system, *kernel)
    at = segment_value(_WITH_ROOM, PT_NOTE, 0, "offset")
    assert segment_value(_WITH_ROOM, PT_NOTE, 0, "filesz") == len(note)
    data = _WITH_ROOM[:at] + note + _WITH_ROOM[at + len(note) :]
    return with_segment(with_segment(data, PT_GNU_PROPERTY, type=0), PT_NOTE, **segment)


def _directly(data: bytes) -> Callable[[Scene], Load]:
    return lambda scene: scene.load(scene.write("libx.so.1", data))


def _searched(scene: Scene) -> Load:
    """A library for a newer kernel is passed over for the next of its name."""
    scene.fill(for_kernel(), "a")
    scene.fill(GOOD, "b")
    return scene.load(scene.top(runpath=f"{scene.root}/a:{scene.root}/b"))


def _searched_in_vain(scene: Scene) -> Load:
    scene.fill(for_kernel(), "a")
    return scene.load(scene.top(runpath=f"{scene.root}/a"))


CASES = (
    Case("G-32-kernel-of-old", LOADS, _directly(for_kernel(_OLD))),
    Case("G-32-kernel-of-the-future", ANY, _directly(for_kernel())),
    Case("G-32-passed-over", LOADS, _searched),
    Case("G-32-passed-over-in-vain", ANY, _searched_in_vain),
    Case("G-32-other-system", ANY, _directly(for_kernel(_OLD, system=1))),
    Case("G-32-numbers-of-one-byte", ANY, _directly(for_kernel((0x102, 0x106, 0x120)))),
    Case("G-32-other-owner", ANY, _directly(for_kernel(owner=b"gnu\0"))),
    Case("G-32-other-kind", ANY, _directly(for_kernel(kind=3))),
    Case("G-32-other-size", ANY, _directly(for_kernel(described=12))),
    *(Case(f"G-32-aligned-to-{align}", ANY, _directly(for_kernel(align=align))) for align in (0, 1, 4, 8, 16)),
    Case("G-32-short-segment", ANY, _directly(for_kernel(filesz=31))),
    Case("G-32-segment-past-the-end", ANY, _directly(for_kernel(offset=1 << 20))),
    Case("G-32-before-other-refusals", ANY, _directly(for_kernel(flags=0)[:4096])),
)
