"""The symbol-version check of glibc's ld.so: each version that a new object needs must be defined (ld-so.md §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfguard.binary.versions import Versions, versions_of
from tfguard.hosts.host import Host
from tfguard.image import DT_RELR, VersionNeed
from tfguard.loader.link_map import LinkMap
from tfguard.loader.trace import Failure

if TYPE_CHECKING:
    from tfguard.loader.glibc import Process


def refused_versions(process: Process, link: LinkMap, host: Host) -> Failure | None:
    """The first version need of `link` that nothing meets, with all that are not met, or None."""
    versions = versions_of(link.image) if link.image is not None else None
    if versions is None:
        return None
    if versions.damage is not None:
        return Failure(
            kind="damaged",
            rule="G-122",
            message=None,
            path=link.path,
            name=link.path,
            requirer=link.parent.path if link.parent is not None else None,
            signal="SIGSEGV",
            certain=False,
            detail=versions.damage.detail,
        )
    unmet: list[tuple[VersionNeed, LinkMap]] = []
    file: str | None = None
    provider: LinkMap | None = None
    provided: Versions | None = None
    for need in versions.needs:
        if need.file != file:  # the needs of one file stand together
            file = need.file
            provider = process.loaded_as(file)
            if provider is not None and file not in provider.names:  # the first of a soname is not what was asked for
                provider = next((one for one in process.links if file in one.names), provider)
            provided = versions_of(provider.image) if provider is not None and provider.image is not None else None
        if provider is None or need.file not in provider.names:
            # An assertion of dl-version.c: whoever needs a version of a file must also need the file (G-121).
            # What a soname was asked for before tfguard looked is not known, and then it would do.
            return Failure(
                kind="version-without-library",
                rule="G-121",
                message=None,
                path=link.path,
                name=need.file,
                requirer=link.path,
                signal="exit 127",
                certain=provider is None or bool(provider.step),
                detail=f"needs {need.version} of {need.file}, which is not among its DT_NEEDED",
                needs=(need,),
            )
        if provided is None or not provided.has_definitions or provided.damage is not None:
            continue  # tolerated: G-123
        if not need.weak and need.version not in provided.defined_names:
            unmet.append((need, provider))
    if unmet:
        need, provider = unmet[0]
        return Failure(
            kind="version",
            rule="G-122",
            message=f"{provider.path}: version `{need.version}' not found (required by {link.path})",
            path=provider.path,
            name=need.file,
            requirer=link.path,
            needs=tuple(one for one, _ in unmet),
            provider=provider.path,
        )
    if versions.highest and not versions.has_symbol_versions:
        return Failure(
            kind="version-table",
            rule="G-124",
            message=None,
            path=link.path,
            name=link.path,
            requirer=link.parent.path if link.parent is not None else None,
            signal="SIGSEGV",
            detail="it has versions and no DT_VERSYM, which the loader then reads at address 0",
        )
    return _refused_relr(link, versions.needs, host)


def _refused_relr(link: LinkMap, needs: tuple[VersionNeed, ...], host: Host) -> Failure | None:
    """DT_RELR without the marker version (G-54)."""
    image = link.image
    if image is None or "dt-relr" not in host.features or DT_RELR not in image.dynamic or not needs:
        return None
    if not any(name.startswith("libc.so.") for name in image.needed):
        return None
    if any(need.version == "GLIBC_ABI_DT_RELR" for need in needs):
        return None
    return Failure(
        kind="relr",
        rule="G-54",
        message=f"{link.path}: DT_RELR without GLIBC_ABI_DT_RELR dependency",
        path=link.path,
        name=link.path,
        requirer=link.parent.path if link.parent is not None else None,
    )
