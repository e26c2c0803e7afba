"""A tree of a Mac below a temporary folder: files by the paths that they have there, and loads played in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.macho_writer import Macho, write
from tfguard.binary.files import Disk
from tfguard.hosts.host import Host
from tfguard.hosts.mac import Mac
from tfguard.loader.dyld import DyldProcess
from tfguard.loader.trace import Trace

Content = Macho | bytes | str


class MacTree:
    """A file system of a Mac. `mac` values become fields of Mac, its paths are those of that system."""

    def __init__(
        self, root: Path, files: Mapping[str, Content] | None = None, **mac: Any
    ) -> None:  # Any: fields of Mac
        self.root = root
        self._mac = mac
        for path, content in (files or {}).items():
            self.put(path, content)

    def put(self, path: str, content: Content) -> Path:
        """Write a file: an image, bytes as they are, or the target of a link."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # to overwrite a file is slow on some file systems
        if isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content if isinstance(content, bytes) else write(content))
        return place

    def mac(self, **changes: Any) -> Mac:  # Any: fields of Mac
        """The Mac with this tree."""
        return Mac(**{"files": Disk(str(self.root)), **self._mac, **changes})

    def host(self, **changes: Any) -> Host:  # Any: fields of Mac
        """The same as a host."""
        return Host(loader="dyld", mac=self.mac(**changes))

    def play(self, *names: str, mode: int = 2, symbols: bool = True, pages: bool = False, **changes: Any) -> Trace:
        """Play a load after others; the trace of the last one."""
        with DyldProcess(self.host(**changes)) as process:
            traces = [process.dlopen(name, mode=mode, symbols=symbols, pages=pages) for name in names]
        return traces[-1]
