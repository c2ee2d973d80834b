"""What an optimizer remembers of edges that go."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules.ops.sharding import clear


def check_optimizes(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], whose: str = "layer"
) -> None:
    """Raise unless ``optimizer`` holds all ``parameters`` that are trained.

    Raises:
        TypeError: If it is no optimizer.
        ValueError: If it does not hold one of them, or is LBFGS.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"Expected optimizer to be a torch.optim.Optimizer (got {type(optimizer).__name__})."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "Expected an optimizer that remembers something per weight (got LBFGS, which remembers"
            " directions of all together). Make a new LBFGS after the cut."
        )
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.requires_grad and id(parameter) not in held
    ]
    if missing:
        raise ValueError(
            f"Expected the optimizer of the {whose} (got one without its {' and '.join(missing)})."
            f" Give it {whose}.parameters()."
        )


def replace_parameter(
    optimizer: Optimizer, old: nn.Parameter, new: nn.Parameter, kept: Tensor | None = None
) -> None:
    """Let ``optimizer`` go on with ``new`` in the place of ``old``.

    Args:
        optimizer (Optimizer): Holds ``old``; changed in place.
        old (Parameter): ``[E]``.
        new (Parameter): Those of its entries that ``kept`` marks.
        kept (BoolTensor, optional): ``[E]``. (default: all)
    """
    for group in optimizer.param_groups:
        group["params"] = [new if held is old else held for held in group["params"]]
    if old in optimizer.state:
        optimizer.state[new] = {
            name: _selected(value, old, kept) for name, value in optimizer.state.pop(old).items()
        }


def forget_entries(optimizer: Optimizer, parameter: nn.Parameter, kept: Tensor) -> None:
    """Set to 0 what ``optimizer`` remembers of the entries of ``parameter`` that are not kept."""
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            clear(value, kept)


def _selected(value: object, old: nn.Parameter, kept: Tensor | None) -> object:
    if not isinstance(value, Tensor):
        return value
    if kept is None or value.shape != old.shape:
        return value.clone()
    return torch.clone(value[kept.to(value.device)])
