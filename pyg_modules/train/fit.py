from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from pyg_modules._brief import brief
from pyg_modules._checks import as_coefficient, as_int, as_learning_rate, check_bool
from pyg_modules.nn.evaluating import evaluating
from pyg_modules.train.batches import Batches, Forward, described
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import CheckedLoss, Loss, check_is_trained
from pyg_modules.train.early_stopping import EarlyStopping
from pyg_modules.train.edge_gradient import EdgeGradient
from pyg_modules.train.epoch_record import EpochRecord
from pyg_modules.train.evaluation import evaluate
from pyg_modules.train.optimization import Optimization, check_trains
from pyg_modules.train.probe import Probe, steps_of_probe
from pyg_modules.train.schedules import Schedules
from pyg_modules.train.training_data import batches_of, makes_its_batches
from pyg_modules.train.training_schedule import Schedule

#: Told the epoch, counted from 1, and the mean losses of its batches.
EpochCallback = Callable[[int, dict[str, float]], None]


class DivergedError(RuntimeError):
    """A loss became NaN or infinite."""


class FitOptions(TypedDict, total=False):
    """Options of :func:`fit` that :func:`organise` passes on."""

    loss: Loss
    forward: Forward | None
    learning_rate: float
    one_cycle: bool
    weight_decay: float
    batch_size: int | None


def fit(
    model: nn.Module,
    data: Any,
    *,
    epochs: int,
    seed: int,
    loss: Loss = F.cross_entropy,
    forward: Forward | None = None,
    validation_data: Any = None,
    patience: int | None = None,
    restore_best_weights: bool = False,
    learning_rate: float = 3e-3,
    one_cycle: bool = True,
    weight_decay: float = 0.1,
    batch_size: int | None = None,
    schedule: Schedule | Sequence[Schedule] | None = None,
    on_epoch: EpochCallback | None = None,
) -> list[EpochRecord]:
    """Train a model in place: AdamW, gradient norm clipped at 1.

    ``data`` is any of these; batches are moved to the device of the model:

    * a pair ``(x, y)`` of tensors or of arrays, as of NumPy and pandas, one row per sample.
      Floating arrays get the dtype of the model; tensors are left as they are;
    * an object with such a pair as ``train_x`` and ``train_y``, e.g. of :func:`load_dataset`;
    * a :class:`torch.utils.data.Dataset` of pairs, or a :class:`~torch.utils.data.DataLoader`,
      which is iterated as it is. Without a length, or as an ``IterableDataset``, it must come
      to an end, and is iterated once before the training, to count;
    * a :class:`~torch_geometric.data.Data` with ``train_mask``, as one batch: the outputs
      ``model(data.x, data.edge_index)`` and ``data.y`` at the mask. A model whose ``forward`` names
      ``edge_weight`` or ``edge_attr`` gets that of the data, too. As ``validation_data``, its
      ``val_mask`` counts;
    * with ``forward``: a list or a data set of graphs, or any loader of PyG.

    Args:
        model (torch.nn.Module): From inputs to outputs, e.g. logits ``[B, C]``.
        data (object): See above.
        epochs (int): Passes over the training data; 0 leaves the model as it is.
        seed (int): Of the order of the samples, from 0 on.
        loss (Callable, optional): From outputs and targets to a scalar, a mean over the samples.
            Targets that it ignores do not count in the validation. With a
            :class:`PartitionSchedule`, never negative, and 0 for a perfect answer, see
            :class:`Probe`. (default: cross-entropy)
        forward (Callable, optional): From the model and a batch to outputs and targets, of all
            nodes where there are masks. (default: a batch is a pair, see above)
        validation_data (object, optional): Any of the above but the second. Its loss after every
            epoch is in the history as ``"validation"``. (default: none)
        patience (int, optional): Number of epochs without a lower validation loss after which the
            training ends. (default: it does not end early)
        restore_best_weights (bool, optional): Whether the model gets the weights of the epoch with
            the lowest validation loss in the end. (default: ``False``)
        learning_rate (float, optional): Largest learning rate. (default: 3e-3)
        one_cycle (bool, optional): Whether the learning rate rises and falls in one cycle; else it
            is constant, and falls to 0 in the last fifth. (default: ``True``)
        weight_decay (float, optional): Decoupled weight decay of the model. (default: 0.1)
        batch_size (int, optional): Samples per step, where ``data`` does not say. (default: 64)
        schedule (Schedule or sequence, optional): What it says is added to the loss and trained
            beside the model, such as the assignment of a :class:`PartitionSchedule`; one without a
            probe gets a :class:`Probe` of its layer, with 1 % of the steps of the training. A
            :class:`~pyg_modules.structure.SparseSchedule` gets the optimizer, and the gradients of
            missing edges.
        on_epoch (Callable, optional): Called after every epoch with its number and mean losses.

    Returns:
        list of EpochRecord: The history; without ``schedule``, its phase is ``"free"``.

    Raises:
        DivergedError: If a loss is NaN or infinite, as with data that is; the model is left as it
            is then.
        RuntimeError: If gradients are off, as in :class:`torch.no_grad`.
        TypeError: If data or a setting is of the wrong type, or targets are not what the loss
            takes.
        ValueError: If data is empty or does not fit together, nodes of a graph are both trained on
            and validated on, a setting is out of range or has no effect, or a schedule is made for
            another number of epochs or another layer.
    """
    check_model(model)
    epochs = as_int("epochs", epochs, smallest=0)
    seed = as_int("seed", seed, smallest=0)
    for name, called in (("forward", forward), ("on_epoch", on_epoch)):
        if called is not None and not callable(called):
            raise TypeError(
                f"Expected {name} that can be called (got {brief(called)}). Give a function."
            )
    learning_rate = as_learning_rate(learning_rate)
    weight_decay = as_coefficient("weight_decay", weight_decay)
    check_bool("one_cycle", one_cycle)
    if batch_size is not None:
        batch_size = as_int("batch_size", batch_size, smallest=1)
        if makes_its_batches(data):
            raise ValueError(
                f"Expected no batch_size with a {type(data).__name__}, which says what a batch is"
                f" (got {batch_size}). Leave it out."
            )
    schedules = Schedules(schedule, model, epochs)
    stopping = EarlyStopping(patience, restore_best_weights)
    stopping.check_possible(
        is_validated=validation_data is not None, has_last_epoch=schedules.have_last_epoch
    )
    training_loss, validation_loss = CheckedLoss(loss), CheckedLoss(loss)
    check_trains(model)
    if not torch.is_grad_enabled():
        raise RuntimeError(
            "Expected gradients, which a training needs (got torch.no_grad(), inference_mode() or"
            " set_grad_enabled(False) around it). Train outside of it."
        )
    check_is_trained(loss, model)
    settings: Any = {"forward": forward, "batch_size": batch_size}
    batches = batches_of(data, model, part="training", seed=seed, **settings)
    validation = None
    if validation_data is not None:
        validation = batches_of(validation_data, model, part="validation", seed=None, **settings)
        _check_apart(data, validation_data, of_pairs=forward is None)
    history: list[EpochRecord] = []
    if epochs == 0:
        return history
    total_steps = epochs * len(batches)
    rates: Any = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    schedules.lend_probes(
        lambda layer: Probe(
            model,
            data,
            layer=layer,
            steps=steps_of_probe(total_steps),
            loss=loss,
            seed=seed,
            **rates,
            **settings,
        )
    )
    optimization = Optimization(
        model, schedules.parameters, one_cycle=one_cycle, total_steps=total_steps, **rates
    )
    with schedules.optimized_by(
        optimization.optimizer,
        lambda layer: EdgeGradient(model, data, layer=layer, loss=loss, **settings),
    ):
        for epoch in range(epochs):
            model.train()
            phase = schedules.step(epoch)
            means, last_batch = _train_epoch(model, batches, training_loss, schedules, optimization)
            if validation is not None:
                means["validation"] = evaluate(model, validation, validation_loss)["loss"]
            losses = dict(means)
            if epoch + 1 == epochs:  # No other loss tells of the last step.
                with evaluating(model), torch.no_grad():
                    losses["at last"] = float(training_loss(*batches.run(model, last_batch)))
            if not all(map(isfinite, losses.values())):
                remedy = _remedy(model, batches, validation, training_loss, **rates)
                raise DivergedError(
                    f"Expected finite losses (got {losses} in epoch {epoch + 1}): {remedy}"
                )
            history.append(EpochRecord(phase, means))
            if on_epoch is not None:
                on_epoch(epoch + 1, means)
            if validation is not None and stopping.is_over(means["validation"], model):
                break
    stopping.restore(model)
    model.eval()
    return history


def _check_apart(data: Any, validation_data: Any, *, of_pairs: bool) -> None:
    """Raise an error if what is validated on is of another kind, or is trained on."""
    if of_pairs and isinstance(data, Data) != isinstance(validation_data, Data):
        raise TypeError(
            f"Expected validation data of the kind of the training data (got"
            f" {described(validation_data)} and {described(data)}). Of a graph, give the graph:"
            f" its val_mask counts."
        )
    is_one = isinstance(data, Data) and validation_data is data
    if is_one and (both := int((data.train_mask & data.val_mask).sum())):
        raise ValueError(
            f"Expected nodes in val_mask that are not trained on (got {both} that are in"
            f" train_mask too). Take them out of one of the masks."
        )


def _remedy(
    model: nn.Module,
    batches: Batches,
    validation: Batches | None,
    loss: CheckedLoss,
    learning_rate: float,
    weight_decay: float,
) -> str:
    """Why losses are not finite, and the remedy."""
    if not all(part.are_finite() for part in (batches, validation) if part is not None):
        return "the data holds NaN or infinity. Take these samples out, or fill them."
    if _has_batch_without_targets(model, batches, loss):
        return (
            "a batch has no target that counts, but only such as the loss ignores. Take these"
            " samples out, or use larger batches, in another order each epoch."
        )
    remedy = f"Lower learning_rate ({learning_rate:g})"
    if learning_rate * weight_decay > 2:  # What a step leaves is larger than what was there.
        remedy += f" or weight_decay ({weight_decay:g}): a step takes their product of each weight"
    return f"the training diverged. {remedy}."


def _has_batch_without_targets(model: nn.Module, batches: Batches, loss: CheckedLoss) -> bool:
    with evaluating(model), torch.no_grad():
        targets = [batches.run(model, batch)[1] for batch in batches.again()]
    return not all(bool(loss.counted(one).any()) for one in targets)


def _train_epoch(
    model: nn.Module,
    batches: Batches,
    loss: CheckedLoss,
    schedules: Schedules,
    optimization: Optimization,
) -> tuple[dict[str, float], Any]:
    """The mean losses of the batches, those of one name added up, and the last batch."""
    sums: dict[str, Tensor] = {}
    for batch in batches:
        total = loss(*batches.run(model, batch))
        terms = {"task": total.detach()}
        for penalties in schedules.penalties():
            total = total + sum(coefficient * term for coefficient, term in penalties.values())
            for name, (_, term) in penalties.items():
                terms[name] = terms[name] + term.detach() if name in terms else term.detach()
        optimization.step(total)
        for name, term in terms.items():
            sums[name] = sums[name] + term if name in sums else term
    return {name: float(value) / len(batches) for name, value in sums.items()}, batch
