"""Members of wheels read in parts: whatever way they are packed, in one thread or several, within a budget."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

from tests.support.macho_writer import Macho, write
from tfguard.binary.ahead import Ahead, Once
from tfguard.binary.member import Budget, Member, MemberSource, files_of
from tfguard.binary.wheel import Wheels
from tfguard.checks.wheels import check_wheels
from tfguard.hosts.named import named_host
from tfguard.macho_image import Table

_PACKED = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def member(folder: Path, data: bytes, packed: int = zipfile.ZIP_DEFLATED) -> Member:
    """The one file of a wheel."""
    path = folder / "w.whl"
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr("m.so", data)
    return next(files_of(str(path)))


def some_bytes(size: int) -> bytes:
    """Bytes that can be packed: runs of the same, and some that are like no other."""
    numbers = random.Random(1)
    return b"".join(numbers.randbytes(500) + bytes(3500) for _ in range(-(-size // 4000)))[:size]


@pytest.mark.parametrize("packed", _PACKED)
def test_parts_in_any_order(packed: int, tmp_path: Path) -> None:
    """Parts that lie over one another, touch, end behind the end or lie there; kept before or not."""
    data = some_bytes(900_000)
    one = member(tmp_path, data, packed)
    places = (Table(700_000, 50_000), Table(300_000, 500_000), Table(0, 10), Table(800_000, 10**12), Table(10**9, 5))

    for kept in ((), places, places[::-1]):
        source = MemberSource(one)
        source.keep(kept)
        for at, size in (*places, Table(299_990, 20), Table(899_999, 1), Table(65_000, 1000), Table(5, 0)):
            assert source.read(size, at) == data[at : at + size]
        copied = io.BytesIO()
        source.copy(places, copied)
        assert copied.getvalue()[300_000:] == data[300_000:]


@pytest.mark.parametrize("changed", ["cut", "bytes", "signature", "encrypted"])
def test_damaged_members(changed: str, tmp_path: Path) -> None:
    """What cannot be had is empty, and what came before it is there."""
    data = some_bytes(2_000_000)
    one = member(tmp_path, data)
    raw = bytearray(Path(one.wheel).read_bytes())
    if changed == "cut":
        place = raw.rindex(b"PK\1\2")
        struct.pack_into("<I", raw, place + 20, 150_000)  # the compressed size
    elif changed == "bytes":
        raw[150_000:150_100] = bytes(100)
    elif changed == "signature":
        raw[0:4] = b"none"
    else:
        raw[raw.rindex(b"PK\1\2") + 8] |= 1
        raw[6] |= 1
    Path(one.wheel).write_bytes(raw)
    (one,) = files_of(one.wheel)

    source = MemberSource(one)
    source.keep((Table(0, 1000), Table(1_500_000, 1000)))

    begins = changed in ("cut", "bytes")
    assert source.read(1000, 0) == (data[:1000] if begins else b"")
    assert source.read(1000, 1_999_000) != data[1_999_000:]


def test_what_no_budget_allows_is_not_read(tmp_path: Path) -> None:
    """Bytes kept and bytes passed over are counted over all members."""
    one = member(tmp_path, some_bytes(500_000))

    for budget in (Budget(kept=1500), Budget(passed=450_000)):
        first, second = MemberSource(one, budget), MemberSource(one, budget)
        first.keep((Table(300_000, 1000),))
        second.keep((Table(300_000, 1000),))
        assert len(first.read(1000, 300_000)) == 1000
        assert second.read(1000, 300_000) == b""


def test_a_wheel_beyond_the_budget_is_not_blamed(tmp_path: Path) -> None:
    """Tables that were not read are no reason for a finding."""
    path = tmp_path / "w.whl"
    lacking = Macho(install_name="@rpath/a", imports=((1, "_none"),), needs=("@rpath/b",), rpaths=("@loader_path",))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/a.so", write(lacking))
        archive.writestr("p/b", write(Macho(install_name="@rpath/b", exports={"_other": 0})))

    wheels = Wheels((str(path),), "/s", budget=Budget(kept=0))
    source = wheels.open("/s/p/b")
    source.keep((Table(0, 100),))

    assert source.read(100, 0) == b""
    assert wheels.look_at("/s/p/b").slices[0].architecture is not None  # what begins a file is always read
    assert [one.code for one in check_wheels((str(path),), named_host("macos-14-arm64")).findings] == ["TFG803"]


def test_work_is_done_once_and_waited_for() -> None:
    """Whoever comes first does it; what is not begun when the block is left stays undone."""
    done: list[int] = []
    work = [Once(lambda number=number: done.append(number)) for number in range(50)]  # type: ignore[misc]  # bound early

    with Ahead(work):
        for one in work:
            one.finish()
    assert sorted(done) == list(range(50))
    with Ahead(work):
        pass
    assert len(done) == 50


def test_read_ahead_gives_what_opening_gives(tmp_path: Path) -> None:
    """Tables that other threads read are those that the first who opens the file finds."""
    data = some_bytes(3_000_000)
    path = tmp_path / "w.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(f"{number}.so", data[number:])
    wheels = Wheels((str(path),), "/s")
    tables = {f"/s/{number}.so": (Table(2_000_000 + number, 9000), Table(5, 9)) for number in range(6)}

    with wheels.read_ahead(tables):
        for number in range(6):
            source = wheels.open(f"/s/{number}.so")
            assert source.read(9000, 2_000_000 + number) == data[number:][2_000_000 + number :][:9000]
            assert source.read(9, 5) == data[number:][5:14]
