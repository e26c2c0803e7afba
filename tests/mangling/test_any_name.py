"""Any name at all, also a crafted one: nothing raises, nothing takes long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.watch import watched
from tfguard.mangling.parser import parsed
from tfguard.mangling.readable import readable
from tfguard.mangling.source_names import source_names
from tfguard.mangling.string_abi import other_abi_spelling, same_function


def doubling(steps: int) -> str:
    """A name of 10 characters a step whose meaning doubles with each."""

    def reference(index: int) -> str:
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return f"S{digits[index // 36] if index > 35 else ''}{digits[index % 36]}_"

    return "_Z1fSt4pairIiiE" + "".join(f"S_I{reference(step)}{reference(step)}E" for step in range(steps))


HOSTILE = [
    pytest.param(doubling(16), id="doubling-175-characters"),
    pytest.param(doubling(300), id="doubling-3500-characters"),
    pytest.param("_Z1f" + "P" * 4000 + "i", id="deep-type"),
    pytest.param("_Z1f" + "1a" * 2000, id="many-types"),
    pytest.param("_ZN" + "1a" * 2000 + "E", id="many-namespaces"),
    pytest.param("_Z" + "Th0_" * 1000, id="thunks"),
    pytest.param("_Z1fI" + "XadL_Z1fI" * 400, id="nested-symbols"),
    pytest.param("_Z1fI" + "J" * 4000, id="nested-packs"),
    pytest.param("_Z" + "cv" * 2000, id="conversions"),
    pytest.param("_Z1f" + "B1a" * 1300, id="tags"),
    pytest.param("_Z1fIJ" + "i" * 2000 + "EEvDpT_", id="long-pack"),
    pytest.param("_Z1fIJ" + "i" * 1500 + "EEvDpFvT_DpT_E", id="pack-of-packs"),
    pytest.param("_Z" + "9" * 4000, id="digits"),
    pytest.param("_Z1f" + "S" * 4000, id="references"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    """No name takes long or raises; itanium-demangler alone needs 7 seconds for the first."""
    with watched(5):
        shown = readable(name)
        other_abi_spelling(name.encode())
        same_function(name.encode(), name.encode() + b"v")
        source_names(name.encode())

    assert len(shown) <= 400


PIECES = (
    *("N", "E", "I", "J", "S_", "S0_", "S1_", "St", "Ss", "Sa", "Sb", "So", "T_", "T0_", "Dp", "P", "R", "O", "K", "F"),
    *("A3_", "A_", "M", "i", "v", "c", "1a", "3abc", "B5cxx11", "7__cxx11", "12basic_string", "C1", "D2", "cv", "pl"),
    *("Li5E", "Lb1E", "L_Z", "XadL_Z", "TV", "Th8_", "GV", "u3foo", "4list", "10filesystem", "Z", "Ul", "X", "DT"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_name_from_the_grammar(rest: str) -> None:
    """Names of random pieces never raise, and a spelling given is a name whose own other spelling leads back."""
    name = f"_Z{rest}".encode()

    assert len(readable(name)) <= 400
    source_names(name)
    for other in other_abi_spelling(name):
        assert same_function(name, other)
        assert other != name


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Any bytes at all are a name to every function here."""
    for name in (data, b"_Z" + data):
        assert readable(name).isprintable()
        assert isinstance(source_names(name), tuple)
        assert isinstance(other_abi_spelling(name), tuple)
        assert same_function(name, name)


@pytest.mark.tensorflow
def test_tensorflow_names_are_understood(wanted: list[str]) -> None:
    """Every name is parsed and written back as it was, and every twin leads back to it."""
    assert len(wanted) > 100

    assert [name for name in wanted if parsed(name) is None] == []
    for name in wanted:
        for other in other_abi_spelling(name.encode()):
            assert name.encode() in other_abi_spelling(other)
