"""What people were told by the real dyld, foreseen word for word (dyld.md §16)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.loader.dyld_reports import REPORTS, SEARCHES, Report, Search, reason_of
from tests.support.mac_tree import MacTree
from tests.support.macho_writer import Macho

_UUID = re.compile(r"<[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}>")


@pytest.mark.parametrize("report", REPORTS, ids=lambda one: one.id)
def test_message(report: Report, tmp_path: Path) -> None:
    """The message that was reported, for the macOS on which it was seen."""
    tree = MacTree(tmp_path, report.files, version=report.version, **report.mac)

    failure = tree.play(report.target, mode=report.mode).failure

    assert failure is not None
    assert _UUID.sub("<UUID>", failure.message or "") == report.message
    assert failure.certain


@pytest.mark.parametrize("search", SEARCHES, ids=lambda one: one.id)
def test_candidates(search: Search, tmp_path: Path) -> None:
    """Every candidate in the order that was reported, repetitions included."""
    main = str(search.mac.get("main", "/P/python"))
    tree = MacTree(
        tmp_path, {main: Macho(filetype="execute", flags=0x200085, sdk=search.sdk, rpaths=search.main_rpaths)}
    )
    for folder in ("A", "W", "L", "V"):
        (tmp_path / folder).mkdir(exist_ok=True)
    tree.put(
        "/top/lib/top.dylib", Macho(install_name="/t", needs=(search.name,), rpaths=search.top_rpaths, sdk=search.sdk)
    )
    target = "/top/lib/top.dylib" if search.static else search.name

    caller = main if search.caller_rpaths is None else "/V/python.dylib"
    if search.caller_rpaths is not None:
        tree.put(caller, Macho(install_name=caller, sdk=search.sdk, rpaths=search.caller_rpaths))

    settings = {"main": main, "caller": caller, "version": search.version, **search.mac}
    failure = tree.play(target, **settings).failure

    assert failure is not None
    reason = (failure.message or "").rpartition("  Reason: " if search.static else "): tried:")[2]
    assert reason == (reason_of(search) if search.static else reason_of(search).removeprefix("tried:"))
