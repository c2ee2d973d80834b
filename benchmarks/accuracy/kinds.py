"""One network, and networks of true, learned, read off or random modules, of as many parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.comparison.networks import cut_post_hoc
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.partition import agreement
from pyg_modules.train import fit, organise, seeded

#: What is compared, by name.
KINDS = {
    "whole": "one network",
    "true": "true modules, from the beginning",
    "learned": "learned modules",
    "post_hoc": "modules read off a free training",
    "random": "random modules, from the beginning",
}

UPDATES = 3
_BATCH_SIZE = 32
#: Weight decays, by the first number of a recipe.
DECAYS = (0.03, 0.3, 1.0)
#: Of every kind: which weight decay, and the learning rate.
RECIPES = list(product(range(2), (3e-3, 1e-2)))
#: The same and larger ones.
MORE_RECIPES = list(product(range(len(DECAYS)), (3e-3, 1e-2, 3e-2)))


def options_of(way: int, rate: float, seed: int) -> dict[str, Any]:
    """What :func:`~pyg_modules.train.fit` is told by one of :data:`MORE_RECIPES`."""
    return {
        "seed": seed,
        "learning_rate": rate,
        "weight_decay": DECAYS[way],
        "batch_size": _BATCH_SIZE,
    }


def epochs_of(steps: float, num_samples: int) -> int:
    """As many epochs as come closest to so many steps, two at least."""
    return max(2, round(steps * _BATCH_SIZE / num_samples))


@dataclass(frozen=True)
class Owners:
    """Whose inputs and outputs are, of modules that are known to be right.

    Args:
        inputs (LongTensor): The module of every input, −1 where all share it.
        outputs (LongTensor): The same of outputs.
        num_modules (int): How many they are.
    """

    inputs: Tensor
    outputs: Tensor
    num_modules: int

    @property
    def scope(self) -> str:
        """What modules own beside hidden units."""
        if bool((self.inputs < 0).all()):
            return "hidden"
        return "inputs" if bool((self.outputs < 0).all()) else "all"

    def labels(self, num_hidden: int, seed: int | None) -> Tensor:
        """Of all units, hidden ones in turn; inputs in a random order of their owners by a seed."""
        inputs = self.inputs
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            inputs = inputs[torch.randperm(len(inputs), generator=generator)]
        return torch.cat([inputs, torch.arange(num_hidden) % self.num_modules, self.outputs])


def new_layer(owners: Owners, num_hidden: int, seed: int, *, is_whole: bool) -> SynchronousGraph:
    """Complete, of so many hidden units if it is not cut; else of more, and as many parameters."""
    shares = [1 / owners.num_modules if bool((own >= 0).all()) else 1.0 for own in _ends(owners)]

    def size(width: int, shares: list[float], of_hidden: float) -> float:
        ends = sum(share * len(own) for share, own in zip(shares, _ends(owners), strict=True))
        return width * (ends + width * of_hidden + 1)

    whole_size, width = size(num_hidden, [1.0, 1.0], 1.0), num_hidden
    if not is_whole:
        while size(width + 1, shares, 1 / owners.num_modules) <= whole_size:
            width += 1
    graph = UnitGraph.complete(len(owners.inputs), width, len(owners.outputs))
    with seeded(seed):
        return SynchronousGraph(graph, Unrolled(UPDATES))


def train(
    kind: str,
    layer: SynchronousGraph,
    data: tuple[Tensor, Tensor],
    owners: Owners,
    epochs: int,
    options: Any,
) -> tuple[SynchronousGraph, dict[str, Any]]:
    """The trained network, and of its modules the word, and whether their inputs are right.

    Args:
        kind (str): One of :data:`KINDS`.
        layer (SynchronousGraph): Of :func:`new_layer`.
        data (tuple of Tensor): Inputs and targets.
        owners (Owners): Of the right modules.
        epochs (int): In all; modules that are found are cut after half of them.
        options (dict): Of :func:`~pyg_modules.train.fit`.
    """
    seed, until = options["seed"], epochs // 2
    found: dict[str, Any] = {}
    organised: Any
    if kind in ("true", "random"):
        labels = owners.labels(layer.graph.num_hidden, seed if kind == "random" else None)
        layer = cut(layer, labels)
        layer.reset_parameters(torch.Generator().manual_seed(seed))
    if kind == "learned":
        organised = organise(
            layer,
            data,
            owners.num_modules,
            epochs=until,
            finetune_epochs=epochs - until,
            scope=owners.scope,
            **options,
        )
        layer, found["word"] = organised.layer, organised.verdict.word
    elif kind == "post_hoc":
        fit(layer, data, epochs=until, **options)
        layer = cut_post_hoc(layer, owners.num_modules, seed, owners.scope)
        fit(layer, data, epochs=epochs - until, **options)
    else:
        fit(layer, data, epochs=epochs, **options)
    if layer.labels is not None and owners.scope != "hidden":
        of_inputs = layer.labels[: len(owners.inputs)]
        found["ari"] = agreement(of_inputs, owners.inputs)["ari"]
    return layer, found


def _ends(owners: Owners) -> tuple[Tensor, Tensor]:
    return owners.inputs, owners.outputs
