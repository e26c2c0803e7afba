"""Which system package holds a library: a small table of what Python packages are known to miss."""

from __future__ import annotations

import re

# (pattern of the soname, Debian and Ubuntu, Fedora and RHEL, Alpine); what is not here is not guessed.
_TABLE = (
    (r"libgomp\.so\.1", "libgomp1", "libgomp", "libgomp"),
    (r"libstdc\+\+\.so\.6", "libstdc++6", "libstdc++", "libstdc++"),
    (r"libgcc_s\.so\.1", "libgcc-s1", "libgcc", "libgcc"),
    (r"libGL\.so\.1", "libgl1", "mesa-libGL", "mesa-gl"),
    (r"libEGL\.so\.1", "libegl1", "mesa-libEGL", "mesa-egl"),
    (r"libglib-2\.0\.so\.0", "libglib2.0-0", "glib2", "glib"),
    (r"libz\.so\.1", "zlib1g", "zlib", "zlib"),
    (r"libbz2\.so\.1(\.0)?", "libbz2-1.0", "bzip2-libs", "libbz2"),
    (r"liblzma\.so\.5", "liblzma5", "xz-libs", "xz-libs"),
    (r"libffi\.so\.8", "libffi8", "libffi", "libffi"),
    (r"libssl\.so\.3|libcrypto\.so\.3", "libssl3", "openssl-libs", "openssl"),
    (r"libssl\.so\.1\.1|libcrypto\.so\.1\.1", "", "compat-openssl11", ""),
    (r"libopenblas\.so\.0", "libopenblas0", "openblas", "openblas"),
    (r"libgfortran\.so\.5", "libgfortran5", "libgfortran", "libgfortran"),
    (r"libnuma\.so\.1", "libnuma1", "numactl-libs", "numactl"),
    (r"libcurl\.so\.4", "libcurl4", "libcurl", "libcurl"),
    (r"libsndfile\.so\.1", "libsndfile1", "libsndfile", "libsndfile"),
    (r"libX11\.so\.6", "libx11-6", "libX11", "libx11"),
    (r"libSM\.so\.6", "libsm6", "libSM", "libsm"),
    (r"libXext\.so\.6", "libxext6", "libXext", "libxext"),
    (r"libXrender\.so\.1", "libxrender1", "libXrender", "libxrender"),
    (r"libatomic\.so\.1", "libatomic1", "libatomic", "libatomic"),
    (r"libomp\.so\.5", "libomp5", "libomp", "openmp"),
    (r"librdmacm\.so\.1", "librdmacm1", "librdmacm", "librdmacm"),
    (r"libibverbs\.so\.1", "libibverbs1", "libibverbs", "libibverbs"),
    (r"libmpi\.so\.40", "libopenmpi3", "openmpi", "openmpi"),
)

_COLUMNS = {"apt-get": 1, "dnf": 2, "apk": 3}
_COMMANDS = {"apt-get": "apt-get install", "dnf": "dnf install", "apk": "apk add"}


def install_command(soname: str, installer: str) -> str | None:
    """The command that installs the library on this system, None where the table does not know it."""
    column = _COLUMNS.get(installer)
    if column is None:
        return None
    package = next((row[column] for row in _TABLE if re.fullmatch(row[0], soname)), "")
    return f"{_COMMANDS[installer]} {package}" if package else None
