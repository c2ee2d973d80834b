from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pyg_modules._checks import as_int
from pyg_modules.modules.cut import check_modules
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.judge import judge
from pyg_modules.partition.labels import stays_independent
from pyg_modules.partition.units import Units
from pyg_modules.partition.verdict import Verdict
from pyg_modules.train.batches import Forward
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import Loss
from pyg_modules.train.model_in_training import find_layer
from pyg_modules.train.probe import Probe

_NUM_RANDOM = 3


def partition_verdict(
    model: nn.Module,
    labels: Tensor,
    x: Any,
    y: Any = None,
    *,
    layer: UnitLayer | None = None,
    loss: Loss = F.cross_entropy,
    forward: Forward | None = None,
    steps: int | None = None,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    batch_size: int | None = None,
    seed: int = 0,
) -> Verdict:
    """What modules of a trained layer are worth, wherever they come from.

    Copies of the model are cut and trained for a while, see :class:`Probe`; it is left as it is.
    For modules that a :class:`PartitionSchedule` found, there is ``schedule.verdict()``.

    Args:
        model (torch.nn.Module): A trained layer, not cut yet, or a model with one in it.
        labels (LongTensor): Module of every unit, ``[N]``, as for :func:`cut`.
        x (Tensor, array or object): Inputs, ``[B, I]``; without ``y``, any data that :func:`fit`
            takes, such as a :class:`~torch_geometric.data.Data` with ``train_mask``.
        y (Tensor or array, optional): Targets, ``[B]`` classes, or what the loss takes.
            (default: they are in the data)
        layer (UnitLayer, optional): The layer that the modules are of. (default: the only one)
        loss (Callable, optional): As for :func:`fit`. (default: cross-entropy)
        forward (Callable, optional): As for :func:`fit`.
        steps (int, optional): Steps of a probe. (default: one pass over the data, which of one
            graph is one step)
        learning_rate (float, optional): Of a probe. (default: 3e-3)
        weight_decay (float, optional): Of a probe. (default: 0.1)
        batch_size (int, optional): Of a probe. (default: 64)
        seed (int, optional): Of the samples of a probe and of cuts at random. (default: 0)

    Returns:
        Verdict: Losses, the normalized cut, dead units, and a word for them.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``labels`` have the wrong length, one module only, a gap, no edges between
            modules, or leave a hidden unit, or some inputs or outputs, shared; if the layer is cut
            already; if ``x`` or ``y`` do not fit; or if the layer is not in the model, or is one of
            several there.

    Example:
        >>> import torch
        >>> from pyg_modules import SynchronousGraph, UnitGraph, partition_units
        >>> from pyg_modules.train import partition_verdict
        >>> layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
        >>> x, y = torch.rand(64, 4), torch.randint(2, (64,))
        >>> partition_verdict(layer, partition_units(layer, 2), x, y).word
        'unlearned'
    """
    check_model(model)
    inside = find_layer(model, layer)
    found = check_modules(inside, labels)
    if int(found.max()) < 1:
        raise ValueError(
            "Expected labels of at least two modules (got one). One module is not cut at all."
            " Use more modules."
        )
    seed = as_int("seed", seed, smallest=0)
    units = Units.with_modules(inside, found)
    if units is None:
        inputs, outputs = inside.graph.inputs, inside.graph.outputs
        raise ValueError(
            f"Expected labels that share all outputs, all outputs and all inputs, or nothing (got"
            f" {int((found[: inputs.stop] < 0).sum())} shared of {len(inputs)} inputs,"
            f" {int((found[outputs.start :] < 0).sum())} of {len(outputs)} outputs). Give others"
            f" a module, or share them, too."
        )
    units.check_whole()
    if bool(stays_independent(inside.graph, found).all()):
        raise ValueError(
            "Expected edges between the modules (got none: a cut into them takes nothing away, and"
            " costs nothing). Cut it, or give inputs or outputs a module, too."
        )
    probe = Probe(
        model,
        x if y is None else (x, y),
        layer=inside,
        steps=steps,
        loss=loss,
        forward=forward,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        seed=seed,
    )
    return judge(units, found, probe, num_random=_NUM_RANDOM, seed=seed)
