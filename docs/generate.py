"""Writes docs/rules/: one page for each code and their index, from the table of rules.

python docs/generate.py           write what is not current
python docs/generate.py --check   write nothing; say what is not current, and exit with 1 where anything is not
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tfguard.rules import RULES  # noqa: E402
from tfguard.rules.rule import Rule  # noqa: E402 - the checkout this file lies in, not an installed one

_NOTE = "<!-- written by docs/generate.py from tfguard/rules; change it there -->\n"


def pages() -> dict[str, str]:
    """Every generated page: its file name below docs/rules/, and its text."""
    return {"index.md": _index()} | {f"{one.code}.md": _page(one) for one in RULES}


def _index() -> str:
    rows = "\n".join(f"| [{one.code}]({one.code}.md) | {one.slug} | {_markdown(one.title)} |" for one in RULES)
    return (
        f"{_NOTE}\n# All codes\n\n"
        "A code is never given to another cause. `python -m tfguard rules` prints this list, `python -m tfguard explain"
        " CODE` one\npage of it.\n\n"
        f"| code | name | what is wrong |\n| --- | --- | --- |\n{rows}\n"
    )


def _page(rule: Rule) -> str:
    return (
        f"{_NOTE}\n# {rule.code} {rule.slug}\n\n**{_markdown(rule.title)}.**\n\n{_markdown(rule.explanation)}\n\n"
        f'To leave it out: `ignore={{"{rule.code}"}}` in Python, `--ignore {rule.code}` on the command line.\n\n'
        "[All codes](index.md)\n"
    )


def _markdown(text: str) -> str:
    """The text with its < and & written so that Markdown shows them; code between backticks stays as it is."""
    parts = text.split("`")
    parts[::2] = [part.replace("&", "&amp;").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def not_current(folder: Path) -> list[str]:
    """The names of the pages in `folder` that are missing, differ from what would be written, or have no rule."""
    wanted = pages()
    there = {path.name for path in folder.glob("*.md")}
    stale = {name for name, text in wanted.items() if name not in there or _read(folder / name) != text}
    return sorted(stale | (there - wanted.keys()))


def write(folder: Path) -> list[str]:
    """Bring the pages in `folder` up to date; gives back the names of those written or removed."""
    changed = not_current(folder)
    folder.mkdir(exist_ok=True)
    wanted = pages()
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write or check, and say what was done; the exit status."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    folder = DOCS / "rules"
    if arguments:
        stale = not_current(folder)
        for name in stale:
            print(f"docs/rules/{name} is not current: python docs/generate.py")
        return 1 if stale else 0
    for name in write(folder):
        print(f"docs/rules/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
