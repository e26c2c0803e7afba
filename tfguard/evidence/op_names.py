"""Tells which ops a loaded library was to register and who had them before, from the texts in the libraries' files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from tfguard.binary.elf import look_at
from tfguard.binary.symbols import SymbolTable
from tfguard.hosts.host import Host
from tfguard.image import PF_W, PT_LOAD, Image
from tfguard.loader.trace import Failure

# An op's name is CamelCase, after a namespace or none (op_def.proto); C++ keeps it as a text of its own.
# Shorter ones are names of attributes (T), and of ops that TensorFlow tests itself with.
_OP_NAME = re.compile(rb"(?<=\0)(?:[A-Z][A-Za-z0-9]*>)*[A-Z][A-Za-z0-9_]{2,}(?=\0)")
_LONGEST_SEGMENT = 64 << 20
_SHOWN = 4


def lost_ops(path: str, before: Host | None, package: str, is_registered: Callable[[str], bool]) -> Failure | None:
    """Why a library that was loaded gave no op, None where it has none to give.

    `before` is the process as it stood before that load, `package` TensorFlow's own folder, and `is_registered` says
    whether an op of a name exists now. A library that only registers kernels for ops of others refers to no
    OpDefBuilder: it is as it should be.
    """
    if not _registers_ops(path):
        return None
    mine = _texts(path)
    # glibc lists the library by the first path it was opened by
    loaded = before.loaded if before is not None else ()
    for one in loaded:
        if one.path and _is_same(one.path, path):
            return _failure(path, "", one.path, "same file")
    own = sorted(name for name in (one.decode() for one in mine) if is_registered(name))
    for one in loaded:
        other = one.path
        if one.image is None or _is_inside(other, package) or not _registers_ops(other):
            continue
        theirs = _texts(other)
        if both := [name for name in own if name.encode() in theirs]:
            return _failure(path, _listed(both), other, "")
    return _failure(path, _listed(own), "", "tensorflow" if own else "")


def _failure(path: str, names: str, first: str, detail: str) -> Failure:
    return Failure(
        kind="op-registered", rule="", message=None, path=path, name=names, provider=first, detail=detail, certain=False
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _is_inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def _registers_ops(path: str) -> bool:
    """Whether the library calls what REGISTER_OP comes to."""
    image = look_at(path).content
    if not isinstance(image, Image) or not any("libtensorflow" in one or "libstdc++" in one for one in image.needed):
        return False
    try:
        table = SymbolTable(image)
    except OSError:
        return False
    try:
        return any(b"12OpDefBuilder" in one.name for one in table.references(weak=True))
    finally:
        table.close()


def _texts(path: str) -> frozenset[bytes]:
    """The texts of the library's read-only segments that could be names of ops."""
    image = look_at(path).content
    found: set[bytes] = set()
    if not isinstance(image, Image):
        return frozenset()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return frozenset()
    try:
        for one in image.segments:
            if one.type == PT_LOAD and not one.flags & PF_W and one.filesz <= _LONGEST_SEGMENT:
                found.update(_OP_NAME.findall(os.pread(fd, one.filesz, one.offset)))
    except (OSError, OverflowError):
        pass
    finally:
        os.close(fd)
    return frozenset(found)
