"""The block for an issue: nothing personal in it, and read again on another machine, quoted and cut."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.reports import CUT, MISSING
from tfguard.__main__ import main
from tfguard.diagnosis.issue import anonymous, as_json, block, facts_of, markdown
from tfguard.diagnosis.post_mortem import diagnose
from tfguard.finding import Finding, Remedy
from tfguard.hosts.host import Host
from tfguard.report import Report

ENVIRONMENT = {"LD_LIBRARY_PATH": "/home/jane/lib", "AWS_SECRET_ACCESS_KEY": "hush", "GLIBC_TUNABLES": "x=1"}
HOST = Host(version=(2, 31), environment=ENVIRONMENT)


def report(*findings: Finding) -> Report:
    return Report(target="/home/jane/roi_pooling.so", host=HOST, findings=findings)


def test_nothing_personal() -> None:
    """No home directory, no user name, no variable that no loader reads."""
    home = os.path.expanduser("~")
    name = pwd.getpwuid(os.getuid()).pw_name
    found = Finding(
        code="TFG201",
        slug="needed-library-missing",
        severity="error",
        message=f"{home}/lib/libx.so of jane",
        path=Path("/home/jane/b.so"),
        evidence=(("file", "/Users/john/a.so"), ("windows", r"C:\Users\marybeth\b.dll")),
        remedies=(Remedy("Run it.", f"ls {home}/lib"),),
    )

    for text in (block(facts_of(report(found))), markdown(facts_of(report(found)))):
        assert "/home/jane" not in text
        assert "john" not in text
        assert "marybeth" not in text
        assert "hush" not in text
        assert "AWS" not in text
        assert "environment: LD_LIBRARY_PATH=/home/USER/lib" in text
        assert "environment: GLIBC_TUNABLES=x=1" in text
        if len(home) > 1:
            assert f"{home}/lib" not in text
    assert "jane/b.so" not in json.dumps(as_json(facts_of(report(found))))
    assert name == "root" or name not in anonymous(f"the files of {name} are here")


PERSONAL = {
    "/home/jane/x.so": "/home/USER/x.so",
    "/var/home/jane/x.so": "/var/home/USER/x.so",
    "/mnt/c/Users/jane/x.dll": "/mnt/c/Users/USER/x.dll",
    r"C:\Users\jane doe\x.dll": r"C:\Users\USER\x.dll",
    "C:/Users/jane/x.dll": "C:/Users/USER/x.dll",
    r"\\server\Users\jane\x.dll": r"\\server\Users\USER\x.dll",
    "LD_LIBRARY_PATH=/opt/lib:/home/jane/lib:/Users/jane": "LD_LIBRARY_PATH=/opt/lib:/home/USER/lib:/Users/USER",
    "file:///home/jane/x.whl": "file:///home/USER/x.whl",
    "https://jane:hush@host.org/simple/": "https://USER@host.org/simple/",
    "git+ssh://jane@host.org/x": "git+ssh://USER@host.org/x",
    "ls ~jane/lib": "ls ~USER/lib",
    "/usr/lib/x.so": "/usr/lib/x.so",
    "a homely /opt/homes/x": "a homely /opt/homes/x",
}


@pytest.mark.parametrize("text", PERSONAL)
def test_names_of_people(text: str) -> None:
    """In paths of every system, in the values of variables, in addresses."""
    assert anonymous(text) == PERSONAL[text]


@pytest.mark.parametrize("form", ["text", "quoted", "markdown", "json", "log"])
def test_read_on_another_machine(form: str) -> None:
    """Codes, evidence, remedies and the host of the block, not those of this machine."""
    facts = facts_of(report(CUT, MISSING))
    text = block(facts)
    texts = {
        "text": text,
        "quoted": "\n".join(f"> {line}" for line in text.splitlines()),
        "markdown": f"It fails for me:\n\n{markdown(facts)}\n\nthanks",
        "json": json.dumps(as_json(facts), indent=2),
        "log": "\n".join(f"2024-01-01 10:00:00,123 INFO {line}" for line in text.splitlines()),
    }

    read = diagnose(texts[form])

    assert [one.code for one in read.findings] == [one.code for one in facts.report.errors + facts.report.warnings]
    assert read.host.version == (2, 31)
    first, original = read.findings[0], facts.report.errors[0]
    assert first.message == anonymous(original.message)
    assert [one.command for one in first.remedies] == [
        anonymous(one.command) if one.command else None for one in original.remedies
    ]
    assert first.evidence[0][0] == "reported from"


@pytest.mark.parametrize("cut", [0, 40, 200, 700])
def test_cut_blocks_are_read_as_far_as_they_go(cut: int) -> None:
    text = block(facts_of(report(CUT, MISSING)))

    assert diagnose(text[: len(text) - cut]).findings
    assert diagnose(text[cut:]).findings


NEWER = """tfguard report 7
target: tensorflow
tfguard: 9.1.0
python: CPython 3.16.0, /opt/python
system: Debian GNU/Linux 15, Linux 7.2 x86_64
host: glibc 2.52 x86_64, Python 3.16
gpu-driver: 999.1
installed: tensorflow 3.0.0
finding: TFG201 needed-library-missing (fatal): libz.so.1 is in none of the places where the loader looks
confidence: 0.93
evidence: needed by = /x/op.so
remedy: Install it.
command: apt-get install zlib1g
finding: TFG1042 of-tomorrow (error): something that this release has no rule for
evidence: seen = yes
result: 2 errors, 0 warnings
end of tfguard report"""
OLDER = """tfguard report 1
finding: TFG201 needed-library-missing (error): libz.so.1 is in none of the places where the loader looks"""


def test_block_of_a_newer_release() -> None:
    """What is known in it is read, what is not is passed over, and that it is newer is said."""
    read = diagnose(NEWER)

    assert [(one.code, one.severity) for one in read.findings] == [("TFG201", "warning"), ("TFG1042", "error")]
    assert read.host.version == (2, 52)
    assert dict(read.findings[0].evidence)["needed by"] == "/x/op.so"
    assert dict(read.findings[0].evidence)["by"] == "tfguard 9.1.0"
    assert read.findings[0].remedies == (Remedy("Install it.", "apt-get install zlib1g"),)
    assert read.skipped == ("what only tfguard 9.1.0 knows: its report is of a newer form (7, here 1 is known)",)
    assert "TFG1042 of-tomorrow" in str(read)


def test_block_of_an_older_release() -> None:
    """Rows that are not there are not missed."""
    read = diagnose(OLDER)

    assert [one.code for one in read.findings] == ["TFG201"]
    assert dict(read.findings[0].evidence)["by"] == "tfguard of an unknown release"
    assert read.skipped == ()


def test_json_block_of_a_newer_release() -> None:
    data = as_json(facts_of(report(CUT)))
    data["tfguard_report"] = 7
    data["findings"] = [{**one, "severity": "notice", "new": [1]} for one in data["findings"]]  # type: ignore[attr-defined]  # a list

    read = diagnose(json.dumps(data))

    assert [(one.code, one.severity) for one in read.findings] == [(CUT.code, "warning")]
    assert "of a newer form (7" in read.skipped[0]


def test_block_of_another_process(tmp_path: Path) -> None:
    """Another user, another home, another environment: the block is made there, and read here."""
    path = tmp_path / "libempty.so"
    path.touch()
    environment = {**os.environ, "HOME": "/home/somebody", "LD_LIBRARY_PATH": "/home/somebody/lib", "TOKEN": "hush"}
    command = [sys.executable, "-m", "tfguard", "report", str(path)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    read = diagnose(made)

    assert "somebody" not in made
    assert "hush" not in made
    assert "environment: LD_LIBRARY_PATH=~/lib" in made
    assert [one.code for one in read.findings][:1] == ["TFG115"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command prints, the other command reads."""
    path = tmp_path / "libempty.so"
    path.touch()

    assert main(["report", str(path)]) == 0
    text = capsys.readouterr().out
    (tmp_path / "issue.txt").write_text(text)
    assert main(["diagnose", str(tmp_path / "issue.txt")]) == 1

    assert text.startswith("tfguard report 1\n")
    assert capsys.readouterr().out.startswith("TFG115 empty-file: ")


def test_block_without_errors_and_a_traceback_beside_it() -> None:
    """Then the traceback is what there is to read."""
    text = "ImportError: libGL.so.1: cannot open shared object file\n\n" + block(facts_of(report()))

    assert diagnose(text, look=False).findings[0].code == "TFG201"
    assert diagnose(block(facts_of(report())), look=False).ok
