"""Random unit graphs: what every one of them is, and what they are on the average."""

import tracemalloc
from collections import Counter
from math import comb

import networkx
import numpy
import pytest
import torch
from scipy.stats import binom, chisquare

from pyg_modules import UnitGraph
from pyg_modules.graph.generators import RANDOM_WIRINGS
from tests.strategies import generator

SIZES = (5, 40, 3)
WIRED = {
    f"random_wired {kind}": lambda *sizes, kind=kind, **more: UnitGraph.random_wired(
        *sizes, kind, 6, **more
    )
    for kind in RANDOM_WIRINGS
}
#: Every generator of random graphs, on the first arguments that all share but those of levels.
RANDOM = {
    "erdos_renyi": lambda *sizes, **more: UnitGraph.erdos_renyi(*sizes, 0.3, **more),
    "fixed_in_degree": lambda *sizes, **more: UnitGraph.fixed_in_degree(*sizes, 6, **more),
    "small_world": lambda *sizes, **more: UnitGraph.small_world(*sizes, 6, 0.2, **more),
    "scale_free": lambda *sizes, **more: UnitGraph.scale_free(*sizes, 6, **more),
    "modular": lambda *sizes, **more: UnitGraph.modular(*sizes, 3, 0.5, 0.1, **more),
    "geometric": lambda *sizes, **more: UnitGraph.geometric(*sizes, 0.3, **more),
    "layered": lambda *sizes, **more: UnitGraph.layered(sizes, density=0.3, **more),
    "yoked": lambda *sizes, **more: UnitGraph.yoked(sizes, density=0.3, **more),
    **WIRED,
}
may_be_idle = pytest.mark.filterwarnings("ignore:.* Use repair=True")


def edges_of(graph):
    return [tuple(edge) for edge in graph.edge_index.T.tolist()]


def among_hidden(graph):
    """The edges between hidden units, counted from 0, as an undirected graph of networkx."""
    first, hidden = graph.hidden.start, range(graph.num_hidden)
    local = [(source - first, target - first) for source, target in edges_of(graph)]
    result = networkx.Graph([pair for pair in local if pair[0] in hidden and pair[1] in hidden])
    result.add_nodes_from(hidden)
    return result


def is_near(found, count, prob):
    """Whether a binomial number is within five standard deviations of its mean."""
    return abs(found - count * prob) < 5 * (count * prob * (1 - prob)) ** 0.5


@may_be_idle
@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_is_a_graph_whose_edges_are_in_the_order_of_a_complete_one(name):
    make = RANDOM[name]
    graph = make(*SIZES, generator=generator(0))
    assert graph == make(*SIZES, generator=generator(0))
    assert graph != make(*SIZES, generator=generator(1))
    torch.manual_seed(3)
    drawn = make(*SIZES)
    torch.manual_seed(3)
    assert make(*SIZES) == drawn
    assert (graph.num_inputs, graph.num_hidden, graph.num_outputs) == SIZES
    whole = UnitGraph.yoked(SIZES) if name == "yoked" else UnitGraph.complete(*SIZES)
    place = {edge: place for place, edge in enumerate(edges_of(whole))}
    places = [place[edge] for edge in edges_of(graph)]
    assert places == sorted(set(places))


@may_be_idle
@pytest.mark.parametrize("prob", [0.05, 0.4, 0.9])
def test_all_edges_are_equally_likely_and_independent(prob):
    count, rand, seen, numbers = 3000, generator(0), Counter(), Counter()
    whole = UnitGraph.complete(2, 3, 1)
    for _ in range(count):
        graph = UnitGraph.erdos_renyi(2, 3, 1, prob, generator=rand)
        seen.update(edges_of(graph))
        numbers[graph.num_edges] += 1
    assert all(is_near(seen[edge], count, prob) for edge in edges_of(whole))
    # The number of edges is binomial only if they are independent.
    expected = count * binom.pmf(range(whole.num_edges + 1), whole.num_edges, prob)
    found = numpy.array([numbers[value] for value in range(whole.num_edges + 1)])
    rare = expected < 5
    found = numpy.append(found[~rare], found[rare].sum())
    expected = numpy.append(expected[~rare], expected[rare].sum())
    assert chisquare(found, expected).pvalue > 1e-3


@may_be_idle
@pytest.mark.parametrize("in_degree", [0, 1, 3, 5, 6])
def test_in_degrees_are_fixed_and_all_sets_of_sources_equally_likely(in_degree):
    rand, sets = generator(0), Counter()
    for _ in range(200):
        graph = UnitGraph.fixed_in_degree(1, 6, 2, in_degree, generator=rand)
        degrees = torch.bincount(graph.edge_index[1], minlength=9)
        assert degrees.tolist() == [0] + [in_degree] * 8
        source, target = graph.edge_index
        sets.update(tuple(sorted(source[target == unit].tolist())) for unit in graph.hidden)
    found = [*sets.values(), *[0] * (comb(7, in_degree) - len(sets))]
    assert sum(found) == 200 * 6
    assert len(found) == 1 or chisquare(found).pvalue > 1e-3


@may_be_idle
@pytest.mark.parametrize(("rewire_prob", "seeds"), [(0.0, 1), (0.1, 8), (1.0, 8)])
def test_small_worlds_are_those_of_networkx(rewire_prob, seeds):
    figures = []
    for seed in range(seeds):
        rand = generator(seed)
        graph = UnitGraph.small_world(2, 200, 2, 8, rewire_prob, end_prob=0.1, generator=rand)
        ours = among_hidden(graph)
        theirs = networkx.watts_strogatz_graph(200, 8, rewire_prob, seed)
        assert ours.number_of_edges() == 200 * 4
        if rewire_prob == 0:
            assert networkx.utils.edges_equal(ours.edges, theirs.edges)
        # Both ways, and edges of the ends.
        num_ends = graph.num_edges - 2 * 200 * 4
        assert is_near(num_ends, 4 * 200, 0.1)
        figures += [
            [networkx.average_clustering(one), networkx.average_shortest_path_length(one)]
            for one in (ours, theirs)
        ]
    clustering, path_length = numpy.reshape(figures, (seeds, 2, 2)).mean(axis=0).T
    assert clustering[0] == pytest.approx(clustering[1], rel=0.1, abs=0.005)
    assert path_length[0] == pytest.approx(path_length[1], rel=0.05)


@pytest.mark.parametrize(("count", "degree"), [(100, 10), (30, 6), (12, 4)])
def test_connections_of_small_worlds_leave_their_places_as_often_as_those_of_networkx(
    count, degree
):
    def share_that_left(graph):
        near = range(degree // 2 + 1), range(count - degree // 2, count)
        left = [all((i - j) % count not in part for part in near) for j, i in graph.edges]
        return sum(left) / len(left)

    ours, theirs = (
        numpy.array([share_that_left(make(seed)) for seed in range(60)])
        for make in (
            lambda seed: among_hidden(
                UnitGraph.small_world(1, count, 1, degree, 1.0, generator=generator(seed))
            ),
            lambda seed: networkx.watts_strogatz_graph(count, degree, 1.0, seed),
        )
    )
    spread = (ours.var() + theirs.var()) ** 0.5 / len(ours) ** 0.5
    assert abs(ours.mean() - theirs.mean()) < 4 * spread


@pytest.mark.parametrize("degree", [4, 6, 8])
def test_small_worlds_keep_all_connections_where_there_is_hardly_room(degree):
    graph = UnitGraph.small_world(1, 9, 1, degree, 1.0, end_prob=1, generator=generator(0))
    assert among_hidden(graph).number_of_edges() == 9 * degree // 2
    assert graph.num_edges == 9 * degree + 18


def test_scale_free_degrees_are_those_of_networkx():
    bounds = [1, 4, 5, 7, 12, 20, 40, 400]
    counts = numpy.zeros((2, 7))
    for seed in range(10):
        ours = among_hidden(UnitGraph.scale_free(2, 400, 2, 6, generator=generator(seed)))
        theirs = networkx.barabasi_albert_graph(400, 3, seed)
        assert ours.number_of_edges() == theirs.number_of_edges() == 3 * (400 - 3)
        for row, graph in zip(counts, (ours, theirs), strict=True):
            degrees = [degree for _, degree in graph.degree]
            row += numpy.histogram(degrees, bounds)[0]
    assert counts.sum(axis=1).tolist() == [4000, 4000]
    expected = counts.mean(axis=0)
    assert chisquare(counts[0], expected).pvalue > 1e-3


@may_be_idle
def test_edges_within_modules_and_between_have_their_own_probability():
    sizes = 30, 302, 21
    graph = UnitGraph.modular(*sizes, 3, 0.4, 0.02, generator=generator(0))
    shares = [[10] * 3, [100, 101, 101], [7] * 3]
    module = numpy.concatenate([numpy.repeat(range(3), share) for share in shares])
    for is_within, prob in ((True, 0.4), (False, 0.02)):
        found, possible = (
            int((numpy.equal(*module[one.edge_index.numpy()]) == is_within).sum())
            for one in (graph, UnitGraph.complete(*sizes))
        )
        assert is_near(found, possible, prob)
    apart = UnitGraph.modular(*sizes, 3, 0.4, 0.0, generator=generator(0))
    assert numpy.equal(*module[apart.edge_index.numpy()]).all()


@may_be_idle
def test_units_in_a_plane_are_joined_to_those_near_them():
    count, radius = 2000, 0.05
    graph = UnitGraph.geometric(4, count, 2, radius, generator=generator(0))
    edges, first = set(edges_of(graph)), graph.hidden.start
    inner = {edge for edge in edges if min(edge) >= first and max(edge) < graph.outputs.start}
    assert inner == {(target, source) for source, target in inner}
    # Two points of the square are that near with this probability.
    prob = numpy.pi * radius**2 - 8 / 3 * radius**3 + radius**4 / 2
    mean = count * (count - 1) * prob
    assert abs(len(inner) - mean) < 0.1 * mean
    # Ids go from left to right: inputs are near the first, outputs near the last.
    strip = 0.1 * count
    assert all(target < first + strip for source, target in edges if source < first)
    assert all(
        source >= first + count - strip for source, target in edges if target >= first + count
    )
    assert not any(source == target for source, target in edges)


@pytest.mark.parametrize("name", WIRED)
def test_random_wirings_have_no_cycle_and_all_units_take_part(name):
    graph = WIRED[name](*SIZES, generator=generator(0))  # No warning.
    source, target = graph.edge_index
    assert bool((source < target).all())
    hidden = among_hidden(graph)
    for unit in graph.hidden:
        before, after = source[target == unit], target[source == unit]
        inputs, outputs = before[before < 5], after[after >= 45]
        assert inputs.tolist() in ([], list(graph.inputs))
        assert outputs.tolist() in ([], list(graph.outputs))
        assert (len(inputs) > 0) == (len(before) == len(inputs))
        assert (len(outputs) > 0) == (len(after) == len(outputs))
    mean_degree = {"erdos_renyi": 6, "scale_free": 6 * 37 / 40, "small_world": 6}
    found = 2 * hidden.number_of_edges() / 40
    assert found == pytest.approx(mean_degree[name.split()[1]], rel=0.2)


@may_be_idle
@pytest.mark.parametrize("make", [UnitGraph.layered, UnitGraph.yoked])
def test_levels_keep_a_share_of_their_edges(make):
    sizes = [20, 50, 40, 10]
    whole, graph = make(sizes), make(sizes, density=0.3, generator=generator(0))
    place = {edge: place for place, edge in enumerate(edges_of(whole))}
    places = [place[edge] for edge in edges_of(graph)]
    assert places == sorted(set(places))
    assert is_near(graph.num_edges, whole.num_edges, 0.3)
    state = torch.get_rng_state()
    assert make(sizes, density=1) == whole
    assert torch.equal(torch.get_rng_state(), state)


def test_memory_is_that_of_the_edges():
    tracemalloc.start()
    graph = UnitGraph.erdos_renyi(10, 10**5, 10, 2e-5, generator=generator(0), repair=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert is_near(graph.num_edges, 10**10, 2e-5) or graph.num_edges > 2e5
    assert peak < 300 * graph.num_edges  # All pairs would be 80 gigabytes.


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: UnitGraph.erdos_renyi(3, 2, 1, 1.5),
            ValueError,
            r"edge_prob in \[0, 1\] \(got 1.5",
        ),
        (lambda: UnitGraph.erdos_renyi(3, 2, 1, float("nan")), ValueError, "edge_prob in"),
        (lambda: UnitGraph.erdos_renyi(3, 2, 1, "x"), TypeError, "edge_prob to be a number"),
        (lambda: UnitGraph.layered([3, 2, 1], density=-0.1), ValueError, r"density in \[0, 1\]"),
        (lambda: UnitGraph.yoked([3, 2, 1], density=2), ValueError, r"density in \[0, 1\]"),
        (lambda: UnitGraph.fixed_in_degree(3, 4, 1, 5), ValueError, "in_degree <= 4, the number"),
        (lambda: UnitGraph.fixed_in_degree(3, 4, 1, -1), ValueError, "in_degree >= 0"),
        (lambda: UnitGraph.small_world(3, 9, 1, 3, 0.1), ValueError, r"even degree.*got 3"),
        (lambda: UnitGraph.small_world(3, 8, 1, 8, 0.1), ValueError, "8, for 8 hidden"),
        (lambda: UnitGraph.small_world(3, 9, 1, 4, 1.1), ValueError, "rewire_prob in"),
        (lambda: UnitGraph.small_world(3, 9, 1, 4, 1, end_prob=7), ValueError, "end_prob in"),
        (lambda: UnitGraph.scale_free(3, 4, 1, 4), ValueError, "4, for 4 hidden"),
        (lambda: UnitGraph.modular(3, 4, 1, 5, 1, 0), ValueError, "num_modules <= num_hidden"),
        (lambda: UnitGraph.modular(3, 4, 1, 2, 1.2, 0), ValueError, "within_prob in"),
        (lambda: UnitGraph.modular(3, 4, 1, 2, 1, -1), ValueError, "between_prob in"),
        (lambda: UnitGraph.geometric(3, 4, 1, -0.1), ValueError, "radius >= 0"),
        (lambda: UnitGraph.random_wired(3, 9, 1, "ring", 2), ValueError, "one of 'erdos_renyi'"),
        (lambda: UnitGraph.random_wired(3, 9, 1, "small_world", 3), ValueError, "even degree"),
    ],
)
def test_what_no_graph_can_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@may_be_idle
@pytest.mark.parametrize("name", RANDOM)
def test_there_may_be_no_inputs_and_outputs(name):
    graph = RANDOM[name](0, 7, 0, generator=generator(0))
    assert (graph.num_units, graph.num_inputs, graph.num_outputs) == (7, 0, 0)


@may_be_idle
@pytest.mark.parametrize("num_hidden", [0, 1, 5])
def test_hidden_units_may_have_no_neighbours(num_hidden):
    sizes = 2, num_hidden, 1
    graphs = [
        UnitGraph.small_world(*sizes, 0, 0.5),
        UnitGraph.scale_free(*sizes, 0),
        UnitGraph.geometric(*sizes, 0.0),
        UnitGraph.fixed_in_degree(*sizes, 0),
    ]
    assert [graph.num_edges for graph in graphs] == [0] * 4
    wired = [UnitGraph.random_wired(*sizes, kind, 0) for kind in RANDOM_WIRINGS]
    assert [graph.num_edges for graph in wired] == [3 * num_hidden] * 3
