"""What the machine is that the tests run on."""

from __future__ import annotations

import os
import platform
import sys


def is_glibc() -> bool:
    """Whether this process was loaded by glibc's ld.so."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def is_glibc_x86_64() -> bool:
    """The same, on the machine that the ELF writer writes for."""
    return is_glibc() and platform.machine() == "x86_64" and sys.maxsize > 2**32
