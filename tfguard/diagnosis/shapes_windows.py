"""Messages of Windows' loader as Python passes them on; the system's words are in the user's language."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape

_DLL = r"[\w.+-]{1,100}\.(?:dll|pyd)"


def _windows(kind: str, marks: str | tuple[str, ...], pattern: str, *, lead: int = 250) -> Shape:
    return shape(kind, marks, pattern, loader="windows", claims=True, lead=lead, traced=True)


SHAPES: tuple[Shape, ...] = (
    _windows(
        "dll-load-failed",
        "dll load failed",
        r"DLL load failed(?: with error code (?P<errno>\d{1,5}))?(?: ?while importing"
        r" (?P<object>_?[A-Za-z][\w.]{0,100}))?"
        r"\s?[:.]?\s?(?P<detail>.{0,400})",
    ),
    _windows(
        "dll-not-found",
        ("could not find the dll", "could not find '", "that this dll be installed"),
        r"Could not find (?:the DLL\(s\) )?'(?P<library>[^'\n]{1,200}\.dll)",
    ),
    _windows(
        "dll-not-found",
        "could not find module",
        r"Could not find module '(?P<library>[^'\n]{1,400})'(?: \(or one of its dependencies\))?",
    ),
    _windows("dll-error", "winerror", r"\[WinError (?P<errno>\d{1,5})\]:? ?(?P<detail>.{0,300})"),
    _windows("dll-bad", "%1", r"(?P<detail>(?<!\w)%1 .{0,120}win32.{0,60})"),
    _windows(
        "dll-status",
        ("c0000135", "1073741515", "c0000139", "1073741511", "c000007b", "1073741701", "c0000142", "1073741502"),
        r"(?P<errno>0xC0000(?:135|139|07B|142)|-?10737(?:41515|41511|41701|41502))",
    ),
    _windows(
        "dll-load-failed",
        "procedure entry point",
        r"(?P<detail>procedure entry point (?P<symbol>\S{1,500}) could not be located[^\n]{0,200})",
    ),
    _windows(
        "missing-words",
        "mkl fatal error",
        r"Intel MKL FATAL ERROR: Cannot load (?P<object>[\w.]{1,60})",
    ),
    _windows(
        "dll-conflict",
        "conflicts with this version of python",
        r"Module use of (?P<library>\S{1,60}) conflicts with this version of Python",
    ),
    _windows(
        "dll-missing-dialog",
        ("is missing from your computer", "was not found"),
        rf"(?P<library>{_DLL}) (?:is missing from your computer|was not found)",
    ),
    _windows(
        "so-not-found",
        ".so not found",
        r"(?:NotFoundError: ?|: ?|^|['\"])(?P<object>[A-Za-z]:\\[^'\"*<>|\n]{1,600}\.so|[^\s'\"*<>|]{1,600}\.so)"
        r" not found",
        lead=700,
    ),
    _windows(
        "plugin-not-found",
        ".dll not found",
        r"NotFoundError: ?(?P<object>[^'\"*<>|\n]{1,600}\.dll) not found",
        lead=700,
    ),
)
