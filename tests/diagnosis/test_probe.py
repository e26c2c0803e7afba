"""Every end that a load can come to, produced for real in a child, and named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import Compiler
from tests.support.here import is_glibc_x86_64
from tfguard.probing.instruction import feature_of
from tfguard.probing.probe import probe
from tfguard.report import Report

pytestmark = pytest.mark.skipif(not is_glibc_x86_64(), reason="the stubs are for glibc on x86-64")

TILE = b"\xc4\xe2\x7b\x49\xc0"  # tilezero tmm0: of AMX
CONSTRUCTOR = "__attribute__((constructor)) static void begin(void) { %s }"


def stub(compiler: Compiler, folder: Path, code: str, *, head: str = "", name: str = "libstub.so") -> Path:
    """A library whose constructor runs `code`."""
    return compiler.shared(folder / name, head + CONSTRUCTOR % code, "-O0", "-w")


def dies(library: Path, *, timeout: float = 30, memory: int | None = None) -> Report:
    report = probe(library, timeout=timeout, memory=memory)
    assert not report.ok, str(report)
    return report


def rows(report: Report) -> dict[str, str]:
    return dict(report.findings[0].evidence)


def test_a_sound_library(compiler: Compiler, tmp_path: Path) -> None:
    """Loaded, and no finding; its text says what was done."""
    report = probe(stub(compiler, tmp_path, ";"))

    assert report.ok
    assert str(report).endswith("libstub.so: ok, loaded in a child process")


def test_a_package_that_imports() -> None:
    assert probe("json").ok


def test_segmentation_fault(compiler: Compiler, tmp_path: Path) -> None:
    """The library in which it died is named, from the child's own maps."""
    library = stub(compiler, tmp_path, "*(volatile int *) 8 = 1;")

    report = dies(library)

    assert report.findings[0].code == "TFG751"
    assert report.findings[0].path == library
    assert rows(report)["instruction in"].startswith(f"{library}, at offset 0x1")
    assert rows(report)["ended by"] == "SIGSEGV"


def test_illegal_instruction_of_an_extension(compiler: Compiler, tmp_path: Path) -> None:
    """The instruction's bytes, and the extension that the processor lacks."""
    if "amx_tile" in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has AMX")
    code = '__asm__ volatile(".byte {}");'.format(",".join(map(str, TILE)))

    report = dies(stub(compiler, tmp_path, code))

    assert report.findings[0].code == "TFG755"
    assert "does not have AMX_TILE, which code in libstub.so uses" in report.findings[0].message
    assert rows(report)["instruction"].startswith("c4 e2 7b 49 c0")


def test_deliberate_trap(compiler: Compiler, tmp_path: Path) -> None:
    """ud2 is no missing extension."""
    report = dies(stub(compiler, tmp_path, "__builtin_trap();"))

    assert report.findings[0].code == "TFG751"
    assert "on purpose (ud2)" in report.findings[0].message


def test_old_processor_under_an_emulator(compiler: Compiler, tmp_path: Path) -> None:
    """QEMU plays a processor without AVX: an AVX instruction ends the process there, and what it lacks is named."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None:
        pytest.skip("qemu-user is not on this machine")
    code = '__asm__ volatile("vaddps %ymm0, %ymm0, %ymm0");'
    library = compiler.shared(tmp_path / "libavx.so", CONSTRUCTOR.replace("%s", code), "-mavx", "-w")

    report = probe(library, timeout=120, python=(qemu, "-cpu", "Nehalem-v1", sys.executable))

    assert report.findings[0].code in ("TFG601", "TFG602"), str(report)
    assert rows(report)["ended by"] == "SIGILL"
    assert report.findings[0].message.endswith("does not have AVX, which libavx.so uses")
    assert rows(report)["instruction"].startswith("c5 fc 58 c0")
    assert rows(report)["instruction"].endswith("(of AVX)")
    assert rows(report)["instruction in"].startswith(f"{library}, at offset 0x")


def test_library_cut_off(compiler: Compiler, tmp_path: Path) -> None:
    """The file that ends too early is named, as a check would."""
    library = compiler.shared(tmp_path / "libcut.so", "const char big[300000] = {1}; int one(void) { return big[9]; }")
    os.truncate(library, 8192)

    report = dies(library)

    assert report.findings[0].code == "TFG116"
    assert report.findings[0].path == library
    assert rows(report)["size"] == "8192 bytes"
    assert rows(report)["ended by"] == "SIGBUS"


def test_abort(compiler: Compiler, tmp_path: Path) -> None:
    """What was said before the abort is the reason; real ones are in tests/tensorflow/test_registered_twice.py."""
    head = "#include <stdio.h>\n#include <stdlib.h>\n"
    words = "the flux compensator is empty"

    report = dies(stub(compiler, tmp_path, f'fputs("{words}\\n", stderr); abort();', head=head))

    assert report.findings[0].code == "TFG757"
    assert report.findings[0].message.endswith(words)
    assert rows(report)["ended by"] == "SIGABRT"


def test_heap_found_damaged(compiler: Compiler, tmp_path: Path) -> None:
    """The C library's own words: free(): invalid pointer."""
    head = "#include <stdlib.h>\n"

    report = dies(stub(compiler, tmp_path, "static char block[64]; free(block + 16);", head=head))

    assert report.findings[0].code == "TFG702"
    assert "free(): invalid pointer" in rows(report)["the text says"]


def test_hang(compiler: Compiler, tmp_path: Path) -> None:
    """Where it stands is told, and nothing of it is left running."""
    head = "#include <unistd.h>\n"
    library = stub(compiler, tmp_path, "sleep(600);", head=head)
    package = tmp_path / "waits"
    package.mkdir()
    (package / "__init__.py").write_text(f"import ctypes\nctypes.CDLL({str(library)!r})\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tfguard; print(tfguard.probe('waits', timeout=1))"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.startswith("TFG759 load-hangs: loading waits has not come to an end at ")
    assert "waits/__init__.py:2" in said
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(library) not in running


def test_out_of_memory(compiler: Compiler, tmp_path: Path) -> None:
    """It is ended when it has taken what it may have."""
    head = "#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
    code = "for (int n = 0; n < 400; n++) { char *block = malloc(1 << 20); memset(block, 1, 1 << 20); usleep(2000); }"

    report = dies(stub(compiler, tmp_path, code, head=head), memory=120 << 20)

    assert report.findings[0].code == "TFG760"
    assert "MiB when it was ended" in rows(report)["had"]


def test_floods_of_output_are_kept_within_bounds(compiler: Compiler, tmp_path: Path) -> None:
    head = "#include <stdio.h>\n#include <stdlib.h>\n"
    code = 'for (int n = 0; n < 300000; n++) puts("nothing of interest"); fputs("the last word\\n", stderr); abort();'

    report = dies(stub(compiler, tmp_path, code, head=head))

    assert report.findings[0].message.endswith("the last word")


def test_assertion_of_the_loader(compiler: Compiler, tmp_path: Path) -> None:
    """A version that is asked of a library without a version table: ld.so ends the process with status 127."""
    with_table = compiler.shared(
        tmp_path / "build/libp.so", "int pf(void) { return 1; }", "-Wl,-soname,libp.so", _script(tmp_path)
    )
    library = compiler.shared(
        tmp_path / "libuser.so",
        "int pf(void); int use(void) { return pf(); }",
        str(with_table),
        f"-Wl,-rpath,{tmp_path}",
    )
    compiler.shared(tmp_path / "libp.so", "int pf(void) { return 1; }", "-Wl,-soname,libp.so", "-nostdlib")

    report = dies(library)

    assert report.findings[0].code == "TFG306"
    assert rows(report)["ended with"] == "exit status 127"


def _script(folder: Path) -> str:
    script = folder / "versions"
    script.write_text("pv { global: pf; };\n")
    return f"-Wl,--version-script={script}"


def test_what_the_loader_refuses(tmp_path: Path) -> None:
    """An exception of the load is read as any text, and the file it names is checked."""
    path = tmp_path / "libtext.so"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345678901234567890123\n")

    report = dies(path)

    assert report.findings[0].code == "TFG119"


def test_safe_import_probes_first(compiler: Compiler, tmp_path: Path) -> None:
    """What would kill the process raises in it, and the package is not imported."""
    library = stub(compiler, tmp_path, "*(volatile int *) 8 = 1;")
    package = tmp_path / "kills"
    package.mkdir()
    (package / "__init__.py").write_text(f"import ctypes\nctypes.CDLL({str(library)!r})\n")
    code = (
        f"import sys, tfguard; sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n    tfguard.safe_import('kills', probe=True)\n"
        "except tfguard.GuardImportError as error:\n    print(error.codes, 'kills' in sys.modules)\n"
    )

    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "('TFG751',) False"


def test_command(compiler: Compiler, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--probe loads what the checks have nothing against."""
    from tfguard.__main__ import main

    sound = stub(compiler, tmp_path, ";", name="libsound.so")
    killer = stub(compiler, tmp_path, "__builtin_trap();", name="libkiller.so")

    assert main(["check", "--probe", str(sound)]) == 0
    assert "libsound.so: ok, loaded in a child process" in capsys.readouterr().out
    assert main(["check", "--probe", str(killer)]) == 1
    assert capsys.readouterr().out.startswith("TFG751 native-code-crashes: native code in libkiller.so")


FEATURES = [
    ("c5 fc 58 c1", "avx"),
    ("c5 f5 fe c2", "avx2"),
    ("c4 e2 7d 18 c0", "avx"),
    ("c4 e2 f5 b8 c2", "fma"),
    ("c4 e2 7d 58 c0", "avx2"),
    ("c4 e2 f0 f2 c1", "bmi1"),
    ("c4 e2 f3 f6 c1", "bmi2"),
    ("62 f1 7c 48 58 c1", "avx512f"),
    ("c4 e2 7b 49 c0", "amx_tile"),
    ("66 0f 38 00 c1", "ssse3"),
    ("66 0f 38 40 c1", "sse4_1"),
    ("f3 0f b8 c1", "popcnt"),
    ("f3 48 0f b8 c1", "popcnt"),
    ("f2 0f 38 f1 c1", "sse4_2"),
    ("66 0f 38 dc c1", "aes"),
    ("0f 0b", "ud2"),
    ("90", ""),
    ("", ""),
    ("c4", ""),
    ("48 89 c8", ""),
]


@pytest.mark.parametrize(("code", "feature"), FEATURES, ids=[one[0] or "nothing" for one in FEATURES])
def test_extension_of_an_instruction(code: str, feature: str) -> None:
    assert feature_of(bytes.fromhex(code)) == feature
