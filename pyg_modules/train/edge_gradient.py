from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn import functional as F

from pyg_modules._checks import as_int
from pyg_modules._reference import Reference
from pyg_modules._seeding import seeded
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.structure.rewire import put_edges
from pyg_modules.train.batches import Batches, Forward
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import CheckedLoss, Loss
from pyg_modules.train.probe import layer_at, position_of
from pyg_modules.train.training_data import batches_of, undisturbed


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
        check_model(model)
        # A copy of a compiled model would be compiled again.
        self._reference: Reference[nn.Module] = Reference(getattr(model, "_orig_mod", model))
        self._data = data
        self._position = position_of(self._reference(), layer)
        self._loss = CheckedLoss(loss)
        if batch_size is not None:
            batch_size = as_int("batch_size", batch_size, smallest=1)
        self._batching: Any = {"forward": forward, "batch_size": batch_size}
        with self._apart(seed=0):  # What is wrong in the data is said before a training.
            self._batches(self._reference(), seed=0)

    @property
    def layer(self) -> UnitLayer:
        """The layer with the edges."""
        return layer_at(self._reference(), self._position)

    def __call__(self, graphs: Iterable[UnitGraph], seed: int) -> Iterator[Tensor]:
        """The gradient in the weights of the layer, on each of some graphs, ``[E]`` each.

        Args:
            graphs (iterable of UnitGraph): Edges of the layer, which have their weights, and
                others, which have the weight 0.
            seed (int): Says which samples of the data are the batch.
        """
        with self._apart(seed):
            model = deepcopy(self._reference()).eval()
            batches = self._batches(model, seed)
            batch = next(iter(batches))
        model.requires_grad_(requires_grad=False)
        layer: Any = layer_at(model, self._position)
        own, own_weight = layer.graph, layer.weight.detach().clone()
        for graph in graphs:
            with self._apart(seed), torch.enable_grad():
                # Whatever optimizes the model has nothing to do with the copy.
                put_edges(layer, own)
                layer.weight.detach().copy_(own_weight)  # The last may have had fewer.
                put_edges(layer, graph)
                weight = layer.weight.requires_grad_()
                loss = self._loss(*batches.run(model, batch))
                (gradient,) = torch.autograd.grad(loss, weight)
            # Of an edge with several weights, the length.
            yield gradient if gradient.dim() == 1 else vector_norm(gradient.flatten(1), dim=1)

    def _batches(self, model: nn.Module, seed: int) -> Batches:
        return batches_of(self._data, model, part="training", seed=seed, **self._batching)

    @contextmanager
    def _apart(self, seed: int) -> Iterator[None]:
        """Draw no number of the training inside, and have gradients whatever mode is on."""
        device = next(self._reference().parameters()).device
        with (
            torch.inference_mode(False),
            seeded(seed, device),
            undisturbed(self._data, seed),
        ):
            yield
