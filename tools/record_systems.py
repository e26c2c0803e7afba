"""Records what Linux systems have for a wheel to load against: data/systems/NAME-PROCESSOR.txt, and policies.txt.

python tools/record_systems.py [NAME-PROCESSOR ... | policies]

Of a system it fetches the packages that a fresh one has with its Python (a few megabytes; needs dpkg-deb) and reads
their libraries with tfguard's own readers: sonames, versions defined, and what the loader's file says of itself. The
policies of manylinux and musllinux (PEP 600, PEP 656) are read from auditwheel, which the extra `bench` installs.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tfguard.binary.elf import look_at
from tfguard.binary.versions import versions_of
from tfguard.hosts.loader_family import glibc_version, read_loader
from tfguard.image import Image

DATA = Path(__file__).parents[1] / "tfguard" / "data" / "systems"
_DEBIAN, _UBUNTU = "http://deb.debian.org/debian", "http://archive.ubuntu.com/ubuntu"
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}

# What is on a fresh system: the C and C++ runtimes and what its Python and its base packages bring.
_PACKAGES = re.compile(
    r"libc6|libgcc-s1|libstdc\+\+6|libcrypt1|libnsl2|zlib1g|libexpat1|libffi\d[\w.]*|libssl[\d.]+(?:t64)?|libbz2-1\.0"
    r"|liblzma5|libsqlite3-0|libuuid1|libncursesw6|libtinfo6|libreadline8(?:t64)?|libzstd1|liblz4-1"
)
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
# Names of glibc that only it itself uses, or that nothing is linked against.
_OWN = (
    "libmemusage", "libpcprofile", "libc_malloc_debug", "libnss_", "libthread_db", "libBrokenLocale",
    "libformw", "libmenuw", "libpanelw", "libtic", "libexpatw", "libudev",
)  # fmt: skip


class System(NamedTuple):
    """A release: its archive and suite, its name as /etc/os-release has it, the Python that it comes with."""

    archive: str
    suite: str
    name: str
    python: str


SYSTEMS = {
    "debian-11": System(_DEBIAN, "bullseye", "Debian GNU/Linux 11 (bullseye)", "3.9"),
    "debian-12": System(_DEBIAN, "bookworm", "Debian GNU/Linux 12 (bookworm)", "3.11"),
    "debian-13": System(_DEBIAN, "trixie", "Debian GNU/Linux 13 (trixie)", "3.13"),
    "ubuntu-22.04": System(_UBUNTU, "jammy", "Ubuntu 22.04 LTS", "3.10"),
    "ubuntu-24.04": System(_UBUNTU, "noble", "Ubuntu 24.04 LTS", "3.12"),
}
# Ubuntu keeps its packages for ARM in another archive, ports.ubuntu.com.
_PORTS = "http://ports.ubuntu.com/ubuntu-ports"


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        data = answer.read()
    assert isinstance(data, bytes)
    return data


def packages_of(archive: str, suite: str, architecture: str) -> dict[str, str]:
    """Where the archive has each package that is wanted: name to path."""
    place = f"{archive}/dists/{suite}/main/binary-{architecture}/Packages"
    try:
        text = lzma.decompress(_get(f"{place}.xz"))
    except OSError:
        text = gzip.decompress(_get(f"{place}.gz"))
    found: dict[str, str] = {}
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        if _PACKAGES.fullmatch(fields.get("Package", "")):
            found[fields["Package"]] = fields["Filename"]
    return found


def unpacked(archive: str, paths: dict[str, str], folder: Path) -> None:
    """The packages' files below a folder."""
    for name, path in sorted(paths.items()):
        file = folder / f"{name}.deb"
        file.write_bytes(_get(f"{archive}/{path}"))
        subprocess.run(["dpkg-deb", "-x", str(file), str(folder / "tree")], check=True)


def lines_of(system: System, processor: str, tree: Path) -> list[str]:
    """The lines of the data file."""
    path = _LOADERS[processor]
    usual = tree / path.lstrip("/")
    candidates = [usual, *tree.rglob(os.path.basename(path))]
    loader = next(read_loader(str(one.resolve())) for one in candidates if one.is_file())
    libraries: dict[str, tuple[str, ...]] = {}
    glibc: tuple[int, int] | None = None
    folders = [tree / one.lstrip("/") for one in loader.directories]
    for file in sorted(one for folder in folders if folder.is_dir() for one in folder.iterdir() if one.is_file()):
        image = look_at(str(file)).content
        if not isinstance(image, Image) or image.soname is None or image.soname.startswith(_OWN):
            continue
        versions = versions_of(image)
        defined = versions.definitions.values() if versions is not None else ()
        libraries.setdefault(image.soname, tuple(one for one in defined if one != "GLIBC_PRIVATE"))
        if image.soname == "libc.so.6":
            glibc = glibc_version(file.read_bytes())
    assert glibc is not None
    return [
        f"name {system.name}",
        f"python {system.python}",
        f"glibc {glibc[0]}.{glibc[1]}",
        f"loader {path}",
        f"directories {' '.join(loader.directories)}",
        f"features {' '.join(sorted(loader.features))}",
        *(f"library {' '.join((soname, *versions))}" for soname, versions in sorted(libraries.items())),
    ]


def record(name: str, processor: str) -> None:
    """Write the data file of one system."""
    system = SYSTEMS[name]
    archive = _PORTS if system.archive == _UBUNTU and processor != "x86_64" else system.archive
    with tempfile.TemporaryDirectory() as folder:
        unpacked(archive, packages_of(archive, system.suite, _PROCESSORS[processor]), Path(folder))
        lines = lines_of(system, processor, Path(folder) / "tree")
    header = f"# What a fresh {system.name} has. Written by tools/record_systems.py from the packages of its archive."
    DATA.mkdir(exist_ok=True)
    (DATA / f"{name}-{processor}.txt").write_text("\n".join((header, *lines, "")))


def record_policies() -> None:
    """Write what each policy allows: the highest version of each family, and the libraries of the system."""
    from importlib.resources import files

    lines = ["# What a wheel may use of the system. Written by tools/record_systems.py from auditwheel's policies."]
    for family in ("manylinux", "musllinux"):
        for policy in json.loads((files("auditwheel.policy") / f"{family}-policy.json").read_text()):
            if not policy["name"].startswith(family):
                continue  # "linux": everything is allowed
            lines.append(f"policy {policy['name']} {' '.join(sorted(policy['lib_whitelist']))}")
            for processor in _PROCESSORS:
                highest = {
                    name: max((one for one in versions if one[0].isdigit()), key=_numbers, default="")
                    for name, versions in policy["symbol_versions"].get(processor, {}).items()
                }
                pairs = " ".join(f"{name}={version}" for name, version in sorted(highest.items()) if version)
                lines.append(f"versions {policy['name']} {processor} {pairs}".rstrip())
    (DATA / "policies.txt").write_text("\n".join((*lines, "")))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    """Record the systems that are named, or all and the policies."""
    wanted = sys.argv[1:] or [*(f"{name}-{processor}" for name in SYSTEMS for processor in _PROCESSORS), "policies"]
    for one in wanted:
        if one == "policies":
            record_policies()
            continue
        name, _, processor = one.rpartition("-")
        try:
            record(name, processor)
            print(f"{one}: recorded")
        except OSError as error:
            print(f"{one}: left as it was ({error})", file=sys.stderr)


if __name__ == "__main__":
    main()
