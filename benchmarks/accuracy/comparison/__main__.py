"""All tables of accuracy: ``python -m benchmarks.accuracy.comparison``.

Of the tables of vectors and images, what the file has with the same recipes is kept: the command
goes on where it was stopped, and measures again what ``--search`` has found other recipes for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.accuracy.comparison import cora, motifs, toys
from benchmarks.accuracy.comparison.measure import FIRST_SEED, measure
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.results import RESULTS
from benchmarks.accuracy.comparison.search import RESULTS as SEARCH
from benchmarks.accuracy.comparison.search import SEARCHED, search
from benchmarks.accuracy.comparison.tables import MEANING
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

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
    parser.add_argument("--out", type=Path, help=f"the JSON file (default: {RESULTS.name})")
    parser.add_argument(
        "--only", nargs="+", choices=_TABLES, help="these tables, keep the others in the file"
    )
    parser.add_argument("--rows", nargs="+", choices=MEANING, help="these rows alone")
    parser.add_argument("--search", action="store_true", help="choose recipes, without test data")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help="others than those of the tables"
    )
    options = parser.parse_args(arguments)
    if options.search:
        if not set(options.only or ()) <= set(SEARCHED):
            parser.error(f"--search goes with --only and some of: {_listed(SEARCHED)}")
        if options.quick and options.out is None:
            parser.error("--search --quick goes with --out: its recipes are none to train by")
        out = options.out or SEARCH
        names = options.only or list(SEARCHED)
        search(names, options.rows, options.data_root, out, quick=options.quick)
        return
    if options.first_seed != FIRST_SEED and options.out is None:
        parser.error("--first-seed goes with --out: the tables have seeds of their own")
    names = options.only or (_QUICK if options.quick else _TABLES)
    for name in names if options.rows else ():
        _check_rows(parser, name, options.rows)
    path = options.out or (None if options.quick else RESULTS)
    results: dict[str, Any] = {}
    if path is not None and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    skipped: dict[str, Exception] = {}
    for name in names:
        try:
            _check_data(name, options.data_root)
        except (ImportError, ValueError) as error:
            skipped[name] = error
            continue

        def save(table: dict[str, Any], name: str = name) -> None:
            results[name] = table
            if path is not None:
                write_json(path, results)

        if name in _OTHERS:
            table = _OTHERS[name](options.data_root, quick=options.quick)
            save({**table, "versions": versions()})
        else:
            measure(
                PROBLEMS[name],
                options.rows or list(rows_of(PROBLEMS[name])),
                options.data_root,
                results.get(name, {}),
                save,
                first_seed=options.first_seed,
                quick=options.quick,
            )
    for name, reason in skipped.items():
        kept = " Its table in the file is that of before." if name in results else ""
        print(f"Skipped {name}: {reason}{kept}")


def _check_rows(parser: argparse.ArgumentParser, name: str, rows: list[str]) -> None:
    """Exit unless a table has these rows."""
    if name not in PROBLEMS:
        parser.error(f"--rows goes with --only and some of: {_listed(PROBLEMS)}")
    if not set(rows) <= set(rows_of(PROBLEMS[name])):
        parser.error(f"the rows of {name!r} are: {_listed(rows_of(PROBLEMS[name]))}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _check_data(name: str, data_root: str | None) -> None:
    """Raise where the data of a table cannot be had."""
    if name in PROBLEMS:
        PROBLEMS[name].load(data_root, 0)
    elif name == "cora":
        cora.load(data_root)


if __name__ == "__main__":
    main()
