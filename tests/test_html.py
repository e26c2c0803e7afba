"""The HTML of a report: well-formed, everything escaped, no script, all that the text says."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.support.reports import BAD, CUT, GOOD, HOSTILE, MISSING, PRINTABLE, hostile_report
from tfguard.hosts.host import Host
from tfguard.report import Report
from tfguard.telling.html import as_html


class _Reader(HTMLParser):
    """Collects the tags and the text, and fails on a tag that is not closed in its place."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))


def read(fragment: str) -> _Reader:
    reader = _Reader()
    reader.feed(fragment)
    reader.close()
    assert not reader.open
    return reader


REPORTS = {
    "good": Report(target="op.so", host=Host(), traces=(GOOD,)),
    "bad": Report(target="op.so", host=Host(), findings=(CUT, MISSING), traces=(BAD,), skipped=("symbols",)),
    "nothing": Report(target="json", host=Host(), kind="import"),
    "hostile": hostile_report(),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_fragment_is_well_formed_and_holds_only_plain_elements(report: Report) -> None:
    fragment = as_html(report)
    reader = read(fragment)

    assert set(reader.tags) <= {
        "details", "div", "pre", "span", "strong", "summary", "table", "tbody", "td", "th", "tr",
    }  # fmt: skip
    assert reader.attributes <= {"class", "style", "scope"}
    assert fragment.isascii()
    assert report._repr_html_() == fragment


def test_hostile_names_stay_text() -> None:
    """What would be markup or an escape sequence arrives as the characters that one sees."""
    fragment = as_html(REPORTS["hostile"])
    texts = [text for _, text in read(fragment).text]

    assert "<script" not in fragment.lower()
    assert "\x1b" not in fragment
    assert HOSTILE not in "".join(texts)
    assert PRINTABLE in texts


def test_says_what_the_text_says() -> None:
    text = read(as_html(REPORTS["bad"])).text

    assert ("strong", MISSING.message) in text
    assert ("span", "error TFG201") in text
    assert ("span", "warning TFG117") in text
    assert [data for tag, data in text if tag == "th"][:2] == ["needed by", "already loaded"]
    assert ("td", "no library of that name in this process") in text
    assert ("pre", "apt-get install libgomp1") in text
    assert ("div", "more: python -m tfguard explain TFG201") in text
    assert ("div", "not checked: symbols") in text
    assert ("div", "op.so: 1 error, 1 warning") in text


def test_tree_is_folded_away() -> None:
    reader = read(as_html(REPORTS["good"]))

    assert "details" in reader.tags
    assert any(tag == "pre" and "libgomp.so.1 => /lib/libgomp.so.1" in data for tag, data in reader.text)
    assert "details" not in read(as_html(REPORTS["nothing"])).tags


def test_colours_are_left_to_the_notebook() -> None:
    """Black text on a notebook's dark page, or white on a light one, could not be read."""
    fragment = as_html(REPORTS["bad"])

    assert "color:#000" not in fragment
    assert "background:#fff" not in fragment
    assert "<style" not in fragment
