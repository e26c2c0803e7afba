"""Writes docs/rules/, a page for each code and their index, and docs/loader-rules.md, what tries the loader's rules.

python docs/generate.py           write what is not current
python docs/generate.py --check   write nothing; say what is not current, and exit with 1 where anything is not
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tests.loader.cases import CASES  # noqa: E402 - the checkout this file lies in, not an installed one
from tests.loader.reference import Tried, table  # noqa: E402
from tests.musl.cases import OF_MUSL  # noqa: E402
from tfguard.rules import RULES  # noqa: E402
from tfguard.rules.rule import Rule  # noqa: E402

_NOTE = "<!-- written by docs/generate.py from tfguard/rules; change it there -->\n"
_LOADER_NOTE = "<!-- written by docs/generate.py from tests/loader/reference.py; change it there -->\n"
_NAMED = 4


def pages() -> dict[str, str]:
    """Every generated page: its path below docs/, and its text."""
    return {
        "loader-rules.md": _loader_rules(),
        "rules/index.md": _index(),
        **{f"rules/{one.code}.md": _page(one) for one in RULES},
    }


def _loader_rules() -> str:
    ids = (*(case.id for case in CASES), *(name for name, _ in OF_MUSL))
    rows = table(ids)
    tried = sum(bool(row.cases or row.tests) for row in rows)
    lines = "\n".join(f"| {row.number} | {_markdown(row.title)} | {_what_tries(row)} |" for row in rows)
    return (
        f"{_LOADER_NOTE}\n# What tries the loader's rules\n\n"
        "tfguard predicts a load from numbered rules about what the dynamic loader does. Each of these was found\n"
        "by an experiment with real loaders; the numbers stand in the comments of the code that follows them. A\n"
        "case lays real files out, asks the real loader and asks tfguard: verdict, message, files and their order\n"
        "must be the same.\n\n"
        f"{len(rows)} rules, {tried} of them tried by {len(ids)} cases and by tests, {len(rows) - tried} with the"
        " reason why not.\nG is glibc, M musl, I the interpreter, H what is found out about a process, P the reading of"
        " files.\n\n"
        f"| rule | what it says | what tries it, or why nothing does |\n| --- | --- | --- |\n{lines}\n"
    )


def _what_tries(row: Tried) -> str:
    if row.reason is not None:
        return f"*{_markdown(row.reason)}*"
    named = ", ".join(f"`{one}`" for one in (*row.tests, *row.cases[:_NAMED]))
    rest = len(row.cases) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named


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
    """The pages below `folder` that are missing, differ from what would be written, or have no rule."""
    wanted = pages()
    there = {f"rules/{path.name}" for path in folder.glob("rules/*.md")}
    there |= {name for name in wanted if (folder / name).exists()}
    stale = {name for name, text in wanted.items() if name not in there or _read(folder / name) != text}
    return sorted(stale | (there - wanted.keys()))


def write(folder: Path) -> list[str]:
    """Bring the pages below `folder` up to date; gives back the names of those written or removed."""
    changed = not_current(folder)
    (folder / "rules").mkdir(exist_ok=True)
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
    if arguments:
        stale = not_current(DOCS)
        for name in stale:
            print(f"docs/{name} is not current: python docs/generate.py")
        return 1 if stale else 0
    for name in write(DOCS):
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
