from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyg_modules._checks import as_int
from pyg_modules._reference import Reference
from pyg_modules._seeding import seeded
from pyg_modules.nn.messages import has_forward_hooks
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.train.batches import Batches, Forward
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import CheckedLoss, Loss
from pyg_modules.train.training_data import are_rows, batches_of
from pyg_modules.train.undisturbed import unchanged, undisturbed


class ModelInTraining:
    """A model with its data and its loss, which is asked on the way, by copies of it.

    The model is left as it is, and no random number of its training is drawn.

    Args:
        model (torch.nn.Module): The model.
        data (object): Training data, as :func:`fit` takes it.
        layer (UnitLayer, optional): The layer that it is about, the model itself or in it.
            (default: the only one)
        loss (Callable): As for :func:`fit`.
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
        layer: UnitLayer | None,
        loss: Loss,
        forward: Forward | None,
        batch_size: int | None,
    ) -> None:
        check_model(model)
        # A copy of a compiled model would be compiled again.
        self._reference: Reference[nn.Module] = Reference(getattr(model, "_orig_mod", model))
        self._data = data
        self._layer: Reference[UnitLayer] = Reference(find_layer(self.model, layer))
        self.loss = CheckedLoss(loss)
        if batch_size is not None:
            batch_size = as_int("batch_size", batch_size, smallest=1)
        self._batching: Any = {"forward": forward, "batch_size": batch_size}
        with self.apart(seed=0):  # What cannot work is said before a training.
            self._rehearse(self.copy())

    @property
    def model(self) -> nn.Module:
        """The model; a deep copy of this alone has the same."""
        return self._reference()

    @property
    def layer(self) -> UnitLayer:
        """The layer that it is about."""
        return self._layer()

    def layer_of(self, copy: nn.Module) -> UnitLayer:
        """The same layer of a copy of the model."""
        # A copy has its modules in the same order.
        pairs = zip(self.model.modules(), copy.modules(), strict=True)
        return cast(UnitLayer, next(twin for own, twin in pairs if own is self.layer))

    def copy(self) -> nn.Module:
        """A copy of the model as it is now; what it keeps of a call is there without gradients.

        Raises:
            ValueError: If the layer is no longer in the model.
            TypeError: If something in the model cannot be copied.
        """
        find_layer(self.model, self.layer)
        return _copied(self.model)

    def batches(self, copy: nn.Module, seed: int) -> Batches:
        """An epoch of the data for a copy of the model."""
        return batches_of(self._data, copy, part="training", seed=seed, **self._batching)

    @contextmanager
    def apart(self, seed: int) -> Iterator[None]:
        """Draw from ``seed`` inside, none of the training, and have gradients in any mode."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(unchanged(self.loss.loss))
            # What is global is not touched for nothing: other threads may draw from it.
            if self._may_draw():
                stack.enter_context(seeded(seed, next(self.model.parameters()).device))
                stack.enter_context(undisturbed(self._data, seed))
            yield

    def _rehearse(self, copy: nn.Module) -> None:
        """Raise if data, loss or forward do not fit a copy of the model."""
        batches = self.batches(copy.eval().requires_grad_(), seed=0)
        with torch.enable_grad():
            loss = self.loss(*batches.run(copy, next(iter(batches))))
        found = torch.autograd.grad(loss, list(copy.parameters()), allow_unused=True)
        if all(gradient is None for gradient in found):
            raise ValueError(
                f"Expected outputs of the model that forward is called with (got some that do not"
                f" depend on it, of a copy of the {type(self.model).__name__}). Call the argument:"
                f" forward=lambda model, batch: (model(batch[0]), batch[1])."
            )
        _copied(copy)  # What a call leaves in it must not stand in the way.

    def _may_draw(self) -> bool:
        """Whether the model, its data or what is done with them draw from a global source."""
        model = self.model
        is_plain = (
            isinstance(model, UnitLayer)
            # Neither a class of a user's nor one that torch made, as of parametrized layers.
            and type(model).__module__.startswith("pyg_modules.")
            and model.dynamics.dropout == 0
            and not any(map(has_forward_hooks, model.modules()))
        )
        is_given = are_rows(self._data) and self._batching["forward"] is None
        is_of_torch = getattr(self.loss.loss, "__module__", "").startswith("torch.")
        return not (is_plain and is_given and is_of_torch)


def _copied(model: nn.Module) -> nn.Module:
    kept = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    try:
        return deepcopy(model, {id(value): value.detach().clone() for value in kept})
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"Expected a model that can be copied, as by copy.deepcopy (got a"
            f" {type(model).__name__}: {error}). Keep what cannot outside of the model, and tensors"
            f" of a call as x.detach()."
        ) from error


def find_layer(model: nn.Module, layer: UnitLayer | None) -> UnitLayer:
    """The layer of ``model`` that is meant.

    Args:
        model (torch.nn.Module): The model.
        layer (UnitLayer, optional): The model itself or in it. (default: the only one)

    Raises:
        ValueError: If it is not in the model, or which one it is cannot be told.
    """
    found = [module for module in model.modules() if isinstance(module, UnitLayer)]
    if layer is not None:
        found = [module for module in found if module is layer]
        if not found:
            raise ValueError(
                f"Expected a layer of the model (got a {type(layer).__name__} of another one). Give"
                f" the layer inside, or leave layer out where there is only one."
            )
    if not found:
        raise ValueError(
            "Expected a model with a SynchronousGraph, SynchronousConv or SynchronousConv2d in it"
            " (got one without). Put one in, or give the layer itself."
        )
    if len(found) > 1:
        raise ValueError(
            f"Expected one layer that is meant (got a model with {len(found)} of them). Say which:"
            f" layer=..."
        )
    return found[0]
