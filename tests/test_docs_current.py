"""The pages: the generated ones are current, and what the written ones point to or show is there."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.reports import BAD, CUT, MISSING
from tfguard.__main__ import main
from tfguard.hosts.host import Host
from tfguard.report import SCHEMA, Report
from tfguard.rules import RULES
from tfguard.telling.render import as_dict, as_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
WRITTEN = sorted([ROOT / "README.md", *DOCS.glob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_what_is_not_current_is_named_and_mended(generate: ModuleType, tmp_path: Path) -> None:
    assert len(generate.write(tmp_path)) == len(RULES) + 2
    (tmp_path / "rules/TFG201.md").write_text("old\n")
    (tmp_path / "rules/TFG000.md").write_text("a code that is gone\n")
    (tmp_path / "rules/index.md").unlink()
    stale = ["rules/TFG000.md", "rules/TFG201.md", "rules/index.md"]

    assert generate.not_current(tmp_path) == stale
    assert generate.write(tmp_path) == stale
    assert generate.not_current(tmp_path) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.name)
def test_codes_named_on_pages_exist(page: Path) -> None:
    assert set(re.findall(r"TFG\d{3}\b", page.read_text(encoding="utf-8"))) <= {one.code for one in RULES}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.name)
def test_python_on_pages_compiles(page: Path) -> None:
    for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(text, str(page), "exec")


def test_json_page_names_every_field() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    report = Report(target="op.so", host=Host(), findings=(CUT, MISSING), traces=(BAD,), skipped=("x",))

    missing = [name for name in sorted(_names(as_dict(report))) if f"`{name}`" not in page]

    assert missing == []
    assert f"schema {SCHEMA}" in page.lower()


def _names(value: object) -> set[str]:
    if isinstance(value, dict):
        # what the environment holds are values, though they stand in the place of names
        inner = (_names(one) for name, one in value.items() if name != "environment")
        return set(value).union(*inner)
    if isinstance(value, list):
        return set().union(*(_names(one) for one in value))
    return set()


def test_help_names_the_commands_of_the_pages(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in WRITTEN)
    main(["--help"])
    shown = capsys.readouterr().out

    for command in set(re.findall(r"python -m tfguard ([a-z]+)", text)):
        assert f"\n    {command} " in shown


def test_example_in_json_page_is_json() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    examples = [text for language, text in FENCED.findall(page) if language == "json"]

    assert examples
    assert all(json.loads(text)["schema"] == SCHEMA for text in examples)


def test_text_ends_where_the_pages_say() -> None:
    """Every report of an error leads to an explanation that exists."""
    last = as_text(Report(target="op.so", host=Host(), findings=(MISSING,))).splitlines()[-1]

    assert last == "  more: python -m tfguard explain TFG201"
    assert main(["explain", last.split()[-1]]) == 0
