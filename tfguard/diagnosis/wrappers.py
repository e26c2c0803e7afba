"""Sentences with which wrappers guess at a cause, and guess wrong: they are seen through, and said to be guesses."""

from __future__ import annotations

from typing import NamedTuple


class Wrapper(NamedTuple):
    """Marks (lower case) that show it, who says it, and what it is worth."""

    marks: tuple[str, ...]
    who: str
    verdict: str


WRAPPERS: tuple[Wrapper, ...] = (
    Wrapper(
        ("tensorflow and tensorflow decision forests are not compatible",),
        "tensorflow_decision_forests",
        "blames versions whatever fails: processor, macOS and missing files too",
    ),
    Wrapper(
        ("unable to open file: libtensorflow_io", "unable to open file:"),
        "tensorflow-io",
        "says 'unable to open file' for every error; the reason stands behind 'caused by'",
    ),
    Wrapper(
        ("xgboost library (libxgboost", "openmp runtime is not installed"),
        "xgboost",
        "lists causes by rote ('OpenMP runtime is not installed'); the last line is the reason",
    ),
    Wrapper(
        ("lightgbm library", "library lib_lightgbm"),
        "lightgbm",
        "lists causes by rote; the loader's line is the reason",
    ),
    Wrapper(
        (
            "you should not try to import numpy from its source directory",
            "importing the numpy c-extensions failed",
            "please read this for advice on how to solve this issue",
            "importing the multiarray numpy extension",
        ),
        "numpy",
        "speaks of its source directory and of versions by rote; 'Original error was' is the reason",
    ),
    Wrapper(
        ("you should not try to import tensorflow from its source directory",),
        "tensorflow",
        "speaks of its source directory whatever fails; the error above it is the reason",
    ),
    Wrapper(
        ("failed to load the native tensorflow runtime", "for some common reasons and solutions"),
        "tensorflow",
        "ends every trace with 'Failed to load the native TensorFlow runtime'; the first error above it is the reason",
    ),
    Wrapper(
        ("was not built with gloo", "has not been built", "was not built with mpi"),
        "horovod",
        "says 'not built' whenever its library does not load",
    ),
    Wrapper(
        ("please make sure libcudnn", "is in your library path!"),
        "cuDNN",
        "blames its own library when another one (often libcuda.so.1) is missing",
    ),
    Wrapper(
        ("unable to load library: libnvinfer",),
        "TensorRT",
        "hides the loader's reason: since glibc 2.41 mostly that this file asks for an executable stack",
    ),
    Wrapper(
        ("it seems that scikit-learn has not been built correctly", "scikit-learn cannot be imported"),
        "scikit-learn",
        "speaks of its build by rote",
    ),
    Wrapper(
        ("failed to import transformers", "look up to see its traceback"),
        "transformers",
        "passes on whatever importing TensorFlow raised",
    ),
    Wrapper(
        ("unable to import required dependencies",),
        "pandas",
        "names the dependency that failed, not why",
    ),
    Wrapper(
        ("unable to import module",),
        "AWS Lambda",
        "names the handler; the loader's line behind it is the reason",
    ),
)


def wrappers_in(text: str) -> tuple[Wrapper, ...]:
    """Those that speak in a text, which is in lower case."""
    return tuple(one for one in WRAPPERS if any(mark in text for mark in one.marks))
