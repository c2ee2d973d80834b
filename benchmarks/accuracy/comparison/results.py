"""What was measured: the runs of all tables, and how sure their means and differences are."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.comparison.problems import PROBLEMS
from benchmarks.accuracy.intervals import half_interval_of_searches, p_value_of_searches

RESULTS = Path(__file__).with_name("comparison.json")
_ACCURACY = Path(__file__).parents[1]
#: Other benchmarks: their file, what of a run is its score, and how kinds of networks end.
CELLS = {
    "sums": (_ACCURACY / "additive" / "additive.json", "test", ""),
    "side by side": (_ACCURACY / "changing" / "changing.json", "first", " at first"),
    "after changes": (_ACCURACY / "changing" / "changing.json", "last", ""),
    "goals": (_ACCURACY / "alternating" / "alternating.json", "soon", ""),
}
TOPOLOGY = _ACCURACY / "topology.json"
#: The runs of a row, in a list for every search of its recipe.
Searches = list[list[dict[str, Any]]]
#: Recipes are searched on one half of the data; of the other, one half is tested. What seeds differ
#: by are as many samples to train on as to test.
_OVERLAP = 1.0


def results(path: Path = RESULTS) -> dict[str, Any]:
    """All that was measured, by table."""
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return measured


def rows_measured(name: str, path: Path = RESULTS) -> dict[str, Searches]:
    """The runs of a table by row; of other benchmarks, of ``"sums / sines, 400 samples"``.

    Of ``"topology"``, those of fresh seeds.
    """
    if " / " in name:
        return _rows_of_cells(*name.split(" / "))
    if name == "topology":
        return {
            row: [[{"score": run["test_accuracy"]} for run in runs]]
            for row, runs in results(TOPOLOGY)["fresh"].items()
        }
    result = results(path).get(name, {"searches": []})
    rows: dict[str, Searches] = {}
    for search in result.get("searches", [result]):
        for row, runs in search["rows"].items():
            rows.setdefault(row, []).append(runs)
    return rows


def _rows_of_cells(benchmark: str, task: str) -> dict[str, Searches]:
    path, key, ending = CELLS[benchmark]
    return {
        cell["model"].removesuffix(ending): [[{"score": run[key]} for run in cell["runs"]]]
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["task"] == task and cell["model"].endswith(ending) and key in cell["runs"][0]
    }


def scores(name: str, runs: Searches) -> list[list[float]]:
    """R², or accuracies in percent."""
    scale = 1 if is_regression(name) else 100
    return [[scale * run["score"] for run in of_search] for of_search in runs]


def half(name: str, values: list[list[float]]) -> float:
    """Half of the 95 % interval of the mean of all values of a table."""
    return half_interval_of_searches(values, _overlap(name))


def _overlap(name: str) -> float:
    return _OVERLAP if name in PROBLEMS and PROBLEMS[name].is_small else 0.0


def difference(name: str, runs: Searches, baseline: Searches) -> tuple[float, float]:
    """The mean of the differences, seed by seed, and half of its interval."""
    differences = _differences(name, runs, baseline)
    return mean(chain(*differences)), half(name, differences)


def p_of(name: str, runs: Searches, baseline: Searches) -> float:
    """How likely a difference so far from 0 is where there is none."""
    return p_value_of_searches(_differences(name, runs, baseline), _overlap(name))


def _differences(name: str, runs: Searches, baseline: Searches) -> list[list[float]]:
    # Some rows are of the first search alone.
    return [
        [a - b for a, b in zip(one, other, strict=True)]
        for one, other in zip(scores(name, runs), scores(name, baseline), strict=False)
    ]


def is_regression(name: str) -> bool:
    """Whether the scores of a table are R²."""
    return name in PROBLEMS and PROBLEMS[name].is_regression
