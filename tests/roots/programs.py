"""Programs to start for real: in this root or, by chroot, in a small tree, and what they say of themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.build import Compiler

# Says every object that was mapped at start, then opens its arguments: the message of each that fails.
SHOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
static int say(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size; (void)data;
    printf("mapped %s\n", info->dlpi_name);
    return 0;
}
int main(int argc, char **argv) {
    dl_iterate_phdr(say, 0);
    for (int i = 1; i < argc; i++)
        printf("%s\n", dlopen(argv[i], RTLD_NOW) ? "opened" : dlerror());
    return 0;
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a program did: the objects mapped at its start in load order, what it said of opening, what on stderr."""

    status: int
    mapped: tuple[str, ...]
    opened: tuple[str, ...]
    stderr: str


def run(program: str, *arguments: str, root: str | None = None, cwd: str | None = None,
        environment: Mapping[str, str] | None = None) -> Started:  # fmt: skip
    """Start a program built of SHOW, by chroot where a root is given."""
    words = [program, *arguments] if root is None else ["chroot", root, program, *arguments]
    path = {"PATH": os.environ["PATH"]} if root is not None else {}
    done = subprocess.run(words, cwd=cwd, env={**path, **(environment or {})}, capture_output=True, check=False)
    lines = os.fsdecode(done.stdout).splitlines()
    mapped = [line.removeprefix("mapped ") for line in lines if line.startswith("mapped ")]
    opened = [line for line in lines if not line.startswith("mapped ")]
    return Started(
        status=done.returncode,
        mapped=tuple(one for one in mapped[1:] if one and not os.path.basename(one).startswith(("linux-", "ld-"))),
        opened=tuple(opened),
        stderr=os.fsdecode(done.stderr),
    )


def system_files(tree: Path) -> None:
    """This system's own loader and C library, at the paths that a program asks for."""
    for path in ("/lib64/ld-linux-x86-64.so.2", *_libraries("libc.so.6", "libm.so.6", "libdl.so.2")):
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(path), place)


def _libraries(*names: str) -> list[str]:
    places = ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib")
    return [next(f"{one}/{name}" for one in places if os.path.exists(f"{one}/{name}")) for name in names]


def program(compiler: Compiler, path: Path, *options: str, source: str = SHOW) -> str:
    """A program at a path; options come behind the source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(compiler.build(source, *options), path)
    return str(path)
