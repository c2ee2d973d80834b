"""The tables of the comparison, from its committed results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from statistics import mean, stdev

from benchmarks.accuracy import digits
from benchmarks.accuracy.comparison.claims import comparisons
from benchmarks.accuracy.comparison.problems import OPTDIGITS_UNITS, PROBLEMS
from benchmarks.accuracy.comparison.results import (
    Searches,
    difference,
    half,
    is_regression,
    p_of,
    results,
    rows_measured,
    scores,
)
from benchmarks.accuracy.comparison.search import RESULTS as SEARCH
from benchmarks.accuracy.comparison.search import SCORES, SEARCHED
from benchmarks.accuracy.intervals import holm
from benchmarks.markdown import table

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
    "post_hoc_4": "four modules read off a free training, cut and trained on",
    "post_hoc_4_wide": "the same, more units, as many parameters left",
    "random_4": "four random modules, from the beginning",
    "random_4_wide": "four random modules, more units, as many parameters left",
    "autoencoder": "stacked autoencoder",
    "dag": "levels fed by all before",
    "yoked": "yoked",
    "yoked_l1": "yoked, L1",
    "yoked_l2": "yoked, L2",
}
#: The kinds of networks that are searched, which are rows too but for modules.
_KINDS = {
    **MEANING,
    "modules": "modules, learned",
    "post_hoc": "modules, read off a free training",
    "random": "modules, random",
}
#: Tables of networks in a GCN or a GIN, whose modules are of as many units only.
_IN_GRAPH_NETWORKS = {"cora": ("gcn", "gin"), "motifs": ("gin",)}
CORA = {
    "gcn": "GCN",
    "gcn_mlp": "GCN, an MLP between the convolutions",
    "gcn_units": "GCN, a unit graph between the convolutions",
    "gcn_modules_4": "the same, cut into four modules and trained on",
    "gcn_post_hoc_4": "cut into four modules read off a free training, and trained on",
    "gcn_random_4": "four random modules, from the beginning",
    "gin_mlp": "GIN with an MLP",
    "gin_units": "GIN with a unit graph",
    "gin_modules_4": "the same, cut into four modules and trained on",
    "gin_post_hoc_4": "cut into four modules read off a free training, and trained on",
    "gin_random_4": "four random modules, from the beginning",
}
MOTIFS = {name: meaning for name, meaning in CORA.items() if name.startswith("gin")}
_MODULES = ("modules_4", "post_hoc_4", "random_4")
_OF_PROBLEMS = ("mlp", "free", *(f"{name}_wide" for name in _MODULES), "mlp_long")
#: The rows of the summary: a title, and which rows of its table are its columns.
_SUMMARY = {
    "mnist1d": ("MNIST-1D", *_OF_PROBLEMS),
    "optdigits 45": ("optdigits, 45 units", *_OF_PROBLEMS),
    "mnist10k": ("MNIST-10k, behind convolutions", *_OF_PROBLEMS),
    "breast cancer": ("breast cancer", *_OF_PROBLEMS),
    "wine": ("wine", *_OF_PROBLEMS),
    "diabetes": ("diabetes, R²", *_OF_PROBLEMS),
    "cora": ("Cora, in a GCN", "gcn_mlp", "gcn_units", *(f"gcn_{name}" for name in _MODULES)),
    "motifs": ("motifs, in a GIN", "gin_mlp", "gin_units", *(f"gin_{name}" for name in _MODULES)),
}
#: A toy is solved, %.
_SOLVED = 99
#: Test error by units in the level, arXiv 2306.02157.
_PUBLISHED = {
    "NN": (0.2565, 0.2181, 0.1536, 0.259),
    "SAE": (0.2871, 0.3603, 0.4186, 0.3375),
    "DAG": (0.2446, 0.2721, 0.3475, 0.2585),
    "YNN": (0.1433, 0.1725, 0.1552, 0.256),
    "YNN + L1": (0.1633, 0.18, 0.1594, 0.1494),
    "YNN + L2": (0.1586, 0.1614, 0.1483, 0.1881),
}


def optdigits() -> str:
    """Test errors of all sizes, and what was published."""
    measured = [units for units in OPTDIGITS_UNITS if f"optdigits {units}" in results()]
    published = [OPTDIGITS_UNITS.index(units) for units in measured]
    sizes = [rows_measured(f"optdigits {units}") for units in measured]
    rows = []
    for name in [name for name in MEANING if all(name in result for result in sizes)]:
        errors = [[100 * (1 - run["score"]) for run in chain(*result[name])] for result in sizes]
        cells = [f"{mean(of):.2f} ± {stdev(of):.2f}" for of in errors]
        rows.append([MEANING[name], *cells])
    rows += [
        [f"*published: {name}*", *(f"{100 * errors[place]:.2f}" for place in published)]
        for name, errors in _PUBLISHED.items()
    ]
    for name, label in (("free", "unrolled"), ("modules_4", "four modules")):
        ratios = [
            _PUBLISHED["YNN"][place] / mean(1 - run["score"] for run in chain(*result[name]))
            for place, result in zip(published, sizes, strict=True)
        ]
        rows.append([f"published YNN / {label}", *(f"**{ratio:.1f}**" for ratio in ratios)])
    return table(["test error, %", *map(str, measured)], rows)


def problem(name: str) -> str:
    """The rows of one problem."""
    rows = rows_measured(name)
    meaning = {row: meaning for row, meaning in MEANING.items() if row in rows}
    return _rows(name, rows, meaning, _recipes_of(name), dict.fromkeys(rows, "mlp"))


def learned() -> str:
    """The differences of learned modules to others of all problems, seed by seed."""
    others = {"random": "random_4", "read off": "post_hoc_4"}
    lines = []
    for name in [name for name in PROBLEMS if name in results()]:
        rows = rows_measured(name)
        line = [name, f"{sum(map(len, rows['modules_4']))}"]
        for other in others.values():
            for suffix in ("", "_wide"):
                known = f"{other}{suffix}" in rows
                of_learned = rows[f"modules_4{suffix}"]
                line.append(
                    _difference(name, of_learned, rows[f"{other}{suffix}"]) if known else ""
                )
        lines.append(line)
    for name, kinds in _IN_GRAPH_NETWORKS.items():
        rows = rows_measured(name)
        for kind in kinds:
            of_learned = rows[f"{kind}_modules_4"]
            line = [f"{name}, in a {kind.upper()}", f"{sum(map(len, of_learned))}"]
            for other in others.values():
                line += [_difference(name, of_learned, rows[f"{kind}_{other}"]), ""]
            lines.append(line)
    header = ["learned − others", "runs"]
    for other in others:
        header += [f"{other}, as many units", f"{other}, as many parameters left"]
    return table(header, lines)


def searches() -> str:
    """The mean test score of what every search chose, and how far searches and seeds differ."""
    rows: list[list[str]] = []
    for name in SEARCHED:
        for row, of_searches in rows_measured(name).items():
            if len(of_searches) > 1 and row in _OF_PROBLEMS:
                tested, digits = scores(name, of_searches), _digits(name)
                values = [*map(mean, tested), stdev(map(mean, tested)), mean(map(stdev, tested))]
                cells = [f"{value:.{digits}f}" for value in values]
                rows.append([f"{name}: {MEANING[row]}", *cells])
    columns = [f"search {number + 1}" for number in range(len(rows[0]) - 3)]
    header = ["mean test score", *columns, "spread of searches", "spread of seeds"]
    return table(header, rows)


def recipes() -> str:
    """The rows of the digits, which have one recipe for all sizes."""
    name = "optdigits 45"
    rows, texts = rows_measured(name), _recipes_of(name)
    return table(
        ["45 units", "parameters", "training, s", "inference, µs", "recipe"],
        [
            [
                MEANING[row],
                f"{rows[row][0][0]['num_parameters']:,}",
                f"{mean(run['seconds'] for run in chain(*rows[row])):,.1f}",
                f"{mean(run['microseconds'] for run in chain(*rows[row])):,.2f}",
                texts[row],
            ]
            for row in MEANING
            if row in rows
        ],
    )


def tuning() -> str:
    """How many recipes every kind of network was given, and how many trainings they took."""
    problems = json.loads(SEARCH.read_text(encoding="utf-8"))
    kinds = dict.fromkeys(kind for searches in problems.values() for kind in searches[0])
    rows = []
    for kind in kinds:
        row = [_KINDS[kind]]
        for searches in problems.values():
            trials = [search[kind]["trials"] for search in searches if kind in search]
            scores = [trial[key] for trial in chain(*trials) for key in SCORES]
            row.append(f"{sum(map(len, trials))} / {sum(map(len, scores))}" if trials else "")
        rows.append(row)
    return table(["recipes / trainings", *problems], rows)


def times() -> str:
    """How long one core takes for every search and table."""
    found = json.loads(SEARCH.read_text(encoding="utf-8"))
    rows = []
    for name in results():
        if name == "toys":
            continue
        measured = sum(run["seconds"] for run in chain(*chain(*rows_measured(name).values()))) / 60
        searched = 0.0
        if name in SEARCHED:
            kinds = chain(*(search.values() for search in found[SEARCHED[name]]))
            searched = sum(trial["seconds"] for kind in kinds for trial in kind["trials"]) / 60
        rows.append([name, f"{searched:.0f}" if searched else "", f"{measured:.1f}"])
    return table(["minutes of one core", "search", "table"], rows)


def cora() -> str:
    """The rows of Cora."""
    rates = {
        name: ", ".join(f"{rate:g}" for rate in pair)
        for name, pair in results()["cora"]["rates"].items()
    }
    rows = rows_measured("cora")
    meaning = {row: meaning for row, meaning in CORA.items() if row in rows}
    baselines = {name: "gcn" if name.startswith("gcn") else "gin_mlp" for name in meaning}
    return _rows("Cora", rows, meaning, rates, baselines, "rates")


def motifs() -> str:
    """The rows of the classification of graphs."""
    rows = rows_measured("motifs")
    rates = {
        name: f"{Counter(run['learning_rate'] for run in runs).most_common(1)[0][0]:g}"
        for name, (runs,) in rows.items()
    }
    meaning = {row: meaning for row, meaning in MOTIFS.items() if row in rows}
    baselines = dict.fromkeys(meaning, "gin_mlp")
    return _rows("motifs", rows, meaning, rates, baselines, "most frequent rate")


def toys() -> str:
    """Accuracies by the largest number of parameters: of MLPs and of unit graphs."""
    rows = []
    for task, kinds in results()["toys"]["tasks"].items():
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
    """A row per task: an MLP, the unit graph, and modules of all kinds."""
    rows = []
    for name, (title, *kinds) in _SUMMARY.items():
        of_kinds = [rows_measured(name).get(kind) for kind in kinds]
        mlp, whole, *_ = of_kinds
        if mlp is None or whole is None:
            continue
        cells = []
        for searches in [*of_kinds, *[None] * (len(_OF_PROBLEMS) - len(kinds))]:
            values = list(chain(*scores(name, searches or [])))
            digits = _digits(name)
            cells.append(
                f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}" if values else ""
            )
        size = mean(run["num_parameters"] for run in chain(*whole))
        rows.append([f"{title}, {sum(map(len, whole))} runs", f"{size:,.0f}", *cells])
    rows.append(_digits_with_the_defaults())
    header = ["test score", "parameters", "tuned MLP", "unit graph"]
    header += ["four modules: learned", "read off a free training", "random"]
    return table([*header, "MLP, twice the epochs"], rows)


def corrected() -> str:
    """All differences that the pages speak of as such, and how sure they are among all compared."""
    found = []
    for claim in comparisons():
        rows = rows_measured(claim.name)
        pair = rows[claim.row], rows[claim.other]
        found.append((claim, _difference(claim.name, *pair), p_of(claim.name, *pair)))
    kept = holm([p for *_, p in found])
    lines = [
        [claim.name, f"{claim.row} − {claim.other}", value, _p(p), "yes" if is_kept else "no"]
        for (claim, value, p), is_kept in zip(found, kept, strict=True)
        if claim.relation == ">"
    ]
    header = ["", "difference", "95 % interval", "p", f"also among all {len(found)}"]
    return table(header, lines)


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _digits_with_the_defaults() -> list[str]:
    """Their row of the summary: nothing is tuned, and the modules are half as large."""
    runs = json.loads(digits.RESULTS.read_text(encoding="utf-8"))["runs"]
    cells = []
    for model in ("mlp", "free", "finetuned", None, "random_modules", None):
        values = [100 * run["test_score"][model] for run in runs] if model else []
        cells.append(f"{mean(values):.2f} ± {stdev(values):.2f}" if values else "")
    size = runs[0]["num_parameters"]["free"]
    return [f"digits, all by default, {len(runs)} runs", f"{size:,}", *cells]


def _rows(
    title: str,
    rows: dict[str, Searches],
    meaning: dict[str, str],
    recipes: dict[str, str],
    baselines: dict[str, str],
    recipe: str = "recipe",
) -> str:
    """Every row, with the differences to its baseline by seed."""
    lines = []
    for name in meaning:
        searches, baseline = rows[name], baselines[name]
        runs = list(chain(*searches))
        of_searches, digits = scores(title, searches), _digits(title)
        values = list(chain(*of_searches))
        lines.append(
            [
                meaning[name],
                str(len(runs)),
                f"{mean(run['num_parameters'] for run in runs):,.0f}",
                f"**{mean(values):.{digits}f}** ± {stdev(values):.{digits}f}",
                f"± {half(title, of_searches):.{digits}f}",
                _difference(title, searches, rows[baseline]) if name != baseline else "",
                f"{mean(run['seconds'] for run in runs):,.1f}",
                f"{mean(run['microseconds'] for run in runs):,.2f}",
                recipes[name],
            ]
        )
    score = "test R²" if is_regression(title) else "test accuracy, %"
    header = [
        title,
        "runs",
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
    "corrected": corrected,
    "cora": cora,
    "motifs": motifs,
    "toys": toys,
    "summary": summary,
    "tuning": tuning,
    "searches": searches,
    "times": times,
}


def _difference(name: str, runs: Searches, baseline: Searches) -> str:
    """The mean of the differences, seed by seed, and half of its interval."""
    value, half = difference(name, runs, baseline)
    digits = _digits(name)
    # Runs that are equal one by one say nothing of how sure that is.
    return f"{value:+.{digits}f} ± {half:.{digits}f}" if half else "same"


def _digits(name: str) -> int:
    """Those after the point that are shown of scores."""
    return 3 if is_regression(name) else 2


def _recipes_of(name: str) -> dict[str, str]:
    """The recipes of all rows, each once."""
    searches = results()[name]["searches"]
    return {
        row: "; ".join(dict.fromkeys(of["recipes"][row] for of in searches if row in of["recipes"]))
        for row in searches[0]["recipes"]
    }
