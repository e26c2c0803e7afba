"""What is to be checked, and its reports: packages, libraries, programs, wheels."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from tfguard.commands.codes import check_codes
from tfguard.commands.process import as_inside, host_of, require_name, require_package
from tfguard.commands.usage import UsageError

if TYPE_CHECKING:
    from tfguard.hosts.host import Host
    from tfguard.image import Head
    from tfguard.report import Report


def reports_of(options: argparse.Namespace) -> list[Report]:
    check_codes(options.ignore)
    if options.host is not None and options.root is None:
        return _for_another_host(options)
    host = host_of(options)
    if options.after is not None:
        require_package(options.after, host)
    reports = []
    for target in options.targets or ["tensorflow"]:
        if _is_library(target, host):
            reports.append(_file_report(as_inside(target, host), host, options))
        else:
            require_name(target)
            reports.append(_package_report(target, host, options))
    return reports


def _for_another_host(options: argparse.Namespace) -> list[Report]:
    """Wheels and libraries for a machine that is named."""
    from zipfile import BadZipFile

    from tfguard.checks.elsewhere import check_elsewhere

    for one in options.targets or ["nothing"]:
        if not os.path.isfile(one):
            raise UsageError(f"with --host there must be wheels or libraries to check; {one} is no file")
    try:
        return check_elsewhere(
            options.host,
            options.targets,
            python=options.python,
            sdk=options.sdk,
            ignore=options.ignore,
            symbols=not options.files_only,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename or options.targets[0]}: {error.strerror}") from None
    except BadZipFile as error:
        raise UsageError(f"{options.targets[0]}: {error}") from None


def _package_report(target: str, host: Host | None, options: argparse.Namespace) -> Report:
    from tfguard.checks.check import check_import

    if host is not None and host.python is None:
        require_package(target, host)
    symbols = not options.files_only
    check = partial(check_import, target, host=host, ignore=options.ignore, symbols=symbols, gpu=options.gpu)
    if not options.deep:
        return check()
    from tfguard.telling.progress import Bar

    with Bar(sys.stderr, f"hashing {target}") as bar:
        return check(deep=True, progress=bar.show)


def _file_report(path: str, host: Host | None, options: argparse.Namespace) -> Report:
    from tfguard.binary.elf import look_at
    from tfguard.binary.program import is_program
    from tfguard.checks.check import check_library

    head = look_at(path) if host is None else host.look_at(path)
    if is_program(head):
        from tfguard.checks.program import check_program

        return check_program(path, host=host, ignore=options.ignore)
    after = options.after if options.after is not None else _opened_after(head, host)
    return check_library(path, after=after, host=host, ignore=options.ignore)


def _opened_after(head: Head, host: Host | None) -> str | None:
    """An op library finds TensorFlow's framework only because it is loaded: asked without it every op is broken."""
    from tfguard.image import Image
    from tfguard.installed.installation import find_package

    if not isinstance(head.content, Image):
        return _opened_after_on_mac(head.path, host)
    is_op = any(os.path.basename(name).startswith("libtensorflow_framework.") for name in head.content.needed)
    return "tensorflow" if is_op and find_package("tensorflow", host) is not None else None


def _opened_after_on_mac(path: str, host: Host | None) -> str | None:
    from tfguard.hosts.live import this_host
    from tfguard.installed.mac_packages import find_mac_package
    from tfguard.macho_image import MachoImage

    if host is None and sys.platform != "darwin":
        return None
    mac = (host or this_host()).mac
    if mac is None or find_mac_package(mac, "tensorflow") is None:
        return None
    images = [one.content for one in mac.files.look_at(os.path.abspath(path)).slices]
    needed = [name for one in images if isinstance(one, MachoImage) for name in one.needed]
    return "tensorflow" if any("libtensorflow_framework." in name for name in needed) else None


def _is_library(target: str, host: Host | None) -> bool:
    name = os.path.basename(target)
    if os.sep in target or name.endswith((".so", ".dylib")) or ".so." in name:
        return True
    return os.path.isfile(target) if host is None else host.root.is_here and os.path.isfile(target)
