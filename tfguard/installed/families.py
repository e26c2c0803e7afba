"""Distributions that bring the same package: of these only one may be installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

# (package, its distributions as pip calls them, the usual one first)
_FAMILIES = (
    (
        "tensorflow",
        (
            "tensorflow", "tensorflow-cpu", "tf-nightly", "tensorflow-gpu", "tensorflow-rocm", "tensorflow-intel",
            "tensorflow-macos", "tf-nightly-cpu", "tf-nightly-gpu", "tf-nightly-intel", "tf-nightly-macos",
            "intel-tensorflow", "intel-tensorflow-avx512", "tensorflow-cpu-aws", "tensorflow-aarch64",
            "nvidia-tensorflow", "tensorflow-directml",
        ),
    ),
    ("keras", ("keras", "keras-nightly")),
    ("h5py", ("h5py",)),
    ("numpy", ("numpy",)),
)  # fmt: skip

# Distributions whose module has another name than they have.
MODULES = {"absl-py": "absl", "protobuf": "google.protobuf", "google-pasta": "pasta", "grpcio": "grpc"}
# Modules that `import tensorflow` takes from other distributions.
WANTED_BY_TENSORFLOW = frozenset(
    """absl astunparse flatbuffers gast google grpc h5py keras ml_dtypes namex numpy opt_einsum optree packaging pasta
    requests rich six tensorflow termcolor typing_extensions wrapt""".split()
)
# Packages with native ops, each built for one release of TensorFlow. tensorflow-io-gcs-filesystem is none of them:
# TensorFlow itself requires it, of any release, and does without where it does not load.
ADD_ONS = (
    "tensorflow-text", "tensorflow-io", "tensorflow-addons", "tensorflow-quantum",
    "tensorflow-decision-forests", "tensorflow-compression", "tensorflow-recommenders-addons", "struct2tensor",
    "deepmd-kit", "horovod", "tensorflow-metal", "tensorflow-directml-plugin",
)  # fmt: skip
# (distribution, folder, how its first native module is called): enough to see which Python it was built for.
_FIRST_MODULES = (
    ("numpy", "numpy/_core", "_multiarray_umath."),
    ("numpy", "numpy/core", "_multiarray_umath."),
    ("ml-dtypes", "ml_dtypes", "_ml_dtypes_ext."),
)
_OF_TENSORFLOW = ("tensorflow/python/platform", "_pywrap_cpu_feature_guard.")


def module_of(distribution: str, site: str, listing: Callable[[str], Iterable[str]]) -> str | None:
    """The path of a distribution's first native module, None where it is not known or not there."""
    known = [(folder, stem) for name, folder, stem in _FIRST_MODULES if name == distribution]
    for folder, stem in (_OF_TENSORFLOW,) if distribution in family_of("tensorflow") else known:
        for name in listing(os.path.join(site, folder)):
            if name.startswith(stem) and not name.endswith((".py", ".pyi")):
                return os.path.join(site, folder, name)
    return None


def family_of(package: str) -> tuple[str, ...]:
    """The distributions that bring a package, in canonical spelling; the name itself where none are known."""
    return next((names for name, names in _FAMILIES if name == package), (package.replace("_", "-").lower(),))


def is_known(package: str) -> bool:
    """Whether it is known which distribution brings a package: pip can be told its name."""
    return any(name == package for name, _ in _FAMILIES)
