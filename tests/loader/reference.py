"""The rules of the loader reference that were verified by experiment, and what tries each of them here.

A rule is tried by the cases whose name begins with its number. For a rule without such a case, `ELSEWHERE` names other
cases or tests that try it, and `REASONS` says why none does. `docs/loader-rules.md` is written from this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

RULES: dict[str, str] = {
    "G-01": "the order of the phases of one dlopen: the first failure decides",
    "G-02": "a failed dlopen leaves nothing behind",
    "G-03": "what is loaded already is not checked again",
    "G-04": "RTLD_NOLOAD gives no message for a file that exists and is not loaded",
    "G-05": "some files end the process instead of failing",
    "G-10": "a message is OBJECT: TEXT, followed by the errno text where there is one",
    "G-11": "which name of the object stands in front of the message",
    "G-12": "a missing dependency is named by its DT_NEEDED string alone",
    "G-14": "the texts of the messages",
    "G-20": "opening: read permission is enough, the errno text follows, a FIFO waits",
    "G-21": "a directory opens and cannot be read",
    "G-22": "fewer bytes than an ELF header: file too short",
    "G-23": "another magic: invalid ELF header",
    "G-24": "another class is passed over, and remembered for the message",
    "G-25": "another byte order; Debian compares the machine first",
    "G-26": "another version in e_ident",
    "G-27": "which OS ABI and ABI version are accepted",
    "G-28": "padding in e_ident must be zero",
    "G-29": "another e_version",
    "G-29a": "another machine is passed over as if the file were absent",
    "G-30": "only ET_DYN and ET_EXEC",
    "G-31": "program headers of another size, or past the end",
    "G-32": "up to 2.35 the ABI tag is held against the kernel",
    "G-33": "section headers are never read",
    "G-36": "no dynamic section",
    "G-37": "no PT_LOAD",
    "G-38": "from 2.35 on addresses and offsets must agree within a page",
    "G-39": "up to 2.34 p_align must be a multiple of the page size too",
    "G-40": "ET_EXEC is refused",
    "G-41": "mmap refused: noexec, W^X, limits",
    "G-42": "DF_1_NOOPEN is refused",
    "G-43": "DF_1_PIE is refused from 2.30 on",
    "G-44": "a truncated file kills where a missing page is touched",
    "G-46": "either hash table will do; none means no definitions",
    "G-48": "assertions on the dynamic section",
    "G-50": "who asks for an executable stack, and who refuses it",
    "G-53": "the x86 ISA level an object is marked with",
    "G-54": "DT_RELR needs the marker version",
    "G-56": "text relocations, with and without the tag",
    "G-60": "a name with a slash is never searched",
    "G-61": "relative names follow the working directory",
    "G-62": "whose RPATH and RUNPATH serve an opened name",
    "G-63": "DT_RUNPATH silences DT_RPATH of the same object",
    "G-64": "the order of the places searched",
    "G-65": "which bad candidates are passed over and which end the search",
    "G-66": "a bad file in a hardware subdirectory ends the search too",
    "G-70": "LD_LIBRARY_PATH: separators, empty and relative entries, tokens",
    "G-71": "RPATH and RUNPATH: separators, empty and relative entries",
    "G-72": "relative entries are resolved at each open",
    "G-73": "an absolute directory that was missing stays missing for the process",
    "G-74": "the recorded path: directory and name, links and dots kept",
    "G-75": "$ORIGIN is the directory of the path as recorded",
    "G-76": "tokens: where they count and how they end",
    "G-77": "the default directories are compiled into the loader",
    "G-78": "DF_1_NODEFLIB refuses default directories for that object",
    "G-80": "hardware subdirectories come first in every list",
    "G-81": "glibc-hwcaps directories of the processor's levels, best first",
    "G-82": "legacy subdirectories up to 2.36",
    "G-85": "filtees of DT_FILTER and DT_AUXILIARY",
    "G-88": "LD_DEBUG tells what the loader searched",
    "G-100": "where the cache is, and when it is read",
    "G-101": "the format of the cache",
    "G-102": "which of several cache entries of one name wins",
    "G-103": "only entries with the process's flags count",
    "G-104": "names in the cache are compared by the number in digit runs",
    "G-105": "up to 2.35 entries for newer kernels are ignored",
    "G-106": "a cached path that is absent is passed over, a bad one ends the search",
    "G-107": "an unusable cache is no error",
    "G-108": "what ldconfig puts into the cache",
    "G-110": "which names a loaded object answers to",
    "G-111": "the same device and inode is the same object",
    "G-112": "the first object of a soname wins",
    "G-115": "loading is breadth first, in file order",
    "G-121": "a version need of a file that nobody needs kills the process",
    "G-122": "a version that the provider does not define",
    "G-123": "a provider without definitions is tolerated",
    "G-124": "a provider without any version table kills up to 2.40",
    "G-126": "which definition a versioned reference takes",
    "G-127": "which definition an unversioned reference takes",
    "G-130": "the scope in which a symbol is looked up",
    "G-131": "Python's own symbols must be in the global scope",
    "G-132": "what does not count as a definition",
    "G-133": "references that never fail",
    "G-134": "which relocations are checked under RTLD_LAZY",
    "G-135": "which object and which symbol is named first",
    "G-143": "an unknown relocation type",
    "G-144": "IFUNC definitions satisfy any reference",
    "G-150": "relocations, not flags, take room for static thread-local blocks",
    "G-151": "alignment and threads make a static block impossible",
    "G-152": "how large that room is",
    "G-153": "how blocks add up in it",
    "G-154": "TLSDESC takes room as long as there is some",
    "G-155": "definers of static blocks met in Python processes",
    "G-160": "what LD_PRELOAD brings for later loads",
    "G-161": "/etc/ld.so.preload",
    "G-162": "a missing audit module is a warning",
    "G-163": "LD_BIND_NOW, empty and not",
    "G-164": "the loader started by hand, and its options",
    "G-165": "secure mode ignores the environment",
    "G-166": "secure mode and $ORIGIN of the program",
    "G-168": "dlopen in a static program",
    "M-01": "the order of the places searched",
    "M-02": "RPATH and RUNPATH mean the same, and both are inherited",
    "M-03": "separators, empty and relative entries",
    "M-04": "the system path and its file",
    "M-05": "the first file that opens is taken",
    "M-06": "tokens",
    "M-07": "names that are the loader itself",
    "M-08": "which names a loaded object answers to",
    "M-09": "what musl does not have",
    "M-10": "what musl does not check",
    "M-11": "what makes Exec format error",
    "M-12": "files of another machine",
    "M-13": "noexec, directories, cut files",
    "M-14": "hash tables",
    "M-20": "versions are not checked",
    "M-21": "what counts as a definition",
    "M-22": "IFUNC is not supported",
    "M-23": "what RTLD_LAZY defers",
    "M-24": "the order of relocation",
    "M-25": "initial-exec thread-local variables of later objects",
    "M-26": "weak references, and lazy calls of what is missing",
    "M-30": "the texts of the messages",
    "M-31": "the empty name, and dlclose",
    "M-40": "glibc libraries under musl",
    "I-01": "an extension is opened by a path",
    "I-02": "whose RUNPATH serves ctypes",
    "I-03": "a program's RPATH serves all, its RUNPATH nobody else",
    "I-04": "numpy's wheel lives on an inherited RPATH",
    "I-05": "TensorFlow's wheel has RUNPATH everywhere",
    "I-06": "which object holds Python's symbols",
    "I-07": "a static musl program cannot load",
    "I-08": "the environment at process start",
    "I-10": "a program started through the loader by hand",
    "I-11": "AT_SECURE",
    "I-12": "what the list of loaded objects tells",
    "H-02": "the default directories can be read from the loader's file",
    "H-03": "where the version of the C library stands",
    "H-04": "texts in the loader's file tell its features",
    "P-02": "a reader that needs section headers refuses files that load",
}

# Cases by the beginning of their name, or tests as file::function, which try a rule that has no case of its own number.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "G-05": ("G-20-fifo", "G-44-", "G-48-", "G-121-"),
    "G-10": ("G-20-", "G-65-only-"),
    "G-11": ("G-22-", "G-36-", "G-122-", "G-130-undefined", "G-53-"),
    "G-12": ("G-115-first-missing-is-breadth-first",),
    "G-14": ("G-2", "G-3", "G-4", "G-5", "G-122-"),
    "G-39": ("G-38-",),
    "G-72": ("G-70-relative", "G-71-relative"),
    "G-77": ("tests/test_host.py::test_system_directories", "G-100-system-"),
    "G-80": ("tests/test_host.py::test_every_subdirectory", "G-81-"),
    "G-124": ("G-126-",),
    "G-127": ("G-126-plain-",),
    "G-143": ("G-133-unknown-relocation-undefined",),
    "G-164": ("tests/test_host.py::test_explicit_loader",),
    "G-165": ("tests/test_host.py::test_secure_mode", "tests/test_host.py::test_library_path"),
    "M-04": ("tests/musl/test_tree.py::test_the_path_file_is_read", "tests/oracle/test_musl_worlds.py::test_forests"),
    "M-25": ("tests/musl/test_against_musl.py::test_static_tls_of_a_late_library",),
    "M-30": ("tests/musl/test_messages.py::test_musl_says_it",),
    "M-40": ("tests/musl/test_tree.py::test_a_wheel_for_glibc_is_named_as_one", "tests/musl/test_live.py"),
    "I-01": ("G-115-", "tests/test_imports.py"),
    "I-02": ("G-64-bare-name-", "G-62-"),
    "I-03": ("G-64-rpath-of-the-program", "G-64-runpath-of-the-program"),
    "I-06": ("G-131-",),
    "I-07": ("tests/musl/test_messages.py::test_musl_says_it",),
    "I-08": ("tests/test_host.py::test_library_path_at_start", "tests/test_host.py::test_environment_overwritten"),
    "I-10": ("tests/test_host.py::test_explicit_loader",),
    "I-11": ("tests/test_host.py::test_secure_mode",),
    "I-12": ("tests/test_host.py::test_loaded_objects", "tests/test_host.py::test_start_up_objects"),
    "H-02": ("tests/test_host.py::test_system_directories",),
    "H-03": ("tests/test_host.py::test_version",),
    "H-04": ("G-38-", "G-43-", "G-50-", "G-54-"),
    "P-02": ("G-33-", "tests/binary/test_second_opinion.py"),
}

REASONS: dict[str, str] = {
    "G-04": "no door of tfguard loads with RTLD_NOLOAD, and the model has no such load",
    "G-88": "this is how the loader is asked, not what it does",
    "G-108": "what another program writes; tfguard reads the result and predicts nothing from its input",
    "G-134": "tfguard judges every load as RTLD_NOW, which is what Python and TensorFlow use",
    "G-155": "a list of libraries, not something a loader does",
    "G-162": "audit modules may rewrite any name and are not modelled",
    "G-163": "tfguard judges every load as RTLD_NOW, which binds everything at once anyway",
    "G-168": "Python is no static program where it can load anything",
    "I-04": "read in a wheel; what it stands on is G-64",
    "I-05": "read in a wheel; what it stands on is G-64",
    "M-23": "tfguard judges every load as RTLD_NOW, which is what Python and TensorFlow use",
}


class Tried(NamedTuple):
    """A rule, its title, and either what tries it or the reason why nothing does."""

    number: str
    title: str
    cases: tuple[str, ...]
    tests: tuple[str, ...]
    reason: str | None


def number_of(case_id: str) -> str:
    """The number of the rule at the beginning of a case's name."""
    found = re.match(r"[A-Z]-\d+a?(?=-)", case_id)
    return found[0] if found else ""


def table(case_ids: Iterable[str]) -> list[Tried]:
    """One row for each rule, in the order of the reference."""
    ids = tuple(case_ids)
    rows: list[Tried] = []
    for number, title in RULES.items():
        own = [one for one in ids if number_of(one) == number]
        named = ELSEWHERE.get(number, ())
        own += [one for name in named if "/" not in name for one in ids if one.startswith(name) and one not in own]
        tests = tuple(name for name in named if "/" in name)
        rows.append(Tried(number, title, tuple(own), tests, REASONS.get(number)))
    return rows
