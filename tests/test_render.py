"""The text and the data of a report: golden texts, hostile names, an exact way through JSON."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise

import pytest

from tests.support.reports import BAD, CUT, FOREIGN, GOOD, MISSING, PRINTABLE, hostile_report, image
from tfguard.finding import Finding
from tfguard.hosts.host import Host
from tfguard.loader.trace import TAKEN, Attempt, Failure, Lookup, Mapped, Trace
from tfguard.plain import command_lines, plain, wrap
from tfguard.report import Report
from tfguard.telling.render import as_dict, as_text
from tfguard.telling.tree import tree_text

ONE_ERROR = """\
TFG201 needed-library-missing: libgomp.so.1 is in none of the places the loader looks

  needed by        roi_pooling.so
  already loaded   no library of that name in this process
  LD_LIBRARY_PATH  not set when this process started
  RUNPATH          $ORIGIN/../lib                      no such file
  ld.so.cache      no entry
  default          4 directories                       no such file

  fix  Install the system package that has it (this is Debian 12):
         apt-get install libgomp1
  or   Start Python with its directory on the search path (fill in DIR):
         LD_LIBRARY_PATH=DIR python your_script.py

  more: python -m tfguard explain TFG201"""

WARNING = """\
TFG117 damaged-but-loads (warning): libtensorflow_framework.so.2 is shorter than it says, and loads

  file  /opt/env/lib/libtensorflow_framework.so.2
  has   10 bytes
  says  20 bytes

  more: python -m tfguard explain TFG117"""

PATH_IN_ONE_PIECE = """\
TFG101 wrong-machine: op.so is built for aarch64, this process is x86-64

  file             /a/rather/long/path/with a space in it/and/then/still/some/more/of/it/op.so
  have             aarch64
  need             x86-64
  the loader says  /a/rather/long/path/with a space in it/and/then/still/some/more/of/it/op.so:
                   cannot open shared object file: No such file or directory

  fix  Get the build for x86-64

  more: python -m tfguard explain TFG101"""


@pytest.mark.parametrize(
    ("report", "text"),
    [
        pytest.param(
            Report(target="tensorflow", host=Host(), kind="import", traces=(GOOD,)),
            "tensorflow: ok, 2 libraries checked",
            id="all is well",
        ),
        pytest.param(
            Report(target="tensorflow", host=Host(), kind="import", traces=(GOOD,), depth="files"),
            "tensorflow: ok, 2 libraries checked, symbols not looked up",
            id="files only",
        ),
        pytest.param(
            Report(target="libc.so.6", host=Host(), traces=(Trace(target="x", lookups=GOOD.lookups[2:3], images=()),)),
            "libc.so.6: ok, already loaded in this process",
            id="already loaded",
        ),
        pytest.param(
            Report(target="json", host=Host(), kind="import"), "json: ok, no library to check", id="pure Python"
        ),
        pytest.param(
            Report(target="x", host=Host(), skipped=("this loader is unknown",)),
            "x: nothing was checked\nnot checked: this loader is unknown",
            id="nothing was checked",
        ),
        pytest.param(
            Report(target="op.so", host=Host(), traces=(GOOD,), skipped=("the mount flags " + "of all places " * 8,)),
            "op.so: ok, 2 libraries checked\n"
            "not checked: the mount flags of all places of all places of all places of all\n"
            "  places of all places of all places of all places of all places",
            id="skipped",
        ),
        pytest.param(Report(target="roi_pooling.so", host=Host(), findings=(MISSING,)), ONE_ERROR, id="one error"),
        pytest.param(
            Report(target="tensorflow", host=Host(), findings=(CUT,), traces=(GOOD,)),
            f"tensorflow: ok, 2 libraries checked, 1 warning\n\n{WARNING}",
            id="one warning",
        ),
        pytest.param(
            Report(target="roi_pooling.so", host=Host(), findings=(CUT, MISSING), skipped=("symbols",)),
            f"{ONE_ERROR}\n\n{WARNING}\n\nnot checked: symbols\n\nroi_pooling.so: 1 error, 1 warning",
            id="errors first, then the count",
        ),
        pytest.param(
            Report(target="op.so", host=Host(), findings=(FOREIGN,)), PATH_IN_ONE_PIECE, id="path in one piece"
        ),
    ],
)
def test_text(report: Report, text: str) -> None:
    assert as_text(report) == text
    assert str(report) == text


def test_color_adds_nothing_but_color() -> None:
    report = Report(target="op.so", host=Host(), findings=(MISSING, CUT))

    text = as_text(report, color=True)

    assert text.startswith("\x1b[1;31mTFG201 needed-library-missing\x1b[0m: libgomp.so.1 is")
    assert "\n\x1b[1;33mTFG117 damaged-but-loads\x1b[0m (warning): " in text
    assert "\n  \x1b[1mfix\x1b[0m  Install" in text
    plain_text = text
    for code in ("\x1b[1;31m", "\x1b[1;33m", "\x1b[1m", "\x1b[0m"):
        plain_text = plain_text.replace(code, "")
    assert plain_text == as_text(report)


def test_verbose_adds_the_host_below() -> None:
    host = Host(environment={"LD_LIBRARY_PATH": "/opt/x"}, skipped=("the vDSO",))
    report = Report(target="op.so", host=host, traces=(GOOD,))

    assert as_text(report, verbose=True).splitlines() == [
        "op.so: ok, 2 libraries checked",
        "host: glibc 2.36, x86-64, 64-bit, pages of 4096 bytes",
        "LD_LIBRARY_PATH at process start: /opt/x",
        "loaded before: 0 images",
        "not known of this host: the vDSO",
    ]


def test_same_facts_are_told_once_and_same_labels_written_once() -> None:
    rows = (
        ("RUNPATH", "/a"),
        ("RUNPATH", "/b"),
        ("", "/c"),
        ("RUNPATH", "/a"),
        ("other label that is very long", "/d"),
    )
    finding = Finding(code="TFG1", slug="a", severity="error", message="m", evidence=rows)

    text = as_text(Report(target="x", host=Host(), findings=(finding,)))

    assert text.splitlines()[2:6] == [
        "  RUNPATH  /a  (2 times)",
        "           /b",
        "           /c",
        "  other label that is very long  /d",
    ]


def test_hostile_names_reach_no_terminal() -> None:
    report = hostile_report()

    for text in (as_text(report, verbose=True), tree_text(report, verbose=True)):
        assert text.isascii()
        assert all(line.isprintable() for line in text.split("\n"))
        assert PRINTABLE in text
    assert as_text(report).split("\n")[0] == f"{PRINTABLE} {PRINTABLE}: {PRINTABLE}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("libm.so.6", "libm.so.6"),
        ("a b", "a b"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x1b\x7f", r"\x1b\x7f"),
        ("\u00e9\udce9", r"\u00e9\xe9"),
        ("\u202e\U0001f600", r"\u202e\U0001f600"),
        ("\ud800", r"\ud800"),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("ldconfig", ["ldconfig"]),
        ("cd x\nmake", ["cd x", "make"]),
        ("ls 'a\nb'", [r"ls 'a'$'\012''b'"]),
        ("ls \u00e9", [r"ls $'\303\251'"]),
        ('ls "\u00e9"', ['ls ""$\'\\303\\251\'""']),
        (r"ls \'" + "\u00e9", [r"ls \'" + r"$'\303\251'"]),
    ],
)
def test_command_lines(command: str, lines: list[str]) -> None:
    assert command_lines(command) == lines


@pytest.mark.parametrize("name", ["j\u00fcrgen.so", "a'b\nc\x1b.so", "\udcff\udcfe", '"$x"\u00e9\\'])
def test_a_command_with_any_name_can_be_pasted(name: str) -> None:
    """What bash makes of the shown command is the name, byte for byte."""
    (line,) = command_lines(f"printf %s {shlex.quote(name)}")

    shown = subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE, check=True).stdout

    assert line.isascii()
    assert line.isprintable()
    assert shown == name.encode("utf-8", "surrogateescape")


def test_wrap_breaks_at_spaces_only() -> None:
    assert wrap("aa bb " + "c" * 30 + " dd", 20) == ["aa bb", "c" * 30, "dd"]
    assert wrap("aa bb cc", 20, unbroken=("bb cc",)) == ["aa bb cc"]
    assert wrap("x" * 18 + " /a b", 20, unbroken=("/a b",), indent="  ") == ["x" * 18, "  /a b"]


def test_data_survives_json_exactly() -> None:
    for report in (hostile_report(), Report(target="op.so", host=Host(), findings=(MISSING, CUT), traces=(BAD, GOOD))):
        data = as_dict(report)

        assert json.loads(json.dumps(data)) == data
        assert report.to_dict() == data


def test_data_says_what_the_report_says() -> None:
    data = as_dict(Report(target="op.so", host=Host(), findings=(CUT, MISSING), traces=(BAD,), skipped=("s",)))

    assert {name: data[name] for name in ("schema", "target", "kind", "depth", "ok", "skipped")} == {
        "schema": 1,
        "target": "op.so",
        "kind": "library",
        "depth": "symbols",
        "ok": False,
        "skipped": ["s"],
    }
    findings = data["findings"]
    assert isinstance(findings, list)
    assert [one["code"] for one in findings] == ["TFG201", "TFG117"]
    assert findings[1] == {
        "code": "TFG117",
        "slug": "damaged-but-loads",
        "severity": "warning",
        "message": CUT.message,
        "path": "/opt/env/lib/libtensorflow_framework.so.2",
        "loader_message": None,
        "evidence": [{"label": "has", "fact": "10 bytes"}, {"label": "says", "fact": "20 bytes"}],
        "remedies": [],
    }
    traces = data["traces"]
    assert isinstance(traces, list)
    assert traces[0]["verdict"] == "refused"
    assert traces[0]["failure"]["symbols"] == [{"name": "GOMP_parallel\udcff", "version": "GOMP_4.0"}]
    assert traces[0]["failure"]["versions"] == [{"file": "libgomp.so.1", "version": "GOMP_4.0", "weak": False}]
    assert traces[0]["images"][0]["needed"] == ["libgomp.so.1", "libc.so.6"]
    assert traces[0]["lookups"][1]["attempts"][0] == {
        "step": "runpath",
        "path": "./../lib/libgomp.so.1",
        "outcome": "no such file",
        "detail": "",
    }


def test_tree_of_a_good_load() -> None:
    assert tree_text(Report(target="op.so", host=Host(), traces=(GOOD,))).splitlines() == [
        "   1 ./op.so  (by path)",
        "       loaded already: libc.so.6",
        "   2   libgomp.so.1 => /lib/libgomp.so.1  (ld.so.cache)",
        "         loaded already: libop.so [1]",
    ]


def test_tree_of_a_load_that_fails() -> None:
    assert tree_text(Report(target="op.so", host=Host(), traces=(BAD,))).splitlines() == [
        "   1 ./op.so  (by path)",
        "       libgomp.so.1 => not found",
        "           RUNPATH  ./../lib/libgomp.so.1: no such file",
        "           default directories  /lib/libgomp.so.1: permission denied (Permission denied)",
        "     the load ends here, after 1 image",
        "     the loader says libgomp.so.1: cannot open shared object file: No such file",
        "       or directory",
    ]


def test_tree_of_a_load_that_kills_the_process() -> None:
    failure = Failure(kind="truncated", rule="G-44", message=None, path="./op.so", name="./op.so", signal="SIGBUS")
    trace = Trace(target="op.so", lookups=GOOD.lookups[:1], images=GOOD.images[:1], failure=failure)

    assert (trace.verdict, failure.dies) == ("dies", True)
    assert tree_text(Report(target="op.so", host=Host(), traces=(trace,))).splitlines() == [
        "   1 ./op.so  (by path)",
        "     the process dies here, after 1 image",
        "     the loader says nothing: SIGBUS",
    ]


def test_tree_without_a_load() -> None:
    assert tree_text(Report(target="json", host=Host(), kind="import")) == "json: no library to load"


def test_tree_of_a_long_chain() -> None:
    """Ten thousand libraries, each needing the next, are drawn without recursion."""
    names = [f"lib{number}.so" for number in range(10_000)]
    lookups = [Lookup(names[0], None, (Attempt("path", names[0], TAKEN),), names[0])]
    lookups += [Lookup(name, above, (Attempt("runpath", name, TAKEN),), name) for above, name in pairwise(names)]
    images = tuple(Mapped(one.name, one.name, one.requirer, "runpath", image(one.name)) for one in lookups)

    text = tree_text(
        Report(target=names[0], host=Host(), traces=(Trace(target="x", lookups=tuple(lookups), images=images),))
    )

    assert text.count("\n") == 9_999
