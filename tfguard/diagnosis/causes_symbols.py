"""Causes behind an undefined symbol: what the symbol's own spelling and the library that misses it tell."""

from __future__ import annotations

import re

from tfguard.diagnosis.cause import Cause, check, is_plugin, name, of_tensorflow, package_of, quoted
from tfguard.diagnosis.causes_nvidia import plugin
from tfguard.diagnosis.causes_requirements import hdf5
from tfguard.diagnosis.said import Said
from tfguard.diagnosis.setting import Setting
from tfguard.finding import Remedy
from tfguard.mangling.readable import readable

_TENSORFLOWS = re.compile(
    r"10tensorflow|3tsl|12?lts_\d{8}|4absl|3xla|15stream_executor|4mlir|^TF_|^TFE_|^TSL_|^SP_", re.IGNORECASE
)
_ABSEIL = re.compile(r"lts_(20\d{6})")
_NEW_STRING = re.compile(r"B5cxx11|7__cxx11", re.IGNORECASE)
# std::string of the old ABI: S s (Ss) or S b (basic_string) as a parameter, never inside of a name.
_OLD_STRING = re.compile(r"(?:E|K|R|v|b|i|j|P|S_|C[12])Ss(?![a-z]{2})|Sb[IS]")
# Functions that give back a std::string: the old ABI spells them without any sign of it.
_GIVES_STRING = re.compile(r"CheckOpMessageBuilder9NewStringEv$|OpDefBuilder\d+\w+ESs$", re.IGNORECASE)
_CUDA = re.compile(
    r"^_{1,2}cuda[A-Za-z]|^cuda[A-Z]|^cu[A-Z][a-z]|^cublas|^cudnn|^cusolver|^cusparse|^cufft|^curand|^nccl"
)
_NVIDIA_VERSIONED = re.compile(r"^_{0,2}nvJitLink|^cublas\w*|^nvrtc|^cusparse\w*|^cudnn\w*")
_OWN = re.compile(r"7functor|(?i:kernel|launch(?:er)?)")
_FRAMEWORK_TYPES = re.compile(r"^_ZT[IVS]N10tensorflow", re.IGNORECASE)


def undefined(said: Said, setting: Setting) -> list[Cause]:
    """What a missing symbol is thought to come from, likeliest first."""
    symbol = _elf_spelling(said.symbol)
    if re.match(r"H5[A-Z]{1,2}_?\w", symbol):
        return hdf5(said, setting)  # HDF5's own interface
    path = said.object
    rows = _rows(said, symbol)
    for guess in _GUESSES:
        causes = guess(symbol, path, said, setting)
        if causes:
            return [_with_rows(one, rows) for one in causes]
    return []


def _elf_spelling(symbol: str) -> str:
    """Mach-O puts an underscore before every name."""
    return symbol[1:] if symbol.startswith(("__Z", "_TF_", "__Py", "_Py")) and not symbol.startswith("_Py_") else symbol


def _rows(said: Said, symbol: str) -> tuple[tuple[str, str], ...]:
    rows = [("file", said.object)] if said.object else []
    if symbol:
        text = readable(symbol.encode("utf-8", "replace"))
        rows.append(("undefined", text if text != symbol else symbol))
    if said.version:
        rows.append(("expected in", said.version))
    return tuple(rows)


def _with_rows(cause: Cause, rows: tuple[tuple[str, str], ...]) -> Cause:
    from dataclasses import replace

    return replace(cause, rows=(*rows, *cause.rows))


def _of_python(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not re.match(r"_cffi_pypyinit|_?Py[A-Z_]|pyunicode|_?pyc?method|_py_", symbol):
        return []
    hint = "; UCS2 and UCS4 are two builds of one Python 2" if "UCS" in symbol else ""
    return [
        Cause(
            code="TFG504",
            message=f"{name(said, 'the module')} is built for another Python than the one that loads it",
            why=f"{symbol} belongs to CPython's C interface, and this interpreter does not have it{hint}",
            decides=(
                "the interpreter, and the folders it imports from",
                'python -c "import sys; print(sys.version, sys.path)"',
            ),
            remedies=(
                Remedy(
                    "Install the package with this interpreter's own pip.",
                    "python -m pip install --force-reinstall --no-cache-dir PACKAGE",
                ),
                Remedy("Take folders of another Python off PYTHONPATH.", "echo $PYTHONPATH"),
            ),
            vain="renaming a wheel to get past its tag",
        )
    ]


def _of_plugin(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not is_plugin(path):
        return []
    return [
        plugin(
            path,
            f"{symbol or 'what it needs'} is not in the TensorFlow that is installed: the plugin is for another one",
        )
    ]


def _of_another_copy(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    """The file is sound in its own installation, so what it binds to is not the copy that belongs to it."""
    versioned = bool(said.version) and ".so" in said.version
    if versioned or _NVIDIA_VERSIONED.match(symbol):
        owner = said.version or "NVIDIA's library"
        return [
            Cause(
                code="TFG505",
                message=f"another, older copy of {owner} is found before the one that belongs to {name(said)}",
                why=f"{symbol} came with a later release of {owner}",
                decides=(
                    "which copies there are, and what leads to the wrong one",
                    f"echo $LD_LIBRARY_PATH; ldconfig -p | grep {quoted(owner.partition('.so')[0])}",
                ),
                remedies=(
                    Remedy("Start without that folder.", "env -u LD_LIBRARY_PATH python your_script.py"),
                    Remedy(
                        "Bring NVIDIA's packages to the versions that the package asks for.",
                        "python -m pip install --upgrade nvidia-nvjitlink-cu12",
                    ),
                ),
                vain="a new environment: the other copy lies outside of it",
            )
        ]
    if not of_tensorflow(path) or re.match(r"_?Py", symbol):
        return []
    return [
        Cause(
            code="TFG505",
            message=f"TensorFlow's own {name(said)} binds to a libtensorflow_framework of another TensorFlow",
            why="a file of TensorFlow misses what another file of the same wheel defines, so another copy of that is"
            " found first",
            decides=(
                "every copy that the search can find",
                (
                    "echo $LD_LIBRARY_PATH; ldconfig -p | grep tensorflow; find / -name 'libtensorflow_framework*'"
                    " 2>/dev/null"
                ),
            ),
            remedies=(
                Remedy("Start without the folders of LD_LIBRARY_PATH.", "env -u LD_LIBRARY_PATH python your_script.py"),
                Remedy(
                    "Remove the other copy (often in /usr/local/lib), as root.",
                    "rm /usr/local/lib/libtensorflow_framework.so* && ldconfig",
                ),
            ),
            vain="a new environment: the other copy lies outside of it",
        ),
        Cause(
            code="TFG404",
            message="files of two TensorFlow releases may lie in one folder",
            why="an install over another one leaves such a mixture",
            decides=("files that do not belong to the release", "python -m tfguard"),
            remedies=(
                Remedy(
                    "Uninstall, delete what is left of the folder, install again.",
                    "python -m pip uninstall tensorflow && python -m pip install tensorflow",
                ),
            ),
        ),
    ]


def _of_cuda(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not _CUDA.match(symbol):
        return []
    return [
        Cause(
            code="TFG506",
            message=f"{name(said)} was compiled by another CUDA release than the libcudart that it gets",
            why=f"{symbol} is called by code that nvcc generates, and belongs to the runtime of nvcc's own release",
            decides=("the CUDA of the build and the one installed", "nvcc --version; ldconfig -p | grep cudart"),
            remedies=(
                Remedy(
                    "Link it to the libcudart of that nvcc, and have the same release where it runs.",
                    "g++ -shared *.o -L/usr/local/cuda/lib64 -lcudart -o FILE.so",
                ),
                Remedy("Use a release of the package made for the installed CUDA."),
            ),
        )
    ]


def _of_types(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    """Typeinfo and vtables come first in the loader's order: whoever misses them misses all of the framework."""
    if not _FRAMEWORK_TYPES.match(symbol):
        return []
    return [
        not_linked(said, "the type information of OpKernel is the first thing that every op needs of the framework"),
        _other_release(said, setting, symbol),
    ]


def not_linked(said: Said, why: str) -> Cause:
    """The framework is not among the libraries of the op."""
    return Cause(
        code="TFG503",
        message=f"{name(said, 'the op')} is not linked against libtensorflow_framework",
        why=why,
        decides=("its needed libraries", f"readelf -d {quoted(said.object or 'FILE')} | grep NEEDED"),
        remedies=(
            Remedy(
                "Link it with the flags that the installed TensorFlow gives.",
                "g++ -shared -fPIC op.cc -o op.so $(python -c 'import tensorflow as tf;"
                " print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())')",
            ),
        ),
        vain="changing the C++ ABI flag: the library is not named at all",
    )


def _of_abseil(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    tag = _ABSEIL.search(symbol)
    if tag is None:
        return []
    return [
        _other_release(
            said,
            setting,
            symbol,
            why=f"the name carries the Abseil release that it was built with (lts_{tag[1]}); the installed"
            f" TensorFlow has another",
        )
    ]


def _of_cxx_standard(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if "17basic_string_view" not in symbol or not _TENSORFLOWS.search(symbol):
        return []
    if package_of(path).startswith(("tensorflow_", "horovod")):
        return [_other_release(said, setting, symbol)]  # nobody compiles a wheel's op: its release fits or does not
    return [
        Cause(
            code="TFG508",
            message=f"{name(said, 'the op')} is compiled with another C++ standard than TensorFlow was",
            why="with -std=c++17 absl::string_view is std::string_view, which gives the function another name",
            decides=(
                "the standard of this TensorFlow",
                'python -c "import tensorflow as tf; print(tf.sysconfig.get_compile_flags())"',
            ),
            remedies=(
                Remedy(
                    "Build it with the -std that this TensorFlow was built with (c++11 or c++14 up to 2.9, c++17"
                    " later)."
                ),
            ),
        ),
        _other_release(said, setting, symbol),
    ]


def _of_string_abi(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    new, old = bool(_NEW_STRING.search(symbol)), bool(_OLD_STRING.search(symbol) or _GIVES_STRING.search(symbol))
    told = not symbol and setting.mentions("cxx11_abi")
    if not (new or old or told):
        return []
    have = "1" if new else "0" if old else "one value"
    whose = "TensorFlow" if _TENSORFLOWS.search(symbol) else "the library it binds to"
    spelling = "the new spelling of std::string (cxx11)" if new else "the old spelling of std::string"
    cause = Cause(
        code="TFG501",
        message=f"{name(said, 'the library')} is built with _GLIBCXX_USE_CXX11_ABI={have}, {whose} with the other"
        f" value",
        why="the text names the flag, and no symbol"
        if told
        else f"the symbol has {spelling}; a twin with the other one is what {whose} exports",
        decides=(
            "the flag of the installed TensorFlow",
            'python -c "import tensorflow as tf; print(tf.sysconfig.get_compile_flags())"',
        ),
        remedies=(
            Remedy(
                "Build it again with the flags that the installed TensorFlow gives.",
                "g++ -shared -fPIC op.cc -o op.so $(python -c 'import tensorflow as tf;"
                " print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())')",
            ),
            Remedy("Take package and TensorFlow from one source: both from pip, or both from conda."),
        ),
        vain="a fixed -D_GLIBCXX_USE_CXX11_ABI=0 by rote: conda, source builds, Jetson and newer wheels use 1; ask"
        " TensorFlow",
    )
    release = [_other_release(said, setting, symbol)] if _TENSORFLOWS.search(symbol) else []
    return [cause, *release]


def _of_dependency(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if symbol.startswith("iJIT"):
        return [
            _missing_of_build(
                said,
                "MKL 2024.1 and later do not have it any more: torch was built with an older one",
                Remedy("Pin MKL below that release.", "conda install 'mkl<2024.1'"),
            )
        ]
    return []


def _of_own_build(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not symbol or (_TENSORFLOWS.search(symbol) and not ("7functor" in symbol or "KernelLaunch" in symbol)):
        return []
    if not _OWN.search(symbol) and package_of(path).startswith("tensorflow_"):
        return []
    if _is_general(symbol):
        return []
    why = "no library of TensorFlow exports it: it belongs to an object file or library that was left out of the link"
    cuda = (
        (
            Remedy(
                "Link the object made from the .cu file too.",
                "nvcc -c op.cu.cc -o op.cu.o -Xcompiler -fPIC && g++ -shared op.cc op.cu.o -o op.so",
            ),
        )
        if _OWN.search(symbol)
        else ()
    )
    return [
        _missing_of_build(said, why, *cuda, Remedy("Link with -Wl,-z,defs: the linker then names what is left out."))
    ]


def _is_general(symbol: str) -> bool:
    """A name of protobuf or gRPC, which several packages carry in releases of their own."""
    return "6google8protobuf" in symbol or "4grpc" in symbol


def _missing_of_build(said: Said, why: str, *remedies: Remedy) -> Cause:
    return Cause(
        code="TFG506",
        message=f"{name(said, 'the library')} refers to a symbol that none of its libraries defines",
        why=why,
        decides=(
            "whether anything here defines it",
            f"{check(said.object)}; nm -DC {quoted(said.object or 'FILE')} | grep ' U '",
        ),
        remedies=remedies,
    )


def _of_tensorflow(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not (_TENSORFLOWS.search(symbol) or (not symbol and _is_addon(said, setting)) or _is_general(symbol)):
        return []
    return [
        _other_release(said, setting, symbol),
        not_linked(said, "it may not name the framework among its needed libraries"),
    ]


def _is_addon(said: Said, setting: Setting) -> bool:
    return package_of(said.object).startswith(("tensorflow", "horovod")) or setting.op_load or "_ops" in said.object


def _other_release(said: Said, setting: Setting, symbol: str, *, why: str = "") -> Cause:
    package = package_of(said.object)
    known = package.startswith(("tensorflow_", "horovod", "deepmd")) and package
    first = (
        Remedy(
            f"Install the release of {package.replace('_', '-')} that was made for the installed TensorFlow, or the"
            f" TensorFlow it names.",
            f"python -m pip show {package.replace('_', '-')} tensorflow | grep -E 'Name|Version|Requires'",
        )
        if known
        else Remedy(
            "Build it again against the installed TensorFlow.",
            "g++ -shared -fPIC op.cc -o op.so $(python -c 'import tensorflow as tf;"
            " print(*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags())')",
        )
    )
    return Cause(
        code="TFG502",
        message=f"{name(said, 'the op')} is built for another release of TensorFlow than the one that is loaded",
        why=why or "the function is TensorFlow's, whose C++ interface changes with each minor release",
        decides=("the two releases", 'python -c "import tensorflow as tf; print(tf.__version__)"; python -m pip list'),
        remedies=(
            first,
            Remedy(
                "Where pip built it, build it against the TensorFlow that is installed.",
                f"python -m pip install --no-build-isolation --no-cache-dir --no-binary :all:"
                f" {(known or 'PACKAGE').replace('_', '-')}",
            ),
        ),
    )


def _anything(symbol: str, path: str, said: Said, setting: Setting) -> list[Cause]:
    if not symbol:
        if of_tensorflow(path):
            return []
        return [_other_release(said, setting, symbol, why="the symbol is cut off; ops fail so mostly for the release")]
    return [
        _missing_of_build(
            said,
            "it is none of TensorFlow's, Python's or CUDA's: another library, or another release of one, should"
            " define it",
            Remedy("Install the release of that library that it was built with."),
        )
    ]


_GUESSES = (
    _of_python,
    _of_plugin,
    _of_another_copy,
    _of_cuda,
    _of_dependency,
    _of_types,
    _of_abseil,
    _of_cxx_standard,
    _of_string_abi,
    _of_own_build,
    _of_tensorflow,
    _anything,
)
