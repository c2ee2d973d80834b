"""Write the tables of all pages from the committed results: ``python -m benchmarks.tables``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy import (
    citation,
    cut_costs,
    digits,
    exactness,
    images,
    initialisation,
    mnist1d,
    times,
    topology,
    verdicts,
)
from benchmarks.accuracy.additive import __main__ as additive
from benchmarks.accuracy.alternating import __main__ as alternating
from benchmarks.accuracy.changing import __main__ as changing
from benchmarks.accuracy.comparison import classical
from benchmarks.accuracy.comparison import tables as comparison
from benchmarks.accuracy.extrapolation import __main__ as extrapolation
from benchmarks.accuracy.partition import tables as partition
from benchmarks.accuracy.propagation import __main__ as propagation
from benchmarks.accuracy.rules import __main__ as rules
from benchmarks.accuracy.sparsity import __main__ as sparsity
from benchmarks.markdown import filled, table
from benchmarks.options import parse_none
from benchmarks.report import __main__ as report
from benchmarks.speed import first_use, generators, neighbours
from benchmarks.speed import tables as speed
from pyg_modules.experiment.experiment import MODELS, OPTIONAL_MODELS

ROOT = Path(__file__).parents[1]


def accuracies() -> str:
    """Test accuracies on digits, a row per model."""
    runs = _runs()
    rows = []
    for name, meaning in MODELS.items():
        if name in OPTIONAL_MODELS:
            continue
        values = [100 * run["test_score"][name] for run in runs]
        parameters = runs[0]["num_parameters"][name]
        rows.append(
            [
                f"{meaning} (`{name}`)",
                f"{parameters:,}",
                f"**{mean(values):.2f}** ± {stdev(values):.2f}",
                f"{min(values):.2f} to {max(values):.2f}",
            ]
        )
    header = [f"test accuracy on digits, %, {len(runs)} seeds", "parameters", "mean ± std", "range"]
    return table(header, rows)


def figures() -> str:
    """What this release promises, and what was measured."""
    runs = _runs()
    exact = json.loads(exactness.RESULTS.read_text())
    accuracy = [run["test_score"] for run in runs]
    lost = mean(100 * (row["free"] - row["finetuned"]) for row in accuracy)
    ratio = max(max(run["module_sizes"]) / min(run["module_sizes"]) for run in runs)

    def largest(group: str, key: str) -> float:
        return max(float(run[group][key]) for run in runs)

    rows = [
        [
            "accuracy of `free`, mean of the seeds",
            "≥ 97 %",
            f"{100 * mean(r['free'] for r in accuracy):.2f} %",
        ],
        ["`free` − `finetuned`, mean of the seeds", "≤ 0.5 points", f"{lost:+.2f} points"],
        [
            "normalized cut of `regularized`, highest seed",
            "≤ 0.05",
            f"{largest('normalized_cut', 'regularized'):.0e}",
        ],
        ["largest module / smallest module", "≤ 1.05", f"{ratio:.2f}"],
        ["paths between modules after the cut", "0", f"{largest('independence', 'paths'):g}"],
        [
            "Jacobian between modules after the cut",
            "0",
            f"{largest('independence', 'max_cross_jacobian'):g}",
        ],
        [
            "cut network − sum of its parts, float32",
            "≤ 1e-5",
            f"{largest('independence', 'max_split_difference'):.0e}",
        ],
        [
            "`from_mlp` − MLP, outputs and gradients, float64",
            "≤ 1e-12",
            f"{exact['from_mlp_outputs_and_gradients']:.0e}",
        ],
        [
            "backends against `scatter`, outputs and gradients, float64",
            "≤ 1e-10",
            f"{exact['backends_against_scatter']:.0e}",
        ],
        ["`ncut_loss` − dense reference, float64", "≤ 1e-10", f"{exact['ncut_against_dense']:.0e}"],
        [
            "`ncut_loss` passes `gradcheck`",
            "yes",
            "yes" if exact["ncut_gradcheck"] else "no",
        ],
    ]
    return table(["figure", "promised", "measured"], rows)


def opening() -> str:
    """Size of the report of a large run, and the time to open it."""
    result = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    run = f"{result['num_hidden']:,} hidden units, {result['num_edges']:,} edges"
    rows = [
        ["size of the file", f"{result['megabytes']:.1f} MB", "< 5 MB"],
        ["until the graph is drawn", f"{result['seconds_to_open']:.1f} s", "< 3 s"],
    ]
    return table([run, "measured", "asked"], rows)


def solvers() -> str:
    """MNIST-1D with both solvers."""
    results = json.loads(mnist1d.RESULTS.read_text(encoding="utf-8"))
    asked = {"unrolled": "≥ 67", "equilibrium": "≥ 65"}
    rows = []
    for name, runs in results["runs"].items():
        values = [100 * run["test_accuracy"] for run in runs]
        rows.append(
            [
                f"`{mnist1d.SOLVERS[name]}`, {results['recipes'][name]['activation']}",
                f"{runs[0]['num_parameters']:,}",
                *(f"{value:.1f}" for value in values),
                f"**{mean(values):.2f}** ± {stdev(values):.2f}",
                asked[name],
            ]
        )
    converged = min(run["share_converged"] for run in results["runs"]["equilibrium"])
    rows.append(
        [
            f"test samples that converged to {mnist1d.TOL:g}, lowest seed",
            *[""] * (1 + len(values)),
            f"**{converged:.0%}**",
            "100 %",
        ]
    )
    seeds = [f"seed {run['seed']}" for run in runs]
    header = ["test accuracy on MNIST-1D, %", "parameters", *seeds, "mean ± std", "asked"]
    return table(header, rows)


_COMPARED = (
    "tuning",
    "optdigits",
    "recipes",
    "mnist1d",
    "mnist10k",
    "breast_cancer",
    "wine",
    "diabetes",
    "learned",
    "corrected",
    "searches",
    "cora",
    "motifs",
    "toys",
    "times",
)

PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    ROOT / "README.md": {
        "summary": comparison.TABLES["summary"],
        "few_samples": additive.summary,
        "changes": changing.summary,
        "speed": speed.summary,
    },
    ROOT / "docs" / "evidence" / "accuracy.md": {
        "accuracies": accuracies,
        "additive": additive.additive,
        "side_by_side": changing.first,
        "changing": changing.changing,
        "alternating": alternating.alternating,
        "agreements": alternating.agreements,
        "rules": rules.rules,
        "cut_costs": cut_costs.cut_costs,
        "extrapolation": extrapolation.extrapolation,
        "classical": classical.classical,
        **{name: comparison.TABLES[name] for name in _COMPARED},
        "all_times": times.all_times,
    },
    ROOT / "docs" / "evidence" / "exactness.md": {"figures": figures},
    ROOT / "docs" / "evidence" / "speed.md": {
        "training_step": speed.training_step,
        "growth": speed.growth,
        "equilibrium": speed.equilibrium,
        "acceleration": speed.acceleration,
        "limits": speed.limits,
        "first_use": first_use.first_use,
        "generators": generators.generators,
        "neighbours": neighbours.neighbours,
        "mnist1d": solvers,
    },
    ROOT / "docs" / "guides" / "report.md": {"report": opening},
    ROOT / "docs" / "guides" / "distributed.md": {"ranks": speed.ranks, "plan": speed.plan},
    ROOT / "docs" / "guides" / "units_on_graphs.md": {
        "propagation": propagation.chains,
        "trees_and_rings": propagation.trees_and_rings,
        "citation": citation.citation,
    },
    ROOT / "docs" / "guides" / "images.md": {"images": images.images},
    ROOT / "docs" / "guides" / "sparse.md": {
        **sparsity.tables(),
        "few_edges": partition.few_edges,
        "initialisation": initialisation.initialisation,
    },
    ROOT / "docs" / "explained" / "modules.md": {"modules": speed.modules},
    ROOT / "docs" / "explained" / "topology.md": {"topology": topology.topology},
    ROOT / "docs" / "explained" / "partition.md": {
        "planted": partition.planted,
        "grid": partition.grid,
        "verdicts": partition.verdicts,
        "words": verdicts.verdicts,
        "pairs": partition.pairs,
        "alive": partition.alive,
        "depth": partition.depth,
        "hidden": partition.hidden,
        "networks": partition.networks,
        "post_hoc": partition.post_hoc,
        "scale": partition.scale,
    },
}


def _runs() -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(digits.RESULTS.read_text())["runs"]
    return runs


if __name__ == "__main__":
    parse_none(__doc__)
    for page, tables in PAGES.items():
        page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
