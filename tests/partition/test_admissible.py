from itertools import pairwise

import numpy
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pyg_modules import (
    PartitionRegularizer,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules.partition import module_sizes
from pyg_modules.partition.admissible.admissible import DeadModulesError, admissible
from pyg_modules.partition.admissible.living import Living
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.partition.methods import METHODS
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import Units
from tests.strategies import generator, seeds, unit_graphs


def layer_of(graph, steps=8, seed=0):
    return SynchronousGraph(graph, Unrolled(steps), generator=generator(seed))


def num_dead(layer, labels):
    return Liveliness.of(layer.graph, labels, layer.solver.num_updates).num_dead


@pytest.mark.parametrize("method", ["refine", "spectral"])
@pytest.mark.parametrize("num_modules", [2, 4])
@pytest.mark.parametrize("num_levels", range(2, 9))
def test_layered_graphs_are_cut_along_their_levels_not_across(num_levels, num_modules, method):
    layer = layer_of(UnitGraph.layered([5, *[12] * num_levels, 3]))
    labels = partition_units(layer, num_modules, method=method)
    for level in labels[5:-3].reshape(num_levels, 12):
        assert module_sizes(level) == [12 // num_modules] * num_modules
    assert num_dead(layer, labels) == 0
    cut(layer, labels)


@pytest.mark.parametrize("make", [UnitGraph.layered, UnitGraph.yoked])
def test_with_a_tolerance_every_level_has_a_share(make):
    layer = layer_of(make([5, 20, 10, 15, 3]))
    labels = partition_units(layer, 2, tolerance=0.2)[5:-3]
    assert min(module_sizes(labels[:20])) >= 8
    assert min(module_sizes(labels[20:30])) >= 4
    assert min(module_sizes(labels[30:])) >= 6
    assert max(module_sizes(labels)) <= 1.2 * 45 / 2


def test_a_complete_graph_has_one_class_of_units():
    units = Units(layer_of(UnitGraph.complete(3, 10, 2)), scope="all")
    assert units.classes(4).tolist() == [0] * 15


def test_classes_are_those_of_equal_distance_and_small_ones_are_put_together():
    units = Units(layer_of(UnitGraph.layered([2, 4, 1, 2, 5, 3])))
    assert units.classes(2).tolist() == [0] * 4 + [1] * 3 + [2] * 5
    assert units.classes(4).tolist() == [0] * 4 + [1] * 8
    assert units.classes(6).tolist() == [0] * 12
    of_all = Units(units.layer, scope="all")
    assert of_all.classes(2).tolist() == [0] * 6 + [1] * 3 + [2] * 8


def lives_at_random(layer, num_modules, scope):
    """Whether one of many partitions at random has modules that live."""
    units = Units(layer, scope=scope)
    classes = units.classes(num_modules)
    bounds = units.bounds(num_modules)
    for seed in range(50):
        rand = numpy.random.default_rng(seed)
        labels = numpy.empty(len(units), dtype=numpy.int64)
        for kind in range(classes.max() + 1):
            sizes = bounds.smallest[kind]
            missing = (classes == kind).sum() - sizes.sum()
            filled = numpy.repeat(numpy.arange(num_modules), sizes)
            own = numpy.concatenate(
                [filled, numpy.flatnonzero(bounds.largest[kind] > sizes)[:missing]]
            )
            labels[classes == kind] = rand.permutation(own)
        of_all = units.labels_of_all(torch.from_numpy(labels))
        if not Liveliness.of(layer.graph, of_all, layer.solver.num_updates).dead_modules(of_all):
            return True
    return False


@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:.* Use repair=True")
@given(
    seed=seeds,
    num_modules=st.integers(2, 4),
    density=st.sampled_from([0.1, 0.2, 0.4]),
    scope=st.sampled_from(["hidden", "inputs", "all"]),
    steps=st.integers(2, 8),
)
def test_sparse_graphs_get_modules_that_live_or_an_error(seed, num_modules, density, scope, steps):
    graph = UnitGraph.erdos_renyi(8, 40, 6, density, generator=generator(seed))
    layer = layer_of(graph, steps, seed)
    try:
        labels = partition_units(layer, num_modules, scope=scope)
    except ValueError:
        # Not even a search that looks at nothing else finds one for each module.
        assert not lives_at_random(layer, num_modules, scope)
    else:
        liveliness = Liveliness.of(graph, labels, steps)
        assert liveliness.dead_modules(labels) == []


@pytest.mark.parametrize("seed", range(5))
def test_dead_units_of_sparse_graphs_are_moved_to_where_they_live(seed):
    graph = UnitGraph.erdos_renyi(8, 60, 6, 0.15, generator=generator(seed))
    assert num_dead(layer_of(graph, seed=seed), partition_units(layer_of(graph, seed=seed), 3)) == 0


def test_with_all_units_every_module_has_an_input_and_an_output():
    layer = layer_of(UnitGraph.complete(4, 20, 3))
    with torch.no_grad():  # All outputs belong together, and all inputs.
        source, target = layer.graph.edge_index
        layer.weight.fill_(0.01)
        layer.weight[(source >= 19) & (target >= 24)] = 5.0
        layer.weight[(source < 4) & (target < 9)] = 5.0
    for method in sorted(set(METHODS) & {"refine", "spectral"}):
        labels = partition_units(layer, 3, scope="all", method=method)
        assert set(labels[:4].tolist()) == set(labels[-3:].tolist()) == {0, 1, 2}
        assert num_dead(layer, labels) == 0


def test_more_modules_than_outputs_are_refused_with_all_units():
    layer = layer_of(UnitGraph.complete(4, 20, 2))
    said = r"from 2 to 2: .*3 modules, 4 inputs and 2 outputs.* or scope='inputs'"
    with pytest.raises(ValueError, match=said):
        partition_units(layer, 3, scope="all")
    with pytest.raises(ValueError, match="from 2 to 2"):
        PartitionRegularizer(layer, 3, scope="all")


def test_too_few_updates_for_the_depth_are_said():
    with pytest.warns(UserWarning, match="2 of 2 outputs are the same for all inputs"):
        layer = layer_of(UnitGraph.layered([2, 6, 6, 6, 2]), steps=2)
    with pytest.raises(ValueError, match=r"2 updates can walk .* at least 3 steps"):
        partition_units(layer, 2)
    with pytest.raises(ValueError, match=r"2 updates can walk .* at least 3 steps"):
        PartitionRegularizer(layer, 2)


@pytest.mark.parametrize("scope", ["hidden", "inputs"])
def test_edges_from_inputs_to_outputs_are_no_way_through_the_hidden_units(scope):
    levels = UnitGraph.layered([2, 6, 6, 6, 2])
    direct = torch.tensor([[0, 1], [20, 21]])
    graph = UnitGraph(torch.cat([levels.edge_index, direct], dim=1), 22, 2, 2)
    with pytest.warns(UserWarning, match="18 of 18 hidden units take no part"):
        layer = layer_of(graph, steps=2)
    for make in (partition_units, PartitionRegularizer):
        with pytest.raises(ValueError, match=r"2 updates can walk .* at least 3 steps"):
            make(layer, 2, scope=scope)


def test_a_level_that_is_smaller_than_the_number_of_modules_is_refused():
    layer = layer_of(UnitGraph.layered([2, 6, 2, 6, 2]))
    with pytest.raises(ValueError, match="Expected 3 modules, each with a path"):
        partition_units(layer, 3)

    said = r"each of 3 modules, .* \(got 2 beside .*'hidden'\)\. Use num_modules=2, or a graph"
    with pytest.raises(ValueError, match=said):
        PartitionRegularizer(layer, 3)  # Before it is trained.
    assert PartitionRegularizer(layer, "auto").logits.shape == (14, 2)


@given(st.data(), st.sampled_from(["hidden", "inputs", "all"]), st.integers(2, 4), seeds)
def test_levels_of_as_many_units_as_modules_are_enough(data, scope, num_modules, seed):
    levels = data.draw(st.lists(st.integers(num_modules, 8), min_size=4, max_size=6))
    layer = layer_of(UnitGraph.layered(levels), steps=len(levels) - 2, seed=seed)
    labels = partition_units(layer, num_modules, scope=scope)
    graph = layer.graph
    for start, stop in pairwise(numpy.cumsum([graph.num_inputs, *levels[1:-1]]).tolist()):
        assert len(set(labels[start:stop].tolist())) == num_modules
    assert num_dead(layer, labels) == 0


@pytest.mark.parametrize("method", [*METHODS])
@pytest.mark.parametrize("capacities", [None, [4, 3, 3], [3, 4, 3], [3, 3, 4]])
def test_sizes_are_rounded_so_that_every_module_has_a_unit_of_a_narrow_level(capacities, method):
    layer = layer_of(UnitGraph.layered([6, 3, 7, 4]), steps=2)
    labels = partition_units(layer, 3, method=method, capacities=capacities)
    assert sorted(labels[6:9].tolist()) == [0, 1, 2]
    assert module_sizes(labels) == (capacities or [4, 3, 3])
    regularizer = PartitionRegularizer(layer, 3, capacities=capacities)
    regularizer.set_labels(labels)
    assert module_sizes(regularizer.labels()) == (capacities or [4, 3, 3])


@given(
    unit_graphs(min_inputs=1, min_hidden=2, min_outputs=1),
    st.sampled_from(["hidden", "inputs", "all"]),
    st.sampled_from([2, 3]),
    st.integers(1, 8),
)
def test_as_many_modules_live_as_there_are_paths_beside_each_other(graph, scope, number, steps):
    units = Units(layer_of(graph, steps), scope=scope)
    assume(number ** len(units) <= 3**7)
    every = torch.cartesian_prod(*[torch.arange(number)] * len(units)).reshape(-1, len(units))
    can_live = any(
        len(set(labels[Liveliness.of(graph, labels, steps).after].tolist()) - {-1}) == number
        for labels in map(units.labels_of_all, every)
    )
    # Short paths may have to share units where long ones need not.
    assert can_live <= (units.num_paths(number) == number)
    if steps >= len(units):
        assert can_live == (units.num_paths(number) == number)


@settings(max_examples=60, deadline=None)
@given(
    unit_graphs(min_inputs=1, min_hidden=2, min_outputs=1),
    st.sampled_from(["hidden", "inputs", "all"]),
    st.sampled_from([2, 3]),
    st.integers(1, 8),
    seeds,
)
def test_no_partition_of_these_sizes_has_fewer_dead_units(graph, scope, num_modules, steps, seed):
    units = Units(layer_of(graph, steps), scope=scope)
    assume(num_modules <= (units.num_ends() or len(units)) and num_modules ** len(units) <= 3**7)
    bounds, living = units.bounds(num_modules), Living(units, num_modules)
    assume(living.may_live.any())
    every = torch.cartesian_prod(*[torch.arange(num_modules)] * len(units)).numpy()
    lacks = []
    for labels in every:
        sizes = bounds.sizes(labels)
        if (bounds.smallest <= sizes).all() and (sizes <= bounds.largest).all():
            lacks.append((living.lack(labels, living.alive(living.reach(labels))), labels))
    least, _ = min(lacks, key=lambda lack: lack[0])
    _, start = max(lacks, key=lambda lack: lack[0])
    edges = csr_array(numpy.ones((len(units), len(units))))
    if least[0]:
        with pytest.raises(DeadModulesError):
            admissible(units, edges, start, bounds, seed=seed)
    else:
        found = admissible(units, edges, start, bounds, seed=seed)
        assert living.lack(found, living.alive(living.reach(found))) == least


@pytest.mark.parametrize("seed", range(5))
def test_where_few_ways_lead_through_modules_are_given_one_each(seed):
    # One labelling of a hundred lets both modules live.
    into = {
        **{2: [1], 3: [0], 4: [0], 5: [1], 6: [4, 5], 7: [4], 8: [3]},
        **{11: [7, 8, 9], 12: [7, 9], 13: [6], 14: [6, 7], 15: [10, 13], 16: [13, 14]},
    }
    edges = torch.tensor([[source, unit] for unit, sources in into.items() for source in sources]).T
    layer = layer_of(UnitGraph(edges, 17, 2, 2), steps=4, seed=seed)
    labels = partition_units(layer, 2, scope="inputs", seed=seed)
    assert sorted(module_sizes(labels)) == [7, 8]
    assert Liveliness.of(layer.graph, labels, 4).dead_modules(labels) == []


def test_graphs_without_inputs_are_no_matter_of_life():
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    layer = layer_of(UnitGraph(edges, 4, 0, 0))
    assert module_sizes(partition_units(layer, 2)) == [2, 2]


def test_a_module_of_inputs_alone_gets_units_that_compute():
    layer = layer_of(UnitGraph.complete(24, 12, 4))
    with torch.no_grad():
        layer.weight.fill_(1.0)
        source = layer.graph.edge_index[0]
        layer.weight[source < 20] = 1e-3
    labels = partition_units(layer, 2, scope="all", capacities=[20, 20], tolerance=0.1)
    assert num_dead(layer, labels) == 0
    cut(layer, labels)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_labels_of_a_complete_graph_come_to_life(data):
    """A module in which one unit computes, and no output is, has to keep it when one comes."""
    num_modules = data.draw(st.integers(2, 3))
    few = st.integers(num_modules, 12)
    layer = layer_of(UnitGraph.complete(data.draw(few), data.draw(few), data.draw(few)), steps=3)
    units = Units(layer, scope="all")
    members = data.draw(
        st.permutations(range(layer.graph.num_units)).map(numpy.array), label="order"
    )
    labels = numpy.empty(layer.graph.num_units, dtype=numpy.int64)
    labels[members] = numpy.arange(len(members)) * num_modules // len(members)
    bounds = units.bounds(num_modules, tolerance=0.1)
    found = admissible(units, units.affinity_matrix(), labels, bounds, seed=0)
    assert num_dead(layer, torch.from_numpy(found)) == 0


def test_it_ends_where_few_enough_are_dead():
    graph = UnitGraph.erdos_renyi(20, 250, 5, 8 / 250, generator=generator(0), repair=True)
    layer = layer_of(graph, steps=4)
    units = Units(layer)
    labels = numpy.random.default_rng(0).permutation(numpy.arange(250) % 4)
    sizes = numpy.bincount(labels)[None]
    bounds = SizeBounds.around(sizes, 0.0, numpy.zeros(250, dtype=numpy.int64))

    def found(**options):
        moved = admissible(units, units.affinity_matrix(), labels, bounds, seed=0, **options)
        assert numpy.bincount(moved).tolist() == numpy.bincount(labels).tolist()
        return num_dead(layer, units.labels_of_all(torch.from_numpy(moved)))

    least, before = found(), num_dead(layer, units.labels_of_all(torch.from_numpy(labels)))
    assert least < 15 < 50 < before
    assert 15 < found(enough=50) <= 50
    assert least < found(enough=15) <= 15
    assert found(enough=before) == before
    # As many as it takes to give up without a limit are not worth the last few.
    assert least <= found(enough=0) < 15
