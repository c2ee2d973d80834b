"""All tables of accuracy: ``python -m benchmarks.accuracy.comparison``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.accuracy.comparison import cora, motifs, toys
from benchmarks.accuracy.comparison.measure import measure
from benchmarks.accuracy.comparison.problems import PROBLEMS, rows_of
from benchmarks.accuracy.comparison.search import SEARCHED, search
from benchmarks.accuracy.comparison.tables import MEANING, RESULTS
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
    parser.add_argument(
        "--rows", nargs="+", choices=MEANING, help="these rows, keep the others in the file"
    )
    parser.add_argument("--search", action="store_true", help="choose recipes, without test data")
    options = parser.parse_args(arguments)
    if options.search:
        if not set(options.only or ()) <= set(SEARCHED):
            parser.error(f"--search goes with --only and some of: {_listed(SEARCHED)}")
        search(options.only or list(SEARCHED), options.rows, options.data_root)
        return
    names = options.only or (_QUICK if options.quick else _TABLES)
    path = options.out or (None if options.quick else RESULTS)
    results: dict[str, Any] = {}
    if path is not None and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    if options.rows:
        _check_rows(parser, names, options.rows, results)
    skipped: dict[str, Exception] = {}
    for name in names:
        try:
            _check_data(name, options.data_root)
        except (ImportError, ValueError) as error:
            skipped[name] = error
            continue
        results[name] = _table(name, options, results.get(name, {}))
        if path is not None:
            write_json(path, results)
    for name, reason in skipped.items():
        kept = " Its table in the file is that of before." if name in results else ""
        print(f"Skipped {name}: {reason}{kept}")


def _check_rows(
    parser: argparse.ArgumentParser, names: Iterable[str], rows: list[str], results: dict[str, Any]
) -> None:
    """Exit unless all these tables are measured, and have these rows."""
    for name in names:
        if name not in PROBLEMS:
            parser.error(f"--rows goes with --only and some of: {_listed(PROBLEMS)}")
        if not set(rows) <= set(rows_of(PROBLEMS[name])):
            parser.error(f"the rows of {name!r} are: {_listed(rows_of(PROBLEMS[name]))}")
        if results.get(name, {}).get("versions") != versions():
            parser.error(
                f"--rows replaces rows that were measured with the same versions of all libraries,"
                f" and those of {name!r} were not; leave it out to measure all"
            )


def _table(name: str, options: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    """One table, or the one of ``before`` with some rows measured again."""
    if options.rows:
        some = measure(PROBLEMS[name], options.rows, options.data_root, quick=options.quick)
        return {**before, **{key: {**before[key], **some[key]} for key in ("rows", "recipes")}}
    started = time.perf_counter()
    if name in _OTHERS:
        table = _OTHERS[name](options.data_root, quick=options.quick)
    else:
        rows = list(rows_of(PROBLEMS[name]))
        table = measure(PROBLEMS[name], rows, options.data_root, quick=options.quick)
    seconds = time.perf_counter() - started
    return {**table, "versions": versions(), "wall_seconds": seconds}


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
