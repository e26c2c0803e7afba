"""The command line: python -m tfguard."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tfguard.hosts.host import Host
    from tfguard.image import Head
    from tfguard.report import Report

# Everything else is imported by the command that needs it, so that `explain` answers at once.

_EXIT = "Exit status: 0 no errors, 1 errors found, 2 wrong usage or no answer"
_COMMANDS = ("check", "tree", "show", "diagnose", "report", "explain", "rules")


class _UsageError(Exception):
    """What was asked for cannot be done; the text says why, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives back the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parse(arguments)
        text, status = options.run(options)
    except _UsageError as error:
        sys.stderr.write(f"tfguard: {_ascii(str(error))}\n")
        return 2
    except SystemExit as stop:  # argparse, after it has written its own text
        return stop.code if isinstance(stop.code, int) else 2
    except Exception:  # a fault of tfguard must not look like an error found (Python's own status would be 1)
        from traceback import format_exc

        sys.stderr.write(f"{_ascii(format_exc())}tfguard tripped: this says nothing of what was to be checked\n")
        return 2
    _write(sys.stdout, text)
    return int(status)


def _parse(arguments: list[str]) -> argparse.Namespace:
    # Two passes, so that --json and the like may stand before or behind the command.
    common, rest = _common_options().parse_known_args(arguments)
    if not rest or (rest[0].startswith("-") and rest[0] not in ("-h", "--help", "--version")):
        rest = ["check", *rest]
    if rest[0] not in _COMMANDS and not rest[0].startswith("-"):
        raise _UsageError(
            f"no command {rest[0]!r} (there are {', '.join(_COMMANDS)}); to check it: python -m tfguard check {rest[0]}"
        )
    parsed = _parser().parse_args(rest)
    for name, value in vars(common).items():
        setattr(parsed, name, value)
    parsed.ignore = tuple(code.strip().upper() for one in common.ignore for code in one.split(",") if code.strip())
    return parsed


def _common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog="python -m tfguard")
    common.add_argument("--json", action="store_true", help="print JSON (docs/json.md)")
    common.add_argument("--ignore", action="append", default=[], metavar="CODE", help="leave these findings out (a,b)")
    common.add_argument("--verbose", "-v", action="store_true", help="also the host, and every place tried")
    common.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfguard",
        description="Say what importing TensorFlow, or loading an op library, would fail of, without loading it.",
        epilog=f"Without a command: check tensorflow. {_EXIT}.",
    )
    from tfguard import __version__

    parser.add_argument("--version", action="version", version=f"tfguard {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], tuple[str, int]], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            parents=[_common_options()],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"{_EXIT}.",
        )
        made.set_defaults(run=run)
        return made

    what = "a library (with a slash, a .so name, or a file that exists) or the name of a package; default: tensorflow"
    check = command("check", _check, "check packages and libraries")
    check.add_argument("targets", nargs="*", metavar="NAME_OR_PATH", help=what)
    check.add_argument(
        "--after",
        metavar="NAME",
        help="libraries: as they would load after this import"
        " (default: tensorflow where the library needs its framework)",
    )
    _add_process(check)
    check.add_argument("--files-only", action="store_true", help="packages: do not look symbols up")
    check.add_argument(
        "--host",
        metavar="HOST",
        help="for another machine, macos-14-arm64 for one: wheels, as though installed together, or a library",
    )
    check.add_argument("--deep", action="store_true", help="packages: hash every file, and show how far that is")
    check.add_argument("--probe", action="store_true", help="then load it for real, in a child process")
    check.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for the probe (default: 120)")
    check.add_argument("--gpu", action="store_true", help="tensorflow: also say why it would see no GPU")
    tree = command("tree", _tree, "show what the loader would map, in its order, and from where")
    tree.add_argument("targets", nargs=1, metavar="NAME_OR_PATH", help=what.partition(";")[0])
    tree.add_argument("--after", metavar="NAME", help="as for check")
    _add_process(tree)
    tree.set_defaults(files_only=True, deep=False, host=None, gpu=False)
    show = command("show", _show, "show what a file says about itself")
    show.add_argument("file", metavar="FILE")
    show.add_argument("--root", metavar="DIR", help="the directory that is the file's /")
    diagnose = command("diagnose", _diagnose, "say what an error text comes from: a traceback, a log, an issue")
    diagnose.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: -, standard input")
    report = command("report", _report, "make one block to paste into an issue, without names of yours in it")
    report.add_argument("targets", nargs="*", metavar="NAME_OR_PATH", help=what)
    report.add_argument("--markdown", action="store_true", help="fold it away, as issues on GitHub do")
    _add_process(report)
    report.set_defaults(after=None, files_only=False, deep=False, host=None, gpu=False)
    explain = command("explain", _explain, "explain a code")
    explain.add_argument("code", metavar="CODE", help="TFG201, or its name: needed-library-missing")
    command("rules", _rules, "list all codes")
    return parser


def _add_process(command: argparse.ArgumentParser) -> None:
    """The options that ask about another process than one of this Python."""
    command.add_argument("--root", metavar="DIR", help="as it would be with DIR as /: a container image, a chroot")
    command.add_argument("--python", metavar="PATH", help="as it would be in that Python (in DIR, where given)")
    command.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable at the start of that process",
    )


def _check(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.render import as_text

    reports = [_probed(one, options) if options.probe else one for one in _reports(options)]
    status = 0 if all(reports) else 1
    if options.json:
        return _json([one.to_dict() for one in reports]), status
    color = _wants_color(options.color)
    texts = [as_text(one, color=color, verbose=options.verbose, width=_width()) for one in reports]
    # one-line answers stand together, longer ones apart
    joiner = "\n\n" if any("\n" in text for text in texts) else "\n"
    return joiner.join(texts), status


def _tree(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.tree import tree_text

    (report,) = _reports(options)
    status = 0 if report else 1
    if options.json:
        return _json([report.to_dict()]), status
    color = _wants_color(options.color)
    return tree_text(report, color=color, verbose=options.verbose, width=_width()), status


def _reports(options: argparse.Namespace) -> list[Report]:

    _check_codes(options.ignore)
    if options.host is not None and options.root is None:
        return _for_another_host(options)
    host = _host(options)
    if options.after is not None:
        _require_package(options.after, host)
    reports = []
    for target in options.targets or ["tensorflow"]:
        if _is_library(target, host):
            reports.append(_file_report(_as_inside(target, host), host, options))
        else:
            _require_name(target)
            reports.append(_package_report(target, host, options))
    return reports


def _for_another_host(options: argparse.Namespace) -> list[Report]:
    """Wheels together, each library by itself, for a machine that is named."""
    from zipfile import BadZipFile

    from tfguard.checks.check import check_library
    from tfguard.checks.wheels import check_wheels
    from tfguard.hosts.named import UnknownHost, named_host

    try:
        host = named_host(options.host)
    except UnknownHost as error:
        raise _UsageError(str(error)) from None
    wheels = [one for one in options.targets if one.endswith(".whl")]
    others = [one for one in options.targets if one not in wheels]
    for one in others or ([] if wheels else ["nothing"]):
        if not os.path.isfile(one):
            raise _UsageError(f"with --host there must be wheels or libraries to check; {one} is no file")
    reports = [check_library(os.path.abspath(one), host=host, ignore=options.ignore) for one in others]
    if wheels:
        try:
            symbols = not options.files_only
            reports.append(check_wheels(wheels, host, ignore=options.ignore, symbols=symbols))
        except (OSError, BadZipFile) as error:
            raise _UsageError(f"{error.strerror if isinstance(error, OSError) else error}: {wheels[0]}") from None
    return reports


def _package_report(target: str, host: Host | None, options: argparse.Namespace) -> Report:
    from tfguard.checks.check import check_import

    if host is not None:
        _require_package(target, host)
    symbols = not options.files_only
    check = partial(check_import, target, host=host, ignore=options.ignore, symbols=symbols, gpu=options.gpu)
    if not options.deep:
        return check()
    from tfguard.telling.progress import Bar

    with Bar(sys.stderr, f"hashing {target}") as bar:
        return check(deep=True, progress=bar.show)


def _host(options: argparse.Namespace) -> Host | None:
    """The process asked about, None for one of this Python as it runs."""
    given = dict(pair.partition("=")[::2] for pair in options.env)
    if options.root is None and options.python is None:
        if given:
            raise _UsageError("--env is for another process: it goes with --root or --python")
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
        raise _UsageError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise _UsageError(str(error)) from None


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


def _as_inside(target: str, host: Host | None) -> str:
    """A file as the process asked about spells it."""
    if host is None or host.root.is_here:
        # what a shell calls roi_pooling.so the loader calls ./roi_pooling.so
        return os.path.join(os.curdir, target) if os.sep not in target and os.path.exists(target) else target
    outside = os.path.realpath(target)
    if outside.startswith(f"{host.root.directory}/"):
        return host.root.inside(outside)
    return f"/{target}" if os.sep in target and not target.startswith("/") else target


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


def _require_name(name: str) -> None:
    if not name.isidentifier():
        raise _UsageError(f"{name!r} is no file, and no name of a package (a top-level one, without dots)")


def _require_package(name: str, host: Host | None) -> None:
    from tfguard.installed.installation import find_package

    _require_name(name)
    if host is not None and host.mac is not None:
        from tfguard.installed.mac_packages import find_mac_package

        if find_mac_package(host.mac, name) is None:
            raise _UsageError(f"{host.executable} has no package {name!r}")
        return
    if host is not None and host.python is None:
        raise _UsageError("; ".join(host.skipped) or f"{host.executable} is no Python that is known")
    if find_package(name, host) is None:
        which = f"this Python ({sys.executable})" if host is None else f"{host.executable}"
        raise _UsageError(f"{which} has no package {name!r}")


def _is_library(target: str, host: Host | None) -> bool:
    name = os.path.basename(target)
    if os.sep in target or name.endswith((".so", ".dylib")) or ".so." in name:
        return True
    return os.path.isfile(target) if host is None else host.root.is_here and os.path.isfile(target)


def _show(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.telling.show import facts_of, facts_text

    try:
        facts = facts_of(_shown_file(options))
    except OSError as error:
        raise _UsageError(f"{options.file}: {error.strerror}") from None
    return (_json([facts]) if options.json else facts_text(facts, width=_width())), 0


def _diagnose(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.diagnosis.post_mortem import MOST, diagnose
    from tfguard.telling.render import as_text

    _check_codes(options.ignore)
    if options.file == "-":
        if sys.stdin.isatty():
            sys.stderr.write("tfguard: paste the error text, then end it with Ctrl-D\n")
        data = sys.stdin.buffer.read(MOST)
    else:
        try:
            with open(options.file, "rb") as file:
                data = file.read(MOST)
        except OSError as error:
            raise _UsageError(f"{options.file}: {error.strerror}") from None
    report = diagnose(_decoded(data), ignore=options.ignore)
    status = 0 if report else 1
    if options.json:
        return _json([report.to_dict()]), status
    color = _wants_color(options.color)
    return as_text(report, color=color, verbose=options.verbose, width=_width()), status


def _decoded(data: bytes) -> str:
    """Text of any kind: PowerShell's `>` writes UTF-16."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")


def _probed(report: Report, options: argparse.Namespace) -> Report:
    """What becomes of a real load, where the checks have nothing against it."""
    if not report.ok:
        return report
    from dataclasses import replace

    from tfguard.probing.probe import probe

    loaded = probe(report.target, timeout=options.timeout, ignore=options.ignore)
    return replace(loaded, findings=loaded.findings + report.warnings, traces=report.traces)


def _report(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.diagnosis.issue import as_json, block, facts_of, markdown

    facts = [facts_of(one) for one in _reports(options)]
    if options.json:
        return _json([as_json(one) for one in facts]), 0
    return "\n\n".join(markdown(one) if options.markdown else block(one) for one in facts), 0


def _shown_file(options: argparse.Namespace) -> str:
    """The file on this machine: with --root also by the name that it has inside."""
    from tfguard.hosts.root import Root

    if options.root is None or os.path.realpath(options.file).startswith(f"{os.path.realpath(options.root)}/"):
        return str(options.file)
    return Root(os.path.realpath(options.root)).outside(options.file)


def _explain(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.rules import RULES, explain

    try:
        text = explain(options.code)
    except KeyError:
        raise _unknown_code(options.code) from None
    if not options.json:
        return text.rstrip(), 0
    wanted = options.code.upper()
    rule = next(one for one in RULES if wanted in (one.code, one.slug.upper()))
    return _json([{**_rule_dict(rule.code, rule.slug, rule.title), "explanation": rule.explanation}]), 0


def _rules(options: argparse.Namespace) -> tuple[str, int]:
    from tfguard.rules import RULES

    if options.json:
        return _json([[_rule_dict(one.code, one.slug, one.title) for one in RULES]]), 0
    column = max(len(one.slug) for one in RULES)
    return "\n".join(f"{one.code}  {one.slug:<{column}}  {one.title}" for one in RULES), 0


def _rule_dict(code: str, slug: str, title: str) -> dict[str, str]:
    return {"code": code, "slug": slug, "title": title}


def _check_codes(codes: Sequence[str]) -> None:
    from tfguard.rules import RULES

    known = {one.code for one in RULES}
    for code in codes:
        if code not in known:
            raise _unknown_code(code)


def _unknown_code(code: str) -> _UsageError:
    from difflib import get_close_matches

    from tfguard.rules import RULES

    digits = code.upper().replace("O", "0")  # a letter in place of a digit is the usual slip
    near = get_close_matches(digits, [one.code for one in RULES], cutoff=0.7)
    near += get_close_matches(code.lower(), [one.slug for one in RULES])
    hint = f"near it: {', '.join(near)}" if near else "python -m tfguard rules lists them all"
    return _UsageError(f"no code {code!r}; {hint}")


def _json(values: Sequence[object]) -> str:
    """One value as an object, several as an array: as many as were asked for."""
    import json

    return json.dumps(values[0] if len(values) == 1 else values, indent=2)


def _wants_color(choice: str) -> bool:
    """`auto` means a terminal that is not dumb, and no NO_COLOR (https://no-color.org)."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width() -> int:
    """The terminal's columns, 80 where there is none; wider than 100 nobody reads."""
    from shutil import get_terminal_size

    return max(40, min(get_terminal_size((80, 24)).columns, 100)) if sys.stdout.isatty() else 80


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _write(stream: TextIO, text: str) -> None:
    """Write a text and its line end; whoever reads may stop reading at any time."""
    try:
        stream.write(f"{_ascii(text)}\n")
        stream.flush()
    except BrokenPipeError:
        # the interpreter flushes once more at its end: give it something to flush into
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
