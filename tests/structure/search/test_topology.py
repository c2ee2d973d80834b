import pytest
import torch
from torch.nn import Linear

from pyg_modules import SynchronousGraph, UnitGraph, cut
from pyg_modules.modules import check_independence
from pyg_modules.structure import Topology
from pyg_modules.structure.search.random_graphs import RANDOM_GRAPHS

SETTINGS = {"num_inputs": 6, "num_outputs": 3, "num_updates": 3, "activation": "tanh"}
SPARSE = [name for name, graphs in RANDOM_GRAPHS.items() if graphs.has_density]


def topology(generator, density=0.3, max_parameters=600, **settings):
    if generator == "complete":
        density = None
    return Topology(
        generator=generator,
        density=density,
        max_parameters=max_parameters,
        **{**SETTINGS, **settings},
    )


def num_parameters(layer):
    return sum(parameter.numel() for parameter in layer.parameters())


@pytest.mark.parametrize("activation", ["tanh", "prelu"])
@pytest.mark.parametrize("num_modules", [1, 3])
@pytest.mark.parametrize("generator", RANDOM_GRAPHS)
def test_a_layer_has_as_many_parameters_as_it_may_and_all_units_take_part(
    generator, num_modules, activation
):
    kind = topology(generator, num_modules=num_modules, activation=activation)
    layer = kind.layer(seed=5)
    graph = layer.graph
    assert num_parameters(layer) == kind.num_parameters_on(graph) <= 600
    # The next larger one does not fit.
    assert kind.num_parameters_on(kind._drawn(graph.num_hidden + 1, 5)) > 600
    assert (graph.num_inputs, graph.num_outputs, layer.solver.num_updates) == (6, 3, 3)
    edges = graph.to_networkx()
    for ends, reached in ((graph.inputs, edges), (graph.outputs, edges.reverse())):
        seen = set(ends)
        for _ in range(graph.num_units):
            seen |= {target for source in seen for target in reached.successors(source)}
        assert seen >= set(graph.hidden)


def test_a_complete_topology_is_the_complete_graph():
    # 9 + 10 hidden: 10 (6 + 10 + 3) edges, 10 + 3 biases.
    layer = topology("complete", max_parameters=203).layer(0)
    assert layer.graph == UnitGraph.complete(6, 10, 3)
    assert topology("complete", max_parameters=202).graph(0) == UnitGraph.complete(6, 9, 3)
    again = SynchronousGraph(
        layer.graph, layer.solver, "tanh", generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(layer.weight, again.weight)


def test_a_layered_topology_is_an_mlp_with_a_level_per_update():
    layer = topology("layered", density=1.0, max_parameters=96).layer(0)
    # Levels of 4 units: 7 * 4 + 5 * 4 + 5 * 4 + 5 * 3 = 83; the next unit is one of the last level.
    graph = UnitGraph.layered([6, 4, 4, 5, 3])
    assert layer.graph == graph
    levels = [Linear(6, 4), Linear(4, 4), Linear(4, 5), Linear(5, 3)]
    assert num_parameters(layer) == sum(map(num_parameters, levels))


@pytest.mark.parametrize("generator", RANDOM_GRAPHS)
def test_the_seed_says_which_layer_it_is(generator):
    kind = topology(generator)
    one, same, other = (kind.layer(seed) for seed in (1, 1, 2))
    assert one.graph == same.graph
    assert torch.equal(one.weight, same.weight)
    assert torch.equal(one.bias, same.bias)
    assert (one.graph == other.graph) == (generator == "complete")
    assert not torch.equal(one.bias[:9], other.bias[:9])


def test_nothing_is_drawn_from_the_generator_of_torch():
    before = torch.random.get_rng_state()
    topology("erdos_renyi", num_modules=2).layer(1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("generator", SPARSE)
def test_sparser_topologies_have_more_units(generator):
    sizes = [
        topology(generator, density=it, max_parameters=3000).graph(0).num_hidden
        for it in (0.6, 0.3, 0.15)
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("generator", RANDOM_GRAPHS)
def test_modules_are_independent_from_the_start(generator):
    layer = topology(generator, num_modules=3).layer(0)
    labels = layer.labels
    assert labels[:6].tolist() == [-1] * 6
    assert labels[-3:].tolist() == [-1] * 3
    sizes = torch.bincount(labels[6:-3])
    assert len(sizes) == 3
    assert sizes.max() - sizes.min() <= 1
    assert cut(layer, labels).graph == layer.graph
    assert check_independence(layer, torch.rand(4, 6)).paths == 0


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"generator": "star"}, ValueError, r"one of 'complete', .*got 'star'"),
        ({"generator": ["complete"]}, ValueError, r"Expected generator to be one of"),
        ({"density": 0.0}, ValueError, r"density in \(0, 1\].*got 0"),
        ({"density": 1.5}, ValueError, r"density in \[0, 1\] \(got 1.5"),
        ({"density": None}, TypeError, r"density to be a number \(got NoneType"),
        ({"density": 1e-4}, ValueError, r"an edge from and to another \(got 0.0001.*Raise dens"),
        ({"max_parameters": 10}, ValueError, r"max_parameters >= \d+.*got 10.*lower the density"),
        ({"num_modules": 80}, ValueError, r"max_parameters >= .*240 hidden units.*num_modules=80"),
        ({"num_modules": 0}, ValueError, r"num_modules >= 1"),
        ({"num_updates": 2.5}, TypeError, r"num_updates to be an int"),
        ({"activation": "swish"}, ValueError, r"activation to be one of"),
    ],
)
def test_impossible_topologies_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        Topology(
            **{
                **SETTINGS,
                "generator": "erdos_renyi",
                "density": 0.3,
                "max_parameters": 600,
                **changed,
            }
        )


def test_what_has_all_edges_has_no_density():
    with pytest.raises(ValueError, match=r"density=None for a 'complete' graph.*got 0.5"):
        Topology(**SETTINGS, generator="complete", density=0.5, max_parameters=600)
