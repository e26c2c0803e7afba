"""What follows from the facts of a running Mac: its version, the start environment, the policy, who calls dlopen."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from tests.support.mac_tree import MacTree
from tests.support.macho_writer import Macho, Signing, fat, write
from tfguard.binary.files import Disk
from tfguard.hosts.live_mac import MacFacts, caller_of, environment_of, host_of, is_system_file, policy_of, version_of
from tfguard.hosts.mac import SharedCache

_FRAMEWORK = "/Library/Frameworks/Python.framework/Versions/3.11/Python"


@pytest.mark.parametrize(
    ("product", "release", "version"),
    [
        pytest.param("14.5", "23.5.0", (14, 5, 0), id="as-it-says"),
        pytest.param("13.6.1", "22.6.0", (13, 6, 1), id="with-a-patch"),
        pytest.param("10.16", "20.6.0", (11, 0, 0), id="what-old-programs-are-told"),
        pytest.param("", "25.0.0", (26, 0, 0), id="by-darwin"),
        pytest.param("10.15.7", "19.6.0", (10, 15, 7), id="catalina"),
        pytest.param("", "99.0.0", None, id="not-known"),
        pytest.param("", "", None, id="nothing"),
    ],
)
def test_version(product: str, release: str, version: tuple[int, int, int] | None) -> None:
    """The release of macOS, whatever the compatibility version says (D-03)."""
    assert version_of(product, release) == version


def block(arguments: list[bytes], variables: list[bytes]) -> bytes:
    """The block of KERN_PROCARGS2."""
    start = len(arguments).to_bytes(4, sys.byteorder) + b"/usr/local/bin/python3\0\0\0\0\0"
    return start + b"\0".join([*arguments, *variables]) + b"\0\0executable_path=/x\0"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(
            block([b"python3", b"DYLD_LIBRARY_PATH=/argument"], [b"A=1", b"DYLD_LIBRARY_PATH=/lib:/more", b"HOME=/h"]),
            {"DYLD_LIBRARY_PATH": "/lib:/more", "HOME": "/h"},
            id="arguments-are-passed-over",
        ),
        pytest.param(block([b"python3"], []), {}, id="no-variables"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(struct.pack("=I", 2**31) + b"x" * 100, None, id="no-such-block"),
    ],
)
def test_environment_at_start(data: bytes, found: dict[str, str] | None) -> None:
    """dyld reads its variables when the process starts, not when os.environ is changed (D-77)."""
    assert environment_of(data) == found


_ALLOWS = b"<key>com.apple.security.cs.allow-dyld-environment-variables</key>\n<true/>"
_NO_VALIDATION = b"<key>com.apple.security.cs.disable-library-validation</key><true/>"


@pytest.mark.parametrize(
    ("signing", "path", "paths", "validates"),
    [
        pytest.param(Signing(), "/opt/python", True, False, id="ad-hoc"),
        pytest.param(Signing(flags=0x10000, team="T"), "/opt/python", False, True, id="hardened"),
        pytest.param(
            Signing(flags=0x10000, team="T", entitlements=_ALLOWS + _NO_VALIDATION), "/opt/python", True, False,
            id="hardened-and-entitled",
        ),
        pytest.param(Signing(flags=0x2000, team="T"), "/opt/python", True, True, id="library-validation"),
        pytest.param(Signing(), "/usr/bin/python3", False, False, id="of-the-system"),
    ],
)  # fmt: skip
def test_policy(signing: Signing, path: str, paths: bool, validates: bool, tmp_path: Path) -> None:
    """What a program's signature makes dyld allow (D-76, D-79)."""
    MacTree(tmp_path, {path: Macho(filetype="execute", sign=signing)})

    policy = policy_of(path, "arm64", Disk(str(tmp_path)))

    assert (policy.allows_path_variables, policy.validates_libraries) == (paths, validates)
    assert policy.team == signing.team


@pytest.mark.parametrize(
    ("images", "caller"),
    [
        pytest.param(("/P/Resources/Python.app/Contents/MacOS/Python", _FRAMEWORK), _FRAMEWORK, id="framework"),
        pytest.param(("/u/bin/python3.11", "/u/lib/libpython3.11.dylib"), "/u/lib/libpython3.11.dylib", id="library"),
        pytest.param(("/c/bin/python3.11", "/c/lib/libz.1.dylib"), "/c/bin/python3.11", id="linked-in"),
    ],
)
def test_caller(images: tuple[str, ...], caller: str) -> None:
    """The image with the interpreter opens extension modules (D-04)."""
    assert caller_of(images, images[0]) == caller


def test_only_the_systems_files_are_its_libraries() -> None:
    """In 10.15 they are files, and a module of Python's that exists is none of them (D-95)."""
    assert not is_system_file(__file__)
    assert not is_system_file("/usr/lib/no-such-library.dylib")


def test_host(tmp_path: Path) -> None:
    """All facts together: a translated process of a universal Python."""
    program = Macho(filetype="execute", arch="x86_64", rpaths=("@loader_path/../lib",))
    tree = MacTree(
        tmp_path,
        {
            "/c/bin/python3.11": fat(write(program), write(Macho(filetype="execute"))),
            "/c/lib/libz.dylib": Macho(arch="x86_64", install_name="@rpath/libz.dylib"),
        },
    )
    facts = MacFacts(
        product_version="15.1",
        machine="arm64",
        translated=True,
        haswell=False,
        executable="/c/bin/python3.11",
        arguments=block([b"python"], [b"DYLD_LIBRARY_PATH=/a"]),
        images=("/c/bin/python3.11", "/c/lib/libz.dylib", "/usr/lib/libSystem.B.dylib"),
    )

    host = host_of(facts, Disk(str(tree.root)), SharedCache())

    assert host.mac is not None
    assert (host.loader, host.mac.version, host.mac.accepts) == ("dyld", (15, 1, 0), ("x86_64",))
    assert [one.image is not None for one in host.mac.loaded] == [True, True, False]
    assert host.mac.environment == {"DYLD_LIBRARY_PATH": "/a"}
    assert host.skipped == ()
