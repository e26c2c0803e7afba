"""Reads the mark that macOS puts on downloaded files: the extended attribute com.apple.quarantine (dyld.md D-75)."""

from __future__ import annotations

import os
import sys

NAME = "com.apple.quarantine"
_LIMIT = 4096


def quarantine_of(path: str) -> str | None:
    """The attribute's value ("0083;5f1b2c3d;Chrome;UUID"), None for a file without it.

    On Linux it is where tools that copy a Mac's files keep it, in the namespace `user`.
    """
    try:
        value = _on_mac(path) if sys.platform == "darwin" else os.getxattr(path, f"user.{NAME}")[:_LIMIT]
    except (OSError, ValueError, AttributeError):
        return None
    return value.decode("utf-8", "replace") if value is not None else None


def _on_mac(path: str) -> bytes | None:
    """Python has no getxattr there: the C library's own (xattr in getxattr(2))."""
    import ctypes

    getxattr = ctypes.CDLL(None).getxattr
    getxattr.restype = ctypes.c_ssize_t
    getxattr.argtypes = (ctypes.c_char_p,) * 2 + (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_int)
    buffer = ctypes.create_string_buffer(_LIMIT)
    size = getxattr(os.fsencode(path), NAME.encode(), buffer, _LIMIT, 0, 0)
    return buffer.raw[:size] if size >= 0 else None
