"""Asks the dyld of this Mac what it makes of small broken libraries, and compares with what tfguard foresees.

python tools/mac_oracle.py                 build, ask, print the differences as JSON
python tools/mac_oracle.py --list          print what would be built, with the commands (needs no Mac)

Needs a Mac with clang (xcode-select --install). Everything is built and loaded in a temporary folder, each load in a
process of its own. Exit status: 0 no differences, 1 differences, 2 it could not be asked.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ADD = "int add(int a, int b) { return a + b; }"
USE = "int add(int, int); int use(void) { return add(1, 2); }"
OTHER = {"arm64": "x86_64", "x86_64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """One load: sources to write, commands to run in the folder, what to open, the environment of that process.

    `{other}` in a command is the processor that this Mac's process is not for, `{own}` the one that it is for.
    """

    name: str
    sources: Mapping[str, str] = field(default_factory=lambda: {"add.c": ADD, "use.c": USE})
    commands: Sequence[str] = ()
    target: str = "libuse.dylib"
    environment: Mapping[str, str] = field(default_factory=dict)


_LIBADD = "clang -arch {own} -dynamiclib add.c -o lib/libadd.dylib -install_name @rpath/libadd.dylib"
_USE = "clang -arch {own} -dynamiclib use.c lib/libadd.dylib -o libuse.dylib"

ORACLES: tuple[Oracle, ...] = (
    Oracle(name="sound", commands=("mkdir lib", _LIBADD, f"{_USE} -Wl,-rpath,@loader_path/lib")),
    Oracle(name="no-such-file", target="missing.dylib"),
    Oracle(name="other-processor", commands=("clang -arch {other} -dynamiclib add.c -o libuse.dylib",)),
    Oracle(name="object-file", commands=("clang -arch {own} -c add.c -o libuse.dylib",)),
    Oracle(name="text", commands=("cp add.c libuse.dylib",)),
    Oracle(name="empty", commands=("touch libuse.dylib",)),
    Oracle(name="directory", commands=("mkdir libuse.dylib",)),
    Oracle(name="no-rpath", commands=("mkdir lib", _LIBADD, _USE)),
    Oracle(
        name="rpath-leads-elsewhere",
        commands=("mkdir lib", _LIBADD, f"{_USE} -Wl,-rpath,@loader_path/other -Wl,-rpath,/opt/nowhere"),
    ),
    Oracle(
        name="library-path",
        commands=("mkdir lib", _LIBADD, _USE),
        environment={"DYLD_LIBRARY_PATH": "{folder}/lib"},
    ),
    Oracle(
        name="removed",
        commands=("mkdir lib", _LIBADD, f"{_USE} -Wl,-rpath,@loader_path/lib", "rm lib/libadd.dylib"),
    ),
    Oracle(
        name="symbol-gone",
        sources={"add.c": ADD, "use.c": USE, "empty.c": "int nothing;"},
        commands=(
            "mkdir lib",
            _LIBADD,
            f"{_USE} -Wl,-rpath,@loader_path/lib",
            "clang -arch {own} -dynamiclib empty.c -o lib/libadd.dylib -install_name @rpath/libadd.dylib",
        ),
    ),
    Oracle(
        name="flat-symbol-gone",
        commands=("clang -arch {own} -dynamiclib use.c -o libuse.dylib -undefined dynamic_lookup",),
    ),
    Oracle(
        name="weak-library-gone",
        commands=(
            "mkdir lib",
            _LIBADD,
            "clang -arch {own} -dynamiclib add.c -weak_library lib/libadd.dylib -o libuse.dylib",
            "rm lib/libadd.dylib",
        ),
    ),
    Oracle(
        name="cut-short",
        commands=("clang -arch {own} -dynamiclib add.c -o whole.dylib", "head -c 12000 whole.dylib > libuse.dylib"),
    ),
    Oracle(
        name="unsigned",
        commands=(
            "clang -arch {own} -dynamiclib add.c -o libuse.dylib",
            "codesign --remove-signature libuse.dylib",
        ),
    ),
    Oracle(
        name="leaf-name", commands=("clang -arch {own} -dynamiclib add.c -o here.dylib",), target="{leaf}absent.dylib"
    ),
)

# Checks one load and then makes it, in one process, as the environment and what is loaded count.
_CHILD = """
import ctypes, json, sys
sys.path.insert(0, sys.argv[2])
from tfguard.checks.check import check_library
report = check_library(sys.argv[1])
finding = report.findings[0] if report.findings else None
told = {"ok": report.ok, "code": finding and finding.code, "foreseen": finding and finding.loader_message}
print(json.dumps(told), flush=True)
try:
    ctypes.CDLL(sys.argv[1])
    print(json.dumps({"real": None}))
except OSError as error:
    print(json.dumps({"real": str(error)}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What tfguard foresaw and what dyld did; `died` is the signal that ended the process, 0 where none did."""

    ok: bool
    code: str | None
    foreseen: str | None
    real: str | None
    died: int = 0


def difference(answer: Answer) -> str | None:
    """What tfguard had wrong, in a sentence; None where it was right."""
    fails = answer.real is not None or answer.died != 0
    if answer.ok and fails:
        return "tfguard saw nothing that ends the load"
    if not answer.ok and not fails:
        return "a false alarm: the library loads"
    if answer.real is not None and answer.foreseen is not None and answer.real != answer.foreseen:
        return "the load fails as foreseen, with other words"
    return None


def commands_of(oracle: Oracle, own: str) -> list[str]:
    """The commands for a Mac whose process is for this processor."""
    return [one.replace("{own}", own).replace("{other}", OTHER[own]) for one in oracle.commands]


def ask(oracle: Oracle, folder: Path, own: str) -> Answer:
    """Build one and load it."""
    for name, text in oracle.sources.items():
        (folder / name).write_text(text + "\n")
    for command in commands_of(oracle, own):
        subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=True, capture_output=True)
    target = oracle.target.removeprefix("{leaf}") if "{leaf}" in oracle.target else str(folder / oracle.target)
    settings = {name: value.replace("{folder}", str(folder)) for name, value in oracle.environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, target, str(ROOT)],
        cwd=folder, env={"PATH": "/usr/bin:/bin", **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return answer_of(done.stdout, done.returncode)


def answer_of(output: str, status: int) -> Answer:
    """What a child printed: the prediction in the first line, how the load went in the second, unless it died."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError(f"the process for one load said nothing and ended with {status}")
    told = lines[0]
    real = lines[1]["real"] if len(lines) > 1 else None
    died = -status if status < 0 else 0
    return Answer(ok=told["ok"], code=told["code"], foreseen=told["foreseen"], real=real, died=died)


def row_of(oracle: Oracle, own: str) -> dict[str, object]:
    """Build and load one in a folder of its own; what came of it, as JSON has it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            answer = ask(oracle, Path(folder).resolve(), own)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or b""
            why = f"{error} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}".strip()
            return {"name": oracle.name, "difference": f"could not be asked: {why}"}
    facts: dict[str, object] = {name: getattr(answer, name) for name in ("ok", "code", "foreseen", "real", "died")}
    return {"name": oracle.name, "difference": difference(answer), **facts}


def summary(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """All answers with the machine that gave them, those that differ once more on their own."""
    return {
        "macos": platform.mac_ver()[0],
        "processor": platform.machine(),
        "python": sys.version.split()[0],
        "asked": len(rows),
        "differences": [row for row in rows if row["difference"] is not None],
        "all": list(rows),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask all, or list them."""
    parser = argparse.ArgumentParser(description="Compare tfguard with the dyld of this Mac.")
    parser.add_argument("--list", action="store_true", help="print what would be built, and ask nothing")
    options = parser.parse_args(arguments)
    own = platform.machine() if platform.machine() in OTHER else "arm64"
    if options.list:
        listed = {one.name: [*commands_of(one, own), f"load {shlex.quote(one.target)}"] for one in ORACLES}
        print(json.dumps(listed, indent=2))
        return 0
    if sys.platform != "darwin":
        sys.stderr.write("mac_oracle: this is no Mac, and only a Mac's dyld can be asked (--list works anywhere)\n")
        return 2
    found = summary([row_of(oracle, own) for oracle in ORACLES])
    print(json.dumps(found, indent=2))
    return 1 if found["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
