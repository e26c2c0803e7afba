"""Puts the questions of other projects' tests, and our own, to the loader, to tfguard and to other tools.

python -m tests.peers [--write] [--only REGEX]     --write puts the tables into docs/peers.md
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.loader.cases import CASES
from tests.loader.scene import Case, Scene, Unavailable
from tests.peers import page
from tests.peers.programs import PROGRAMS, foretold, started
from tests.peers.tools import TOOLS, Opinion, Tool
from tests.support.build import Compiler
from tests.support.real_loader import Load, Reality, ask

CHECKOUT = Path(__file__).resolve().parents[2]


def can_be_asked(load: Load) -> bool:
    """Whether the question is one file alone: the tools know no process in which anything was loaded before."""
    plain = load.program is None and load.opener is None and not load.no_write_execute and load.user is None
    return plain and not load.before and len(load.names) == 1 and "/" in load.names[0][0]


def is_right(said: Opinion, was: Reality, place: Path, cwd: str | None) -> bool:
    """Whether a tool's opinion is what the loader does: trouble, or the same files of this case's folder."""
    if not was.loads:
        return said.trouble
    real = {os.path.realpath(os.path.join(cwd or "/", path)) for path in was.mapped}
    root = os.path.realpath(place) + "/"
    return not said.trouble and {one for one in said.files if one.startswith(root)} == {
        one for one in real if one.startswith(root)
    }


def answers(cases: Sequence[Case], tools: Sequence[Tool], root: Path) -> list[page.Row]:
    """Lay every case out, ask everybody, and say who is right."""
    compiler = Compiler(root / "built")
    asked: list[tuple[Case, Load, Path]] = []
    for number, case in enumerate(cases):
        place = root / f"{number}"
        try:
            load = case.lay_out(Scene(root=place, compiler=compiler))
        except Unavailable as reason:
            print(f"left out: {case.id}: {reason}")
            continue
        if can_be_asked(load):
            asked.append((case, load, place))
    rows: list[page.Row] = []
    with ThreadPoolExecutor(2) as pool:
        for (case, load, place), answer in zip(asked, ask([load for _, load, _ in asked]), strict=True):
            path, was = load.names[0][0], answer.pairs[0][1]

            def opinion(tool: Tool, load: Load = load, path: str = path) -> Opinion:
                return tool.ask(path, load.environment, load.cwd)

            given = list(pool.map(opinion, tools))
            marks = (answer.disagreement is None, *(is_right(one, was, place, load.cwd) for one in given))
            rows.append(page.Row(case=case.id, outcome=_outcome(was, str(root)), right=marks))
    return rows


def program_answers(tools: Sequence[Tool], root: Path) -> list[page.Row]:
    """The same for libtree's programs, which are started."""
    compiler = Compiler(root / "built")
    rows: list[page.Row] = []
    for number, one in enumerate(PROGRAMS):
        place = root / f"{number}"
        try:
            asked = one.lay_out(Scene(root=place, compiler=compiler))
        except Unavailable as reason:
            print(f"left out: {one.id}: {reason}")
            continue
        was = started(asked)
        opinions = (tool.ask(asked.path, asked.environment, None) for tool in tools)
        # the tools name the program, which is not among the objects that it needs
        real = Reality(mapped=(asked.path, *was.mapped), message=was.message, died=was.died)
        marks = (foretold(asked, was), *(is_right(said, real, place, None) for said in opinions))
        rows.append(page.Row(case=one.id, outcome=_outcome(was, str(root)), right=marks))
    return rows


def _outcome(was: Reality, root: str) -> str:
    if was.loads:
        return "loads"
    return re.sub(re.escape(root) + r"/\d+", "...", was.message) if was.message is not None else f"dies: {was.died}"


def main() -> int:
    """Ask, and print or write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/peers.md")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    present = [tool for tool in TOOLS if tool.version() is not None]
    for tool in TOOLS:
        if tool not in present:
            print(f"left out: {tool.name} is not on this machine ({tool.source})")
    root = Path(tempfile.mkdtemp(prefix="tfguard-peers-"))
    root.chmod(0o755)
    try:
        programs = program_answers(present, root / "programs")
        rows = answers([case for case in CASES if re.search(options.only, case.id)], present, root)
    finally:
        for place in root.glob("*/noexec"):
            subprocess.run(["umount", str(place)], check=False, capture_output=True)
        shutil.rmtree(root)
    text = page.text(rows, programs, present, [tool for tool in TOOLS if tool not in present])
    if options.write:
        (CHECKOUT / "docs" / "peers.md").write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
