"""Causes on a Mac: files laid out as its tree, and what dyld would make of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from tests.loader.scene import Scene, Unavailable
from tests.rules.stage import Question, RuleCase
from tests.support.macho_writer import Macho, Signing, write

SITE = "/Users/me/venv/lib/python3.11/site-packages"
OP = "/Users/me/project/roi_pooling.so"
_FRAMEWORK = "@rpath/libtensorflow_framework.2.dylib"
_SYSTEM = "/usr/lib/libSystem.B.dylib"
_GONE = "__ZN10tensorflow14kernel_factory17OpKernelRegistrar12InitInternalEPKNS_9KernelDefE"

Files = Mapping[str, Macho | bytes | str]


def _op(**changes: Any) -> Macho:  # Any: fields of Macho
    return Macho(**{"install_name": "roi_pooling.so", "needs": (_SYSTEM,), **changes})


def _tensorflow(version: str = "2.16.2", *exports: str) -> dict[str, Macho | bytes | str]:
    """What of an installed TensorFlow is needed here."""
    framework = Macho(install_name=_FRAMEWORK, needs=(_SYSTEM,), exports=dict.fromkeys((*exports, "_TF_Version"), 0))
    internal = Macho(
        install_name="@rpath/_pywrap_tensorflow_internal.so",
        needs=(_FRAMEWORK, _SYSTEM),
        rpaths=("@loader_path/", "@loader_path/.."),
        exports={"_PyInit__pywrap_tensorflow_internal": 0},
    )
    record = "tensorflow/libtensorflow_framework.2.dylib,,\ntensorflow/python/_pywrap_tensorflow_internal.so,,\n"
    return {
        f"{SITE}/tensorflow/__init__.py": "",
        f"{SITE}/tensorflow/libtensorflow_framework.2.dylib": framework,
        f"{SITE}/tensorflow/python/_pywrap_tensorflow_internal.so": internal,
        f"{SITE}/tensorflow-{version}.dist-info/RECORD": record,
    }


def on_mac(
    files: Files,
    target: str = OP,
    door: str = "library",
    **mac: Any,  # Any: fields of Mac
) -> Callable[[Scene], Question]:
    """Lay the tree out and ask about a load there."""

    def lay_out(scene: Scene) -> Question:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            scene.write(f"mac{path}", data if isinstance(data, bytes) else write(data))
        settings = {"version": [14, 5, 0], "sites": [SITE], "root": scene.path("mac"), **mac}
        return Question(target=target, door=door, mac=settings)

    return lay_out


def _quarantined(scene: Scene) -> Question:
    """An op out of a browser's downloads, as a tool that keeps attributes brings it from a Mac."""
    question = on_mac({OP: _op()})(scene)
    try:
        os.setxattr(f"{scene.root}/mac{OP}", "user.com.apple.quarantine", b"0083;65f1a2b3;Chrome;7A6B5C4D")
    except (OSError, AttributeError) as error:
        raise Unavailable(f"files have no extended attributes here ({error})") from None
    return question


def _changed() -> bytes:
    data = bytearray(write(_op()))
    data[0x3000] ^= 0xFF
    return bytes(data)


_PLUGIN = f"{SITE}/tensorflow-plugins/libmetal_plugin.dylib"
_METAL: dict[str, Macho | bytes | str] = {
    f"{SITE}/tensorflow_metal-1.1.0.dist-info/RECORD": "tensorflow-plugins/libmetal_plugin.dylib,,\n",
    _PLUGIN: Macho(
        install_name="bazel-out/libmetal_plugin.dylib",
        needs=(_SYSTEM, "@rpath/_pywrap_tensorflow_internal.so"),
        imports=((2, "__ZN3tsl8internal10LogMessageC1EPKcii"), (-2, "_TF_Version")),
        rpaths=("@loader_path/../_solib_darwin_arm64/x",),
    ),
}
_HDF5 = f"{SITE}/h5py/defs.cpython-311-darwin.so"

CASES: tuple[RuleCase, ...] = (
    RuleCase(
        "TFG801",
        on_mac({OP: _op(needs=("@rpath/libcaffe.1.dylib", _SYSTEM), rpaths=("@loader_path/../lib", "/opt/caffe/lib"))}),
    ),
    RuleCase(
        "TFG801-elsewhere",
        on_mac(
            {
                OP: _op(needs=("@rpath/libroi.dylib", _SYSTEM), rpaths=("@loader_path/lib",)),
                "/usr/local/lib/libroi.dylib": Macho(install_name="/usr/local/lib/libroi.dylib"),
            }
        ),
    ),
    RuleCase(
        "TFG801-homebrew",
        on_mac({OP: _op(needs=("/opt/homebrew/opt/libomp/lib/libomp.dylib", _SYSTEM))}),
    ),
    RuleCase(
        "TFG801-of-a-package",
        on_mac(
            {
                _HDF5: Macho(filetype="bundle", needs=("@loader_path/.dylibs/libhdf5.310.dylib", _SYSTEM)),
                f"{SITE}/h5py-3.16.0.dist-info/RECORD": "h5py/defs.cpython-311-darwin.so,,\n",
            },
            target=_HDF5,
        ),
    ),
    RuleCase(
        "TFG802",
        on_mac({OP: _op(arch="x86_64")}, door="op"),
    ),
    RuleCase(
        "TFG802-rosetta",
        on_mac({OP: _op()}, architecture="x86_64", translated=True),
    ),
    RuleCase(
        "TFG803",
        on_mac(_tensorflow() | {OP: _op(needs=(_FRAMEWORK, _SYSTEM), imports=((1, _GONE), (2, "_malloc")))}, door="op"),
    ),
    RuleCase("TFG803-flat", on_mac({OP: _op(imports=((-2, _GONE), (-2, "_PyLong_FromLong")))})),
    RuleCase("TFG804", on_mac({OP: _op(minos="15.0", sdk="15.0")}), warning=True),
    RuleCase("TFG805", on_mac({OP: _op(sign=False)})),
    RuleCase("TFG805-changed", on_mac({OP: _changed()})),
    RuleCase(
        "TFG805-team",
        on_mac({OP: _op(sign=Signing(flags=0x10000, team="AAAAAAAAAA"))}, validates_libraries=True, team="BBBBBBBBBB"),
    ),
    RuleCase("TFG806", on_mac({OP: _op(extra=(bytes.fromhex("9900008008000000"),))}, version=[15, 6, 0])),
    RuleCase("TFG807", on_mac({OP: _op(filetype="object", install_name=None)})),
    RuleCase("TFG808", on_mac({OP: b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + bytes(8192)})),
    RuleCase(
        "TFG808-git-lfs",
        on_mac({OP: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"}),
    ),
    RuleCase(
        "TFG809",
        on_mac(
            {
                OP: _op(needs=("@rpath/libroi.dylib", _SYSTEM)),
                "/Users/me/lib/libroi.dylib": Macho(install_name="@rpath/libroi.dylib"),
            },
            environment={"DYLD_LIBRARY_PATH": "/Users/me/lib"},
            allows_path_variables=False,
        ),
    ),
    RuleCase("TFG810", on_mac({OP: _op(rpaths=("@loader_path",) * 2, sdk="15.5")}, version=[15, 6, 0])),
    RuleCase("TFG811", on_mac({OP: write(_op())[:0x5000]}, version=[15, 6, 0])),
    RuleCase("TFG811-before-15.4", on_mac({OP: write(_op())[:0x5000]})),
    RuleCase("TFG415-metal", on_mac(_tensorflow("2.18.1") | _METAL, target="tensorflow", door="import")),
    RuleCase("TFG813", on_mac(_tensorflow() | {OP: _op(needs=(_FRAMEWORK, _SYSTEM))})),
    RuleCase("TFG814", on_mac({OP: _op(platform="ios")})),
    RuleCase("TFG816", _quarantined, warning=True),
    RuleCase("TFG815", on_mac({"/Users/me/project/libroi_pooling.so": _op()})),
)
