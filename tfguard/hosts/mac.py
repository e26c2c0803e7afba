"""What dyld knows when it loads, besides the files: Mac, a value (dyld.md §2, §11, §12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tfguard.binary.files import Disk, Files
from tfguard.macho_image import MachoImage, Version

if TYPE_CHECKING:
    from tfguard.binary.tbd import Sdk

CRYPTEX = "/System/Volumes/Preboot/Cryptexes/OS"

# What can be in the shared cache (D-96); the first two, and what is below them for iOS, have a word in messages (D-62).
_CACHE_PREFIXES = (
    "/usr/lib/", "/System/Library/", "/System/iOSSupport/usr/lib/", "/System/iOSSupport/System/Library/",
    "/Library/Apple/usr/lib/", "/Library/Apple/System/Library/", "/System/DriverKit/",
)  # fmt: skip
_MESSAGE_PREFIXES = (*_CACHE_PREFIXES[:4], "/System/DriverKit/")
# On disk although the prefix says otherwise (D-98).
_ON_DISK = frozenset(
    ("/usr/lib/dyld", *(f"/usr/lib/system/libsystem_{one}.dylib" for one in ("kernel", "platform", "pthread")))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCache:
    """Which of the system's libraries are in dyld's shared cache (D-97).

    `paths` come from its .map file, `contains` asks the running system. With neither, what a prefix makes likely is
    assumed to be there.
    """

    paths: frozenset[str] | None = None
    contains: Callable[[str], bool] | None = None

    def holds(self, path: str, *, guessed: bool = False) -> bool:
        """Whether dyld would take this path from the cache; `guessed` says that it is the search that made it up."""
        if self.contains is not None:
            return self.contains(path)
        bare = path.removeprefix("/System/Cryptexes/OS")
        if not bare.startswith(_CACHE_PREFIXES) or bare in _ON_DISK:
            return False
        if self.paths is None:
            return not guessed or _is_well_known(bare)
        return bare in self.paths or _is_alias(bare, self.paths)

    @property
    def assumed(self) -> bool:
        """Whether its contents are not known."""
        return self.paths is None and self.contains is None


def might_be_cached(path: str) -> bool:
    """Whether a message says of a missing file that it is not in the cache either (D-62)."""
    return path.startswith(_MESSAGE_PREFIXES)


# The libraries below /usr/lib that other people's code links (Xcode's SDK): what is looked for there under another
# name is looked for by the way, as the last place of a search.
_USR_LIB = frozenset(
    """
    libSystem libc libm libpthread libdl libinfo libdbm libpoll libproc librpcsvc libutil libobjc libc++ libc++abi
    libstdc++ libz libbz2 liblzma libcompression libarchive libxml2 libxslt libexslt libsqlite3 libcurl libiconv
    libicucore libcharset libedit libreadline libncurses libcurses libpanel libform libmenu libtermcap libffi libresolv
    libsasl2 libldap liblber libkrb5 libgssapi_krb5 libcups libcupsimage libpcap libsandbox libbsm libpam libtidy
    """.split()
)


def _is_well_known(path: str) -> bool:
    directory, _, leaf = path.rpartition("/")
    if directory == "/usr/lib/swift":
        return True
    if directory != "/usr/lib":
        return False
    stem = leaf.removesuffix(".dylib")
    return any(stem == one or stem.startswith(f"{one}.") for one in _USR_LIB)


def _is_alias(path: str, paths: frozenset[str]) -> bool:
    """Links of the system that have no file any more: a framework without its version, a library without its number."""
    directory, _, leaf = path.rpartition("/")
    if directory.endswith(f"/{leaf}.framework"):
        return any(one.startswith(f"{directory}/Versions/") and one.endswith(f"/{leaf}") for one in paths)
    stem = leaf.removesuffix(".dylib")
    return stem != leaf and any(one.startswith(f"{directory}/{stem}.") for one in paths)


class LoadedDylib(NamedTuple):
    """An image that the process has loaded.

    `path` is its real path; `image` is None where its file cannot be read, as of every library in the shared cache.
    `local` says that it was opened with RTLD_LOCAL.
    """

    path: str
    image: MachoImage | None = None
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mac:
    """Everything outside the file that decides a load on macOS.

    `architecture` is that of the process: arm64, arm64e or x86_64. `haswell` and `translated` matter on Intel and
    under Rosetta. `arm64e_dyld` says which build of dyld the process has: it changes what messages call needed.
    `sites` are the directories that packages are installed in, in the order of sys.path.
    `main` is the real path of the program that the kernel runs, `caller` the path of the image whose code loads
    extension modules; both are "" where they are not known. `python` says that names of the Python C API count as
    there even where no image of it can be read. `environment` holds the DYLD_ variables at process start.

    `sdk` are text stubs of the system's libraries, where a symbol of theirs is to be looked up.

    The policy (D-76): `allows_at_paths`, `allows_path_variables`, `allows_classic_fallbacks`, and
    `validates_libraries` with the `team` whose libraries are then allowed.
    """

    version: Version = (14, 0, 0)
    architecture: str = "arm64"
    haswell: bool = True
    translated: bool = False
    arm64e_dyld: bool = True
    main: str = ""
    caller: str = ""
    python: bool = True
    loaded: tuple[LoadedDylib, ...] = ()
    sites: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    allows_at_paths: bool = True
    allows_path_variables: bool = True
    allows_classic_fallbacks: bool = True
    validates_libraries: bool = False
    team: str | None = None
    cache: SharedCache = field(default_factory=SharedCache)
    has_cryptex: bool = True
    sdk: Sdk | None = None
    files: Files = field(default_factory=Disk, repr=False)

    @property
    def is_dyld4(self) -> bool:
        """Whether programs run the engine of macOS 12 and later (D-02)."""
        return self.version >= (12,)

    @property
    def cryptex(self) -> str | None:
        """Where the system's own libraries are looked for besides, from macOS 13 on (D-30)."""
        return CRYPTEX if self.has_cryptex and self.version >= (13,) else None

    @property
    def accepts(self) -> tuple[str, ...]:
        """The architectures of images that this process takes, best first (D-18)."""
        if self.architecture == "x86_64":
            return ("x86_64h", "x86_64") if self.haswell and not self.translated else ("x86_64",)
        if self.architecture == "arm64e":
            return ("arm64e",)
        return ("arm64e", "arm64") if self.arm64e_dyld else ("arm64",)

    def variable(self, name: str) -> tuple[str, ...] | None:
        """A colon list of the environment; None where it is not set, or deleted by the policy (D-76)."""
        value = self.environment.get(name)
        return tuple(value.split(":")) if value and self.allows_path_variables else None
