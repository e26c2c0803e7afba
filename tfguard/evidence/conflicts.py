"""What this process holds already that does not go together with a load: OpenMP, another TensorFlow, half an import."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator

from tfguard.hosts.host import Host
from tfguard.image import Image
from tfguard.installed.installation import Package
from tfguard.installed.names import dist_info, listing, release_of
from tfguard.loader.trace import Failure, Trace

# LLVM's runtime and Intel's are one code base: the second copy in a process ends it. GNU's libgomp goes with either.
# Tried with libomp 14 and intel-openmp 2026.2; wheels have a hash in the name. Compiled where a name calls for it.
_LLVM_OPENMP = r"lib(i?omp5?)(-[0-9a-f]+)?\.so(\.\d+)*"
_OF_TENSORFLOW = r"libtensorflow(_framework|_cc)?\.so(\.\d+)*|_pywrap_tensorflow_internal\.so"
# Defined by libtensorflow_framework of every release.
_TYPE_OF_OP_KERNEL = b"_ZTIN10tensorflow8OpKernelE"
# Modules that TensorFlow and others with native code go into deeply, and the distributions that bring them: with files
# of two releases in one process, the import ends in whatever Python meets first.
_GONE_INTO = (
    ("numpy", "numpy"), ("ml_dtypes", "ml-dtypes"), ("google.protobuf", "protobuf"), ("keras", "keras"),
    ("h5py", "h5py"),
)  # fmt: skip
# Python's module that calls OpenSSL first: after it, everything goes well (tried with TensorFlow 2.21).
_USER_OF_OPENSSL = "_hashlib"


def conflicts(host: Host, package: Package | None, traces: Collection[Trace]) -> Iterator[Failure]:
    """Each conflict as a failure, none of them certain: what becomes of it hangs on code that has yet to run."""
    yield from _two_openmp_runtimes(host, traces)
    if package is not None and host.root.is_here:
        yield from _another_tensorflow(host, package)
        if host.sees_global_symbol is not None:  # sys.modules is that of this process
            yield from _half_imported(package)
            if package.name not in sys.modules:
                yield from _replaced_since()


def _failure(kind: str, path: str, **facts: str | None) -> Failure:
    values = {"name": os.path.basename(path), **facts}
    return Failure(kind=kind, rule="", message=None, path=path, certain=False, **values)  # type: ignore[arg-type]  # of these fields


def _is_llvm_openmp(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(("libomp", "libiomp")) and re.fullmatch(_LLVM_OPENMP, name) is not None


def _is_of_tensorflow(path: str) -> bool:
    name = path.rpartition("/")[2]
    return "tensorflow" in name and re.fullmatch(_OF_TENSORFLOW, name) is not None


def _two_openmp_runtimes(host: Host, traces: Collection[Trace]) -> Iterator[Failure]:
    """A runtime of LLVM's family that is loaded beside another of them."""
    first = next((one.path for one in host.loaded if _is_llvm_openmp(one.path)), None)
    for trace in traces:
        for mapped in trace.images:
            if not _is_llvm_openmp(mapped.path):
                continue
            if first is not None:
                yield _failure("two-openmp", mapped.path, requirer=mapped.requirer, provider=first)
                return
            first = mapped.path


def _another_tensorflow(host: Host, package: Package) -> Iterator[Failure]:
    """A core of TensorFlow that is loaded while `tensorflow` has not been imported."""
    if package.name != "tensorflow" or "tensorflow" in sys.modules:
        return
    other = next((one for one in host.loaded if _is_of_tensorflow(one.path)), None)
    if other is None:
        return
    own = os.path.realpath(package.directory or "") + os.sep
    is_own = os.path.realpath(other.path).startswith(own)
    is_global = host.sees_global_symbol is not None and host.sees_global_symbol(_TYPE_OF_OP_KERNEL)
    if is_global and _USER_OF_OPENSSL not in sys.modules:
        yield _failure("another-tensorflow", other.path, detail="global", provider=own, requirer=_USER_OF_OPENSSL)
    elif not is_own:
        soname = other.image.soname if isinstance(other.image, Image) else None
        yield _failure("another-tensorflow", other.path, detail="other", provider=own, requirer=soname)


def _half_imported(package: Package) -> Iterator[Failure]:
    """The package itself, begun and not ended, or modules that an import from another place has left."""
    module = sys.modules.get(package.name)
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        yield _failure("half-imported", getattr(module, "__file__", None) or package.origin or "", detail="going on")
        return
    if module is not None:
        return
    prefix = package.name + "."
    own = tuple(os.path.realpath(one) + os.sep for one in package.locations)
    left = [name for name in tuple(sys.modules) if name.startswith(prefix)]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in left]
    foreign = [one for one in files if isinstance(one, str) and not os.path.realpath(one).startswith(own)]
    if foreign:
        yield _failure("half-imported", foreign[0], name=str(len(foreign)), detail="left over", provider=own[0])


def _replaced_since() -> Iterator[Failure]:
    """A package that this process has imported, and that pip has put another release in the place of since."""
    for name, distribution in _GONE_INTO:
        facts = getattr(sys.modules.get(name), "__dict__", {})
        version, file = facts.get("__version__"), facts.get("__file__")
        if not isinstance(version, str) or not isinstance(file, str):
            continue
        site = file
        for _ in range(name.count(".") + 2):
            site = os.path.dirname(site)
        told = (dist_info(one) for one in listing(site))
        found = [one[1] for one in told if one is not None and one[0] == distribution]
        if found and release_of(version) and all(release_of(one) != release_of(version) for one in found):
            yield _failure("replaced-since", file, name=name, detail=version, provider=f"{distribution} {found[0]}")
