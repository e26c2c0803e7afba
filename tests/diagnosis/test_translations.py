"""What the loader and shells say in other languages: every catalogue of the C library on this machine is asked."""

from __future__ import annotations

import gettext
from pathlib import Path

import pytest

from tfguard.diagnosis.post_mortem import diagnose

CATALOGUES = sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/libc.mo"))

# The message as glibc has it, the line it stands in, and the cause of that line.
LOADER: list[tuple[str, str, str]] = [
    ("cannot open shared object file", "ImportError: libcudart.so.9.0: {}: {errno}", "TFG205"),
    ("file too short", "ImportError: /opt/x/libfoo.so.1: {}", "TFG116"),
    ("cannot read file data", "ImportError: /opt/x/libfoo.so.1: {}", "TFG116"),
    ("invalid ELF header", "ImportError: /var/task/_x.so: {}", "TFG125"),
    ("wrong ELF class: ELFCLASS32", "ImportError: /opt/x/libfoo.so.1: {}", "TFG102"),
    ("ELF file OS ABI invalid", "ImportError: /opt/x/libfoo.so.1: {}", "TFG104"),
    ("only ET_DYN and ET_EXEC can be loaded", "OSError: /opt/x/foo.so: {}", "TFG123"),
    ("cannot dynamically load position-independent executable", "OSError: ./main: {}", "TFG124"),
    ("object file has no dynamic section", "OSError: /opt/x/libfoo.so: {}", "TFG131"),
    ("failed to map segment from shared object", "OSError: /tmp/a/libfoo.so: {}: {errno}", "TFG128"),
    ("cannot enable executable stack as shared object requires", "ImportError: libfoo.so.4: {}: {errno}", "TFG129"),
    ("cannot allocate memory in static TLS block", "ImportError: /usr/lib/libgomp.so.1: {}", "TFG132"),
    ("cannot restore segment prot after reloc", "OSError: /opt/x/libfoo.so: {}: {errno}", "TFG605"),
    ("cannot make segment writable for relocation", "OSError: /opt/x/libfoo.so: {}: {errno}", "TFG605"),
]
ERRNOS = {
    "cannot open shared object file": "No such file or directory",
    "failed to map segment from shared object": "Operation not permitted",
    "cannot enable executable stack as shared object requires": "Invalid argument",
}
SHELLS: list[tuple[str, str, str]] = [
    ("Segmentation fault", "{} (core dumped)", "TFG751"),
    ("Illegal instruction", "{} (core dumped)", "TFG601"),
    ("Bus error", "{} (core dumped)", "TFG116"),
    ("Aborted", "train.sh: 3: 12345 {} (core dumped) python train.py", "TFG757"),
    ("Killed", "train.sh: 3: 12345 {} python train.py", "TFG760"),
]


@pytest.mark.skipif(not CATALOGUES, reason="no catalogues of the C library are installed (libc-l10n)")
@pytest.mark.parametrize(("message", "line", "code"), [*LOADER, *SHELLS], ids=[row[0] for row in (*LOADER, *SHELLS)])
def test_every_language_of_the_c_library(message: str, line: str, code: str) -> None:
    told: dict[str, str] = {}
    for path in CATALOGUES:
        with path.open("rb") as file:
            translate = gettext.GNUTranslations(file).gettext
        said = translate(message)
        if said != message:
            text = line.format(said, errno=translate(ERRNOS.get(message, "Permission denied")))
            told[text] = diagnose(text, look=False).findings[0].code

    assert len(told) > 10
    assert {text: first for text, first in told.items() if first != code} == {}


def test_the_object_is_found_before_the_words() -> None:
    report = diagnose("ImportError: /opt/x/libfoo.so.1: el fitxer és massa curt", look=False)

    assert "libfoo.so.1" in report.findings[0].message
