"""Records what `import tensorflow` dies of beside other versions, and without other packages: data/requirements.txt.

python tools/record_requirements.py OUTCOMES.json [PYTHON...] > tfguard/data/requirements.txt

Each PYTHON is one of an environment with a release of TensorFlow that imports. Into it nothing is installed: another
version of something is put before it on PYTHONPATH, and what it is to do without is refused by a finder. What came of
it is kept in OUTCOMES.json, from which the table is printed; a run takes ten minutes a release.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HEADER = """\
# Imports that were seen to die. A line: distribution, from this release, to below that one; then `with`, another
# distribution, from this version, to below that one, the last line of the import; or `needs` and the distributions
# without whose modules it dies of their ModuleNotFoundError; or `without` one, and the last line where that is another.
# `-` is open; `tensorflow` stands for every distribution that brings it. Tried one change at a time in environments
# that are otherwise sound, tensorflow-cpu of each release on CPython 3.11 (tools/record_requirements.py); what is not
# here was not tried, or lived.\
"""

# (distribution, from, to below, the versions tried of them): a line only where the import dies of all of these.
SPANS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("numpy", "2", "-", ("2.0.2", "2.2.6", "2.4.6")),
    ("numpy", "-", "1.25", ("1.23.5", "1.24.4")),
    ("protobuf", "-", "4", ("3.20.3",)),
    ("protobuf", "4", "5", ("4.25.8",)),
    ("protobuf", "5", "6", ("5.29.5",)),
    ("ml-dtypes", "0.4", "0.5", ("0.4.1",)),
    ("keras", "2.15", "3", ("2.15.0",)),
    ("typing-extensions", "-", "4", ("3.10.0.2",)),
)
# Of two that both are beside TensorFlow. Seen with 2.18, 2.20 and 2.21, which themselves go with NumPy 2.
PAIRS = (
    "ml-dtypes - 0.4 with numpy 2 - ImportError: numpy.core.umath failed to import",
    "h5py 3.8 3.11 with numpy 2 - ValueError: numpy.dtype size changed, may indicate binary incompatibility",
)
# What lived everywhere is tried again too: it may not in the next release.
OTHERS = (
    "numpy==1.25.2", "numpy==1.26.4", "protobuf==6.31.1", "protobuf==7.36.2", "ml-dtypes==0.2.0", "ml-dtypes==0.3.2",
    "ml-dtypes==0.5.3", "keras==2.12.0", "keras==3.0.5", "keras==3.12.0", "h5py==3.8.0", "h5py==3.10.0",
    "h5py==3.14.0", "typing-extensions==4.5.0", "wrapt==1.14.1", "wrapt==2.0.0", "gast==0.4.0", "flatbuffers==1.12",
)  # fmt: skip
# distribution -> its module
NEEDED = {
    "absl-py": "absl", "astunparse": "astunparse", "flatbuffers": "flatbuffers", "gast": "gast",
    "google-pasta": "pasta", "grpcio": "grpc", "h5py": "h5py", "keras": "keras", "libclang": "clang",
    "ml-dtypes": "ml_dtypes", "numpy": "numpy", "opt-einsum": "opt_einsum", "packaging": "packaging",
    "protobuf": "google.protobuf", "requests": "requests", "setuptools": "setuptools", "six": "six",
    "tensorboard": "tensorboard", "tensorflow-estimator": "tensorflow_estimator", "termcolor": "termcolor",
    "typing-extensions": "typing_extensions", "wrapt": "wrapt",
}  # fmt: skip

_NOT_FOUND = "ModuleNotFoundError: No module named "
WITHOUT = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refusing())
"""
IMPORT = "import tensorflow as tf\nassert int(tf.reduce_sum(tf.constant([1, 2, 3]))) == 6\nprint('lives')\n"

# release -> what was changed -> the last line of the import, "" where it lived
Outcomes = dict[str, dict[str, str]]


def ends(python: str, code: str, *, before: Path | None = None) -> str:
    """The last line of an import that dies, or that it was killed; "" for one that lives."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3"} | ({"PYTHONPATH": str(before)} if before is not None else {})
    done = subprocess.run([python, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode == 0 and "lives" in done.stdout:
        return ""
    lines = done.stderr.strip().splitlines()
    # an exception's text may have several lines: the one that names its type says most
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b.*:", line)]
    return (named or lines or [f"ended with {done.returncode}"])[-1]


def observe(python: str, known: dict[str, str]) -> None:
    """Try all that is not known yet of one environment."""
    if ends(python, IMPORT):
        sys.exit(f"{python}: this import does not work as it is")
    wanted = [f"{name}=={version}" for name, _, _, versions in SPANS for version in versions] + list(OTHERS)
    for requirement in dict.fromkeys(wanted):
        if requirement in known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            command = [python, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, requirement]
            if subprocess.run(command, check=False).returncode == 0:
                known[requirement] = ends(python, IMPORT, before=Path(folder))
    for distribution, module in NEEDED.items():
        if f"without {distribution}" not in known:
            known[f"without {distribution}"] = ends(python, WITHOUT.replace("MODULE", repr(module)) + IMPORT)


def lines_of(outcomes: Outcomes) -> Iterator[str]:
    """The lines of the table; neighbouring releases that end alike share one."""
    for name, lowest, under, versions in SPANS:
        keys = [f"{name}=={version}" for version in versions]

        def dies(found: dict[str, str], keys: list[str] = keys) -> str:
            said = [found.get(key, "") for key in keys]
            return said[0] if all(said) else ""

        for first, below, says in _merged(outcomes, dies):
            yield f"tensorflow {first} {below} with {name} {lowest} {under} {says}"
    yield from PAIRS
    for name in NEEDED:

        def ends_otherwise(found: dict[str, str], key: str = f"without {name}") -> str:
            says = found.get(key, "")
            return "" if says.startswith(_NOT_FOUND) else says

        for first, below, says in _merged(outcomes, ends_otherwise):
            yield f"tensorflow {first} {below} without {name} {says}"
    for first, below, names in _merged(outcomes, _needs):
        yield f"tensorflow {first} {below} needs {names}"


def _needs(found: dict[str, str]) -> str:
    without = "without "
    names = (key[len(without) :] for key, says in found.items() if key.startswith(without) and _NOT_FOUND in says)
    return " ".join(sorted(names))


def _merged(outcomes: Outcomes, told: Callable[[dict[str, str]], str]) -> Iterator[tuple[str, str, str]]:
    """From release, to below release, and what is told of all of them; nothing where nothing is."""
    spans: list[list[str]] = []
    for release in sorted(outcomes, key=_number):
        says = re.sub(r" \(/\S+\)$| when loading .*$", "", told(outcomes[release]))
        if not says:
            continue
        if spans and spans[-1][1] == release and spans[-1][2] == says:
            spans[-1][1] = _next(release)
        else:
            spans.append([release, _next(release), says])
    for first, below, says in spans:
        yield first, below, says


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def _next(release: str) -> str:
    major, minor = _number(release)
    return f"{major}.{minor + 1}"


def main(arguments: list[str]) -> None:
    """Observe the environments named, keep the outcomes, print the table."""
    if not arguments:
        sys.exit(__doc__)
    kept = Path(arguments[0])
    outcomes: Outcomes = json.loads(kept.read_text()) if kept.exists() else {}
    for python in arguments[1:]:
        code = "import importlib.metadata as m; print(m.version('tensorflow-cpu').rpartition('.')[0])"
        release = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        observe(python, outcomes.setdefault(release, {}))
        kept.write_text(json.dumps(outcomes, indent=1))
    print(HEADER)
    print(*lines_of(outcomes), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
