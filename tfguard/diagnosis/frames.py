"""The frames of tracebacks: the Python file that an exception came out of, the libraries of a native stack."""

from __future__ import annotations

import re

# How Python, IPython (old and new) and pytest write a frame.
_FRAME = re.compile(
    r"""(?x)
      ^\W{0,6}(?:in\ )?File\ ['"]?(?P<python>[^'"\n]{1,400}?)['"]?(?:,\ line\ \d+|:\d+(?:,\ in|,?$|\ in))
    | ^(?P<ipython>[~/][^\n]{1,400}?\.py|[A-Za-z]:\\[^\n]{1,400}?\.py|<ipython-input[^>]{1,40}>|Cell\ In\s?\[\d{1,5}\])
      (?:\ in\ |,\ line\ |\ line\ )
    | ^(?P<pytest>[\w./~\\:-]{1,400}\.py):\d+:\ in\b
    """
)
_BEGINS = re.compile(
    r"^\W{0,4}(?:Traceback \(most recent call last\)|During handling of the above|The above exception)"
)
_IMPORTS = re.compile(r"^(?:-+> ?)?(?:\d{1,6} )?(?:from [\w.]{1,200} import |import [\w.]{1,200})")
_FAR, _WIDE = 60, 500

# gdb's `from /x/liby.so`, the C library's `/x/liby.so(_Zsymbol+0x1)[0x7f..]`, a crash report's `3 liby.dylib 0x..`.
_NATIVE = re.compile(
    r"(?:^|\s)(?:from )(?P<gdb>/[^\s()]{1,500})$"
    r"|^(?P<libc>/[^\s()\[\]]{1,500})\([^)]{0,1500}\)\s?\[0x[0-9a-f]{4,16}\]"
    r"|^\d{1,3}\s{1,3}(?P<report>[\w.+-]{1,120}\.(?:so|dylib)[\w.]{0,20})\s{1,40}0x[0-9a-f]{4,16} "
)


def left(lines: tuple[str, ...], number: int) -> tuple[str, bool]:
    """The Python file whose frame stands next above a line, and whether its traceback goes through an import."""
    frame, importing = "", False
    for at in range(number - 1, max(-1, number - _FAR), -1):
        line = lines[at][:_WIDE]
        if _BEGINS.match(line):
            break
        importing = importing or _IMPORTS.match(line) is not None
        if not frame and (found := _FRAME.match(line)) is not None:
            frame = found["python"] or found["ipython"] or found["pytest"]
    return frame, importing


def natives(lines: tuple[str, ...], most: int = 200) -> tuple[str, ...]:
    """The libraries of the native stacks in a text, innermost first, each once."""
    found: dict[str, None] = {}
    for line in lines:
        if len(found) >= most:
            break
        if "0x" not in line and " from " not in f" {line}":
            continue
        match = _NATIVE.search(line[-2200:])
        if match is not None:
            found[match["gdb"] or match["libc"] or match["report"]] = None
    return tuple(found)
