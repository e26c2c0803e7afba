"""Causes behind an error whose words say nothing: by the package that it came out of, or that a stack is in."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, package_of
from tfguard.diagnosis.causes_deaths import conflict, crash
from tfguard.diagnosis.causes_mixed import mixed
from tfguard.diagnosis.causes_requirements import CHECK, hdf5, keras, numpy_abi, protobuf
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

_TENSORFLOWS = ("tensorflow", "tensorflow_core")
_KERAS = ("keras", "tf_keras", "keras_core", "keras_preprocessing", "keras_applications")
# TensorFlow's parts that hand over to the package keras; tensorflow/python/keras asks only TensorFlow itself.
_LAZY_KERAS = re.compile(r"keras(?<!/python/keras)(?!.*/python/keras/)")
# What packages of two releases say of each other; a ValueError or RuntimeError tells of the values as well.
_OF_RELEASES = ("type", "attribute", "import", "modulenotfound", "name", "key", "system", "syntax")


def python_error(said: Said, setting: Setting) -> list[Cause]:
    """An exception on an import, of no known words: the package it came out of does not fit those it uses."""
    kind = said.errno.lower().removesuffix("error")
    package = package_of(said.frame)
    if kind not in _OF_RELEASES:
        return []
    if len(setting.distributions) > 1:
        return mixed(said, setting)
    if not package:
        return _of_releases(said, setting)
    if said.frame.endswith("_pb2.py") or (package == "google" and "protobuf" in said.frame):
        return protobuf(said, setting)
    if not said.importing and not (package in _TENSORFLOWS and said.frame.endswith("__init__.py")):
        return []
    if package in _KERAS:
        return keras(said, setting)
    if package in _TENSORFLOWS:
        if _LAZY_KERAS.search(said.frame.replace("\\", "/")) and "tensorflow" not in said.detail:
            return keras(said, setting)
        own = "tensorflow" in said.detail or "cannot import name" in said.detail.lower()
        return mixed(said, setting) if kind != "import" or own else []
    if package in ("numpy", "h5py"):
        return numpy_abi(said, setting) if package == "numpy" else hdf5(said, setting)
    if re.match(r"tensorflow_|tf_|horovod|deepmd", package):
        return [_of_another(said, package)]
    return []


_CALLS = re.compile(
    r"unexpected keyword argument|takes (?:from )?\d+ positional|missing \d+ required positional|has no attribute"
    r"|cannot import name",
    re.IGNORECASE,
)


# Packages made for certain releases of TensorFlow, as people name them.
_MADE_FOR = re.compile(
    r"\b(?:importing|import|using|use|installing|installed) (tfp|tfa|tfx|tf2onnx|tensorflow[_ -](?:probability|addons"
    r"|text|hub|datasets|io|federated|agents|model[_-]optimization|recommenders|decision[_-]forests)|horovod|deepmd)\b"
)


def _of_releases(said: Said, setting: Setting) -> list[Cause]:
    """No frame tells whose file it was; the words tell that one package does not know what another one asks."""
    if not _CALLS.search(said.detail):
        return []
    if (package := _MADE_FOR.search(setting.whole)) is not None:
        return [_of_another(said, package[1])]
    return [
        Cause(
            code="TFG414",
            message=f"one package asks another for what its installed release does not have: {said.detail[:120]}",
            why="such words come where packages of different times meet; the frames above would tell which two",
            decides=("what does not fit", CHECK),
            remedies=(
                Remedy("Give the whole traceback.", "python your_script.py 2>&1 | python -m tfguard diagnose -"),
            ),
            severity="warning",
        )
    ]


def _of_another(said: Said, package: str) -> Cause:
    return Cause(
        code="TFG416",
        message=f"{package} was made for another TensorFlow: its import ends in {said.errno}: {said.detail[:80]}",
        why=f"the exception came out of {said.frame}, while the package was imported"
        if said.frame
        else "the text names the package that is imported",
        decides=("the versions", f"python -m pip list | grep -iE 'tensorflow|{package}'; {CHECK}"),
        remedies=(
            Remedy("Install the release of that package made for this TensorFlow, or the TensorFlow it asks for."),
        ),
    )


def backtrace(said: Said, setting: Setting) -> list[Cause]:
    """A native stack: two packages with their own copies of libraries in one stack, or one that died in itself."""
    libraries = setting.natives
    if not libraries:
        return []
    packages = tuple(dict.fromkeys(filter(None, map(_owner, libraries))))
    inner = libraries[0].rpartition("/")[2]
    if len(packages) > 1:
        return [
            conflict(f"the stack goes from {packages[0]} into {packages[1]}: a call was bound to the other's copy"),
            crash(said, setting, f"the process died in {inner}"),
        ]
    return [crash(said, setting, f"the process died in {inner}"), conflict("a second package may be in the process")]


def _owner(library: str) -> str:
    """torch or tensorflow, as the names of their libraries tell; else the package it lies in."""
    base = library.rpartition("/")[2]
    if re.match(r"lib(torch|c10|caffe2|TH|shm|ATen)", base):
        return "torch"
    if re.match(r"libtensorflow|_pywrap_t", base):
        return "tensorflow"
    package = package_of(library) if "-packages/" in library else ""
    return "" if package in ("numpy", "nvidia") else package
