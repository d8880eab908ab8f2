"""The ``gnnvcell`` command. Nothing heavy is imported before a verb runs, so that ``--help`` answers at once."""

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from gnnvcell import __version__
from gnnvcell.errors import GnnvcellError, GnnvcellWarning

GROUPS = (
    "graph",
    "data",
    "embed",
    "train",
    "predict",
    "evaluate",
    "pack",
    "screen",
    "maps",
    "bench",
    "report",
    "demo",
    "info",
)

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def make_parser() -> argparse.ArgumentParser:
    """The parser with every verb group: each module of ``GROUPS`` adds its own by ``add_parser(subparsers)``."""
    parser = argparse.ArgumentParser(
        prog="gnnvcell", description="Gene graphs in models of the cell: build them, compare them, predict with them."
    )
    parser.add_argument("--version", action="version", version=f"gnnvcell {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(dest="group", metavar="COMMAND")
    for name in GROUPS:
        importlib.import_module(f"gnnvcell.cli.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code.

    0 where it went well, 1 where a check found something wrong, 2 for input that cannot be used (the message is on
    stderr; with ``--debug`` also where it came from), 130 when interrupted, 141 when the reader of the output left.

    Args:
        arguments: the command line without the program's name; that of the process when left out.
    """
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    unknown = _without_settings(options, rest)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.group is None:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    shown_by = warnings.showwarning
    warnings.showwarning = _show_warning
    try:
        code = options.run(options)
        # What is left in the buffer may be what the reader no longer wants.
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except (GnnvcellError, OSError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.showwarning = shown_by


def _without_settings(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """What argparse could not use. Settings a.b=c behind the flags go to the verb, where it takes settings."""
    settings = getattr(options, "settings", None)
    if settings is None:
        return list(rest)
    found = [text for text in rest if "=" in text and not text.startswith("-")]
    options.settings = [*settings, *found]
    return [text for text in rest if text not in found]


_default_show_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """The library's own warnings without the line of code they came from, which says nothing to a user."""
    if issubclass(category, GnnvcellWarning):
        print(f"warning: {message}", file=file or sys.stderr)
    else:
        _default_show_warning(message, category, filename, lineno, file, line)


def _close_stdout() -> None:
    """Send what is still buffered nowhere, or Python complains about the pipe once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
