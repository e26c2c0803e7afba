"""The same failure in other clothes: versions, folders, prefixes of logs, colours, frames; its cause stays the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.corpus.test_corpus import Failure, failures
from tfguard.diagnosis.post_mortem import diagnose


def every_text() -> list[Failure]:
    return [*failures(), *failures("held_out.json"), *failures("rounds.json")]


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    return {case.id: diagnose(case.text, look=False).findings[0].code for case in every_text()}


def _prefixed(prefix: str) -> Callable[[str], str]:
    return lambda text: "\n".join(prefix + line for line in text.split("\n"))


def _replaced(*pairs: tuple[str, str]) -> Callable[[str], str]:
    def change(text: str) -> str:
        for pattern, new in pairs:
            text = re.sub(pattern, new, text)
        return text

    return change


IPYTHON = (
    "---------------------------------------------------------------------------\n"
    "Error                                     Traceback (most recent call last)\n"
    "Cell In[1], line 1\n----> 1 from package import model\n\n"
    "File ~/work/package/model.py:3\n      1 import os\n----> 3 import tensorflow as tf\n\n"
)
NOISE = (
    "2024-05-01 10:00:00.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is"
    " optimized to use available CPU instructions in performance-critical operations.\n"
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate"
    " compiler flags.\n"
    "2024-05-01 10:00:01.223456: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could not find"
    " TensorRT\n"
)
ENDING = (
    "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    "Traceback (most recent call last):\n"
    '  File "train.py", line 3, in <module>\n    main()\n'
    "RuntimeError: Failed to import transformers.models.bert because of the following error (look up to see"
    " its traceback)"
)

# What is changed, and how many first causes of 100 must stay what they were.
VARIATIONS: dict[str, tuple[Callable[[str], str], float]] = {
    # where and with what
    "another-home": (
        _replaced(
            (r"/home/[\w.-]+/", "/mnt/nfs/h2/a.b-c/"),
            (r"/Users/[\w.-]+/", "/Users/renée/"),
            (r"Users\\[\w.-]+\\", "Users\\\\Zoë D\\\\"),
        ),
        1.0,
    ),
    "another-python": (
        _replaced(
            (r"python[23]\.\d{1,2}", "python3.12"),
            (r"[Pp]ython3\d{1,2}\b", "Python312"),
            (r"cpython-\d\dm?", "cpython-312"),
        ),
        1.0,
    ),
    "another-frame-line": (_replaced((r"\bline \d+", "line 4711"), (r"\.cc:\d+\]", ".cc:88]")), 1.0),
    "another-process": (_replaced((r"0x[0-9a-f]{8,16}", "0x00007fdeadbeef00"), (r"\bpid[= ]\d+", "pid=99")), 1.0),
    # how it was kept
    "crlf": (lambda text: text.replace("\n", "\r\n"), 1.0),
    "tabs": (_replaced((r"(?m)^ {4}", "\t")), 1.0),
    "blank-lines": (lambda text: text.replace("\n", "\n\n"), 0.98),
    "trailing-blanks": (lambda text: "\n".join(f"{line}   " for line in text.split("\n")), 1.0),
    "code-fence": (lambda text: f"I get this:\n\n```python-traceback\n{text}\n```\n\nPlease help, thanks!", 1.0),
    "html": (
        lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;"),
        1.0,
    ),
    "colours": (
        lambda text: re.sub(r"(?m)^(\w*Error\b)", "\x1b[1;31m\\1\x1b[0m", text).replace(
            "File ", "\x1b[35mFile \x1b[0m"
        ),
        1.0,
    ),
    "box": (lambda text: "\n".join(f"│ {line:<100} │" for line in text.split("\n")), 0.97),
    # who kept it
    "open-mpi": (_prefixed("[1,12]<stderr>:"), 1.0),
    "torchrun": (_prefixed("[rank3]: "), 1.0),
    "srun": (_prefixed("17: "), 0.975),
    "ray": (_prefixed("(train_fn pid=4242, ip=10.0.0.7) "), 1.0),
    "compose": (_prefixed("trainer-1  | "), 1.0),
    "kubectl": (_prefixed("[pod/train-5d9c7-x2x4l/main] "), 1.0),
    "buildkit": (_prefixed("#14 12.345 "), 1.0),
    "actions": (_prefixed("2024-05-01T10:00:00.1234567Z "), 1.0),
    "actions-error": (_prefixed("2024-05-01T10:00:00.1234567Z ##[error]"), 1.0),
    "airflow": (_prefixed("[2024-05-01, 10:00:00 UTC] {subprocess.py:93} INFO - "), 1.0),
    "logging": (_prefixed("2024-05-01 10:00:00,123 - worker - ERROR - "), 1.0),
    "loguru": (_prefixed("2024-05-01 10:00:00.123 | ERROR    | app.main:run:42 - "), 1.0),
    "journal": (_prefixed("May 01 10:00:00 host42 python3[1234]: "), 1.0),
    "uwsgi": (_prefixed("[uWSGI] "), 1.0),
    "pytest": (_prefixed("E       "), 1.0),
    "double-quote": (_prefixed("> > "), 1.0),
    # what stands around it
    "in-a-notebook": (lambda text: IPYTHON + text, 0.98),
    "below-noise": (lambda text: NOISE + text, 0.99),
    "above-another": (lambda text: text + ENDING, 0.99),
    "twice": (lambda text: f"{text}\n\n{text}", 0.99),
}


@pytest.mark.parametrize("name", VARIATIONS)
def test_variations(name: str, told: dict[str, str]) -> None:
    """The first cause is that of the text as it was."""
    change, share = VARIATIONS[name]

    found = {case.id: diagnose(change(case.text), look=False).findings[0].code for case in every_text()}

    others = {case: (told[case], code) for case, code in found.items() if code != told[case]}
    assert 1 - len(others) / len(found) >= share, others
