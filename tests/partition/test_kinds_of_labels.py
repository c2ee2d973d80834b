"""Labels are tensors, lists, tuples or arrays, wherever they are taken."""

from io import BytesIO

import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import PartitionRegularizer, SynchronousGraph, UnitGraph, cut, prune_cross_edges
from pyg_modules.partition import (
    agreement,
    check_labels,
    conductance,
    cost_balance,
    cut_fraction,
    modularity,
    module_costs,
    module_sizes,
    normalized_cut,
    size_balance,
    stability,
)
from pyg_modules.report import plot_adjacency, plot_module_sizes, plot_unit_graph
from pyg_modules.report.html.layer_study import study_layer
from pyg_modules.train import Probe, partition_verdict

LABELS = torch.arange(12) % 2
X, Y = torch.ones(8, 3), torch.arange(8) % 2


def layer():
    torch.manual_seed(0)
    return SynchronousGraph(UnitGraph.complete(3, 7, 2))


def weighted(metric):
    def of_layer(labels):
        one = layer()
        return metric(one.graph.edge_index, one.weight.detach(), labels)

    return of_layer


def logits(labels):
    regularizer = PartitionRegularizer(layer(), 2, scope="all")
    regularizer.set_labels(labels)
    return regularizer.logits.tolist()


def plotted(plot):
    def of_layer(labels):
        file = BytesIO()
        figure = Figure()
        plot(layer(), labels, ax=figure.subplots())
        figure.savefig(file, format="png")
        return file.getvalue()

    return of_layer


def reported(labels):
    study = study_layer(layer(), X, Y, labels)
    return str(study.verdict), study.independence, study.attribution.tolist()


TAKERS = {
    "check_labels": lambda labels: check_labels(labels, 12),
    "module_sizes": module_sizes,
    "size_balance": size_balance,
    "agreement": lambda labels: agreement(labels, LABELS) | agreement(LABELS, labels),
    "stability": lambda labels: stability([labels, labels]),
    "normalized_cut": weighted(normalized_cut),
    "cut_fraction": weighted(cut_fraction),
    "modularity": weighted(modularity),
    "conductance": weighted(conductance),
    "module_costs": lambda labels: module_costs(layer().graph.edge_index, labels),
    "cost_balance": lambda labels: cost_balance(layer().graph.edge_index, labels),
    "set_labels": logits,
    "cut": lambda labels: cut(layer(), labels).labels.tolist(),
    "prune": lambda labels: prune_cross_edges(layer(), labels).edge_mask.tolist(),
    "probe": lambda labels: Probe(layer(), (X, Y), steps=1)(labels),
    "verdict": lambda labels: str(partition_verdict(layer(), labels, X, Y)),
    "plot_module_sizes": plotted(plot_module_sizes),
    "plot_adjacency": plotted(plot_adjacency),
    "plot_unit_graph": plotted(plot_unit_graph),
    "report": reported,
}
KINDS = {
    "list": LABELS.tolist(),
    "tuple": tuple(LABELS.tolist()),
    "array": LABELS.numpy(),
    "bytes": LABELS.numpy().astype("int8"),
}


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS)
def test_each_kind_of_labels_gives_what_a_tensor_gives(taker):
    expected = taker(LABELS)
    for kind, labels in KINDS.items():
        assert taker(labels) == expected, kind


@pytest.mark.parametrize("labels", [[0.0, 1.0], ["a", "b"], "01", [True, False], [[0], [1, 1]]])
def test_what_are_no_integers_is_refused(labels):
    with pytest.raises((TypeError, ValueError), match=r"LongTensor|shape"):
        module_sizes(labels)
