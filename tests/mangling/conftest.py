"""The C++ names that the installed TensorFlow refers to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def wanted() -> list[str]:
    """The C++ names that the small extension modules of the installed TensorFlow refer to."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        pytest.skip("TensorFlow is not installed in this environment")
    found: set[str] = set()
    for path in sorted(Path(spec.origin).parent.rglob("_pywrap*.so")):
        if path.stat().st_size > 10_000_000:
            continue
        with path.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".dynsym")
            assert isinstance(table, SymbolTableSection)
            found |= {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] == "SHN_UNDEF"}
    return sorted(name for name in found if name.startswith("_Z"))
