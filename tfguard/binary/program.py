"""Tells a program from a library, and which loader it asks the kernel for."""

from __future__ import annotations

import os

from tfguard.image import DF_1_PIE, DT_DEBUG, ET_EXEC, PT_INTERP, Head, Image

_PATH_LIMIT = 4096  # PATH_MAX


def is_program(head: Head) -> bool:
    """Whether the file is meant to be started: some libraries have a PT_INTERP too, and none of the other marks."""
    image = head.content
    if not isinstance(image, Image) or not any(one.type == PT_INTERP for one in image.segments):
        return False
    return image.type == ET_EXEC or bool(image.flags_1 & DF_1_PIE) or DT_DEBUG in image.dynamic


def loader_of(head: Head) -> str | None:
    """The path of PT_INTERP; None for a static program, and where the file does not hold it."""
    segment = next((one for one in head.segments or () if one.type == PT_INTERP), None)
    if segment is None or segment.filesz > _PATH_LIMIT or segment.offset >= 1 << 62:
        return None
    text = head.start[segment.offset : segment.offset + segment.filesz]
    if len(text) < segment.filesz and isinstance(head.content, Image):
        try:
            fd = os.open(head.content.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            text = os.pread(fd, segment.filesz, segment.offset)
        finally:
            os.close(fd)
    path, end, _ = text.partition(b"\0")
    return os.fsdecode(path) if path and end else None
