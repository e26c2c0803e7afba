"""Records for which Pythons and platforms each TensorFlow release has wheels: data/wheels.txt.

python tools/record_wheels.py > tfguard/data/wheels.txt

Asks pip, which prints every file of an index page where it is told to be verbose: two pages are read, nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict

DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu")
OLDEST = (2, 0, 0)
HEADER = """\
# For which Pythons and platforms releases have wheels on PyPI. Written by tools/record_wheels.py.
# A line: distribution, release, Pythons (oldest-newest of CPython), platform tags.\
"""
_WHEEL = re.compile(r"/[a-z_]+-(\d+(?:\.\d+)+)-(?:\d[^-]*-)?cp(3)(\d+)-[^-]+-([^-/]+)\.whl")


def page_of(distribution: str) -> str:
    """What pip says of every file that the index has of a distribution."""
    command = [sys.executable, "-m", "pip", "index", "versions", distribution, "-vvv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def lines_of(distribution: str, page: str) -> list[str]:
    """The lines of the data file for one distribution, oldest release first."""
    pythons: dict[tuple[tuple[int, ...], str], set[tuple[int, int]]] = defaultdict(set)
    for release, major, minor, platforms in _WHEEL.findall(page):
        number = tuple(map(int, release.split(".")))
        if number >= OLDEST:
            pythons[number, platforms.partition(".")[0]].add((int(major), int(minor)))
    lines: dict[tuple[tuple[int, ...], str], list[str]] = defaultdict(list)
    for (number, platform), found in pythons.items():
        lines[number, f"{_dotted(min(found))}-{_dotted(max(found))}"].append(platform)
    return [
        f"{distribution} {_dotted(number)} {span} {' '.join(sorted(platforms))}"
        for (number, span), platforms in sorted(lines.items())
    ]


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def main() -> None:
    """Print the data file."""
    print(HEADER)
    for distribution in DISTRIBUTIONS:
        print(*lines_of(distribution, page_of(distribution)), sep="\n")


if __name__ == "__main__":
    main()
