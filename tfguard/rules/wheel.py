"""What is said of a wheel that is not installed yet, and that pip would refuse there."""

from __future__ import annotations

import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.rules.rule import Verdict


def wheel_that_pip_refuses(case: Case) -> Verdict | None:
    """The tags in the name of a wheel against the host.

    `failure.detail` says what for it is, and what this is, `failure.provider` what pip can get there in its place.
    """
    failure = case.failure
    if failure is None:
        return None
    name = failure.name.partition("-")[0].replace("_", "-")
    tags = "-".join(failure.name.removesuffix(".whl").split("-")[-3:])
    return Verdict(
        message=f"{failure.name} is {failure.detail}",
        evidence=(
            ("tags", tags),
            ("pip says", f"{failure.name} is not a supported wheel on this platform."),
        ),
        remedies=(
            Remedy(
                "Install it by name there: pip takes the wheel that fits, where there is one.",
                f"python3 -m pip install {shlex.quote(failure.provider or name)}",
            ),
        ),
    )
