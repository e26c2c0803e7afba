"""Root: paths below a directory mean what they would mean to a process that has it as its /."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from tfguard.hosts.root import HERE, Root


@pytest.fixture
def tree(tmp_path: Path) -> Root:
    """A tree with links of every kind, and a file of the same name as one inside on the way out of it."""
    inside = tmp_path / "tree"
    (inside / "usr/lib").mkdir(parents=True)
    (inside / "usr/lib/libx.so.1").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    for name, target in (
        ("lib", "usr/lib"),
        ("absolute", "/usr/lib"),
        ("climbs", "../../../../../usr/lib"),
        ("out", "../secret"),
        ("loop", "pool"),
        ("pool", "loop"),
        ("dangling", "/nowhere"),
    ):
        (inside / name).symlink_to(target)
    return Root(str(inside))


@pytest.mark.parametrize("path", ["/lib/libx.so.1", "/absolute/libx.so.1", "/climbs/libx.so.1", "/../usr/lib/libx.so.1",
                                  "/usr/lib/../../lib//./libx.so.1"])  # fmt: skip
def test_links_stay_inside(tree: Root, path: str) -> None:
    assert tree.read(path, 100) == b"inside"
    assert tree.realpath(path) == "/usr/lib/libx.so.1"
    assert tree.inside(tree.outside(path)) == "/usr/lib/libx.so.1"


@pytest.mark.parametrize(
    ("path", "number"),
    [("/out", errno.ENOENT), ("/loop", errno.ELOOP), ("/dangling", errno.ENOENT), ("/usr/none/../lib", errno.ENOENT),
     ("/usr/lib/libx.so.1/", errno.ENOTDIR), ("/usr/lib/libx.so.1/..", errno.ENOTDIR),
     (f"/{'n' * 300}", errno.ENAMETOOLONG)],
)  # fmt: skip
def test_errors_are_those_of_opening(tree: Root, path: str, number: int) -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011  # its errno is looked at
        tree.outside(path)

    assert raised.value.errno == number
    assert not tree.exists(path)


def test_patterns_and_entries(tree: Root) -> None:
    assert tree.matching("/*/libx.so*") == ["/absolute/libx.so.1", "/climbs/libx.so.1", "/lib/libx.so.1"]
    assert tree.matching("/usr/*/libx.so*") == ["/usr/lib/libx.so.1"]
    assert (tree.lexists("/dangling"), tree.exists("/dangling"), tree.link_target("/out")) == (True, False, "../secret")
    assert tree.names_in("/lib") == ["libx.so.1"]
    assert (tree.is_directory("/lib"), tree.is_file("/lib/libx.so.1")) == (True, True)


def test_this_machine_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a*b").write_bytes(b"x")

    assert HERE.outside("relative/../x") == "relative/../x"
    assert HERE.matching(f"{tmp_path}/a[*]b") == [f"{tmp_path}/a*b"]
    assert HERE.realpath(str(tmp_path)) == os.path.realpath(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
def test_random_links_lead_where_the_kernel_goes(tmp_path: Path) -> None:
    """Every path of up to four parts in random trees of links: the same file, or the same errno, as after chroot(2)."""
    rng = random.Random(7)
    names = ("a", "b", "c")
    for number in range(25):
        inside = tmp_path / str(number)
        (inside / "a/b").mkdir(parents=True)
        (inside / "a/f").touch()
        for _ in range(rng.randint(1, 6)):
            place = inside / rng.choice((".", "a", "a/b")) / rng.choice(names)
            target = "/".join(rng.choice((*names, "..", ".", "f", "")) for _ in range(rng.randint(1, 4)))
            if not os.path.lexists(place) and target:
                place.symlink_to(target)
        paths = ["/" + "/".join(rng.choice((*names, "..", "f")) for _ in range(rng.randint(1, 4))) for _ in range(60)]

        assert [_found(Root(str(inside)), path) for path in paths] == _in_chroot(str(inside), paths), number


def _found(root: Root, path: str) -> int:
    try:
        return os.stat(root.outside(path)).st_ino
    except OSError as error:
        return -(error.errno or 0)


def _in_chroot(directory: str, paths: list[str]) -> list[int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.chroot(directory)
        os.chdir("/")
        answers = []
        for path in paths:
            try:
                answers.append(os.stat(path).st_ino)
            except OSError as error:
                answers.append(-(error.errno or 0))
        os.write(writer, " ".join(map(str, answers)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    return [int(one) for one in told.split()]
