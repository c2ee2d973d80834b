"""Units on graphs of citations against a GCN: ``python -m benchmarks.accuracy.citation``.

The Planetoid sets that are under ``--data-root`` (Cora alone without one), public split. A GCN and
a ``SynchronousConv`` of no more parameters have the same grid of trials, on seeds that are not
scored; what is best on the validation nodes is trained on the others, as in PyG's example. The
layer is also cut into four modules after half of the epochs, in several ways, and trained on, with
the settings of the whole one.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, Linear

from benchmarks.accuracy.comparison.cora import fit_nodes, load
from benchmarks.accuracy.intervals import half_interval, mean_difference
from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.random_labels import random_labels
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules import (
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousConv,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules._files import write_json
from pyg_modules.datasets.named import DATA_ROOT_VARIABLE
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.experiment.versions import versions
from pyg_modules.train import Probe, seeded

RESULTS = Path(__file__).with_suffix(".json")
NAMES = ("Cora", "CiteSeer", "PubMed")
NUM_MODULES, EPOCHS, PROBED = 4, 200, 3
SEEDS, SEARCH_SEEDS = range(30), range(100, 103)
#: Hidden units of the GCN, whose parameters nobody may exceed.
WIDTH = 32
#: Dropout, learning rate, weight decay.
Settings = tuple[float, float, float]
TRIALS: list[Settings] = list(product((0.5, 0.65, 0.8, 0.9), (5e-3, 1e-2), (5e-4, 2e-3)))


class GCN(nn.Module):
    """Two convolutions."""

    def __init__(self, data: Data, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = GCNConv(data.num_features, WIDTH)
        self.second = GCNConv(WIDTH, int(data.y.max()) + 1)

    def forward(self, data: Data) -> Tensor:
        """Logits of all nodes."""
        hidden = self.first(_words(data, self.dropout, self.training), data.edge_index).relu()
        hidden = F.dropout(hidden, self.dropout, self.training)
        logits: Tensor = self.second(hidden, data.edge_index)
        return logits


class Units(nn.Module):
    """Words by way of a Linear to an input for every hidden unit, which all talk to each other."""

    def __init__(self, data: Data, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        num_hidden, num_classes = 1, int(data.y.max()) + 1
        most = num_parameters(GCN(data, dropout))
        while _size(data.num_features, num_hidden + 1, num_classes) <= most:
            num_hidden += 1
        graph = _graph(num_hidden, num_classes)
        self.enter = Linear(data.num_features, num_hidden, bias=False, weight_initializer="glorot")
        self.conv = SynchronousConv(
            graph, solver=Unrolled(2), activation="tanh", carry=True, dropout=dropout
        )
        source = graph.edge_index[0]
        with torch.no_grad():  # A unit begins with the words of its own node.
            self.conv.weight[source < graph.num_inputs] = torch.tensor([1.0, 0.0])

    def forward(self, data: Data) -> Tensor:
        """Logits of all nodes."""
        inputs = self.enter(_words(data, self.dropout, self.training))
        inputs = F.dropout(inputs, self.dropout, self.training)
        logits: Tensor = self.conv(inputs, data.edge_index)
        return logits


KINDS: dict[str, Callable[[Data, float], GCN | Units]] = {
    "GCN": GCN,
    "SynchronousConv": Units,
}
#: The rows: what is trained, and how it is cut.
ROWS: dict[str, tuple[str, str | None]] = {
    "GCN": ("GCN", None),
    "SynchronousConv": ("SynchronousConv", None),
    "4 modules, learned": ("SynchronousConv", "learned"),
    "4 modules, post hoc": ("SynchronousConv", "post hoc"),
    "4 modules, at random": ("SynchronousConv", "random"),
    "4 modules from the start": ("SynchronousConv", "start"),
}


def _words(data: Data, dropout: float, training: bool) -> Tensor:
    """The words that papers have, with dropout, as a sparse matrix."""
    values = F.dropout(data.x[data.words.unbind()], dropout, training)
    return torch.sparse_coo_tensor(data.words, values, data.x.shape, check_invariants=False)


def _graph(num_hidden: int, num_classes: int) -> UnitGraph:
    """Every input goes to a unit of its own; hidden units to each other and to the outputs."""
    hidden = torch.arange(num_hidden, 2 * num_hidden)
    outputs = torch.arange(num_classes) + 2 * num_hidden
    edges = [
        torch.stack([hidden - num_hidden, hidden]),
        torch.cartesian_prod(hidden, hidden).T,
        torch.cartesian_prod(hidden, outputs).T,
    ]
    return UnitGraph(torch.cat(edges, dim=1), 2 * num_hidden + num_classes, num_hidden, num_classes)


def _size(num_words: int, num_hidden: int, num_classes: int) -> int:
    """Parameters of ``Units``: of the Linear, two of every edge, and the biases."""
    num_edges = num_hidden * (1 + num_hidden + num_classes)
    return num_words * num_hidden + 2 * num_edges + num_hidden + num_classes


def run(
    name: str, row: str, settings: Settings, seed: int, epochs: int, data_root: str | None
) -> dict[str, Any]:
    """One training."""
    data = load(data_root, name)
    kind, way = ROWS[row]
    dropout, learning_rate, weight_decay = settings
    rates: Any = {"lr": learning_rate, "weight_decay": weight_decay}
    half = epochs // 2
    with seeded(seed):
        model = KINDS[kind](data, dropout)
        begin = process_time()
        if way is not None:
            assert isinstance(model, Units)
            if way == "start":
                labels = random_labels(model.conv.graph, NUM_MODULES, seed)
            else:
                labels = _labels(model, data, way, half, rates, seed)
            model.conv = cut(model.conv, labels)
        left = epochs if way in (None, "start") else epochs - half
        optimizer = torch.optim.Adam(model.parameters(), **rates)
        validation, test = fit_nodes(model, data, left, optimizer, None)
    return {
        "name": name,
        "row": row,
        "seed": seed,
        "validation_score": validation,
        "score": test,
        "num_parameters": num_parameters(model),
        "seconds": process_time() - begin,
    }


def _labels(model: Units, data: Data, way: str, epochs: int, rates: Any, seed: int) -> Tensor:
    """Modules of the layer, after so many epochs."""
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    schedule = None
    if way == "learned":
        probe = Probe(
            model,
            data,
            layer=model.conv,
            forward=lambda network, graph: (network(graph), graph.y),
            steps=PROBED,
            learning_rate=rates["lr"],
            weight_decay=rates["weight_decay"],
            seed=seed,
        )
        regularizer = PartitionRegularizer(model.conv, NUM_MODULES)
        schedule = PartitionSchedule(regularizer, epochs, probe=probe, seed=seed)
        groups.append({"params": list(regularizer.parameters()), "weight_decay": 0.0})
    fit_nodes(model, data, epochs, torch.optim.Adam(groups, **rates), schedule)
    if schedule is not None:
        return schedule.labels()
    if way == "random":
        return random_labels(model.conv.graph, NUM_MODULES, seed)
    return partition_units(model.conv, NUM_MODULES, seed=seed)


def measure(name: str, data_root: str | None, *, quick: bool) -> dict[str, Any]:
    """The trials of both kinds, and every row with the best of its kind."""
    epochs, trials, search_seeds, seeds = EPOCHS, TRIALS, SEARCH_SEEDS, SEEDS
    if quick:
        epochs, trials, search_seeds, seeds = 4, trials[:1], search_seeds[:1], seeds[:2]
    jobs = [
        (name, kind, settings, seed, epochs, data_root)
        for kind in KINDS
        for settings in trials
        for seed in search_seeds
    ]
    results = iter(run_all(run, jobs, quick=quick))
    tried = {
        kind: [
            {
                "settings": settings,
                "validation_scores": [next(results)["validation_score"] for _ in search_seeds],
            }
            for settings in trials
        ]
        for kind in KINDS
    }
    best: dict[str, Any] = {
        kind: max(of_kind, key=lambda trial: mean(trial["validation_scores"]))["settings"]
        for kind, of_kind in tried.items()
    }
    jobs = [
        (name, row, best[kind], seed, epochs, data_root)
        for seed in seeds
        for row, (kind, _) in ROWS.items()
    ]
    runs = run_all(run, jobs, quick=quick)
    return {"epochs": epochs, "trials": tried, "settings": best, "runs": runs}


def citation(path: Path = RESULTS) -> str:
    """A row per network and set, with the differences to the GCN by seed."""
    rows = []
    for name, result in json.loads(path.read_text(encoding="utf-8"))["sets"].items():
        of_rows = {row: [one for one in result["runs"] if one["row"] == row] for row in ROWS}
        scores = {row: [100 * one["score"] for one in runs] for row, runs in of_rows.items()}
        for row, runs in of_rows.items():
            values = scores[row]
            is_gcn = row == "GCN"
            dropout, rate, decay = result["settings"][ROWS[row][0]]
            rows.append(
                [
                    f"{name}: {row}",
                    f"{mean(one['num_parameters'] for one in runs):,.0f}",
                    f"**{mean(values):.2f}** ± {stdev(values):.2f}",
                    f"± {half_interval(values):.2f}",
                    "" if is_gcn else mean_difference(values, scores["GCN"]),
                    f"{mean(one['seconds'] for one in runs):.1f}",
                    f"{dropout:g}, {rate:g}, {decay:g}",
                ]
            )
    header = [
        f"public split, {len(runs)} seeds",
        "parameters",
        "test accuracy, %, mean ± std",
        "95 % interval",
        "difference to GCN",
        "training, s",
        "dropout, lr, decay",
    ]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> None:
    """Search, train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.citation")
    parser.add_argument("--data-root", metavar="DIR", help="local copies, in Planetoid/")
    options = parse(parser, arguments, RESULTS, quick="one trial, two seeds, four epochs")
    root = options.data_root or os.environ.get(DATA_ROOT_VARIABLE)
    names = ["Cora"]
    if root is not None:
        names = [name for name in NAMES if (Path(root) / "Planetoid" / name / "raw").is_dir()]
        if not names:
            parser.error(f"expected one of {', '.join(NAMES)} in {Path(root) / 'Planetoid'}")
    sets = {}
    for name in names:
        sets[name] = measure(name, root, quick=options.quick)
        write_json(options.out, {"sets": sets, "versions": versions()})
    print(citation(options.out))


if __name__ == "__main__":
    main()
