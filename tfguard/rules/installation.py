"""Rules about what is installed: nothing, for another Python, twice, in part, changed, or hidden behind something."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.installed.families import family_of
from tfguard.rules.pip import again, in_place_of, install, pip, remove_and_install
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.wheel import wheel_that_pip_refuses
from tfguard.rules.words import Rows, base

if TYPE_CHECKING:
    from tfguard.installed.distributions import Distribution
    from tfguard.installed.elsewhere import OtherPython
    from tfguard.installed.record import Standing
    from tfguard.installed.survey import Installed
    from tfguard.installed.wheel_tags import Foreign

_SHOWN = 6


_FREEZE = {
    "PyInstaller": "pyinstaller your_script.py --hidden-import",
    "cx_Freeze": "cxfreeze build --script your_script.py --includes",
}


@rule("TFG421", "Left out of the frozen application")
def left_out_of_the_application(case: Case) -> Verdict | None:
    """This is a frozen application, and the package was not put into it.

    PyInstaller, cx_Freeze and others put into an application what they see imported in its source. A name in a text,
    as in `safe_import("tensorflow")`, they do not see. Nothing can be installed into a frozen application: it has to be
    frozen again, with the package named. What a type checker alone would import they do see.
    """
    installed = case.installed
    if installed is None or installed.package is not None or not installed.python.freezer:
        return None
    python, name = installed.python, installed.name
    command = _FREEZE.get(python.freezer)
    return Verdict(
        message=f"{name} was not put into this frozen application",
        evidence=(("application", python.executable), ("frozen by", python.freezer)),
        remedies=(
            Remedy("Freeze it again, and name the package to the freezer.", command and f"{command} {name}"),
            Remedy(f"Write what it sees and Python does not run: if typing.TYPE_CHECKING: import {name}."),
        ),
    )


@rule("TFG419", "Installed in another Python of this machine, not in this one")
def another_environment(case: Case) -> Verdict | None:
    """The package is not where this Python looks, but another Python on this machine has it.

    Usual reasons: the script was started by another `python` than the one that `pip` belongs to; a virtual environment
    is active (VIRTUAL_ENV is set) but the program was started by its full path, by a service or by an editor; a conda
    environment other than the one meant is active. The places that were looked in are those where environments
    usually lie; no other Python was run.
    """
    installed = case.installed
    if installed is None or not installed.is_absent or not installed.others:
        return None
    python, first = installed.python, installed.others[0]
    runs = next((one.executable for one in installed.others if one.executable), None)
    rows: list[tuple[str, str]] = [("this Python", f"{python.executable} ({_dotted(python.version)})")]
    if python.virtual_env and not _same(python.virtual_env, python.prefix):
        rows.append(("VIRTUAL_ENV", f"{python.virtual_env}, which is not the environment of this Python"))
    for one in installed.others[:_SHOWN]:
        where = one.executable or one.distribution.site
        rows.append(("it is in" if one is first else "", f"{where}: {one.distribution}"))
    remedies = []
    if runs is not None:
        remedies.append(Remedy("Run your program with the Python that has it.", f"{shlex.quote(runs)} your_script.py"))
    if (how := install(case)) is not None:
        remedies.append(how)
    return Verdict(
        message=f"{installed.name} is not installed in this Python ({python.short}), but in {_prefix(runs, first)}",
        evidence=tuple(rows),
        remedies=tuple(remedies) or (Remedy(f"Install {installed.name} in this Python."),),
    )


@rule("TFG417", "There is no release for this Python or this system")
def no_wheel_for_this_python(case: Case) -> Verdict | None:
    """The package is not installed, and pip could not install it here: no release has a wheel that fits.

    TensorFlow is published as wheels for certain Pythons (CPython only, 64 bit only) and certain systems: Linux with
    glibc on x86-64 and aarch64, macOS (on Intel up to 2.16), Windows. There is none for musl (Alpine), and new Pythons
    get theirs months after they appear. pip then says `No matching distribution found for tensorflow`, or `(from
    versions: none)`. Which releases have which wheels was read from the index and is kept as data.
    """
    installed = case.installed
    if installed is None or not installed.is_absent or installed.name != "tensorflow" or installed.fits:
        return None
    python, newest = installed.python, installed.newest_elsewhere
    why = _why_no_wheel(case)
    rows = [("this Python", f"{python.executable} ({_dotted(python.version)})"), ("pip says", _PIP_SAYS)]
    remedies: list[Remedy] = []
    if newest is not None:
        span = f"{_dotted(newest.oldest)} to {_dotted(newest.newest)}"
        rows.append(("newest release", f"{newest.distribution} {newest.version}, for Python {span}"))
        there = [one for one in installed.interpreters if newest.oldest <= one.version <= newest.newest]
        if there:
            make = f"{shlex.quote(there[0].executable)} -m venv tensorflow-env"
            get = f"tensorflow-env/bin/python -m pip install {newest.distribution}=={newest.version}"
            what = f"Python {_dotted(there[0].version)}"
            remedies.append(Remedy(f"Make an environment with {what}, which is on this machine.", f"{make} && {get}"))
        else:
            remedies.append(Remedy(f"Use Python {span} and install TensorFlow there."))
    elif installed.libc != "glibc" and python.system == "linux":
        remedies.append(Remedy("Use a system or container image with glibc, such as Debian or Ubuntu."))
    else:
        remedies.append(Remedy("Use a 64-bit CPython on a system that TensorFlow is published for."))
    return Verdict(message=why, evidence=tuple(rows), remedies=tuple(remedies))


_PIP_SAYS = "No matching distribution found for tensorflow"


@rule("TFG401", "Not installed")
def not_installed(case: Case) -> Verdict | None:
    """No module or package of that name is in any directory that this Python looks in.

    The name to import and the name that pip installs may differ. For a package that tfguard does not know it names no
    command: a name made up from the name of a module may be somebody else's package.
    """
    installed = case.installed
    if installed is None or not installed.is_absent:
        return None
    python = installed.python
    sites = [one for one in python.sites if os.path.basename(one) in ("site-packages", "dist-packages")]
    looked = [("looked in" if not i else "", one) for i, one in enumerate(sites[:_SHOWN])]
    how = install(case)
    what = Remedy(f"Install what brings {installed.name}: its own documentation says what pip has to be asked for.")
    return Verdict(
        message=f"{installed.name} is not installed in this Python ({_dotted(python.version)})",
        evidence=(("this Python", python.executable), *looked),
        remedies=(how or what,),
    )


def _system(foreign: Foreign, installed: Installed) -> str:
    """What this is in place of the platform that something was built for, with the C library where that differs."""
    python, platform = installed.python, foreign.other_platform or ""
    differs = platform.startswith(("manylinux", "musllinux")) and platform.endswith(python.machine)
    system = f"{python.system} with {installed.libc}" if differs and python.system == "linux" else python.system
    return f"{system} on {python.machine}"


@rule("TFG402", "Made for another Python or another system")
def wheel_of_another_platform(case: Case) -> Verdict | None:
    """The tags of the wheel that was installed do not fit this Python or this machine.

    A wheel's tags say for which Python, which ABI and which system it was built. pip refuses a wheel whose tags do not
    fit; it gets in all the same when files are copied from another machine, when a layer or an archive is built
    elsewhere (`pip install --target` on a Mac for Linux), when the wheel was renamed, or when a virtual environment
    is used with another Python than the one it was made by. TensorFlow's modules compare the version they were built
    for with the running Python's and refuse another.
    """
    if case.failure is not None and case.failure.kind == "wheel-tags":
        return wheel_that_pip_refuses(case)
    installed = case.installed
    if installed is None or not installed.foreign:
        return None
    ordered = sorted(installed.foreign, key=lambda one: not one.compiled)
    first, python = ordered[0], installed.python
    made = f"for Python {first.other_python}" if first.other_python else f"for {first.other_platform}"
    here = f"this is Python {python.short}" if first.other_python else f"this is {_system(first, installed)}"
    rows = [("installed", f"{one.distribution} ({', '.join(one.tags[:2])})") for one in ordered[:_SHOWN]]
    return Verdict(
        message=f"{first.distribution} was built {made}, {here}",
        path=first.distribution.metadata,
        evidence=(*rows, ("this Python", f"{python.executable} ({_dotted(python.version)}, {python.machine})")),
        remedies=(_for_this_one(case, tuple(one.distribution for one in ordered)),),
        severity="error" if first.compiled else "warning",
    )


def _for_this_one(case: Case, foreign: tuple[Distribution, ...]) -> Remedy:
    """The same releases from wheels for this Python, and another name where a name has none for it."""
    assert case.installed is not None
    there = case.installed.fits
    gone = tuple(
        one for one in foreign if there and one.name in family_of("tensorflow") and one.requirement != there.requirement
    )
    if there is None or not gone:
        return again(case, foreign, "then pip takes the wheels for this Python")
    return in_place_of(case, gone, tuple(one for one in foreign if one not in gone), there)


@rule("TFG403", "Several distributions brought the same package")
def several_distributions(case: Case) -> Verdict | None:
    """More than one distribution has put its files into one folder, each over those of the others.

    tensorflow, tensorflow-cpu, tf-nightly, tensorflow-rocm and others all bring the folder `tensorflow`, and pip does
    not notice. What lies there is what was installed last, or a mixture, and removing one of them takes away files of
    the other: afterwards `import tensorflow` succeeds and gives a module with nothing in it. Which of them the files
    belong to is read from their RECORDs. tensorflow beside tensorflow-intel (or -macos) of the same release is as it
    should be: the first only requires the second.
    """
    installed = case.installed
    if installed is None or len(installed.owners) < 2:
        return None
    owners = [one.distribution for one in installed.owners]
    whose = installed.whose
    rows: list[tuple[str, str]] = []
    for one in installed.owners:
        rows.append((f"{one.distribution}", _state(one.missing_count, one.changed_count, one.files)))
    rows.append(("whose files", f"those of {whose}" if whose else "a mixture: of none of them are all files there"))
    keep = whose or max(owners, key=lambda one: _numbers(one.version))
    why = "a mixture of two builds does not load" if whose is None else "each removal takes files of the other"
    return Verdict(
        message=f"{' and '.join(map(str, owners))} are installed over one another",
        path=installed.package.directory if installed.package is not None else None,
        evidence=tuple(rows),
        remedies=(remove_and_install(case, tuple(owners), keep, why),),
        severity="warning",
    )


@rule("TFG408", "The folder is TensorFlow's source, not the installed package")
def source_tree_in_the_way(case: Case) -> Verdict | None:
    """Python finds the folder `tensorflow` of a checkout of TensorFlow's source before the installed package.

    The source has no native modules: they are built from it. The usual reason is that Python was started in the
    checkout's folder, which comes first on sys.path. The import then says `Could not import tensorflow. Do not import
    tensorflow from its source directory`.
    """
    installed = case.installed
    if installed is None or installed.source_tree is None:
        return None
    folder = os.path.dirname(installed.source_tree)
    away = "Move your script out of that folder, and start Python in another one."
    return Verdict(
        message=f"{installed.source_tree} is TensorFlow's source, which is found before the installed package",
        path=installed.source_tree,
        evidence=(("first on sys.path", folder),),
        remedies=(*_safe_path(case), Remedy(away)),
    )


@rule("TFG407", "A file hides the module that is meant")
def shadowed_module(case: Case) -> Verdict | None:
    """A file of the same name is found before the module that the import needs.

    Python takes the first file of a name on sys.path, and the folder of the script (or the working directory) comes
    first. A script called `tensorflow.py`, `numpy.py`, `random.py` or `code.py` beside the program then stands in for
    the real module: `partially initialized module ... (most likely due to a circular import)`, or an attribute that is
    missing. Only modules that TensorFlow's import was seen to need are looked at.
    """
    installed = case.installed
    if installed is None or not installed.shadows:
        return None
    ordered = sorted(installed.shadows, key=lambda one: (one.name != installed.name, one.standard))
    first = ordered[0]
    what = "the standard library's module" if first.standard else "the installed package"
    rows = [("found instead" if not i else "", one.path) for i, one in enumerate(ordered[:_SHOWN])]
    target = os.path.join(os.path.dirname(first.path), _other_name(first.path))
    moves = f"mv {shlex.quote(first.path)} {shlex.quote(target)}"
    return Verdict(
        message=f"{first.path} is found before {what} {first.name}, and runs in its place",
        path=first.path,
        evidence=tuple(rows),
        remedies=(Remedy("Give it another name.", moves), *_safe_path(case)),
        severity="warning",
    )


def _safe_path(case: Case) -> tuple[Remedy, ...]:
    """Python 3.11 and newer can be started without the script's folder, or the working directory, on the path."""
    assert case.installed is not None
    if case.installed.python.version < (3, 11):
        return ()
    text = "Start Python without the script's folder on sys.path."
    return (Remedy(text, "PYTHONSAFEPATH=1 python your_script.py"),)


@rule("TFG404", "Installed only in part")
def partial_install(case: Case) -> Verdict | None:
    """Files that a distribution brought are not there any more.

    Every wheel lists its files in its RECORD. Files go missing when an installation is interrupted or the disk is
    full, when another distribution that had brought files of the same names is removed, when a copy leaves some out, or
    when somebody deletes the folder by hand. Of a package without its `__init__.py` Python makes a namespace package:
    the import succeeds, and there is nothing in it. Left out of account is what an import does not run: tests,
    headers, data.
    """
    installed = case.installed
    if installed is None:
        return None
    broken = sorted((one for one in installed.incomplete if one.missing_count), key=lambda one: -_gone(case, one))
    if not broken or len(installed.owners) > 1:
        return None
    first = broken[0]
    gone = _gone(case, first)
    rows: list[tuple[str, str]] = []
    for one in broken[:_SHOWN]:
        rows.append((str(one.distribution), _state(one.missing_count, one.changed_count, one.files)))
    rows += [("missing" if not i else "", one) for i, one in enumerate(first.missing[:_SHOWN])]
    if first.missing_count > _SHOWN:
        rows.append(("", f"and {first.missing_count - _SHOWN} more"))
    if installed.unimportable:
        rows.append(("the import says", f"No module named {installed.unimportable[0]!r}"))
    if installed.package is None:
        rows.append(("the import says", f"No module named {installed.name!r}"))
    if installed.is_namespace and installed.owners:
        rows.append(("the import", f"succeeds, and gives a module {installed.name} with nothing in it"))
    count = f"{first.missing_count} of {first.files} files"
    return Verdict(
        message=f"{count} of {first.distribution} {_is(first.missing_count)} missing",
        path=os.path.join(first.distribution.site, first.missing[0]),
        evidence=tuple(rows),
        remedies=(again(case, tuple(one.distribution for one in broken), "its files are put back"),),
        severity="error" if gone else "warning",
    )


@rule("TFG405", "Files are not those that were installed")
def changed_files(case: Case) -> Verdict | None:
    """Files of a distribution differ from what its RECORD says of them.

    By default the sizes of native files are compared; `--deep` compares a checksum of every file, which finds every
    flipped bit. Files differ when another release was unpacked over this one, when a copy was cut short, when a disk
    or its memory is failing, or when somebody changed them on purpose. A native file that was only stripped of its
    symbols counts as unchanged.
    """
    installed = case.installed
    if installed is None or len(installed.owners) > 1:
        return None
    broken = [one for one in installed.incomplete if one.changed_count]
    if not broken:
        return None
    first = broken[0]
    how = "checksum" if first.hashed else "size"
    rows: list[tuple[str, str]] = []
    for one in broken[:_SHOWN]:
        rows.append((str(one.distribution), _state(one.missing_count, one.changed_count, one.files)))
    rows += [(f"other {how}" if not i else "", one) for i, one in enumerate(first.changed[:_SHOWN])]
    if first.changed_count > _SHOWN:
        rows.append(("", f"and {first.changed_count - _SHOWN} more"))
    files = "1 file" if first.changed_count == 1 else f"{first.changed_count} files"
    return Verdict(
        message=f"{files} of {first.distribution} {_is(first.changed_count)} not as installed: another {how}",
        path=os.path.join(first.distribution.site, first.changed[0]),
        evidence=tuple(rows),
        remedies=(again(case, tuple(one.distribution for one in broken), "its own files are put back"),),
        severity="warning",
    )


@rule("TFG406", "Leftovers of another installation")
def leftovers(case: Case) -> Verdict | None:
    """Files lie in or beside the package that no installed distribution brought.

    A folder whose name begins with a tilde is what pip renamed before it removed it, and could not remove. A folder
    `tensorflow` without an `__init__.py` that no distribution claims is the rest of one: it imports as an empty
    namespace package. Native modules that nobody brought are of another release, and are loaded where their names are
    still asked for.
    """
    installed = case.installed
    if installed is None:
        return None
    if installed.is_namespace and installed.name == "tensorflow" and not installed.owners:
        folders = installed.package.locations if installed.package is not None else ()
        rows: Rows = tuple(("folder" if not i else "", one) for i, one in enumerate(folders))
        how = install(case)
        clear = Remedy(
            "Move the folder away: nothing that is installed has brought it.",
            f"mv {shlex.quote(folders[0])} {shlex.quote(folders[0] + '.old')}",
        )
        return Verdict(
            message=f"tensorflow is not installed: {folders[0]} is a folder without a package in it",
            path=folders[0],
            evidence=(*rows, ("the import", "succeeds, and gives a module tensorflow with nothing in it")),
            remedies=(*((how,) if how else ()), clear),
        )
    paths = (*installed.half_removed, *installed.unowned)
    if not paths:
        return None
    first = paths[0]
    what = "1 leftover" if len(paths) == 1 else f"{len(paths)} leftovers"
    belong = "belongs" if len(paths) == 1 else "belong"
    return Verdict(
        message=f"{what} beside {installed.name} {belong} to no installed distribution: {base(first)}",
        path=first,
        evidence=tuple(("leftover" if not i else "", one) for i, one in enumerate(paths[:_SHOWN])),
        remedies=(Remedy("Remove what is left over.", f"rm -r {' '.join(map(shlex.quote, paths[:_SHOWN]))}"),),
        severity="warning",
    )


@rule("TFG409", "Packages of the user's own site directory come before the environment's")
def two_site_directories(case: Case) -> Verdict | None:
    """A distribution in ~/.local hides another version of it in the environment.

    `pip install --user` puts packages into the user's own site directory, which comes before the environment's on
    sys.path, of every Python of that version: of conda environments too. The package is then taken from there whatever
    is installed in the environment. It is an error where the import was seen to die of that version.
    """
    installed = case.installed
    if installed is None or not installed.hidden:
        return None
    deadly = {one.have for one in installed.unmet if one.says is not None}
    ordered = sorted(installed.hidden, key=lambda pair: pair[0] not in deadly)
    used, hidden = ordered[0]
    rows = [
        (f"{one.name}", f"{one.version} in {one.site} hides {other.version} in {other.site}")
        for one, other in ordered[:_SHOWN]
    ]
    names = " ".join(one.name for one, _ in ordered)
    return Verdict(
        message=f"{used} of the user's own site directory hides {hidden} of this environment",
        path=used.metadata,
        evidence=tuple(rows),
        remedies=(
            Remedy("Start Python without that directory.", "PYTHONNOUSERSITE=1 python your_script.py"),
            Remedy("Remove what is there.", f"{pip(case)} uninstall -y {names}"),
        ),
        severity="error" if used in deadly else "warning",
    )


def _why_no_wheel(case: Case) -> str:
    installed = case.installed
    assert installed is not None
    python = installed.python
    if python.implementation != "cpython":
        return f"no release of tensorflow has wheels for {python.implementation}, this is no CPython"
    if python.bits != 64:
        return "no release of tensorflow has wheels for a 32-bit Python, and this is one"
    if installed.newest_elsewhere is not None:
        return f"no release of tensorflow has wheels for Python {python.short} on this system"
    if python.system == "linux" and installed.libc != "glibc":
        return "no release of tensorflow has wheels for this system: its C library is not glibc"
    return f"no release of tensorflow has wheels for this system ({python.system}, {python.machine})"


def _gone(case: Case, standing: Standing) -> bool:
    """Whether the import cannot do without what is missing: its own `__init__.py`, or that of one seen to be vital."""
    installed = case.installed
    assert installed is not None
    tops = [one.partition("/")[0] for one in standing.missing if one.count("/") == 1 and one.endswith("/__init__.py")]
    if any(one.distribution == standing.distribution for one in installed.owners):
        return installed.package is None or installed.name in tops or bool(installed.unimportable)
    return standing.distribution.name in installed.vital and bool(tops)


def _state(missing: int, changed: int, files: int) -> str:
    if not missing and not changed:
        return f"all {files} files are there"
    parts = [f"{missing} of {files} files missing"] if missing else [f"{files} files there"]
    return ", ".join(parts + ([f"{changed} changed"] if changed else []))


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in version.split(".") if one.isdecimal())


def _same(one: str, other: str) -> bool:
    return os.path.normpath(one) == os.path.normpath(other)


def _prefix(executable: str | None, other: OtherPython) -> str:
    return os.path.dirname(os.path.dirname(executable)) if executable else other.distribution.site


def _other_name(path: str) -> str:
    stem, dot, rest = os.path.basename(path).partition(".")
    return f"my_{stem}{dot}{rest}"


RULES = (
    left_out_of_the_application,
    another_environment,
    no_wheel_for_this_python,
    not_installed,
    source_tree_in_the_way,
    several_distributions,
    wheel_of_another_platform,
    partial_install,
    leftovers,
    changed_files,
    shadowed_module,
    two_site_directories,
)
