"""How the code of a library was compiled: a count of AVX and older instruction encodings in a sample of it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfguard.binary.elf import look_at
from tfguard.image import EM_X86_64, PF_X, PT_LOAD, Image

_SAMPLE = 1 << 20

# Moves, adds and xors of floating-point registers: compilers use them everywhere. A build with -mavx encodes each with
# a VEX prefix (Intel SDM, volume 2, 2.3), a build without it as 0F or 66/F2/F3 0F. The bytes between instructions
# make a few of either by chance.
_VEX = re.compile(
    rb"\xc5[\xc0\xc8\xd0\xd8\xe0\xe8\xf0-\xf3\xf8-\xfb]"
    rb"[\x10\x11\x28-\x2a\x57-\x59\x5c\x6f\x77\x7e\x7f\xd6\xef]"
)
_OLD = re.compile(
    rb"(?<![\x0f\x38\x3a])\x0f[\x10\x11\x28\x29\x57]"
    rb"|[\x66\xf3]\x0f[\x6f\x7f\xef\x7e\xd6]"
    rb"|[\xf2\xf3]\x0f[\x10\x11\x58\x59\x5c\x2a]"
)
# What came with AVX2 and FMA: fused multiply-add (three-byte VEX, map 0F38, opcodes 96 to BF), integers in 256 bits.
_AVX2 = re.compile(
    rb"\xc4[\x42\x62\xc2\xe2][\x00-\xff][\x96-\x9f\xa6-\xaf\xb6-\xbf]"
    rb"|\xc5[\xc5\xcd\xd5\xdd\xe5\xed\xf5\xfd][\x60-\x6d\x74-\x76\xd4\xdb\xdf\xeb\xef\xf8-\xfe]"
)


class Encoding(NamedTuple):
    """Instructions counted in a sample of code: with a VEX prefix, without one, and those of AVX2 or FMA."""

    vex: int
    old: int
    avx2: int

    @property
    def needs_avx(self) -> bool:
        """Compiled for AVX throughout: a library that chooses at run time has most of its code without.

        Measured: TensorFlow's libraries 0.997 to 1, NumPy's core 0.46, OpenBLAS 0.90, libstdc++ under 0.01.
        """
        return self.vex >= 50 and self.vex >= 0.98 * (self.vex + self.old)

    @property
    def needs_avx2(self) -> bool:
        """The same, with so much of AVX2 and FMA as is not met by chance (TensorFlow's own builds: none in 1 MiB)."""
        return self.needs_avx and self.avx2 >= 20 and self.avx2 >= 0.02 * self.vex


def sample_encoding(path: str) -> Encoding | None:
    """Count in the middle of the code of an x86-64 library, up to 1 MiB; None where there is none to read."""
    image = look_at(path).content
    if not isinstance(image, Image) or image.machine != EM_X86_64:
        return None
    code = max(
        (one for one in image.segments if one.type == PT_LOAD and one.flags & PF_X),
        key=lambda one: one.filesz,
        default=None,
    )
    if code is None:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        start = code.offset + max(0, (code.filesz - _SAMPLE) // 2)
        sample = os.pread(fd, min(code.filesz, _SAMPLE), start)
    except (OSError, OverflowError):
        return None
    finally:
        os.close(fd)
    return Encoding(len(_VEX.findall(sample)), len(_OLD.findall(sample)), len(_AVX2.findall(sample)))
