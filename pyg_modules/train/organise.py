from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Unpack

from pyg_modules._checks import as_int
from pyg_modules._seeding import seeded
from pyg_modules.modules.cut import cut
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.losses import LOSSES
from pyg_modules.partition.metrics import cut_fraction, module_sizes, normalized_cut
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.partition.verdict import Verdict
from pyg_modules.train.batches import Batches
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import CheckedLoss
from pyg_modules.train.epoch_record import EpochRecord
from pyg_modules.train.evaluation import evaluate
from pyg_modules.train.fit import EpochCallback, FitOptions, fit
from pyg_modules.train.training_data import batches_of
from pyg_modules.train.undisturbed import undisturbed


class OrganiseOptions(FitOptions, total=False):
    """Those, and further coefficients of a :class:`PartitionRegularizer`."""

    cost_balance: float
    sharpness: float


@dataclass(frozen=True, eq=False)
class Organised:
    """What :func:`organise` made and measured.

    Args:
        network (torch.nn.Module): The model with the cut layer in it, or that layer, if it was the
            model.
        layer (UnitLayer): The cut layer; the trained one, if it was not cut.
        uncut (UnitLayer): The trained layer as it was before the cut.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share.
        history (list of EpochRecord): All epochs, those after the cut with the phase ``"cut"``.
        normalized_cut (float): Of the modules in ``uncut``.
        cut_fraction (float): Share of the weight magnitude of ``uncut`` between modules.
        module_sizes (list of int): Units per module.
        loss (dict): The mean loss over the validation data, or else the training data:
            ``"uncut"``; ``"cut"``, right after the cut; and ``"finetuned"``, in the end.
        accuracy (dict): The share of right classes, likewise; empty unless targets are classes.
        verdict (Verdict): What the modules are worth.
    """

    network: nn.Module
    layer: UnitLayer
    uncut: UnitLayer
    labels: Tensor
    history: list[EpochRecord]
    normalized_cut: float
    cut_fraction: float
    module_sizes: list[int]
    loss: dict[str, float]
    accuracy: dict[str, float]
    verdict: Verdict


def organise(
    model: nn.Module,
    data: Any,
    num_modules: int | Literal["auto"],
    *,
    epochs: int = 40,
    finetune_epochs: int | None = 40,
    seed: int = 0,
    scope: str = "hidden",
    affinity: str = "abs",
    capacities: Sequence[int] | None = None,
    tolerance: float = 0.1,
    ncut: float = 1.0,
    balance: float = 3.0,
    validation_data: Any = None,
    patience: int | None = None,
    restore_best_weights: bool = False,
    on_epoch: EpochCallback | None = None,
    on_schedule: Callable[[PartitionSchedule], None] | None = None,
    **options: Unpack[OrganiseOptions],
) -> Organised:
    """Train a model, organise its units into modules meanwhile, cut them apart, and train on.

    The main recipe: a :class:`PartitionRegularizer` and its :class:`PartitionSchedule` in
    :func:`fit`, then :func:`pyg_modules.cut`, then :func:`fit` again. ``seed`` fixes all but what
    the model draws from torch's global generator, as for dropout, or a loader that shuffles without
    a generator of its own; see :func:`seeded`. What
    modules are worth is told by short trainings of cut copies, see :class:`Probe`: at most nine at
    each of eight readings, and four more for each number that is tried with ``"auto"``, with 1 % of
    the steps of the training until the cut, five at least. Before the training, a model with a
    layer in it is run on a batch, to see that it can be cut.

    Args:
        model (torch.nn.Module): A :class:`SynchronousGraph`, which is trained and left uncut; or a
            model with one in it, which is replaced by the cut one.
        data (object): As :func:`fit` takes it.
        num_modules (int or str): Number of modules K, or ``"auto"``; see
            :class:`PartitionRegularizer`.
        epochs (int, optional): Passes over the data until the cut. (default: 40)
        finetune_epochs (int, optional): Passes after the cut; ``None`` does not cut. (default: 40)
        seed (int, optional): Of the order of the samples and of the search for modules.
            (default: 0)
        scope (str, optional): See :class:`PartitionRegularizer`. (default: ``"hidden"``)
        affinity (str, optional): Likewise. (default: ``"abs"``)
        capacities (sequence of int, optional): Units of every module. (default: equal)
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.1)
        ncut (float, optional): Coefficient of the normalized cut. (default: 1.0)
        balance (float, optional): Coefficient of the balance. (default: 3.0)
        validation_data (object, optional): As for :func:`fit`; losses and accuracies are measured
            on it. (default: they are measured on the training data)
        patience (int, optional): As for :func:`fit`, after the cut. (default: no early end)
        restore_best_weights (bool, optional): As for :func:`fit`, after the cut. (default:
            ``False``)
        on_epoch (Callable, optional): Called after every epoch with its number, counted on after
            the cut, and its mean losses.
        on_schedule (Callable, optional): Given the schedule before the training: what ``on_epoch``
            may print to say the phase, the terms and what the modules are worth.
        **options: ``loss``, ``forward``, ``learning_rate``, ``one_cycle``, ``weight_decay`` and
            ``batch_size`` of :func:`fit`; and coefficients of further losses of a
            :class:`PartitionRegularizer` by name, such as ``sharpness``.

    Returns:
        Organised: The network, its modules, the history and what was measured.

    Raises:
        DivergedError: If a loss is NaN or infinite.
        TypeError: If an argument is of the wrong type, or none of these.
        ValueError: If the model has no such layer or several, or does not compute with what stands
            in its place; or an argument is out of range.
    """
    names, layer = _only_layer(model)
    seed = as_int("seed", seed, smallest=0)
    coefficients, fitting = _taken_apart(options)
    if finetune_epochs is not None:
        finetune_epochs = as_int("finetune_epochs", finetune_epochs, smallest=0)
    if not finetune_epochs and (patience is not None or restore_best_weights):
        raise ValueError(
            f"Expected finetune_epochs, the epochs for patience and restore_best_weights (got"
            f" {finetune_epochs}). Give their largest number, or leave the two out."
        )
    regularizer = PartitionRegularizer(
        layer,
        num_modules,
        scope=scope,
        affinity=affinity,
        capacities=capacities,
        ncut=ncut,
        balance=balance,
        generator=torch.Generator(layer.device).manual_seed(seed),
        **coefficients,
    )
    schedule = PartitionSchedule(regularizer, epochs, tolerance=tolerance, seed=seed)
    shared: Any = {"seed": seed, "validation_data": validation_data, **fitting}
    ending: Any = {"patience": patience, "restore_best_weights": restore_best_weights}
    fit(model, data, epochs=0, on_epoch=on_epoch, **ending, **shared)  # Looks at all of it.
    if model is not layer:
        _check_replaceable(model, names, layer, data, fitting)
    if on_schedule is not None:
        on_schedule(schedule)
    history = fit(model, data, epochs=epochs, schedule=schedule, on_epoch=on_epoch, **shared)
    measured = {"uncut": _measured(model, data, validation_data, fitting)}
    verdict = schedule.verdict()
    labels = verdict.labels
    network, organised = model, layer
    if finetune_epochs is not None:
        organised = cut(layer, labels)
        network = _replaced(model, names, organised)
        measured["cut"] = _measured(network, data, validation_data, fitting)

        def counted_on(epoch: int, losses: dict[str, float]) -> None:
            if on_epoch is not None:
                on_epoch(epochs + epoch, losses)

        finetuning = fit(
            network, data, epochs=finetune_epochs, on_epoch=counted_on, **ending, **shared
        )
        history += [record._replace(phase="cut") for record in finetuning]
        measured["finetuned"] = _measured(network, data, validation_data, fitting)
    edges = layer.graph.edge_index, layer.edge_weight(), labels
    return Organised(
        network=network,
        layer=organised,
        uncut=layer,
        labels=labels,
        history=history,
        normalized_cut=normalized_cut(*edges),
        cut_fraction=cut_fraction(*edges),
        module_sizes=module_sizes(labels),
        loss={when: figures["loss"] for when, figures in measured.items()},
        accuracy={
            when: figures["accuracy"] for when, figures in measured.items() if "accuracy" in figures
        },
        verdict=verdict,
    )


def _only_layer(model: nn.Module) -> tuple[list[str], UnitLayer]:
    """The one layer of a model, and all names that it has there."""
    check_model(model)
    layers: dict[UnitLayer, list[str]] = {}
    for name, part in model.named_modules(remove_duplicate=False):
        if isinstance(part, UnitLayer):
            layers.setdefault(part, []).append(name)
    if not layers:
        raise ValueError(
            "Expected a model with one SynchronousGraph in it (got none). Make it an attribute of"
            " the model; in a list, use torch.nn.ModuleList."
        )
    if len(layers) > 1:
        found = ", ".join(repr(names[0]) for names in layers.values())
        raise ValueError(
            f"Expected a model with one SynchronousGraph in it (got {found}). Use fit with a list"
            f" of schedules, PartitionSchedule(PartitionRegularizer(layer, num_modules), epochs)"
            f" for every layer, and cut each."
        )
    (layer, names), *_ = layers.items()
    return names, layer


def _replaced(model: nn.Module, names: list[str], layer: UnitLayer) -> nn.Module:
    """``model`` with ``layer`` under these names; the layer itself, if it was the model."""
    if names == [""]:
        return layer
    for name in names:
        model.set_submodule(name, layer)
    return model


def _taken_apart(options: Any) -> tuple[Any, FitOptions]:
    """Coefficients of the regularizer, and options of :func:`fit`."""
    coefficients = {name: options.pop(name) for name in LOSSES if name in options}
    if unknown := options.keys() - FitOptions.__optional_keys__:
        names = ", ".join([*sorted(FitOptions.__optional_keys__), *LOSSES])
        raise TypeError(
            f"Expected options of {names} (got an unexpected keyword argument {min(unknown)!r})."
            f" organise makes its own schedule; others are for fit."
            " Leave it out."
        )
    return coefficients, options


def _check_replaceable(
    model: nn.Module, names: list[str], layer: UnitLayer, data: Any, options: FitOptions
) -> None:
    """Raise unless the model computes with what stands under these names."""
    stand_in = deepcopy(layer).requires_grad_()
    network = _replaced(model, names, stand_in)
    try:
        # No random numbers that the training would have drawn.
        with seeded(0, layer.device), undisturbed(data):
            batches = _batches(network.eval(), data, "training", options)
            loss = CheckedLoss(options.get("loss", F.cross_entropy))
            total = loss(*batches.run(network, next(iter(batches))))
        gradients = torch.autograd.grad(total, list(stand_in.parameters()), allow_unused=True)
    finally:
        _replaced(model, names, layer)
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            f"Expected a model that computes with the layer under {names} (got one that does not,"
            f" or goes another way to it). Let its forward call the layer by this name; compile"
            f" what organise returns, not the layer."
        )


def _batches(model: nn.Module, data: Any, part: str, options: FitOptions) -> Batches:
    settings: Any = {name: options.get(name) for name in ("forward", "batch_size")}
    return batches_of(data, model, part=part, seed=None, **settings)


def _measured(
    model: nn.Module, data: Any, validation_data: Any, options: FitOptions
) -> dict[str, float]:
    """Loss and accuracy on the validation data, or else on the training data."""
    if validation_data is None:
        batches = _batches(model, data, "training", options)
    else:
        batches = _batches(model, validation_data, "validation", options)
    return evaluate(model, batches, CheckedLoss(options.get("loss", F.cross_entropy)))
