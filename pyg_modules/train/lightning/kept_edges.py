"""The edges that weights in a checkpoint belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.structure.rewire import rewire
from pyg_modules.train.lightning.layer_optimizer import optimizer_with

_KEY = "edges"


def graphs_of(module: nn.Module) -> dict[str, UnitGraph]:
    """The graphs of all layers, by their names in ``module``."""
    named = module.named_modules()
    return {name: layer.graph for name, layer in named if isinstance(layer, UnitLayer)}


def save_edges(
    module: nn.Module, first: Mapping[str, UnitGraph], checkpoint: dict[str, Any]
) -> None:
    """Put the edges of layers into ``checkpoint`` that are others than at ``first``."""
    checkpoint[_KEY] = {
        name: graph.edge_index
        for name, graph in graphs_of(module).items()
        if graph != first.get(name)
    }


def load_edges(
    module: nn.Module,
    first: Mapping[str, UnitGraph],
    checkpoint: Mapping[str, Any],
    optimizers: Iterable[Optimizer],
) -> None:
    """Give all layers the edges that :func:`save_edges` kept; else, those of ``first``.

    Raises:
        ValueError: If a layer has other units than the one that was saved, or cannot be rewired.
    """
    if _KEY not in checkpoint:
        return
    optimizers = list(optimizers)
    for name, graph in graphs_of(module).items():
        try:
            wanted = first.get(name, graph)
            if name in checkpoint[_KEY]:
                wanted = graph.with_edges(checkpoint[_KEY][name])
            if wanted != graph:
                layer: Any = module.get_submodule(name)
                rewire(layer, wanted, optimizer=optimizer_with(optimizers, layer.weight))
        except ValueError as error:
            raise ValueError(
                f"Expected a layer {name!r} that can get the edges of the checkpoint (got: {error})"
                f". Load it by the trainer that trained the layer, or in a module made anew, with"
                f" as many units."
            ) from error
