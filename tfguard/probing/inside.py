"""Runs in a process of its own: loads one thing for real, and tells of its own death what can be told from inside."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import mmap
import os
import platform
import resource
import signal
import sys
from collections.abc import Mapping

_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
# Where ucontext_t keeps the instruction pointer, and siginfo_t the address, on 64-bit Linux (the kernel's ABI).
_POINTER_AT = {"x86_64": 40 + 16 * 8, "aarch64": 176 + 8 + 31 * 8 + 8}
_ADDRESS_AT = 16
_SA_SIGINFO, _SA_ONSTACK, _SA_NODEFER, _SA_RESETHAND = 4, 0x08000000, 0x40000000, 0x80000000
_STACK = 1 << 20

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Action(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_char * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Stack(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def main(arguments: list[str]) -> None:
    """`FD SECONDS KIND TARGET PATH`: load it, with sys.path from JSON; facts go to FD, each a line of JSON."""
    fd, patience, kind, target = int(arguments[0]), float(arguments[1]), arguments[2], arguments[3]
    sys.argv[:] = [""]
    sys.path[:] = json.loads(arguments[4])
    processor = _processor()
    _tell(fd, processor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(all_threads=False)
    faulthandler.dump_traceback_later(max(0.1, patience), exit=False)
    keep = _tell_of_death(fd, realign=bool(processor.get("emulator")))
    if kind == "import":
        __import__(target)
    elif kind == "op library":
        import importlib

        importlib.import_module("tensorflow").load_op_library(target)
    else:
        ctypes.CDLL(target, os.RTLD_NOW)
    faulthandler.cancel_dump_traceback_later()
    _tell(fd, {"loaded": True})
    del keep


def _tell(fd: int, facts: Mapping[str, object]) -> None:
    os.write(fd, json.dumps(facts).encode() + b"\n")


def _processor() -> dict[str, object]:
    """What programs find of the processor here, in an emulator too; nothing where tfguard is not on the path."""
    try:
        from tfguard.hosts.processor import look_at_processor
        from tfguard.image import EM_AARCH64, EM_X86_64

        machine = EM_X86_64 if platform.machine() == "x86_64" else EM_AARCH64
        processor = look_at_processor(machine)
    except Exception:  # it must not keep the load from being tried
        return {}
    return {"features": sorted(processor.features), "emulator": processor.emulator, "model": processor.model}


def _tell_of_death(fd: int, *, realign: bool) -> tuple[object, ...]:
    """Have the fatal signals told of; gives back what must live as long as they may come."""
    pointer_at = _POINTER_AT.get(platform.machine())
    if pointer_at is None or sys.platform != "linux":
        return ()

    def tell(number: int, info: int, context: int) -> None:
        try:
            address = ctypes.c_uint64.from_address(info + _ADDRESS_AT).value
            pointer = ctypes.c_uint64.from_address(context + pointer_at).value
            facts = {
                "signal": number,
                "address": address,
                "at": _mapping(pointer),
                "touched": _mapping(address),
                "code": _bytes_at(pointer),
                "mapped": _files(),
            }
            _tell(fd, facts)
            faulthandler.dump_traceback(all_threads=False)
        finally:  # the action was reset when it was taken: the same instruction now ends the process by its signal
            signal.signal(number, signal.SIG_DFL)

    handler = _Handler(tell)
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(_STACK)
    stack = _Stack(ctypes.addressof(memory), 0, _STACK)
    libc.sigaltstack(ctypes.byref(stack), None)
    flags = _SA_SIGINFO | _SA_ONSTACK | _SA_NODEFER | _SA_RESETHAND
    address = ctypes.cast(handler, ctypes.c_void_p).value or 0
    realign = realign and platform.machine() == "x86_64"
    page = _realigned(address) if realign else None
    if realign and page is None:
        return ()
    start = ctypes.addressof(ctypes.c_char.from_buffer(page)) if page is not None else address
    action = _Action(start, b"", ctypes.c_int(flags & 0xFFFFFFFF).value, None)
    for number in _FATAL:
        libc.sigaction(int(number), ctypes.byref(action), None)
    return handler, memory, action, page


def _realigned(address: int) -> mmap.mmap | None:
    """Machine code that aligns the stack and calls `address`; None where no such page is granted.

    QEMU's user mode (7.2) starts a handler with the stack off by eight on x86-64; libffi's way into Python then dies
    of an SSE instruction that wants sixteen.
    """
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    # push %rbp; mov %rsp,%rbp; and $-16,%rsp; movabs $address,%rax; call *%rax; leave; ret
    page.write(bytes.fromhex("554889e54883e4f048b8") + address.to_bytes(8, "little") + bytes.fromhex("ffd0c9c3"))
    return page


def _mapping(address: int) -> dict[str, object] | None:
    """The line of /proc/self/maps that an address lies in."""
    for line in _maps():
        span, _, offset, *rest = line.split(maxsplit=5)
        start, _, end = span.partition("-")
        if int(start, 16) <= address < int(end, 16):
            path = rest[2] if len(rest) > 2 else ""
            return {"path": path, "offset": int(offset, 16) + address - int(start, 16)}
    return None


def _maps() -> list[str]:
    """The lines of /proc/self/maps, read with as little of the library as there is: the process is about to die."""
    fd = os.open("/proc/self/maps", os.O_RDONLY)
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    os.close(fd)
    return b"".join(parts).decode("utf-8", "replace").splitlines()


def _bytes_at(pointer: int) -> str:
    """The instruction's bytes, read through the kernel: what is not mapped gives none."""
    try:
        fd = os.open("/proc/self/mem", os.O_RDONLY)
        code = os.pread(fd, 16, pointer)
        os.close(fd)
    except (OSError, ValueError, OverflowError):
        return ""
    return code.hex()


def _files() -> list[str]:
    """The shared objects that are mapped, in the order of their addresses; the last ones loaded are no help here."""
    found: dict[str, None] = {}
    for line in _maps():
        path = line.partition("/")[2]
        if ".so" in path:
            found["/" + path] = None
    return list(found)[:2000]


if __name__ == "__main__":
    main(sys.argv[1:])
