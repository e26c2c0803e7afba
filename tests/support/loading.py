"""Calls the loader of this process: what is mapped, and dlopen as ctypes does it."""

from __future__ import annotations

import _ctypes
import ctypes
import os

LIBC = ctypes.CDLL(None)


# The C text of a library that calls dlopen itself.
OPENER = """
void *dlopen(const char *, int);
char *dlerror(void);
char *open_it(const char *name, int mode) { return dlopen(name, mode) ? 0 : dlerror(); }
"""


class _Info(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


_VISITOR = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)


def mapped_objects() -> list[tuple[int, str]]:
    """Base address and recorded name of every loaded object, in load order."""
    found: list[tuple[int, str]] = []

    def visit(info: ctypes._Pointer[_Info], _size: int, _data: object) -> int:
        found.append((info.contents.address or 0, os.fsdecode(info.contents.name or b"")))
        return 0

    LIBC.dl_iterate_phdr(_VISITOR(visit), None)
    return found


def load_library(name: str, mode: int) -> str | None:
    """dlopen as `ctypes.CDLL` does it, from the code of _ctypes; the error text, or None."""
    try:
        _ctypes.dlopen(name, mode | os.RTLD_NOW)
    except UnicodeDecodeError as error:  # the text of dlerror() is not UTF-8
        return os.fsdecode(error.object)
    except OSError as error:
        return str(error)
    return None


def load_through(opener: str, name: str, mode: int) -> str | None:
    """dlopen from the code of another library, a loaded one with OPENER in it; the error text, or None."""
    open_it = ctypes.CDLL(opener).open_it
    open_it.restype, open_it.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_int)
    message = open_it(os.fsencode(name), mode | os.RTLD_NOW)
    return None if message is None else os.fsdecode(message)
