"""The exported twin of a missing symbol: real libraries, built with g++, that fail to load for want of a function."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.support.build import Compiler
from tests.support.watch import watched
from tfguard.evidence.twins import abseil_releases, find_twins, qualified_name
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process

ROOT = Path(__file__).parents[1]
STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD, NEW = ("-D_GLIBCXX_USE_CXX11_ABI=0",), ("-D_GLIBCXX_USE_CXX11_ABI=1",)

# Loads the provider, asks for the twins of the consumer's failure, then really loads the consumer.
ASK = """
import ctypes, json, sys
from tfguard.checks.check import check_library
from tfguard.hosts.live import this_host
from tfguard.loader.glibc import Process
from tfguard.evidence.twins import find_twins
provider, consumer = sys.argv[1:]
ctypes.CDLL(provider, mode=ctypes.RTLD_GLOBAL)
report = check_library(consumer)
failure = report.trace.failure
with Process(this_host()) as process:
    twins = find_twins(failure, process)
try:
    real = ctypes.CDLL(consumer) and None
except OSError as error:
    real = str(error)
print(json.dumps({
    "twins": [(one.name.decode(), one.provider, one.difference) for one in twins],
    "codes": [one.code for one in report.findings], "said": failure.message, "real": real,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What TensorFlow's library defines and what another one uses of it, each with its compiler options.

    `code` is the rule that this failure is told by, `names` those given as twins with their difference, where `twin`
    is None none. `library` is the file name of what defines.
    """

    defined: str
    used: str
    twin: str | None
    difference: str = ""
    code: str
    defined_with: tuple[str, ...] = ()
    used_with: tuple[str, ...] = ()
    library: str = "libtensorflow_framework.so.2"


STRINGS = """
#include <string>
namespace tensorflow {
struct Op { void Doc(std::string); };
std::string Name(int);
struct Node { Node(std::string const&, int); };
}
"""
DEFINED = """
namespace tensorflow {
void Op::Doc(std::string) {}
std::string Name(int) { return {}; }
Node::Node(std::string const&, int) {}
}
"""
DOC, NAME = "void use() { tensorflow::Op().Doc({}); }", "int use() { return tensorflow::Name(1).size(); }"
# the return type of a template is in its name, here in a form that is not parsed
DEDUCED = """
#include <string>
namespace tensorflow { template <class T> auto twice(T t) -> decltype(t + t); }
"""


def abseil(release: str) -> str:
    """Functions of a release of Abseil's, and one that takes a type of it; "" for no release in the names."""
    inner = "struct Status { Status(int); int code() const; }; int Join(std::string);"
    inner = f"inline namespace {release} {{ {inner} }}" if release else inner
    return f"#include <string>\nnamespace absl {{ {inner} }} namespace tensorflow {{ int Run(absl::Status const&); }}\n"


ABSEIL = """
absl::Status::Status(int) {}
int absl::Status::code() const { return 0; }
int absl::Join(std::string) { return 0; }
int tensorflow::Run(absl::Status const&) { return 0; }
"""
CODE, RUN = "int use(absl::Status* s) { return s->code(); }", "int use(absl::Status* s) { return tensorflow::Run(*s); }"
JOIN = "int use() { return absl::Join({}); }"

PAIRS = [
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used=STRINGS + DOC,
            used_with=OLD,
            twin=f"_ZN10tensorflow2Op3DocE{STRING}",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="parameter-old-in-new",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=OLD,
            used=STRINGS + DOC,
            used_with=NEW,
            twin="_ZN10tensorflow2Op3DocESs",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="parameter-new-in-old",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used=STRINGS + NAME,
            used_with=OLD,
            twin="_ZN10tensorflow4NameB5cxx11Ei",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="result-old-in-new",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=OLD,
            used=STRINGS + NAME,
            used_with=NEW,
            twin="_ZN10tensorflow4NameEi",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="result-new-in-old",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used=STRINGS + "int gone(); int use() { tensorflow::Node n({}, 1); return gone(); }",
            used_with=OLD,
            twin=f"_ZN10tensorflow4NodeC1ERK{STRING}i",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="one-of-several",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used=STRINGS.replace("std::string Name", "const char* Name") + DOC + "auto also() { return "
            "tensorflow::Name(1); }",
            used_with=NEW,
            twin="_ZN10tensorflow4NameB5cxx11Ei",
            difference="parameters",
            code="TFG502",
        ),
        id="result-of-another-release",
    ),
    pytest.param(
        Pair(
            defined=DEDUCED + "template <class T> auto tensorflow::twice(T t) -> decltype(t + t) { return t; }"
            "template std::string tensorflow::twice(std::string);",
            defined_with=NEW,
            used=DEDUCED + "extern template std::string tensorflow::twice(std::string);"
            "int use() { return tensorflow::twice(std::string()).size(); }",
            used_with=OLD,
            twin=f"_ZN10tensorflow5twiceI{STRING}EEDTplfp_fp_ET_",
            difference="C++ ABI",
            code="TFG501",
        ),
        id="name-that-is-not-parsed",
    ),
    pytest.param(
        Pair(
            defined=abseil("lts_20250814") + ABSEIL,
            used=abseil("lts_20230802") + CODE,
            twin="_ZNK4absl12lts_202508146Status4codeEv",
            difference="Abseil release",
            code="TFG502",
        ),
        id="abseil-function",
    ),
    pytest.param(
        Pair(
            defined=abseil("lts_20250814") + ABSEIL,
            used=abseil("lts_20230802") + RUN,
            twin="_ZN10tensorflow3RunERKN4absl12lts_202508146StatusE",
            difference="Abseil release",
            code="TFG502",
        ),
        id="abseil-parameter",
    ),
    pytest.param(
        Pair(
            defined=abseil("lts_20250814") + ABSEIL,
            defined_with=NEW,
            used=abseil("lts_20230802") + JOIN,
            used_with=OLD,
            twin=f"_ZN4absl12lts_202508144JoinE{STRING}",
            difference="Abseil release",
            code="TFG502",
        ),
        id="abseil-and-string",
    ),
    pytest.param(
        Pair(
            defined=abseil("lts_20250814") + ABSEIL,
            used=abseil("") + CODE,
            twin="_ZNK4absl12lts_202508146Status4codeEv",
            difference="Abseil release",
            code="TFG502",
        ),
        id="abseil-without-release-used",
    ),
    pytest.param(
        Pair(
            defined=abseil("") + ABSEIL,
            used=abseil("lts_20230802") + CODE,
            twin="_ZNK4absl6Status4codeEv",
            difference="Abseil release",
            code="TFG502",
        ),
        id="abseil-without-release-defined",
    ),
    pytest.param(
        Pair(
            defined="namespace tensorflow { int Scale(long) { return 0; } int Scales(int) { return 0; } }",
            used="namespace tensorflow { int Scale(int); } int use() { return tensorflow::Scale(1); }",
            twin="_ZN10tensorflow5ScaleEl",
            difference="parameters",
            code="TFG502",
        ),
        id="parameters",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used="namespace tensorflow { struct Op { void Doc(int); }; } void use() { tensorflow::Op().Doc(1); }",
            twin=f"_ZN10tensorflow2Op3DocE{STRING}",
            difference="parameters",
            code="TFG502",
        ),
        id="number-became-string",
    ),
    pytest.param(
        Pair(
            defined="namespace tensorflow { struct T { T(int, int); T& operator=(int); void f(); ~T(); }; T::~T() {}"
            "T::T(int, int) {} T& T::operator=(int) { return *this; } void T::f() {} }",
            used="namespace tensorflow { struct T { T(long); }; } void use() { tensorflow::T t(1); }",
            twin="_ZN10tensorflow1TC1Eii",
            difference="parameters",
            code="TFG502",
        ),
        id="constructor",
    ),
    pytest.param(
        Pair(
            defined="namespace tensorflow { struct B { int Run(int); }; int B::Run(int) { return 0; } }",
            used="namespace tensorflow { struct A { int Run(int); }; } int use() { return tensorflow::A().Run(1); }",
            twin=None,
            code="TFG506",
        ),
        id="member-of-another-class",
    ),
    pytest.param(
        Pair(
            defined="namespace tensorflow { template <class T> struct V { int run() { return 0; } };"
            "template struct V<long>; }",
            used="namespace tensorflow { template <class T> struct V { int run(); }; }"
            "int use() { return tensorflow::V<int>().run(); }",
            twin=None,
            code="TFG506",
        ),
        id="another-instance-of-a-template",
    ),
    pytest.param(
        Pair(
            defined='extern "C" int TF_NewTensorV2(int) { return 0; }',
            used='extern "C" int TF_NewTensor(int); int use() { return TF_NewTensor(1); }',
            twin=None,
            code="TFG506",
        ),
        id="c",
    ),
    pytest.param(
        Pair(
            defined="int f(int) { return 0; }", used="int g(int); int use() { return g(1); }", twin=None, code="TFG506"
        ),
        id="nothing-like-it",
    ),
    pytest.param(
        Pair(
            defined=STRINGS + DEFINED,
            defined_with=NEW,
            used=STRINGS + DOC,
            used_with=OLD,
            library="libother.so.2",
            twin=None,
            code="TFG503",
        ),
        id="in-a-library-of-others",
    ),
]


def built(compiler: Compiler, path: Path, source: str, *options: str) -> str:
    """The library made of a C++ text, at `path`."""
    shutil.copy(compiler.build(source, "-shared", "-fPIC", "-w", *options, "-lstdc++", suffix=".cc"), path)
    return str(path)


@needs("g++")
@pytest.mark.parametrize("pair", PAIRS)
def test_twins(compiler: Compiler, tmp_path: Path, pair: Pair) -> None:
    """Of a load that really fails so, the twin is found and told by the right rule."""
    provider = built(compiler, tmp_path / pair.library, pair.defined, *pair.defined_with)
    consumer = built(compiler, tmp_path / "op.so", pair.used, *pair.used_with)

    command = [sys.executable, "-c", ASK, provider, consumer]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["said"] == answer["real"]
    assert answer["twins"] == ([] if pair.twin is None else [[pair.twin, provider, pair.difference]])
    assert answer["codes"][:1] == [pair.code]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(b"_ZN4absl12lts_202308026Status5CloneEv", (b"absl", b"Status", b"Clone"), id="abseil"),
        pytest.param(b"_ZNK2tf1A1fB5cxx11Ev", (b"tf", b"A", b"f"), id="tag"),
        pytest.param(b"_ZN2tf1AB5cxx111fEv", (b"tf", b"A", b"f"), id="tag-within"),
        pytest.param(b"_Z1f3Foo", (b"f",), id="no-namespace"),
        pytest.param(b"_ZN2tf1fIiEEvT_", (b"tf", b"f"), id="function-template"),
        pytest.param(b"_ZN2tf1VIiE1fEv", (), id="member-of-class-template"),
        pytest.param(b"_ZN2tf1AC2Ev", (b"tf", b"A", b" C"), id="constructor"),
        pytest.param(b"_ZN2tf1AD1Ev", (b"tf", b"A", b" D"), id="destructor"),
        pytest.param(b"_ZN2tf1AaSERKS0_", (b"tf", b"A", b" aS"), id="operator"),
        pytest.param(b"_ZN2tf3fooMUlvE_E", (), id="not-understood"),
        pytest.param(b"_ZNSt6vectorIiE4pushEi", (), id="standard-library"),
        pytest.param(b"_ZTVN2tf1AE", (), id="table"),
        pytest.param(b"TF_NewTensor", (), id="c"),
        pytest.param(b"_ZN99f", (), id="length-past-the-end"),
        pytest.param(b"", (), id="nothing"),
    ],
)
def test_qualified_name(name: bytes, path: tuple[bytes, ...]) -> None:
    assert qualified_name(name) == path


@pytest.mark.parametrize(
    ("name", "releases"),
    [
        pytest.param(b"_ZN4absl12lts_202508146StatusC1Ev", ("lts_20250814",), id="one"),
        pytest.param(
            b"_Z1fN4absl12lts_202308026StatusEN4absl12lts_202508141SE", ("lts_20230802", "lts_20250814"), id="two"
        ),
        pytest.param(b"_Z1fN4absl12lts_202308026StatusEN4absl12lts_202308021SE", ("lts_20230802",), id="twice"),
        pytest.param(b"_ZN4absl6StatusC1Ev", (), id="none"),
        pytest.param(b"lts_20230802", (), id="c"),
    ],
)
def test_abseil_releases(name: bytes, releases: tuple[str, ...]) -> None:
    assert abseil_releases(name) == releases


@needs("g++")
@pytest.mark.tensorflow
def test_bounded_in_tensorflow(compiler: Compiler, tmp_path: Path) -> None:
    """The most that is read for a library that wants many functions which no TensorFlow ever had is bounded."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        pytest.skip("TensorFlow is not installed in this environment")
    wanted = "".join(f"namespace tensorflow {{ int Never{i}(); }} int u{i}() {{ return tensorflow::Never{i}(); }}\n"
                     for i in range(300))  # fmt: skip
    consumer = built(compiler, tmp_path / "op.so", wanted)

    with Process(this_host()) as process:
        for library in sorted(Path(spec.origin).parent.glob("libtensorflow*.so.2")):
            process.dlopen(str(library), symbols=False)
        failure = process.dlopen(consumer).failure
        assert failure is not None
        with watched(20):
            twins = find_twins(failure, process)

    assert len(failure.references) == 300
    assert twins == ()
