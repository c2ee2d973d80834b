"""What a new user gets wrong: every message says what was expected, what came, and the remedy."""

import ast
import re

import numpy
import pandas
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from benchmarks.tables import ROOT
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
    split,
)
from pyg_modules.cli import main
from pyg_modules.datasets import Dataset, load_dataset, load_file, planted_problem
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.parallel import export_parts, place_modules
from pyg_modules.partition import balance_loss, module_sizes, sharpness_loss, stability
from pyg_modules.report import (
    plot_attribution,
    plot_edge_history,
    plot_history,
    plot_lesions,
    report,
)
from pyg_modules.structure import EdgeRecord, SparseSchedule, TopologySpace, rewire, search_topology
from pyg_modules.train import (
    EdgeGradient,
    EpochRecord,
    ModularClassifier,
    Probe,
    TopologyTraining,
    accuracy,
    fit,
    organise,
    partition_verdict,
)

# With what a remedy begins, or a part of it after a stop or a comma.
IMPERATIVES = (
    r"Add|Begin|Build|Call|Change|Choose|Compare|Convert|Copy|Correct|Cut|Divide|Draw|Drop"
    r"|Exchange|Fill|First|Give|Go|Impute|Join|Keep|Leave|Lengthen|Let|Load|Look|Lower|Make|Move|Name"
    r"|Number|Pass|Pool|Put|Raise|Regularize|Relabel|Remove|Rename|Renumber|Repeat|Replace"
    r"|Resume|Return|Rewire|Save|Say|Search|Set|Solve|Split|Start|Take|Trace|Train|Try|Use"
    r"|Write"
)
REMEDY = re.compile(rf"(?:^|[.;:,] (?:or |else )?)(?:{IMPERATIVES}|{IMPERATIVES.lower()})\b")


def parts_of(message):
    """What was expected, what came, and what follows: a reason, and the remedy."""
    expected, was_said, rest = message.partition(" (got")
    assert expected.startswith("Expected "), message
    assert was_said, message
    depth = 1
    for place, character in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            got, after = rest[:place].lstrip(": "), rest[place + 1 :]
            assert got, message
            # A reason may stand between, e.g. ": nothing would be left".
            stop = re.match(r"[^.]*?\. |[:;,] ", after)
            assert stop, message
            assert REMEDY.search(after[1:].strip()), message
            return expected, got, after
    raise AssertionError(message)


GRAPH = UnitGraph.complete(4, 12, 3)
LABELS = [-1] * 4 + [0] * 6 + [1] * 6 + [-1] * 3
X, Y = torch.rand(20, 4), torch.arange(20) % 3
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
DATA = Data(x=torch.rand(5, 4), edge_index=EDGES)
MASKED = Data(x=DATA.x, edge_index=EDGES, y=Y[:5])
MASKED.train_mask, MASKED.val_mask = torch.arange(5) < 3, torch.arange(5) > 0


def layer(**options):
    return SynchronousGraph(GRAPH, **options)


def conv():
    return SynchronousConv(GRAPH)


def images():
    return SynchronousConv2d(UnitGraph.complete(3, 8, 2))


def whole_and_cut():
    whole = layer()
    return whole, cut(whole, LABELS)


def parts():
    return split(cut(layer(), LABELS))


def regularizer(**options):
    return PartitionRegularizer(layer(), **{"num_modules": 2, **options})


def sparse(**options):
    return SparseSchedule(layer(), 10, **{"num_edges": 100, **options})


def filled(value):
    network = layer()
    nn.init.constant_(network.weight, value)
    return network


def fitted(data=(X, Y), model=None, **options):
    return fit(model or layer(), data, **{"epochs": 1, "seed": 0, **options})


def organised(model, **options):
    return organise(model, (X, Y), **{"num_modules": 2, "epochs": 1, **options})


def sequential(*modules):
    return SynchronousGraph.from_module(nn.Sequential(*modules))


class Branches(nn.Module):
    """Computes with one of two functions."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


def command(line):
    """A mistake at the command line is a line in the terminal, and the status 2."""
    assert main(line.split()) == 2
    raise ValueError


SPACE = {"num_inputs": 4, "num_outputs": 3, "max_parameters": 200}
TRAINING = TopologyTraining(X, Y, epochs=1)

# The mistake, and a part of what was expected, of what came, and of the remedy.
MISTAKES = {
    # What is wired to what.
    "sizes in a list": (lambda: UnitGraph.layered(4), "sizes", "int: 4", "[64, 32, 10]"),
    "one level": (lambda: UnitGraph.layered([4]), "two levels", "[4]", "Give one size per"),
    "a level of no units": (
        lambda: UnitGraph.layered([4, 0, 3]),
        "every level",
        "[4, 0, 3]",
        "Leave that level out",
    ),
    "half a unit": (lambda: UnitGraph.complete(4, 12.0, 3), "int", "float: 12.0", "whole number"),
    "fewer units than none": (lambda: UnitGraph.complete(4, -1, 3), ">= 0", "-1", "Raise"),
    "edges in a list": (lambda: UnitGraph([[0], [2]], 4, 2, 1), "LongTensor", "list", "torch.te"),
    "edges as pairs": (
        lambda: UnitGraph(torch.tensor([[0, 2], [1, 2], [2, 3]]), 4, 2, 1),
        "[2, num_edges]",
        "[3, 2]",
        "edge_index.t()",
    ),
    "edges as floats": (lambda: UnitGraph(torch.rand(2, 3), 4, 2, 1), "long", "float32", ".long()"),
    "an edge to nowhere": (
        lambda: UnitGraph(torch.tensor([[0], [9]]), 4, 2, 1),
        "ids in [0, 4)",
        "0 to 9",
        "Raise the number of units",
    ),
    "an edge into an input": (
        lambda: UnitGraph(torch.tensor([[2], [0]]), 4, 2, 1),
        "no edge into an input",
        "2 -> 0",
        "drop such edges",
    ),
    "an edge twice": (
        lambda: UnitGraph(torch.tensor([[0, 0], [2, 2]]), 4, 2, 1),
        "every edge once",
        "0 -> 2",
        "coalesce",
    ),
    "num_units without inputs": (lambda: UnitGraph(EDGES, 2, 2, 1), "<= num_units", "2 + 1", "Ra"),
    "percents": (lambda: UnitGraph.erdos_renyi(4, 8, 2, 50), "edge_prob in [0, 1]", "50", "share"),
    "an odd degree": (
        lambda: UnitGraph.small_world(4, 8, 2, degree=3, rewire_prob=0.1),
        "even degree",
        "3",
        "Choose another degree",
    ),
    "too many sources": (
        lambda: UnitGraph.fixed_in_degree(4, 8, 2, in_degree=50),
        "in_degree <= ",
        "50",
        "Lower it",
    ),
    "a word for a repair": (
        lambda: UnitGraph.erdos_renyi(4, 8, 2, 0.5, repair="no"),
        "repair to be a bool",
        "'no'",
        "Give True or False",
    ),
    "a seed for a generator": (
        lambda: UnitGraph.erdos_renyi(4, 8, 2, 0.5, generator=0),
        "torch.Generator",
        "int: 0",
        "manual_seed(0)",
    ),
    "a data graph for a unit graph": (
        lambda: UnitGraph.from_data(DATA),
        "num_inputs and num_outputs",
        "none of num_inputs",
        "Set them",
    ),
    "an undirected graph": (
        lambda: UnitGraph.from_networkx([(0, 1)]),
        "networkx.DiGraph",
        "list",
        "networkx.DiGraph(edges)",
    ),
    "a graph that is changed": (
        lambda: setattr(GRAPH, "num_units", 3),
        "immutable",
        "num_units",
        "Build another",
    ),
    # The layer.
    "sizes for a graph": (lambda: SynchronousGraph(4, 12, 3), "a UnitGraph", "int", "UnitGraph.co"),
    "steps for a solver": (lambda: layer(solver=6), "Solver", "6", "Unrolled(steps=6)"),
    "a class for a solver": (lambda: layer(solver=Unrolled), "Solver", "Unrolled", "(steps=6)"),
    "a typing error": (lambda: layer(activation="rleu"), "'relu'", "'rleu'", "Choose one"),
    "a function": (lambda: layer(activation=nn.ReLU()), "'relu'", "ReLU()", "Choose one"),
    "a name per level": (
        lambda: layer(activation=["relu", "tanh"]),
        "each of the 12 hidden",
        "2",
        "Repeat",
    ),
    "percents of dropout": (lambda: layer(dropout=50), "dropout < 1", "50", "Lower it"),
    "an unknown backend": (lambda: layer(backend="cuda"), "'auto'", "'cuda'", "Choose one"),
    "no updates": (lambda: Unrolled(0), "steps >= 1", "0", "Raise it"),
    "a tolerance of 0": (lambda: Equilibrium(tol=0), "tol > 0", "0", "Raise it"),
    "no contraction": (
        lambda: Equilibrium(contraction=1.5),
        "between 0 and 1",
        "1.5",
        "Choose one between",
    ),
    "edges of the data": (lambda: layer()(X, EDGES), "x alone", "1 more", "GINConv(nn=layer)"),
    "a graph for features": (lambda: layer()(DATA), "a Tensor", "Data", "layer(data.x)"),
    "a type of whole numbers": (lambda: layer(dtype=torch.long), "floating", "int64", "float32"),
    "a device of another name": (lambda: layer(device="gpu"), "device", "'gpu'", "Use another"),
    "another solver, by its steps": (lambda: setattr(layer(), "solver", 6), "Solver", "6", "(step"),
    "an array": (lambda: layer()(X.numpy()), "a Tensor", "ndarray", "torch.as_tensor"),
    "another width": (lambda: layer()(torch.rand(5, 7)), "[*, 4]", "[5, 7]", "put a Linear before"),
    "images that are not flat": (
        lambda: SynchronousGraph(UnitGraph.complete(64, 8, 3))(torch.rand(5, 1, 8, 8)),
        "[*, 64]",
        "[5, 1, 8, 8]",
        "x.flatten(1)",
    ),
    "NumPy's precision": (lambda: layer()(X.double()), "float32", "float64", "layer.to(torch.fl"),
    "integers": (lambda: layer()(X.long()), "float32", "int64", "x.to(torch.float32)"),
    "a sparse matrix": (lambda: layer()(X.to_sparse()), "dense", "sparse_coo", "x.to_dense()"),
    # Units on graphs and on images.
    "edges in an array": (lambda: conv()(X, EDGES.numpy()), "edge_index", "ndarray", "as_tensor"),
    "edges of floats": (lambda: conv()(X, EDGES.float()), "int64", "float32", "edge_index.long()"),
    "pairs of nodes": (lambda: conv()(X, EDGES.new_zeros(7, 2)), "[2, m]", "[7, 2]", "index.t()"),
    "nodes that are not there": (
        lambda: conv()(torch.rand(2, 4), EDGES),
        "between 0 and 1",
        "2",
        "subgraph",
    ),
    "weights of other edges": (
        lambda: conv()(X, EDGES, torch.ones(5)),
        "[3], one per edge",
        "[5]",
        "Give every edge one number",
    ),
    "negative weights": (lambda: conv()(X, EDGES, -torch.ones(3)), ">= 0", "-1", "weight.abs()"),
    "features of another width": (lambda: conv()(torch.rand(5, 9), EDGES), "[*, 4]", "9", "Linear"),
    "another normalization": (
        lambda: SynchronousConv(GRAPH, normalize="sym"),
        "True, False or 'mean'",
        "'sym'",
        "Choose one",
    ),
    "another convolution": (
        lambda: SynchronousConv.from_conv(SAGEConv(4, 3)),
        "GCNConv",
        "SAGEConv",
        "Give a list",
    ),
    "flat images": (lambda: images()(torch.rand(5, 3)), "[B, 3, H, W]", "[5, 3]", "x.unflatten"),
    "images of images": (
        lambda: images()(torch.rand(2, 5, 3, 8, 8)),
        "[B, 3, H, W]",
        "[2, 5, 3, 8, 8]",
        "x.flatten(0, 1)",
    ),
    "channels last": (lambda: images()(torch.rand(5, 8, 8, 3)), "3, H", "8, 3]", "x.movedim"),
    "bytes": (lambda: images()(torch.zeros(5, 3, 8, 8).byte()), "float32", "uint8", "x.to("),
    "an even kernel": (lambda: SynchronousConv2d(GRAPH, kernel_size=4), "an odd", "4", "Use 5"),
    # Networks that are there already.
    "normalized levels": (
        lambda: sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
        "Linear, BatchNorm, Dropout",
        "LayerNorm",
        "Convert the parts before and after",
    ),
    "convolutions": (
        lambda: sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)),
        "a network of Linear",
        "Conv2d",
        "Convert the parts",
    ),
    "branches": (
        lambda: SynchronousGraph.from_module(Branches()),
        "do not depend on its input",
        "Branches",
        "Take the parts",
    ),
    "sizes that do not fit": (
        lambda: sequential(nn.Linear(4, 5), nn.Linear(4, 2)),
        "matching levels",
        "5 features into 4",
        "Correct the sizes",
    ),
    "nothing that is learned": (lambda: sequential(nn.ReLU()), "parameters", "none", "a Linear"),
    "sizes for a network": (
        lambda: SynchronousGraph.from_mlp([4, 8, 3]),
        "torch.nn.Module",
        "list",
        "Pass the network itself",
    ),
    # Modules, in training and after it.
    "a regularizer of a model": (
        lambda: PartitionRegularizer(nn.Sequential(layer()), 2),
        "a SynchronousGraph",
        "Sequential",
        "Pass the layer itself",
    ),
    "one module": (lambda: regularizer(num_modules=1), "num_modules >= 2", "1", "Raise it"),
    "a module per nothing": (lambda: regularizer(num_modules=50), "2 to 12", "50", "Choose one"),
    "a coefficient with a typing error": (
        lambda: regularizer(ncutt=1.0),
        "'ncut', 'balance'",
        "'ncutt'",
        "Name one",
    ),
    "a negative coefficient by hand": (
        lambda: setattr(regularizer(), "ncut", -1.0),
        "a finite ncut >= 0",
        "-1.0",
        "Give 0",
    ),
    "a strength that is no number": (
        lambda: setattr(regularizer(), "strength", float("nan")),
        "a finite strength >= 0",
        "nan",
        "Give 0",
    ),
    "another scope": (
        lambda: regularizer(scope="out"),
        "'hidden', 'inputs', 'all'",
        "'out'",
        "Choose",
    ),
    "modules that are cut already": (
        lambda: PartitionRegularizer(whole_and_cut()[1], 2),
        "not cut yet",
        "made by cut",
        "regularize the layer before the cut",
    ),
    "a number that nobody knows": (
        lambda: regularizer(num_modules="auto")(),
        "a number of modules",
        "'auto'",
        "say how many",
    ),
    "a schedule of a layer": (
        lambda: PartitionSchedule(layer(), 10),
        "a PartitionRegularizer",
        "SynchronousGraph",
        "PartitionRegularizer(layer, num_modules)",
    ),
    "data for a probe": (
        lambda: PartitionSchedule(regularizer(), 10, probe=(X, Y)),
        "a probe",
        "tuple",
        "train.Probe(model, data)",
    ),
    "a verdict without a judge": (
        lambda: PartitionSchedule(regularizer(), 10).verdict(),
        "with a probe",
        "without",
        "Give it one",
    ),
    "another method": (
        lambda: partition_units(layer(), 2, method="kmeans"),
        "'refine', 'spectral'",
        "'kmeans'",
        "Choose one",
    ),
    "more modules than outputs": (
        lambda: partition_units(layer(), 4, scope="all"),
        "from 2 to 3",
        "4",
        "scope='inputs'",
    ),
    "weights that are NaN": (
        lambda: partition_units(filled(float("nan")), 2),
        "finite weights",
        "NaN",
        "lower the learning rate",
    ),
    "weights that are 0": (
        lambda: partition_units(filled(0.0), 2),
        "weights between the units",
        "only zeros",
        "Train the layer first",
    ),
    "no hidden units": (
        lambda: partition_units(SynchronousGraph(UnitGraph.complete(4, 0, 3)), 2),
        "at least 2 units",
        "0",
        "Add hidden units",
    ),
    "labels of hidden units alone": (
        lambda: cut(layer(), LABELS[4:16]),
        "[19], one per unit, inputs and outputs included",
        "[12]",
        "Give -1",
    ),
    "labels of floats": (lambda: cut(layer(), torch.rand(19)), "LongTensor", "float32", ".long()"),
    "a soft assignment": (lambda: cut(layer(), torch.rand(19, 2)), "labels", "float32", ".argmax("),
    "a regularizer for labels": (
        lambda: cut(layer(), regularizer()),
        "labels to be a LongTensor",
        "PartitionRegularizer",
        "Use its labels",
    ),
    "a number for labels": (lambda: cut(layer(), 4), "labels", "int", "torch.as_tensor"),
    "labels with a gap": (
        lambda: cut(layer(), [2 if label == 1 else label for label in LABELS]),
        "modules 0..K-1",
        "[0, 2]",
        "Renumber them",
    ),
    "a hidden unit for all": (
        lambda: cut(layer(), [-1] * 19),
        "every hidden unit in a module",
        "-1 for unit 4",
        "give it to one of them",
    ),
    "modules by depth": (
        lambda: cut(SynchronousGraph(UnitGraph.layered([4, 8, 2])), [-1] * 4 + [0] * 8 + [1, 1]),
        "a path from an input to an output",
        "[0, 1]",
        "use fewer modules",
    ),
    "the optimizer of another": (
        lambda: cut(layer(), LABELS, optimizer=torch.optim.Adam(layer().parameters())),
        "the optimizer of the layer",
        "without its",
        "layer.parameters()",
    ),
    "a model to cut": (lambda: cut(nn.Sequential(layer()), LABELS), "Graph", "Sequential", "Pass"),
    "logits for a soft assignment": (
        lambda: sharpness_loss(torch.tensor([[0.5, 0.5], [2.0, -3.0]])),
        "rows are shares >= 0 that sum to 1",
        "row 1 with the sum -1, its least value -3",
        "softmax(dim=1)",
    ),
    "an assignment of columns": (
        lambda: balance_loss(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])),
        "sum to 1",
        "row 0 with the sum 2",
        "softmax(dim=1)",
    ),
    "split before the cut": (lambda: split(layer()), "made by cut", "without labels", "Cut it"),
    "merge before split": (lambda: merge(layer()), "several parts", "Graph", "split(layer)"),
    "one device": (lambda: ModularGraph(parts(), devices="cpu"), "sequence", "'cpu'", "['cpu']"),
    "a number of devices": (lambda: ModularGraph(parts(), devices=2), "sequence", "2", "a list"),
    "a number for a device": (
        lambda: ModularGraph(parts(), devices=[0.5, 1.5]),
        "an available device",
        "0.5",
        "Use another",
    ),
    "proof before the cut": (lambda: check_independence(layer(), X), "cut", "without", "Cut it"),
    "proof of nothing": (
        lambda: check_independence(whole_and_cut()[1], None),
        "a Tensor",
        "NoneType",
        "Give some inputs",
    ),
    "lesions of a layer": (lambda: lesion_study(layer(), X, Y), "per module", "Graph", "split("),
    "names for parts": (
        lambda: lesion_study(["a", "b"], X, Y),
        "a sequence of networks",
        "['a', 'b']",
        "split(layer)",
    ),
    "a name for a head": (
        lambda: lesion_study(parts(), X, Y, head="mean"),
        "head to be called",
        "'mean'",
        "Give a function",
    ),
    "accuracies of NaN": (
        lambda: lesion_study(parts(), X * torch.nan, Y),
        "outputs that are numbers",
        "NaN",
        "Look for NaN",
    ),
    "attributions of NaN": (
        lambda: input_attribution(parts(), X * torch.nan),
        "outputs that are numbers",
        "NaN",
        "Look for NaN",
    ),
    "modules to place": (
        lambda: place_modules(parts(), 2),
        "costs >= 0",
        "SynchronousGraph",
        "number of edges",
    ),
    "fewer classes than samples": (
        lambda: lesion_study(parts(), X, Y[:4]),
        "a class for each sample",
        "[4]",
        "Give as many",
    ),
    "modules in another format": (
        lambda: export_parts(parts(), "nowhere", file_format="pb"),
        "'onnx', 'pt2'",
        "'pb'",
        "Choose one",
    ),
    # Training.
    "x alone": (lambda: fitted(X), "a pair (x, y)", "Tensor", "Make a pair of arrays"),
    "fewer targets than inputs": (lambda: fitted((X, Y[:5])), "as many targets", "[5]", "Give a"),
    "classes from 1": (lambda: fitted((X, Y + 1)), "from 0 to 2", "3", "Number the classes from 0"),
    "classes of floats": (lambda: fitted((X, Y.float())), "int64", "float32", "Use y.long()"),
    "classes in a column": (lambda: fitted((X, Y[:, None])), "[20]", "[20, 1]", "y.flatten()"),
    "classes one-hot": (lambda: fitted((X, F.one_hot(Y))), "float32", "int64", "y.argmax(1)"),
    "texts for classes": (
        lambda: fitted((X.numpy(), numpy.array(["a", "b"] * 10))),
        "arrays of numbers",
        "<U1",
        "numpy.unique",
    ),
    "a number for several outputs": (
        lambda: fitted((X, X[:, 0]), loss=F.mse_loss),
        "[20, 3]",
        "[20]",
        "Give a target for every output",
    ),
    "no samples": (lambda: fitted((X[:0], Y[:0])), "at least one", "none", "Add some"),
    "NaN in the data": (lambda: fitted((X * torch.nan, Y)), "finite losses", "nan", "fill them"),
    "a unit graph to train": (lambda: fitted(model=nn.ReLU()), "parameters", "none", "Set requ"),
    "a name for a loss": (lambda: fitted(loss="mse"), "be called", "'mse'", "Give a function"),
    "a loss without a mean": (
        lambda: fitted(loss=nn.CrossEntropyLoss(reduction="none")),
        "scalar tensor",
        "[20]",
        "Return the mean",
    ),
    "a sum for a loss": (
        lambda: fitted(loss=nn.CrossEntropyLoss(reduction="sum")),
        "a mean over the samples",
        "reduction='sum'",
        "Leave reduction out",
    ),
    "logits for their logarithms": (
        lambda: fitted(model=nn.Linear(4, 3), loss=lambda z, y: F.nll_loss(z.exp(), y)),
        "logarithms of probabilities",
        "up to",
        "cross_entropy",
    ),
    "a softmax too many": (
        lambda: fitted(model=nn.Sequential(layer(), nn.Softmax(1))),
        "logits",
        "add up to 1",
        "Leave the softmax out",
    ),
    "classes of one output": (
        lambda: fitted((X, Y % 1), nn.Linear(4, 1)),
        "two classes or more",
        "[20, 1]",
        "binary_cross_entropy_with_logits",
    ),
    "a training that learns nothing": (
        lambda: fitted(learning_rate=0),
        "learning_rate > 0",
        "0",
        "Give a positive number",
    ),
    "a batch of a loader": (
        lambda: fitted(DataLoader(TensorDataset(X, Y)), batch_size=5),
        "no batch_size",
        "5",
        "Leave it out",
    ),
    "a word for a bool": (
        lambda: fitted(one_cycle="no"),
        "one_cycle to be a bool",
        "'no'",
        "Give True or False",
    ),
    "a word for the best weights": (
        lambda: fitted(restore_best_weights="no", validation_data=(X, Y)),
        "restore_best_weights to be a bool",
        "'no'",
        "Give True or False",
    ),
    "masks that overlap": (
        lambda: fitted(MASKED, conv(), validation_data=MASKED),
        "nodes in val_mask that are not trained on",
        "2 that are in train_mask too",
        "Take them out",
    ),
    "patience with nothing to wait for": (
        lambda: fitted(patience=2),
        "validation_data",
        "none",
        "Give it",
    ),
    "a regularizer for a schedule": (
        lambda: fitted(schedule=regularizer()),
        "a schedule",
        "a PartitionRegularizer",
        "PartitionSchedule(regularizer",
    ),
    "the schedule of another layer": (
        lambda: fitted(schedule=PartitionSchedule(regularizer(), 1)),
        "a layer of the model",
        "another layer",
        "Make it of the layer inside",
    ),
    "a judge of another layer": (
        lambda: PartitionSchedule(regularizer(), 1, probe=Probe(layer(), (X, Y))),
        "the layer of the regularizer",
        "another layer",
        "layer=regularizer.layer",
    ),
    "a judge of another layer, later": (
        lambda: setattr(PartitionSchedule(regularizer(), 1), "probe", Probe(layer(), (X, Y))),
        "the layer of the regularizer",
        "another layer",
        "layer=regularizer.layer",
    ),
    "the state of another schedule": (
        lambda: PartitionSchedule(regularizer(), 1).load_state_dict(sparse().state_dict()),
        "the state of a PartitionSchedule",
        "without 'opened_at', 'checked_at', 'factor', 'verdict'",
        "state_dict() of a PartitionSchedule",
    ),
    "the state of a schedule of other modules": (
        lambda: sparse().load_state_dict(PartitionSchedule(regularizer(), 1).state_dict()),
        "the state of a SparseSchedule",
        "without 'units', 'first', 'edge_index'",
        "state_dict() of a SparseSchedule",
    ),
    "the state of a file": (
        lambda: sparse().load_state_dict("state.pt"),
        "a dict",
        "str",
        "Give what state_dict()",
    ),
    "a graph without a mask": (
        lambda: fitted(Data(x=DATA.x, edge_index=EDGES, y=torch.zeros(5).long()), conv()),
        "train_mask",
        "None",
        "Set it",
    ),
    "nothing to organise": (
        lambda: organised(nn.Linear(4, 3)),
        "one SynchronousGraph",
        "none",
        "Make it an attribute",
    ),
    "an option of another": (lambda: organised(layer(), lr=0.1), "options", "'lr'", "Leave it out"),
    "a judge of nothing": (
        lambda: Probe(nn.Linear(4, 3), (X, Y)),
        "SynchronousConv2d in it",
        "one without",
        "Put one in",
    ),
    "a judge with x alone": (lambda: Probe(layer(), X), "a pair (x, y)", "Tensor", "Make a pair"),
    "a judge with other targets": (
        lambda: Probe(layer(), (X, Y[:4])),
        "as many targets",
        "[4]",
        "Give a target for each",
    ),
    "the score of other targets": (lambda: accuracy(layer(), X, Y[:4]), "[20]", "[4]", "as many"),
    "the score of classes from 1": (
        lambda: accuracy(layer(), X, Y + 1),
        "classes from 0 to 2",
        "1 to 3",
        "Number them from 0",
    ),
    "the score of a list": (
        lambda: accuracy(layer(), X, Y.tolist()),
        "y to be",
        "list",
        "as_tensor",
    ),
    "the score of floats": (
        lambda: accuracy(layer(), X, Y / 2),
        "LongTensor",
        "float32",
        ".long()",
    ),
    "the score of NaN": (
        lambda: accuracy(layer(), X * torch.nan, Y),
        "outputs that are numbers",
        "NaN",
        "Look for NaN",
    ),
    "the score of one output": (
        lambda: accuracy(nn.Linear(4, 1), X, Y % 1),
        "two classes or more",
        "one output",
        "give floats",
    ),
    "the score of nothing": (lambda: accuracy(layer(), X[:0], Y[:0]), "one sample", "none", "Give"),
    "a judge of a cut layer": (
        lambda: partition_verdict(whole_and_cut()[1], LABELS, X, Y),
        "not cut yet",
        "made by cut",
        "judge that one",
    ),
    "the class of a judge": (
        lambda: PartitionSchedule(regularizer(), 1, probe=Probe),
        "a probe",
        "type",
        "Probe(model, data)",
    ),
    "percents of tolerance": (
        lambda: PartitionSchedule(regularizer(), 1, tolerance=10),
        "tolerance in [0, 1]",
        "10",
        "a share, not a percentage",
    ),
    "percents of tolerance, at once": (
        lambda: partition_units(layer(), 2, tolerance=10),
        "tolerance in [0, 1]",
        "10",
        "a share, not a percentage",
    ),
    "an estimator of one class": (
        lambda: ModularClassifier(epochs=1).fit(X.numpy(), numpy.zeros(20)),
        "two classes",
        "one class",
        "use ModularRegressor",
    ),
    "an estimator that is not cut": (
        lambda: ModularClassifier().modules_,
        "a cut network",
        "not fitted",
        "Call fit",
    ),
    "a learning rate of 0": (
        lambda: ModularClassifier(learning_rate=0).fit(X.numpy(), Y.numpy()),
        "learning_rate > 0",
        "0",
        "Give a positive number",
    ),
    # Edges that change.
    "a share of edges": (
        lambda: SparseSchedule(layer(), 10, num_edges=0.1),
        "num_edges to be an int",
        "0.1",
        "Give a whole number",
    ),
    "gradients of x alone": (lambda: EdgeGradient(layer(), X), "(x, y)", "Tensor", "Make a pair"),
    "gradients of another layer": (
        lambda: SparseSchedule(layer(), 9, num_edges=99, gradient=EdgeGradient(layer(), (X, Y))),
        "the layer of the schedule",
        "another layer",
        "layer=layer",
    ),
    "a name for gradients": (
        lambda: sparse(gradient="auto"),
        "called with graphs and a seed",
        "'auto'",
        "EdgeGradient(model",
    ),
    "a judge for gradients": (
        lambda: sparse(gradient=Probe(layer(), (X, Y))),
        "called with graphs and a seed",
        "Probe",
        "EdgeGradient(model",
    ),
    "too few edges": (lambda: SparseSchedule(layer(), 10, num_edges=3), ">= 27", "3", "Raise it"),
    "a name for an optimizer": (
        lambda: SparseSchedule(layer(), 10, num_edges=100, optimizer="adam"),
        "torch.optim.Optimizer",
        "str",
        "Go on with another",
    ),
    "edges for a graph": (lambda: rewire(layer(), EDGES), "a UnitGraph", "Tensor", "Build one"),
    "a layer for a training": (
        lambda: search_topology(layer(), TopologySpace(**SPACE)),
        "layer and a trial",
        "Unrolled",
        "TopologyTraining(x, y, epochs)",
    ),
    "graphs for a space": (
        lambda: search_topology(TRAINING, [GRAPH]),
        "TopologySpace",
        "list",
        "TopologySpace(num_inputs",
    ),
    "an unknown generator": (
        lambda: TopologySpace(generators=["star"], **SPACE),
        "'complete'",
        "'star'",
        "Choose one",
    ),
    "an option that fit has not": (
        lambda: TopologyTraining(X, Y, epochs=1, lr=3),
        "options of fit",
        "'lr'",
        "Use one of these",
    ),
    # Folders, data and figures.
    "a folder that is not there": (
        lambda: SynchronousGraph.load("nowhere"),
        "the folder of a saved model",
        "not there",
        "layer.save(folder)",
    ),
    "the class of another": (
        lambda: (layer().save("saved"), SynchronousConv.load("saved")),
        "SynchronousConv",
        "a SynchronousGraph",
        "Use SynchronousGraph.load",
    ),
    "a device by another name": (
        lambda: (layer().save("saved"), SynchronousGraph.load("saved", device="gpu")),
        "available device",
        "'gpu'",
        "Use another",
    ),
    "no name for a folder": (lambda: layer().save(None), "a path", "NoneType", "Give a str"),
    "no name to load": (lambda: SynchronousGraph.load(None), "a path", "NoneType", "Give a str"),
    "no folder for modules": (lambda: export_parts(parts(), None), "a path", "None", "Give a str"),
    "a page that is no page": (lambda: report(layer(), X, Y, out="r.pdf"), ".html", "pdf", "Ren"),
    "no name for a page": (lambda: report(layer(), X, Y, out=None), "a path", "None", "Give a str"),
    "a file for a folder": (lambda: layer().save("data.csv"), "a folder", "the file", "Name anoth"),
    "an unknown data set": (lambda: load_dataset("cifar"), "'digits'", "'cifar'", "Choose one"),
    "a number for a folder": (
        lambda: load_dataset("digits", data_root=5),
        "data_root to be a path",
        "int: 5",
        "Give a str",
    ),
    "an unknown problem": (lambda: planted_problem(kind="xor"), "kind", "'xor'", "Choose one"),
    "a page of other inputs": (
        lambda: report(layer(), torch.rand(20, 7), Y, out="r.html"),
        "[B, 4]",
        "[20, 7]",
        "Give a row per sample",
    ),
    "a page of classes from 1": (
        lambda: report(layer(), X, Y + 1, out="r.html"),
        "classes from 0 to 2",
        "from 1 to 3",
        "Number them from 0",
    ),
    "a page of a model": (
        lambda: report(nn.Sequential(layer()), X, Y, out="r.html"),
        "SynchronousGraph",
        "Sequential",
        "Pass the layer itself",
    ),
    "categories in a text": (
        lambda: load_file("data.csv", target="y", categories="ab"),
        "a sequence of names",
        "'ab'",
        "Use ['ab']",
    ),
    "categories by their places": (
        lambda: load_file("data.csv", target="y", categories=[1]),
        "names of columns",
        "int: 1",
        "Use str, e.g. ['1']",
    ),
    "a test file by its number": (
        lambda: load_file("data.csv", 3, target="y"),
        "test to be a path",
        "int: 3",
        "Give a str",
    ),
    "a data set of floats for classes": (
        lambda: Dataset("mine", X, Y.float(), X, Y),
        "classes, int64 [samples], or numbers, floats [samples, outputs]",
        "torch.float32 [20]",
        "y.long().flatten() for classes",
    ),
    "a data set of short integers": (
        lambda: Dataset("mine", X, Y.int(), X, Y),
        "classes, int64 [samples]",
        "torch.int32 [20]",
        "Use y.long()",
    ),
    "a data set of numbers to train on and classes to test on": (
        lambda: Dataset("mine", X, X, X, Y),
        "like those of training in mine, torch.float32 [20, 4]",
        "torch.int64 [20]",
        "the same task",
    ),
    "a data set of integers": (
        lambda: Dataset("mine", X.long(), Y, X, Y),
        "training inputs of floats, [samples, features]",
        "torch.int64 [20, 4]",
        "Use x.float()",
    ),
    "a data set of arrays": (
        lambda: Dataset("mine", X.numpy(), Y, X, Y),
        "tensors in mine",
        "ndarray",
        "torch.as_tensor",
    ),
    "a data set without a test sample": (
        lambda: Dataset("mine", X, Y, X[:0], Y[:0]),
        "a test sample at least",
        "[0, 4]",
        "Add some",
    ),
    "a data set of a negative class": (
        lambda: Dataset("mine", X, Y - 1, X, Y),
        "training classes from 0 to 1",
        "-1 to 1",
        "Number classes from 0",
    ),
    "a data set of a class that is not trained on": (
        lambda: Dataset("mine", X, Y.clamp(max=1), X, Y),
        "test classes from 0 to 1",
        "0 to 2",
        "leave those out",
    ),
    "a data set of targets that are not finite": (
        lambda: Dataset("mine", X, X / 0, X, X),
        "finite targets",
        "training row 0",
        "Impute or drop",
    ),
    "a data set of fewer targets": (
        lambda: Dataset("mine", X, Y[:4], X, Y),
        "as many training targets",
        "[4]",
        "Give a target for each",
    ),
    "a data set to test on of other features": (
        lambda: Dataset("mine", X, Y, X[:, :2], Y),
        "the features of the training inputs, [4]",
        "[20, 2]",
        "Give a target for each",
    ),
    "a figure of a record": (
        lambda: plot_history(EpochRecord("free", {"task": 1.0})),
        "a sequence of EpochRecord",
        "'free'",
        "Use what fit returned",
    ),
    "a figure of other records": (
        lambda: plot_history([EdgeRecord(0, 3, 3, 0, 0, 0)]),
        "a sequence of EpochRecord",
        "EdgeRecord",
        "Use what fit returned",
    ),
    "a figure of a schedule": (
        lambda: plot_edge_history(sparse()),
        "a sequence of EdgeRecord",
        "SparseSchedule",
        "schedule.history",
    ),
    "a figure for axes": (
        lambda: plot_edge_history([EdgeRecord(0, 3, 3, 0, 0, 0)], ax=Figure()),
        "axes of matplotlib",
        "Figure",
        "pyplot.subplots()",
    ),
    "a side for an image": (
        lambda: plot_attribution(torch.rand(2, 4), 2),
        "a height and a width",
        "2",
        "(8, 8)",
    ),
    "one partition to compare": (
        lambda: stability(torch.tensor(LABELS)),
        "[N], one per unit",
        "[]",
        "Give -1",
    ),
    "a figure of parts": (lambda: plot_lesions(parts()), "LesionStudy", "ModuleList", "Make one"),
    # The command line.
    "no target": (lambda: command("train --data data.csv --out out"), "--target", "none", "Name"),
    "an unknown target": (
        lambda: command("train --data data.csv --target z --out out"),
        "the target 'z'",
        "'a', 'b', 'y'",
        "Name one of the columns",
    ),
    "no file": (
        lambda: command("train --data nowhere.csv --target y --out out"),
        "the file nowhere.csv",
        "none of that name",
        "Correct it",
    ),
    "a spreadsheet": (
        lambda: command("train --data data.xlsx --target y --out out"),
        ".csv, .parquet, .npz",
        "data.xlsx",
        "Save it as one",
    ),
    "scores of the training data": (
        lambda: command("train --data data.csv --test ./data.csv --target y --out out"),
        "other rows to test on",
        "the same ones in ./data.csv and data.csv",
        "leave --test out",
    ),
    "a file without names": (
        lambda: command("train --data unnamed.csv --target setosa --out out"),
        "names of columns in the first line",
        "'5.1', '3.5', 'setosa'",
        "Put a line of names above",
    ),
    "a target of a data set": (
        lambda: command("train --target y --out out"),
        "--data FILE",
        "--target",
        "Name the file",
    ),
    "a task by another name": (
        lambda: command("train --data data.csv --target y --dataset digits --out out"),
        "--dataset NAME or --data FILE",
        "both",
        "Leave one out",
    ),
    "fewer epochs than none": (
        lambda: command("train --data data.csv --target y --epochs -3 --out out"),
        "epochs >= ",
        "-3",
        "Raise it",
    ),
    "a computer without it": (
        lambda: command("train --data data.csv --target y --device gpu --out out"),
        "available device",
        "'gpu'",
        "Use another",
    ),
    "a network without data": (
        lambda: (layer().save("saved"), command("predict saved data.csv")),
        "trained on a file",
        "without data.json",
        "Name one",
    ),
    "a network to cut that is cut": (
        lambda: (whole_and_cut()[1].save("saved"), command("partition saved --out out")),
        "not cut",
        "saved",
        "take the network before the cut",
    ),
    "a network to export that is whole": (
        lambda: (layer().save("saved"), command("export saved --out out")),
        "a cut network",
        "whole",
        "pyg-modules partition saved",
    ),
    "a page of no run": (
        lambda: (layer().save("saved"), command("report saved")),
        "the folder of a run",
        "without metrics.json",
        "make one by pyg-modules train",
    ),
    "a folder with something in it": (
        lambda: (layer().save("out"), command("train --data data.csv --target y --out out")),
        "without results",
        "a network in it",
        "--overwrite",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_what_was_expected_what_came_and_the_remedy(
    mistake, tmp_path, monkeypatch, capsys
):
    call, *wanted = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    for name in ("data.csv", "data.xlsx"):
        (tmp_path / name).write_text(
            "a,b,y\n" + "".join(f"{i},{i % 5},{i % 2}\n" for i in range(30))
        )
    (tmp_path / "unnamed.csv").write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n")
    with pytest.raises(
        (ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError)
    ) as error:
        call()
    printed = capsys.readouterr().err.removeprefix("pyg-modules: error: ").strip()
    said = parts_of(str(error.value) or printed)
    for part, words in zip(said, wanted, strict=True):
        assert words in part


@pytest.mark.parametrize(
    "call",
    {
        "labels with gaps": lambda: cut(layer(), list(range(0, 20_000, 2))),
        "labels of one layer with gaps": lambda: module_sizes(list(range(0, 20_000, 2))),
        "a tensor for a number": lambda: regularizer(num_modules=torch.rand(1000, 1000)),
        "an array for a coefficient": lambda: regularizer(ncut=numpy.zeros((1000, 1000))),
        "lists for a choice": lambda: layer(backend=[[0] * 10_000] * 10_000),
        "a text for a choice": lambda: layer(activation="a" * 10_000),
        "levels": lambda: UnitGraph.layered([4] + [0] * 10_000 + [3]),
        "capacities": lambda: regularizer(capacities=[1] * 10_000),
        "a frame for a loss": lambda: fitted(loss=pandas.DataFrame(numpy.zeros((1000, 1000)))),
        "a model for a loss": lambda: fitted(loss=[nn.Linear(2, 2)] * 1000),
        "a tensor for a path": lambda: layer().save(torch.rand(1000, 1000)),
        "a tensor for a solver": lambda: layer(solver=torch.rand(1000, 1000)),
        "a tensor for a device": lambda: ModularGraph(parts(), devices=torch.rand(1000, 1000)),
    }.values(),
)
def test_what_came_is_told_in_a_line_however_much_it_holds(call):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    parts_of(str(error.value))


def text_of(node):
    """The text of an expression: what is put in is left open, and both ways are said."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value)
        return "Use it" if re.fullmatch(r"_?remedy|_REMEDY|error", name) else "..."
    return "".join(map(text_of, ast.iter_child_nodes(node)))


def messages_of(source):
    """Texts that begin as messages of mistakes do, with the line they begin in."""
    inside = set()
    for node in ast.walk(ast.parse(source)):
        if node in inside or not isinstance(node, ast.BinOp | ast.JoinedStr | ast.Constant):
            continue
        inside.update(ast.walk(node))
        text = text_of(node)
        if text.startswith("Expected "):
            yield node.lineno, text


@pytest.mark.parametrize("room", sorted(path.name for path in (ROOT / "pyg_modules").iterdir()))
def test_all_messages_of_mistakes_have_these_three_parts(room):
    place = ROOT / "pyg_modules" / room
    for path in [place] if place.suffix == ".py" else sorted(place.rglob("*.py")):
        for line, text in messages_of(path.read_text(encoding="utf-8")):
            try:
                parts_of(text)
            except AssertionError:
                pytest.fail(f"{path}:{line} {text}")


@pytest.mark.parametrize(
    "text",
    [
        "a is too large",
        "Expected a >= 0.",
        "Expected a >= 0 (got -1).",
        "Expected a >= 0 (got -1): it is negative.",
        "Expected a >= 0 (got -1). It cannot be negative.",
        "Expected a >= 0 (got ). Raise it.",
        "Expected a >= 0 (got -1",
    ],
)
def test_a_message_without_one_of_them_is_found(text):
    with pytest.raises(AssertionError):
        parts_of(text)
