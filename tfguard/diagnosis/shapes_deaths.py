"""How a process is said to have died: by shells, faulthandler, the C library, IDEs, containers, pools of workers."""

from __future__ import annotations

from tfguard.diagnosis import translated, translated_libc
from tfguard.diagnosis.shape import Shape, shape


def _death(kind: str, marks: str | tuple[str, ...], pattern: str, *, weight: int = 2, loader: str = "kernel") -> Shape:
    return shape(kind, marks, pattern, loader=loader, weight=weight)


def _signal(kind: str, fragments: tuple[str, ...]) -> Shape:
    return _death(kind, fragments, translated.any_of(fragments))


def _word(kind: str, fragments: tuple[str, ...]) -> Shape:
    """A shell's single word for a death: it ends a line, or stands before what the shell had run.

    One letter may stand before it: the Turkish capital I has no small form that counts as one letter.
    """
    pattern = rf"(?:^|\s\d{{1,7}} )\w?(?:{translated.any_of(fragments)})(?= ?(?:\(|$|python|\./))"
    return _death(kind, fragments, pattern, weight=3)


SHAPES: tuple[Shape, ...] = (
    _death(
        "heap",
        (
            "free(): invalid",
            "munmap_chunk",
            "double free or corruption",
            "corrupted size vs",
            "malloc(): ",
            "invalid pointer",
            "corrupted double-linked",
            "malloc: ***",
        ),
        r"(?P<detail>free\(\): invalid (?:pointer|size|next size[^\n]{0,20})|munmap_chunk\(\): invalid pointer"
        r"|double free or corruption[^\n]{0,20}|corrupted size vs\. prev_size|malloc\(\): [a-z][^\n]{0,60}|corrupted"
        r" double-linked list|malloc: \*\*\* error for object[^\n]{0,80})",
        loader="glibc",
        weight=1,
    ),
    _death(
        "random-device",
        "random_device could not be read",
        r"random_device could not be read",
        loader="libstdc++",
        weight=1,
    ),
    _death(
        "illegal-instruction",
        (
            "illegal instruction",
            "illegal hardware instruction",
            "sigill",
            "invalid opcode",
            "0xc000001d",
            "1073741795",
            " 132",
            "signal 4",
        ),
        r"illegal (?:hardware )?instruction|\bSIGILL\b|trap invalid opcode|0xC000001D|-1073741795|exit(?:ed)?(?:"
        r" with)?(?: code| status)?:? 132\b|\bsignal 4\b",
    ),
    _signal("illegal-instruction", translated_libc.ILLEGAL_INSTRUCTION),
    _death(
        "bus-error",
        ("bus error", "sigbus", " 135", "signal 7"),
        r"\bBus error\b|\bSIGBUS\b|exit(?:ed)?(?: with)?(?: code| status)?:? 135\b|\bsignal 7\b",
    ),
    _signal("bus-error", translated_libc.BUS_ERROR),
    _word("killed", translated_libc.KILLED),
    _word("abort", translated_libc.ABORTED),
    _death(
        "segfault",
        (
            "segmentation fault",
            "sigsegv",
            "segfault",
            "access violation",
            "0xc0000005",
            "1073741819",
            "139",
            "-11",
            "signal 11",
            "signal: 11",
        ),
        r"segmentation fault|\bSIGSEGV\b|\bsegfault\b|access violation|0xC0000005|-1073741819|exit(?:ed)?(?: with)?["
        r" _]?(?:code|status)?[:= ]{1,3}(?:139|-11)\b|\bsignal:? 11\b",
    ),
    _signal("segfault", translated_libc.SEGFAULT),
    _death(
        "op-frames",
        ("inferencecontext", "shape_inference"),
        r"(?P<symbol>tensorflow::shape_inference::InferenceContext[^\n]{0,80})",
        loader="tensorflow",
    ),
    _death(
        "out-of-memory",
        (
            "std::bad_alloc",
            "memoryerror",
            "out of memory",
            "oomkilled",
            "cannot allocate memory",
            " 137",
            "paging file is too small",
            "0xc0000017",
        ),
        r"std::bad_alloc|\bMemoryError\b|(?<!CUDA_ERROR_)(?<!CUDA )\bout of memory\b|\bOOMKilled\b|cannot allocate"
        r" memory(?! in static)|exit(?:ed)?(?: with)?(?: code| status)?:? 137\b|paging file is too small",
    ),
    _death(
        "backtrace",
        ("#0 ", "#1 ", ")[0x", ") [0x", " dylib 0x", "crashed thread"),
        r"^#[01] (?:0x[0-9a-f]{4,16} in )?(?P<symbol>\S[^\n]{0,200})|^/[^\s()\[\]]{1,500}\([^)]{0,1500}\) ?\[0x"
        r"|Crashed Thread:",
        weight=3,
        loader="debugger",
    ),
    _death("killed", "killed", r"^(?:.{0,200}\s)?Killed(?:: 9)?(?:\s+.{0,200})?$", weight=3),
    _death(
        "abort",
        (
            "aborted",
            "zsh: abort",
            "sigabrt",
            " 134",
            "signal 6",
            "signal: 6",
            "abort trap",
            "terminate called",
            "fatal python error: abort",
        ),
        r"\bAborted\b|\bzsh: abort\b|\bSIGABRT\b|exit(?:ed)?(?: with)?(?: code| status)?:? 134\b|\bsignal:? 6\b"
        r"|Abort trap"
        r"|terminate called (?:after throwing an instance of '(?P<detail>[^'\n]{1,100}))?",
        weight=3,
    ),
    _death(
        "check-failed",
        "check failed:",
        r"(?P<object>[\w./-]{1,120}\.(?:cc|h|cpp)):\d+\] (?P<detail>Check failed: [^\n]{0,200})",
        loader="tensorflow",
    ),
    _death(
        "hang",
        ("hang", "stuck", "freeze", "timeout ("),
        r"\b(?:hangs?|stuck|freezes?)\b[^\n]{0,60}\bimport|import[^\n]{0,60}\b(?:hangs?|is stuck|freezes?)\b"
        r"|^Timeout \(",
        weight=3,
    ),
    _death(
        "kernel-died",
        ("kernel appears to have died", "the kernel died", "kernel restarting", "dead kernel"),
        r"kernel appears to have died|The kernel died|Kernel Restarting|Dead kernel",
        weight=3,
        loader="jupyter",
    ),
)
