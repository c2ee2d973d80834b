"""Classification of random graphs: has a house or a cycle been added? Five seeds."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import ExplainerDataset
from torch_geometric.datasets.graph_generator import ERGraph
from torch_geometric.datasets.motif_generator import CycleMotif, HouseMotif
from torch_geometric.loader import DataLoader
from torch_geometric.nn import BatchNorm, GINConv, global_add_pool

from benchmarks.accuracy.comparison.inference import microseconds
from benchmarks.accuracy.comparison.networks import (
    cut_at_random,
    cut_post_hoc,
    hidden_of_size,
    layered,
    size_of_complete,
)
from benchmarks.accuracy.parallel import by_name, run_all
from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
)
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import Probe, accuracy, seeded

SEEDS, EPOCHS, BATCH_SIZE, WIDTH, NUM_HIDDEN, STEPS = 5, 40, 50, 16, 16, 4
#: Both motifs have five nodes; in a graph this dense, chance makes triangles and cycles too.
NUM_NODES, EDGE_PROBABILITY = 20, 0.1
NUM_GRAPHS = {"train": 400, "validation": 400, "test": 1000}
#: Every row takes, in every seed, the one that is best on the validation graphs.
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
# The share of the epochs until the cut.
_SHARE = 0.5
ROWS = ("gin_mlp", "gin_units", "gin_modules_4", "gin_post_hoc_4", "gin_random_4")


class GIN(nn.Module):
    """Two isomorphism convolutions with the networks of a row, sum pooling, a linear head."""

    def __init__(self, row: str) -> None:
        super().__init__()
        self.first, self.second = GINConv(_network(row, 1)), GINConv(_network(row, WIDTH))
        self.norms = nn.ModuleList([BatchNorm(WIDTH), BatchNorm(WIDTH)])
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, data: Data) -> Tensor:
        """Logits of the two motifs, one row per graph."""
        x = data.x
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = norm(conv(x, data.edge_index)).relu()
        logits: Tensor = self.head(global_add_pool(x, data.batch))
        return logits


def graphs(count: int) -> list[Data]:
    """Houses and cycles in turn, each linked to a random graph; all nodes look alike."""
    random_graph = ERGraph(NUM_NODES, EDGE_PROBABILITY)
    motifs = (HouseMotif(), CycleMotif(5))
    classes = [ExplainerDataset(random_graph, motif, 1, -(-count // 2)) for motif in motifs]
    both = [
        Data(torch.ones(graph.num_nodes, 1), graph.edge_index, y=torch.tensor([label]))
        for pair in zip(*classes, strict=True)
        for label, graph in enumerate(pair)
    ]
    return both[:count]


def run(*, quick: bool) -> dict[str, Any]:
    """Every row, all seeds."""
    epochs, seeds, part = (4, 1, 10) if quick else (EPOCHS, SEEDS, 1)
    jobs = [(row, seed, epochs, part) for row in ROWS for seed in range(seeds)]
    runs = run_all(train, jobs, quick=quick)
    return {
        "epochs": EPOCHS,
        "num_train": NUM_GRAPHS["train"],
        "rows": by_name(jobs, runs),
    }


def train(row: str, seed: int, epochs: int, part: int) -> dict[str, Any]:
    """The test accuracy of the learning rate that is best on the validation graphs.

    Args:
        row (str): The networks in the convolutions.
        seed (int): Of everything.
        epochs (int): Of each training.
        part (int): One of so many of all graphs is there.
    """
    with seeded(seed):
        data, *others = (graphs(count // part) for count in NUM_GRAPHS.values())
        validation, test = map(Batch.from_data_list, others)
    trials = []
    for learning_rate in LEARNING_RATES:
        start = time.process_time()
        with seeded(seed):
            model = _trained(row, data, epochs, learning_rate, seed)
        trials.append(
            {
                "learning_rate": learning_rate,
                "validation_score": accuracy(model, validation, validation.y),
                "score": accuracy(model, test, test.y),
                "num_parameters": num_parameters(model),
                "seconds": time.process_time() - start,
                "microseconds": microseconds(partial(accuracy, model, test, test.y), len(test.y)),
            }
        )
    best = max(trials, key=lambda trial: trial["validation_score"])
    return {"seed": seed, **best}


def _network(row: str, num_inputs: int) -> nn.Module:
    """Of as many parameters in all rows; the modules have them after the cut."""
    size = size_of_complete(num_inputs, NUM_HIDDEN, WIDTH)
    if row == "gin_mlp":
        return layered(size, num_inputs, WIDTH, 1, "relu")
    num_modules = 1 if row == "gin_units" else 4
    num_hidden = hidden_of_size(size, num_inputs, WIDTH, num_modules)
    return SynchronousGraph(UnitGraph.complete(num_inputs, num_hidden, WIDTH), Unrolled(STEPS))


def _trained(row: str, data: list[Data], epochs: int, learning_rate: float, seed: int) -> GIN:
    model = GIN(row)
    convs = (model.first, model.second)
    until = round(_SHARE * epochs)
    if row == "gin_random_4":
        for conv in convs:
            conv.nn = cut_at_random(conv.nn, 4)
    if row in ("gin_mlp", "gin_units", "gin_random_4"):
        _fit(model, data, epochs, learning_rate, [])
        return model
    if row == "gin_post_hoc_4":
        _fit(model, data, until, learning_rate, [])
        for conv in convs:
            conv.nn = cut_post_hoc(conv.nn, 4, seed)
        _fit(model, data, epochs - until, learning_rate, [])
        return model
    probes = [
        Probe(
            model,
            data,
            layer=conv.nn,
            forward=lambda network, batch: (network(batch), batch.y),
            learning_rate=learning_rate,
            weight_decay=0.0,
            batch_size=BATCH_SIZE,
            seed=seed,
        )
        for conv in convs
    ]
    schedules = [
        PartitionSchedule(PartitionRegularizer(conv.nn, 4), until, probe=probe, seed=seed)
        for conv, probe in zip(convs, probes, strict=True)
    ]
    _fit(model, data, until, learning_rate, schedules)
    # All before the first cut, after which the model is another one.
    labels = [schedule.labels() for schedule in schedules]
    for conv, modules in zip(convs, labels, strict=True):
        conv.nn = cut(conv.nn, modules)
    _fit(model, data, epochs - until, learning_rate, [])
    return model


def _fit(
    model: GIN,
    data: list[Data],
    epochs: int,
    learning_rate: float,
    schedules: list[PartitionSchedule],
) -> None:
    """Adam, one cycle."""
    regularizers = nn.ModuleList(schedule.regularizer for schedule in schedules)
    optimizer = torch.optim.Adam([*model.parameters(), *regularizers.parameters()])
    loader = DataLoader(data, BATCH_SIZE, shuffle=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * len(loader)
    )
    model.train()
    for epoch in range(epochs):
        for schedule in schedules:
            schedule.step(epoch)
        for batch in loader:
            loss = F.cross_entropy(model(batch), batch.y)
            for regularizer in regularizers:
                loss = loss + regularizer()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
    model.eval()
