"""All tables of accuracy: ``python -m benchmarks.accuracy.comparison``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks.accuracy.comparison import cora, motifs, toys
from benchmarks.accuracy.comparison.measure import measure
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.search import search
from benchmarks.accuracy.comparison.tables import MEANING, RESULTS
from pyg_modules._files import write_json
from pyg_modules.train.versions import versions

#: The tables that are no problem of vectors.
_OTHERS: dict[str, Callable[..., dict[str, Any]]] = {
    "cora": cora.run,
    "motifs": lambda _data_root, *, quick: motifs.run(quick=quick),
    "toys": lambda _data_root, *, quick: toys.run(quick=quick),
}
_TABLES = (*PROBLEMS, *_OTHERS)
_QUICK = ("wine", "diabetes", *_OTHERS)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.comparison", description=__doc__
    )
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    parser.add_argument("--quick", action="store_true", help="two epochs of one seed: does it run?")
    parser.add_argument(
        "--only", nargs="+", choices=_TABLES, help="these tables, keep the others in the file"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=MEANING, help="these rows, keep the others in the file"
    )
    parser.add_argument("--search", action="store_true", help="choose recipes, without test data")
    options = parser.parse_args(arguments)
    if options.search:
        search(options.only or list(PROBLEMS), options.rows, options.data_root)
        return
    results: dict[str, Any] = {}
    if RESULTS.exists() and not options.quick:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    names = options.only or (_QUICK if options.quick else _TABLES)
    if options.rows and not set(names) <= set(PROBLEMS):
        parser.error(f"--rows goes with --only and some of: {', '.join(map(repr, PROBLEMS))}")
    for name in names:
        try:
            _check_data(name, options.data_root)
        except (ImportError, ValueError) as error:
            print(f"Skipped {name}: {error}")
            continue
        started = time.perf_counter()
        if name in _OTHERS:
            table = _OTHERS[name](options.data_root, quick=options.quick)
        else:
            table = _measure(name, options, results.get(name, {"rows": {}, "recipes": {}}))
        table["versions"] = versions()
        if not options.rows:
            table["wall_seconds"] = time.perf_counter() - started
        results[name] = table
        if not options.quick:
            write_json(RESULTS, results)


def _measure(name: str, options: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    """The table of a problem, with the rows of ``before`` that are not measured again."""
    rows = [row for row in rows_of(PROBLEMS[name]) if not options.rows or row in options.rows]
    table = measure(PROBLEMS[name], rows, options.data_root, quick=options.quick)
    for key in ("rows", "recipes"):
        table[key] = {**before[key], **table[key]}
    return table


def _check_data(name: str, data_root: str | None) -> None:
    """Raise where the data of a table cannot be had."""
    if name in PROBLEMS:
        PROBLEMS[name].load(data_root, 0)
    elif name == "cora":
        cora.load(data_root)


if __name__ == "__main__":
    main()
