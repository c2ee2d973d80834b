"""Every tensor that the package makes says its device, so that torch's default changes nothing."""

import ast
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.modules import check_independence
from pyg_modules.partition import conductance, module_costs, normalized_cut
from pyg_modules.report import plot_unit_graph
from tests.strategies import generator, normal

PACKAGE = Path(__file__).parents[1] / "pyg_modules"
MAKERS = {
    *("arange", "empty", "eye", "full", "linspace", "ones"),
    *("rand", "randint", "randn", "randperm", "sparse_csr_tensor", "tensor", "zeros"),
}


def without_device(source):
    """Lines on which a tensor is made without a device."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == "torch"
        and call.func.attr in MAKERS
        and "device" not in {keyword.arg for keyword in call.keywords}
    ]


def test_tensors_without_a_device_are_found():
    assert without_device('torch.zeros(3)\ntorch.ones(2, device="cpu")\nx.new_zeros(1)') == [1]


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_every_tensor_is_made_on_a_device(file):
    assert without_device(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("solver", [Unrolled(4), Equilibrium(contraction=0.9)], ids=str)
def test_a_layer_on_the_cpu_is_the_same_where_the_default_device_is_another(solver, tmp_path):
    x = normal(5, 3)

    def everything():
        graph = UnitGraph.erdos_renyi(3, 12, 2, 0.7, generator=generator(0))
        layer = SynchronousGraph(graph, solver, "tanh", device="cpu", dtype=torch.float64)
        layer.reset_parameters(generator(1))
        labels = partition_units(layer, 3)
        modular = cut(layer, labels)
        parts = split(modular)
        regularizer = PartitionRegularizer(layer, 3, cost_balance=1.0, generator=generator(2))
        edges = modular.graph.edge_index, modular.weight, labels
        results = [
            layer(x),
            modular(x),
            merge(parts)(x),
            ModularGraph(parts)(x),
            regularizer(),
            regularizer.labels(),
            torch.as_tensor(conductance(*edges), device="cpu"),
            torch.as_tensor(module_costs(edges[0], labels), device="cpu"),
            torch.as_tensor(normalized_cut(*edges), device="cpu"),
            planted_problem(2, num_train=5, num_test=5, seed=3).train_x,
        ]
        check_independence(modular, x)
        modular.save(tmp_path)
        results.append(SynchronousGraph.load(tmp_path)(x))
        plot_unit_graph(modular, ax=Figure().subplots())
        results.append(prune_cross_edges(layer, labels)(x))
        return [result.detach() for result in results]

    with torch.device("cpu"):
        expected = everything()
    with torch.device("meta"):
        found = everything()
    assert all(result.device.type == "cpu" for result in found)
    torch.testing.assert_close(found, expected)
