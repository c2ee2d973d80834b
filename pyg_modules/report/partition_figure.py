from __future__ import annotations

from typing import TYPE_CHECKING

from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.experiment.score import score_name, shown_score
from pyg_modules.report.plots.plot_adjacency import plot_adjacency
from pyg_modules.report.plots.weights import darkest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def partition_figure(result: ExperimentResult) -> Figure:
    """The weights between hidden units without a regularizer, with it, and after the cut.

    Args:
        result (ExperimentResult): A run.

    Returns:
        matplotlib.figure.Figure: Above in training order, below ordered by module.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 6.6), layout="constrained")
    after = "cut and fine-tuned" if result.config.finetune_epochs else "cut"
    columns = (
        ("free", result.free, result.free_labels),
        ("regularized, before the cut", result.regularized, result.labels),
        (after, result.finetuned, result.labels),
    )
    axes = figure.subplots(2, len(columns))
    vmax = darkest(result.regularized)
    for column, (name, layer, labels) in enumerate(columns):
        for row, (order, shown) in enumerate((("training order", None), ("by module", labels))):
            ax = plot_adjacency(layer, shown, vmax=vmax, ax=axes[row, column])
            ax.set_title(f"{name}\n{order}", fontsize=9)
            if column > 0:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
    ncut = result.normalized_cut
    name = score_name(is_regression=result.is_regression)
    free, finetuned = (
        shown_score(result.test_score[model], is_regression=result.is_regression)
        for model in ("free", "finetuned")
    )
    figure.suptitle(
        f"|weight| between the hidden units, {result.dataset},"
        f" {result.num_modules} modules\n"
        f"normalized cut {ncut['free']:.2g} free, {ncut['regularized']:.2g} regularized\n"
        f"{name} {free} free, {finetuned} {after}",
        fontsize=10,
        parse_math=False,  # A file may be called $x$.csv.
    )
    return figure
