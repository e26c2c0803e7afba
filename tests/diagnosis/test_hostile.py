"""Whatever is pasted, an answer comes: no exception, no hang, no memory blow-up."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.diagnosis.test_marks import example, parsed
from tfguard.diagnosis.post_mortem import diagnose
from tfguard.diagnosis.reading import SHAPES
from tfguard.diagnosis.shape import Shape
from tfguard.report import Report

MEGABYTE = 1 << 20
MARKS = sorted({mark for one in SHAPES for mark in one.marks})
# What the patterns repeat, so that a search that starts anew at each place would take for ever.
FILLS = ("/", "a ", "'('", "dlopen(", "x: ", "../", ".so: ", "a.b ", "_Z", "1.", '"')


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """Ends what goes on for ever: seconds of processor time, many times what is needed."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"no answer within {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def answered(text: str, seconds: float = 10) -> Report:
    with guarded(seconds):
        report = diagnose(text, look=False)
    assert report.findings
    assert str(report)
    return report


@given(st.text(max_size=2000))
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    answered(text)


@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=30) | st.sampled_from(FILLS), max_size=60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_pieces_of_messages_in_any_order(pieces: list[str], lines: bool) -> None:
    """No pattern trips over half a message."""
    answered(("\n" if lines else " ").join(pieces))


@pytest.mark.parametrize(
    "text",
    [
        random.Random(1).randbytes(MEGABYTE).decode("latin-1"),
        random.Random(2).randbytes(MEGABYTE).decode("utf-8", "replace"),
        "a" * MEGABYTE,
        "\n" * MEGABYTE,
        "\x1b[" * (MEGABYTE // 2),
        "\x1b]0;" * (MEGABYTE // 4),
        "/" * MEGABYTE,
        "\u0130" * (MEGABYTE // 2),
        "".join(f"{n}: W dso_loader.cc:{n}] Could not load dynamic library 'lib{n}.so'\n" for n in range(14000)),
        "".join(f'  File "/usr/lib/python3/dist-packages/tensorflow/x{n}.py", line {n}\n' for n in range(15000)),
        f"undefined symbol: _ZN{'A' * 3000}" * (MEGABYTE // 3000),
        f"undefined reference to '{'x<' * 900}\n" * (MEGABYTE // 1800),
        "".join(f"/x/lib{n}.so(_Z{n}+0x1)[0x7f1234567890]\n" for n in range(25000)),
        "".join(f"from a{n} import b{n}\nImportError: cannot import name b{n}\n" for n in range(20000)),
        "tfguard report 1\nfinding: TFG201 a (error): b\n" * (MEGABYTE // 46),
        '{"a":' * (MEGABYTE // 5),
        "2024-05-01 10:00:00,123 - worker - ERROR - " * (MEGABYTE // 43),
        " ".join(MARKS) * (MEGABYTE // 9000),
    ],
    ids=[
        *("latin", "utf8", "letters", "lines", "escapes", "titles", "slashes", "longer-in-lower-case", "log", "frames"),
        *("symbols", "references", "backtrace", "imports", "reports", "braces", "prefixes", "marks"),
    ],
)
def test_a_megabyte(text: str) -> None:
    answered(text)


@pytest.mark.parametrize("fill", FILLS)
def test_bombs(fill: str) -> None:
    """A mark with a long line of what patterns repeat, behind and before it."""
    for mark in MARKS[FILLS.index(fill) :: len(FILLS)]:
        line = f"{mark} {fill * (5000 // len(fill))} {mark}"
        answered(line)


@pytest.mark.parametrize("shape", SHAPES[::8], ids=[f"{n * 8}-{one.kind}" for n, one in enumerate(SHAPES[::8])])
def test_near_matches(shape: Shape) -> None:
    """Texts that a pattern matches, but for what they end in, on one long line and on many: of each eighth shape."""
    for text in near_matches(shape, 1 << 17):
        answered(text)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=[f"{number}-{one.kind}" for number, one in enumerate(SHAPES)])
def test_a_megabyte_of_near_matches(shape: Shape) -> None:
    for text in near_matches(shape, MEGABYTE):
        answered(text)


def near_matches(shape: Shape, size: int) -> list[str]:
    """Texts of this size made from the shape's own pattern: whole, with the last quarter of each cut off, repeated."""
    chance = random.Random(shape.pattern.pattern)
    made = [example(parsed(shape), chance).replace("\n", " ") for _ in range(20)]
    cut = [f"{one[: len(one) * 3 // 4]} {chance.choice(shape.marks)} {n}" for n, one in enumerate(made)]
    return [joint.join(cut * (size // max(1, sum(map(len, cut)) + len(cut)) + 1))[:size] for joint in (" ", "\n", "")]


def test_the_error_at_the_end_of_a_long_log_is_found() -> None:
    """What ended the process stands last; a log of half-messages before it does not use the budget up."""
    noise = "".join(
        f"E tensorflow/x.cc:{n}] cannot import name and undefined symbol and not found {n}\n" for n in range(9000)
    )

    report = answered(noise + "ImportError: libGL.so.1: cannot open shared object file: No such file or directory\n")

    assert "TFG201" in [one.code for one in report.findings]


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        diagnose(3)  # type: ignore[arg-type]


class _Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def test_an_exception_without_a_text() -> None:
    """TensorFlow's NotFoundError has failed in str() before."""
    assert diagnose(_Broken(), look=False).findings
