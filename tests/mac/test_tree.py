"""The tree of a Mac below a directory: its Python is told from its files, loads are judged as they would be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.mac_tree import Content, MacTree
from tests.support.macho_writer import Macho, Signing, fat, write
from tfguard.__main__ import main
from tfguard.binary.files import Disk
from tfguard.checks.check import check_import, check_library
from tfguard.hosts.host import Host

_PLIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
<key>ProductBuildVersion</key><string>23F79</string>
<key>ProductVersion</key>
<string>14.5</string>
</dict></plist>
"""
_FRAMEWORK = "/Library/Frameworks/Python.framework/Versions/3.11"
_SITE = f"{_FRAMEWORK}/lib/python3.11/site-packages"
_NO_VALIDATION = b"<key>com.apple.security.cs.disable-library-validation</key><true/>"
_SYSTEM = "/usr/lib/libSystem.B.dylib"
_MAP = "mapping  EX 1 2\n\n/usr/lib/libSystem.B.dylib\n\t__TEXT 1\n\n/usr/lib/libz.1.dylib\n\t__TEXT 1\n"


def framework_tree(root: Path, **more: Content) -> MacTree:
    """python.org's Python, universal, hardened, with a package in it."""
    program = Macho(
        filetype="execute",
        needs=("@executable_path/../../../../Python", _SYSTEM),
        sign=Signing(flags=0x10000, team="BMM5U3QVKW", entitlements=_NO_VALIDATION),
    )
    core = Macho(install_name=f"{_FRAMEWORK}/Python", exports={"_PyLong_FromLong": 0, "_Py_Initialize": 0})
    inner = f"{_FRAMEWORK}/Resources/Python.app/Contents/MacOS/Python"
    files: dict[str, Content] = {
        "/System/Library/CoreServices/SystemVersion.plist": _PLIST,
        "/System/Volumes/Preboot/Cryptexes/OS/System/Library/dyld/dyld_shared_cache_arm64e.map": _MAP.encode(),
        f"{_FRAMEWORK}/bin/python3.11": write(Macho(filetype="execute")),
        f"{_FRAMEWORK}/bin/python3": "python3.11",
        inner: fat(write(Macho(arch="x86_64", filetype="execute")), write(program)),
        f"{_FRAMEWORK}/Python": fat(write(core), write(Macho(arch="x86_64", install_name=f"{_FRAMEWORK}/Python"))),
        f"{_SITE}/pkg/good.so": Macho(filetype="bundle", needs=(_SYSTEM,), imports=((-2, "_PyLong_FromLong"),)),
    }
    files.update({f"/{name.replace('__', '/')}": content for name, content in more.items()})
    return MacTree(root, files)


def test_python_of_a_tree(tmp_path: Path) -> None:
    """The program that the kernel runs in the end, the library with the interpreter, the packages, the policy."""
    tree = framework_tree(tmp_path)

    host = Host.from_root(str(tree.root))

    mac = host.mac
    assert mac is not None
    assert (mac.version, mac.architecture) == ((14, 5, 0), "arm64")
    assert mac.main.endswith("Resources/Python.app/Contents/MacOS/Python")
    assert mac.caller == f"{_FRAMEWORK}/Python"
    assert mac.sites == (_SITE,)
    assert not mac.allows_path_variables
    assert mac.cache.paths == frozenset(("/usr/lib/libSystem.B.dylib", "/usr/lib/libz.1.dylib"))
    assert host.skipped == ("the Python is for x86_64 and arm64: it is taken to run as arm64",)


def test_names_of_python_are_looked_up_where_it_can_be_read(tmp_path: Path) -> None:
    """A module for a newer Python lacks a function of the C API, and that is certain."""
    tree = framework_tree(tmp_path)
    tree.put(f"{_SITE}/pkg/newer.so", Macho(filetype="bundle", needs=(_SYSTEM,), imports=((-2, "_PyNewer_Function"),)))
    host = Host.from_root(str(tree.root))

    assert check_library(f"{_SITE}/pkg/good.so", host=host).findings == ()
    report = check_library(f"{_SITE}/pkg/newer.so", host=host)
    assert [one.code for one in report.findings] == ["TFG803"]


def test_library_that_the_cache_does_not_have(tmp_path: Path) -> None:
    """With the map of the shared cache nothing of it is assumed (D-97)."""
    tree = framework_tree(tmp_path)
    tree.put(f"{_SITE}/pkg/old.so", Macho(filetype="bundle", needs=("/usr/lib/libgone.2.dylib", _SYSTEM)))
    tree.put(f"{_SITE}/pkg/z.so", Macho(filetype="bundle", needs=("/usr/lib/libz.dylib", _SYSTEM)))
    host = Host.from_root(str(tree.root))

    assert [one.code for one in check_library(f"{_SITE}/pkg/old.so", host=host).findings] == ["TFG801"]
    assert check_library(f"{_SITE}/pkg/z.so", host=host).findings == ()


def test_conda_python(tmp_path: Path) -> None:
    """The interpreter is linked into the program, whose LC_RPATH serves every module."""
    tree = MacTree(
        tmp_path,
        {
            "/System/Library/CoreServices/SystemVersion.plist": _PLIST.replace(b"14.5", b"26.0.1"),
            "/opt/miniconda3/bin/python3.12": Macho(
                filetype="execute", rpaths=("@loader_path/../lib",), exports={"_PyLong_FromLong": 0}
            ),
            "/opt/miniconda3/bin/python3": "python3.12",
            "/opt/miniconda3/lib/libopenblas.0.dylib": Macho(
                install_name="@rpath/libopenblas.0.dylib", exports={"_f": 0}
            ),
            "/opt/miniconda3/lib/python3.12/site-packages/pkg/m.so": Macho(
                filetype="bundle", needs=("@rpath/libopenblas.0.dylib", _SYSTEM), imports=((1, "_f"),)
            ),
        },
    )
    host = Host.from_root(str(tree.root), "opt/miniconda3/bin/python3")

    assert host.mac is not None
    assert (host.mac.version, host.mac.caller) == ((26, 0, 1), "/opt/miniconda3/bin/python3.12")
    assert check_import("pkg", host=host).findings == ()


@pytest.mark.parametrize("ignores_case", [False, True])
def test_paths_of_a_tree(ignores_case: bool, tmp_path: Path) -> None:
    """Links stay inside, also absolute ones and those that climb; case counts where the disk says so."""
    tree = MacTree(
        tmp_path / "tree",
        {
            "/a/Lib.dylib": b"x",
            "/abs": "/a/Lib.dylib",
            "/b/up": "../../../a/Lib.dylib",
            "/circle": "circle",
            "/gone": "/no",
        },
    )
    (tmp_path / "outside").write_bytes(b"secret")
    (tree.root / "out").symlink_to("../outside")
    disk = Disk(str(tree.root), ignores_case=ignores_case)

    assert disk.real_path("/abs") == disk.real_path("/b/up") == "/a/Lib.dylib"
    assert [disk.look_at(one).kind for one in ("/abs", "/b/up", "/a", "/circle", "/gone", "/out")] == [
        "regular", "regular", "directory", "", "", "",
    ]  # fmt: skip
    assert (disk.real_path("/A/lib.DYLIB") is not None) == ignores_case
    assert list(disk.below("/a")) == ["/a/Lib.dylib"]


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        (b"0083;65f1a2b3;Chrome;7A6B", ["TFG816"]),
        (b"01C3;65f1a2b3;Safari;7A6B", []),  # approved by the user
        (b"q/0;\xff", ["TFG816"]),  # no number
        (b"", ["TFG816"]),
    ],
)
def test_quarantine(value: bytes, codes: list[str], tmp_path: Path) -> None:
    """A library with the attribute is told of, unless somebody has approved it; what fails anyway is told as that."""
    tree = framework_tree(tmp_path)
    try:
        os.setxattr(tmp_path / f"{_SITE}/pkg/good.so".lstrip("/"), "user.com.apple.quarantine", value)
    except (OSError, AttributeError) as error:
        pytest.skip(f"files have no extended attributes here ({error})")
    host = Host.from_root(str(tree.root))

    report = check_import("pkg", host=host)

    assert [one.code for one in report.findings] == codes
    assert report.ok


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--root alone, and --host for another macOS or processor than the tree's own."""
    tree = framework_tree(tmp_path)
    root, module = str(tree.root), f"{_SITE}/pkg/good.so"

    assert main(["check", "--root", root, "pkg"]) == 0
    assert "pkg: ok, 1 library checked" in capsys.readouterr().out
    assert main(["check", "--root", root, module]) == 0
    assert main(["check", "--root", root, os.path.join(root, module[1:])]) == 0
    capsys.readouterr()
    assert main(["check", "--root", root, "--host", "macos-13-x86_64", module]) == 1
    assert "TFG802" in capsys.readouterr().out
    assert main(["check", "--root", root, "nosuch"]) == 2
    assert main(["check", "--root", root, "--host", "amiga", module]) == 2


def _installed(tree: MacTree, name: str, version: str, package: str, *files: str, metadata: str = "") -> None:
    """A distribution's metadata, which lists these files of the package and is right about them."""
    folder = f"{_SITE}/{name.replace('-', '_')}-{version}.dist-info"
    tree.put(f"{folder}/METADATA", f"Name: {name}\nVersion: {version}\n{metadata}\n".encode())
    tree.put(f"{folder}/RECORD", "".join(f"{one},,\n" for one in (*files, f"{package}/__init__.py")).encode())


def _tensorflow(root: Path) -> MacTree:
    tree = framework_tree(root)
    tree.put(f"{_SITE}/tensorflow/__init__.py", b"")
    tree.put(f"{_SITE}/tensorflow/python/_pywrap_tfe.so", Macho(filetype="bundle", needs=(_SYSTEM,)))
    _installed(tree, "tensorflow", "2.99.0", "tensorflow", "tensorflow/python/_pywrap_tfe.so")
    return tree


def test_installation_of_a_tree(tmp_path: Path) -> None:
    """What is sound is silent; two distributions over one another, a missing file and another wheel are told of."""
    tree = _tensorflow(tmp_path)
    host = Host.from_root(str(tree.root))

    assert check_import("tensorflow", host=host).findings == ()
    _installed(tree, "tensorflow-macos", "2.13.1", "tensorflow", "tensorflow/python/_pywrap_tfe.so")
    report = check_import("tensorflow", host=host)
    assert [one.code for one in report.findings] == ["TFG403"]
    assert str(tmp_path) not in str(report)


def test_file_that_is_gone_from_a_tree(tmp_path: Path) -> None:
    """A file that the RECORD lists and that is not there, by the path that it has on the Mac."""
    tree = _tensorflow(tmp_path)
    _installed(tree, "tensorflow", "2.99.0", "tensorflow", "tensorflow/python/_pywrap_tfe.so", "tensorflow/gone.py")

    report = check_import("tensorflow", host=Host.from_root(str(tree.root)))

    assert [(one.code, one.severity) for one in report.findings] == [("TFG404", "warning")]
    assert f"{_SITE}/tensorflow" in str(report)
    assert str(tmp_path) not in str(report)


def test_wheel_of_another_system_in_a_tree(tmp_path: Path) -> None:
    """Copied from Linux: the tags say so, and the files do."""
    tree = _tensorflow(tmp_path)
    tree.put(f"{_SITE}/tensorflow-2.99.0.dist-info/WHEEL", b"Tag: cp311-cp311-manylinux_2_17_x86_64\n")
    tree.put(f"{_SITE}/tensorflow/python/_pywrap_tfe.so", b"\x7fELF\x02\x01\x01" + bytes(5000))

    codes = [one.code for one in check_import("tensorflow", host=Host.from_root(str(tree.root))).findings]

    assert sorted(codes) == ["TFG402", "TFG808"]
