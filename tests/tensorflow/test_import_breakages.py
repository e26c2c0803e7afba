"""Breaks a copy of the real TensorFlow in each of the ways people meet, and holds the guard against the real load."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tests.support.tensorflow_copy import GUARDED, UNGUARDED, Ended, TensorFlowCopy
from tests.support.wheels import member_of_wheel
from tfguard.diagnosis.post_mortem import diagnose

pytestmark = pytest.mark.tensorflow

FRAMEWORK = "tensorflow/libtensorflow_framework.so.2"
CORE = "tensorflow/libtensorflow_cc.so.2"
COMMON = "tensorflow/python/lib_pywrap_tensorflow_common.so"
FIRST = "tensorflow/python/platform/_pywrap_cpu_feature_guard.so"
TFE = "tensorflow/python/_pywrap_tfe.so"

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 65222328\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>" + b" " * 200 + b"</body></html>\n"

# Opens one library as an import would, without numpy's own words around the loader's.
OPENED = """
import ctypes, json
PREPARE
try:
    ctypes.CDLL(path)
    print(json.dumps({"error": None}))
except OSError as error:
    print(json.dumps({"error": "OSError", "text": str(error)}))
"""

Break = Callable[[TensorFlowCopy], object]


def half(name: str) -> Break:
    return lambda copy: copy.cut(name, (copy.original / name).stat().st_size // 2)


def cut(name: str, size: int) -> Break:
    return lambda copy: copy.cut(name, size)


def put(name: str, content: bytes | None) -> Break:
    return lambda copy: copy.replace(name, content)


def zeroed_magic(copy: TensorFlowCopy) -> None:
    data = (copy.original / TFE).read_bytes()
    copy.replace(TFE, b"\0\0\0\0" + data[4:])


def machine(number: int) -> Break:
    def apply(copy: TensorFlowCopy) -> None:
        data = bytearray((copy.original / TFE).read_bytes())
        struct.pack_into("<H", data, 18, number)
        copy.replace(TFE, bytes(data))

    return apply


def directory(copy: TensorFlowCopy) -> None:
    copy.replace(FRAMEWORK, None).mkdir()


CASES: list[tuple[str, Break, str]] = [
    ("framework-0-bytes", cut(FRAMEWORK, 0), "TFG115"),
    ("framework-100-bytes", cut(FRAMEWORK, 100), "TFG116"),
    ("framework-4096-bytes", cut(FRAMEWORK, 4096), "TFG116"),
    ("framework-half", half(FRAMEWORK), "TFG116"),
    ("common-half", half(COMMON), "TFG116"),
    ("module-half", half(TFE), "TFG116"),
    ("first-module-4096", cut(FIRST, 4096), "TFG116"),
    ("magic-zeroed", zeroed_magic, "TFG118"),
    ("lfs-pointer", put(FRAMEWORK, LFS), "TFG119"),
    ("web-page", put(FRAMEWORK, PAGE), "TFG120"),
    ("other-machine", machine(183), "TFG101"),
    ("framework-missing", put(FRAMEWORK, None), "TFG201"),
    ("needed-deleted", put(COMMON, None), "TFG201"),
    ("directory", directory, "TFG113"),
]


def agree(guarded: Ended, unguarded: Ended, code: str) -> None:
    """The guard raised first, named the cause, and foresaw the real load's own end word for word."""
    assert guarded.said, guarded.stderr
    assert guarded.said["error"] == "GuardImportError", guarded.said
    codes = guarded.said["codes"]
    assert isinstance(codes, list)
    assert codes[0] == code, guarded.said["text"]
    assert str(guarded.said["text"]).startswith(f"{code} ")
    assert not guarded.said["mapped"]
    assert not guarded.said["cause"]
    if unguarded.signal:
        assert guarded.said["loader_message"] is None
        assert {7: "SIGBUS", 11: "SIGSEGV"}[unguarded.signal] in str(guarded.said["dies"])
    else:
        assert unguarded.said["error"] is not None
        assert guarded.said["loader_message"] == unguarded.said["text"]


@pytest.mark.parametrize(("apply", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_broken_file(copy: TensorFlowCopy, apply: Break, code: str) -> None:
    """A file of the installation is not what it should be."""
    apply(copy)

    agree(copy.run(GUARDED), copy.run(UNGUARDED), code)


# Makes the block in the broken environment, by the command, in each form.
REPORTED = """
import contextlib, io, json
from tfguard.__main__ import main
said = {}
for form in ("", "--markdown", "--json"):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["report", *filter(None, [form])])
    said[form] = out.getvalue()
print(json.dumps(said))
"""


# Of the default run, one in five.
REPORTS = [
    pytest.param(apply, code, id=name, marks=[pytest.mark.slow] if number % 5 else [])
    for number, (name, apply, code) in enumerate(CASES)
]


@pytest.mark.parametrize(("apply", "code"), REPORTS)
def test_report_is_read_on_another_machine(copy: TensorFlowCopy, apply: Break, code: str) -> None:
    """`python -m tfguard report` there, `diagnose` here, where nothing is broken: the same cause, in each form."""
    apply(copy)
    reported = copy.run(REPORTED)
    copy.mend()

    told = {form: diagnose(str(text)).findings[0].code for form, text in reported.said.items()}

    assert told == dict.fromkeys(("", "--markdown", "--json"), code), reported.stderr


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, to be held to file modes")
@pytest.mark.parametrize("name", [FRAMEWORK, FIRST], ids=["framework", "module"])
def test_unreadable_file(copy: TensorFlowCopy, name: str) -> None:
    """A file of mode 000, for a user whom file modes bind."""
    copy.replace(name, (copy.original / name), mode=0)

    agree(copy.run(GUARDED, ordinary=True), copy.run(UNGUARDED, ordinary=True), "TFG112")


@pytest.mark.parametrize(
    ("options", "code"),
    [(("-m32", "-shared", "-fPIC", "-nostdlib"), "TFG102"), (("-c",), "TFG123"), (("-pie", "-fPIE"), "TFG124")],
    ids=["32-bit", "object-file", "pie"],
)
def test_other_kind_of_elf(copy: TensorFlowCopy, compiler: Compiler, options: tuple[str, ...], code: str) -> None:
    """A real ELF file of another kind stands in place of the framework."""
    source = "int main(void) { return 0; }"
    try:
        other = compiler.build(source, *options)
    except subprocess.CalledProcessError:
        pytest.skip(f"this compiler has no {options[0]}")
    copy.replace(FRAMEWORK, other)

    agree(copy.run(GUARDED), copy.run(UNGUARDED), code)


OLD_LIBSTDCXX = "GLIBCXX_3.4 { global: old; }; GLIBCXX_3.4.19 { } GLIBCXX_3.4;"


def old_libstdcxx(compiler: Compiler, folder: Path, versions: str | None) -> Path:
    script = folder / "versions.map"
    options = ["-Wl,-soname,libstdc++.so.6"]
    if versions is not None:
        script.write_text(versions)
        options.append(f"-Wl,--version-script={script}")
    return compiler.shared(folder / "libstdc++.so.6", "int old(void) { return 0; }", *options)


@pytest.mark.parametrize(("versions", "code"), [(OLD_LIBSTDCXX, "TFG304"), (None, "TFG505")], ids=["older", "stub"])
def test_other_libstdcxx_first(
    copy: TensorFlowCopy, compiler: Compiler, tmp_path: Path, versions: str | None, code: str
) -> None:
    """LD_LIBRARY_PATH leads to a libstdc++.so.6 that is older, or none at all."""
    old_libstdcxx(compiler, tmp_path, versions)
    env = {"LD_LIBRARY_PATH": str(tmp_path)}

    agree(copy.run(GUARDED, env=env), copy.run(UNGUARDED, env=env), code)


def test_older_libstdcxx_already_loaded(copy: TensorFlowCopy, compiler: Compiler, tmp_path: Path) -> None:
    """Another module has loaded an older libstdc++.so.6 before."""
    path = old_libstdcxx(compiler, tmp_path, OLD_LIBSTDCXX)
    prepare = f"import ctypes; ctypes.CDLL({str(path)!r})"

    agree(copy.run(GUARDED, prepare=prepare), copy.run(UNGUARDED, prepare=prepare), "TFG304")


def mount_noexec(where: Path) -> bool:
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "noexec,size=64m", "tmpfs", str(where)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def test_noexec_mount(copy: TensorFlowCopy, tmp_path: Path) -> None:
    """A library of the installation lies on a file system mounted noexec."""
    where = tmp_path / "noexec"
    if not mount_noexec(where):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        shutil.copy(copy.original / TFE, where / "_pywrap_tfe.so")
        copy.replace(TFE, None).symlink_to(where / "_pywrap_tfe.so")

        agree(copy.run(GUARDED), copy.run(UNGUARDED), "TFG128")
    finally:
        subprocess.run(["umount", str(where)], check=True)


@pytest.mark.parametrize(
    ("platform", "member", "code"),
    [
        ("manylinux_2_27_aarch64", "numpy/_core/_multiarray_umath.*-aarch64-linux-gnu.so", "TFG101"),
        ("macosx_14_0_arm64", "numpy/_core/_multiarray_umath.*-darwin.so", "TFG125"),
    ],
    ids=["aarch64-build", "macos-build"],
)
def test_real_build_for_another_platform(
    copy: TensorFlowCopy, tmp_path: Path, platform: str, member: str, code: str
) -> None:
    """numpy's core module, which TensorFlow imports, from its real wheel for another platform."""
    import numpy

    other = member_of_wheel(f"numpy=={numpy.__version__}", platform, member, tmp_path)
    suffix = f".cpython-3{sys.version_info[1]}-{os.uname().machine}-linux-gnu.so"
    name = f"numpy/_core/_multiarray_umath{suffix}"
    if not (copy.original / name).exists():
        pytest.skip("this numpy keeps its core module elsewhere")
    copy.replace(name, other)
    unguarded = copy.run(OPENED, prepare=f"path = {str(copy.site / name)!r}")

    # numpy wraps the loader's words in advice of its own, so the loader is asked directly
    agree(copy.run(GUARDED), unguarded, code)


def test_cut_behind_the_last_segment_still_loads(copy: TensorFlowCopy) -> None:
    """A file cut behind its last PT_LOAD loads: a warning, no error."""
    from tfguard.binary.elf import look_at
    from tfguard.image import Image

    image = look_at(str(copy.original / FRAMEWORK)).content
    assert isinstance(image, Image)
    copy.cut(FRAMEWORK, image.load_end)

    guarded = copy.run(GUARDED)
    report = copy.run(
        "import json, tfguard\nr = tfguard.check_import()\n"
        "print(json.dumps({'ok': r.ok, 'codes': [f.code for f in r.findings]}))"
    )

    assert guarded.said == {"error": None}
    # warnings: its size is not the recorded one, and the file ends before its section headers
    assert report.said == {"ok": True, "codes": ["TFG405", "TFG117"]}


def test_the_loader_in_this_test_is_real() -> None:
    """The verdicts above come from a glibc process: the C library says its name."""
    assert hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
