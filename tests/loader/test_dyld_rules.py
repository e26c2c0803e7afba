"""What is loaded already, what is needed, and symbols: the rules of dyld, one row each (dyld.md §5, §6, §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.mac_tree import Content, MacTree
from tests.support.macho_writer import Macho, fat, write
from tfguard.loader.trace import Trace

_A, _B, _C = "/v/a.dylib", "/v/b.dylib", "/v/c.dylib"
_SYSTEM = "/usr/lib/libSystem.B.dylib"


def lib(name: str = "@rpath/x.dylib", **fields: Any) -> Macho:  # Any: fields of Macho
    """A library that needs libSystem where nothing else is said."""
    return Macho(**{"install_name": name, "needs": (_SYSTEM,), **fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Files, loads one after the other, and how the last ends: part of the message, or None where it loads."""

    id: str
    files: Mapping[str, Content]
    says: str | None = None
    loads: tuple[str, ...] = (_A,)
    mode: int = 2
    mac: Mapping[str, Any] = field(default_factory=dict)  # Any: fields of Mac
    images: tuple[str, ...] | None = None
    certain: bool = True


_NEEDS_B = lib("@rpath/a.dylib", needs=("@rpath/b.dylib", _SYSTEM))
_USES_B = lib("@rpath/a.dylib", needs=("@rpath/b.dylib", _SYSTEM), rpaths=("@loader_path",), imports=((1, "_b"),))
_ELSEWHERE = {"/w/b.dylib": lib("@rpath/b.dylib", exports={"_b": 0})}

RULES: tuple[Rule, ...] = (
    Rule(
        id="D-50-install-name-of-a-loaded-one",
        files={_A: _NEEDS_B, **_ELSEWHERE},
        loads=("/w/b.dylib", _A),
        images=(_A,),
    ),
    Rule(id="D-54-not-before", files={_A: _NEEDS_B, **_ELSEWHERE}, says="Reason: no LC_RPATH's found"),
    Rule(
        id="D-50-before-DYLD_LIBRARY_PATH",
        files={_A: _NEEDS_B, **_ELSEWHERE, "/z/b.dylib": b"broken"},
        loads=("/w/b.dylib", _A),
        mac={"environment": {"DYLD_LIBRARY_PATH": "/z"}},
        images=(_A,),
    ),
    Rule(
        id="D-30-library-path-replaces",
        files={_A: _USES_B, _B: lib(), "/z/b.dylib": lib(exports={"_b": 0})},
        mac={"environment": {"DYLD_LIBRARY_PATH": "/z"}},
        images=(_A, "/z/b.dylib"),
    ),
    Rule(
        id="D-76-library-path-not-allowed",
        files={_A: _USES_B, "/z/b.dylib": lib(exports={"_b": 0})},
        mac={"environment": {"DYLD_LIBRARY_PATH": "/z"}, "allows_path_variables": False},
        says="Library not loaded: @rpath/b.dylib",
    ),
    Rule(
        id="D-32-unfit-file-does-not-end-the-search",
        files={
            _A: lib(needs=("@rpath/b.dylib", _SYSTEM), rpaths=("/x", "/y")),
            "/x/b.dylib": lib(arch="x86_64"),
            "/y/b.dylib": lib(),
        },
        images=(_A, "/y/b.dylib"),
    ),
    Rule(
        id="D-51-same-file-by-a-link",
        files={_A: lib(needs=("/l/b.dylib", _SYSTEM)), _B: lib("@rpath/other.dylib"), "/l/b.dylib": "../v/b.dylib"},
        loads=(_B, _A),
        images=(_A,),
    ),
    Rule(
        id="D-34-real-path-of-a-link",
        files={"/l/a.dylib": "../v/a.dylib", _A: _USES_B, _B: lib(exports={"_b": 0})},
        loads=("/l/a.dylib",),
        images=(_A, _B),
    ),
    Rule(id="D-42-no-library-at-all", files={_A: lib(needs=())}, images=(_A,)),
    Rule(
        id="D-43-rpath-of-the-program",
        files={
            _A: _NEEDS_B,
            "/p/bin/python": Macho(filetype="execute", rpaths=("@loader_path/../lib",)),
            "/p/lib/b.dylib": lib(),
        },
        mac={"main": "/p/bin/python", "caller": "/p/bin/python"},
        images=(_A, "/p/lib/b.dylib"),
    ),
    Rule(
        id="D-43-rpath-of-the-top-serves-below",
        files={
            _A: lib(needs=("/v/sub/b.dylib", _SYSTEM), rpaths=("/elsewhere",)),
            "/v/sub/b.dylib": lib("/v/sub/b.dylib", needs=("@rpath/c.dylib", _SYSTEM)),
            "/elsewhere/c.dylib": lib("@rpath/c.dylib"),
        },
        images=(_A, "/v/sub/b.dylib", "/elsewhere/c.dylib"),
    ),
    Rule(
        id="D-44-direct-ones-first",
        files={
            _A: lib(needs=("/v/b.dylib", "/v/c.dylib", _SYSTEM)),
            _B: lib("/v/b.dylib", needs=("/v/d.dylib", _SYSTEM)),
            _C: lib("/v/c.dylib"),
            "/v/d.dylib": lib("/v/d.dylib"),
        },
        images=(_A, _B, _C, "/v/d.dylib"),
    ),
    Rule(
        id="D-45-weak-library-missing",
        files={_A: lib(needs=(("/v/none.dylib", "weak"), _SYSTEM), imports=((1, "_x", True),))},
        images=(_A,),
    ),
    Rule(
        id="D-83-weak-library-missing-strong-symbol",
        files={_A: lib(needs=(("/v/none.dylib", "weak"), _SYSTEM), imports=((1, "_x"),))},
        says="Expected in:     <no uuid> unknown",
    ),
    Rule(
        id="D-45-weak-library-for-another-processor",
        files={_A: lib(needs=(("/v/b.dylib", "weak"), _SYSTEM)), _B: lib(arch="x86_64")},
        images=(_A,),
    ),
    Rule(
        id="D-46-upward",
        files={
            _A: lib("/v/a.dylib", needs=("/v/b.dylib",)),
            _B: lib("/v/b.dylib", needs=(("/v/a.dylib", "upward"), _SYSTEM)),
        },
        images=(_A, _B),
    ),
    Rule(
        id="D-84-through-a-re-exported-library",
        files={
            _A: lib(needs=("/v/b.dylib", _SYSTEM), imports=((1, "_c"),)),
            _B: lib("/v/b.dylib", needs=(("/v/c.dylib", "reexport"), _SYSTEM)),
            _C: lib("/v/c.dylib", exports={"_c": 0}),
        },
        images=(_A, _B, _C),
    ),
    Rule(
        id="D-84-not-through-an-ordinary-one",
        files={
            _A: lib(needs=("/v/b.dylib", _SYSTEM), imports=((1, "_c"),)),
            _B: lib("/v/b.dylib", needs=("/v/c.dylib", _SYSTEM)),
            _C: lib("/v/c.dylib", exports={"_c": 0}),
        },
        says="Symbol not found: _c\n  Referenced from: <",
    ),
    Rule(
        id="D-84-passed-on-under-another-name",
        files={
            _A: lib(needs=("/v/b.dylib", _SYSTEM), imports=((1, "_new"),)),
            _B: lib("/v/b.dylib", needs=("/v/c.dylib", _SYSTEM), exports={"_new": (1, "_old")}),
            _C: lib("/v/c.dylib", exports={"_old": 0}),
        },
        images=(_A, _B, _C),
    ),
    Rule(
        id="D-84-two-level-names-do-not-look-elsewhere",
        files={
            _A: lib(needs=("/v/b.dylib", "/v/c.dylib", _SYSTEM), imports=((1, "_c"),)),
            _B: lib("/v/b.dylib"),
            _C: lib("/v/c.dylib", exports={"_c": 0}),
        },
        says="/v/b.dylib",
    ),
    Rule(
        id="D-84-flat-names-look-everywhere",
        files={
            _A: lib(imports=((-2, "__ZN10tensorflow1fEv"),)),
            "/w/b.dylib": lib(exports={"__ZN10tensorflow1fEv": 0}),
        },
        loads=("/w/b.dylib", _A),
        images=(_A,),
    ),
    Rule(
        id="D-81-flat-name-nowhere",
        files={_A: lib(imports=((-2, "__ZN10tensorflow1fEv"),))},
        says="symbol not found in flat namespace '__ZN10tensorflow1fEv'",
    ),
    Rule(
        id="D-81-flat-name-nowhere-12.6",
        files={_A: lib(imports=((-2, "__ZN10tensorflow1fEv"),))},
        mac={"version": (12, 6, 0)},
        says="symbol not found in flat namespace (__ZN10tensorflow1fEv)",
    ),
    Rule(id="D-86-flat-name-that-the-system-may-have", files={_A: lib(imports=((-2, "_objc_msgSend"),))}, images=(_A,)),
    Rule(
        id="flat-name-of-python",
        files={_A: lib(imports=((-2, "_PyLong_FromLong"), (-2, "__Py_NoneStruct")))},
        images=(_A,),
    ),
    Rule(id="D-86-system-library", files={_A: lib(imports=((1, "_anything"),))}, images=(_A,)),
    Rule(
        id="D-91-chained-fixups",
        files={_A: lib(needs=("/v/b.dylib", _SYSTEM), imports=((1, "_c"),), chained=True), _B: lib("/v/b.dylib")},
        says="Symbol not found: _c",
    ),
    Rule(
        id="D-80-12.0",
        files={_A: lib(needs=("/v/b.dylib",), imports=((1, "_c"),)), _B: lib("/v/b.dylib")},
        mac={"version": (12, 1, 0)},
        says=f"Symbol not found: _c\n  Referenced from: {_A}\n  Expected in: {_B}",
    ),
    Rule(
        id="D-80-12.6",
        files={_A: lib(needs=("/v/b.dylib",), imports=((1, "_c"),)), _B: lib("/v/b.dylib")},
        mac={"version": (12, 6, 0)},
        says=f"Symbol not found: (_c)\n  Referenced from: '{_A}'\n  Expected in: '{_B}'",
    ),
    Rule(
        id="D-80-11",
        files={_A: lib(needs=("/v/b.dylib",), imports=((1, "_c"),), minos="11.0"), _B: lib("/v/b.dylib")},
        mac={"version": (11, 4, 0)},
        says=f"Symbol not found: _c\n  Referenced from: {_A}\n  Expected in: {_B}\n in {_A}",
    ),
    Rule(
        id="D-64-built-for-a-newer-one",
        files={_A: lib(needs=("/v/b.dylib",), imports=((1, "_c"),), minos="15.2"), _B: lib("/v/b.dylib")},
        says=f"{_A} (built for macOS 15.2 which is newer than running OS)\n  Expected in:     <",
    ),
    Rule(
        id="D-61-12.6",
        files={_A: lib(needs=("/v/n'ne.dylib",))},
        mac={"version": (12, 6, 0), "allows_classic_fallbacks": False},
        says=f"Library not loaded: '/v/n ne.dylib'\n  Referenced from: '{_A}'\n  Reason: tried: '/v/n ne.dylib' (",
    ),
    Rule(
        id="D-61-failures-do-not-nest",
        files={_A: lib(needs=("/v/b.dylib",)), _B: lib("/v/b.dylib", needs=("/v/none.dylib",))},
        says=f"dlopen({_A}, 0x0002): Library not loaded: /v/none.dylib\n  Referenced from: <",
    ),
    Rule(
        id="D-47-compatibility-version-11",
        files={
            _A: lib(needs=("/v/b.dylib",)),
            _B: lib("/v/b.dylib", compatibility="0.5", minos="10.13", arch="x86_64"),
        },
        mac={"version": (11, 4, 0)},
        says="Library not loaded",
    ),
    Rule(
        id="D-47-compatibility-version-11-intel",
        files={
            _A: lib(needs=("/v/b.dylib",), arch="x86_64"),
            _B: lib("/v/b.dylib", compatibility="0.5", minos="10.13", arch="x86_64"),
        },
        mac={"version": (11, 4, 0), "architecture": "x86_64"},
        says="Incompatible library version: a.dylib requires version 1.0.0 or later, but b.dylib provides version 0.",
    ),
    Rule(
        id="D-47-nobody-looks-from-12-on",
        files={_A: lib(needs=("/v/b.dylib",)), _B: lib("/v/b.dylib", compatibility="0.5", minos="10.13")},
        images=(_A, _B),
    ),
    Rule(id="D-25-bundle-opened", files={_A: Macho(filetype="bundle")}, images=(_A,)),
    Rule(
        id="D-25-bundle-needed",
        files={_A: lib(needs=("/v/b.so",)), "/v/b.so": Macho(filetype="bundle")},
        says="cannot link against bundle '/v/b.so'",
    ),
    Rule(id="D-11-empty-file", files={_A: b""}, says=f"tried: '{_A}' ()"),
    Rule(id="D-12-short-file-11", files={_A: b"x" * 100}, mac={"version": (11, 4, 0)}, says=f"{_A}: file too short"),
    Rule(id="D-13-15.4", files={_A: b"x" * 5000}, mac={"version": (15, 6, 0)}, says="(slice is not valid mach-o file)"),
    Rule(id="D-18-arm64e", files={_A: lib(arch="arm64e")}, images=(_A,)),
    Rule(
        id="D-18-arm64e-asked-of-an-arm64-dyld",
        files={_A: lib(arch="arm64e")},
        mac={"arm64e_dyld": False},
        says="(have 'arm64e', need 'arm64')",
    ),
    Rule(id="D-18-x86_64h-on-haswell", files={_A: lib(arch="x86_64h")}, mac={"architecture": "x86_64"}, images=(_A,)),
    Rule(
        id="D-18-x86_64h-under-rosetta",
        files={_A: lib(arch="x86_64h")},
        mac={"architecture": "x86_64", "translated": True},
        says="(have 'x86_64h', need 'x86_64')",
    ),
    Rule(id="D-16-universal", files={_A: fat(write(lib(arch="x86_64")), write(lib()))}, images=(_A,)),
    Rule(id="D-22-no-platform", files={_A: lib(platform=None)}, images=(_A,)),
    Rule(id="D-24-too-new-is-no-reason", files={_A: lib(minos="99.0", sdk="99.0")}, images=(_A,)),
    Rule(id="D-70-unsigned-on-intel", files={_A: lib(arch="x86_64")}, mac={"architecture": "x86_64"}, images=(_A,)),
    Rule(
        id="D-78-versioned-path",
        files={_A: lib(needs=(_B,)), _B: lib(_B), "/n/b.dylib": lib(_B, current="2.0")},
        mac={"environment": {"DYLD_VERSIONED_LIBRARY_PATH": "/n"}},
        images=(_A, "/n/b.dylib"),
    ),
    Rule(
        id="D-78-versioned-path-older",
        files={_A: lib(needs=(_B,)), _B: lib(_B, current="3.0"), "/n/b.dylib": lib(_B, current="2.0")},
        mac={"environment": {"DYLD_VERSIONED_LIBRARY_PATH": "/n"}},
        images=(_A, _B),
    ),
    Rule(
        id="D-78-LD_LIBRARY_PATH-11",
        files={"/z/x.dylib": lib()},
        loads=("x.dylib",),
        mac={"version": (11, 4, 0), "environment": {"LD_LIBRARY_PATH": "/z"}},
        images=("/z/x.dylib",),
    ),
    Rule(
        id="D-78-LD_LIBRARY_PATH-12",
        files={"/z/x.dylib": lib()},
        loads=("x.dylib",),
        mac={"version": (12, 6, 0), "environment": {"LD_LIBRARY_PATH": "/z"}},
        says="dlopen(x.dylib, 0x0002): tried: 'x.dylib' (no such file)",
    ),
    Rule(
        id="D-33-cache-12", files={_A: lib(needs=("/usr/lib/libz.1.dylib",))}, mac={"version": (12, 6, 0)}, images=(_A,)
    ),
    Rule(
        id="D-62-not-in-the-cache",
        files={_A: lib(needs=("@rpath/libnone.dylib",), rpaths=("/usr/lib/",))},
        says="'/usr/lib/libnone.dylib' (no such file, not in dyld cache)",
    ),
    Rule(
        id="case-is-ignored-where-the-disk-does",
        files={_A: lib(needs=("/V/B.dylib",)), _B: lib("/v/b.dylib")},
        mac={"ignores_case": True},
        images=(_A, _B),
    ),
    Rule(
        id="case-matters-where-it-does",
        files={_A: lib(needs=("/V/B.dylib",)), _B: lib("/v/b.dylib")},
        says="/V/B.dylib",
    ),
)


def played(rule: Rule, root: Path) -> Trace:
    """The trace of a row's last load."""
    settings = {"version": (14, 5, 0), **rule.mac}
    if settings.pop("ignores_case", False):
        from tfguard.binary.files import Disk

        settings["files"] = Disk(str(root), ignores_case=True)
    return MacTree(root, rule.files).play(*rule.loads, mode=rule.mode, **settings)


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one.id)
def test_rule(rule: Rule, tmp_path: Path) -> None:
    """The load ends as the rule says, and maps these images in this order."""
    trace = played(rule, tmp_path)

    failure = trace.failure
    if rule.says is None:
        assert failure is None, failure
    else:
        assert failure is not None
        assert rule.says in (failure.message or "")
        assert failure.certain == rule.certain
    if rule.images is not None:
        assert tuple(one.path for one in trace.images) == rule.images


def test_a_load_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """What it had mapped is not found by the next one."""
    tree = MacTree(
        tmp_path,
        {
            _A: lib(needs=(_B, "/v/none.dylib")),
            _B: lib("@rpath/b.dylib"),
            _C: lib(needs=("@rpath/b.dylib", _SYSTEM)),
        },
        version=(14, 5, 0),
    )

    failure = tree.play(_A, _C).failure

    assert failure is not None
    assert failure.name == "@rpath/b.dylib"


def test_every_page_is_compared_with_its_hash(tmp_path: Path) -> None:
    """A byte changed after signing kills the process, and is seen only where the pages are looked at (D-73)."""
    data = bytearray(write(lib()))
    data[0x3004] ^= 1
    tree = MacTree(tmp_path, {_A: bytes(data)}, version=(14, 5, 0))

    assert tree.play(_A).failure is None
    failure = tree.play(_A, pages=True).failure
    assert failure is not None
    assert (failure.kind, failure.signal, failure.message) == ("changed-pages", "SIGKILL", None)
