"""What one Mach-O image imports and exports, read when asked for."""

from __future__ import annotations

from collections.abc import Iterator

from tfguard.binary.macho import Source
from tfguard.binary.macho_exports import WEAK_DEFINITION, Export, ExportTrie
from tfguard.binary.macho_imports import Import, from_bind_opcodes, from_chained_fixups, symbol_table
from tfguard.image import Damage
from tfguard.macho_image import MachoImage, Table

_NLIST_SIZE = 16


class MachoSymbols:
    """The symbol tables of an image. `damage` says what of them could not be read, None where all could.

    `source` is read from until `close`. A table that would lie outside of the image's slice counts as damaged.
    """

    def __init__(self, image: MachoImage, source: Source) -> None:
        self.image = image
        self.damage: Damage | None = None
        self._source = source
        self._imports: tuple[Import, ...] | None = None
        self._trie: ExportTrie | None = None
        self._defined: dict[bytes, Export] | None = None
        source.keep(tables_of(image))

    def close(self) -> None:
        """Let go of the file; what was read stays."""
        self._source.close()

    def imports(self) -> tuple[Import, ...]:
        """Every symbol that must be found when the image is loaded with RTLD_NOW, in the order of its binds.

        Of the stream of weak binds nothing is taken: what is missing there is no error (D-82).
        """
        if self._imports is None:
            found: dict[Import, None] = {}
            image = self.image
            if image.chained_fixups.size:
                found.update(dict.fromkeys(self._checked(from_chained_fixups(self._read(image.chained_fixups)))))
            elif image.bind.size or image.lazy_bind.size or image.exports.size:
                found.update(dict.fromkeys(self._checked(from_bind_opcodes(self._read(image.bind)))))
                lazy = from_bind_opcodes(self._read(image.lazy_bind), lazy=True)
                found.update(dict.fromkeys(self._checked(lazy)))
            else:
                found.update(dict.fromkeys(self._symbols(defined=False)))
            self._imports = tuple(found)
        return self._imports

    def find(self, name: bytes) -> Export | None:
        """What the image exports under a name, None where it exports no such symbol."""
        if not self.image.exports.size:
            if self._defined is None:
                self._defined = {one.name: Export(0) for one in self._symbols(defined=True)}
            return self._defined.get(name)
        if self._trie is None:
            self._trie = ExportTrie(self._read(self.image.exports))
        return self._trie.find(name)

    def exports(self) -> Iterator[tuple[bytes, Export]]:
        """Every export with its name: slow for a large library, not for looking one up."""
        if self.image.exports.size:
            yield from ExportTrie(self._read(self.image.exports))
        else:
            yield from ((one.name, Export(0)) for one in self._symbols(defined=True))

    def _read(self, table: Table) -> bytes:
        if not table.size:
            return b""
        image = self.image
        if table.offset + table.size > image.length:
            self._note(Damage(kind="table-past-end", detail=f"{table.size} bytes claimed at offset {table.offset}"))
            return b""
        data = self._source.read(table.size, image.offset + table.offset)
        if len(data) < table.size:
            self._note(Damage(kind="table-past-end", detail=f"the file ends in the table at offset {table.offset}"))
        return data

    def _symbols(self, *, defined: bool) -> list[Import]:
        at, count, strings_at, strings_size = self.image.symbols
        nlists = self._read(Table(at, count * _NLIST_SIZE))
        strings = self._read(Table(strings_at, strings_size)) if nlists else b""
        return self._checked(symbol_table(nlists, strings, defined=defined))

    def _checked(self, found: list[Import] | Damage) -> list[Import]:
        if isinstance(found, Damage):
            self._note(found)
            return []
        return found

    def _note(self, damage: Damage) -> None:
        self.damage = self.damage or damage


def tables_of(image: MachoImage) -> tuple[Table, ...]:
    """Where in the file the symbols lie that are asked for; of an image of an old linker they are read as they come."""
    tables = (image.bind, image.lazy_bind, image.exports, image.chained_fixups)
    return tuple(Table(one.offset + image.offset, one.size) for one in tables if one.size)


def is_weak_definition(export: Export) -> bool:
    """Whether another definition of the name may stand in for this one."""
    return bool(export.flags & WEAK_DEFINITION)
