"""Causes behind a package whose own files do not know each other: two releases of it lie in one folder."""

from __future__ import annotations

from tfguard.diagnosis.cause import Cause, package_of
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

_TENSORFLOWS = ("tensorflow", "tensorflow_core")


def inside(said: Said) -> bool:
    """Whether a file of TensorFlow asks another part of TensorFlow itself."""
    if said.object.rpartition(".")[2].startswith("_pywrap_"):
        return True  # nothing else asks its compiled part for a name
    return package_of(said.frame) in _TENSORFLOWS and said.object.partition(".")[0] in _TENSORFLOWS


def mixed(said: Said, setting: Setting) -> list[Cause]:
    """Files of one package do not know each other: they are of two releases."""
    several = over_one_another(setting)
    asked = f"{said.symbol or 'a name'} of {said.object}" if said.object else "what is not there"
    leftover = Cause(
        code="TFG404",
        message=f"the folder of TensorFlow holds files of two releases: one asks for {asked}, which the other does not"
        " have",
        why=f"{said.frame} and what it asks belong to one package, in which they always fit",
        decides=("files that do not belong to the release", "python -m tfguard"),
        remedies=(
            Remedy(
                "Uninstall, delete what is left of the folder, install again.",
                "python -m pip uninstall tensorflow && python -m pip install --no-cache-dir tensorflow",
            ),
        ),
        vain="another Keras",
    )
    told = len(setting.distributions) > 1 or setting.mentions("tensorflow-gpu", "tf-nightly", "tf_nightly")
    return [several, leftover] if told else [leftover, several]


def over_one_another(setting: Setting) -> Cause:
    """Several distributions own the folder tensorflow/."""
    names = setting.distributions
    listed = f": {', '.join(names)}" if len(names) > 1 else ""
    return Cause(
        code="TFG403",
        message=f"several TensorFlow distributions have been installed over one another{listed}",
        why="tensorflow, tensorflow-gpu and tf-nightly own the same folder, and overwrite each other's files",
        decides=("the distributions", "python -m pip list | grep -iE 'tensorflow|tf.nightly'"),
        remedies=(
            Remedy(
                "Uninstall all of them, then install one.",
                f"python -m pip uninstall {' '.join(names) or 'tensorflow tensorflow-gpu tf-nightly'}; python -m pip"
                " install tensorflow",
            ),
        ),
    )
