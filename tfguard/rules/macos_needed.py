"""Rules for macOS about what a library needs of others: dylibs that are not found, symbols, the system's age."""

from __future__ import annotations

import os
import re
import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.loader.trace import Failure
from tfguard.macho_image import MachoImage, version_text
from tfguard.mangling.readable import readable
from tfguard.rules.macos_words import (
    PYTHON,
    build_again,
    failure_of,
    image_of,
    install_again,
    mac_of,
    says,
    search_rows,
    sign_again,
    system_of,
)
from tfguard.rules.rule import Verdict, rule

_SYSTEM = ("/usr/lib/", "/System/")
# Which Homebrew formula has a library that Python packages are known to miss.
_FORMULAS = (
    (r"libomp\.dylib", "libomp"),
    (r"libhdf5", "hdf5"),
    (r"libssl|libcrypto", "openssl@3"),
    (r"libgfortran|libquadmath|libgcc_s|libgomp", "gcc"),
    (r"libopenblas", "openblas"),
    (r"liblzma", "xz"),
    (r"libzstd", "zstd"),
    (r"libsndfile", "libsndfile"),
)
_TENSORFLOW = ("libtensorflow_framework", "libtensorflow_cc", "_pywrap_tensorflow_internal", "lib_pywrap_tensorflow")
_SHOWN = 6


def _is_tensorflows(name: str) -> bool:
    return any(one in os.path.basename(name) for one in _TENSORFLOW)


@rule("TFG813", "A library that needs TensorFlow to be loaded before it")
def tensorflow_not_loaded_yet(case: Case) -> Verdict | None:
    """The library needs one of TensorFlow's by @rpath and has no LC_RPATH that leads there.

    That is how ops are linked: `import tensorflow` puts the library into the process, and dyld then takes the loaded
    one by its name. Opened before the import, or with ctypes in a process without TensorFlow, it fails.
    """
    failure = failure_of(case, "dylib-missing")
    if failure is None or failure.requirer is None or not _is_tensorflows(failure.name) or case.is_op:
        return None
    brought = any(one.usable for one in case.elsewhere) and "/tensorflow/" not in failure.requirer
    if not failure.name.startswith("@rpath/") or case.framework is None or not brought:
        return None
    return Verdict(
        message=f"{name_of_requirer(failure)} finds {os.path.basename(failure.name)} only after import tensorflow",
        path=failure.requirer,
        evidence=_missing_rows(case, failure),
        remedies=(
            Remedy("Import TensorFlow first, then open it."),
            Remedy(
                "Check it as it would load then.",
                f"{PYTHON} -m tfguard check --after tensorflow {shlex.quote(case.target)}",
            ),
        ),
    )


def name_of_requirer(failure: Failure) -> str:
    """The file name of the library that needs the missing one."""
    return os.path.basename(failure.requirer or failure.path)


@rule("TFG809", "DYLD_ variables that the process does not get")
def dyld_path_stripped(case: Case) -> Verdict | None:
    """A needed library lies in a directory of DYLD_LIBRARY_PATH, and dyld does not use that variable here.

    It reads it when the process starts, and never for programs that the system protects or that have the hardened
    runtime without the entitlement for it. Everything started through /bin/sh, /usr/bin/env or another program of
    Apple's loses these variables on the way. A path written into the library works always.
    """
    failure = failure_of(case, "dylib-missing")
    mac = mac_of(case)
    value = mac.environment.get("DYLD_LIBRARY_PATH")
    if failure is None or failure.requirer is None or not value or mac.allows_path_variables:
        return None
    leaf = os.path.basename(failure.name)
    folder = next((one for one in value.split(":") if one and leaf in mac.files.names_in(one)), None)
    if folder is None:
        return None
    return Verdict(
        message=f"{leaf} is on DYLD_LIBRARY_PATH, which this program may not use",
        path=failure.requirer,
        evidence=(("found in", folder), *_missing_rows(case, failure)),
        remedies=(_add_rpath(failure.requirer, folder),),
    )


@rule("TFG801", "A needed dylib is not found")
def dylib_missing(case: Case) -> Verdict | None:
    """dyld found a library that is needed in none of the places where it looks for it.

    For a name with @rpath these are the LC_RPATHs of the library that needs it, of those that brought that one, of
    the one that called dlopen and of the program; a library that is loaded already counts by its install name. The
    fallback directories /usr/local/lib and /usr/lib are for libraries built with an SDK before that of macOS 14.
    """
    failure = failure_of(case, "dylib-missing")
    if failure is None or failure.requirer is None:
        return None
    leaf = os.path.basename(failure.name)
    return Verdict(
        message=f"{leaf} is in none of the places where dyld looks for it",
        path=failure.requirer,
        evidence=_missing_rows(case, failure),
        remedies=_find_it(case, failure, leaf),
    )


def _missing_rows(case: Case, failure: Failure) -> tuple[tuple[str, str], ...]:
    image = image_of(case, failure.requirer)
    rpaths = ", ".join(image.rpaths) if image is not None and image.rpaths else "none"
    attempts = failure.lookup.attempts if failure.lookup is not None else ()
    return (
        ("needed by", failure.requirer or ""),
        ("wanted as", failure.name),
        ("its LC_RPATHs", rpaths),
        *search_rows(attempts),
        *(("elsewhere" if not i else "", f"{one.path}: {one.why_not}") for i, one in enumerate(case.elsewhere)),
        ("this is", system_of(case)),
        *says(case),
    )


def _find_it(case: Case, failure: Failure, leaf: str) -> tuple[Remedy, ...]:
    remedies: list[Remedy] = []
    again = install_again(case, f"its files and {leaf} belong together")
    usable = next((one for one in case.elsewhere if one.usable), None)
    if again is not None and not failure.name.startswith(("/opt/", "/usr/local/")):
        remedies.append(again)
    elif usable is not None and failure.requirer is not None:
        remedies.append(_add_rpath(failure.requirer, os.path.dirname(usable.path)))
    formula = next((name for pattern, name in _FORMULAS if re.match(pattern, leaf)), None)
    if formula is not None:
        remedies.append(Remedy("Install the Homebrew formula that has it.", f"brew install {formula}"))
    if not remedies:
        place = _first_rpath(failure)
        where = f": {os.path.dirname(os.path.normpath(place))}" if place else ", with an LC_RPATH that leads to it"
        remedies.append(
            Remedy(f"Get {leaf} for macOS ({mac_of(case).architecture}) and put it where dyld looks{where}.")
        )
    return tuple(remedies)


def _first_rpath(failure: Failure) -> str:
    attempts = failure.lookup.attempts if failure.lookup is not None else ()
    return next((one.path for one in attempts if one.step == "lc_rpath"), "")


def _add_rpath(requirer: str, folder: str) -> Remedy:
    own = os.path.dirname(requirer)
    relative = os.path.relpath(folder, own)
    entry = "@loader_path" if relative == "." else f"@loader_path/{relative}"
    # what moves together is named relatively: files of one project or one environment
    shown = entry if os.path.commonpath((own, folder)).count("/") > 2 else folder
    return Remedy(
        "Write the directory into the library that needs it, and sign it again.",
        f"install_name_tool -add_rpath {shlex.quote(shown)} {shlex.quote(requirer)} && {sign_again(requirer)}",
    )


@rule("TFG804", "Built for a newer macOS")
def macos_too_old(case: Case) -> Verdict | None:
    """The library was built for a macOS that is newer than the one that runs.

    dyld loads it all the same. It fails where the library uses a function that the system does not have yet: then
    dyld names the function and the system's library. Wheels carry the oldest macOS in their name, and some carry a
    lower one than their libraries were built for.
    """
    mac = mac_of(case)
    failure = case.failure
    if failure is not None:
        if failure.kind != "macho-symbol" or not failure.unmet[0].library.startswith(_SYSTEM):
            return None
        image = image_of(case, failure.path)
    else:
        images = [one.image for one in case.trace.images if isinstance(one.image, MachoImage)]
        image = next((one for one in images if one.minos > mac.version), None)
    if image is None or image.minos <= mac.version:
        return None
    name, wanted = os.path.basename(image.path), version_text(image.minos)
    missing = (("missing", missing_symbol(failure)),) if failure is not None else ()
    return Verdict(
        message=f"{name} is built for macOS {wanted} and later, this is {version_text(mac.version)}",
        path=image.path,
        severity="error" if failure is not None else "warning",
        evidence=(
            ("file", image.path),
            ("have", f"macOS {version_text(mac.version)}"),
            ("need", f"macOS {wanted} or later"),
            *missing,
            *says(case),
        ),
        remedies=(
            Remedy(f"Update macOS to {wanted} or later (System Settings, General, Software Update)."),
            Remedy("Install an older release of the package, whose wheel is for this macOS."),
        ),
    )


@rule("TFG803", "A symbol that no loaded library has")
def macho_symbol_not_found(case: Case) -> Verdict | None:
    """The library uses a symbol that the library which should have it does not export.

    dyld binds each symbol to the library that it was found in when it was linked (two-level names); what was linked
    with `-undefined dynamic_lookup` is looked for in every library. Either way the cause is mostly two builds that do
    not belong together: an op for another TensorFlow, an extension for another Python, an old copy of a library.
    """
    failure = failure_of(case, "macho-symbol")
    if failure is None:
        return None
    first = failure.unmet[0]
    anywhere = first.library in ("", "weak")
    lacks = "no loaded library has" if anywhere else f"{os.path.basename(first.library)} does not have"
    count = len(failure.unmet)
    more = f", and {count - 1} more" if count > 1 else ""
    name = os.path.basename(failure.path)
    rows = [("needed by", failure.path), ("missing", missing_symbol(failure))]
    rows += [("" if i else "also", _readable(one.name)) for i, one in enumerate(failure.unmet[1:_SHOWN])]
    rows += [("expected in", first.library or "any loaded library (flat name space)"), ("this is", system_of(case))]
    if not first.certain and (sdk := mac_of(case).sdk) is not None:
        rows.append(("looked up in", f"{sdk.path}, which may be of another macOS"))
    of_tensorflow = any(b"tensorflow" in one.name or b"3tsl" in one.name for one in failure.unmet)
    built = f"it was built for another TensorFlow than {case.framework or 'the one installed'}"
    why = built if of_tensorflow else "what it was built with and what is here do not belong together"
    again = install_again(case, why)
    return Verdict(
        message=f"{name} needs {missing_symbol(failure)}, which {lacks}{more}",
        path=failure.path,
        evidence=(*rows, *says(case)),
        remedies=(again if again is not None else build_again(case, why),),
    )


def missing_symbol(failure: Failure) -> str:
    """The first symbol that was not found, as C++ source spells it; empty where none was looked for."""
    return _readable(failure.unmet[0].name) if failure.unmet else ""


def _readable(name: bytes) -> str:
    """As C++ source would spell it: on macOS every name has an underscore more in front."""
    return readable(name[1:] if name.startswith(b"_") else name)


RULES = (
    dyld_path_stripped,
    tensorflow_not_loaded_yet,
    dylib_missing,
    macos_too_old,
    macho_symbol_not_found,
)
WARNINGS = (macos_too_old,)
