"""Messages of bionic, the loader of Android."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape


def _bionic(kind: str, marks: str | tuple[str, ...], pattern: str) -> Shape:
    return shape(kind, marks, pattern, loader="bionic", before=True)


SHAPES: tuple[Shape, ...] = (
    shape(
        "alignment",
        "program alignment",
        r"(?:['\"](?P<object>[^\"'\n]{1,500})['\"]\n?.{0,200}?)?program alignment \((?P<have>\d+)\) cannot be"
        r" smaller than system page"
        r" size \((?P<need>\d+)\)",
        loader="bionic",
    ),
    shape(
        "alignment",
        "unsupported system page size",
        r"(?P<object>jemalloc)>?: Unsupported system page size",
        loader="jemalloc",
    ),
    shape(
        "cannot-open",
        "dlopen failed: library",
        r"dlopen failed: library ['\"](?P<object>[^'\"\n]{1,300})['\"](?: needed by"
        r" ['\"]?(?P<requirer>[^'\"\s]{1,300})['\"]?.{0,60})? not found",
        loader="bionic",
    ),
    shape(
        "not-in-archive",
        "couldn't find",
        r"couldn't find ['\"](?P<object>lib[\w.+-]{1,200}\.so)['\"]",
        loader="android",
        weight=1,
    ),
    shape(
        "not-in-archive",
        "no implementation found for",
        r"No implementation found for (?P<symbol>[^\n(]{3,300})\(",
        loader="android",
        weight=1,
    ),
    shape(
        "symbol",
        "cannot locate symbol",
        r"cannot locate symbol ['\"](?P<symbol>[^'\"\s]{1,800})['\"] referenced by ['\"]?(?P<object>[^'\"\s]{1,500})",
        loader="bionic",
    ),
    shape(
        "cannot-map",
        "map segment",
        r"failed to map segment\s{1,3}from ['\"](?P<object>[^'\"\n]{1,500})['\"]",
        loader="bionic",
    ),
    shape(
        "wrong-machine",
        "unexpected e_machine",
        r"has unexpected e_machine: (?P<have>.{1,40})",
        loader="bionic",
        before=True,
    ),
    shape(
        "wrong-class",
        "-bit instead of",
        r"is (?P<elf_class>32|64)-bit instead of (?:32|64)-bit",
        loader="bionic",
        before=True,
    ),
    shape(
        "bad-header",
        "bad elf magic",
        r"has bad ELF magic(?:: (?P<have>\w{8}))?",
        loader="bionic",
        before=True,
    ),
    _bionic("wrong-data", "not little-endian", r"not (?P<need>little)-endian"),
    _bionic("not-dynamic", "unexpected e_type", r"has unexpected e_type: (?P<have>\d+)"),
    _bionic("bad-ident", "unexpected e_version", r"has unexpected e_version: (?P<have>\d+)"),
    _bionic("too-short", "too small to be an elf", r"is too small to be an ELF executable"),
    _bionic(
        "damaged",
        ("has invalid e_", "invalid phdr", "invalid section header", "e_shentsize", "missing dt_hash"),
        r"has (?:invalid (?:e_\w+|phdr|section header)[^\n]{0,60}|unsupported e_shentsize[^\n]{0,20})|empty/missing"
        r" DT_HASH",
    ),
    _bionic("text-relocation", "has text relocations", r"has text relocations"),
    shape(
        "cannot-map",
        "couldn't map",
        r"couldn't map ['\"](?P<object>[^'\"\n]{1,500})['\"] segment \d+(?:: (?P<errno>[A-Z][A-Za-z ]{3,40}))?",
        loader="bionic",
    ),
    shape(
        "missing-words",
        "is not accessible for the namespace",
        r"library ['\"](?P<object>[^'\"\n]{1,300})['\"] (?:needed or dlopened by ['\"](?P<requirer>[^'\"\n]{1,300})"
        r"['\"] )?is not accessible for the namespace",
        loader="bionic",
    ),
)
