"""Messages of dyld that people reported, with the files and the process that give them; paths are as reported.

Of the reports that the reference quotes these have no row:

- Azure/azure-cli/issues/16697: there is no message, the process is killed (TFG805 says so, `tests/rules`).
- flet-dev/flet/issues/4543: Gatekeeper's verdict (quarantine), which no file shows.
- ethangreen-dev/lovely-injector/issues/81: a library of DYLD_INSERT_LIBRARIES, refused by Gatekeeper.
- bettar/miele-lxiv-easy/issues/10: macOS 10.14, before the oldest engine here.
- QiuChenlyOpenSource/MyMacsAppCrack/issues/10: its text could not be had; owncloud/client/issues/10808 shows the same.
- conda-forge/python-feedstock/issues/779, mesonbuild/meson-python/issues/813, python/cpython/issues/138070: the message
  of jdolan/quetoo/issues/1065 with other paths.
- microsoft/rego-cpp/issues/196: the message of contentauth/c2pa-js/issues/180 with other paths.
- volcengine/OpenViking/issues/35: the message of Hugoberry/pbixray/issues/10 with other paths.
- tensorflow/tensorflow/issues/84167 and 81987: their text could not be had whole; the real wheels are judged in
  `tests/slow/test_macos_wheels.py`.
- The row "program launch": the start of a program is not played for macOS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.mac_tree import Content
from tests.support.macho_writer import Macho, Signing
from tfguard.hosts.mac import SharedCache

CR = "/System/Volumes/Preboot/Cryptexes/OS"
ELF = b"\x7fELF\x02\x01\x01\x00" + bytes(8192)
_OLD = "13.0"  # an SDK before that of macOS 14: the image has fallback directories


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One message: where it was reported, the files, the process, the call, and what dyld said."""

    id: str
    link: str
    version: tuple[int, int, int]
    target: str
    message: str
    files: Mapping[str, Content] = field(default_factory=dict)
    mode: int = 2
    mac: Mapping[str, Any] = field(default_factory=dict)  # Any: fields of Mac


def _wrong(path: str, have: str) -> dict[str, Content]:
    return {path: Macho(arch=have, install_name="@rpath/x")}


def _tried_thrice(path: str, why: str) -> str:
    return f"tried: '{path}' ({why}), '{CR}{path}' (no such file), '{path}' ({why})"


_CFG = "/xxx/project/.venv/lib/python3.8/site-packages/pytype/typegraph/cfg.cpython-38-darwin.so"
_PYDANTIC = (
    "/Library/Frameworks/Python.framework/Versions/3.10/lib/python3.10/site-packages/pydantic_core/"
    "_pydantic_core.cpython-310-darwin.so"
)
_PBIXRAY = "/opt/anaconda3/lib/python3.12/site-packages/pbixray/lib/libxpress9.dylib"
_CV2 = "/Library/Python/3.8/site-packages/cv2/cv2.abi3.so"
_CORIUM = "/Users/syschiko/.reloadium/package/3.10/reloadium/corium.cpython-310-darwin.so"
_TCL = "/usr/local/Modules/lib/libtclenvmodules.dylib"
_GAME = "/Applications/Quetoo.app/Contents/MacOS/lib/quetoo/default/game.so"
_INTERNAL = "/Users/user/venv/lib/python3.8/site-packages/tensorflow/python/_pywrap_tensorflow_internal.so"
_CAFFE = "/Users/user/src/caffe/caffe/distribute/python/caffe/_caffe.so"
_TEXT = "/Users/user/venv/nlp_env/lib/python3.7/site-packages/tensorflow_text/python/ops/_constrained_sequence_op.so"
_ZERO_OUT = "custom-op-master/tensorflow_zero_out/cc/zero_out.so"
_GRAIN = (
    "/Users/user/maxtext/my_env/lib/python3.11/site-packages/grain/_src/python/experimental/index_shuffle/python/"
    "index_shuffle_module.so"
)
_ORT = "/Users/user/Desktop/cep/node_modules/onnxruntime-node/bin/napi-v3/darwin/arm64/onnxruntime_binding.node"
_TFE = "/Users/user/tensorflow_macos_venv/lib/python3.8/site-packages/tensorflow/python/_pywrap_tfe.so"
_EULER = "/Users/user/clawpack/build/cp313/riemann/riemann/euler_mapgrid_3D.cpython-313-darwin.so"
_ACR = "/Users/user/conrad-sdk/sample-apps/python-acr-client/conrad_acr_client/mac/acrcloud_extr_tool.so"
_METAL = "/Users/user/env/miniforge3/lib/python3.9/site-packages/tensorflow-plugins/libmetal_plugin.dylib"
_PYWRAP = "/Users/SummerREU/anaconda/lib/python2.7/site-packages/tensorflow/python/_pywrap_tensorflow.so"
_C2PA = "/Users/user/node_modules/@contentauth/c2pa-node/dist/index.node"
_GMM = "/Library/Frameworks/R.framework/Versions/4.2-arm64/Resources/library/gmm/libs/gmm.so"
_LIBPYTHON = "/Users/user/mosaic/envs/py39/lib/libpython3.9.dylib"
_PANDAS = "/Users/user/.local/lib/python3.9/site-packages/pandas/_libs/interval.cpython-39-darwin.so"
_ENGINE = "/Users/user/OpenViking/bot/.venv/lib/python3.11/site-packages/openviking/storage/vectordb/engine.so"
_TFI = "/Users/abc/Sites/tfgpu/lib/python3.6/site-packages/tensorflow/python/_pywrap_tensorflow_internal.so"
_CRYPTO, _CELLAR = "/usr/local/lib/libcrypto.dylib", "/usr/local/Cellar/openssl@3/3.3.1/lib/libcrypto.3.dylib"
_EDGEPY = (
    "/Users/user/opt/anaconda3/envs/inmoose_test/lib/python3.9/site-packages/inmoose/edgepy/"
    "edgepy_cpp.cpython-39-darwin.so"
)
_NO_CDHASH = (
    f"code signature in <UUID> '{_CELLAR}' not valid for use in process: mapped file has no cdhash, completely "
    "unsigned? Code has to be at least ad-hoc signed."
)


REPORTS: tuple[Report, ...] = (
    Report(
        id="13.4-arm64-intel-file",
        link="https://github.com/google/pytype/issues/1515",
        version=(13, 4, 1),
        target=_CFG,
        files=_wrong(_CFG, "x86_64"),
        mac={"arm64e_dyld": False},
        message=f"dlopen({_CFG}, 0x0002): "
        + _tried_thrice(_CFG, "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')"),
    ),
    Report(
        id="14-arm64-intel-file-framework-python",
        link="https://github.com/pydantic/pydantic/issues/8892",
        version=(14, 3, 0),
        target=_PYDANTIC,
        files=_wrong(_PYDANTIC, "x86_64"),
        mac={"arm64e_dyld": False},
        message=f"dlopen({_PYDANTIC}, 0x0002): "
        + _tried_thrice(_PYDANTIC, "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')"),
    ),
    Report(
        id="intel-mac-arm64-file-ctypes",
        link="https://github.com/Hugoberry/pbixray/issues/10",
        version=(15, 0, 0),
        target=_PBIXRAY,
        mode=6,
        files=_wrong(_PBIXRAY, "arm64"),
        mac={"architecture": "x86_64"},
        message=f"dlopen({_PBIXRAY}, 0x0006): "
        + _tried_thrice(
            _PBIXRAY, "mach-o file, but is an incompatible architecture (have 'arm64', need 'x86_64h' or 'x86_64')"
        ),
    ),
    Report(
        id="12.0-rosetta-fallbacks-for-an-absolute-path",
        link="https://github.com/AirtestProject/AirtestIDE/issues/1119",
        version=(12, 1, 0),
        target=_CV2,
        files=_wrong(_CV2, "arm64"),
        mac={"architecture": "x86_64", "translated": True},
        message=f"dlopen({_CV2}, 0x0002): tried: '{_CV2}' (mach-o file, but is an incompatible architecture "
        "(have 'arm64', need 'x86_64')), '/usr/local/lib/cv2.abi3.so' (no such file), "
        "'/usr/lib/cv2.abi3.so' (no such file)",
    ),
    Report(
        id="12.5-brackets-intel",
        link="https://github.com/reloadware/reloadium/issues/83",
        version=(12, 6, 0),
        target=_CORIUM,
        files=_wrong(_CORIUM, "arm64"),
        mac={"architecture": "x86_64"},
        message=f"dlopen({_CORIUM}, 0x0002): tried: '{_CORIUM}' (mach-o file, but is an incompatible architecture "
        "(have (arm64), need (x86_64h)))",
    ),
    Report(
        id="12.5-brackets-arm64",
        link="https://github.com/envmodules/modules/issues/474",
        version=(12, 6, 0),
        target=_TCL,
        mode=0xA,
        files=_wrong(_TCL, "x86_64"),
        message=f"dlopen({_TCL}, 0x000A): tried: '{_TCL}' (mach-o file, but is an incompatible architecture "
        "(have (x86_64), need (arm64e)))",
    ),
    Report(
        id="15.6-duplicate-rpath",
        link="https://github.com/jdolan/quetoo/issues/1065",
        version=(15, 6, 0),
        target=_GAME,
        mode=5,
        files={_GAME: Macho(install_name="game.so", sdk="15.5", rpaths=("@executable_path/lib/",) * 2)},
        message=f"dlopen({_GAME}, 0x0005): " + _tried_thrice(_GAME, "duplicate LC_RPATH '@executable_path/lib/'"),
    ),
    Report(
        id="elf-file",
        link="https://github.com/google/grain/issues/620",
        version=(12, 6, 0),
        target=_GRAIN,
        files={_GRAIN: ELF},
        message=f"dlopen({_GRAIN}, 0x0002): tried: '{_GRAIN}' (not a mach-o file)",
    ),
    Report(
        id="team-ids",
        link="https://github.com/Adobe-CEP/CEP-Resources/issues/511",
        version=(12, 6, 0),
        target=_ORT,
        mode=1,
        files={_ORT: Macho(install_name="@rpath/x", sign=Signing(flags=0x10000, team="AAAAAAAAAA"))},
        mac={"validates_libraries": True, "team": "BBBBBBBBBB"},
        message=f"dlopen({_ORT}, 0x0001): tried: '{_ORT}' (code signature in <UUID> '{_ORT}' not valid for use in "
        "process: mapping process and mapped file (non-platform) have different Team IDs)",
    ),
    Report(
        id="unsigned",
        link="https://github.com/epigenelabs/inmoose/issues/157",
        version=(12, 6, 0),
        target=_EDGEPY,
        files={_EDGEPY: Macho(filetype="bundle", sign=False)},
        message=f"dlopen({_EDGEPY}, 0x0002): tried: '{_EDGEPY}' (code signature in <UUID> '{_EDGEPY}' not valid for "
        "use in process: Trying to load an unsigned library)",
    ),
    Report(
        id="11-wrong-architecture",
        link="https://github.com/apple/tensorflow_macos/issues/146",
        version=(11, 0, 1),
        target=_INTERNAL,
        mode=6,
        files=_wrong(_INTERNAL, "arm64"),
        mac={"architecture": "x86_64"},
        # the report has the line once; the second one is of the search by real path (dyld.md D-62)
        message=f"dlopen({_INTERNAL}, 6): no suitable image found.  Did find:\n\t{_INTERNAL}: mach-o, but wrong "
        f"architecture\n\t{_INTERNAL}: mach-o, but wrong architecture",
    ),
    Report(
        id="10.15-object-file",
        link="https://github.com/mortcanty/CRCPython/issues/3",
        version=(10, 15, 0),
        target="libprov_means.so",
        mode=6,
        files={"/Users/user/lib/libprov_means.so": b"\xcf\xfa\xed\xfe" + bytes(900)},
        mac={"architecture": "x86_64", "environment": {"HOME": "/Users/user"}, "cwd": "/Users/user/work"},
        message="dlopen(libprov_means.so, 6): no suitable image found.  Did find:\n"
        "\t/Users/user/lib/libprov_means.so: file too short\n\t/Users/user/lib/libprov_means.so: file too short",
    ),
    Report(
        id="10.15-no-rpath-leads-there",
        link="https://github.com/BVLC/caffe/issues/3597",
        version=(10, 15, 0),
        target=_CAFFE,
        files={_CAFFE: Macho(arch="x86_64", filetype="bundle", needs=("@rpath/libcaffe.so.1.0.0",))},
        mac={"architecture": "x86_64"},
        message=f"dlopen({_CAFFE}, 2): Library not loaded: @rpath/libcaffe.so.1.0.0\n  Referenced from: {_CAFFE}\n"
        "  Reason: image not found",
    ),
    Report(
        id="10.15-framework-of-another-release",
        link="https://github.com/tensorflow/text/issues/97",
        version=(10, 15, 0),
        target=_TEXT,
        mode=6,
        files={_TEXT: Macho(arch="x86_64", install_name="@rpath/x", needs=("@rpath/libtensorflow_framework.1.dylib",))},
        mac={"architecture": "x86_64"},
        message=f"dlopen({_TEXT}, 6): Library not loaded: @rpath/libtensorflow_framework.1.dylib\n"
        f"  Referenced from: {_TEXT}\n  Reason: image not found",
    ),
    Report(
        id="11-flat-namespace",
        link="https://github.com/tensorflow/swift/issues/436",
        version=(11, 4, 0),
        target=_ZERO_OUT,
        mode=6,
        files={
            f"/{_ZERO_OUT}": Macho(
                arch="x86_64",
                install_name="zero_out.so",
                minos="10.13",
                imports=((-2, "__ZN10tensorflow10DEVICE_CPUE"),),
            )
        },
        mac={"architecture": "x86_64"},
        message=f"dlopen({_ZERO_OUT}, 6): Symbol not found: __ZN10tensorflow10DEVICE_CPUE\n"
        f"  Referenced from: {_ZERO_OUT}\n  Expected in: flat namespace\n in {_ZERO_OUT}",
    ),
    Report(
        id="11-pywrap-internal-missing",
        link="https://github.com/apple/tensorflow_macos/issues/225",
        version=(11, 2, 0),
        target=_TFE,
        files={
            _TFE: Macho(install_name="x", needs=("@rpath/_pywrap_tensorflow_internal.so",), rpaths=("@loader_path/",))
        },
        message=f"dlopen({_TFE}, 2): Library not loaded: @rpath/_pywrap_tensorflow_internal.so\n"
        f"  Referenced from: {_TFE}\n  Reason: image not found",
    ),
    Report(
        id="11-absolute-dependent-missing",
        link="https://github.com/TomHeaven/tensorflow-osx-build/issues/6",
        version=(10, 15, 0),
        target=_TFI,
        mode=6,
        files={_TFI: Macho(arch="x86_64", install_name="x", needs=("/usr/local/lib/libgomp.1.dylib",))},
        mac={"architecture": "x86_64"},
        message=f"dlopen({_TFI}, 6): Library not loaded: /usr/local/lib/libgomp.1.dylib\n"
        f"  Referenced from: {_TFI}\n  Reason: image not found",
    ),
    Report(
        id="11-wrong-architecture-twice",
        link="https://github.com/apple/tensorflow_macos/issues/273",
        version=(11, 3, 0),
        target=_INTERNAL,
        mode=6,
        files=_wrong(_INTERNAL, "arm64"),
        mac={"architecture": "x86_64"},
        message=f"dlopen({_INTERNAL}, 6): no suitable image found.  Did find:\n\t{_INTERNAL}: mach-o, but wrong "
        f"architecture\n\t{_INTERNAL}: mach-o, but wrong architecture",
    ),
    Report(
        id="10.15-symbol-of-the-system",
        link="https://github.com/tensorflow/tensorflow/issues/3034",
        version=(10, 15, 0),
        target=_PYWRAP,
        files={
            _PYWRAP: Macho(
                arch="x86_64",
                install_name="x",
                minos="10.8",
                needs=("/usr/lib/libSystem.B.dylib",),
                imports=((1, "___sincos_stret"),),
            ),
            "/usr/lib/libSystem.B.dylib": Macho(
                arch="x86_64", install_name="/usr/lib/libSystem.B.dylib", exports={"_printf": 0}
            ),
        },
        mac={"architecture": "x86_64", "cache": SharedCache(paths=frozenset())},
        message=f"dlopen({_PYWRAP}, 2): Symbol not found: ___sincos_stret\n  Referenced from: {_PYWRAP}\n"
        f"  Expected in: /usr/lib/libSystem.B.dylib\n in {_PYWRAP}",
    ),
    Report(
        id="12.6-absolute-dependent-missing",
        link="https://github.com/fxcoudert/gfortran-for-macOS/issues/49",
        version=(12, 6, 0),
        target=_GMM,
        mode=6,
        files={_GMM: Macho(install_name="gmm.so", needs=("/opt/R/arm64/gfortran/lib/libgomp.1.dylib",))},
        message=f"dlopen({_GMM}, 0x0006): Library not loaded: '/opt/R/arm64/gfortran/lib/libgomp.1.dylib'\n"
        f"  Referenced from: '{_GMM}'\n  Reason: tried: '/opt/R/arm64/gfortran/lib/libgomp.1.dylib' (no such file), "
        "'/usr/local/lib/libgomp.1.dylib' (no such file), '/usr/lib/libgomp.1.dylib' (no such file)",
    ),
    Report(
        id="12-metal-plugin-of-another-tensorflow",
        link="https://github.com/tensorflow/models/issues/10617",
        version=(12, 3, 1),
        target=_METAL,
        mode=6,
        files={_METAL: Macho(install_name="x", imports=((-2, "_TF_AllocateOutput"),))},
        message=f"dlopen({_METAL}, 0x0006): symbol not found in flat namespace '_TF_AllocateOutput'",
    ),
    Report(
        id="14-no-rpath-at-all",
        link="https://github.com/fxcoudert/gfortran-for-macOS/issues/67",
        version=(14, 7, 0),
        target=_EULER,
        files={_EULER: Macho(filetype="bundle", sdk="14.0", needs=("@rpath/libgfortran.5.dylib",))},
        message=f"dlopen({_EULER}, 0x0002): Library not loaded: @rpath/libgfortran.5.dylib\n"
        f"  Referenced from: <UUID> {_EULER}\n  Reason: no LC_RPATH's found",
    ),
    Report(
        id="14-arm64e-or-arm64",
        link="https://github.com/acrcloud/acrcloud_sdk_python/issues/41",
        version=(14, 4, 0),
        target=_ACR,
        files=_wrong(_ACR, "x86_64"),
        message=f"dlopen({_ACR}, 0x0002): "
        + _tried_thrice(
            _ACR, "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64e' or 'arm64')"
        ),
    ),
    Report(
        id="14-libpython-of-the-other-processor",
        link="https://github.com/beroukhim-lab/BISCUT-py3/issues/8",
        version=(14, 4, 0),
        target=_LIBPYTHON,
        mode=0xA,
        files=_wrong(_LIBPYTHON, "x86_64"),
        mac={"arm64e_dyld": False},
        message=f"dlopen({_LIBPYTHON}, 0x000A): "
        + _tried_thrice(_LIBPYTHON, "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')"),
    ),
    Report(
        id="13-module-of-the-other-processor",
        link="https://github.com/mindspore-ai/mindspore/issues/249",
        version=(13, 6, 0),
        target=_PANDAS,
        files=_wrong(_PANDAS, "x86_64"),
        mac={"arm64e_dyld": False},
        message=f"dlopen({_PANDAS}, 0x0002): "
        + _tried_thrice(_PANDAS, "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')"),
    ),
    Report(
        id="14-real-path-tried-as-well",
        link="https://github.com/Leseratte10/acsm-calibre-plugin/issues/109",
        version=(14, 5, 0),
        target=_CRYPTO,
        mode=6,
        files={_CRYPTO: _CELLAR, _CELLAR: Macho(arch="x86_64", install_name=_CELLAR, sign=False)},
        mac={"architecture": "x86_64", "validates_libraries": True, "team": "NTY7FVCEKP"},
        message=f"dlopen({_CRYPTO}, 0x0006): tried: "
        + ", ".join(
            f"'{path}' ({why})"
            for place in (_CRYPTO, _CELLAR)
            for path, why in ((place, _NO_CDHASH), (f"{CR}{place}", "no such file"), (place, _NO_CDHASH))
        ),
    ),
    Report(
        id="26-not-a-macho",
        link="https://github.com/contentauth/c2pa-js/issues/180",
        version=(26, 0, 0),
        target=_C2PA,
        mode=1,
        files={_C2PA: ELF},
        message=f"dlopen({_C2PA}, 0x0001): " + _tried_thrice(_C2PA, "slice is not valid mach-o file"),
    ),
    Report(
        id="26.4-arm64e-v1",
        link="https://github.com/volcengine/OpenViking/issues/387",
        version=(26, 4, 0),
        target=_ENGINE,
        files=_wrong(_ENGINE, "x86_64"),
        message=f"dlopen({_ENGINE}, 0x0002): "
        + _tried_thrice(
            _ENGINE,
            "mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64e' or 'arm64e.v1' or "
            "'arm64' or 'arm64')",
        ),
    ),
)

# Candidate lists that were reported, the paths shortened: what stands in front of and behind them is left out.


def _missing(*paths: str, version: int = 13) -> str:
    said = []
    for path in paths:
        cached = version >= 13 and path.startswith(("/usr/lib/", "/System/Library/"))
        said.append(f"'{path}' (no such file{', not in dyld cache' if cached else ''})")
    return f"tried: {', '.join(said)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that comes to nothing: the name, who asks for it, and every candidate in order.

    Where it is `static` a library at /top/lib/top.dylib with `top_rpaths` needs it, else dlopen gets it. The caller is
    the program itself, but with `caller_rpaths` a library at /V/python.dylib.
    """

    id: str
    name: str
    tried: tuple[str, ...]
    link: str = ""
    version: tuple[int, int, int] = (13, 5, 0)
    static: bool = False
    main_rpaths: tuple[str, ...] = ()
    caller_rpaths: tuple[str, ...] | None = None
    top_rpaths: tuple[str, ...] = ()
    sdk: str = _OLD
    mac: Mapping[str, Any] = field(default_factory=dict)  # Any: fields of Mac


_LEAF = ("x", f"{CR}x")

SEARCHES: tuple[Search, ...] = (
    Search(
        id="leaf-old-caller",
        link="https://github.com/Kozea/CairoSVG/issues/392",
        name="x",
        tried=(*_LEAF, "/usr/lib/x", "x", "/usr/local/lib/x", "/usr/lib/x"),
    ),
    Search(
        id="leaf-restricted",
        link="https://github.com/dora-metrics/pelorus/issues/1073",
        name="x",
        mac={"allows_classic_fallbacks": False},
        tried=(*_LEAF, "/usr/lib/x", "x", "/usr/lib/x"),
    ),
    Search(
        id="leaf-absolute-rpath",
        link="https://github.com/cachix/devenv/pull/607",
        name="x",
        caller_rpaths=("/n/F",),
        tried=(*_LEAF, "/n/F/x", f"{CR}/n/F/x", "/usr/lib/x", "x", "/usr/local/lib/x", "/usr/lib/x"),
    ),
    Search(
        id="leaf-new-caller",
        name="x",
        sdk="14.0",
        caller_rpaths=("/opt/homebrew/lib",),
        tried=(*_LEAF, "/opt/homebrew/lib/x", f"{CR}/opt/homebrew/lib/x", "/usr/lib/x", "x"),
    ),
    Search(
        id="leaf-conda-cffi",
        name="x",
        caller_rpaths=("@loader_path/../../",),
        main_rpaths=("@loader_path/../lib/",),
        mac={"main": "/E/bin/python"},
        tried=(*_LEAF, "/V/../../x", "/E/bin/../lib/x", "/usr/lib/x", "x", "/usr/local/lib/x", "/usr/lib/x"),
    ),
    Search(
        id="leaf-fallback-variable",
        name="x",
        mac={"environment": {"DYLD_FALLBACK_LIBRARY_PATH": "/opt/local/lib:"}},
        tried=(*_LEAF, "/usr/lib/x", "x", "/opt/local/lib/x", "/x"),
    ),
    Search(
        id="with-a-slash",
        name="./x",
        caller_rpaths=("@loader_path",),
        mac={"cwd": "/W"},
        tried=("./x", f"{CR}./x", "/V/./x", "/usr/lib/./x", "./x", "/W/x", f"{CR}/W/x", "/W/x"),
    ),
    Search(
        id="needed-absolute-restricted",
        name="/A/x",
        static=True,
        mac={"allows_classic_fallbacks": False},
        tried=("/A/x", f"{CR}/A/x", "/A/x", "/usr/lib/x"),
    ),
    Search(
        id="needed-leaf-12",
        name="x",
        version=(12, 4, 0),
        static=True,
        mac={"cwd": "/W"},
        tried=("x", "/usr/local/lib/x", "/usr/lib/x", "/W/x", "/usr/local/lib/x", "/usr/lib/x"),
    ),
    Search(
        id="leaf-12.3",
        name="x",
        version=(12, 4, 0),
        mac={"cwd": "/W"},
        tried=("x", "/usr/local/lib/x", "/usr/lib/x", "/W/x"),
    ),
    Search(
        id="rpath-of-top-and-program",
        link="https://github.com/pinokiocomputer/pinokio/issues/1036",
        name="@rpath/x",
        static=True,
        top_rpaths=("@loader_path/../../../../",),
        main_rpaths=("/E/lib", "@loader_path/../lib/"),
        mac={"main": "/E/bin/python"},
        tried=(
            *("/top/lib/../../../../x",) * 2,
            *("/E/lib/x", f"{CR}/E/lib/x", "/E/bin/../lib/x") * 2,
            "/usr/local/lib/x",
            "/usr/lib/x",
        ),
    ),
    Search(
        id="rpath-12-restricted",
        name="@rpath/a/b/x",
        version=(12, 6, 0),
        static=True,
        top_rpaths=("@loader_path/../../..",),
        mac={"allows_classic_fallbacks": False},
        tried=(*("/top/lib/../../../a/b/x",) * 2, "/usr/lib/x"),
    ),
    Search(
        id="rpath-13.0-with-cryptex",
        link="https://github.com/ANYCUBIC-3D/PhotonWorkshop/issues/21",
        name="@rpath/x",
        version=(13, 2, 0),
        static=True,
        sdk="14.0",
        tried=(f"{CR}@rpath/x",),
    ),
    Search(
        id="rpath-12-without-any",
        link="https://github.com/mesonbuild/meson/issues/10711",
        name="@rpath/x",
        version=(12, 2, 0),
        static=True,
        tried=("/usr/local/lib/x", "/usr/lib/x"),
    ),
    Search(
        id="library-path-first",
        link="https://github.com/johnno1962/InjectionIII/issues/527",
        name="@rpath/x",
        version=(14, 5, 0),
        static=True,
        sdk="14.0",
        top_rpaths=("@loader_path/",),
        mac={"environment": {"DYLD_LIBRARY_PATH": "/a:/b"}},
        tried=("/a/x", "/b/x", "/top/lib/x", "/top/lib/x"),
    ),
    Search(
        id="executable-path-folded",
        name="@executable_path/../lib/x",
        static=True,
        sdk="14.0",
        mac={"main": "/A/B.app/Contents/MacOS/B"},
        tried=("/A/B.app/Contents/lib/x",),
    ),
    Search(
        id="needed-absolute-13",
        link="https://github.com/shinyquagsire23/OpenJKDF2/issues/97",
        name="/opt/homebrew/opt/openssl@1.1/lib/libcrypto.1.1.dylib",
        version=(13, 0, 0),
        static=True,
        tried=(
            "/opt/homebrew/opt/openssl@1.1/lib/libcrypto.1.1.dylib",
            f"{CR}/opt/homebrew/opt/openssl@1.1/lib/libcrypto.1.1.dylib",
            "/opt/homebrew/opt/openssl@1.1/lib/libcrypto.1.1.dylib",
            "/usr/local/lib/libcrypto.1.1.dylib",
            "/usr/lib/libcrypto.1.1.dylib",
        ),
    ),
    Search(
        id="executable-path-folded-restricted",
        link="https://github.com/owncloud/client/issues/10808",
        name="@executable_path/../Frameworks/libLibreGraphAPI.1.dylib",
        version=(13, 3, 1),
        static=True,
        mac={
            "main": "/Applications/testpilotcloud.app/Contents/MacOS/testpilotcloud",
            "allows_classic_fallbacks": False,
        },
        tried=(
            "/Applications/testpilotcloud.app/Contents/Frameworks/libLibreGraphAPI.1.dylib",
            "/usr/lib/libLibreGraphAPI.1.dylib",
        ),
    ),
    Search(
        id="framework",
        name="/L/Foo.framework/Versions/A/Foo",
        static=True,
        mac={"environment": {"DYLD_FRAMEWORK_PATH": "/f"}},
        tried=(
            "/f/Foo.framework/Versions/A/Foo",
            "/L/Foo.framework/Versions/A/Foo",
            f"{CR}/L/Foo.framework/Versions/A/Foo",
            "/L/Foo.framework/Versions/A/Foo",
            "/Library/Frameworks/Foo.framework/Versions/A/Foo",
            "/System/Library/Frameworks/Foo.framework/Versions/A/Foo",
        ),
    ),
    Search(
        id="image-suffix",
        name="/A/x.dylib",
        static=True,
        version=(12, 6, 0),
        mac={"environment": {"DYLD_IMAGE_SUFFIX": "_debug"}, "allows_classic_fallbacks": False},
        tried=("/A/x_debug.dylib", "/A/x.dylib", "/usr/lib/x_debug.dylib", "/usr/lib/x.dylib"),
    ),
)


def reason_of(search: Search) -> str:
    """The reason as the message has it."""
    return _missing(*search.tried, version=search.version[0])
