"""What an optimizer remembers of edges that go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Number

from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules.nn.unit_layer import UnitLayer

_REMEDY = (
    "Go on with another one, e.g. torch.optim.AdamW; or delete it before the edges change, and make"
    " a new one afterwards."
)


def check_optimizes(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], whose: str = "layer"
) -> None:
    """Raise unless ``optimizer`` holds all ``parameters`` that are trained, in its groups alone.

    Raises:
        TypeError: If it is no optimizer.
        ValueError: If it does not hold one of them, if it works through another optimizer, or if it
            has a list of parameters beside its groups, as LBFGS has.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"Expected optimizer to be a torch.optim.Optimizer (got {type(optimizer).__name__})."
            f" {_REMEDY}"
        )
    _check_is_plain(optimizer)
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


def trained_parameters(layer: UnitLayer, *names: str) -> dict[str, nn.Parameter]:
    """Those of ``names`` that are parameters of ``layer``, for :func:`check_optimizes`.

    Raises:
        ValueError: If one is computed from other parameters, which an optimizer then holds.
    """
    own = dict(layer.named_parameters(recurse=False))
    of_units = {f"dynamics.{name}" for name, _ in layer.dynamics.named_parameters()}
    others = sorted(
        name
        for name, _ in layer.named_parameters()
        if name not in ("weight", "bias") and name not in of_units
    )
    for name in names:
        if name not in own:
            raise ValueError(
                f"Expected {name} to be a parameter of the layer (got one that is computed from"
                f" {', '.join(others)}). Make it one before the optimizer is made, by what undoes"
                f" this in torch.nn.utils: parametrize.remove_parametrizations, prune.remove,"
                f" remove_weight_norm or remove_spectral_norm, of (layer, {name!r}). Only cut and"
                f" prune_cross_edges go on as it is, without optimizer=."
            )
    return {name: own[name] for name in names}


def remembered(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """What ``optimizer`` remembers of every entry of ``parameter``, by name.

    Beside these it may remember single numbers, such as counts of steps.

    Raises:
        ValueError: If it remembers anything else, which says nothing of single entries.
    """
    per_entry: dict[str, Tensor] = {}
    for name, value in optimizer.state.get(parameter, {}).items():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            per_entry[name] = value
        elif not _is_single(value):
            what = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value)
            raise ValueError(
                f"Expected an optimizer that remembers something per weight (got"
                f" {type(optimizer).__name__}, whose {name!r} is of {what}, for"
                f" {parameter.numel()} weights). Load its state after that of the layer or of the"
                f" schedule, which know the edges, if it is from a checkpoint. {_REMEDY}"
            )
    return per_entry


def replace_parameter(
    optimizer: Optimizer,
    old: nn.Parameter,
    new: nn.Parameter,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Let ``optimizer`` go on with ``new`` in the place of ``old``.

    Args:
        optimizer (Optimizer): Holds ``old``; changed in place.
        old (Parameter): What goes.
        new (Parameter): What comes.
        state (Mapping, optional): What it is to remember of ``new`` instead of what it remembers of
            ``old``, by name. (default: nothing)
    """
    for group in optimizer.param_groups:
        group["params"] = [new if held is old else held for held in group["params"]]
    if old in optimizer.state:
        optimizer.state[new] = {**optimizer.state.pop(old), **(state or {})}


def _check_is_plain(optimizer: Optimizer) -> None:
    """Raise if ``optimizer`` holds optimizers or parameters in other places than its groups."""
    for name, value in vars(optimizer).items():
        if name in ("param_groups", "state", "defaults"):
            continue
        for one in _members(value):
            if isinstance(one, Optimizer | nn.Parameter):
                raise ValueError(
                    f"Expected an optimizer that holds its parameters in param_groups alone (got"
                    f" {type(optimizer).__name__}, with a {type(one).__name__} in its attribute"
                    f" {name!r}). {_REMEDY}"
                )


def _is_single(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, Number | str | None)


def _members(value: object) -> Iterable[object]:
    """``value`` or, if it is a container, what it contains."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list | tuple | set) else [value]
