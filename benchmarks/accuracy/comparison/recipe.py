"""How a network is trained, and the recipes among which the best is searched."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.model_selection import ParameterSampler

#: Recipes that a search of any kind of network chose before this one, by the group of the problem.
EARLIER = Path(__file__).with_name("earlier.json")
_DRAWN_AT_ONCE = 24
_LEVELS = (1, 1, 2, 3, 4, 5)
_UPDATES = (1, 2, 4, 8, 12, 16)
#: Levels of layered networks, and updates of unit graphs, by the depth of a recipe.
DEPTHS = {
    **dict.fromkeys(("mlp", "mlp_long", "autoencoder"), _LEVELS),
    "dag": (2, 2, 2, 3, 4, 5),
    **dict.fromkeys(("free", "modules", "post_hoc", "random"), _UPDATES),
}
_GRID: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "gelu", "tanh"),
    "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2),
    "weight_decay": (0.03, 0.1, 0.3, 1.0),
    "noise": (0.0, 0.1, 0.3, 0.6),
    "depth": (1, 2, 3, 4, 5),
    "share": (0.25, 0.5, 0.75),
    "penalty": (1e-5, 1e-4, 1e-3),
}
_CUT_IN_BETWEEN = ("modules", "post_hoc")
#: What the penalty of a recipe is multiplied by.
PENALTIES = {"yoked_l1": 1.0, "yoked_l2": 10.0}


@dataclass(frozen=True)
class Recipe:
    """The settings that are searched; a kind of network takes those that it has.

    Args:
        activation (str): Of the hidden units.
        learning_rate (float): The largest of the one-cycle schedule.
        weight_decay (float): Decoupled.
        noise (float): Standard deviation of what is added to the inputs, in theirs.
        depth (int): A place in the :data:`DEPTHS` of a kind.
        share (float): The part of the epochs that comes before the cut.
        penalty (float): Coefficient of the sum of absolute values of the weights of the edges
            within a level; of their squares, ten times as large.
    """

    activation: str
    learning_rate: float
    weight_decay: float
    noise: float
    depth: int
    share: float
    penalty: float

    def text(self, kind: str) -> str:
        """What a kind of network takes of it."""
        text = (
            f"{self.activation}, lr {self.learning_rate:g}, decay {self.weight_decay:g}, noise"
            f" {self.noise:g}"
        )
        if kind in DEPTHS:
            text += f", depth {DEPTHS[kind][self.depth]}"
        if kind in _CUT_IN_BETWEEN:
            text += f", cut after {100 * self.share:g}%"
        if kind in PENALTIES:
            text += f", penalty {PENALTIES[kind] * self.penalty:g}"
        return text


def recipes(group: str, kind: str, number: int, count: int) -> dict[str, Recipe]:
    """The recipes that are tried for a kind of network, by their text.

    Those that any kind was ever given, and then draws, which are the same for all kinds and others
    in every search; the first ``count`` that differ for this kind.
    """
    found: dict[str, Recipe] = {}
    for recipe in itertools.chain(_earlier(group), _drawn(number)):
        found.setdefault(recipe.text(kind), recipe)
        if len(found) == count:
            break
    return found


def _earlier(group: str) -> list[Recipe]:
    earlier = json.loads(EARLIER.read_text(encoding="utf-8"))
    return [Recipe(**recipe) for recipe in earlier[group]]


def _drawn(number: int) -> Iterator[Recipe]:
    for seed in itertools.count(1_000_000 * number):
        for drawn in ParameterSampler(_GRID, _DRAWN_AT_ONCE, random_state=seed):
            yield Recipe(**drawn)
