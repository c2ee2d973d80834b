"""What the commands of benchmarks have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path


def parse(
    parser: ArgumentParser, arguments: Sequence[str] | None, results: Path, *, quick: str
) -> Namespace:
    """The options of a benchmark that writes all it measures; those of a quick run elsewhere.

    Args:
        parser (ArgumentParser): Gets ``--quick`` and ``--out`` beside what it has.
        arguments (sequence of str, optional): Of the command line; ``None`` are those of the
            process.
        results (Path): The JSON file that is kept, the default of ``--out``.
        quick (str): What a quick run does.

    Raises:
        SystemExit: If a quick run would write over ``results``.
    """
    parser.add_argument("--quick", action="store_true", help=f"{quick}; with --out")
    parser.add_argument("--out", type=Path, default=results, help="the JSON file")
    options = parser.parse_args(arguments)
    if options.quick and options.out.resolve() == results.resolve():
        parser.error("--quick goes with --out: its results are no measurement")
    return options


def parse_none(description: str | None) -> None:
    """Answer ``--help`` of a command without options, and refuse all else.

    Args:
        description (str, optional): What it does.
    """
    ArgumentParser(description=description).parse_args()
