"""How a network is trained, and the recipes among which the best is searched."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from sklearn.model_selection import ParameterSampler

_DRAWN_AT_ONCE = 24

_SHARED: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "gelu", "tanh"),
    "learning_rate": (3e-3, 1e-2),
    "weight_decay": (0.1, 0.3, 1.0),
    "noise": (0.0, 0.1, 0.3, 0.6),
}
_LEVELS = (1, 2, 3)
_UPDATES = (4, 8, 12)
DEPTHS = {
    "mlp": _LEVELS,
    "mlp_long": _LEVELS,
    "autoencoder": _LEVELS,
    "dag": (2, 3, 4),
    "free": _UPDATES,
    "modules": _UPDATES,
    "random": _UPDATES,
}
_SHARES = {"modules": (0.05, 0.1, 0.25, 0.5)}
#: The next values beyond the ends of the grids.
_BEYOND: dict[str, dict[Any, Any]] = {
    "learning_rate": {1e-3: 3e-4, 3e-3: 1e-3, 1e-2: 3e-2, 3e-2: 1e-1},
    "weight_decay": {0.01: 0.003, 0.03: 0.01, 0.1: 0.03, 1.0: 3.0, 3.0: 10.0},
    "noise": {0.6: 1.0, 1.0: 2.0},
    "share": {0.025: 0.01, 0.05: 0.025, 0.5: 0.75, 0.75: 0.9},
}
_LEVELS_BEYOND = {3: 4, 4: 5}
_UPDATES_BEYOND = {2: 1, 4: 2, 12: 16, 16: 24}
_DEPTHS_BEYOND = {
    "mlp": _LEVELS_BEYOND,
    "mlp_long": _LEVELS_BEYOND,
    "autoencoder": _LEVELS_BEYOND,
    "dag": {2: 1, 4: 5, 5: 6},
    "free": _UPDATES_BEYOND,
    "modules": _UPDATES_BEYOND,
    "random": _UPDATES_BEYOND,
}
#: Searched for the best recipe without a penalty.
PENALTIES = {"yoked_l1": (1e-5, 1e-4, 1e-3), "yoked_l2": (1e-4, 1e-3, 1e-2)}


@dataclass(frozen=True)
class Recipe:
    """The settings that are searched.

    Args:
        activation (str): Of the hidden units.
        learning_rate (float): The largest of the one-cycle schedule.
        weight_decay (float): Decoupled.
        noise (float): Standard deviation of what is added to the inputs, in theirs.
        depth (int): Hidden levels of a layered network, updates of a unit graph.
        share (float): The part of the epochs that comes before the cut.
        penalty (float): Coefficient of the sum of absolute values, or of squares, of the weights
            of the edges within a level.
    """

    activation: str
    learning_rate: float
    weight_decay: float
    noise: float
    depth: int = 1
    share: float = 0.0
    penalty: float = 0.0


def trials(kind: str, count: int) -> list[Recipe]:
    """The recipes that are tried, drawn from the grid of a kind of network without repetition."""
    grid = dict(_SHARED)
    if kind in DEPTHS:
        grid["depth"] = DEPTHS[kind]
    if kind in _SHARES:
        grid["share"] = _SHARES[kind]
    recipes: dict[Recipe, None] = {}
    seeds = itertools.count()
    while len(recipes) < count:
        for drawn in ParameterSampler(grid, _DRAWN_AT_ONCE, random_state=next(seeds)):
            recipes[Recipe(**drawn)] = None
    return list(recipes)[:count]


def inherited(kind: str, recipe: Recipe) -> list[Recipe]:
    """The recipe of the whole network, for its modules: with every share, if they have one."""
    return [replace(recipe, share=share) for share in _SHARES.get(kind, (0.0,))]


def beyond(kind: str, recipe: Recipe) -> list[Recipe]:
    """Recipes that differ in one setting, which is the next where that is at an end of its grid."""
    next_values = {**_BEYOND, "depth": _DEPTHS_BEYOND.get(kind, {})}
    return [
        replace(recipe, **{name: after[getattr(recipe, name)]})
        for name, after in next_values.items()
        if getattr(recipe, name) in after
    ]
