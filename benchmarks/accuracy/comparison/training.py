"""One network of a table, trained and measured."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.comparison import networks
from benchmarks.accuracy.comparison.inference import microseconds
from benchmarks.accuracy.comparison.networks import Noise
from benchmarks.accuracy.comparison.problem import Problem, on_model
from benchmarks.accuracy.comparison.recipe import DEPTHS, PENALTIES, Recipe
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import Dataset
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import Schedule, fit, organise, seeded

# The share of the epochs in which an autoencoder learns to reconstruct.
_PRETRAINING = 0.25


class Row(NamedTuple):
    """A row of a table: the network, and in how many modules it is cut.

    Args:
        kind (str): Which network; its recipe is the one that is searched for this kind.
        num_modules (int, optional): Modules; 0 for a network that is not cut.
        is_wide (bool, optional): Whether as many parameters are left after the cut as the complete
            unit graph has; else as many units.
        passes (int, optional): How often the epochs of the others.
    """

    kind: str
    num_modules: int = 0
    is_wide: bool = False
    passes: int = 1


def train(problem: Problem, data: Dataset, row: Row, recipe: Recipe, seed: int) -> dict[str, Any]:
    """The scores of one run, and what it took."""
    start = time.process_time()
    with seeded(seed):
        stem = [] if problem.stem is None else [problem.stem()]
        network = _network(problem, row, recipe)
        model = nn.Sequential(Noise(recipe.noise), *stem, network)
        run = _Run(problem, data, recipe, seed, problem.epochs * row.passes)
        if row.kind == "autoencoder":
            _pretrain(run, network)
            run.fit(model, run.epochs(1 - _PRETRAINING))
        elif row.kind == "random":
            model[-1] = networks.cut_at_random(network, row.num_modules)
            run.fit(model, run.all_epochs)
        elif row.kind == "post_hoc":
            until = run.epochs(recipe.share)
            run.fit(model, until)
            model[-1] = networks.cut_post_hoc(network, row.num_modules, seed)
            run.fit(model, run.all_epochs - until)
        elif row.num_modules:
            run.organise(model, row.num_modules)
        elif row.kind in PENALTIES:
            penalty = _Penalty(row.kind, network, PENALTIES[row.kind] * recipe.penalty)
            run.fit(model, run.all_epochs, schedule=penalty)
        else:
            run.fit(model, run.all_epochs)
    seconds = time.process_time() - start
    outputs = on_model(model, data.test_x)
    return {
        "seed": seed,
        "score": problem.score(outputs, data.test_y),
        "loss": float(problem.loss(outputs, data.test_y)),
        "num_parameters": num_parameters(model),
        "seconds": seconds,
        "microseconds": microseconds(lambda: on_model(model, data.test_x), len(data.test_x)),
    }


class _Run:
    def __init__(
        self, problem: Problem, data: Dataset, recipe: Recipe, seed: int, epochs: int
    ) -> None:
        self.problem, self.data, self.recipe, self.seed = problem, data, recipe, seed
        self.all_epochs = epochs
        self.options: Any = {
            "learning_rate": recipe.learning_rate,
            "weight_decay": recipe.weight_decay,
            "batch_size": problem.batch_size,
        }

    def epochs(self, share: float) -> int:
        return max(1, round(share * self.all_epochs))

    def fit(self, model: nn.Module, epochs: int, schedule: Schedule | None = None) -> None:
        fit(
            model,
            self.data,
            epochs=epochs,
            seed=self.seed,
            schedule=schedule,
            loss=self.problem.loss,
            **self.options,
        )

    def organise(self, model: nn.Module, num_modules: int) -> None:
        until = self.epochs(self.recipe.share)
        organise(
            model,
            self.data,
            num_modules,
            epochs=until,
            finetune_epochs=self.all_epochs - until,
            seed=self.seed,
            loss=self.problem.loss,
            **self.options,
        )

    def reconstruct(self, model: nn.Module, inputs: Tensor, epochs: int) -> None:
        fit(
            model,
            (inputs, inputs),
            epochs=epochs,
            seed=self.seed,
            loss=F.mse_loss,
            **self.options,
        )


def _network(problem: Problem, row: Row, recipe: Recipe) -> Any:
    size, num_inputs, num_outputs = problem.size, problem.num_inputs, problem.num_outputs
    num_hidden, activation = problem.num_hidden, recipe.activation
    depth = DEPTHS[row.kind][recipe.depth] if row.kind in DEPTHS else 0
    if row.kind in ("mlp", "mlp_long", "autoencoder"):
        return networks.layered(size, num_inputs, num_outputs, depth, activation)
    if row.kind == "dag":
        return networks.dag(size, num_inputs, num_outputs, depth, activation)
    if row.kind.startswith("yoked"):
        return networks.yoked(num_inputs, num_hidden, num_outputs, activation)
    if row.is_wide:
        num_hidden = networks.hidden_of_size(size, num_inputs, num_outputs, row.num_modules)
    graph = UnitGraph.complete(num_inputs, num_hidden, num_outputs)
    if row.kind == "equilibrium":
        return SynchronousGraph(graph, networks.EQUILIBRIUM, activation)
    return SynchronousGraph(graph, Unrolled(depth), activation)


def _pretrain(run: _Run, network: nn.Sequential) -> None:
    """Level by level, each reconstructs the states of the one before; decoders are dropped."""
    levels = list(network)[:-1]
    states = run.data.train_x
    epochs = max(1, run.epochs(_PRETRAINING) * 2 // len(levels))
    for linear, activation in zip(levels[::2], levels[1::2], strict=True):
        assert isinstance(linear, nn.Linear)
        decoder = nn.Linear(linear.out_features, linear.in_features)
        encoder = nn.Sequential(linear, activation)
        run.reconstruct(nn.Sequential(Noise(run.recipe.noise), encoder, decoder), states, epochs)
        states = on_model(encoder, states)


class _Penalty:
    """The size of the weights within a level; a schedule that is always on."""

    def __init__(self, kind: str, layer: SynchronousGraph, coefficient: float) -> None:
        self.kind, self.layer, self.coefficient = kind, layer, coefficient

    def step(self, epoch: int) -> None: ...

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        weight = networks.within_level(self.layer)
        size = weight.abs() if self.kind == "yoked_l1" else weight.square()
        return {self.kind: (self.coefficient, size.sum())}

    def parameters(self) -> list[nn.Parameter]:
        return []
