"""What a run came to, in plain sentences."""

from __future__ import annotations

from torch import Tensor

from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.modules.independence import Independence
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.report.html.layer_study import LayerStudy
from pyg_modules.report.html.numbers import count, duration, percent, points, score, small
from pyg_modules.report.owned_units import owned_units
from pyg_modules.report.plots.weights import drawn_weights


def summary(run: ExperimentResult) -> list[str]:
    """What was learned, for someone who reads nothing else."""
    config = run.config
    name = "R²" if run.is_regression else "accuracy"
    scores = {
        model: score(value, is_regression=run.is_regression)
        for model, value in run.test_score.items()
    }
    change = run.test_score["cut"] - run.test_score["regularized"]
    found = ", as many as it found," if config.num_modules == "auto" else ""
    trained_on = f", and {scores['finetuned']} after training on"
    left = run.num_parameters["finetuned"]
    all_parameters = run.num_parameters["regularized"]
    modules = run.finetuned.graph, run.labels
    return [
        f"{_units(config.num_hidden)}, each connected to each, were trained on the data set"
        f" {run.dataset} with a regularizer that organises them, and divided into"
        f" {run.num_modules} modules{found} of {_sizes(*modules)}.",
        f"Test {name} was {scores['regularized']} before the cut, {scores['cut']} right after every"
        f" edge between modules was removed ({_change(change, is_regression=run.is_regression)})"
        f"{trained_on if config.finetune_epochs else ''}.",
        f"The cut left {count(left)} of {count(all_parameters)} parameters"
        f" ({percent(left / all_parameters, 0)}), in {run.num_modules} networks that can run in"
        f" parallel: they {_shared(*modules)}.",
        f"For comparison, on the same budget: {scores['mlp']} by an MLP with as many"
        f" parameters as before the cut, {scores['free']} by the same unit graph without"
        f" a regularizer, {scores['random_modules']} by modules drawn at random.",
        f"The whole run took {duration(run.seconds)}.",
    ]


def precision(run: ExperimentResult) -> str:
    """How far the scores can be relied on."""
    if run.other_seeds:
        found = (
            ", each with as many modules as it found" if run.config.num_modules == "auto" else ""
        )
        return (
            f"Mean ± standard deviation of {len(run.other_seeds) + 1} seeds{found}; all else on"
            f" this page is of the first."
        )
    if run.is_regression:
        return "One seed; --seeds N shows mean and spread."
    num_test = int(run.lesions.num_samples.sum())
    return (
        f"One seed, and one of {count(num_test)} test samples is {small(100 / num_test)} points;"
        f" --seeds N shows mean and spread."
    )


def independence(run: ExperimentResult) -> list[str]:
    """The proof that the modules of a run are independent."""
    return proof_in_words(run.independence, run.num_modules, run.config.steps)


def proof_in_words(proof: Independence, num_modules: int, steps: int) -> list[str]:
    """What was proved of so many modules, over so many updates."""
    rounding = " of the largest output, or of 1 if that is more, which is rounding"
    pairs = num_modules * (num_modules - 1)
    return [
        f"Paths: a search of the graph, from all units of each module, found a way into another"
        f" module in {count(proof.paths)} of {count(pairs)} ordered pairs of modules. Paths through"
        f" inputs do not count, for inputs are clamped to the data.",
        f"Cross Jacobian: after {_updates(steps)}, the largest derivative of a state in one"
        f" module with respect to an initial state in another is"
        f" {_exactly(proof.max_cross_jacobian)}.",
        f"Split difference: the outputs of the modules, computed apart, add up to those of the"
        f" whole network; the largest difference is {_exactly(proof.max_split_difference)}"
        f"{rounding if proof.max_split_difference else ''}.",
    ]


def study_in_words(study: LayerStudy) -> list[str]:
    """What a layer of one's own is, and what its modules are worth."""
    layer, graph = study.layer, study.layer.graph
    name = "R²" if study.is_regression else "accuracy"

    def shown(value: float) -> str:
        return score(value, is_regression=study.is_regression)

    sentences = [
        f"{_units(graph.num_hidden)} between {count(graph.num_inputs)} inputs and"
        f" {count(graph.num_outputs)} outputs, joined by {count(graph.num_edges)}"
        f" edges{_of_weight_0(layer)}, with the solver {layer.solver} and the activation"
        f" {layer.activation}.",
        f"On the {count(study.num_samples)} samples that were given, its {name} is"
        f" {shown(study.score)}.",
    ]
    modular, labels = study.modular, study.labels
    if modular is None or labels is None:
        return [
            *sentences,
            "It is not cut, and no modules were given: labels=partition_units(layer, num_modules)"
            " finds some.",
        ]
    modules = f"{int(labels.max()) + 1} modules of {_sizes(graph, labels)}"
    if modular is layer:
        return [
            *sentences,
            f"It is cut into {modules}, which {_shared(graph, labels)}. What they are worth,"
            f" only the network before the cut can tell.",
        ]
    left, all_parameters = num_parameters(modular), num_parameters(layer)
    return [
        *sentences,
        f"Cut into {modules}, without further training, its {name} is"
        f" {shown(study.modular_score)}; {count(left)} of {count(all_parameters)} parameters"
        f" ({percent(left / all_parameters, 0)}) are left.",
        *([] if study.verdict is None else [str(study.verdict)]),
    ]


def _of_weight_0(layer: SynchronousGraph) -> str:
    """What of the edges takes no part, such as those that pruning leaves in the graph."""
    number = int((drawn_weights(layer) == 0).sum())
    return f", of which {count(number)} have a weight of 0" if number else ""


def _updates(steps: int) -> str:
    return f"{count(steps)} synchronous update{'s' if steps != 1 else ''}"


def _units(number: int) -> str:
    return f"{count(number)} hidden unit{'s' if number != 1 else ''}"


def _sizes(graph: UnitGraph, labels: Tensor) -> str:
    """The smallest and the largest number of each kind of units that modules own."""
    found = []
    for name, sizes in owned_units(graph, labels).items():
        least, most = min(sizes), max(sizes)
        number = count(most) if least == most else f"{count(least)} to {count(most)}"
        found.append(f"{number} {name if most != 1 else name.removesuffix('s')}")
    return " and ".join(found)


def _shared(graph: UnitGraph, labels: Tensor) -> str:
    """What modules with these labels have in common, after "they"."""
    inputs, outputs = (labels[ids.start : ids.stop] < 0 for ids in (graph.inputs, graph.outputs))
    some = f"{count(int(inputs.sum()))} input{'s' if inputs.sum() != 1 else ''}"
    common = "nothing but their inputs" if inputs.all() else some if inputs.any() else "no inputs"
    if not outputs.any():
        return f"share {common}, and no outputs"
    return f"share {common}, and {'their' if outputs.all() else 'shared'} outputs add up"


def _change(difference: float, *, is_regression: bool) -> str:
    if not difference:
        return "no change"
    return f"{difference:+.3f}".replace("-", "−") if is_regression else points(difference)


def _exactly(number: float) -> str:
    return "exactly 0" if number == 0 else small(number)
