"""What people write in their own words in place of a message, in titles and questions: read where nothing else is."""

from __future__ import annotations

from tfguard.diagnosis.said import WORDS
from tfguard.diagnosis.shape import Shape, shape

# Verbs of failing, in the forms that titles have.
_FAILS = (
    r"(?:not (?:be )?(?:found|loaded|available|load|find|open)|missing|can ?n[o']t|could ?n[o']t|unable|fail\w*|no such"
    r"|error|issue|problem|broken|crash\w*|wrong|mismatch\w*|incompatib\w+|conflict\w*|too old|too new|unsupported)"
)


# Somebody's own spelling of a version of the C or C++ library, and what is said of one that is not there.
_VERSION = r"\b(?P<version>(?:GLIBC|GLIBCXX|CXXABI)[ -](?:>= ?|version )?\d{1,2}\.\d[\d.]{0,6})"
_LACKS = rf"(?:{_FAILS[3:-1]}|needs?|requires?|required|looking for|too old|newer|older|at least)"


def _words(kind: str, marks: str | tuple[str, ...], pattern: str) -> Shape:
    return shape(kind, marks, pattern, loader="somebody", weight=WORDS)


def _both(one: str, other: str = _FAILS) -> str:
    """Both on one line, in whichever order."""
    return rf"{one}[^\n]{{0,160}}?\b{other}|\b{other}[^\n]{{0,160}}?{one}"


SHAPES: tuple[Shape, ...] = (
    _words(
        "missing-words",
        (
            "libcu",
            "libnccl",
            "libnvinfer",
            "libtensorflow_framework",
            "find_library",
            "load library",
            "load the",
            "load native",
            "load shared",
            "load dynamic",
        ),
        r"(?:find_library\(\) did not manage to locate a library called"
        r"|(?:can ?n[o']t|could ?n[o']t|unable to|failed to)"
        r" load (?:the )?(?:native |shared |dynamic )?library:?) ['\"]?(?P<object>[\w/.+-]{2,200})",
    ),
    _words(
        "missing-words",
        ("cuda", "libcu", "libnccl", "libnvinfer", "libtensorflow_framework"),
        r"(?P<object>lib(?:cuda|cudart|cublas|cublasLt|cudnn|cufft|cusolver|curand|cusparse|nccl|nvinfer"
        r"|tensorflow_framework)\.(?:so|dylib)[\w.]{0,20})",
    ),
    _words(
        "missing-words",
        ".so",
        r"\b(?:does(?:n't| not) have|don't have|lacks?|without|needs?|requires?|depends on|where is|missing|no|not find"
        r"|(?:not able|unable) to (?:find|load|locate|open)"
        r"|(?:Import|OS|Runtime)Error:) (?:the )?(?:library |file )?['\"]?"
        r"(?P<object>lib[\w+-]{1,60}\.so(?:\.\d{1,4}){0,3})\b(?!:)",
    ),
    _words(
        "version",
        ("glibc_", "glibcxx_", "cxxabi_"),
        r"(?P<version>(?:GLIBC|GLIBCXX|CXXABI)_\d[\d.]{0,12}\d)",
    ),
    _words("version", ("glibc", "cxxabi"), rf"{_VERSION}(?=[^\n]{{0,160}}?\b{_LACKS})"),
    _words("version", ("glibc", "cxxabi"), rf"\b{_LACKS}[^\n]{{0,60}}?{_VERSION}"),
    _words(
        "cpu-feature",
        ("avx", "sse4"),
        _both(r"\b(?:AVX2?|AVX512\w{0,4}|SSE4(?:[._][12])?)\b"),
    ),
    _words("symbol-words", ("cxx11_abi", "cxx11 abi", "c++11 abi"), r"_?GLIBCXX_USE_CXX11_ABI|CXX11 ABI|C\+\+11 ABI"),
    _words("static-tls", ("tls block", "static tls"), r"static TLS|TLS block"),
    _words("exec-stack", ("execstack", "executable stack"), r"execstack|executable stack"),
    _words("cannot-map", "noexec", r"\bnoexec\b"),
    _words("text-relocation", "selinux", _both("SELinux", r"(?:den\w+|block\w+|permission|enforc\w+)")),
    _words("openmp-twice", "omp: error #15", r"OMP: Error #15: Initializing (?P<object>lib\S{1,60})?"),
    _words(
        "openmp-twice",
        ("openmp", "libiomp", "libomp"),
        _both(r"(?:OpenMP|libi?omp\w*)", r"(?:already|multiple|twice|two|duplicate\w*)"),
    ),
    _words(
        "numpy-abi",
        "numpy",
        _both("numpy", r"(?:ABI|binary incompatib\w+|compiled (?:against|with|using)|downgrade\w*)"),
    ),
    _words("protobuf", ("protobuf", "_pb2"), _both(r"(?:protobuf|\w{1,60}_pb2)")),
    _words("protobuf", "protoc", _both(r"\bprotoc\b", r"(?:_pb2|versions?\b|版本)")),
    _words("segfault", "fault", r"\bsegm[a-z]{3,12}[ -]fault"),
    _words(
        "segfault",
        ("core dump", "dumped core", "dumps core"),
        _both(
            r"(?:\bcore dump(?:s|ed)?|\bdump(?:s|ed) core)\b",
            r"(?:custom op\w*|SetShapeFn|InferenceContext|load_op_library|import\w*|load\w*)",
        ),
    ),
    _words("hdf5", ("h5py", "hdf5"), _both("(?:h5py|hdf5)")),
    _words(
        "keras",
        "keras",
        _both(r"\bkeras\b", r"(?:version\w*|incompatib\w+|mismatch\w*|cannot import|has no attribute)"),
    ),
    _words("dll-words", (".dll", "redistributable", ".pyd"), _both(r"(?:[\w.-]{1,60}\.(?:dll|pyd)|redistributable)")),
    _words("musl-words", ("alpine", "musl"), _both(r"\b(?:alpine|musl)\b")),
    _words(
        "architecture-words",
        "architecture",
        r"(?:wrong|incompatible|different|other|unsupported) (?:CPU |cpu )?architecture",
    ),
    _words(
        "signature-words", ("codesign", "code sign", "notari", "quarantine"), r"code ?sign\w*|notari[sz]\w+|quarantine"
    ),
    _words("wheel-words", "supported wheel", r"(?:which|what|not?|un) ?[^\n]{0,30}?supported wheel"),
    _words(
        "wheel-words",
        ("wheel", ".whl"),
        _both(r"(?:\.whl|\bwheels?\b)", r"(?:not supported|unsupported|no matching|not compatible)"),
    ),
)
