"""Mangled names printed: as a table of cases, and as c++filt prints all of TensorFlow's."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from tfguard.mangling.readable import readable
from tfguard.mangling.string_abi import other_abi_spelling

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
needs_demangler = pytest.mark.skipif(
    importlib.util.find_spec("itanium_demangler") is None, reason="itanium-demangler is not installed"
)
needs_cxxfilt = pytest.mark.skipif(shutil.which("c++filt") is None, reason="c++filt is not on this machine")


@needs_demangler
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("_ZN10tensorflow6Tensor4dataEv", "tensorflow::Tensor::data()", id="member"),
        pytest.param("_ZNK10tensorflow6Tensor4dataEv", "tensorflow::Tensor::data() const", id="const-member"),
        pytest.param("_ZN10tensorflow6TensorC2Ev", "tensorflow::Tensor::Tensor()", id="constructor"),
        pytest.param("_ZN10tensorflow6TensorD1Ev", "tensorflow::Tensor::~Tensor()", id="destructor"),
        pytest.param("_ZN1VIiEC1IlEET_", "V<int>::V<long>(long)", id="constructor-template"),
        pytest.param(f"_Z1fRK{STRING}", "f(std::__cxx11::string const&)", id="new-string"),
        pytest.param("_Z1fRKSs", "f(std::string const&)", id="old-string"),
        pytest.param("_Z1fB5cxx11v", "f[abi:cxx11]()", id="tag"),
        pytest.param("_ZNSsC1Ev", "std::string::string()", id="string-itself"),
        pytest.param("_ZNSolsEi", "std::ostream::operator<<(int)", id="stream"),
        pytest.param("_Z1fIiJlcEEvT_DpRKT0_", "void f<int, long, char>(int, long const&, char const&)", id="pack"),
        pytest.param("_Z1fIJEEvDpT_", "void f<>()", id="empty-pack"),
        pytest.param("_Z1fIRiEvOT_", "void f<int&>(int&)", id="collapsed-reference"),
        pytest.param("_ZNK1A1fIiEEiT_", "int A::f<int>(int) const", id="const-member-template"),
        pytest.param("_Z1fILi3ELb1EEvv", "void f<3, true>()", id="numbers"),
        pytest.param("_Z1fILin5EEvv", "void f<-5>()", id="negative-number"),
        pytest.param("_ZTV1A", "vtable for A", id="vtable"),
        pytest.param("_ZThn8_N1A1fEv", "non-virtual thunk to A::f()", id="thunk"),
        pytest.param("_ZTHN1A1tE", "TLS init function for A::t", id="thread-local"),
        pytest.param("TF_NewTensor", "TF_NewTensor", id="c"),
        pytest.param("_ZZ1fvENKUlvE_clEv", "_ZZ1fvENKUlvE_clEv", id="not-understood"),
        pytest.param("_Z\xffa\n", "_Z\\xffa\\n", id="not-printable"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_readable(name: str, text: str) -> None:
    """Bytes and text give the same."""
    assert readable(name) == text
    assert readable(name.encode("latin-1")) == text


def test_long_names_keep_both_ends() -> None:
    """What does not fit is cut in its middle; a name of more than 4 KB is not taken apart."""
    long = "_Z" + "1a" * 3000 + "v"

    assert readable(long, 20) == "_Z1a1a1a1...a1a1a1av"
    assert len(readable(long)) == 400
    assert readable("TF_NewTensor", 12) == "TF_NewTensor"


def test_without_the_demangler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names stay mangled where itanium-demangler is missing; twins are found all the same."""
    monkeypatch.setitem(sys.modules, "itanium_demangler", None)

    assert readable("_Z1fv") == "_Z1fv"
    assert other_abi_spelling(b"_Z1fSs") == (f"_Z1f{STRING}".encode(),)


def in_one_spelling(text: str) -> str:
    """White space, the abbreviations of readable() and the suffixes of numbers are not differences."""
    text = re.sub(r"\s+", "", text)
    of_char = "<char,std::char_traits<char>"
    text = text.replace(f"std::__cxx11::basic_string{of_char},std::allocator<char>>", "std::__cxx11::string")
    text = text.replace(f"std::basic_string{of_char},std::allocator<char>>", "std::string")
    for stream in ("iostream", "istream", "ostream"):
        text = text.replace(f"std::basic_{stream}{of_char}>", f"std::{stream}")
    for name in ("string", "iostream", "istream", "ostream"):
        text = re.sub(rf"(std::(?:__cxx11::)?{name}::~?)basic_{name}\b", rf"\1{name}", text)
    return re.sub(r"\b([0-9]+)u?l?\b", r"\1", text)


@pytest.mark.tensorflow
@needs_demangler
@needs_cxxfilt
def test_tensorflow_names_read_as_by_cxxfilt(wanted: list[str]) -> None:
    """What is printed is what c++filt prints, for every name."""
    done = subprocess.run(["c++filt"], input="\n".join(wanted), capture_output=True, text=True, check=True)
    expected = done.stdout.splitlines()

    different = [
        (ours, theirs)
        for name, theirs in zip(wanted, expected, strict=True)
        if in_one_spelling(ours := readable(name, 100_000)) != in_one_spelling(theirs)
    ]

    assert different == []
