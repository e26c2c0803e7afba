"""Messages of programs beside the loaders, in their own wording: linkers, other languages' hosts, drivers, pip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfguard.diagnosis.post_mortem import diagnose

# An id, the code of the cause that is told first, the text.
WORDINGS = json.loads((Path(__file__).parent / "wordings.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", WORDINGS, ids=[row["id"] for row in WORDINGS])
def test_wordings(row: dict[str, str]) -> None:
    """Each is recognised, and leads to its cause first."""
    assert diagnose(row["text"], look=False).findings[0].code == row["code"]
