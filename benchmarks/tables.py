"""Write the tables of the README from the committed results: ``python -m benchmarks.tables``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy import digits, exactness
from pyg_modules.train import MODELS

README = Path(__file__).parents[1] / "README.md"


def accuracies() -> str:
    """Test accuracies on digits: a row per model, a column per seed."""
    runs = _runs()
    seeds = [run["seed"] for run in runs]
    rows = []
    for name, meaning in MODELS.items():
        values = [100 * run["test_accuracy"][name] for run in runs]
        parameters = runs[0]["num_parameters"][name]
        rows.append(
            [
                f"{meaning} (`{name}`)",
                f"{parameters:,}",
                *(f"{value:.2f}" for value in values),
                f"**{mean(values):.2f}** ± {stdev(values):.2f}",
            ]
        )
    return _table(
        [
            "test accuracy on digits, %",
            "parameters",
            *(f"seed {seed}" for seed in seeds),
            "mean ± std",
        ],
        rows,
    )


def figures() -> str:
    """What this release promises, and what was measured."""
    runs = _runs()
    exact = json.loads(exactness.RESULTS.read_text())
    accuracy = [run["test_accuracy"] for run in runs]
    lost = mean(100 * (row["free"] - row["finetuned"]) for row in accuracy)
    ratio = max(max(run["module_sizes"]) / min(run["module_sizes"]) for run in runs)

    def largest(group: str, key: str) -> float:
        return max(float(run[group][key]) for run in runs)

    rows = [
        [
            "accuracy of `free`, lowest seed",
            "≥ 97 %",
            f"{100 * min(r['free'] for r in accuracy):.2f} %",
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
            "`sparse` − `scatter`, outputs and gradients, float64",
            "≤ 1e-10",
            f"{exact['sparse_against_scatter']:.0e}",
        ],
        ["`ncut_loss` − dense reference, float64", "≤ 1e-10", f"{exact['ncut_against_dense']:.0e}"],
        [
            "`ncut_loss` passes `gradcheck`",
            "yes",
            "yes" if exact["ncut_gradcheck"] else "no",
        ],
    ]
    return _table(["figure", "promised", "measured"], rows)


TABLES: dict[str, Callable[[], str]] = {"accuracies": accuracies, "figures": figures}


def filled(text: str) -> str:
    """``text`` with what stands between the marks of every table replaced by the table."""
    for name, table in TABLES.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end of table -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        content = f"{begin}\n{table()}\n{end}"
        text, count = pattern.subn(content.replace("\\", r"\\"), text)
        if count != 1:
            raise ValueError(f"Expected '{begin} ... {end}' once in the text (got {count}).")
    return text


def _runs() -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(digits.RESULTS.read_text())["runs"]
    return runs


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
