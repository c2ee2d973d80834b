"""Classification of the nodes of Cora, public split.

What is between the convolutions, a unit graph or an MLP of its size, has a learning rate and weight
decay of its own: of those in ``RATES``, every row takes the pair that is best on the validation
nodes with seeds that are not scored. The convolutions are trained as in PyG's example.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import time
from pathlib import Path
from statistics import mean
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GCNConv, GINConv
from torch_geometric.transforms import NormalizeFeatures

from benchmarks.accuracy.comparison.inference import microseconds
from benchmarks.accuracy.comparison.networks import cut_at_random, cut_post_hoc
from benchmarks.accuracy.parallel import by_name, run_all
from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.datasets.named import DATA_ROOT_VARIABLE
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import Probe, seeded

EPOCHS, WIDTH, NUM_HIDDEN, STEPS = 200, 16, 32, 4
SEEDS, SEARCH_SEEDS = range(30), range(100, 105)
# The share of the epochs until the cut.
_SHARE = 0.5
ROWS = (
    "gcn",
    "gcn_mlp",
    "gcn_units",
    "gcn_modules_4",
    "gcn_post_hoc_4",
    "gcn_random_4",
    "gin_mlp",
    "gin_units",
    "gin_modules_4",
    "gin_post_hoc_4",
    "gin_random_4",
)
#: Learning rate and weight decay; the first pair is that of the convolutions.
RATES = tuple(itertools.product((1e-2, 1e-3), (5e-4, 5e-3, 5e-2, 5e-1)))


class GCN(nn.Module):
    """Two convolutions; between them, ``update`` is added to what a node has gathered."""

    def __init__(self, update: nn.Module | None) -> None:
        super().__init__()
        # Begins as the GCN.
        self.gate = nn.Parameter(torch.zeros(int(update is not None)))
        self.first, self.second = GCNConv(1433, WIDTH), GCNConv(WIDTH, 7)
        self.update = update

    def forward(self, data: Data) -> Tensor:
        """Logits of all nodes."""
        edge_index = data.edge_index
        x = self.first(_dropout_of_words(data, self.training), edge_index).relu()
        if self.update is not None:
            x = x + self.gate * self.update(F.dropout(x, 0.5, self.training))
        logits: Tensor = self.second(F.dropout(x, 0.5, self.training), edge_index)
        return logits


class GIN(nn.Module):
    """Two isomorphism convolutions, the first with ``update``."""

    def __init__(self, update: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(1433, WIDTH)
        # It would draw new parameters for a network that it is given.
        self.gather = GINConv(nn.Identity())
        self.update = update
        self.second = GINConv(nn.Linear(WIDTH, 7))

    def forward(self, data: Data) -> Tensor:
        """Logits of all nodes."""
        edge_index = data.edge_index
        x = self.first(_dropout_of_words(data, self.training))
        x = self.update(self.gather(x, edge_index)).relu()
        logits: Tensor = self.second(F.dropout(x, 0.5, self.training), edge_index)
        return logits


def _dropout_of_words(data: Data, training: bool) -> Tensor:
    """Dropout of the words that a paper has: of 1,433 the others are 0 with it and without."""
    x: Tensor = data.x
    if not training:
        return x
    words = data.words.unbind()
    x = x.clone()
    x[words] = F.dropout(x[words], 0.5)
    return x


@functools.cache
def load(data_root: str | None, name: str = "Cora") -> Data:
    """Cora, or another, from a local copy or by PyG's download; ``words`` are where x is not 0.

    Raises:
        ValueError: If the local copy is missing.
    """
    root = Path(mkdtemp())
    data_root = data_root or os.environ.get(DATA_ROOT_VARIABLE)
    if data_root is not None:
        source = Path(data_root) / "Planetoid" / name / "raw"
        if not source.is_dir():
            raise ValueError(f"Expected the folder {source} (it is not there).")
        # PyG writes beside it.
        shutil.copytree(source, root / name / "raw")
    try:
        data = Planetoid(str(root), name, transform=NormalizeFeatures())[0]
    except OSError as error:
        raise ValueError(f"Expected to download {name} (got: {error}).") from error
    finally:
        shutil.rmtree(root)
    data.words = data.x.nonzero().T
    return data


def run(data_root: str | None, *, quick: bool) -> dict[str, Any]:
    """Every row, all seeds, with the rates that are best for it."""
    epochs = 4 if quick else EPOCHS
    trials = _search(data_root, epochs, quick=quick)
    rates = {"gcn": RATES[0]}
    rates |= {
        row: max(of_row, key=lambda trial: mean(trial["validation_scores"]))["rates"]
        for row, of_row in trials.items()
    }
    seeds = SEEDS[:1] if quick else SEEDS
    jobs = [(row, seed, rates[row], data_root, epochs) for row in ROWS for seed in seeds]
    return {
        "epochs": epochs,
        "rates": rates,
        "trials": trials,
        "rows": by_name(jobs, run_all(train, jobs, quick=quick)),
    }


def _search(data_root: str | None, epochs: int, *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """The validation scores of all rates, for every row that has some."""
    seeds, rates = SEARCH_SEEDS, RATES
    if quick:
        seeds, rates = seeds[:1], rates[:1]
    rows = [row for row in ROWS if row != "gcn"]
    jobs = [
        (row, seed, pair, data_root, epochs) for row in rows for pair in rates for seed in seeds
    ]
    results = iter(run_all(train, jobs, quick=quick))
    return {
        row: [
            {"rates": pair, "validation_scores": [next(results)["validation_score"] for _ in seeds]}
            for pair in rates
        ]
        for row in rows
    }


def train(
    row: str, seed: int, rates: tuple[float, float], data_root: str | None, epochs: int
) -> dict[str, Any]:
    """One network."""
    data = load(data_root)
    until = round(_SHARE * epochs)
    with seeded(seed):
        model = _model(row)
        start = time.process_time()
        if row.endswith("_modules_4"):
            model.update = _organised(model, data, until, rates, seed)
            epochs -= until
        elif row.endswith("_post_hoc_4"):
            _fit(model, data, until, rates, None)
            model.update = cut_post_hoc(_layer(model), 4, seed)
            epochs -= until
        elif row.endswith("_random_4"):
            model.update = cut_at_random(_layer(model), 4)
        validation, test = _fit(model, data, epochs, rates, None)
    seconds = time.process_time() - start
    return {
        "seed": seed,
        "validation_score": validation,
        "score": test,
        "num_parameters": num_parameters(model),
        "seconds": seconds,
        "microseconds": microseconds(lambda: accuracies(model, data), len(data.y)),
    }


def _organised(
    model: GCN | GIN, data: Data, epochs: int, rates: tuple[float, float], seed: int
) -> SynchronousGraph:
    """The modules that a training with the regularizer ends with."""
    layer = _layer(model)
    probe = Probe(
        model,
        data,
        layer=layer,
        forward=lambda network, graph: (network(graph), graph.y),
        steps=5,
        learning_rate=rates[0],
        weight_decay=rates[1],
        seed=seed,
    )
    schedule = PartitionSchedule(PartitionRegularizer(layer, 4), epochs, probe=probe, seed=seed)
    _fit(model, data, epochs, rates, schedule)
    return cut(layer, schedule.labels())


def _layer(model: GCN | GIN) -> SynchronousGraph:
    assert isinstance(model.update, SynchronousGraph)
    return model.update


def _model(row: str) -> GCN | GIN:
    if row == "gcn":
        return GCN(None)
    if row.endswith("mlp"):
        return GCN(_mlp()) if row == "gcn_mlp" else GIN(_mlp())
    layer = SynchronousGraph(UnitGraph.complete(WIDTH, NUM_HIDDEN, WIDTH), Unrolled(STEPS))
    return GCN(layer) if row.startswith("gcn") else GIN(layer)


def _mlp() -> nn.Sequential:
    """As many parameters as the unit graph, but for one."""
    return nn.Sequential(nn.Linear(WIDTH, 63), nn.ReLU(), nn.Linear(63, WIDTH))


def _fit(
    model: GCN | GIN,
    data: Data,
    epochs: int,
    rates: tuple[float, float],
    schedule: PartitionSchedule | None,
) -> tuple[float, float]:
    """The accuracies after a training with the rates of every part."""
    groups: list[dict[str, Any]] = [
        {"params": list(model.first.parameters()), "weight_decay": 5e-4},
        {"params": list(model.second.parameters())},
    ]
    if model.update is not None:
        parameters = list(model.update.parameters())
        if isinstance(model, GCN):
            parameters.append(model.gate)
        groups.append({"params": parameters, "lr": rates[0], "weight_decay": rates[1]})
    if schedule is not None:
        groups.append({"params": list(schedule.regularizer.parameters())})
    return fit_nodes(model, data, epochs, torch.optim.Adam(groups, lr=0.01), schedule)


def fit_nodes(
    model: nn.Module,
    data: Data,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    schedule: PartitionSchedule | None,
) -> tuple[float, float]:
    """The accuracies in the epoch of the best validation, as in PyG's example."""
    best = 0.0, 0.0
    for epoch in range(epochs):
        model.train()
        loss = F.cross_entropy(model(data)[data.train_mask], data.y[data.train_mask])
        if schedule is not None:
            schedule.step(epoch)
            loss = loss + schedule.regularizer()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scores = accuracies(model, data)
        best = scores if scores[0] > best[0] else best
    return best


@torch.no_grad()
def accuracies(model: nn.Module, data: Data) -> tuple[float, float]:
    """Those on the validation nodes and on the test nodes."""
    right = model.eval()(data).argmax(dim=-1) == data.y
    return float(right[data.val_mask].float().mean()), float(right[data.test_mask].float().mean())
