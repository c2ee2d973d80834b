from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pyg_modules._brief import brief
from pyg_modules._checks import as_coefficient, as_int, as_share
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.structure.search.search_topology import import_optuna
from pyg_modules.train.checked_loss import CheckedLoss
from pyg_modules.train.evaluation import evaluate
from pyg_modules.train.fit import DivergedError, fit
from pyg_modules.train.training_data import batches_of

if TYPE_CHECKING:
    from optuna import Trial

# What a search sets itself.
# A schedule is of one layer, and every trial has its own.
_GIVEN = ("epochs", "seed", "on_epoch", "schedule")
_SUGGESTED = ("learning_rate", "weight_decay")


class TopologyTraining:
    """How :func:`~pyg_modules.structure.search_topology` trains: by :func:`fit`, all alike.

    The score is that of samples that are held out, the same in all trials: their accuracy if
    targets are classes, else the loss, negative. It is reported after every epoch, so that the
    pruner may end the trial; so does a training that diverges.

    Args:
        x (Tensor): Inputs, ``[B, I]``; layers are trained on their device.
        y (Tensor): Their targets.
        epochs (int): Passes over the training data, at least 1.
        held_out (float, optional): The part of the samples that is held out, more than 0 and less
            than 1. (default: 0.2)
        seed (int, optional): Of which samples these are. (default: 0)
        suggest (mapping, optional): ``"learning_rate"`` and ``"weight_decay"``, where they are
            searched as well: by name, the bounds, tried on a logarithmic scale, e.g.
            ``{"learning_rate": (1e-3, 3e-2)}``. (default: none)
        **options (object): Options of :func:`fit` that are the same in all trials.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or no sample would be left on one side.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        epochs: int,
        *,
        held_out: float = 0.2,
        seed: int = 0,
        suggest: Mapping[str, tuple[float, float]] | None = None,
        **options: Any,
    ) -> None:
        self.epochs = as_int("epochs", epochs, smallest=1)
        seed = as_int("seed", seed, smallest=0)
        for name, value in (("x", x), ("y", y)):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"Expected {name} to be a Tensor (got {type(value).__name__}). Use"
                    f" torch.as_tensor."
                )
        if len(x) != len(y):
            raise ValueError(
                f"Expected a target per sample (got {len(x)} samples and {len(y)} targets)."
                " Give as many."
            )
        size = round(as_share("held_out", held_out) * len(x))
        if not 0 < size < len(x):
            raise ValueError(
                f"Expected held_out samples and others (got {size} of {len(x)}). Choose held_out"
                f" between 0 and 1, or use more samples."
            )
        self.suggest, self.options = dict(suggest or {}), options
        _check_options(self.suggest, self.options)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(x), generator=generator, device="cpu").to(x.device)
        self.training_data = x[order[size:]], y[order[size:]]
        self.validation_data = x[order[:size]], y[order[:size]]

    def __call__(self, layer: SynchronousGraph, trial: Trial) -> float:
        """Train a layer in place.

        Args:
            layer (SynchronousGraph): The layer.
            trial (optuna.Trial): The trial that is told of every epoch.

        Returns:
            float: The score of the layer as it is left.

        Raises:
            optuna.TrialPruned: If the trial is to end, or the training diverges.
        """
        optuna = import_optuna()
        layer.to(self.training_data[0].device)
        options = dict(self.options)
        for name, (low, high) in self.suggest.items():
            options[name] = trial.suggest_float(name, low, high, log=True)
        loss = CheckedLoss(options.get("loss", F.cross_entropy))
        settings: Any = {"forward": options.get("forward"), "batch_size": options.get("batch_size")}
        held_out = batches_of(self.validation_data, layer, part="validation", seed=None, **settings)

        def score() -> float:
            found = evaluate(layer, held_out, loss)
            return found.get("accuracy", -found["loss"])

        def report(epoch: int, _: dict[str, float]) -> None:
            trial.report(score(), epoch)
            if epoch < self.epochs and trial.should_prune():
                raise optuna.TrialPruned

        try:
            fit(
                layer,
                self.training_data,
                epochs=self.epochs,
                seed=trial.user_attrs["seed"],
                on_epoch=report,
                **options,
            )
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        return score()


def _check_options(suggest: Mapping[str, tuple[float, float]], options: Mapping[str, Any]) -> None:
    """Raise unless both are of options of ``fit`` that are free, and ``suggest`` has bounds."""
    known = [name for name in list(signature(fit).parameters)[2:] if name not in _GIVEN]
    for name in (*suggest, *options):
        if name not in known:
            raise TypeError(
                f"Expected options of fit that a search does not set itself (got {name!r}). They"
                f" are {', '.join(known)}."
                " Use one of these."
            )
    for name, bounds in suggest.items():
        if name not in _SUGGESTED:
            raise ValueError(
                f"Expected {' or '.join(_SUGGESTED)} in suggest (got {name!r}, which is not tried"
                f" on a logarithmic scale). Give it as an option, {name}=..."
            )
        if name in options:
            raise ValueError(
                f"Expected {name} in suggest or as an option (got both). Leave one out."
            )
        if isinstance(bounds, str) or not isinstance(bounds, Sequence) or len(bounds) != 2:
            raise TypeError(
                f"Expected a pair of bounds of {name} in suggest (got {brief(bounds)}). Give what"
                f" is the same in all trials as an option, {name}=..."
            )
        low, high = (as_coefficient(name, bound) for bound in bounds)
        if not 0 < low <= high:
            raise ValueError(
                f"Expected bounds of {name} above 0, the lower one first, as the scale is"
                f" logarithmic (got {brief(bounds)})."
                " Correct them."
            )
