from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn import functional as F

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.structure.rewire import put_edges
from pyg_modules.train.batches import Forward
from pyg_modules.train.checked_loss import Loss
from pyg_modules.train.model_in_training import ModelInTraining


class EdgeGradient:
    """The gradient of the loss of a batch in the weights of edges, also of those that are missing.

    Missing edges are added to a copy of the model, with the weight 0, so that it computes what it
    did; its backward pass gives their gradients, whatever the solver. It is in evaluation, and no
    random number of the training is drawn.

    Args:
        model (torch.nn.Module): The model in training; it is left as it is.
        data (object): Training data, as :func:`fit` takes it.
        layer (UnitLayer, optional): The layer with the edges, the model itself or in it.
            (default: the only one)
        loss (Callable, optional): As for :func:`fit`. (default: cross-entropy)
        forward (Callable, optional): As for :func:`fit`.
        batch_size (int, optional): As for :func:`fit`. (default: 64)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the layer is not in the model, or which one it is cannot be told.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        layer: UnitLayer | None = None,
        loss: Loss = F.cross_entropy,
        forward: Forward | None = None,
        batch_size: int | None = None,
    ) -> None:
        self._training = ModelInTraining(
            model, data, layer=layer, loss=loss, forward=forward, batch_size=batch_size
        )

    @property
    def layer(self) -> UnitLayer:
        """The layer with the edges."""
        return self._training.layer

    def __call__(self, graphs: Iterable[UnitGraph], seed: int) -> Iterator[Tensor]:
        """The gradient in the weights of the layer, on each of some graphs, ``[E]`` each.

        Args:
            graphs (iterable of UnitGraph): Edges of the layer, which have their weights, and
                others, which have the weight 0.
            seed (int): Says which samples of the data are the batch.
        """
        with self._training.apart(seed):
            model = self._training.copy().eval()
            batches = self._training.batches(model, seed)
            batch = next(iter(batches))
        model.requires_grad_(requires_grad=False)
        layer: Any = self._training.layer_of(model)
        own, own_weight = layer.graph, layer.weight.detach().clone()
        for graph in graphs:
            with self._training.apart(seed), torch.enable_grad():
                # Whatever optimizes the model has nothing to do with the copy.
                put_edges(layer, own)
                layer.weight.detach().copy_(own_weight)  # The last may have had fewer.
                put_edges(layer, graph)
                weight = layer.weight.requires_grad_()
                loss = self._training.loss(*batches.run(model, batch))
                (gradient,) = torch.autograd.grad(loss, weight)
            # Of an edge with several weights, the length.
            yield gradient if gradient.dim() == 1 else vector_norm(gradient.flatten(1), dim=1)
