"""All figures of the partition: ``python -m benchmarks.accuracy.partition``.

A part that is stopped goes on, if it keeps a journal, as those do that take longest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy.journal import Journal
from benchmarks.accuracy.partition import (
    alive,
    depth,
    hidden,
    networks,
    pairs,
    planted,
    post_hoc,
    scale,
)
from benchmarks.accuracy.partition.search import search
from benchmarks.accuracy.partition.tables import RESULTS
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.partition", description=__doc__
    )
    parts: dict[str, Callable[..., Any]] = {
        **{name: partial(_planted, name) for name in planted.SETTINGS},
        "alive": lambda options: alive.run(quick=options.quick),
        "depth": lambda options: depth.run(_journal(options, "depth"), quick=options.quick),
        "hidden": lambda options: hidden.run(quick=options.quick),
        "networks": lambda options: networks.run(
            options.data_root, _journal(options, "networks"), quick=options.quick
        ),
        "pairs": lambda options: pairs.run(options.data_root, quick=options.quick),
        "post_hoc": lambda options: post_hoc.run(options.data_root, quick=options.quick),
        "scale": lambda options: scale.run(quick=options.quick),
    }
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run?")
    parser.add_argument("--out", type=Path, help=f"the JSON file (default: {RESULTS.name})")
    parser.add_argument(
        "--only", nargs="+", choices=parts, help="measure these parts, keep the others in the file"
    )
    parser.add_argument(
        "--search", action="store_true", help="choose the epochs before the cut, without test data"
    )
    options = parser.parse_args(arguments)
    if options.search:
        search(options.data_root)
        return
    path = options.out or (None if options.quick else RESULTS)
    results: dict[str, Any] = {}
    if options.only and path is not None and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    results["versions"] = versions()
    for name in options.only or parts:
        results[name] = parts[name](options)
        if path is not None:
            write_json(path, results)
            if (journal := _journal(options, name)) is not None:
                journal.clear()


def _journal(options: argparse.Namespace, name: str) -> Journal | None:
    """What is known of a part, beside the file of the results; none for a quick look."""
    if options.quick:
        return None
    path = options.out or RESULTS
    return Journal(path.with_suffix(f".{name}.journal"))


def _planted(name: str, options: argparse.Namespace) -> Any:
    return planted.run(name, quick=options.quick)


if __name__ == "__main__":
    main()
