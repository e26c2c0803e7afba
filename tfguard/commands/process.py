"""Which process is asked about: this Python, another one, one in another tree or on a machine that is named."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from tfguard.commands.usage import UsageError

if TYPE_CHECKING:
    from tfguard.hosts.host import Host


def host_of(options: argparse.Namespace) -> Host | None:
    """The process asked about, None for one of this Python as it runs."""
    given = dict(pair.partition("=")[::2] for pair in options.env)
    if options.root is None and options.python is None:
        if given:
            raise UsageError("--env is for another process: it goes with --root or --python")
        return None
    from shutil import which

    from tfguard.hosts.host import Host

    try:
        if options.root is None:
            python = which(options.python) or options.python
            return Host.from_root("/", python, environment={**os.environ, **given})
        if options.host is not None:
            return _named_with_tree(options, given)
        return Host.from_root(options.root, options.python, environment=given)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None


def _named_with_tree(options: argparse.Namespace, given: dict[str, str]) -> Host:
    """The tree's files, on the macOS and for the processor of the name."""
    from dataclasses import replace

    from tfguard.hosts.foreign_mac import host_of_mac_tree
    from tfguard.hosts.named import named_host
    from tfguard.hosts.root import Root

    named = named_host(options.host)
    tree = host_of_mac_tree(Root(os.path.realpath(options.root)), options.python, given)
    assert named.mac is not None
    assert tree.mac is not None
    machine = {name: getattr(named.mac, name) for name in ("version", "architecture", "translated")}
    # what the tree does not say of these the name does
    skipped = tuple(one for one in tree.skipped if not one.startswith(("the tree does not say", "the Python is for")))
    return replace(tree, version=named.version, skipped=skipped, mac=replace(tree.mac, **machine))


def as_inside(target: str, host: Host | None) -> str:
    """A file as the process asked about spells it."""
    if host is None or host.root.is_here:
        # what a shell calls roi_pooling.so the loader calls ./roi_pooling.so
        return os.path.join(os.curdir, target) if os.sep not in target and os.path.exists(target) else target
    outside = os.path.realpath(target)
    if outside.startswith(f"{host.root.directory}/"):
        return host.root.inside(outside)
    return f"/{target}" if os.sep in target and not target.startswith("/") else target


def shown_file(options: argparse.Namespace) -> str:
    """The file on this machine: with --root also by the name that it has inside."""
    from tfguard.hosts.root import Root

    if options.root is None or os.path.realpath(options.file).startswith(f"{os.path.realpath(options.root)}/"):
        return str(options.file)
    return Root(os.path.realpath(options.root)).outside(options.file)


def require_name(name: str) -> None:
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no file, and no name of a package (a top-level one, without dots)")


def require_package(name: str, host: Host | None) -> None:
    from tfguard.installed.installation import find_package

    require_name(name)
    if host is not None and host.mac is not None:
        from tfguard.installed.mac_packages import find_mac_package

        if find_mac_package(host.mac, name) is None:
            raise UsageError(f"{host.executable} has no package {name!r}")
        return
    if host is not None and host.python is None:
        raise UsageError("; ".join(host.skipped) or f"{host.executable} is no Python that is known")
    if find_package(name, host) is None:
        which = f"this Python ({sys.executable})" if host is None else f"{host.executable}"
        raise UsageError(f"{which} has no package {name!r}")
