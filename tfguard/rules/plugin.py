"""The rule about plugins: libraries that TensorFlow opens at the end of every import, whoever left them there."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.pip import pip
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, elsewhere_rows, loader_row

_FOLDER = "tensorflow-plugins"


@rule("TFG415", "A plugin that every import of TensorFlow loads does not go with it")
def plugin_of_another_tensorflow(case: Case) -> Verdict | None:
    """A library in the folder `tensorflow-plugins` beside TensorFlow cannot be loaded, and the import dies of it.

    TensorFlow opens every library in that folder at the end of each import, also when it was left there by a plugin
    that is not used any more, or was made for another release (tensorflow-metal, tensorflow-directml-plugin,
    intel-extension-for-tensorflow). Installing TensorFlow again does not touch it.
    """
    failure = case.failure
    if failure is None or os.path.basename(os.path.dirname(case.target)) != _FOLDER:
        return None
    says = (failure.message or "").removeprefix(f"{failure.path}: ") or failure.detail or "the process is killed"
    rows = [("plugin", os.path.normpath(case.target))]
    if case.origin is not None:
        rows.append(("brought by", f"{case.origin.distribution} {case.origin.version}"))
    if case.distribution is not None:
        rows.append(("TensorFlow", f"{case.distribution} {case.version}"))
    if case.origin is not None:
        command = f"{pip(case)} uninstall -y {case.origin.distribution}"
        remedy = Remedy(f"Remove {case.origin.distribution}, or install its release for this TensorFlow.", command)
    else:
        target = os.path.normpath(case.target)
        aside = os.path.join(os.path.dirname(os.path.dirname(target)), base(target))
        remedy = Remedy(
            "Move it out of that folder: no installed distribution has brought it.",
            f"mv {shlex.quote(target)} {shlex.quote(aside)}.unused",
        )
    return Verdict(
        message=f"{base(case.target)} in {_FOLDER}, which every import of tensorflow loads, will not load: {says}",
        path=case.target,
        evidence=(*rows, *elsewhere_rows(case, "hidden"), *loader_row(case)),
        remedies=(remedy,),
    )


RULES = (plugin_of_another_tensorflow,)
