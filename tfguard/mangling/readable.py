"""Prints a mangled C++ name as source would spell it, through the optional package itanium-demangler.

The package gets the name without back references, of bounded length and with its template parameters resolved: its own
printing of those is not that of c++filt, and it needs 7 seconds for a crafted name of 175 characters.
"""

from __future__ import annotations

import re

from tfguard.mangling.expansion import NO_RETURN_TYPE, in_plain_words
from tfguard.mangling.parser import parsed
from tfguard.mangling.writer import LONGEST_PLAIN, Writer

_DISPLAY = 400

_UNPRINTED = re.compile(r"<(?:Qual|Cast|Func|Array|Member)?Node |\{")
_PLAIN_NUMBER = re.compile(
    r"\((?:int|long|short|long long|unsigned int|unsigned long|unsigned short|unsigned long long)\)(n?)([0-9]+)"
)

# as c++filt has them
_SPECIAL_WORDS = {
    "vtt for ": "VTT for ",
    "virtual thunk for ": "virtual thunk to ",
    "non-virtual thunk for ": "non-virtual thunk to ",
}
_SPECIAL = re.compile("|".join(_SPECIAL_WORDS))
_THREAD_LOCAL = {"_ZTH": "TLS init function for ", "_ZTW": "TLS wrapper function for "}


def readable(name: bytes | str, width: int = _DISPLAY) -> str:
    """The symbol as C++ source would spell it; the name itself where it is no C++ or cannot be read.

    `std::string` is the old ABI's, `std::__cxx11::string` the new one's. Needs the package itanium-demangler
    (`pip install "tfguard[names]"`), without it every name stays mangled. At most `width` characters, with `...` for
    the middle of a longer one, all of them printable ASCII. Never raises.
    """
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    shown = _demangled(text) or text
    if not (shown.isascii() and shown.isprintable()):
        shown = shown.encode("unicode_escape").decode("ascii")
    return _cut(shown, width)


def _demangled(text: str) -> str | None:
    if text[:4] in _THREAD_LOCAL:
        inner = _demangled("_Z" + text[4:])
        return inner and _THREAD_LOCAL[text[:4]] + inner
    read = parsed(text)
    if read is None:
        return None
    try:
        from itanium_demangler import parse
    except ImportError:
        return None
    graph, root = read
    try:
        plain, suffix = in_plain_words(graph, root)
        mangled = "_Z" + Writer(graph, None).encoding(plain)
        if len(mangled) > LONGEST_PLAIN:
            return None
        tree = parse(mangled)
        shown = "" if tree is None else str(tree)
    except Exception:  # a foreign parser on names out of any file
        return None
    if not shown or _UNPRINTED.search(shown):
        return None
    shown = _PLAIN_NUMBER.sub(lambda found: "-" * len(found[1]) + found[2], shown)
    shown = shown.replace("(bool)1", "true").replace("(bool)0", "false").removeprefix(f"{'::'.join(NO_RETURN_TYPE)} ")
    if special := _SPECIAL.match(shown):
        shown = _SPECIAL_WORDS[special[0]] + shown[special.end() :]
    return shown + suffix


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    kept = max(width - 3, 2)
    return f"{text[: kept - kept // 2]}...{text[-(kept // 2) :]}"
