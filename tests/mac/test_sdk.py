"""Symbols of the system's libraries, looked up in the text stubs of an SDK."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.support.macho_writer import Macho, write
from tfguard.__main__ import main
from tfguard.binary.tbd import Sdk, stubs_in

_SYSTEM = "/usr/lib/libSystem.B.dylib"
_YAML = """--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64e-macos ]
install-name:    '/usr/lib/libSystem.B.dylib'
current-version: 1336
reexported-libraries:
  - targets:         [ x86_64-macos, arm64e-macos ]
    libraries:       [ '/usr/lib/system/libc.dylib' ]
exports:
  - targets:         [ x86_64-macos ]
    symbols:         [ _intel, '_quoted$name' ]
  - targets:         [ arm64e-macos, arm64e-maccatalyst ]
    symbols:         [ _arm,
                       _wrapped ]
    weak-symbols:    [ _weak ]
    objc-classes:    [ NSThing ]
  - targets:         [ arm64-ios ]
    symbols:         [ _phone ]
--- !tapi-tbd
tbd-version:     4
targets:         [ arm64e-macos, x86_64-macos ]
install-name:    '/usr/lib/system/libc.dylib'
exports:
  - targets:         [ arm64e-macos, x86_64-macos ]
    symbols:         [ _printf ]
...
"""
_JSON = json.dumps(
    {
        "tapi_tbd_version": 5,
        "main_library": {
            "install_names": [{"name": _SYSTEM}],
            "reexported_libraries": [{"names": ["/usr/lib/system/libc.dylib"]}],
            "exported_symbols": [
                {"targets": ["x86_64-macos"], "text": {"global": ["_intel", "_quoted$name"]}},
                {
                    "targets": ["arm64e-macos"],
                    "text": {"global": ["_arm", "_wrapped"], "weak": ["_weak"]},
                    "data": {"objc_class": ["NSThing"]},
                },
                {"targets": ["arm64-ios"], "text": {"global": ["_phone"]}},
            ],
        },
        "libraries": [
            {
                "install_names": [{"name": "/usr/lib/system/libc.dylib"}],
                "exported_symbols": [{"text": {"global": ["_printf"]}}],
            }
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize("text", [_YAML, _JSON], ids=["yaml", "json"])
def test_exports(text: str, tmp_path: Path) -> None:
    """Names in every form, for this processor only, and those of libraries passed on."""
    file = tmp_path / "libSystem.tbd"
    file.write_text(text)

    arm, intel = Sdk(str(file), "arm64"), Sdk(str(file), "x86_64")
    there = ["_arm", "_wrapped", "_weak", "_OBJC_CLASS_$_NSThing", "_OBJC_METACLASS_$_NSThing", "_printf"]
    assert [arm.exports(_SYSTEM, one.encode()) for one in there] == [True] * len(there)
    assert [arm.exports(_SYSTEM, one) for one in (b"_intel", b"_phone", b"_no", b"\xff")] == [False] * 4
    assert [intel.exports(_SYSTEM, one) for one in (b"_intel", b"_quoted$name", b"_arm")] == [True, True, False]
    assert arm.exports("/usr/lib/libother.dylib", b"_x") is None


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "{", "[1]", '{"main_library": 3}', _YAML.replace("[", ""), "\0" * 99, "--- !x\ninstall-name: a\n"],
)
def test_what_is_no_stub(text: str) -> None:
    """No symbols, no exception."""
    assert all(not one.symbols for one in stubs_in(text, "arm64"))


def test_real_stub() -> None:
    """The stub of libSystem that zig brings."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("ziglang is not installed in this environment")
    file = Path(spec.submodule_search_locations[0]) / "lib" / "libc" / "darwin" / "libSystem.tbd"

    sdk = Sdk(str(file), "arm64")
    assert all(sdk.exports(_SYSTEM, one) for one in (b"_printf", b"_malloc", b"dyld_stub_binder", b"___error"))
    assert sdk.exports(_SYSTEM, b"_no_such_function") is False


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder laid out as an SDK; what it does not have is a warning, and what is no SDK is said."""
    sdk, library = tmp_path / "MacOSX.sdk", tmp_path / "m.so"
    (sdk / "usr/lib").mkdir(parents=True)
    (sdk / "usr/lib/libSystem.B.tbd").write_text(_YAML)
    names = (_SYSTEM, "/usr/lib/libz.1.dylib")
    library.write_bytes(write(Macho(filetype="bundle", needs=names, imports=((1, "_printf"), (1, "_gone"), (2, "_z")))))
    ask = ["check", "--host", "macos-14-arm64", str(library)]

    assert main(ask) == 0
    assert "_gone" not in capsys.readouterr().out
    assert main([*ask, "--sdk", str(sdk)]) == 0
    said = capsys.readouterr().out
    assert "TFG803 macho-symbol-not-found (warning): m.so needs gone, which libSystem.B.dylib does not have" in said
    assert "and 1 more" not in said
    assert main([*ask, "--sdk", str(tmp_path / "none")]) == 2
    assert main(["check", "--host", "debian-12-x86_64", "--sdk", str(sdk), str(library)]) == 2
