"""Cases of the rules about one file: for whom it was built, how it lies on disk, what it holds, if it may be mapped."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.loader.cases_kernel import for_kernel
from tests.loader.scene import Scene, Unavailable
from tests.rules.stage import Question, RuleCase
from tests.support.elf_edit import with_header
from tests.support.elf_writer import Export, Import, Library, write
from tfguard.image import EM_AARCH64

_PLAIN = write(Library(soname="op.so", exports=(Export(name="x"),)))
_UNKNOWN_RELOCATION = write(
    Library(soname="op.so", exports=(Export(name="x"),), imports=(Import(name="free", relocation=200),))
)
_SOURCE = "int answer(void) { return 42; }"
_BIG = "static char big[20000] = {1}; static char *pointer = big; int answer(int i) { return *pointer + big[i]; }"
_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 56232\n"
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>" + b" " * 200 + b"</body></html>\n"
_MACHO = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x100000C, 0, 6, 0, 0, 0, 0) + bytes(64)
_PE = (
    b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40) + struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 0, 0x2000)
)
_SCRIPT = b"/* GNU ld script */\nGROUP ( /usr/lib/libanswer.so.6 AS_NEEDED ( libmore.so.2 ) )\n" * 2
_TEXT = b"see https://example.org for the library, which is too large to be kept in this place\n"
_PYTHON = b"import os\nimport sys\n\n\ndef main():\n    print('this is no library, as you see')\n"

LayOut = Callable[[Scene], Question]


def _bytes(data: bytes, name: str = "op.so", **fields: object) -> LayOut:
    """A file of these bytes, opened by its path."""
    return lambda scene: Question(target=scene.write(name, data), **fields)  # type: ignore[arg-type]  # its own fields


def _needing(data: bytes, name: str = "libpart.so.1") -> LayOut:
    """An op that needs a library, which LD_LIBRARY_PATH leads to."""

    def lay_out(scene: Scene) -> Question:
        scene.write(f"lib/{name}", data)
        op = scene.library("op.so", soname="op.so", needed=(name,))
        return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})

    return lay_out


def _opened_as_op(lay_out: LayOut) -> LayOut:
    """The same file, opened as an op library of an installed TensorFlow."""

    def lay_out_for_op(scene: Scene) -> Question:
        scene.write("site-packages/tensorflow/__init__.py", b"")
        scene.write("site-packages/tensorflow-2.99.0.dist-info/RECORD", b"tensorflow/__init__.py,,\n")
        return Question(target=lay_out(scene).target, door="op", path=(f"{scene.root}/site-packages",))

    return lay_out_for_op


def _hiding(data: bytes) -> LayOut:
    """A bad file on LD_LIBRARY_PATH in front of a good one, with another folder there that must stay."""

    def lay_out(scene: Scene) -> Question:
        scene.write("bad/libpart.so.1", data)
        scene.library("good/libpart.so.1", soname="libpart.so.1")
        op = scene.library("op.so", soname="op.so", needed=("libpart.so.1",))
        return Question(
            target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/bad:{scene.root}/good:{scene.root}/other"}
        )

    return lay_out


def _foreign_and_better(scene: Scene) -> Question:
    """The search passes over a foreign library; a right one lies beside the op, where nothing leads."""
    scene.write("lib/libpart.so.1", with_header(_PLAIN, e_machine=EM_AARCH64))
    scene.library("libpart.so.1", soname="libpart.so.1")
    op = scene.library("op.so", soname="op.so", needed=("libpart.so.1",))
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})


def _for_newer_kernel(*, searched: bool) -> LayOut:
    """A tag that asks for Linux 3.17, on one of 3.10, in a process of glibc 2.31."""

    def lay_out(scene: Scene) -> Question:
        host = {"features": ["checks-abi-tag"], "version": [2, 31], "kernel": 0x030A00}
        path = scene.write("lib/libx.so.1", for_kernel((3, 17, 0)))
        return Question(target=scene.top(runpath=f"{scene.root}/lib") if searched else path, host=host)

    return lay_out


def _in_package(data: bytes | None, name: str = "fancy/_core.so") -> LayOut:
    """A file of an installed distribution, which its RECORD lists."""

    def lay_out(scene: Scene) -> Question:
        record = f"{name},sha256=abc,123\nfancy/__init__.py,sha256=def,0\n"
        scene.write("site-packages/fancy-1.2.3.dist-info/RECORD", record.encode())
        path = scene.path(f"site-packages/{name}")
        if data is not None:
            scene.write(f"site-packages/{name}", data)
        return Question(target=path)

    return lay_out


def _thirty_two_bit(scene: Scene) -> Question:
    return Question(target=_build(scene, "op.so", "-m32", "-shared", "-fPIC", "-nostdlib"))


def _build(scene: Scene, name: str, *options: str, source: str = _SOURCE) -> str:
    try:
        return scene.write(name, scene.compiler.build(source, *options).read_bytes())
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"this compiler does not know {options}") from error


def _built(*options: str, name: str = "op.so", source: str = _SOURCE) -> LayOut:
    return lambda scene: Question(target=_build(scene, name, *options, source=source))


def _small_pages(scene: Scene) -> Question:
    path = _build(scene, "op.so", "-shared", "-fPIC", "-nostdlib", "-Wl,-z,max-page-size=4096", source=_BIG)
    return Question(target=path, host={"page_size": 65536})


def _low_processor(scene: Scene) -> Question:
    path = scene.library("op.so", soname="op.so", isa_needed=0b1000)
    return Question(target=path, host={"isa_level": 2, "features": ["isa-level"]})


def _unknown_level(scene: Scene) -> Question:
    return Question(target=scene.library("op.so", soname="op.so", isa_needed=0x8000))


def _absent(scene: Scene) -> Question:
    return Question(target=scene.path("build/op.so"))


def _folder_absent(scene: Scene) -> Question:
    return Question(target=f"{scene.root}/no/such/op.so")


def _other_name(scene: Scene) -> Question:
    scene.write("libroi_pooling.so", _PLAIN)
    scene.write("roi_pooling.cpython-311-x86_64-linux-gnu.so", _PLAIN)
    return Question(target="./roi_pooling.so", cwd=str(scene.root))


def _dangling(scene: Scene) -> Question:
    return Question(target=scene.link("op.so", "../moved/op.so"))


def _bare(scene: Scene) -> Question:
    scene.write("op.so", _PLAIN)
    return Question(target="op.so", cwd=str(scene.root))


def _unreadable(scene: Scene) -> Question:
    path = scene.write("op.so", _PLAIN)
    os.chmod(path, 0)
    return Question(target=path, ordinary=True)


def _unreadable_needed(scene: Scene) -> Question:
    question = _needing(_PLAIN)(scene)
    os.chmod(scene.path("lib/libpart.so.1"), 0)
    return Question(target=question.target, environment=question.environment, ordinary=True)


def _closed_folder(scene: Scene) -> Question:
    path = scene.write("closed/inner/op.so", _PLAIN)
    os.chmod(scene.path("closed"), 0o600)
    return Question(target=path, ordinary=True)


def _closed_folder_on_the_way(scene: Scene) -> Question:
    """A closed folder on LD_LIBRARY_PATH may or may not hold the library: nobody knows that it does."""
    question = _needing(_PLAIN, "libabsent.so.1")(scene)
    os.chmod(scene.path("lib"), 0o600)
    return Question(target=question.target, environment=question.environment, ordinary=True)


def _directory(scene: Scene) -> Question:
    scene.write("build/libop.so", _PLAIN)
    return Question(target=f"{scene.root}/build")


def _directory_needed(scene: Scene) -> Question:
    scene.directory("lib/libpart.so.1")
    op = scene.library("op.so", soname="op.so", needed=("libpart.so.1",))
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})


def _fifo(scene: Scene) -> Question:
    path = scene.path("op.so")
    os.mkfifo(path)
    return Question(target=path)


def _device(scene: Scene) -> Question:
    return Question(target="/dev/null")


def _read_error(scene: Scene) -> Question:
    return Question(target="/proc/self/mem")


def _cut(part: float) -> LayOut:
    """A gcc-made library cut to a part of its size."""

    def lay_out(scene: Scene) -> Question:
        path = Path(_build(scene, "op.so", "-shared", "-fPIC", "-nostdlib", source=_BIG))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])
        return Question(target=str(path))

    return lay_out


def _no_section_headers(scene: Scene) -> Question:
    path = Path(_build(scene, "op.so", "-shared", "-fPIC", "-nostdlib", source=_BIG))
    path.write_bytes(path.read_bytes()[:-64])
    return Question(target=str(path))


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x" * 100)
    return file.getvalue()


def _archive(scene: Scene) -> Question:
    built = scene.write("answer.o", scene.compiler.build(_SOURCE, "-c", "-fPIC").read_bytes())
    path = scene.path("libop.a")
    subprocess.run(["ar", "rcD", path, built], check=True)
    return Question(target=path)


CASES = (
    RuleCase("TFG101", _bytes(with_header(_PLAIN, e_machine=EM_AARCH64))),
    RuleCase("TFG101-needed", _needing(with_header(_PLAIN, e_machine=EM_AARCH64))),
    RuleCase("TFG101-right-one-elsewhere", _foreign_and_better),
    RuleCase("TFG101-of-a-package", _in_package(with_header(_PLAIN, e_machine=EM_AARCH64))),
    RuleCase("TFG153", _for_newer_kernel(searched=False)),
    RuleCase("TFG153-needed", _for_newer_kernel(searched=True)),
    RuleCase("TFG101-op", _opened_as_op(_bytes(with_header(_PLAIN, e_machine=EM_AARCH64), "roi_pooling.so"))),
    RuleCase("TFG102", _thirty_two_bit),
    RuleCase("TFG102-needed", _needing(with_header(_PLAIN, ei_class=1))),
    RuleCase("TFG103", _bytes(with_header(_PLAIN, ei_data=2))),
    RuleCase("TFG104", _bytes(with_header(_PLAIN, ei_osabi=9))),
    RuleCase("TFG105", _small_pages),
    RuleCase("TFG106", _low_processor),
    RuleCase("TFG106-unknown-level", _unknown_level, compared=False),
    RuleCase("TFG110", _absent),
    RuleCase("TFG110-folder", _folder_absent),
    RuleCase("TFG110-op", _opened_as_op(_absent)),
    RuleCase("TFG110-other-name", _other_name),
    RuleCase("TFG110-dangling-link", _dangling),
    RuleCase("TFG110-of-a-package", _in_package(None)),
    RuleCase("TFG111", _bare),
    RuleCase("TFG112", _unreadable),
    RuleCase("TFG112-needed", _unreadable_needed),
    RuleCase("TFG112-folder", _closed_folder),
    RuleCase("TFG201-closed-folder-searched", _closed_folder_on_the_way),
    RuleCase("TFG113", _directory),
    RuleCase("TFG113-needed", _directory_needed),
    RuleCase("TFG114", _fifo),
    RuleCase("TFG114-device", _device, warning=True),
    RuleCase("TFG115", _bytes(b"")),
    RuleCase("TFG115-driver", _needing(b"", "libcuda.so.1")),
    RuleCase("TFG116", _cut(0.5)),
    RuleCase("TFG116-in-its-header", _bytes(_PLAIN[:40])),
    RuleCase("TFG117", _no_section_headers, warning=True),
    RuleCase("TFG118", _bytes(b"\0\0\0\0" + _PLAIN[4:])),
    RuleCase("TFG118-relocation", _bytes(_UNKNOWN_RELOCATION)),
    RuleCase("TFG118-zeros", _bytes(bytes(8192))),
    RuleCase("TFG118-few-zeros", _bytes(bytes(20))),
    RuleCase("TFG118-padding", _bytes(with_header(_PLAIN, ei_pad=1))),
    RuleCase("TFG119", _bytes(_LFS)),
    RuleCase("TFG119-of-a-package", _in_package(_LFS)),
    RuleCase("TFG120", _bytes(_PAGE)),
    RuleCase("TFG121", _bytes(_SCRIPT)),
    RuleCase("TFG122", _archive),
    RuleCase("TFG123", _built("-c", "-fPIC", name="op.o")),
    RuleCase("TFG123-called-so", _built("-c", "-fPIC")),
    RuleCase("TFG123-op", _opened_as_op(_built("-c", "-fPIC", name="roi_pooling.o"))),
    RuleCase("TFG124", _built("-pie", "-fPIE", name="program", source="int main(void) { return 0; }")),
    RuleCase("TFG124-fixed", _built("-no-pie", name="program", source="int main(void) { return 0; }")),
    RuleCase("TFG125", _bytes(_MACHO)),
    RuleCase("TFG126", _bytes(_PE)),
    RuleCase("TFG127", _bytes(_TEXT)),
    RuleCase("TFG127-short-text", _bytes(b"not here\n")),
    RuleCase("TFG127-link-as-text", _bytes(b"libop.so.2.1.0", "libop.so.2")),
    RuleCase("TFG127-hides-a-good-one", _hiding(_TEXT)),
    RuleCase("TFG127-gzip", _bytes(gzip.compress(_PLAIN, mtime=0))),
    RuleCase("TFG127-zip", _bytes(_zip("op/libop.so", "op/readme.txt"))),
    RuleCase("TFG127-wheel", _bytes(_zip("fancy/_core.so", "fancy-1.2.dist-info/RECORD"))),
    RuleCase("TFG127-bitcode", _bytes(b"BC\xc0\xde" + bytes(100))),
    RuleCase("TFG127-python", _bytes(_PYTHON)),
    RuleCase("TFG902", lambda scene: Question(target="", asks=False), warning=True),
    RuleCase("TFG903", _read_error),
)  # fmt: skip
