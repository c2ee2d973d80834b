"""The command line: a thin face over ``experiment`` and ``report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import TextIOWrapper

from pyg_modules.cli.endings import Refused
from pyg_modules.cli.output import LastingOutput
from pyg_modules.cli.parser import make_parser

_UNPRINTED, _REFUSED, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str, optional): Without the program name. (default: ``sys.argv[1:]``)

    Returns:
        int: The exit status: 0, 1 if nothing could be printed, 2 after bad input, 130 after Ctrl-C.
    """
    try:
        _print_what_cannot_be_encoded()
        output = LastingOutput(sys.stdout)
        with redirect_stdout(output):
            try:
                options = make_parser().parse_args(arguments)
                options.run(options)
            finally:
                output.flush()
    except Refused as error:
        print(f"pyg-modules: error: {error}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt as interrupt:
        (what, *_) = interrupt.args or ("no file was written",)
        print(f"pyg-modules: interrupted; {what}", file=sys.stderr)
        return _INTERRUPTED
    except SystemExit as ending:  # After --help and --version, or wrong usage.
        if ending.code or not output.error:
            raise
    if output.error:
        print(f"pyg-modules: error: what was to be printed: {output.error}", file=sys.stderr)
        return _UNPRINTED
    return 0


def _print_what_cannot_be_encoded() -> None:
    """Let names that the output has no characters for be printed as Python would write them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
