"""Where the results are, and the tables made of them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from scipy.stats import t as student

from benchmarks.accuracy.partition.grid import FEW, SEEDS
from benchmarks.markdown import table

RESULTS = Path(__file__).with_name("partition.json")
GRID = Path(__file__).with_name("grid.json")

_PLANTED_ASKED = {"planted_4": 9, "planted_8": 8, "planted_unequal": 8}
_PLANTED_NAMES = {
    "planted_4": "4 sub-tasks, 64 hidden units",
    "planted_8": "8 sub-tasks, 256 hidden units",
    "planted_unequal": "4 sub-tasks of unequal sizes, 16 + 16 + 32 + 64 hidden units",
}
_LEAST_CUT_ACCURACY = 0.99
# A cut that costs less than this, a point of accuracy or of R², costs nothing.
_MOST_LOST = 0.01
_KINDS = ("schedule", "post_hoc")
_MODELS = ("free", "regularized", "cut", "finetuned", "random_modules", "mlp")


def planted() -> str:
    """How many seeds recovered the sub-tasks."""
    rows = []
    results = _results()
    for name, meaning in _PLANTED_NAMES.items():
        if name not in results:
            rows.append([meaning, *["not measured yet"] * 5, f"≥ {_PLANTED_ASKED[name]}"])
            continue
        runs = results[name]["runs"]
        good = [run for run in runs if run["ari"] == 1 and run["cut"] >= _LEAST_CUT_ACCURACY]
        rows.append(
            [
                meaning,
                f"{sum(run['ari'] == 1 for run in runs)} of {len(runs)}",
                f"{min(run['cut'] for run in runs):.3f}",
                f"{mean(run['uncut'] for run in runs):.3f}",
                f"{mean(run['cut'] for run in runs):.3f}",
                f"**{len(good)} of {len(runs)}**",
                f"≥ {_PLANTED_ASKED[name]}",
            ]
        )
    header = ["planted problem", "ARI 1", "least accuracy after the cut", "mean uncut", "mean cut"]
    return table([*header, "both: ARI 1 and cut ≥ 0.99", "asked"], rows)


def grid() -> str:
    """The schedule and modules read off a free training, setting by setting."""
    rows = []
    for name, runs in _runs_by_setting().items():
        if name.endswith(FEW) or len(runs) < len(SEEDS):
            continue
        learned = _learned(name, runs)
        right = [sum(map(_is_right, (run[kind] for run in learned))) for kind in _KINDS]
        final = [[run[kind]["final"] for run in runs] for kind in _KINDS]
        gains = [with_ - without for with_, without in zip(*final, strict=True)]
        ratio = median(run["schedule"]["seconds"] / run["post_hoc"]["seconds"] for run in runs)
        rows.append(
            [
                name,
                f"{len(learned)} of {len(runs)}",
                *(f"{count} of {len(learned)}" for count in right),
                *(f"{mean(scores):.3f}" for scores in final),
                f"{mean(gains):+.3f} ± {_half_width(gains):.3f}",
                f"{ratio:.2f}",
            ]
        )
    header = ["setting", "learned", "right, schedule", "right, post hoc"]
    return table([*header, "final, schedule", "final, post hoc", "difference", "time, ratio"], rows)


def few_edges() -> str:
    """The schedule on the grid, with all edges and with those that a sparse one leaves."""
    groups = _runs_by_setting()
    rows = []
    for name, few in groups.items():
        if not name.endswith(FEW) or len(few) < len(SEEDS):
            continue
        setting = name.removesuffix(FEW)
        of_seed = {run["seed"]: run for run in groups[f"{setting} M=4"]}
        both = [of_seed[run["seed"]] for run in few], few
        learned = [_learned(name, runs) for runs in both]
        right = [sum(_is_right(run["schedule"]) for run in runs) for runs in learned]
        final = [[run["schedule"]["final"] for run in runs] for runs in both]
        gains = [less - more for more, less in zip(*final, strict=True)]
        called = [run["schedule"] for run in few if run["schedule"]["word"] == "good"]
        rows.append(
            [
                setting,
                *(f"{n} of {len(runs)}" for n, runs in zip(right, learned, strict=True)),
                *(f"{mean(scores):.3f}" for scores in final),
                f"{mean(gains):+.3f} ± {_half_width(gains):.3f}",
                f"{len(called)}, {sum(run['ari'] != 1 for run in called)}",
            ]
        )
    header = ["setting", "right of learned, all edges", "a tenth", "final, all edges", "a tenth"]
    return table([*header, "difference", 'a tenth: called "good", wrong ones of these'], rows)


def _runs_by_setting() -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in json.loads(GRID.read_text(encoding="utf-8"))["runs"]:
        groups[run["setting"]].append(run)
    return groups


def _learned(name: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those in which a free training learns its tasks."""
    least = 0.95 if name.startswith("product") else 0.99
    return [run for run in runs if run["post_hoc"]["uncut"] >= least]


def verdicts() -> str:
    """What the verdict says of the modules of the schedule, and whether they are those planted."""
    runs = [run["schedule"] for run in json.loads(GRID.read_text(encoding="utf-8"))["runs"]]
    rows = []
    for word in ("good", "fair", "poor", "indifferent", "unlearned"):
        own = [run for run in runs if run["word"] == word]
        right = sum(run["ari"] == 1 for run in own)
        rows.append([f'`"{word}"`', str(right), str(len(own) - right)])
    return table(["the verdict", "the planted modules", "others"], rows)


def _is_right(run: dict[str, Any]) -> bool:
    return bool(run["ari"] == 1 and run["uncut"] - run["cut"] < _MOST_LOST)


def _half_width(values: list[float]) -> float:
    """Of the interval at 95 % of a mean, by Student's t."""
    if len(values) < 2:
        return float("nan")
    quantile = float(student.ppf(0.975, len(values) - 1))
    return quantile * stdev(values) / float(len(values) ** 0.5)


def alive() -> str:
    """Units that a cut puts to rest."""
    rows = [
        [
            kind,
            *(f"{row.get(name, 0):,}" for name in ("cases", "refused", "units", "dead")),
            str(row.get("cases with dead units", 0)),
        ]
        for kind, row in _results()["alive"].items()
    ]
    header = ["graph", "cases", "refused", "hidden units", "dead units", "cases with dead units"]
    return table(header, rows)


def depth() -> str:
    """What the cut of layered networks costs, by the number of epochs."""
    found = defaultdict(list)
    for run in _results()["depth"]["runs"]:
        found[run["levels"], run["modules"], run["epochs"]].append(run)
    epochs = sorted({number for _, _, number in found})
    rows = []
    for levels, modules in sorted({key[:2] for key in found}):
        row, num_dead = [f"{levels}, K = {modules}"], 0
        for number in epochs:
            own = found.get((levels, modules, number))
            if own is None:
                row += ["", "", ""]
                continue
            costs = [run["uncut"] - run["cut"] for run in own]
            later = mean(run["uncut"] - run["finetuned"] for run in own)
            uncut = mean(run["uncut"] for run in own)
            row += [f"{uncut:.1f}", f"{mean(costs):.2f}, most {max(costs):.2f}", f"{later:.2f}"]
            num_dead += sum(run["dead"] for run in own)
        rows.append([*row, str(num_dead)])
    header = [
        f"{figure}, {number} epochs"
        for number in epochs
        for figure in ("accuracy uncut, %", "the cut costs", "in the end")
    ]
    return table(["hidden levels of 48", *header, "dead units"], rows)


def hidden() -> str:
    """Modules of hidden units, found with and without their weights to inputs and outputs."""
    kinds = ("hidden", "with ends", "random")
    rows = [
        [
            name,
            *(f"{row[kind]['probed']:.3f}" for kind in kinds),
            *(f"{row[kind]['final']:.3f}" for kind in kinds),
        ]
        for name, row in _results()["hidden"]["summary"].items()
    ]
    header = [f"{figure}, {kind}" for figure in ("probed loss", "score") for kind in kinds]
    return table(["task", *header], rows)


def pairs() -> str:
    """Two real tasks in one network."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in _results()["pairs"]:
        groups[run["pair"]].append(run)
    rows = []
    for name, runs in groups.items():
        for kind in runs[0]["kinds"]:
            found = [run["kinds"][kind] for run in runs]
            final = [one["final"] for one in found]
            behind = [
                one["final"] - run["kinds"]["free, true"]["final"]
                for one, run in zip(found, runs, strict=True)
            ]
            numbers = sorted({one["num_modules"] for one in found})
            rows.append(
                [
                    name,
                    kind,
                    ", ".join(map(str, numbers)),
                    f"{mean(one['ari'] for one in found):.2f}",
                    f"{mean(one['cut'] for one in found):.2f}",
                    f"{mean(final):.2f} ± {stdev(final):.2f}",
                    f"{mean(behind):+.2f} ± {_half_width(behind):.2f}",
                ]
            )
    header = ["accuracy, %", "modules", "K", "ARI", "right after the cut", "in the end", "− true"]
    return table(header, rows)


def networks() -> str:
    """Test accuracies, mean and standard deviation over the seeds."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for run in _results()["networks"]:
        groups[run["dataset"], run["config"]["num_modules"]].append(run)
    rows = []
    for (dataset, modules), runs in groups.items():
        accuracy = {model: [100 * run["test_score"][model] for run in runs] for model in _MODELS}
        spread = {model: f"{mean(v):.2f} ± {stdev(v):.2f}" for model, v in accuracy.items()}
        against = {
            model: f"{mean(accuracy['finetuned']) - mean(accuracy[model]):+.2f}"
            for model in ("free", "regularized", "random_modules")
        }
        rows.append([f"{dataset}, K = {modules}", *spread.values(), *against.values()])
    header = ["test accuracy, %", *(f"`{model}`" for model in _MODELS)]
    differences = ["free", "regularized", "random"]
    return table([*header, *(f"finetuned − {model}" for model in differences)], rows)


def post_hoc() -> str:
    """Normalized cuts at equal balance."""
    rows = []
    graphs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    results = _results()["post_hoc"]
    for row in results:
        if row["kind"] == "network":
            rows.append(
                _post_hoc_row(f"{row['name'].split('|')[0]}, K = {row['num_modules']}", [row])
            )
        else:
            graphs[row["name"].split()[0]].append(row)
    for number, group in graphs.items():
        num_modules = group[0]["num_modules"]
        name = f"planted graphs {int(number) + 1}, mean of {len(group)}, K = {num_modules}"
        rows.append(_post_hoc_row(name, group))
    ratios = [row["ratio"] for row in results]
    blank = [""] * (len(rows[0]) - 3)
    rows.append(["**all**", *blank, f"**{min(ratios):.3f}**", f"**{mean(ratios):.3f}**"])
    methods = list(results[0]["normalized_cut"])
    return table(["normalized cut", *methods, "least best peer / ours", "mean"], rows)


def _post_hoc_row(name: str, rows: list[dict[str, Any]]) -> list[str]:
    methods = list(rows[0]["normalized_cut"])
    cuts = [f"{mean(row['normalized_cut'][method] for row in rows):.4f}" for method in methods]
    ratios = [row["ratio"] for row in rows]
    return [name, *cuts, f"{min(ratios):.3f}", f"{mean(ratios):.3f}"]


def scale() -> str:
    """Time and memory of the loss and its gradient, and of the search."""
    result = _results()["scale"]
    million = result["million"]
    rows = [
        [
            f"{million['num_units']:,} units, {million['num_edges']:,} edges, K ="
            f" {million['num_modules']}: memory of the whole process",
            "< 8 GB",
            f"**{million['process_gigabytes']:.1f} GB**, {million['seconds']:.1f} s per loss and"
            f" gradient",
        ]
    ]
    for name, symbol in (("edges", "E"), ("modules", "K")):
        values = result[name]["values"]
        rows.append(
            [
                f"time against {symbol}, {values[0]:,} to {values[-1]:,}: exponent",
                "1",
                f"**{result[name]['exponent']:.2f}**",
            ]
        )
    asked = ("< 1 s", "< 15 s", "< 180 s and 8 GB")
    for limit, case in zip(asked, result.get("search", ()), strict=False):
        rows.append(
            [
                f"`partition_units`, {case['num_units']:,} units, {case['num_edges']:,} edges, K ="
                f" {case['num_modules']}",
                limit,
                f"**{case['seconds']:.1f} s**, {case['process_gigabytes']:.1f} GB",
            ]
        )
    return table(["figure", "asked", "measured"], rows)


def _results() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results
