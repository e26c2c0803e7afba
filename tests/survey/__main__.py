"""The survey: installs many packages, loads every shared object of theirs for real, and compares with tfguard.

python -m tests.survey [--write] [--python 3.11]... [PACKAGE...]

Everything is kept below .cache/survey: what is installed there stays, and what was compared is compared again only
where the package or tfguard has changed. --write puts the result into docs/survey.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.comparison import Compared
from tests.survey import page
from tests.survey.install import ROOT, VERSIONS, Environment, environment, install, wanted_packages

CHECKOUT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("load.py")
_SHARED_OBJECT = re.compile(r"\.so(\.[0-9.]+)?$")


def shared_objects(one: importlib.metadata.Distribution) -> list[str]:
    """The paths of the shared objects that a distribution lists as its own."""
    found = {str(one.locate_file(file)) for file in one.files or () if _SHARED_OBJECT.search(file.name)}
    return sorted(path for path in found if os.path.isfile(path))


def state_of_tfguard() -> str:
    """A digest of all code that has a part in the answers."""
    digest = hashlib.sha256()
    for folder in ("tfguard", "tests/support"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compared(place: Environment, name: str, version: str, paths: list[str], state: str) -> list[Compared]:
    """What came of each file, from the last run where nothing has changed since."""
    kept = place.directory / "compared" / f"{name}-{version}-{state}.json"
    if kept.exists():
        return [Compared(**line) for line in json.loads(kept.read_text())]
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "GLIBC_", "PYTHON"))}
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            [place.python, "-I", "-S", str(CHILD), str(out.fileno())],
            input=json.dumps(paths),
            text=True,
            env=variables,
            pass_fds=(out.fileno(),),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name}: the child ended with {done.returncode}: {done.stderr}")
        out.seek(0)
        lines = [json.loads(line) for line in out.read().splitlines()]
    kept.parent.mkdir(exist_ok=True)
    for old in kept.parent.glob(f"{name}-[0-9]*.json"):
        old.unlink()
    kept.write_text(json.dumps(lines))
    return [Compared(**line) for line in lines]


def survey(place: Environment, only: tuple[str, ...]) -> page.Column:
    """All packages in one environment."""
    refused = {} if only else {one.requirement: why for one, why in install(place)}
    state = state_of_tfguard()
    rows: list[page.Row] = []
    known = place.distributions()
    for name in sorted({one.name for one in wanted_packages()} & set(known)):
        paths = shared_objects(known[name])
        if (only and name not in only) or not paths:
            continue
        results = compared(place, name, known[name].version, paths, state)
        row = page.Row(name=name, version=known[name].version, results=tuple(results))
        rows.append(row)
        print(f"  {place.version} {name} {row.version}: {len(results)} objects, {row.agreeing} agree", flush=True)
        for one in results:
            if one.wrong is not None:
                print(f"    {one.wrong}", flush=True)
    return page.Column(environment=place, rows=tuple(rows), refused=refused)


def main() -> int:
    """Run the survey; 0 where tfguard is right about every file."""
    parser = argparse.ArgumentParser(prog="python -m tests.survey", description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/survey.md")
    parser.add_argument("--python", action="append", default=[], metavar="X.Y", help="only this Python")
    parser.add_argument("package", nargs="*", help="only these packages, as they are installed")
    options = parser.parse_args()
    ROOT.mkdir(parents=True, exist_ok=True)
    columns: list[page.Column] = []
    for version in options.python or VERSIONS:
        place = environment(version)
        if place is None:
            print(f"left out: there is no Python {version} on this machine")
            continue
        print(f"Python {version}: packages below {place.directory}", flush=True)
        columns.append(survey(place, tuple(options.package)))
    print(page.summary(columns))
    if options.write:
        (CHECKOUT / "docs" / "survey.md").write_text(page.text(columns))
    return 1 if any(one.wrong for column in columns for row in column.rows for one in row.results) else 0


if __name__ == "__main__":
    sys.exit(main())
