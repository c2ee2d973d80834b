"""What a SynchronousConv cannot compute with, and what it says then."""

import numpy
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_torch_csr_tensor

from pyg_modules import (
    Equilibrium,
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
)
from pyg_modules.nn.data_edges import DataEdges
from pyg_modules.report import report
from tests.nn.test_synchronous_conv import EDGES, NUM_NODES, SMALL, conv_of
from tests.strategies import generator, normal

ONES = torch.ones(EDGES.size(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("edge_index", "edge_weight", "kind", "message"),
    [
        (EDGES + 2, None, ValueError, "between 0 and 6 in edge_index, as x has 7 nodes .got 7"),
        (EDGES - 1, None, ValueError, "between 0 and 6 .* .got -1"),
        (EDGES.T, None, ValueError, r"edge_index of shape \[2, m\].*edge_index.t"),
        (torch.ones(7, 7), None, ValueError, r"got \[7, 7\].*adjacency.nonzero.*t\(\)"),
        (EDGES.double(), None, TypeError, "edge_index of dtype torch.int64"),
        (EDGES.tolist(), None, TypeError, "edge_index to be a Tensor"),
        (None, None, TypeError, "data.edge_index"),
        (EDGES, ONES[1:], ValueError, r"edge_weight of shape \[9\], one per edge .got \[8\]"),
        (EDGES, ONES[:, None], ValueError, "edge_weight.squeeze"),
        (EDGES, ONES.long(), TypeError, "floating dtype"),
        (EDGES, [1.0] * 9, TypeError, "floating dtype .got list"),
        (EDGES, -ONES, ValueError, "edge_weight >= 0 to be normalized .got -1"),
    ],
)
def test_edges_that_do_not_fit(edge_index, edge_weight, kind, message):
    with pytest.raises(kind, match=message):
        conv_of()(normal(NUM_NODES, 3), edge_index, edge_weight)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Sparse invariant checks")
def test_matrices_that_do_not_fit():
    layer, edges = conv_of(), EDGES.unique(dim=1)
    matrix = to_torch_csr_tensor(edges, torch.ones(8).double(), (NUM_NODES, NUM_NODES))
    with pytest.raises(ValueError, match=r"shape \[3, 3\], the number of nodes of x .got \[7, 7\]"):
        layer(normal(3, 3), matrix)
    with pytest.raises(ValueError, match="no edge_weight beside an adjacency matrix"):
        layer(normal(NUM_NODES, 3), matrix, ONES)


@pytest.mark.parametrize("kind", [SynchronousConv, SynchronousConv2d])
def test_a_solver_in_the_second_place_is_told_its_own(kind):
    with pytest.raises(TypeError, match=r"Use solver=Unrolled\(steps=3, checkpoint=False\)"):
        kind(UnitGraph.complete(2, 3, 1), Unrolled(3))


def test_inputs_that_do_not_fit():
    layer, x = conv_of(), normal(NUM_NODES, 3)
    with pytest.raises(TypeError, match=r"one set of nodes .got a tuple of 2"):
        layer((x, x), EDGES)
    with pytest.raises(ValueError, match=r"x of shape \[\*, 3\], the number of inputs"):
        layer(normal(NUM_NODES, 4), EDGES)
    with pytest.raises(ValueError, match=r"x of shape \[V, 3\]"):
        layer(normal(3), EDGES)
    with pytest.raises(TypeError, match=r"x.to.torch.float64"):
        layer(x.float(), EDGES)
    with pytest.raises(TypeError, match="edge_index"):
        layer(x)


def test_data_is_no_input():
    data = Data(normal(NUM_NODES, 3), EDGES)
    for call in (lambda: conv_of()(data, EDGES), lambda: SynchronousGraph(SMALL)(data)):
        with pytest.raises(TypeError, match=r"got Data.*conv.data.x, data.edge_index"):
            call()


def test_settings_that_do_not_fit():
    mask = torch.ones(50, dtype=torch.bool)
    refused = [
        ({"normalize": "rw"}, ValueError, "True, False or 'mean'"),
        ({"normalize": 0}, ValueError, r"True, False or 'mean' \(got 0\)"),
        ({"normalize": numpy.False_}, ValueError, r"True, False or 'mean' \(got .*False"),
        ({"normalize": False, "add_self_loops": True}, ValueError, "add_self_loops"),
        ({"normalize_states": 1}, TypeError, "normalize_states to be a bool"),
        ({"carry": None}, TypeError, "carry to be a bool"),
        ({"bias": None}, TypeError, "bias to be a bool"),
        ({"neighbours": mask[1:]}, ValueError, r"mask of shape \[50\].*got \[49\]"),
        ({"neighbours": mask.double()}, TypeError, "neighbours to be a mask"),
        ({"neighbours": torch.tensor([0, 1])}, ValueError, r"shape \[2, e\]"),
        ({"neighbours": torch.tensor([[8], [3]])}, ValueError, "edges of the graph.*8 -> 3"),
        ({"neighbours": torch.tensor([[-1], [4]])}, ValueError, "edges of the graph.*-1 -> 4"),
        ({"neighbours": torch.tensor([[13], [3]])}, ValueError, "edges of the graph.*13 -> 3"),
    ]
    for kwargs, kind, message in refused:
        with pytest.raises(kind, match=message):
            SynchronousConv(SMALL, **kwargs)


# An adjacency matrix whose norm may be above 1 ##############################################


def test_weights_as_given_must_not_undo_a_contraction():
    layer = conv_of(normalize=False, solver=Equilibrium(1e-10, contraction=0.9, throw=True))
    x = normal(NUM_NODES, 3)
    with pytest.raises(ValueError, match=r"norm of at most 1 .*normalize=True, divide edge_weight"):
        layer(x, EDGES)
    # What the message says to do, with signs that a normalization would refuse.
    bound = DataEdges(EDGES, ONES).norm_bound(NUM_NODES)
    signs = torch.where(torch.arange(9) % 2 > 0, 1.0, -1.0).double()
    states = layer.states(x, EDGES, signs / bound)
    torch.testing.assert_close(layer.step(states, EDGES, signs / bound), states)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308])
def test_weights_as_given_are_finite(value):
    layer = conv_of(normalize=False, solver=Equilibrium(contraction=0.9))
    with pytest.raises(ValueError, match="finite edge_weight"):
        layer(normal(NUM_NODES, 3), EDGES, value * ONES)


def test_weights_as_given_of_no_graph():
    layer = conv_of(normalize=False, solver=Equilibrium(contraction=0.9))
    assert layer(normal(0, 3), EDGES[:, :0]).shape == (0, 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_one_of_the_spectral_radius(seed):
    rand = generator(seed)
    edges = torch.randint(NUM_NODES, (2, 20), generator=rand)
    weight = torch.randn(20, dtype=torch.float64, generator=rand)
    matrix = torch.zeros(NUM_NODES, NUM_NODES, dtype=torch.float64)
    matrix.index_put_((edges[1], edges[0]), weight.abs(), accumulate=True)
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    bound = DataEdges(edges, weight).norm_bound(NUM_NODES)
    largest_sum = float(matrix.sum(dim=1).max())
    assert radius * (1 - 1e-9) <= bound <= largest_sum * (1 + 1e-9)


@pytest.mark.parametrize("normalize", [True, "mean"])
def test_what_was_normalized_before_is_within_the_bound(normalize):
    # A long path, on which a power iteration from anywhere takes long.
    path = torch.stack([torch.arange(99), torch.arange(1, 100)])
    edges = torch.cat([path, path.flip(0)], dim=1)
    weight = torch.ones(198, dtype=torch.float64)
    data = DataEdges(edges, weight).normalized(100, normalize, True)
    assert data.norm_bound(100) == pytest.approx(1, abs=1e-6)


def test_compilers_are_told_that_weights_cannot_be_looked_at():
    layer = conv_of(normalize=False, solver=Equilibrium(contraction=0.9), backend="dense")
    with pytest.raises(RuntimeError, match="whether weights are small enough"):
        torch.func.vmap(lambda one: layer(one, EDGES))(normal(2, NUM_NODES, 3))


# Too much ###################################################################################


def test_how_much_memory_is_missing_is_said():
    layer = SynchronousConv(UnitGraph.complete(1, 1000, 1), solver=Unrolled(6))
    x = torch.zeros(1, 1).expand(2**33, 1)
    with pytest.raises(torch.OutOfMemoryError, match=r"3.2e\+04 GiB at a time.* keeps 6"):
        layer(x, torch.empty(2, 0, dtype=torch.long))


def test_a_report_says_that_it_shows_no_layer_on_graphs():
    with pytest.raises(TypeError, match=r"a SynchronousGraph .got a SynchronousConv"):
        report(conv_of(), normal(4, 3), torch.zeros(4).long())
    with pytest.raises(TypeError, match="its own graph, not of the data"):
        SynchronousGraph(SMALL)(torch.rand(4, 3), EDGES)
