"""How the weights are changed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules.parallel.gradient_norm import clip, spread_in

# The share of the training in which a constant learning rate falls to 0.
_FALL = 0.2


class Optimization:
    """AdamW for a model, gradient norm clipped at 1, and for what is trained beside it.

    Args:
        model (torch.nn.Module): The model.
        beside (list of Parameter): Trained without weight decay or clipping.
        learning_rate (float): The largest.
        weight_decay (float): Decoupled.
        one_cycle (bool): See :func:`learning_rates`.
        total_steps (int): Number of all steps.

    Raises:
        ValueError: If the model has nothing to train.
    """

    def __init__(
        self,
        model: nn.Module,
        beside: list[nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float,
        one_cycle: bool,
        total_steps: int,
    ) -> None:
        check_trains(model)
        self._spread = spread_in(model)
        of_model = parameters_but(beside, model)
        groups: list[dict[str, Any]] = [
            {"params": of_model, "lr": learning_rate, "weight_decay": weight_decay}
        ]
        if beside:
            groups.append({"params": beside, "lr": learning_rate, "weight_decay": 0.0})
        #: The optimizer; its first group is the model.
        self.optimizer = torch.optim.AdamW(groups, fused=_may_fuse(of_model + beside) or None)
        self._scheduler = learning_rates(self.optimizer, total_steps, one_cycle)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of ``loss``."""
        self.optimizer.zero_grad()
        # Rewiring puts other parameters into the groups. What else is in the loss gets no gradient.
        of_model, *beside = (group["params"] for group in self.optimizer.param_groups)
        trained = [one for one in [*of_model, *chain(*beside)] if one.requires_grad]
        loss.backward(inputs=trained)  # type: ignore[no-untyped-call]
        clip(of_model, 1.0, self._spread)
        self.optimizer.step()
        self._scheduler.step()


def check_trains(model: nn.Module) -> None:
    """Raise a ``ValueError`` if a model has nothing to train."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "Expected a model with parameters to train (got none)."
            " Set requires_grad of those that are to be trained."
        )


def _may_fuse(parameters: list[nn.Parameter]) -> bool:
    """Whether the fused steps of the CPU, in half the time for small ones, do what others do.

    For them memory is flat, whatever strides say, and halves are rounded elsewhere.
    """
    dtypes = torch.float32, torch.float64
    return all(
        one.device.type == "cpu" and one.dtype in dtypes and one.is_contiguous()
        for one in parameters
    )


def parameters_but(left_out: Iterable[nn.Parameter], model: nn.Module) -> list[nn.Parameter]:
    """The parameters of a model, without some that may be a part of it."""
    others = set(left_out)
    return [parameter for parameter in model.parameters() if parameter not in others]


def learning_rates(
    optimizer: torch.optim.Optimizer, total_steps: int, one_cycle: bool
) -> torch.optim.lr_scheduler.LRScheduler:
    """One cycle of the learning rate over all steps, or a constant one that falls to 0 at last."""
    if one_cycle and total_steps > 1:  # A cycle of one step has the rate that it ends with.
        largest = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, largest, total_steps=total_steps)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (total_steps - step) / (_FALL * total_steps))
    )
