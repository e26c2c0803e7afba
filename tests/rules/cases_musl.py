"""Cases of the rules about musl: builds for glibc, late thread-local variables, relocations that musl does not know.

The process is told to be one of musl's; tests/musl holds what musl itself says against the same loads.
"""

from __future__ import annotations

from pathlib import Path

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase
from tests.support.elf_writer import Import, Library, write
from tfguard.binary.elf import file_offset, look_at
from tfguard.image import DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_RELR, Image

_MUSL = {"loader": "musl", "version": [1, 2], "system_directories": ["/none/lib"]}


def _for_glibc(scene: Scene) -> Question:
    """A module of a wheel for glibc, which needs a library of glibc's."""
    record = "fancy/_core.so,sha256=abc,123\n"
    scene.write("site-packages/fancy-1.2.3.dist-info/RECORD", record.encode())
    target = scene.library(
        "site-packages/fancy/_core.so", needed=("libnsl.so.1",), needs=(("libnsl.so.1", "GLIBC_2.17"),)
    )
    return Question(target=target, host=_MUSL)


def _late_tls(scene: Scene) -> Question:
    source = '__thread int variable __attribute__((tls_model("initial-exec"))); int *f(void) { return &variable; }'
    return Question(target=scene.compile("libtls.so", source), host=_MUSL)


def _indirect(scene: Scene) -> Question:
    relocated = Library(soname="libx.so", imports=(Import(name="x", relocation=37, binding=2),))
    return Question(target=scene.write("libx.so", write(relocated)), host=_MUSL)


def _packed(scene: Scene) -> Question:
    """A packed relocation completes the address of a constructor."""
    draft = look_at(scene.write("libx.so", write(_with_constructor(0)))).content
    assert isinstance(draft, Image)
    where = file_offset(draft.segments, draft.dynamic[DT_RELR])
    assert where is not None
    place = int.from_bytes(Path(draft.path).read_bytes()[where[0] : where[0] + 8], "little")
    return Question(target=scene.write("libx.so", write(_with_constructor(place))), host=_MUSL)


def _with_constructor(place: int) -> Library:
    return Library(soname="libx.so", relr=True, extra=((DT_INIT_ARRAY, place), (DT_INIT_ARRAYSZ, 8)))


CASES = (
    RuleCase("TFG210-manylinux-wheel-on-alpine", _for_glibc),
    RuleCase("TFG211-late-static-tls", _late_tls),
    RuleCase("TFG212-indirect-function", _indirect),
    RuleCase("TFG213-packed-relocations", _packed),
)
