"""The tasks of vectors and images, and the rows of their tables."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks.accuracy.comparison.problem import Problem
from benchmarks.accuracy.comparison.training import Row
from pyg_modules.datasets import Dataset, load_dataset

#: Every fifth of the sizes from 35 to 50, all of which the published table has, 2306.02157.
OPTDIGITS_UNITS = (35, 40, 45, 50)
_STEM_FEATURES = 128


def _named(name: str) -> Any:
    return lambda data_root, _seed: load_dataset(name, data_root)


def _tabular(load: Any, *, is_regression: bool = False) -> Any:
    """A quarter is left out for each seed, out of the half that recipes are not searched on.

    Features, and real targets, are standardized.
    """

    def halves(x: Any, y: Any, seed: int) -> Any:
        stratify = None if is_regression else y
        return train_test_split(x, y, test_size=0.5, random_state=seed, stratify=stratify)

    def split(_data_root: str | None, seed: int | None) -> Dataset:
        x, y = load(return_X_y=True)
        train_x, test_x, train_y, test_y = halves(x, y, 0)
        if seed is not None:
            more_x, test_x, more_y, test_y = halves(test_x, test_y, seed)
            train_x = numpy.concatenate([train_x, more_x])
            train_y = numpy.concatenate([train_y, more_y])
        scaler = StandardScaler().fit(train_x)
        inputs = [torch.from_numpy(scaler.transform(part)).float() for part in (train_x, test_x)]
        targets = [torch.from_numpy(part) for part in (train_y, test_y)]
        if is_regression:
            scale, shift = targets[0].std(), targets[0].mean()
            targets = [((part - shift) / scale).float().unsqueeze(1) for part in targets]
        return Dataset(load.__name__, inputs[0], targets[0], inputs[1], targets[1])

    return split


def _stem() -> nn.Module:
    """Two levels of convolutions, from 784 pixels to 128 features."""
    return nn.Sequential(
        nn.Unflatten(-1, (1, 28, 28)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(-3),
    )


PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        *(
            Problem(
                f"optdigits {units}",
                _named("optdigits"),
                64,
                10,
                units,
                80,
                64,
                num_trials=16,
                num_searches=3 if units == 45 else 1,
            )
            for units in OPTDIGITS_UNITS
        ),
        Problem("mnist1d", _named("mnist1d"), 40, 10, 100, 200, 125, num_trials=16, num_searches=3),
        Problem(
            "mnist10k",
            _named("mnist10k"),
            _STEM_FEATURES,
            10,
            64,
            20,
            64,
            seeds=10,
            num_trials=12,
            stem=_stem,
        ),
        Problem(
            "breast cancer",
            _tabular(load_breast_cancer),
            30,
            2,
            32,
            100,
            32,
            num_searches=3,
            is_small=True,
        ),
        Problem("wine", _tabular(load_wine), 13, 3, 32, 100, 16, num_searches=3, is_small=True),
        Problem(
            "diabetes",
            _tabular(load_diabetes, is_regression=True),
            10,
            1,
            32,
            60,
            32,
            num_searches=3,
            is_regression=True,
            is_small=True,
        ),
    )
}

#: What the published table has beside an MLP.
_PUBLISHED = ("autoencoder", "dag", "yoked", "yoked_l1", "yoked_l2")


def rows_of(problem: Problem) -> dict[str, Row]:
    """The rows of the table of a problem, by name."""
    rows = {"mlp": Row("mlp"), "free": Row("free")}
    rows |= {f"modules_{count}": Row("modules", count) for count in problem.modules}
    rows["modules_4_wide"] = Row("modules", 4, is_wide=True)
    for kind in ("post_hoc", "random"):
        rows |= {f"{kind}_4": Row(kind, 4), f"{kind}_4_wide": Row(kind, 4, is_wide=True)}
    rows["equilibrium"] = Row("equilibrium")
    if problem.name.startswith("optdigits"):
        rows |= {kind: Row(kind) for kind in _PUBLISHED}
    if problem.name == "mnist1d":
        # Where the unit graph leads, is it by depth, by its edges back, or by the time it takes?
        rows |= {"dag": Row("dag"), "mlp_long": Row("mlp_long", passes=2)}
    return rows
