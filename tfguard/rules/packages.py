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
_INSTALL = {"apt-get": "apt-get install", "dnf": "dnf install", "apk": "apk add"}
_REINSTALL = {"apt-get": "apt-get install --reinstall", "dnf": "dnf reinstall", "apk": "apk fix"}

# (pattern of the soname, package on PyPI, its folder below nvidia/): NVIDIA's own wheels for CUDA 11 and 12.
_NVIDIA = (
    (r"libcudart\.so\.12", "nvidia-cuda-runtime-cu12", "cuda_runtime"),
    (r"libcudart\.so\.11\.0", "nvidia-cuda-runtime-cu11", "cuda_runtime"),
    (r"libcublas(Lt)?\.so\.12", "nvidia-cublas-cu12", "cublas"),
    (r"libcublas(Lt)?\.so\.11", "nvidia-cublas-cu11", "cublas"),
    (r"libcudnn(_\w+)?\.so\.9", "nvidia-cudnn-cu12", "cudnn"),
    (r"libcufft\.so\.11", "nvidia-cufft-cu12", "cufft"),
    (r"libcurand\.so\.10", "nvidia-curand-cu12", "curand"),
    (r"libcusolver\.so\.11", "nvidia-cusolver-cu12", "cusolver"),
    (r"libcusparse\.so\.12", "nvidia-cusparse-cu12", "cusparse"),
    (r"libnccl\.so\.2", "nvidia-nccl-cu12", "nccl"),
    (r"libcupti\.so\.12", "nvidia-cuda-cupti-cu12", "cuda_cupti"),
    (r"libnvrtc\.so\.12", "nvidia-cuda-nvrtc-cu12", "cuda_nvrtc"),
    (r"libnvJitLink\.so\.12", "nvidia-nvjitlink-cu12", "nvjitlink"),
)


def _package(soname: str, installer: str) -> str:
    column = _COLUMNS.get(installer)
    return next((row[column] for row in _TABLE if re.fullmatch(row[0], soname)), "") if column is not None else ""


def install_command(soname: str, installer: str) -> str | None:
    """The command that installs the library on this system, None where the table does not know it."""
    package = _package(soname, installer)
    return f"{_INSTALL[installer]} {package}" if package else None


def reinstall_command(soname: str, installer: str) -> str | None:
    """The command that puts the system's own files of the library back, None where the table does not know it."""
    package = _package(soname, installer)
    return f"{_REINSTALL[installer]} {package}" if package else None


def nvidia_package(soname: str) -> tuple[str, str] | None:
    """The package on PyPI that holds a CUDA library, and its folder below nvidia/."""
    return next(((package, folder) for name, package, folder in _NVIDIA if re.fullmatch(name, soname)), None)
