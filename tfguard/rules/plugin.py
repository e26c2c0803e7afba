"""The rule about plugins: libraries that TensorFlow opens at the end of every import, whoever left them there."""

from __future__ import annotations

import os
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.loader.trace import Failure
from tfguard.rules.macos_needed import missing_symbol
from tfguard.rules.macos_words import PYTHON, says, system_of
from tfguard.rules.pip import pip
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import base, elsewhere_rows, loader_row

_FOLDER = "tensorflow-plugins"
_METAL = "tensorflow-metal"
# The releases of TensorFlow that the last tensorflow-metal, 1.2.0, finds its symbols in.
_WITH_METAL = tuple(f"2.{minor}." for minor in range(13, 20))


@rule("TFG415", "A plugin that every import of TensorFlow loads does not go with it")
def plugin_of_another_tensorflow(case: Case) -> Verdict | None:
    """A library in the folder `tensorflow-plugins` beside TensorFlow cannot be loaded, and the import dies of it.

    TensorFlow opens every library in that folder at the end of each import, also when it was left there by a plugin
    that is not used any more, or was made for another release (tensorflow-metal, tensorflow-directml-plugin,
    intel-extension-for-tensorflow). Installing TensorFlow again does not touch it.

    A plugin takes symbols and library names of the TensorFlow that it was built with. Of tensorflow-metal for macOS
    1.0 fits TensorFlow 2.13, 1.1 up to 2.17, 1.2 up to 2.19, and none 2.20 and later: that is what the symbols of the
    published wheels say.
    """
    failure = case.failure
    if failure is None or os.path.basename(os.path.dirname(case.target)) != _FOLDER:
        return None
    if case.host.mac is not None:
        return _on_mac(case, failure)
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


def _on_mac(case: Case, failure: Failure) -> Verdict | None:
    """What it lacks of this TensorFlow; one for another processor, or cut short, is told as any file is."""
    if failure.kind not in ("dylib-missing", "macho-symbol"):
        return None
    have = f"TensorFlow {case.framework}" if case.framework else "the installed TensorFlow"
    origin = case.origin
    plugin = f"{origin.distribution} {origin.version}" if origin is not None else os.path.basename(case.target)
    lacks = base(failure.name) if failure.kind == "dylib-missing" else missing_symbol(failure)
    distribution = origin.distribution if origin is not None else _METAL
    away = f"{PYTHON} -m pip uninstall -y {distribution}"
    remedies = [Remedy("Take the plugin away: TensorFlow then runs on the processor.", away)]
    if distribution == _METAL and (case.framework or "").startswith(_WITH_METAL):
        fitting = Remedy("Install its release for this TensorFlow.", f'{PYTHON} -m pip install "{_METAL}==1.2.0"')
        remedies.insert(0, fitting)
    elif distribution == _METAL:
        command = f'{PYTHON} -m pip install "tensorflow==2.19.*" "{_METAL}==1.2.0"'
        remedies.append(Remedy("Install releases that fit each other.", command))
    return Verdict(
        message=f"{plugin} does not fit {have}: {lacks} is missing",
        path=case.target,
        evidence=(
            ("plugin", case.target),
            ("missing", lacks),
            *((("wanted of", failure.unmet[0].library or "any library"),) if failure.unmet else ()),
            ("this is", system_of(case)),
            *says(case),
        ),
        remedies=tuple(remedies),
    )


RULES = (plugin_of_another_tensorflow,)
