"""The tables of the comparison, from its committed results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.comparison.problems import OPTDIGITS_UNITS, PROBLEMS, rows_of
from benchmarks.accuracy.comparison.recipe import DEPTHS
from benchmarks.accuracy.comparison.search import RESULTS as SEARCH
from benchmarks.accuracy.intervals import half_interval
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("comparison.json")
#: What the rows are, in their order.
MEANING = {
    "mlp": "MLP",
    "mlp_long": "MLP, twice the epochs",
    "free": "unit graph, unrolled",
    "equilibrium": "unit graph, equilibrium",
    "modules_2": "two modules, cut and trained on",
    "modules_4": "four modules, cut and trained on",
    "modules_8": "eight modules, cut and trained on",
    "modules_4_wide": "four modules, more units, as many parameters left",
    "random_4": "four random modules, from the beginning",
    "random_4_wide": "four random modules, more units, as many parameters left",
    "autoencoder": "stacked autoencoder",
    "dag": "levels fed by all before",
    "yoked": "yoked",
    "yoked_l1": "yoked, L1",
    "yoked_l2": "yoked, L2",
}
#: The kinds of networks that are searched, which are rows too but for modules.
_KINDS = {**MEANING, "modules": "modules, learned", "random": "modules, random"}
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
#: A toy is solved, %.
_SOLVED = 99
#: Recipes are searched on one half of the data; of the other, one half is tested. What seeds differ
#: by are as many samples to train on as to test.
_OVERLAP = 1.0
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
    recipes = {row: _recipe(name, row, recipe) for row, recipe in result["recipes"].items()}
    return _rows(
        name,
        result["rows"],
        {row: meaning for row, meaning in MEANING.items() if row in result["rows"]},
        recipes,
        dict.fromkeys(result["rows"], "mlp"),
    )


def learned() -> str:
    """The differences between learned and random modules of all problems, seed by seed."""
    lines = []
    for name in PROBLEMS:
        rows = _results().get(name, {"rows": {}})["rows"]
        if "random_4_wide" not in rows:
            continue
        line = [name, f"{len(rows['random_4'])}"]
        for suffix in ("", "_wide"):
            of_learned, of_random = rows[f"modules_4{suffix}"], rows[f"random_4{suffix}"]
            line.append(_difference(name, of_learned, of_random))
        lines.append(line)
    header = ["learned − random", "seeds", "as many units", "as many parameters left"]
    return table(header, lines)


def recipes() -> str:
    """The rows of the digits, which have one recipe for all sizes."""
    name = "optdigits 45"
    result = _results()[name]
    return table(
        ["45 units", "parameters", "training, s", "inference, µs", "recipe"],
        [
            [
                MEANING[row],
                f"{result['rows'][row][0]['num_parameters']:,}",
                f"{mean(run['seconds'] for run in result['rows'][row]):,.1f}",
                f"{mean(run['microseconds'] for run in result['rows'][row]):,.2f}",
                _recipe(name, row, result["recipes"][row]),
            ]
            for row in MEANING
            if row in result["rows"]
        ],
    )


def tuning() -> str:
    """How many recipes every kind of network was given, and how many trainings they took."""
    problems = json.loads(SEARCH.read_text(encoding="utf-8"))
    kinds = dict.fromkeys(kind for of_problem in problems.values() for kind in of_problem)
    rows = []
    for kind in kinds:
        row = [_KINDS[kind]]
        for of_problem in problems.values():
            trials = of_problem.get(kind, {"trials": []})["trials"]
            runs = sum(len(trial["validation_scores"]) for trial in trials)
            row.append(f"{len(trials)} / {runs}" if trials else "")
        rows.append(row)
    return table(["recipes / trainings", *problems], rows)


def wall_clock() -> str:
    """How long every table took."""
    minutes = {
        name: result["wall_seconds"] / 60
        for name, result in _results().items()
        if "wall_seconds" in result
    }
    rows = [[name, f"{value:.1f}"] for name, value in minutes.items()]
    return table(["table", "minutes"], [*rows, ["all", f"**{sum(minutes.values()):.0f}**"]])


def cora() -> str:
    """The rows of Cora."""
    results = _results()["cora"]
    rates = {
        name: ", ".join(f"{rate:g}" for rate in pair) for name, pair in results["rates"].items()
    }
    baselines = {name: "gcn" if name.startswith("gcn") else "gin_mlp" for name in CORA}
    return _rows("Cora", results["rows"], CORA, rates, baselines, "rates")


def motifs() -> str:
    """The rows of the classification of graphs."""
    rows = _results()["motifs"]["rows"]
    rates = {
        name: f"{Counter(run['learning_rate'] for run in runs).most_common(1)[0][0]:g}"
        for name, runs in rows.items()
    }
    return _rows(
        "motifs", rows, MOTIFS, rates, dict.fromkeys(MOTIFS, "gin_mlp"), "most frequent rate"
    )


def toys() -> str:
    """Accuracies by the largest number of parameters: of MLPs and of unit graphs."""
    rows = []
    for task, kinds in _results()["toys"]["tasks"].items():
        for cells in zip(kinds["mlp"], kinds["units"], strict=True):
            row = [task, f"{cells[0]['budget']}"]
            for cell in cells:
                scores = [100 * run["score"] for run in cell["runs"]]
                best = cell["best"]
                row += [
                    f"{mean(scores):.1f} ± {stdev(scores):.1f}",
                    f"{sum(score >= _SOLVED for score in scores)} of {len(scores)}",
                    f"{cell['num_parameters']}: {best['activation']}, {best['depth']}",
                ]
            rows.append(row)
    header = ["task", "parameters, at most"]
    for kind in ("MLP", "unit graph"):
        header += [f"{kind}: accuracy, %", f"≥ {_SOLVED} %", "parameters: activation, depth"]
    return table(header, rows)


def summary() -> str:
    """A row per task that was measured: the tuned MLP, the unit graph, and its modules."""
    results = _results()
    rows = []
    for name, (title, *kinds) in _SUMMARY.items():
        if any(kind not in results.get(name, {"rows": {}})["rows"] for kind in kinds):
            continue
        of_kinds = [results[name]["rows"][kind] for kind in kinds]
        cells = []
        for runs in of_kinds:
            scores, digits = _scores(name, runs)
            cells.append(f"{mean(scores):.{digits}f} ± {stdev(scores):.{digits}f}")
        sizes = [mean(run["num_parameters"] for run in runs) for runs in of_kinds]
        rows.append([f"{title}, {len(of_kinds[0])} seeds", f"{sizes[1]:,.0f}", *cells])
    header = ["test score", "parameters", "tuned MLP", "unit graph", "four modules, cut"]
    return table(header, rows)


def _rows(
    title: str,
    rows: dict[str, list[dict[str, Any]]],
    meaning: dict[str, str],
    recipes: dict[str, str],
    baselines: dict[str, str],
    recipe: str = "recipe",
) -> str:
    """Every row, with the differences to its baseline by seed."""
    lines = []
    for name in meaning:
        runs, baseline = rows[name], baselines[name]
        scores, digits = _scores(title, runs)
        difference = ""
        if name != baseline:
            difference = _difference(title, runs, rows[baseline])
        lines.append(
            [
                meaning[name],
                f"{mean(run['num_parameters'] for run in runs):,.0f}",
                f"**{mean(scores):.{digits}f}** ± {stdev(scores):.{digits}f}",
                f"± {half_interval(scores, _overlap(title)):.{digits}f}",
                difference,
                f"{mean(run['seconds'] for run in runs):,.1f}",
                f"{mean(run['microseconds'] for run in runs):,.2f}",
                recipes[name],
            ]
        )
    score = "test R²" if _is_regression(title) else "test accuracy, %"
    header = [
        f"{title}, {len(runs)} seeds",
        "parameters",
        f"{score}, mean ± std",
        "95 % interval",
        f"difference to {' / '.join(meaning[row] for row in dict.fromkeys(baselines.values()))}",
        "training, s",
        "inference, µs",
        recipe,
    ]
    return table(header, lines)


TABLES: dict[str, Callable[[], str]] = {
    "optdigits": optdigits,
    "recipes": recipes,
    **{
        name.replace(" ", "_"): partial(problem, name)
        for name in PROBLEMS
        if not name.startswith("optdigits")
    },
    "learned": learned,
    "cora": cora,
    "motifs": motifs,
    "toys": toys,
    "summary": summary,
    "tuning": tuning,
    "wall_clock": wall_clock,
}


def _difference(name: str, runs: list[dict[str, Any]], baseline: list[dict[str, Any]]) -> str:
    """The mean of the differences, seed by seed, and half of its interval."""
    scores, digits = _scores(name, runs)
    of_baseline, _ = _scores(name, baseline)
    differences = [a - b for a, b in zip(scores, of_baseline, strict=True)]
    half = half_interval(differences, _overlap(name))
    return f"{mean(differences):+.{digits}f} ± {half:.{digits}f}"


def _overlap(name: str) -> float:
    return _OVERLAP if name in PROBLEMS and PROBLEMS[name].is_small else 0.0


def _is_regression(name: str) -> bool:
    return name in PROBLEMS and PROBLEMS[name].is_regression


def _scores(name: str, runs: list[dict[str, Any]]) -> tuple[list[float], int]:
    """R², or accuracies in percent, and the digits after the point that are shown of them."""
    if _is_regression(name):
        return [run["score"] for run in runs], 3
    return [100 * run["score"] for run in runs], 2


def _recipe(problem: str, row: str, recipe: dict[str, Any]) -> str:
    text = (
        f"{recipe['activation']}, lr {recipe['learning_rate']:g}, decay"
        f" {recipe['weight_decay']:g}, noise {recipe['noise']:g}"
    )
    if rows_of(PROBLEMS[problem])[row].kind in DEPTHS:
        text += f", depth {recipe['depth']}"
    if recipe.get("share"):
        text += f", cut after {100 * recipe['share']:g}%"
    return f"{text}, penalty {recipe['penalty']:g}" if recipe["penalty"] else text


def _results() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results
