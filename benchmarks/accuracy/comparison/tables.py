"""The tables of the comparison, from its committed results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from benchmarks.accuracy.comparison.problems import OPTDIGITS_UNITS, PROBLEMS
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("comparison.json")
#: What the rows are, in their order.
MEANING = {
    "mlp": "MLP",
    "free": "unit graph, unrolled",
    "equilibrium": "unit graph, equilibrium",
    "modules_2": "two modules, cut and trained on",
    "modules_4": "four modules, cut and trained on",
    "modules_8": "eight modules, cut and trained on",
    "modules_4_wide": "four modules, more units, as many parameters left",
    "random_4": "four random modules, from the beginning",
    "autoencoder": "stacked autoencoder",
    "dag": "levels fed by all before",
    "yoked": "yoked",
    "yoked_l1": "yoked, L1",
    "yoked_l2": "yoked, L2",
}
CORA = {
    "gcn": "GCN",
    "gcn_mlp": "GCN, an MLP between the convolutions",
    "gcn_units": "GCN, a unit graph between the convolutions",
    "gcn_modules_4": "the same, cut into four modules and trained on",
    "gin_mlp": "GIN with an MLP",
    "gin_units": "GIN with a unit graph",
    "gin_modules_4": "the same, cut into four modules and trained on",
}
MOTIFS = {name: CORA[name] for name in ("gin_mlp", "gin_units", "gin_modules_4")}
_OF_PROBLEMS = ("mlp", "free", "modules_4_wide")
#: The rows of the summary: a title, and which rows of its table are the three columns.
_SUMMARY = {
    "mnist1d": ("MNIST-1D", *_OF_PROBLEMS),
    "optdigits 45": ("optdigits, 45 units", *_OF_PROBLEMS),
    "mnist10k": ("MNIST-10k, behind convolutions", *_OF_PROBLEMS),
    "breast cancer": ("breast cancer", *_OF_PROBLEMS),
    "wine": ("wine", *_OF_PROBLEMS),
    "diabetes": ("diabetes, R²", *_OF_PROBLEMS),
    "cora": ("Cora, in a GCN", "gcn_mlp", "gcn_units", "gcn_modules_4"),
    "motifs": ("motifs, in a GIN", "gin_mlp", "gin_units", "gin_modules_4"),
}
#: Test error by units in the level, arXiv 2306.02157.
_PUBLISHED = {
    "NN": (0.2565, 0.345, 0.2181, 0.1536, 0.3159, 0.259),
    "SAE": (0.2871, 0.2952, 0.3603, 0.4186, 0.3656, 0.3375),
    "DAG": (0.2446, 0.2095, 0.2721, 0.3475, 0.1981, 0.2585),
    "YNN": (0.1433, 0.1274, 0.1725, 0.1552, 0.1791, 0.256),
    "YNN + L1": (0.1633, 0.1522, 0.18, 0.1594, 0.143, 0.1494),
    "YNN + L2": (0.1586, 0.1867, 0.1614, 0.1483, 0.2028, 0.1881),
}


def optdigits() -> str:
    """Test errors of all sizes, and what was published."""
    results = [_results()[f"optdigits {units}"]["rows"] for units in OPTDIGITS_UNITS]
    rows = []
    for name in [name for name in MEANING if all(name in result for result in results)]:
        errors = [[100 * (1 - run["score"]) for run in result[name]] for result in results]
        cells = [f"{mean(of):.2f} ± {stdev(of):.2f}" for of in errors]
        rows.append([MEANING[name], *cells])
    rows += [
        [f"*published: {name}*", *(f"{100 * error:.2f}" for error in errors)]
        for name, errors in _PUBLISHED.items()
    ]
    for name, label in (("free", "unrolled"), ("modules_4", "four modules")):
        ratios = [
            published / mean(1 - run["score"] for run in result[name])
            for published, result in zip(_PUBLISHED["YNN"], results, strict=True)
        ]
        rows.append([f"published YNN / {label}", *(f"**{ratio:.1f}**" for ratio in ratios)])
    return table(["test error, %", *map(str, OPTDIGITS_UNITS)], rows)


def problem(name: str) -> str:
    """The rows of one problem."""
    result = _results()[name]
    is_regression = PROBLEMS[name].is_regression
    recipes = {row: _recipe(recipe) for row, recipe in result["recipes"].items()}
    return _scores(name, result["rows"], MEANING, recipes, is_regression=is_regression)


def cora() -> str:
    """The rows of Cora."""
    results = _results()["cora"]
    rates = {
        name: ", ".join(f"{rate:g}" for rate in pair) for name, pair in results["rates"].items()
    }
    return _scores("Cora", results["rows"], CORA, rates, "rates")


def motifs() -> str:
    """The rows of the classification of graphs."""
    rows = _results()["motifs"]["rows"]
    rates = {
        name: f"{Counter(run['learning_rate'] for run in runs).most_common(1)[0][0]:g}"
        for name, runs in rows.items()
    }
    return _scores("motifs", rows, MOTIFS, rates, "most frequent rate")


def toys() -> str:
    """Accuracies by size: of an MLP, and of a unit graph that has no more parameters."""
    rows = []
    for task, kinds in _results()["toys"]["tasks"].items():
        for mlp, units in zip(kinds["mlp"], kinds["units"], strict=True):
            cells = []
            for cell in (mlp, units):
                scores = [100 * run["score"] for run in cell["runs"]]
                best = cell["best"]
                cells += [
                    f"{cell['num_parameters']}",
                    f"{mean(scores):.1f} ± {stdev(scores):.1f}",
                    f"{best['activation']}, {best['depth']}",
                ]
            rows.append([task, *cells])
    kinds = ("MLP", "unit graph")
    header = [
        name for kind in kinds for name in (f"{kind}: parameters", "test accuracy, %", "depth")
    ]
    return table(["task", *header], rows)


def summary() -> str:
    """A row per task that was measured: the tuned MLP, the unit graph, and its modules."""
    results = _results()
    rows = []
    for name, (title, *kinds) in _SUMMARY.items():
        if any(kind not in results.get(name, {"rows": {}})["rows"] for kind in kinds):
            continue
        of_kinds = [results[name]["rows"][kind] for kind in kinds]
        is_regression = name in PROBLEMS and PROBLEMS[name].is_regression
        cells = []
        for runs in of_kinds:
            scores = [run["score"] if is_regression else 100 * run["score"] for run in runs]
            digits = 3 if is_regression else 2
            cells.append(f"{mean(scores):.{digits}f} ± {stdev(scores):.{digits}f}")
        sizes = [mean(run["num_parameters"] for run in runs) for runs in of_kinds]
        rows.append([f"{title}, {len(of_kinds[0])} seeds", f"{sizes[1]:,.0f}", *cells])
    header = ["test accuracy, %", "parameters", "tuned MLP", "unit graph", "four modules, cut"]
    return table(header, rows)


def _scores(
    title: str,
    rows: dict[str, list[dict[str, Any]]],
    meaning: dict[str, str],
    recipes: dict[str, str],
    recipe: str = "recipe",
    *,
    is_regression: bool = False,
) -> str:
    digits = 3 if is_regression else 2
    lines = []
    for name in [name for name in meaning if name in rows]:
        runs = rows[name]
        scores = [run["score"] if is_regression else 100 * run["score"] for run in runs]
        lines.append(
            [
                meaning[name],
                f"{mean(run['num_parameters'] for run in runs):,.0f}",
                f"**{mean(scores):.{digits}f}** ± {stdev(scores):.{digits}f}",
                f"± {_half_interval(scores):.{digits}f}",
                f"{mean(run['seconds'] for run in runs):,.1f}",
                f"{mean(run['microseconds'] for run in runs):,.2f}",
                recipes[name],
            ]
        )
    score = "test R²" if is_regression else "test accuracy, %"
    header = [
        f"{title}, {len(runs)} seeds",
        "parameters",
        f"{score}, mean ± std",
        "95 % interval",
        "training, s",
        "inference, µs",
        recipe,
    ]
    return table(header, lines)


TABLES: dict[str, Callable[[], str]] = {
    "optdigits": optdigits,
    **{
        name.replace(" ", "_"): partial(problem, name)
        for name in PROBLEMS
        if not name.startswith("optdigits")
    },
    "cora": cora,
    "motifs": motifs,
    "toys": toys,
    "summary": summary,
}


def _half_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean, by Student's t."""
    return float(student.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))


def _recipe(recipe: dict[str, Any]) -> str:
    text = (
        f"{recipe['activation']}, lr {recipe['learning_rate']:g}, decay"
        f" {recipe['weight_decay']:g}, noise {recipe['noise']:g}, depth {recipe['depth']}"
    )
    if recipe.get("share"):
        text += f", cut after {recipe['share']:.0%}"
    return f"{text}, penalty {recipe['penalty']:g}" if recipe["penalty"] else text


def _results() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results
