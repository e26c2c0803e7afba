"""Mangled names under the other string ABI: what the compiler writes, and by the rules."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support import build
from tfguard.mangling.source_names import source_names
from tfguard.mangling.string_abi import other_abi_spelling, same_function

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine")

# Every way in which a std::string gets into a name.
SOURCE = """
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>
using std::string;
namespace ns {
struct C {
  C(string const&, int) {}
  ~C();
  string name() const;
  string name(int);
  void set(string, string const&, const char*);
  std::vector<string> all(std::map<string, int> const&) const;
  operator string() const;
  template <class T> string convert(T const&) const;
  static string s;
  std::list<int> l();
  string& ref();
};
C::~C() {}
string C::name() const { return {}; }
string C::name(int) { return {}; }
void C::set(string, string const&, const char*) {}
std::vector<string> C::all(std::map<string, int> const&) const { return {}; }
C::operator string() const { return {}; }
template <class T> string C::convert(T const&) const { return {}; }
template string C::convert<int>(int const&) const;
template string C::convert<string>(string const&) const;
string C::s;
std::list<int> C::l() { return {}; }
string& C::ref() { return s; }
void streams(std::ostringstream&, std::ostream&, std::wstring const&, std::list<string>*) {}
std::function<string(int)> g(std::function<void(string, std::unique_ptr<string>)>) { return {}; }
string h() { return {}; }
string h(string x) { return x; }
int h(int) { return 0; }
int h(string, string, string*, std::vector<string>, std::pair<string, string>) { return 0; }
void path(std::filesystem::path const&, string) {}
string operator+(C const&, int) { return {}; }
string operator+(C const&, string) { return {}; }
void pointers(string C::*, string (C::*)(string) const, string (&)[3], string (*)(string)) {}
template <class... A> string cat(A const&...) { return {}; }
template string cat<string, int, string>(string const&, int const&, string const&);
template <class T> struct V {
  T t;
  void put(T const&);
  string get() const;
  virtual ~V();
};
template <class T> void V<T>::put(T const&) {}
template <class T> string V<T>::get() const { return {}; }
template <class T> V<T>::~V() {}
template struct V<string>;
template struct V<int>;
}
"""


def exported(compiler: build.Compiler, *options: str) -> set[str]:
    """The names of namespace ns in the object built of SOURCE."""
    built = compiler.build(SOURCE, "-std=c++17", "-O1", "-fPIC", "-c", *options, suffix=".cc")
    listed = subprocess.run(["nm", "--defined-only", built], capture_output=True, text=True, check=True).stdout
    found = {line.split()[-1] for line in listed.splitlines() if line.split()[-2] in "TBVWD"}
    return {name for name in found if "2ns" in name}


@needs_compiler
def test_other_abi_spelling_is_what_the_compiler_writes(compiler: build.Compiler) -> None:
    """Of one source built with either ABI, each name is turned into its twin, in both directions."""
    old = exported(compiler, "-D_GLIBCXX_USE_CXX11_ABI=0")
    new = exported(compiler, "-D_GLIBCXX_USE_CXX11_ABI=1")
    assert len(old - new) > 25

    from_old = {spelling.decode() for name in old - new for spelling in other_abi_spelling(name.encode())}
    from_new = {spelling.decode() for name in new - old for spelling in other_abi_spelling(name.encode())}

    assert from_old == new - old
    assert from_new == old - new


@needs_compiler
def test_same_function_over_all_pairs(compiler: build.Compiler) -> None:
    """Of all pairs of an old and a new name, those that are the same function are exactly the twins."""
    old = exported(compiler, "-D_GLIBCXX_USE_CXX11_ABI=0")
    new = exported(compiler, "-D_GLIBCXX_USE_CXX11_ABI=1")

    for name in old - new:
        same = [other for other in new if same_function(name.encode(), other.encode())]
        assert [other.encode() for other in same] == list(other_abi_spelling(name.encode()))


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param(
            f"_ZN10tensorflow12OpDefBuilder4AttrE{STRING}", "_ZN10tensorflow12OpDefBuilder4AttrESs", id="parameter"
        ),
        pytest.param(f"_Z1fRK{STRING}S6_", "_Z1fRKSsS0_", id="later-numbers-shift"),
        pytest.param(
            "_ZNK10tensorflow6Tensor11DebugStringB5cxx11Ei", "_ZNK10tensorflow6Tensor11DebugStringEi", id="tag"
        ),
        pytest.param("_Z1fNSt7__cxx114listIiSaIiEEE", "_Z1fSt4listIiSaIiEE", id="list"),
        pytest.param(
            "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEC1Ev", "_ZNSsC1Ev", id="constructor-of-string"
        ),
        pytest.param(
            "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE6appendEPKc",
            "_ZNSs6appendEPKc",
            id="member-function-of-string",
        ),
        pytest.param(f"_ZN4absl12lts_202508146StrCatERK{STRING}", "_ZN4absl12lts_202508146StrCatERKSs", id="abseil"),
    ],
)
def test_spellings(new: str, old: str) -> None:
    """Both ways between the two spellings, and the two are the same function."""
    assert other_abi_spelling(new.encode()) == (old.encode(),)
    assert other_abi_spelling(old.encode()) == (new.encode(),)
    assert same_function(new.encode(), old.encode())
    assert source_names(new.encode()) == source_names(old.encode())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"TF_NewTensor", id="c"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"_Z", id="prefix-only"),
        pytest.param(b"_ZN1CC1Ev", id="constructor-without-string"),
        pytest.param(b"_ZTI1C", id="type-information"),
        pytest.param(b"_Z1fIiEvT_", id="template-has-its-result-in-its-name"),
        pytest.param(b"_ZZ1fRKSsENKUlvE_clEv", id="lambda-is-not-understood"),
        pytest.param(b"_Z1fS5_", id="reference-to-nothing"),
        pytest.param(b"\xff\xfe_Z\0", id="bytes"),
    ],
)
def test_no_other_spelling(name: bytes) -> None:
    """Where no twin can be, or none can be given for certain, none is given."""
    assert other_abi_spelling(name) == ()


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        pytest.param(b"_Z1fSs", b"_Z1fSs", True, id="equal"),
        pytest.param(b"_Z1fi", b"_Z1fSs", False, id="overload"),
        pytest.param(b"_Z1gSs", b"_Z1fSs", False, id="other-name"),
        pytest.param(b"f", b"_Z1fv", False, id="c-and-c++"),
        pytest.param(b"f", b"g", False, id="c"),
        pytest.param(b"_ZN4absl12lts_202308021fEv", b"_ZN4absl12lts_202508141fEv", False, id="other-abseil"),
        pytest.param(
            f"_ZZ1fRK{STRING}ENKUlvE_clEv".encode(), b"_ZZ1fRKSsENKUlvE_clEv", True, id="lambda-by-source-names"
        ),
    ],
)
def test_same_function(a: bytes, b: bytes, same: bool) -> None:
    """Twins are the same, overloads are not."""
    assert same_function(a, b) is same
    assert same_function(b, a) is same


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(b"_ZN10tensorflow6Tensor4FlatIfEEvv", (b"tensorflow", b"Tensor", b"Flat"), id="member"),
        pytest.param(f"_ZN2tf1fERK{STRING}i".encode(), (b"tf", b"f"), id="new-string"),
        pytest.param(b"_ZN2tf1fERKSsi", (b"tf", b"f"), id="old-string"),
        pytest.param(b"_ZN2tf1fB5cxx11Ev", (b"tf", b"f"), id="tag"),
        pytest.param(b"_Z1fILi12ELb1EEvRA27_KcT0_S1_", (b"f",), id="numbers-that-are-no-lengths"),
        pytest.param(b"_ZZ3foovENKUlvE_clEv", (b"foo",), id="not-understood-elsewhere"),
        pytest.param(b"TF_NewTensor", (b"TF_NewTensor",), id="c"),
        pytest.param(b"_Z99f", (b"f",), id="length-past-the-end"),
    ],
)
def test_source_names(name: bytes, found: tuple[bytes, ...]) -> None:
    assert source_names(name) == found
