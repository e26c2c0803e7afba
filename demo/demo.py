"""The main job on real input: a real TensorFlow and a real op, sound and broken, loaded through tfguard."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import tfguard

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("demo/roi_pooling.cc")
BUILD = Path("demo/build")
COMPILER = os.environ.get("CXX", "g++")

# a real op library inside the TensorFlow wheel, for machines without a compiler
BUNDLED_OP = "lite/experimental/microfrontend/python/ops/_audio_microfrontend_op.so"

E_MACHINE_OFFSET = 18  # in the ELF header: two bytes, the machine the file is built for
EM_X86_64, EM_AARCH64 = 62, 183


class DemoError(Exception):
    """Something went otherwise than this demo promises."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The C++ compiler, with the flags that the installed wheel asks for."""

    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]

    def compile(self, source: Path, target: Path) -> Path:
        return run_compiler(target, "-O2", "-fPIC", *self.compile_flags, "-c", str(source))

    def link(self, objects: Path, target: Path, *extra: str) -> Path:
        return run_compiler(target, "-shared", str(objects), *extra, *self.link_flags)

    def with_old_abi(self) -> Toolchain:
        """The same, but with the C++ ABI from before GCC 5."""
        kept = (flag for flag in self.compile_flags if not flag.startswith("-D_GLIBCXX_USE_CXX11_ABI="))
        return Toolchain((*kept, "-D_GLIBCXX_USE_CXX11_ABI=0"), self.link_flags)


def run_compiler(target: Path, *arguments: str) -> Path:
    """Build `target`; the compiler's own messages are shown only where it fails."""
    command = [COMPILER, *arguments, "-o", str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise DemoError(f"{COMPILER} could not build {target}\n{result.stderr}")
    return target


def heading(text: str) -> None:
    print(f"\n== {text} ==\n", flush=True)


def check_tensorflow() -> None:
    heading("1. Check TensorFlow, importing nothing of it")
    begin = time.perf_counter()
    report = tfguard.check_import("tensorflow")
    took = time.perf_counter() - begin

    print(f'>>> tfguard.check_import("tensorflow")     # {took * 1000:.0f} ms')
    print(report)
    if not report.ok:
        raise DemoError("this TensorFlow installation is broken: see above")
    if "tensorflow" in sys.modules:
        raise DemoError("the check has imported TensorFlow")


def import_tensorflow() -> ModuleType:
    heading("2. Import it, guarded")
    begin = time.perf_counter()
    tensorflow = tfguard.safe_import("tensorflow")
    took = time.perf_counter() - begin

    print(f'>>> tf = tfguard.safe_import("tensorflow")     # {took:.1f} s, check included')
    print(f"TensorFlow {tensorflow.__version__}")
    return tensorflow


def find_toolchain(tensorflow: ModuleType) -> Toolchain | None:
    """The C++ compiler of this machine, None where it has none."""
    if shutil.which(COMPILER) is None:
        return None
    flags = tensorflow.sysconfig
    return Toolchain(tuple(flags.get_compile_flags()), tuple(flags.get_link_flags()))


def build_op(tools: Toolchain) -> Path:
    heading("3. Build a custom op against the wheel's headers")
    print(f"$ {COMPILER} {SOURCE} ...", flush=True)
    begin = time.perf_counter()
    op = tools.link(tools.compile(SOURCE, BUILD / "roi_pooling.o"), BUILD / "roi_pooling.so")
    print(f"{op}: {op.stat().st_size} bytes in {time.perf_counter() - begin:.1f} s")
    return op


def load_and_run(op: Path) -> None:
    """Load the op, guarded, and hold what it computes against numpy."""
    import numpy as np  # after the import of TensorFlow, so that step 2 is the whole of it

    heading("4. Load it, guarded, and run it")
    begin = time.perf_counter()
    ops = tfguard.load_op_library(op)
    took = time.perf_counter() - begin
    print(f'>>> ops = tfguard.load_op_library("{op}")     # {took * 1000:.0f} ms, check included')

    features = np.arange(2 * 6 * 8 * 3, dtype=np.float32).reshape(2, 6, 8, 3) % 101
    rois = np.array([[0, 0, 0, 8, 6], [1, 1, 2, 6, 5], [1, 3, 3, 3, 3]], dtype=np.int32)
    pooled = ops.roi_pooling(features=features, rois=rois, pool_height=2, pool_width=3).numpy()

    expected = np.zeros((3, 2, 3, 3), np.float32)
    for i, (batch, x0, y0, x1, y1) in enumerate(rois.tolist()):
        for row, column in np.ndindex(2, 3):
            cells = features[batch, bin_of(y0, y1, row, 2), bin_of(x0, x1, column, 3)].reshape(-1, 3)
            expected[i, row, column] = cells.max(axis=0) if cells.size else 0
    print(">>> ops.roi_pooling(features=features, rois=rois, pool_height=2, pool_width=3)")
    if not np.array_equal(pooled, expected):
        raise DemoError(f"roi_pooling computed\n{pooled}\nand numpy\n{expected}")
    print(f"shape {pooled.shape}, every number as numpy computes it")


def bin_of(begin: int, end: int, index: int, count: int) -> slice:
    """The cells of one bin along one axis, as the op's documentation defines them."""
    size = end - begin
    return slice(begin + index * size // count, begin + -(-(index + 1) * size // count))


def empty_directory(name: str) -> Path:
    directory = BUILD / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def wrong_machine(sound: Path) -> Path:
    image = bytearray(sound.read_bytes())
    (native,) = struct.unpack_from("<H", image, E_MACHINE_OFFSET)
    other = EM_X86_64 if native == EM_AARCH64 else EM_AARCH64
    struct.pack_into("<H", image, E_MACHINE_OFFSET, other)
    path = empty_directory("wrong-machine") / sound.name
    path.write_bytes(image)
    return path


def lfs_pointer(sound: Path) -> Path:
    image = sound.read_bytes()
    path = empty_directory("lfs-pointer") / sound.name
    oid = hashlib.sha256(image).hexdigest()
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(image)}\n")
    return path


def missing_dependency(tools: Toolchain) -> Path:
    directory = empty_directory("missing-dependency")
    source = directory / "roi_helper.cc"
    source.write_text('extern "C" int roi_helper() { return 0; }\n', encoding="ascii")
    helper = run_compiler(directory / "libroi_helper.so", "-shared", "-fPIC", str(source))
    needs_helper = ("-Wl,--no-as-needed", f"-L{directory}", "-lroi_helper", "-Wl,-rpath,$ORIGIN")
    path = tools.link(BUILD / "roi_pooling.o", directory / "roi_pooling.so", *needs_helper)
    helper.unlink()
    return path


def other_cxx_abi(tools: Toolchain) -> Path:
    directory = empty_directory("other-cxx-abi")
    old = tools.with_old_abi()
    return old.link(old.compile(SOURCE, directory / "roi_pooling.o"), directory / "roi_pooling.so")


def show_caught(path: Path) -> None:
    """Try to load a broken file; DemoError unless it is refused before the loader has seen it."""
    print(f'>>> tfguard.load_op_library("{path}")\n')
    try:
        tfguard.load_op_library(path)
    except tfguard.OpLibraryError as error:
        print(error)
        refused_by_check = bool(error.codes) and error.__cause__ is None
    else:
        raise DemoError(f"{path} was not caught")
    if not refused_by_check:
        raise DemoError(f"{path} was refused by the loader, not by the check before it")


def tell() -> None:
    print(f"tfguard on Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    check_tensorflow()
    tensorflow = import_tensorflow()
    tools = find_toolchain(tensorflow)
    BUILD.mkdir(exist_ok=True)
    if tools is None:
        heading("3. and 4. Build, load and run a custom op")
        print(f"Left out: this machine has no {COMPILER}. Two of the four breakages need it too.")
        op = Path(str(tensorflow.__file__)).parent / BUNDLED_OP
    else:
        op = build_op(tools)
        load_and_run(op)

    breakages: list[tuple[str, str, Callable[[], Path]]] = [
        ("wrong machine", "a copy with another machine in its header", partial(wrong_machine, op)),
        ("Git LFS pointer", "what a clone without Git LFS has in its place", partial(lfs_pointer, op)),
    ]
    if tools is not None:
        breakages += [
            ("missing dependency", "linked to a library deleted since", partial(missing_dependency, tools)),
            ("other C++ ABI", "built with -D_GLIBCXX_USE_CXX11_ABI=0", partial(other_cxx_abi, tools)),
        ]
    for number, (title, done, make) in enumerate(breakages, start=1):
        heading(f"5.{number} Broken: {title}")
        print(f"{op.name}: {done}", flush=True)
        show_caught(make())

    heading("Done")
    print(f"{len(breakages)} broken files, each refused before the loader had seen it.")


def main() -> int:
    os.chdir(ROOT)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of TensorFlow's own log, errors only
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        tell()
    except DemoError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
