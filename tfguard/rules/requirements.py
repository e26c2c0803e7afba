"""Rules about what distributions require of each other: absent, of another NumPy, another protobuf, out of bounds."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.pip import pip
from tfguard.rules.rule import Verdict, rule

if TYPE_CHECKING:
    from tfguard.installed.requirements import Unmet

_SHOWN = 8


@rule("TFG420", "A package that the import needs is not installed")
def requirement_missing(case: Case) -> Verdict | None:
    """A distribution requires another one, which is not there.

    pip installs requirements unless it is told not to (`--no-deps`); they go missing when somebody removes one, or
    when only some folders are copied. It is an error where the import of that release was seen to die without it:
    `ModuleNotFoundError: No module named ...`; many imports do without some of what they require.
    """
    return _verdict(case, [one for one in _unmet(case) if one.have is None], "is not installed")


@rule("TFG410", "NumPy is of another ABI than what was built for it")
def numpy_abi(case: Case) -> Verdict | None:
    """A module was compiled for one NumPy and meets another one.

    What is compiled for NumPy 1 cannot be loaded by NumPy 2: `numpy.core.umath failed to import`, `_ARRAY_API not
    found`, or `A module that was compiled using NumPy 1.x cannot be run in NumPy 2`. TensorFlow is built for NumPy 2
    from 2.18 on. The other way about, a newer TensorFlow uses parts of NumPy that an old one does not have yet:
    `module 'numpy' has no attribute 'exceptions'`. The versions for which this is an error were tried.
    """
    return _verdict(case, [one for one in _unmet(case) if one.name == "numpy" and one.have], "does not go with")


@rule("TFG411", "Protobuf is of another version than the code made for it")
def protobuf_mismatch(case: Case) -> Verdict | None:
    """Code that protobuf's compiler wrote is older or newer than what protobuf's runtime takes.

    The files `*_pb2.py` of a package are generated for one version of protobuf: an older runtime lacks what they
    import (`cannot import name 'runtime_version'`, `cannot import name 'builder'`) or refuses them (`Detected
    mismatched Protobuf Gencode/Runtime major versions`). The bounds that a package declares are narrower than that:
    it is an error only where the import was seen to die.
    """
    return _verdict(case, [one for one in _unmet(case) if one.name == "protobuf" and one.have], "does not go with")


@rule("TFG412", "Keras is of another version than TensorFlow asks for")
def keras_mismatch(case: Case) -> Verdict | None:
    """TensorFlow and Keras come as two distributions that have to fit each other.

    TensorFlow loads Keras only when it is first used: `import tensorflow` succeeds, and `tf.keras` fails later, with
    `cannot import name ...` or an attribute that is missing. Up to 2.15 TensorFlow asks for the Keras of its own
    release, from 2.16 on for Keras 3.
    """
    names = ("keras", "tf-keras", "keras-nightly")
    return _verdict(case, [one for one in _unmet(case) if one.name in names and one.have], "does not go with")


@rule("TFG413", "The h5py installed is of another version than TensorFlow asks for")
def h5py_mismatch(case: Case) -> Verdict | None:
    """TensorFlow and Keras save models through h5py, which brings its own HDF5.

    Where it cannot be loaded the import goes on without it, and saving models fails later. A second HDF5 (conda's
    beside pip's h5py) gives `HDF5 library version mismatched error`.
    """
    return _verdict(case, [one for one in _unmet(case) if one.name == "h5py" and one.have], "does not go with")


@rule("TFG414", "A requirement does not hold")
def requirement_broken(case: Case) -> Verdict | None:
    """A distribution asks for another version of something than the one that is installed.

    The bounds that a package declares are what its makers tried, or expected: many combinations outside of them work,
    so this is a warning, and an error only where the import was seen to die of it.
    """
    special = ("numpy", "protobuf", "keras", "tf-keras", "keras-nightly", "h5py")
    return _verdict(case, [one for one in _unmet(case) if one.have and one.name not in special], "does not go with")


@rule("TFG416", "An add-on was built for another TensorFlow")
def addon_of_another_tensorflow(case: Case) -> Verdict | None:
    """A package with ops of its own says that it is for another release of TensorFlow.

    Ops are linked to TensorFlow's own symbols, which change from one release to the next. Of the add-ons that were
    tried with another release most failed when they were imported, with `undefined symbol` or a module that Keras no
    longer has, and tensorflow-io when its first op was used. `import tensorflow` itself does not load them.
    """
    installed = case.installed
    if installed is None or not installed.addons:
        return None
    first = installed.addons[0]
    rows = [(str(one.requirer), f"is for {one.requirement}") for one in installed.addons[:_SHOWN]]
    have = first.have
    assert have is not None
    minor = ".".join(have.version.split(".")[:2])
    name = first.requirer.name
    remedies = [Remedy(f"Remove {name} if it is not used.", f"{pip(case)} uninstall -y {name}")]
    if first.wanted:
        remedies.insert(0, Remedy("Install the TensorFlow that it is for.", f"{pip(case)} install {first.wanted}"))
    if name == "tensorflow-text":  # numbered as TensorFlow is
        wanted = f"{name}=={minor}.*"
        command = f"{pip(case)} install --no-deps {shlex.quote(wanted)}"
        remedies.insert(0, Remedy(f"Install its release for TensorFlow {minor}.", command))
    return Verdict(
        message=f"{first.requirer} is for {first.requirement}, {have} is installed",
        path=first.requirer.metadata,
        evidence=(*rows, ("installed", str(have))),
        remedies=tuple(remedies),
        severity="warning",
    )


def _unmet(case: Case) -> tuple[Unmet, ...]:
    return case.installed.unmet if case.installed is not None else ()


def _verdict(case: Case, unmet: list[Unmet], verb: str) -> Verdict | None:
    if not unmet:
        return None
    ordered = sorted(unmet, key=lambda one: one.says is None)
    first = ordered[0]
    rows = [(str(one.requirer), f"{_needs(one)}, {_have(one)} is installed") for one in ordered[:_SHOWN]]
    if first.says is not None:
        rows.append(("the import says", first.says))
    wanted = " ".join(dict.fromkeys(shlex.quote(one.wanted) for one in ordered))
    have = str(first.have) if first.have is not None else first.name
    message = f"{have} {verb} {first.requirer}" if first.have else f"{have} {verb}, {first.requirer} requires it"
    return Verdict(
        message=f"{message}, which {_needs(first)}" if first.have else message,
        path=first.have.metadata if first.have is not None else first.requirer.metadata,
        evidence=tuple(rows),
        remedies=(Remedy("Install what is required.", f"{pip(case)} install {wanted}"),),
        severity="error" if first.says is not None else "warning",
    )


def _needs(unmet: Unmet) -> str:
    return f"requires {unmet.requirement}" if unmet.declared else f"was built for {unmet.requirement}"


def _have(unmet: Unmet) -> str:
    return unmet.have.version if unmet.have is not None else "nothing"


RULES = (
    requirement_missing,
    numpy_abi,
    protobuf_mismatch,
    keras_mismatch,
    h5py_mismatch,
    requirement_broken,
    addon_of_another_tensorflow,
)
