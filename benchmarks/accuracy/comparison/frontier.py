"""Draws toys.png: ``python -m benchmarks.accuracy.comparison.frontier``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.comparison.results import RESULTS
from benchmarks.options import parse_none
from pyg_modules.report.palette import CATEGORIES

PICTURE = Path(__file__).parents[3] / "docs" / "images" / "toys.png"
_LABELS = {"mlp": "best MLP found", "units": "best unit graph found"}
_TITLES = {"spirals": "two spirals", "parity": "parity of ten bits"}


def draw(toys: dict[str, Any]) -> Figure:
    """All runs of the best trial of every size, and a line through their means."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(toys["tasks"]), sharey=True)
    for ax, (task, kinds) in zip(axes, toys["tasks"].items(), strict=True):
        for color, marker, (kind, cells) in zip(CATEGORIES, "os", kinds.items(), strict=False):
            sizes = [cell["num_parameters"] for cell in cells]
            scores = [[100 * run["score"] for run in cell["runs"]] for cell in cells]
            means = [sum(of) / len(of) for of in scores]
            ax.plot(sizes, means, color=color, marker=marker, label=_LABELS[kind])
            for size, of in zip(sizes, scores, strict=True):
                ax.plot([size] * len(of), of, marker, color=color, alpha=0.35, markersize=4)
        ax.axhline(99, color="0.6", linewidth=0.8, linestyle="--")
        ax.set_title(_TITLES[task])
        ax.set_xlabel("parameters")
    axes[0].set_ylabel("test accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


if __name__ == "__main__":
    parse_none(__doc__)
    draw(json.loads(RESULTS.read_text(encoding="utf-8"))["toys"]).savefig(PICTURE, dpi=110)
