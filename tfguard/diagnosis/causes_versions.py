"""Causes behind a version that the library found does not define."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, quoted
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy

# As the loader writes it, and as people do: `glibc 2.17`, `GLIBC >= 2.28`.
_KNOWN = re.compile(r"(?i)(?P<family>GLIBC|GLIBCXX|CXXABI)[ _-](?:>= ?|version )?(?P<number>\w[\w.]*)")


def version(said: Said, setting: Setting) -> list[Cause]:
    """A version that the library found does not define."""
    # retyped texts are in lower case, the versions themselves never
    known = _KNOWN.fullmatch(said.version)
    wanted = f"{known['family'].upper()}_{known['number'].upper()}" if known is not None else said.version
    provider = said.object
    by = f"; {os.path.basename(said.requirer)} needs it" if said.requirer else ""
    rows = tuple(
        (label, fact) for label, fact in (("needed by", said.requirer), ("found", provider), ("need", wanted)) if fact
    )
    ours = re.search(r"conda|/opt/|miniforge|/usr/local|/home/|/local/", provider) is not None
    older = Cause(
        code="TFG304",
        message=f"an older {os.path.basename(provider) or 'copy'} may be found before a newer one",
        why="the first copy that the search finds is the only one" + (f": {provider}" if provider else ""),
        decides=(
            "which copies there are and what they define",
            f"strings -a {quoted(provider or 'LIBRARY')} | grep -E '^{wanted.rpartition('_')[0] or 'VERSION'}_'",
        ),
        rows=rows,
    )
    if wanted.startswith("GLIBC_"):
        return [
            Cause(
                code="TFG301",
                message=f"the system's glibc is older than {wanted}{by}",
                why="the C library that is found does not define that version"
                + (
                    "; it is a private copy, not the system's"
                    if provider[:4] != "/lib" and provider[:8] != "/usr/lib" and ours
                    else ""
                ),
                rows=rows,
                decides=("the glibc here", "ldd --version"),
                remedies=(
                    Remedy("Use a newer system, or a container with one.", "docker run -it python:3.11-slim-bookworm"),
                    Remedy(
                        "Use a wheel built for an older glibc (manylinux2014): an older release, or the official one."
                    ),
                ),
                vain="replacing or adding to the system's glibc: the machine may not start again",
            ),
            older,
        ]
    if wanted.startswith(("GLIBCXX_", "CXXABI_")):
        code = "TFG302" if wanted.startswith("GLIBCXX") else "TFG303"
        return [
            Cause(
                code=code,
                message=f"the libstdc++ that is found is older than {wanted}{by}",
                why=f"found is {provider}, which does not define that version"
                if provider
                else "the copy that is found does not define it",
                rows=rows,
                decides=(
                    "what the copies define",
                    f"strings -a {quoted(provider or 'libstdc++.so.6')} | grep {wanted}",
                ),
                remedies=_newer_libstdcxx(provider),
                vain="overwriting the system's libstdc++ with a copied file",
            ),
            older,
        ]
    return [
        Cause(
            code="TFG305",
            message=f"{os.path.basename(provider) or 'a library'} lacks the version {wanted}{by}",
            why="the copy that is found does not define it",
            rows=rows,
            remedies=(Remedy("Install the release of that library that the needing one was built with."),),
        ),
        older,
    ]


def _newer_libstdcxx(provider: str) -> tuple[Remedy, ...]:
    """What brings a newer libstdc++, or the newer one first; `provider` is the old copy, "" where it is not known."""
    conda = Remedy(
        "In a conda environment, bring its own copy up to date.", "conda install -c conda-forge 'libstdcxx-ng>=12'"
    )
    if provider.startswith(("/lib", "/usr/lib")):  # the system's own: nothing here is newer
        return (
            conda,
            Remedy("Use a newer system, or a container with one.", "docker run -it python:3.11-slim-bookworm"),
            Remedy("Use a release that was built for an older system, or build it here."),
        )
    return (
        conda,
        Remedy(
            "Leave the folder of the old copy out of LD_LIBRARY_PATH.", "env -u LD_LIBRARY_PATH python your_script.py"
        ),
        Remedy(
            "Import what needs the newer one first, or start with it (this is Debian's folder).",
            "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libstdc++.so.6 python your_script.py",
        ),
    )
