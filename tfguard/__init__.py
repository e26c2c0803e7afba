"""Checks TensorFlow and its op libraries before they are loaded, and says what is wrong and what to do."""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tfguard.checks.check import check_import, check_library
    from tfguard.checks.program import check_program
    from tfguard.diagnosis.post_mortem import diagnose
    from tfguard.errors import GuardError, GuardImportError, OpLibraryError
    from tfguard.finding import Finding, Remedy
    from tfguard.guard import GuardWarning, Hook, install_hook, load_op_library, safe_import
    from tfguard.hosts.host import Host
    from tfguard.hosts.live import this_host
    from tfguard.probing.probe import probe
    from tfguard.report import Report
    from tfguard.rules import explain

# Where each public name lives: the modules are imported when a name is first used, so that `import tfguard` is cheap.
_HOMES = {
    "check_import": "checks.check",
    "check_library": "checks.check",
    "check_program": "checks.program",
    "GuardError": "errors",
    "GuardImportError": "errors",
    "OpLibraryError": "errors",
    "Finding": "finding",
    "Remedy": "finding",
    "GuardWarning": "guard",
    "Hook": "guard",
    "install_hook": "guard",
    "load_op_library": "guard",
    "safe_import": "guard",
    "Host": "hosts.host",
    "this_host": "hosts.live",
    "diagnose": "diagnosis.post_mortem",
    "probe": "probing.probe",
    "Report": "report",
    "explain": "rules",
}

__all__ = [
    "Finding",
    "GuardError",
    "GuardImportError",
    "GuardWarning",
    "Hook",
    "Host",
    "OpLibraryError",
    "Remedy",
    "Report",
    "check_import",
    "check_library",
    "check_program",
    "diagnose",
    "explain",
    "install_hook",
    "load_op_library",
    "probe",
    "safe_import",
    "this_host",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
