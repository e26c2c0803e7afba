"""Writes installed distributions by hand: the files, and the folder of metadata that pip would have written."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

THIS_TAG = "py3-none-any"


def lay_out(
    site: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes | Path],
    *,
    requires: Sequence[str] = (),
    tags: Sequence[str] = (THIS_TAG,),
    lost: Sequence[str] = (),
) -> Path:
    """Write a distribution into a directory; what is `lost` is in its RECORD and not on disk. Its metadata's folder."""
    rows = []
    for path, content in files.items():
        place = site / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, place)
        else:
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        rows.append(row(path, place.read_bytes()))
        if path in lost:
            place.unlink()
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {one}" for one in requires]
    texts = {
        "METADATA": "\n".join((*metadata, "", "A description.\n")),
        "WHEEL": "\n".join(("Wheel-Version: 1.0", "Root-Is-Purelib: false", *(f"Tag: {one}" for one in tags), "")),
        "INSTALLER": "pip\n",
    }
    (site / folder).mkdir(parents=True)
    for file, text in texts.items():
        (site / folder / file).write_text(text)
        rows.append(row(f"{folder}/{file}", text.encode()))
    (site / folder / "RECORD").write_text("\n".join((*rows, f"{folder}/RECORD,,", "")))
    return site / folder


def row(path: str, content: bytes) -> str:
    """The line of RECORD for a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}"
