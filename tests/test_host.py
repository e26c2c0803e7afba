"""this_host(): each fact against another source, in processes started in the ways that change what a loader sees."""

from __future__ import annotations

import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tfguard
from tests.support.build import Compiler
from tests.support.here import is_glibc
from tests.support.loading import mapped_objects
from tests.support.packages import ROOT, run
from tfguard.hosts import live
from tfguard.hosts.host import Host
from tfguard.hosts.live import this_host
from tfguard.hosts.loader_file import glibc_facts

pytestmark = pytest.mark.skipif(not is_glibc(), reason="needs glibc")

FACTS = """
import json, os, sys
BEFORE
from tfguard.hosts.live import this_host
host = this_host()
print(json.dumps({
    "loader": host.loader, "library_path": host.library_path, "late": host.late_library_path, "secure": host.secure,
    "environment": dict(host.environment), "cache": host.cache_path, "skipped": host.skipped, "cwd": host.cwd,
    "startup": [one.path for one in host.loaded if one.startup], "executable": host.executable,
    "machine": host.machine, "program": host.loaded[0].image and os.path.realpath(host.loaded[0].image.path)}))
"""


def facts(folder: Path, *, before: str = "", **options: Any) -> dict[str, Any]:  # Any: parsed JSON
    found: dict[str, Any] = run(FACTS.replace("BEFORE", before), folder, **options)
    return found


def loader() -> str:
    return next(path for _, path in mapped_objects() if os.path.basename(path).startswith("ld-linux"))


@pytest.fixture(scope="module")
def diagnostics() -> dict[str, str]:
    """What the loader says of itself: `ld.so --list-diagnostics`, from glibc 2.33 on."""
    done = subprocess.run([loader(), "--list-diagnostics"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("this loader has no --list-diagnostics")
    pairs = (line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


# --- facts of the machine


def test_system_directories(diagnostics: dict[str, str]) -> None:
    """The directories compiled into the loader, read from its file, are those that it prints."""
    said = [value for name, value in diagnostics.items() if name.startswith("path.system_dirs[")]

    assert [f"{path}/" for path in this_host().system_directories] == said


def test_tokens(diagnostics: dict[str, str]) -> None:
    """$LIB and $PLATFORM."""
    assert this_host().lib_token == diagnostics["dl_dst_lib"]
    assert this_host().platform_token == diagnostics["dl_platform"]


def test_hwcap_subdirectories(diagnostics: dict[str, str]) -> None:
    """The glibc-hwcaps subdirectories that this processor makes active, in order."""
    names = diagnostics["dl_hwcaps_subdirs"].split(":")
    mask = int(diagnostics["dl_hwcaps_subdirs_active"], 16)
    # bit 0 stands for the last name
    active = [name for place, name in enumerate(names) if mask >> (len(names) - 1 - place) & 1]

    found = [one for one in this_host().hwcap_subdirectories if one.startswith("glibc-hwcaps/")]

    assert found == [f"glibc-hwcaps/{name}" for name in active]


def test_every_subdirectory(tmp_path: Path, compiler: Compiler) -> None:
    """All that the loader tries below a directory, in order, by its own account (LD_DEBUG=libs)."""
    compiler.shared(tmp_path / "libabsent.so", "int absent;")
    options = ("-Wl,--no-as-needed", f"-L{tmp_path}", "-labsent", f"-Wl,-rpath,{tmp_path}/here")
    compiler.shared(tmp_path / "top.so", "int top;", *options)
    (tmp_path / "here").mkdir()
    code = "import ctypes\ntry: ctypes.CDLL('./top.so')\nexcept OSError: pass"
    environment = {**os.environ, "LD_DEBUG": "libs"}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    tried = re.findall(rf"trying file={re.escape(str(tmp_path))}/here/(.*)libabsent\.so", done.stderr)
    assert tried == [*(f"{one}/" for one in this_host().hwcap_subdirectories), ""]


def test_page_size(diagnostics: dict[str, str]) -> None:
    """In bytes."""
    assert this_host().page_size == int(diagnostics["dl_pagesize"], 16)


def test_version(diagnostics: dict[str, str]) -> None:
    """The C library's own number, from three sources."""
    said = tuple(int(part) for part in diagnostics["version.version"].split(".")[:2])

    assert this_host().version == said
    assert platform.libc_ver()[1] == ".".join(map(str, said))


def test_machine() -> None:
    """Machine and class are those of this interpreter."""
    host = this_host()

    assert host.elf_class == (64 if sys.maxsize > 2**32 else 32)
    assert {62: "x86_64", 183: "aarch64"}.get(host.machine) == platform.machine()
    assert host.little_endian == (sys.byteorder == "little")


def test_nothing_is_left_out_here() -> None:
    """In an ordinary process everything can be found out."""
    assert this_host().skipped == ()
    assert this_host().loader == "glibc"


# --- what is loaded


def test_loaded_objects() -> None:
    """The names that the loader recorded, in its order; each readable file is mapped according to the kernel too."""
    host = this_host()
    maps = Path("/proc/self/maps").read_text()
    mapped = {line.split(None, 5)[5] for line in maps.splitlines() if line.count("/")}

    assert [one.path for one in host.loaded] == [path for _, path in mapped_objects()]
    for one in host.loaded[1:]:
        if one.image is not None:
            assert os.path.realpath(one.path) in mapped
            assert one.image.inode == os.stat(one.path).st_ino


def test_start_up_objects(tmp_path: Path) -> None:
    """The global scope is what ldd prints for the interpreter, the vDSO and the program itself."""
    done = subprocess.run(["ldd", os.path.realpath(sys.executable)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no ldd, or a static interpreter")
    wanted = {os.path.basename(line.split()[0]) for line in done.stdout.splitlines()}

    found = facts(tmp_path)["startup"]

    assert {os.path.basename(path) for path in found if path} == wanted
    assert found[0] == ""


def test_program(tmp_path: Path) -> None:
    """The first loaded object is the interpreter, whose file is known."""
    said = facts(tmp_path)

    assert said["program"] == os.path.realpath(sys.executable) or os.path.samefile(said["program"], sys.executable)


def test_deleted_library(tmp_path: Path, compiler: Compiler) -> None:
    """A loaded library whose file is gone, or another one by now, has no image: it may define anything."""
    for name in ("gone.so", "other.so"):
        compiler.shared(tmp_path / name, f"int in_{name[:-3]}(void) {{ return 1; }}")
    code = (
        "import ctypes, json, os\nctypes.CDLL('./gone.so'); ctypes.CDLL('./other.so')\n"
        "os.unlink('gone.so'); os.rename('other.so', 'kept.so'); open('other.so', 'w').close()\n"
        "from tfguard.hosts.live import this_host\n"
        "print(json.dumps({one.path: one.image is None for one in this_host().loaded}))"
    )

    found = run(code, tmp_path)

    assert found["./gone.so"]
    assert found["./other.so"]


# --- the environment at process start


def test_library_path_at_start(tmp_path: Path) -> None:
    """The LD_LIBRARY_PATH that counts is that of process start; what os.environ says later is kept beside it."""
    before = "os.environ['LD_LIBRARY_PATH'] = '/late'"

    said = facts(tmp_path, before=before, environment={"LD_LIBRARY_PATH": "/early:/second"})

    assert (said["library_path"], said["late"]) == ("/early:/second", "/late")
    assert facts(tmp_path, before=before)["library_path"] is None
    gone = facts(tmp_path, before="del os.environ['LD_LIBRARY_PATH']", environment={"LD_LIBRARY_PATH": "/early"})
    assert (gone["library_path"], gone["late"]) == ("/early", None)


def test_only_the_loaders_variables_are_kept(tmp_path: Path) -> None:
    """A report may be shown to others: no secret of the environment is in it."""
    said = facts(tmp_path, environment={"LD_LIBRARY_PATH": "/x", "AWS_SECRET_ACCESS_KEY": "hush"})

    assert said["environment"] == {"LD_LIBRARY_PATH": "/x"}


def test_bytes_in_the_environment(tmp_path: Path) -> None:
    """A path that is no UTF-8 is kept as the file system functions spell it."""
    environment = {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()}
    environment |= {b"LD_LIBRARY_PATH": b"/caf\xe9", b"PYTHONPATH": os.fsencode(ROOT)}
    code = "import os\nfrom tfguard.hosts.live import this_host\nprint(os.fsencode(this_host().library_path))"

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == r"b'/caf\xe9'"


def test_environment_overwritten(tmp_path: Path) -> None:
    """A program that has written over its own environment block (setproctitle does): said, and os.environ stands in."""
    before = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "block = [int(n) for n in open('/proc/self/stat').read().rpartition(')')[2].split()[47:49]]\n"
        "ctypes.memset(block[0], ord('x'), block[1] - block[0] - 1)"
    )
    code = FACTS.replace("BEFORE", f"saved = dict(os.environ)\n{before}\nos.environ.update(saved)")

    said = run(code, tmp_path, environment={"LD_LIBRARY_PATH": "/early"})

    assert said["library_path"] == "/early"
    assert said["skipped"] == ["the environment at process start could not be read: os.environ stands in for it"]


def test_working_directory_that_is_gone(tmp_path: Path) -> None:
    """Said, and nothing trips."""
    said = facts(tmp_path, before="os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')")

    assert (said["cwd"], said["skipped"]) == ("/", ["the working directory no longer exists"])


# --- secure mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program another group")
@pytest.mark.parametrize("closed", [False, True], ids=["root", "ordinary-user"])
def test_secure_mode(tmp_path: Path, closed: bool) -> None:
    """A set-group-ID interpreter: the loader ignores LD_LIBRARY_PATH, and so does the host, even without /proc."""
    python = Path(shutil.copy(os.path.realpath(sys.executable), tmp_path / "python"))
    os.chown(python, 0, 65534)
    python.chmod(0o2755)
    before = (
        "import ctypes, tfguard.checks.check, tfguard.binary.elf\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"if {closed}: os.seteuid(65534)\n"
        "if not ctypes.CDLL(None).getauxval(ctypes.c_ulong(23)): print('null'); os._exit(0)"
    )

    said = facts(
        tmp_path,
        before=before,
        python=[str(python)],
        environment={"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": "/early"},
    )

    if said is None:
        pytest.skip("set-group-ID bits are without effect here")
    assert said["secure"]
    assert said["library_path"] is None


def test_not_secure_here() -> None:
    """An ordinary process is not in secure mode: the kernel's own number says so."""
    import ctypes

    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)

    assert this_host().secure == bool(getauxval(23))


# --- started through the loader by hand


def through_loader(*options: str) -> list[str]:
    return [loader(), *options, os.path.realpath(sys.executable)]


def test_explicit_loader(tmp_path: Path) -> None:
    """`ld.so --library-path P --inhibit-cache python`: P counts, the cache does not, the program is the interpreter."""
    path = f"{tmp_path}:{os.path.realpath(sys.base_prefix)}/lib"
    options = ("--library-path", path, "--inhibit-cache", "--argv0", "python")

    said = facts(tmp_path, python=through_loader(*options), environment={"LD_LIBRARY_PATH": "/replaced"})

    assert (said["loader"], said["library_path"], said["cache"]) == ("glibc", path, None)
    assert said["program"] == os.path.realpath(sys.executable)
    assert said["skipped"] == []
    assert sorted(said["startup"]) == sorted(facts(tmp_path)["startup"])


def test_explicit_loader_without_options(tmp_path: Path) -> None:
    """`ld.so python`: as without it."""
    said = facts(tmp_path, python=through_loader(), environment={"LD_LIBRARY_PATH": "/early"})

    assert (said["loader"], said["library_path"], said["cache"]) == ("glibc", "/early", "/etc/ld.so.cache")


def test_explicit_loader_with_other_options(tmp_path: Path) -> None:
    """An option whose effect is not known is said."""
    said = facts(tmp_path, python=through_loader("--inhibit-rpath", "nothing.so"))

    assert said["skipped"] == ["this process was started with ld.so --inhibit-rpath, which is left out of account"]


def test_explicit_loader_that_hides_its_options(tmp_path: Path) -> None:
    """A program that has written over its command line too: nothing is said of its search, so nothing is refused."""
    before = (
        "import ctypes\n"
        "block = [int(n) for n in open('/proc/self/stat').read().rpartition(')')[2].split()[45:47]]\n"
        "ctypes.memset(block[0], ord('x'), block[1] - block[0] - 1)"
    )

    said = facts(tmp_path, before=before, python=through_loader())

    assert said["loader"] == "unknown"
    assert said["skipped"]


@pytest.mark.parametrize("how", ["environment", "option"])
def test_what_is_found_on_the_path_given_to_the_loader(tmp_path: Path, compiler: Compiler, how: str) -> None:
    """A library whose dependency only that path leads to: foreseen as the loader finds it, by either way."""
    dep = compiler.shared(tmp_path / "deps" / "libdep.so", "int dep(void) { return 1; }", "-Wl,-soname,libdep.so")
    compiler.shared(tmp_path / "user.so", "int dep(void); int f(void) { return dep(); }", str(dep))
    path = f"{tmp_path / 'deps'}:{os.path.realpath(sys.base_prefix)}/lib"
    code = (
        "import ctypes, json, tfguard\nreport = tfguard.check_library('./user.so')\nctypes.CDLL('./user.so')\n"
        "print(json.dumps([report.ok, [one.path for one in report.images]]))"
    )
    options: dict[str, Any] = {"python": through_loader("--library-path", path)}  # Any: keyword arguments
    if how == "environment":
        options = {"environment": {"LD_LIBRARY_PATH": path}}

    ok, images = run(code, tmp_path, **options)

    assert ok
    assert images == ["./user.so", str(tmp_path / "deps" / "libdep.so")]


# --- the global scope


def test_global_scope(tmp_path: Path, compiler: Compiler) -> None:
    """Which symbols are in the global scope: asked of the living process, not guessed from names."""
    compiler.shared(tmp_path / "local.so", "int tfguard_local(void) { return 1; }")
    compiler.shared(tmp_path / "global.so", "int tfguard_global(void) { return 1; }")
    code = (
        "import ctypes, json\nfrom tfguard.hosts.live import this_host\n"
        "names = (b'tfguard_local', b'tfguard_global', b'puts', b'PyLong_FromLong', b'tfguard_nothing')\n"
        "ctypes.CDLL('./local.so'); before = [this_host().sees_global_symbol(name) for name in names]\n"
        "ctypes.CDLL('./global.so', mode=ctypes.RTLD_GLOBAL)\n"
        "print(json.dumps([before, [this_host().sees_global_symbol(name) for name in names]]))"
    )

    assert run(code, tmp_path) == [[False, False, True, True, False], [False, True, True, True, False]]


def test_symbol_from_a_library_made_global(tmp_path: Path, compiler: Compiler) -> None:
    """A library that needs nothing by name and lives on what another has made global: no false alarm."""
    compiler.shared(tmp_path / "provider.so", "int provided(void) { return 1; }")
    compiler.shared(tmp_path / "user.so", "int provided(void); int f(void) { return provided(); }")
    code = (
        "import ctypes, json, tfguard\nctypes.CDLL('./provider.so', mode=MODE)\n"
        "report = tfguard.check_library('./user.so')\n"
        "try:\n ctypes.CDLL('./user.so'); real = True\nexcept OSError:\n real = False\n"
        "print(json.dumps([report.ok, real]))"
    )

    assert run(code.replace("MODE", "ctypes.RTLD_GLOBAL"), tmp_path) == [True, True]
    assert run(code.replace("MODE", "ctypes.RTLD_LOCAL"), tmp_path) == [False, False]


@pytest.mark.parametrize("mode", ["ctypes.RTLD_GLOBAL", "ctypes.RTLD_LOCAL"])
def test_preloaded_library(tmp_path: Path, compiler: Compiler, mode: str) -> None:
    """What LD_PRELOAD brought is in the global scope, whatever is opened later."""
    compiler.shared(tmp_path / "provider.so", "int provided(void) { return 1; }")
    compiler.shared(tmp_path / "user.so", "int provided(void); int f(void) { return provided(); }")
    code = (
        "import ctypes, json, tfguard\nreport = tfguard.check_library('./user.so')\n"
        f"ctypes.CDLL('./user.so', mode={mode})\nprint(json.dumps(report.ok))"
    )

    assert run(code, tmp_path, environment={"LD_PRELOAD": str(tmp_path / "provider.so")}) is True


# --- a host as a value


def test_a_report_keeps_a_host_that_can_be_pickled() -> None:
    """The question to the living process is taken out, everything else stays."""
    report = tfguard.check_library("libc.so.6")

    again: Host = pickle.loads(pickle.dumps(report.host))

    assert again == report.host
    assert again == replace(this_host(), sees_global_symbol=None)


# changes to this process's host, what the library path then is
LIBRARY_PATHS: list[tuple[Mapping[str, Any], str | None]] = [
    ({"environment": {}}, None),
    ({"environment": {"LD_LIBRARY_PATH": ""}}, None),
    ({"environment": {"LD_LIBRARY_PATH": "/a"}}, "/a"),
    ({"environment": {"LD_LIBRARY_PATH": "/a"}, "secure": True}, None),
]


@pytest.mark.parametrize(("changes", "wanted"), LIBRARY_PATHS)
def test_library_path(changes: Mapping[str, Any], wanted: str | None) -> None:
    """Empty counts as not set, secure mode makes the loader ignore it (G-165)."""
    assert replace(this_host(), **changes).library_path == wanted


def test_unknown_loader_is_left_alone() -> None:
    """For a loader that tfguard does not know, nothing is refused and the report says so."""
    report = tfguard.check_library("/no/such/file.so", host=Host(loader="unknown"))

    assert report.ok
    assert re.search("loader that tfguard does not know", " ".join(report.skipped))


def test_the_loaders_texts_lie_outside_its_code() -> None:
    """What is told from the segments that are not code is what the whole file tells."""
    path = next(one.path for one in this_host().loaded if "ld-linux" in one.path)

    assert live._loader_file(path) == glibc_facts(Path(path).read_bytes())
    assert live._loader_file(path)[0]


def test_a_host_is_told_in_a_line() -> None:
    """However much it has loaded."""
    assert repr(this_host()).startswith(f"<Host {this_host().executable}: glibc ")
    assert len(repr(this_host())) < 200
