"""The room that ld.so keeps free for thread-local variables of later loads: who takes of it, and when it ends (§12)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

from tfguard.hosts.host import Host
from tfguard.image import DF_STATIC_TLS, DT_FLAGS, EM_386, EM_AARCH64, EM_X86_64, PT_TLS, Image, Segment
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.binary.symbols import SymbolTable
    from tfguard.loader.glibc import Process


class _Kinds(NamedTuple):
    """The relocations that ask for a place at a fixed distance from the thread pointer: by force, or where it fits."""

    fixed: frozenset[int]
    descriptors: frozenset[int]


# TPOFF64 and TLSDESC; TLS_TPREL and TLSDESC; TLS_TPOFF, TLS_TPOFF32 and TLS_DESC
_RELOCATIONS = {
    EM_X86_64: _Kinds(frozenset((18,)), frozenset((36,))),
    EM_AARCH64: _Kinds(frozenset((1030,)), frozenset((1031,))),
    EM_386: _Kinds(frozenset((14, 37)), frozenset((41,))),
}
# The alignment of the thread's own control block, which is that of the whole area, in bytes.
_AREA_ALIGNMENT = {EM_X86_64: 64, EM_AARCH64: 16, EM_386: 64}
# Size and alignment of struct rseq as kernels up to 6.18 have it (AT_RSEQ_ALIGN), in bytes.
_RSEQ_SIZE = 32
# Where the variables stand behind the thread pointer, a head of this many bytes comes before them.
_HEAD_SIZE = 16


class StaticTls:
    """The area of a process for thread-local variables of fixed place, as start-up and later loads have filled it.

    `surplus` is what the loader kept free at start in bytes, None where that cannot be told. `sure` is false where an
    object that counts could not be read. `doubt` are the bytes that may be counted too much: blocks of objects loaded
    before this look may have been placed in another order, which costs other gaps.
    """

    def __init__(self, process: Process) -> None:
        host = process.host
        startup = [one for one in host.loaded if one.startup]
        blocks = [block for one in startup if one.image is not None and (block := _block(one.image)) is not None]
        self.grows_upwards = host.machine == EM_AARCH64
        self.sure = bool(startup) and all(one.image is not None or "vdso" in one.path for one in startup)
        self.alignment = max((_AREA_ALIGNMENT.get(host.machine, 64), *(block.align for block in blocks)))
        self.surplus, self.optional = surplus_of(host)
        self.used = _HEAD_SIZE if self.grows_upwards else 0
        self._place_startup(blocks)
        if host.version >= (2, 41):
            self._place_rseq()
        self.size = -(-(self.used + (self.surplus or 0)) // self.alignment) * self.alignment
        self.doubt = 0
        startup_links = [link for one, link in zip(host.loaded, process.links, strict=False) if one.startup]
        self._placed = {id(link) for link in startup_links}
        self._seen = set(self._placed)

    def _place_startup(self, blocks: list[Segment]) -> None:
        """Place the blocks of the start-up objects; a small one may go into the gap before an aligned one."""
        gap_start = gap_end = 0
        for block in blocks:
            end = self._end_of(block, gap_start)
            if not self.grows_upwards and end <= gap_end:
                gap_start = end
                continue
            end = self._end_of(block, self.used)
            if end - block.memsz - self.used > gap_end - gap_start:
                gap_start, gap_end = self.used, end - block.memsz
            self.used = end

    def _place_rseq(self) -> None:
        """The thread's area of restartable sequences, which lies behind the start-up objects' blocks since 2.41."""
        self.alignment = max(self.alignment, _RSEQ_SIZE)
        self.used = -(-self.used // _RSEQ_SIZE) * _RSEQ_SIZE + _RSEQ_SIZE

    def _end_of(self, block: Segment, used: int) -> int:
        """How much is in use when the block is placed behind `used` bytes."""
        align = max(block.align, 1)
        first = block.vaddr % align
        if self.grows_upwards:
            return -(-(used - first) // align) * align + first + block.memsz
        return -(-(used + block.memsz + first) // align) * align - first

    def copy(self) -> StaticTls:
        """The same state, to go on with in a load that may fail."""
        twin = copy(self)
        twin._placed, twin._seen = set(self._placed), set(self._seen)
        return twin

    @property
    def free(self) -> int:
        """The bytes that are left."""
        return self.size - self.used

    def take(self, link: LinkMap, block: Segment, *, fixed: bool) -> bool:
        """Give an object its place; False where it does not fit, or where one that need not have it gets none."""
        if id(link) in self._placed:
            return True
        end = self._end_of(block, self.used)
        first = 0 if self.grows_upwards else block.vaddr % max(block.align, 1)
        if block.align > self.alignment or end + first > self.size:
            return False
        if not fixed:
            if end - self.used > self.optional:
                return False
            self.optional -= end - self.used
        self.used = end
        self._placed.add(id(link))
        return True

    def catch_up(self, process: Process) -> None:
        """Charge what was loaded after start-up and before this load, in load order (G-157)."""
        for link in process.links:
            if link.new or id(link) in self._seen:
                continue
            self._seen.add(id(link))
            table = process.table(link)
            if table is None:
                continue
            needed = link.image.needed if link.image is not None else ()
            scope = [link, *(one for name in needed if (one := process.loaded_as(name)) is not None)]
            for definer, block, fixed in _wanted(process, link, table, scope):
                before = self.used
                self.take(definer, block, fixed=fixed)
                self.doubt += max(self.used - before - block.memsz, 0)


def refused_static_tls(
    process: Process, link: LinkMap, table: SymbolTable, scope: list[LinkMap], room: StaticTls | None
) -> tuple[Failure | None, StaticTls | None]:
    """The refusal of an object whose fixed thread-local variables do not fit any more, or None (G-150, G-151).

    `room` is the area as the objects before it in this load left it, None where none of them asked for a place yet;
    it is given back as it stands then.
    """
    if room is None and not _is_marked(link.image):
        return None, None  # only descriptors, which are never refused: counted when an object comes that may be
    for definer, block, fixed in _wanted(process, link, table, scope):
        if room is None:
            room = process.static_tls.copy() if process.static_tls is not None else StaticTls(process)
            room.catch_up(process)
        if not room.take(definer, block, fixed=fixed) and fixed and room.surplus is not None:
            return _failure(link, definer, block, room, room.surplus), room
    return None, room


def _failure(link: LinkMap, definer: LinkMap, block: Segment, room: StaticTls, surplus: int) -> Failure:
    if block.align > room.alignment:
        detail = f"its thread-local block is aligned to {block.align} bytes, the loader's to {room.alignment}"
        certain = room.sure
    else:
        detail = f"its thread-local block has {block.memsz} bytes, the loader keeps {surplus} free"
        certain = block.memsz > surplus + room.alignment or (room.sure and block.memsz > room.free + room.doubt)
        if room.free < surplus:
            detail += f", of which {room.free} are left"
    if definer is not link:
        detail += f" (asked for by {link.path})"
    return Failure(
        kind="static-tls",
        rule="G-150",
        message=f"{definer.path}: cannot allocate memory in static TLS block",
        path=definer.path,
        name=definer.path,
        requirer=definer.parent.path if definer.parent is not None else None,
        certain=certain,
        detail=detail,
    )


def surplus_of(host: Host) -> tuple[int | None, int]:
    """What ld.so keeps free for later loads, and how much of it descriptors may take, in bytes (G-152, G-154).

    The first is None where a tunable that decides cannot be read.
    """
    has_tunables = "static-tls-tunables" in host.features
    nns = host.tunable("glibc.rtld.nns", 4, low=1, high=16) if has_tunables else 4
    optional = host.tunable("glibc.rtld.optional_static_tls", 512) if has_tunables else 512
    if host.version < (2, 32):  # Debian 11 has the tunables, and another sum
        surplus = 336 * nns - 192 + optional if has_tunables else 1664
        return surplus, optional if has_tunables else surplus
    return 288 * nns + optional, optional


def _block(image: Image | None) -> Segment | None:
    """The thread-local variables of an object, None where it has none."""
    for segment in image.segments if image is not None else ():
        if segment.type == PT_TLS and segment.memsz:
            return segment
    return None


def _is_marked(image: Image | None) -> bool:
    return image is not None and bool(image.dynamic.get(DT_FLAGS, 0) & DF_STATIC_TLS)


def _wanted(
    process: Process, link: LinkMap, table: SymbolTable, scope: list[LinkMap]
) -> Iterator[tuple[LinkMap, Segment, bool]]:
    """The blocks that the relocations of `link` ask a fixed place for: whose, which, and whether they must have it.

    The flag DF_STATIC_TLS itself decides nothing, but a linker sets it wherever it writes such a relocation (G-150).
    """
    kinds = _RELOCATIONS.get(process.host.machine)
    image = link.image
    if kinds is None or image is None:
        return
    if _block(image) is None and not _is_marked(image):
        return
    for kind, position in dict.fromkeys(table.relocations_of_types(kinds.fixed | kinds.descriptors)):
        definer = _definer(process, link, table, position, scope)
        block = _block(definer.image) if definer is not None else None
        if definer is not None and block is not None:
            yield definer, block, kind in kinds.fixed


def _definer(
    process: Process, link: LinkMap, table: SymbolTable, position: int, scope: list[LinkMap]
) -> LinkMap | None:
    """The object whose variable it is: the object itself where no symbol is named or it binds to itself."""
    if not position:
        return link
    entry = table.symbol(position)
    if entry is None:
        return None
    reference, is_own = entry
    if is_own:
        return link
    for one in [one for one in process.links if one.is_global] + scope:
        other = process.table(one)
        if other is not None and other.accepts(reference.name, reference.need):
            return one
    return None
