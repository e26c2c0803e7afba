"""Lays wheels into the tree of a named Linux system: a directory that the loader can be played in, and its Host.

Of the natives only what a loader reads is there, of the system's libraries stubs with their names and versions. Which
symbols those have is not recorded: what a wheel wants of a version that the library defines counts as there, and so
does a name without a version, unless it shows that no library of the system has it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from tfguard.binary.ahead import Ahead, Once
from tfguard.binary.elf import look_at
from tfguard.binary.elf_stub import stub
from tfguard.binary.member import Member, MemberSource
from tfguard.binary.symbols import SymbolTable
from tfguard.binary.versions import versions_of
from tfguard.binary.wheel import Wheels
from tfguard.binary.wheel_elf import FileSource, lay_out, write_start
from tfguard.hosts.foreign import Foreign
from tfguard.hosts.host import Host, LoadedImage
from tfguard.hosts.linux_system import LinuxSystem
from tfguard.hosts.root import Root
from tfguard.image import EM_X86_64, Image
from tfguard.installed.python import Python

VENV = "/venv"
_WHOLE_LIMIT = 1 << 22
_MOST_FILES = 50_000
# What a wheel says about itself, and source: which natives an import is certain to load is read from it.
_TEXTS = re.compile(r".*\.py|[^/]+\.dist-info/(?:METADATA|WHEEL|RECORD)")
# The Python C API, which the program or its library has.
_PYTHON = re.compile(rb"_{0,2}Py[A-Z_]|_Py")
# C++ names that are not those of the C++ runtime, and names that only TensorFlow uses: no library of a system has them.
_NOT_THE_SYSTEMS = re.compile(
    rb"_Z(?:T[VTISWH]|GV|GTt|T[hv][n\d_]+)*(?:N[VKrRO]*)?(?!9__gnu_cxx|10__cxxabiv1)\d|(?:TF|TFE|TSL|SE|SP)_[A-Z]"
)
# What CPython is linked against; the program brings them into every process.
_OF_PYTHON = {
    "glibc": ("libm.so.6", "libdl.so.2", "libpthread.so.0", "libutil.so.1", "libc.so.6"),
    "musl": ("libc.musl-{}.so.1",),
}
_USUAL_LEVEL = 3


def site_of(python: tuple[int, int]) -> str:
    """Where packages lie in that Python's environment."""
    return f"{VENV}/lib/python{python[0]}.{python[1]}/site-packages"


def place_of(library: str) -> str:
    """Where a file that no wheel brings is put, as that system names it."""
    return f"/home/me/{os.path.basename(library)}"


def host_of_wheels(
    wheels: Wheels,
    system: LinuxSystem,
    python: tuple[int, int],
    folder: str,
    *,
    libraries: Iterable[str] = (),
    listed: Iterable[str] = (),
) -> Host:
    """The process of a Python of that system in which these wheels are installed; its files go into `folder`.

    `libraries` are files of this machine that are put there besides, each where `place_of` says. Of the packages in
    `listed` no source is needed. Raises OSError where the folder cannot be written to.
    """
    root = Root(os.path.realpath(folder))
    natives = list(_lay_out_members(wheels, root, frozenset(listed)))
    for path in libraries:
        natives.append(root.directory + place_of(path))
        os.makedirs(os.path.dirname(natives[-1]), exist_ok=True)
        with open(path, "rb") as file:
            lay_out(FileSource(file), natives[-1])
    _put(root, "/etc/os-release", _os_release(system))
    wanted = _Wanted(system, natives)
    for soname, versions in system.libraries.items():
        place = f"{system.directories[0]}/{soname}"
        if soname == os.path.basename(system.loader_path):
            place = system.loader_path
        elif system.loader == "musl" and soname.startswith("libc.musl-"):
            _put(root, system.loader_path, wanted.stub(soname, versions))
            os.symlink(os.path.basename(system.loader_path), root.directory + place)
            continue
        _put(root, place, wanted.stub(soname, versions))
    if system.loader_path.rpartition("/")[2] not in system.libraries and system.loader == "glibc":
        _put(root, system.loader_path, wanted.stub(os.path.basename(system.loader_path), None))
    needed = [one.format(system.processor) for one in _OF_PYTHON[system.loader]]
    needed = [one for one in needed if one in system.libraries]
    program = f"{VENV}/bin/python{python[0]}.{python[1]}"
    _put(root, program, stub(system.machine, "", needed=needed, symbols=((name, None) for name in wanted.of_python)))
    interpreter = _python(system, python, program)
    foreign = Foreign(root, system.loader_path, python=interpreter, assumed=_assumed(system))
    host = Host(
        loader=system.loader,
        version=system.version,
        features=system.features,
        machine=system.machine,
        executable=program,
        system_directories=system.directories,
        cache_path=None,
        lib_token=_lib_token(system),
        platform_token=system.processor,
        legacy_hwcaps=("x86_64",) if system.machine == EM_X86_64 else (),
        isa_level=_USUAL_LEVEL if system.machine == EM_X86_64 else 0,
        foreign=foreign,
    )
    return _started(host, program, needed)


def _started(host: Host, program: str, needed: list[str]) -> Host:
    """The host with what its Python has loaded: the program and the libraries that it needs."""
    from dataclasses import replace

    def image(path: str) -> Image | None:
        content = host.look_at(path).content
        return content if isinstance(content, Image) else None

    loaded = [LoadedImage("", image(program), startup=True)]
    directory = host.system_directories[0]
    paths = [f"{directory}/{one}" for one in needed if host.loader == "glibc"]
    paths.append(host.foreign.loader if host.foreign is not None else "")
    return replace(host, loaded=(*loaded, *(LoadedImage(one, image(one), startup=True) for one in paths)))


def _lib_token(system: LinuxSystem) -> str:
    from tfguard.hosts.loader_file import lib_token

    return lib_token(system.directories)


def _assumed(system: LinuxSystem) -> tuple[str, ...]:
    said = ["the system's libraries are known by their versions: what else a wheel wants of them counts as there"]
    if system.machine == EM_X86_64:
        said.append("the processor is not known: one of level x86-64-v3 is assumed")
    return tuple(said)


def _python(system: LinuxSystem, python: tuple[int, int], program: str) -> Python:
    library = f"/usr/lib/python{python[0]}.{python[1]}"
    libc = "musl" if system.loader == "musl" else "gnu"
    own = f".cpython-{python[0]}{python[1]}-{system.processor}-linux-{libc}.so"
    return Python(
        executable=program,
        version=(*python, 0),
        path=(library, f"{library}/lib-dynload", site_of(python)),
        prefix=VENV,
        base_prefix="/usr",
        library=library,
        suffixes=(own, ".abi3.so", ".so"),
        machine=system.processor,
        home="/root",
        cwd="/",
    )


def _os_release(system: LinuxSystem) -> bytes:
    """What names the system to whoever looks: only where it is one, not a policy."""
    if system.policy and system.title[:6] != "Alpine":
        return b""
    family = system.title.split()[0].lower()
    return f'PRETTY_NAME="{system.title}"\nID={family}\n'.encode()


def _put(root: Root, path: str, data: bytes) -> None:
    place = root.directory + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        file.write(data)


def _lay_out_members(wheels: Wheels, root: Root, listed: frozenset[str]) -> Iterator[str]:
    """Put the natives and the texts there, in two threads; gives the natives' places on this machine."""
    members = wheels.members()
    work: list[tuple[Member, Once]] = []
    natives: list[str] = []
    for path, member in list(members.items())[:_MOST_FILES]:
        inside = path[len(wheels.site) + 1 :]
        leaf = inside.rpartition("/")[2]
        place = root.directory + path
        if ".so" in leaf:
            natives.append(place)
            work.append((member, Once(partial(_lay_out, member, place, is_native=True))))
        elif _TEXTS.fullmatch(inside) and (inside.partition("/")[0] not in listed or leaf == "__init__.py"):
            work.append((member, Once(partial(_lay_out, member, place, is_native=False))))
    work.sort(key=lambda one: -one[0].size)
    with Ahead(one for _, one in work):
        for _, one in work:
            one.finish()
    return (place for place in natives if os.path.isfile(place))


def _lay_out(member: Member, place: str, *, is_native: bool) -> None:
    source = MemberSource(member)
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if is_native:
            lay_out(source, place)
        else:
            write_start(source, place, _WHOLE_LIMIT)
    except (OSError, ValueError) as error:
        # a name that no file system takes, or one file where another has its folder
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
    finally:
        source.close()


class _Wanted:
    """What the natives want of others: versioned symbols by library, names of the Python C API, all other names."""

    def __init__(self, system: LinuxSystem, natives: Iterable[str]) -> None:
        self._machine = system.machine
        self._versions: dict[str, dict[str, None]] = {}
        self._symbols: dict[str, dict[tuple[bytes, str], None]] = {}
        self._plain: dict[bytes, None] = {}
        self.of_python: dict[bytes, None] = {}
        for place in natives:
            image = look_at(place).content
            if isinstance(image, Image) and image.machine == system.machine:
                self._add(image)

    def _add(self, image: Image) -> None:
        versions = versions_of(image)
        for need in versions.needs if versions is not None else ():
            self._versions.setdefault(need.file, {})[need.version] = None
        try:
            table = SymbolTable(image)
        except OSError:
            return
        try:
            for name, wanted, _ in table.references():
                if wanted is not None:
                    self._symbols.setdefault(wanted.file, {})[name, wanted.version] = None
                elif _PYTHON.match(name):
                    self.of_python[name] = None
                elif not _NOT_THE_SYSTEMS.match(name):
                    self._plain[name] = None
        except (IndexError, ValueError, OverflowError):
            pass  # tables that are none: the play comes to the same and says so
        finally:
            table.close()

    def stub(self, soname: str, versions: tuple[str, ...] | None) -> bytes:
        """A library of the system; with versions None it defines whatever is wanted of it."""
        defined = tuple(self._versions.get(soname, ())) if versions is None else versions
        symbols: dict[tuple[bytes, str | None], None] = {
            (name, version): None for name, version in self._symbols.get(soname, {}) if version in defined
        }
        if soname.startswith(("libc.so.", "libc.musl-")):
            symbols.update({(name, None): None for name in self._plain})
        return stub(self._machine, soname, versions=defined, symbols=symbols)


def requirements_of(host: Host, site: str) -> Mapping[str, tuple[str, ...]]:
    """For each distribution there, the others that it requires whatever the extras, and that are not there."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    folders = [one for one in host.root.names_in(site) if one.endswith(".dist-info")]
    there = {canonicalize_name(one.partition("-")[0]) for one in folders}
    found: dict[str, tuple[str, ...]] = {}
    for folder in folders:
        text = (host.root.read(f"{site}/{folder}/METADATA", 1 << 20) or b"").decode("utf-8", "replace")
        wanted = []
        for line in text.partition("\n\n")[0].splitlines():
            if not line.lower().startswith("requires-dist:"):
                continue
            try:
                one = Requirement(line.partition(":")[2].strip())
            except InvalidRequirement:
                continue
            if "extra" not in str(one.marker or "") and canonicalize_name(one.name) not in there:
                wanted.append(one.name)
        found[folder.partition("-")[0]] = tuple(wanted)
    return found
