"""The figures of the page, from a run."""

from __future__ import annotations

from math import ceil

from pyg_modules.experiment.experiment import ExperimentResult
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


def adjacency_images(run: ExperimentResult) -> list[Image]:
    """The weights between hidden units by training order and module, before and after the cut."""
    vmax = darkest(run.regularized)
    ncut = run.normalized_cut
    after = "Cut and trained on" if run.config.finetune_epochs else "Cut"
    what = "Matrix of the magnitudes of the weights between hidden units, "
    return [
        image(
            lambda ax: plot_adjacency(run.regularized, vmax=vmax, ax=ax),
            "Before the cut, in training order",
            f"{what}before the cut, in training order.",
        ),
        image(
            lambda ax: plot_adjacency(run.regularized, run.labels, vmax=vmax, ax=ax),
            f"Before the cut, by module: normalized cut {small(ncut['regularized'])}",
            f"{what}before the cut, ordered by module: {percent(run.cut_fraction)} of the magnitude"
            f" of all weights is between modules.",
        ),
        image(
            lambda ax: plot_adjacency(run.finetuned, vmax=vmax, ax=ax),
            f"{after}, in training order",
            f"{what}after the cut, in training order.",
        ),
        image(
            lambda ax: plot_adjacency(run.finetuned, run.labels, vmax=vmax, ax=ax),
            f"{after}, by module",
            f"{what}after the cut, ordered by module: nothing outside the blocks of the modules.",
        ),
    ]


def training_images(run: ExperimentResult) -> list[Image]:
    """Losses and normalized cut over the training."""
    histories = run.histories
    return [
        image(
            lambda ax: plot_history(histories["regularized"] + histories["finetuned"], ax=ax),
            "Organised by the regularizer, cut, trained on",
            f"Losses over {len(histories['regularized'])} epochs before the cut and"
            f" {len(histories['finetuned'])} after it; the normalized cut ends at"
            f" {small(run.normalized_cut['regularized'])}.",
            size=_WIDE,
        )
    ]


def sizes_images(run: ExperimentResult) -> list[Image]:
    """Units by module."""
    return [
        image(
            lambda ax: plot_module_sizes(run.finetuned, run.labels, ax=ax),
            "Units and edges of the modules",
            f"Hidden units by module: {', '.join(map(str, run.module_sizes))}.",
            size=_WIDE,
        )
    ]


def lesions_images(run: ExperimentResult) -> list[Image]:
    """Accuracy without each module, and with each alone."""
    return [
        image(
            lambda ax: plot_lesions(run.lesions, ax=ax),
            "Test accuracy by class: all modules, without each, each alone",
            "Test accuracy by class of all modules together, without each module in turn, and of"
            " each module alone.",
            size=_WIDE,
        )
    ]


def attribution_images(run: ExperimentResult) -> list[Image]:
    """What each module looks at."""
    # Images of four modules stand beside each other.
    rows = ceil(len(run.attribution) / 4)
    size = _WIDE if run.image_shape is None else (_WIDE[0], 2.2 * rows)
    return [
        image(
            lambda ax: plot_attribution(run.attribution, run.image_shape, ax=ax),
            "Mean magnitude of the derivative of a module's outputs by each input",
            "How strongly the outputs of each module depend on each input.",
            size=size,
        )
    ]


def dynamics_images(run: ExperimentResult) -> list[Image]:
    """Convergence of the updates, and the spectrum of the weights between hidden units."""
    return [
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
    ]
