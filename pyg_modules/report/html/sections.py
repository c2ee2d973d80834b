"""The parts of the page that are figures and the text that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from torch import Tensor

from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.report.html.chart import Chart
from pyg_modules.report.html.image import Image, image
from pyg_modules.report.html.numbers import percent, small
from pyg_modules.report.owned_units import sizes_in_words
from pyg_modules.report.plots.plot_adjacency import plot_adjacency
from pyg_modules.report.plots.plot_attribution import plot_attribution
from pyg_modules.report.plots.plot_convergence import plot_convergence
from pyg_modules.report.plots.plot_history import plot_history
from pyg_modules.report.plots.plot_lesions import plot_lesions
from pyg_modules.report.plots.plot_module_sizes import plot_module_sizes
from pyg_modules.report.plots.plot_spectrum import plot_spectrum
from pyg_modules.report.plots.weights import darkest
from pyg_modules.report.unit_names import UnitNames

# In inches: small enough to be read on a narrow screen.
_WIDE = (6.4, 3.8)
_ADJACENCY = (
    "Rows receive, columns send; the darker, the larger the weight, on one scale. Ordered by"
    " module, a block on the diagonal is what a module keeps; the cut removes what is outside."
)


class Section(NamedTuple):
    """Figures, and the text that explains them.

    Args:
        key (str): Short and unique.
        title (str): Its heading.
        text (str): What to look at.
        figures (sequence of Image or Chart): What is drawn.
        items (sequence of str, optional): What is listed below them. (default: nothing)
    """

    key: str
    title: str
    text: str
    figures: Sequence[Image | Chart]
    items: Sequence[str] = ()


def sections(run: ExperimentResult) -> list[Section]:
    """Those of a run, from top to bottom."""
    names = UnitNames.of_file(run.encoding)
    return [
        _adjacency_of_run(run),
        _training(run),
        sizes(run.finetuned, run.labels, names),
        lesions(run.lesions, run.finetuned, run.labels, names),
        attribution(run.attribution, run.image_shape, names),
        dynamics(run.finetuned, run.samples),
    ]


def _adjacency_of_run(run: ExperimentResult) -> Section:
    vmax = darkest(run.regularized)
    ncut = run.normalized_cut
    after = "Cut and trained on" if run.config.finetune_epochs else "Cut"
    what = "Matrix of the magnitudes of the weights between hidden units, "
    return Section(
        "adjacency",
        "Weights between hidden units",
        _ADJACENCY,
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
    after, trained_on = "", ""
    if run.config.finetune_epochs:
        after, trained_on = "; after the cut, the task alone again", ", cut, trained on"
    return Section(
        "training",
        "Training",
        "Shades are phases: the task alone, then the normalized cut and the balance of the modules"
        f" join the loss{after}. {_jump(run)}{run.verdict}",
        [
            image(
                lambda ax: plot_history(histories["regularized"] + histories["finetuned"], ax=ax),
                f"Organised by the regularizer{trained_on}",
                f"Losses over {len(histories['regularized'])} epochs before the cut and"
                f" {len(histories['finetuned'])} after it; the normalized cut ends at"
                f" {small(run.normalized_cut['regularized'])}.",
                size=_WIDE,
            )
        ],
    )


def _jump(run: ExperimentResult) -> str:
    """Why the loss is another one after the cut."""
    after = run.histories["finetuned"]
    if not after:
        return ""
    before = run.histories["regularized"][-1].losses["task"]
    return (
        f"At the cut the loss of the task goes from {small(before)} to a mean of"
        f" {small(after[0].losses['task'])} over the first epoch after it: the edges between"
        f" modules are gone at once, and the learning rate starts again from the bottom. What"
        f" training on does not bring back, the modules cannot do alone. "
    )


def adjacency(layer: UnitLayer, labels: Tensor | None) -> Section:
    """The weights between the hidden units of a layer, and again by module."""
    what = "Matrix of the magnitudes of the weights between hidden units, "
    vmax = darkest(layer)
    images = [
        image(
            lambda ax: plot_adjacency(layer, vmax=vmax, ax=ax),
            "In the order of their ids",
            f"{what}in the order of their ids.",
        )
    ]
    if labels is not None:
        images.append(
            image(
                lambda ax: plot_adjacency(layer, labels, vmax=vmax, ax=ax),
                "By module",
                f"{what}ordered by module.",
            )
        )
    return Section("adjacency", "Weights between hidden units", _ADJACENCY, images)


def sizes(layer: UnitLayer, labels: Tensor, names: UnitNames) -> Section:
    """How large the modules of a layer are, and which named units are theirs."""
    where = "in all but the first" if _share_outputs(layer, labels) else "for those of others"
    text = "What each module takes as a network by itself. Each has biases for all outputs,"
    text += f" which are 0 {where}."
    if _has_direct_edges(layer, labels):
        text += " Edges from shared inputs straight to shared outputs belong to no module; as a"
        text += " network by itself, module 0 takes them along."
    return Section(
        "sizes",
        "Modules: sizes and costs",
        text,
        [
            image(
                lambda ax: plot_module_sizes(layer, labels, ax=ax),
                "Units and edges of the modules",
                f"By module: {sizes_in_words(layer.graph, labels)}.",
                size=_WIDE,
            )
        ],
        names.by_module(layer.graph, labels),
    )


def lesions(study: LesionStudy, layer: UnitLayer, labels: Tensor, names: UnitNames) -> Section:
    """What a network loses without each of its modules."""
    if study.is_regression:
        name, one = "R² by output", "An output whose R² falls without a module needs it"
        numbers = (
            "1 is best, 0 is what the mean of the targets has, and below it is worse: a module"
            " alone gives only its part of a sum."
        )
    else:
        name, one = "Accuracy by class", "A class whose accuracy falls without a module needs it"
        numbers = "Numbers are rounded to whole percent."
    if _share_outputs(layer, labels):
        direct = ", and edges straight from inputs," if _has_direct_edges(layer, labels) else ""
        one += f". The biases of the outputs{direct} go and stay with module 0"
    else:
        one += "; of outputs that belong to a module, the others are 0 when it is alone"
    return Section(
        "lesions",
        "What is lost without a module",
        f"Each module is left out in turn, then works alone. {one}. {numbers}",
        [
            image(
                lambda ax: plot_lesions(study, output_names=names.outputs, ax=ax),
                f"{name}: all modules, without each, each alone",
                f"{name} of all modules together, without each module in turn, and of each module"
                f" alone.",
                size=_WIDE,
            )
        ],
    )


def _share_outputs(layer: UnitLayer, labels: Tensor) -> bool:
    ids = layer.graph.outputs
    return bool((labels[ids.start : ids.stop] < 0).any())


def _has_direct_edges(layer: UnitLayer, labels: Tensor) -> bool:
    """Whether edges lead from shared inputs to shared outputs."""
    return bool((labels[layer.graph.edge_index] < 0).all(dim=0).any())


def attribution(
    magnitudes: Tensor, image_shape: tuple[int, int] | None, names: UnitNames
) -> Section:
    """Which inputs change the outputs of each module."""
    # Images of four modules stand beside each other.
    rows = ceil(len(magnitudes) / 4)
    size = _WIDE if image_shape is None else (_WIDE[0], 2.2 * rows)
    return Section(
        "attribution",
        "What each module looks at",
        "The brighter, the more an input changes a module's outputs, as a mean over the data. With"
        ' the scope "hidden", all modules see all inputs.',
        [
            image(
                lambda ax: plot_attribution(
                    magnitudes, image_shape, input_names=names.inputs, ax=ax
                ),
                "Mean magnitude of the derivative of a module's outputs by each input",
                "How strongly the outputs of each module depend on each input.",
                size=size,
            )
        ],
    )


def dynamics(layer: UnitLayer, samples: Tensor) -> Section:
    """How the states of the units move."""
    return Section(
        "dynamics",
        "The updates",
        "All units are updated at once, again and again. The residual says how much one more update"
        " would change. With a spectral norm below 1, and an activation whose slope is at most 1,"
        " it is sure to fall to 0. A large one, such as 60 %, is no error after a fixed number of"
        " updates: the network has learned to read its states after just so many, while they move;"
        " with another number it would answer otherwise.",
        [
            image(
                lambda ax: plot_convergence(layer, samples, ax=ax),
                "How far one more update moves the units",
                f"Relative residual by number of synchronous updates, for {len(samples)} samples.",
            ),
            image(
                lambda ax: plot_spectrum(layer, ax=ax),
                "Eigenvalues of the weights between hidden units",
                "Eigenvalues of the weights between hidden units in the complex plane.",
            ),
        ],
    )
