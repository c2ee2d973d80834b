"""The parts of the page that are figures and the text that explains them."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple, cast

from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.report.html.image import Image, image
from pyg_modules.report.html.numbers import percent, small
from pyg_modules.report.plots.plot_adjacency import plot_adjacency
from pyg_modules.report.plots.plot_attribution import plot_attribution
from pyg_modules.report.plots.plot_convergence import plot_convergence
from pyg_modules.report.plots.plot_history import plot_history
from pyg_modules.report.plots.plot_lesions import plot_lesions
from pyg_modules.report.plots.plot_module_sizes import plot_module_sizes
from pyg_modules.report.plots.plot_spectrum import plot_spectrum
from pyg_modules.report.plots.weights import darkest

# In inches: small enough to be read on a narrow screen.
_WIDE = (6.4, 3.8)


class Section(NamedTuple):
    """Figures, and the text that explains them.

    Args:
        key (str): Short and unique.
        title (str): Its heading.
        text (str): What to look at.
        images (list of Image): The figures.
    """

    key: str
    title: str
    text: str
    images: list[Image]


def sections(run: ExperimentResult) -> list[Section]:
    """All of them for a run, from top to bottom."""
    parts = (_adjacency, _training, _sizes, _lesions, _attribution, _dynamics)
    return [part(run) for part in parts if run.lesions is not None or part is not _lesions]


def _adjacency(run: ExperimentResult) -> Section:
    vmax = darkest(run.regularized)
    ncut = run.normalized_cut
    after = "Cut and trained on" if run.config.finetune_epochs else "Cut"
    what = "Matrix of the magnitudes of the weights between hidden units, "
    return Section(
        "adjacency",
        "Weights between hidden units",
        "Rows receive, columns send; the darker, the larger the weight, on one scale. Ordered by"
        " module, a block on the diagonal is what a module keeps; the cut removes what is outside.",
        [
            image(
                lambda ax: plot_adjacency(run.regularized, vmax=vmax, ax=ax),
                "Before the cut, in training order",
                f"{what}before the cut, in training order.",
            ),
            image(
                lambda ax: plot_adjacency(run.regularized, run.labels, vmax=vmax, ax=ax),
                f"Before the cut, by module: normalized cut {small(ncut['regularized'])}",
                f"{what}before the cut, ordered by module: {percent(run.cut_fraction)} of the"
                f" magnitude of all weights is between modules.",
            ),
            image(
                lambda ax: plot_adjacency(run.finetuned, vmax=vmax, ax=ax),
                f"{after}, in training order",
                f"{what}after the cut, in training order.",
            ),
            image(
                lambda ax: plot_adjacency(run.finetuned, run.labels, vmax=vmax, ax=ax),
                f"{after}, by module",
                f"{what}after the cut, ordered by module: nothing outside the blocks of the"
                f" modules.",
            ),
        ],
    )


def _training(run: ExperimentResult) -> Section:
    histories = run.histories
    return Section(
        "training",
        "Training",
        "Shades are phases: the task alone, then the normalized cut and the balance of the modules"
        f" join the loss; after the cut, the task alone again. {run.verdict}",
        [
            image(
                lambda ax: plot_history(histories["regularized"] + histories["finetuned"], ax=ax),
                "Organised by the regularizer, cut, trained on",
                f"Losses over {len(histories['regularized'])} epochs before the cut and"
                f" {len(histories['finetuned'])} after it; the normalized cut ends at"
                f" {small(run.normalized_cut['regularized'])}.",
                size=_WIDE,
            )
        ],
    )


def _sizes(run: ExperimentResult) -> Section:
    return Section(
        "sizes",
        "Modules: sizes and costs",
        "What each module takes as a network by itself. Each has biases for the outputs, which are"
        " 0 in all but the first.",
        [
            image(
                lambda ax: plot_module_sizes(run.finetuned, run.labels, ax=ax),
                "Units and edges of the modules",
                f"Hidden units by module: {', '.join(map(str, run.module_sizes))}.",
                size=_WIDE,
            )
        ],
    )


def _lesions(run: ExperimentResult) -> Section:
    return Section(
        "lesions",
        "What is lost without a module",
        "Each module is left out in turn, then works alone. A class whose accuracy falls without a"
        " module needs it. The biases of the outputs go and stay with module 0.",
        [
            image(
                lambda ax: plot_lesions(cast(LesionStudy, run.lesions), ax=ax),
                "Test accuracy by class: all modules, without each, each alone",
                "Test accuracy by class of all modules together, without each module in turn, and"
                " of each module alone.",
                size=_WIDE,
            )
        ],
    )


def _attribution(run: ExperimentResult) -> Section:
    # Images of four modules stand beside each other.
    rows = ceil(len(run.attribution) / 4)
    size = _WIDE if run.image_shape is None else (_WIDE[0], 2.2 * rows)
    return Section(
        "attribution",
        "What each module looks at",
        "All modules see all inputs; the brighter, the more an input changes a module's outputs, as"
        " a mean over the test data.",
        [
            image(
                lambda ax: plot_attribution(run.attribution, run.image_shape, ax=ax),
                "Mean magnitude of the derivative of a module's outputs by each input",
                "How strongly the outputs of each module depend on each input.",
                size=size,
            )
        ],
    )


def _dynamics(run: ExperimentResult) -> Section:
    return Section(
        "dynamics",
        "The updates",
        "All units are updated at once, again and again. The residual says how much one more update"
        " would change. With a spectral norm below 1, and an activation whose slope is at most 1,"
        " it is sure to fall to 0.",
        [
            image(
                lambda ax: plot_convergence(run.finetuned, run.samples, ax=ax),
                "How far one more update moves the units",
                f"Relative residual by number of synchronous updates, for {len(run.samples)} test"
                f" inputs.",
            ),
            image(
                lambda ax: plot_spectrum(run.finetuned, ax=ax),
                "Eigenvalues of the weights between hidden units",
                "Eigenvalues of the weights between hidden units in the complex plane.",
            ),
        ],
    )
