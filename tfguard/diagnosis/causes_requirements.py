"""Causes behind packages of releases that do not fit: NumPy, protobuf, Keras, h5py, requirements."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, package_of
from tfguard.diagnosis.causes_mixed import inside, mixed
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

CHECK = "python -m pip check"


def numpy_abi(said: Said, setting: Setting) -> list[Cause]:
    """A module compiled for another NumPy."""
    have, need = said.have, said.need
    hexes = have.startswith("0x")
    versions = (
        f" (built for interface {need}, installed has {have})"
        if hexes
        else f" (built for NumPy {need}, installed is {have})"
        if have and need
        else ""
    )
    if hexes:
        direction = (
            Remedy("Install a newer NumPy, within what TensorFlow asks for.", "python -m pip install --upgrade numpy")
            if _number(need) > _number(have)
            else Remedy("Install an older NumPy.", "python -m pip install 'numpy<2'")
        )
    else:
        direction = Remedy("Install the NumPy that the module was built for.", "python -m pip install 'numpy<2'")
    return [
        Cause(
            code="TFG410",
            message=f"a compiled module was built for another NumPy than the installed one{versions}",
            why="the message is NumPy's own check of its binary interface"
            if said.weight == 0
            else "this is what the importing module makes of NumPy's refusal",
            decides=(
                "the versions, and whether there are two copies",
                'python -c "import numpy; print(numpy.__version__, numpy.__file__)"; python -m pip check',
            ),
            remedies=(
                direction,
                Remedy(
                    "Install releases of TensorFlow and of that module built for the installed NumPy.",
                    "python -m pip install --upgrade tensorflow",
                ),
            ),
        )
    ]


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def protobuf(said: Said, setting: Setting) -> list[Cause]:
    """Generated code and runtime are of different releases."""
    older = said.symbol in ("builder", "runtime_version") or "gencode" in said.line.lower()
    why = (
        "the generated code (_pb2.py) is newer than the installed protobuf"
        if older
        else "the installed protobuf is newer than the generated code that TensorFlow or another package brings"
    )
    fix = (
        Remedy(
            "Install a protobuf as new as the generated code, within what TensorFlow asks for.",
            "python -m pip install --upgrade protobuf",
        )
        if older
        else Remedy("Install the protobuf that this TensorFlow asks for.", "python -m pip install 'protobuf<=3.20.3'")
    )
    return [
        Cause(
            code="TFG411",
            message="the installed protobuf does not fit the code that was generated for another release of it",
            why=why,
            decides=(
                "what is asked for and what is there",
                f"{CHECK}; python -m pip show protobuf tensorflow | grep -E 'Name|Version|Location'",
            ),
            remedies=(
                fix,
                Remedy("Look for a second copy of protobuf in the user's site-packages.", "python -m pip list --user"),
            ),
            vain="PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python: it only makes parsing slow",
        )
    ]


def keras(said: Said, setting: Setting) -> list[Cause]:
    """Keras and TensorFlow of different minor releases."""
    if inside(said):
        return mixed(said, setting)
    return [
        Cause(
            code="TFG412",
            message="the installed Keras belongs to another release of TensorFlow",
            why="Keras takes names from TensorFlow (or TensorFlow from Keras) that are there only in the release it"
            " was made for",
            decides=("the versions", f"python -m pip list | grep -iE 'keras|tensorflow'; {CHECK}"),
            remedies=(
                Remedy(
                    "Install the Keras of TensorFlow's own minor release (2.N for 2.N up to 2.15).",
                    "python -m pip install --force-reinstall tensorflow",
                ),
                Remedy(
                    "Uninstall keras and keras-nightly both, then install one: they share a folder.",
                    "python -m pip uninstall keras keras-nightly",
                ),
            ),
        )
    ]


# Names that Keras alone takes from inside of TensorFlow; whoever lacks them has a Keras of another release.
_TAKEN_BY_KERAS = frozenset(
    "get_config register_clear_session_function register_load_context_function dtensor keras_export tf2"
    " __internal__".split()
)


# Parts of TensorFlow without a promise that Keras 2 uses all the same, and hardly anybody else does.
_WHERE_KERAS_TAKES = re.compile(
    r"\.__internal__|^tensorflow\.python\.(?:distribute|trackable|checkpoint|eager|training\.tracking"
    r"|saved_model|util\.tf_export|keras)\b|^tensorflow\.compat\.v2"
)


def asks_as_keras(said: Said) -> bool:
    """Whether it is Keras that misses a name of TensorFlow's: by its frame, or by the name."""
    asker = package_of(said.frame)
    if asker:
        return asker.startswith(("keras", "tf_keras"))
    private = said.symbol.startswith("_") and said.object.startswith("tensorflow.python.")
    return private or said.symbol in _TAKEN_BY_KERAS or bool(_WHERE_KERAS_TAKES.search(said.object))


# Whose code reads a model's file and decodes what it finds; "" where no frame tells.
_READS_MODELS = ("", "keras", "tf_keras", "tensorflow", "tensorflow_core", "h5py")


def hdf5(said: Said, setting: Setting) -> list[Cause]:
    """h5py and the HDF5 library it gets, or the Keras that reads with it."""
    if said.symbol == "decode":
        if package_of(said.frame) not in _READS_MODELS:
            return []
        return [
            Cause(
                code="TFG413",
                message="h5py 3 gives text where this release of Keras expects bytes: it is for h5py 2",
                why="Keras up to 2.3, and TensorFlow's own up to 2.4, decode what they read of a model's file",
                decides=("both versions", "python -m pip list | grep -iE 'h5py|keras|tensorflow'"),
                remedies=(
                    Remedy("Install the h5py that this Keras reads with.", "python -m pip install 'h5py<3'"),
                    Remedy("Use a TensorFlow of 2.5 or later, and its own Keras."),
                ),
            )
        ]
    have = f" (runs with {said.have}, built with {said.need})" if said.have else ""
    return [
        Cause(
            code="TFG413",
            message=f"h5py does not fit the HDF5 library that it gets{have}",
            why="h5py of pip brings its own HDF5; conda's, or the system's, is another one, and its parts must be of"
            " one release",
            decides=("both versions", 'python -c "import h5py; print(h5py.version.info)"'),
            remedies=(
                Remedy(
                    "Take h5py from one source only: pip's wheel.",
                    "python -m pip install --force-reinstall --no-cache-dir h5py",
                ),
                Remedy("In conda: hdf5 and h5py both from it.", "conda install -c conda-forge h5py hdf5"),
            ),
            vain="HDF5_DISABLE_VERSION_CHECK: the data may be damaged",
        )
    ]


def requirement(said: Said, setting: Setting) -> list[Cause]:
    """pip's list of what does not fit, after an install."""
    import itertools

    owners = set(setting.requirers)
    have = re.split(r"[ =<>]", said.have.lower())[0]
    by_name = {"protobuf": protobuf, "numpy": numpy_abi, "keras": keras, "h5py": hdf5}
    if len(owners) > 1 and not owners <= {"tensorflow", "tensorflow-intel", "tensorflow-cpu-aws", "tensorflow-macos"}:
        names = ", ".join(sorted(owners))
        return [
            Cause(
                code="TFG403",
                message=f"several TensorFlow distributions are installed over one another: {names}",
                why="they own the same folder, and ask for different versions of the same packages",
                decides=("the distributions", "python -m pip list | grep -iE 'tensorflow|tf.nightly'"),
                remedies=(
                    Remedy(
                        "Uninstall all of them, then install one.",
                        f"python -m pip uninstall {' '.join(sorted(owners))} && python -m pip install tensorflow",
                    ),
                ),
            )
        ]
    if have in by_name:
        return by_name[have](said, setting)
    rows = tuple(
        itertools.islice((("asked for", f"{said.object} {said.version}: {said.need}"), ("installed", said.have)), 2)
    )
    return [
        Cause(
            code="TFG414",
            message=f"{said.object} asks for {said.need}, installed is {said.have}",
            why="pip says so after it has installed; it may or may not matter for the import",
            rows=rows,
            decides=("all that does not fit", CHECK),
            remedies=(Remedy("Install what is asked for.", f"python -m pip install '{said.need}'"),),
            severity="warning",
        )
    ]
