"""What a new user gets wrong: every message says what was expected, what came, and what to do."""

import re
from types import SimpleNamespace

import numpy
import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.cli import main
from pyg_modules.datasets import load_dataset, load_file
from pyg_modules.modules import lesion_study
from pyg_modules.parallel import export_parts
from pyg_modules.partition import suggest_num_modules
from pyg_modules.report import report
from pyg_modules.structure import SparseSchedule, TopologySpace, rewire
from pyg_modules.train import (
    Probe,
    fit,
    organise,
    partition_verdict,
)

GRAPH = UnitGraph.complete(4, 8, 3)
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
ROWS = torch.linspace(-1, 1, 24).view(6, 4)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])
# Hidden units 4 to 11 in two modules; inputs and outputs are shared.
LABELS = torch.tensor([-1] * 4 + [0, 1] * 4 + [-1] * 3)
SMALL = {"epochs": 1, "seed": 0}


def units():
    return SynchronousGraph(GRAPH, Unrolled(2))


def conv():
    return SynchronousConv(GRAPH, solver=Unrolled(2))


def images():
    return SynchronousConv2d(GRAPH, 3, Unrolled(2))


def modules():
    return cut(units(), LABELS)


def data_of(x=ROWS, y=CLASSES):
    return SimpleNamespace(train_x=x, train_y=y)


def file_of(folder, text, name="own.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def with_dropout():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3))


#: What is done, by what is wrong with it.
GRAPHS = {
    "pairs instead of rows": lambda: UnitGraph(EDGES.t(), 3, 1, 1),
    "an edge to a unit that is not there": lambda: UnitGraph(EDGES + 5, 4, 1, 1),
    "edges of floats": lambda: UnitGraph(EDGES.float(), 4, 1, 1),
    "an edge into an input": lambda: UnitGraph(EDGES, 3, 2, 1),
    "edges as a list": lambda: UnitGraph([[0, 1], [1, 2]], 3, 1, 1),
    "more inputs and outputs than units": lambda: UnitGraph(EDGES, 3, 2, 2),
    "a size that is a float": lambda: UnitGraph.complete(4, 8.5, 3),
    "a density in percent": lambda: UnitGraph.erdos_renyi(4, 8, 3, 20),
    "a seed for a generator": lambda: UnitGraph.erdos_renyi(4, 8, 3, 0.5, generator=0),
    "a generator of NumPy": lambda: UnitGraph.small_world(
        4, 8, 3, 2, 0.1, generator=numpy.random.default_rng(0)
    ),
    "a layered graph of one level": lambda: UnitGraph.layered([4]),
    "an odd degree of a small world": lambda: UnitGraph.small_world(4, 8, 3, 3, 0.1),
}
LAYERS = {
    "sizes instead of a graph": lambda: SynchronousGraph(4, 8, 3),
    "an activation of no such name": lambda: SynchronousGraph(GRAPH, activation="rely"),
    "an activation as a function": lambda: SynchronousGraph(GRAPH, activation=torch.relu),
    "a number of steps as the solver": lambda: SynchronousGraph(GRAPH, 6),
    "no step": lambda: Unrolled(0),
    "a contraction of 1": lambda: Equilibrium(contraction=1.0),
    "a backend of no such name": lambda: SynchronousGraph(GRAPH, backend="cuda"),
    "dropout in percent": lambda: SynchronousGraph(GRAPH, dropout=50),
    "an activation for each of too few units": lambda: SynchronousGraph(
        GRAPH, activation=["relu", "tanh"]
    ),
    "a seed for the generator of weights": lambda: SynchronousGraph(GRAPH, generator=0),
    "rows that are too wide": lambda: units()(torch.ones(6, 5)),
    "rows of integers": lambda: units()(torch.ones(6, 4, dtype=torch.long)),
    "rows of another precision": lambda: units()(ROWS.double()),
    "rows as an array": lambda: units()(ROWS.numpy()),
    "edges of the data for a layer without them": lambda: units()(ROWS, EDGES),
    "a whole data object": lambda: units()(Data(x=ROWS, edge_index=EDGES)),
    "no edges for a convolution": lambda: conv()(ROWS, None),
    "nodes that are not there": lambda: conv()(ROWS, EDGES + 9),
    "weights of too few edges": lambda: conv()(ROWS, EDGES, torch.ones(2)),
    "negative weights that are normalized": lambda: conv()(ROWS, EDGES, -torch.ones(3)),
    "a pair of sources and targets": lambda: conv()((ROWS, ROWS), EDGES),
    "a mean that is no such normalization": lambda: SynchronousConv(GRAPH, normalize="sum"),
    "images with too many channels": lambda: images()(torch.ones(2, 5, 7, 7)),
    "rows for images": lambda: images()(ROWS),
    "an even kernel": lambda: SynchronousConv2d(GRAPH, 2),
    "a network with what is no unit": lambda: SynchronousGraph.from_module(with_dropout()),
    "a network that is no MLP": lambda: SynchronousGraph.from_mlp(nn.Conv2d(4, 3, 1)),
    "a folder without a layer": lambda folder: SynchronousGraph.load(folder / "none"),
}
PARTITIONS = {
    "the graph instead of the layer": lambda: PartitionRegularizer(GRAPH, 2),
    "more modules than units": lambda: PartitionRegularizer(units(), 9),
    "one module": lambda: PartitionRegularizer(units(), 1),
    "a scope of no such name": lambda: PartitionRegularizer(units(), 2, scope="inputs"),
    "a term of no such name": lambda: PartitionRegularizer(units(), 2, cut=1.0),
    "capacities that do not add up": lambda: PartitionRegularizer(units(), 2, capacities=[1, 2]),
    "a seed for the generator of logits": lambda: PartitionRegularizer(units(), 2, generator=0),
    "the layer instead of the regularizer": lambda: PartitionSchedule(units(), 10),
    "no epochs": lambda: PartitionSchedule(PartitionRegularizer(units(), 2), 0),
    "epochs in the wrong order": lambda: PartitionSchedule(
        PartitionRegularizer(units(), 2), 10
    ).step(-1),
    "a method of no such name": lambda: partition_units(units(), 2, method="metis2"),
    "an Adam instead of a layer": lambda: partition_units(
        torch.optim.Adam(units().parameters()), 2
    ),
    "too many modules to suggest": lambda: suggest_num_modules(units(), max_modules=1),
    "labels of hidden units alone": lambda: cut(units(), LABELS[4:12]),
    "labels of floats": lambda: cut(units(), LABELS.float()),
    "labels that leave a module out": lambda: cut(units(), LABELS * 2),
    "labels as names": lambda: cut(units(), ["a"] * 15),
    "labels for a model": lambda: cut(nn.Sequential(units()), LABELS),
    "parts of a layer that was not cut": lambda: split(units()),
    "one part instead of all": lambda: merge(units()),
    "labels of too few units to prune": lambda: prune_cross_edges(units(), LABELS[1:]),
    "an optimizer of another layer": lambda: cut(
        units(), LABELS, optimizer=torch.optim.Adam(units().parameters())
    ),
    "lesions of a layer that was not cut": lambda: lesion_study(units(), ROWS, CLASSES),
    "a layer instead of parts": lambda: ModularGraph(units()),
    "an execution of no such name": lambda: ModularGraph(split(modules()), execution="fast"),
    "parts for a format of no such name": lambda folder: export_parts(
        split(modules()), folder, file_format="tflite"
    ),
}
TRAININGS = {
    "inputs without targets": lambda: fit(units(), ROWS, **SMALL),
    "targets of too few rows": lambda: fit(units(), (ROWS, CLASSES[:5]), **SMALL),
    "more classes than outputs": lambda: fit(units(), (ROWS, CLASSES + 5), **SMALL),
    "patience without validation data": lambda: fit(units(), (ROWS, CLASSES), patience=3, **SMALL),
    "a network without units": lambda: organise(nn.Linear(4, 3), (ROWS, CLASSES), 2, **SMALL),
    "a verdict on rows that are too wide": lambda: partition_verdict(
        units(), LABELS, torch.ones(6, 5), CLASSES
    ),
    "a probe of a model without units": lambda: Probe(nn.Linear(4, 3), (ROWS, CLASSES)),
    "more edges than there can be": lambda: SparseSchedule(units(), 10, num_edges=10**6),
    "a score of no such name": lambda: SparseSchedule(units(), 10, num_edges=50, score="size"),
    "a graph of another size to rewire to": lambda: rewire(units(), UnitGraph.complete(4, 9, 3)),
    "a topology of no such generator": lambda: TopologySpace(
        num_inputs=4, num_outputs=3, max_parameters=100, num_updates=(2, 4), generators=("ring",)
    ),
    "a report on rows that are too wide": lambda folder: report(
        modules(), torch.ones(6, 5), CLASSES, out=folder / "report.html"
    ),
}
FILES = {
    "a dataset of no such name": lambda: load_dataset("mnist"),
    "a file that is not there": lambda folder: load_file(folder / "own.csv", target="y"),
    "a file of another kind": lambda folder: load_file(file_of(folder, "x", "own.txt"), target="y"),
    "an empty file": lambda folder: load_file(file_of(folder, ""), target="y"),
    "a table without the target": lambda folder: load_file(
        file_of(folder, "a,b\n1,2\n3,4\n"), target="y"
    ),
    "a table whose target is not named": lambda folder: load_file(file_of(folder, "a,b\n1,2\n")),
}
ALL = GRAPHS | LAYERS | PARTITIONS | TRAININGS | FILES
#: The same on the command line.
COMMANDS = {
    "a dataset that is none": ["train", "--dataset", "digit", "--out", "run"],
    "two kinds of data": [*["train", "--dataset", "digits", "--data", "own.csv", "--out", "run"]],
    "more modules than hidden units": [
        *["train", "--dataset", "digits", "--num-hidden", "4", "--num-modules", "8", "--out", "run"]
    ],
    "a folder without a run": ["report", "none"],
    "predictions of a folder without a run": ["predict", "none", "own.csv"],
}
_WORDS = (
    "Build Call Choose Convert Correct Cut Drop Fill Give Install Join Leave Lower Make Name Pass"
    " Put Raise Remove Repeat Say Save See Take Train Use Write drop make relabel remove use"
)
REMEDY = re.compile(rf"\b({'|'.join(_WORDS.split())})\b")
#: Where all that is possible is said, that is the remedy.
POSSIBLE = re.compile(
    r"'\w+'(,| or) |\b(among|True, False)\b|[<>]=? |\b(to|in|between|from) \S*\d"
    r"|at least|an even|e\.g\. "
)


def test_there_are_sixty_of_them():
    assert len(ALL) + len(COMMANDS) >= 60


@pytest.mark.parametrize("mistake", ALL)
def test_a_mistake_is_answered_with_what_was_expected_what_came_and_a_remedy(mistake, tmp_path):
    call = ALL[mistake]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(tmp_path) if call.__code__.co_argcount else call()
    check(str(caught.value))


@pytest.mark.parametrize("mistake", COMMANDS)
def test_so_it_is_on_the_command_line(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(COMMANDS[mistake])
    except SystemExit as ending:
        code = ending.code
    assert code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    check(message)


def check(message):
    found = re.search(r"\(.+?\)|got .+", message, re.DOTALL)
    assert "xpected" in message
    assert found
    said = message[: found.start()] + message[found.end() :]
    assert REMEDY.search(said) or POSSIBLE.search(said)
