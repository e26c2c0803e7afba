"""The command line: python -m tfguard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tfguard.commands.checking import run_check, run_report, run_tree
from tfguard.commands.codes import run_explain, run_rules
from tfguard.commands.output import ascii_only, write
from tfguard.commands.reading import run_diagnose, run_show
from tfguard.commands.usage import UsageError

_EXIT = "Exit status: 0 no errors, 1 errors found, 2 wrong usage or no answer"
_COMMANDS = ("check", "tree", "show", "diagnose", "report", "explain", "rules")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives back the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parse(arguments)
        text, status = options.run(options)
    except UsageError as error:
        sys.stderr.write(f"tfguard: {ascii_only(str(error))}\n")
        return 2
    except SystemExit as stop:  # argparse, after it has written its own text
        return stop.code if isinstance(stop.code, int) else 2
    except Exception:  # a fault of tfguard must not look like an error found (Python's own status would be 1)
        from traceback import format_exc

        sys.stderr.write(f"{ascii_only(format_exc())}tfguard tripped: this says nothing of what was to be checked\n")
        return 2
    write(sys.stdout, text)
    return int(status)


def _parse(arguments: list[str]) -> argparse.Namespace:
    # Two passes, so that --json and the like may stand before or behind the command.
    common, rest = _common_options().parse_known_args(arguments)
    if not rest or (rest[0].startswith("-") and rest[0] not in ("-h", "--help", "--version")):
        rest = ["check", *rest]
    if rest[0] not in _COMMANDS and not rest[0].startswith("-"):
        raise UsageError(
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
    check = command("check", run_check, "check packages and libraries")
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
        help="for another machine, macos-14-arm64, debian-12-aarch64 or manylinux_2_17-x86_64 for one: wheels, as"
        " though installed together, or libraries; --python 3.11 says for which Python",
    )
    check.add_argument(
        "--sdk", metavar="DIR", help="with --host of a Mac: look symbols of its libraries up in this SDK, or .tbd file"
    )
    check.add_argument("--deep", action="store_true", help="packages: hash every file, and show how far that is")
    check.add_argument("--probe", action="store_true", help="then load it for real, in a child process")
    check.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for the probe (default: 120)")
    check.add_argument("--gpu", action="store_true", help="tensorflow: also say why it would see no GPU")
    tree = command("tree", run_tree, "show what the loader would map, in its order, and from where")
    tree.add_argument("targets", nargs=1, metavar="NAME_OR_PATH", help=what.partition(";")[0])
    tree.add_argument("--after", metavar="NAME", help="as for check")
    _add_process(tree)
    tree.set_defaults(files_only=True, deep=False, host=None, gpu=False)
    show = command("show", run_show, "show what a file says about itself")
    show.add_argument("file", metavar="FILE")
    show.add_argument("--root", metavar="DIR", help="the directory that is the file's /")
    diagnose = command("diagnose", run_diagnose, "say what an error text comes from: a traceback, a log, an issue")
    diagnose.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: -, standard input")
    report = command("report", run_report, "make one block to paste into an issue, without names of yours in it")
    report.add_argument("targets", nargs="*", metavar="NAME_OR_PATH", help=what)
    report.add_argument("--markdown", action="store_true", help="fold it away, as issues on GitHub do")
    _add_process(report)
    report.set_defaults(after=None, files_only=False, deep=False, host=None, gpu=False)
    explain = command("explain", run_explain, "explain a code")
    explain.add_argument("code", metavar="CODE", help="TFG201, or its name: needed-library-missing")
    command("rules", run_rules, "list all codes")
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


if __name__ == "__main__":
    sys.exit(main())
