"""Repaired graphs: all hidden units take part, and fewer edges would not have been enough."""

import logging
import warnings
from itertools import combinations, pairwise, product

import networkx
import numpy
import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.graph.reach import Reach
from pyg_modules.graph.repair import missing_edges, missing_edges_of_levels
from tests.graph.test_generators import RANDOM, SIZES, WIRED, edges_of
from tests.strategies import generator


def idle(edges, hidden, num_units):
    """Hidden units that take no part, by the paths of networkx."""
    graph = networkx.DiGraph(edges)
    graph.add_nodes_from(range(num_units))
    inputs, outputs = range(hidden.start), range(hidden.stop, num_units)
    fed = set().union(*(networkx.descendants(graph, unit) for unit in inputs))
    read = set().union(*(networkx.ancestors(graph, unit) for unit in outputs))
    return [unit for unit in hidden if unit not in fed or unit not in read]


def fewest(edges, allowed, hidden, num_units, at_most):
    """The smallest number of ``allowed`` edges after which no unit is idle."""
    free = [edge for edge in allowed if edge not in edges]
    for number in range(at_most):
        for added in combinations(free, number):
            if not idle([*edges, *added], hidden, num_units):
                return number
    return at_most


@pytest.mark.parametrize("seed", range(30))
def test_no_smaller_number_of_edges_would_do(seed):
    rng, hidden = numpy.random.default_rng(seed), range(1, 5)
    allowed = [(s, t) for s, t in product(range(5), range(1, 6)) if (s, t) != (0, 5) and s != t]
    edges = [edge for edge in allowed if rng.random() < rng.choice([0.05, 0.15, 0.3])]
    source, target = numpy.array(edges, dtype=numpy.int64).reshape(-1, 2).T
    added = missing_edges(rng, (source, target), (1, 4, 1), numpy.zeros(6, numpy.int64))
    new = list(zip(*(ends.tolist() for ends in added), strict=True))
    assert set(new) <= set(allowed) - set(edges)
    assert len(set(new)) == len(new)
    assert idle([*edges, *new], hidden, 6) == []
    assert len(new) == fewest(edges, allowed, hidden, 6, at_most=len(new))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("is_yoked", [False, True])
def test_no_smaller_number_of_edges_between_levels_would_do(seed, is_yoked):
    rng, levels = numpy.random.default_rng(seed), [range(1), range(1, 3), range(3, 5), range(5, 6)]
    between = [edge for ends in pairwise(levels) for edge in product(*ends)]
    inner = [(s, t) for units in levels for s, t in product(units, units) if s != t]
    edges = [edge for edge in between + inner * is_yoked if rng.random() < 0.25]
    source, target = numpy.array(edges, dtype=numpy.int64).reshape(-1, 2).T
    added = missing_edges_of_levels(rng, (source, target), levels)
    new = list(zip(*(ends.tolist() for ends in added), strict=True))
    assert set(new) <= set(between) - set(edges)
    assert len(set(new)) == len(new)
    assert idle([*edges, *new], range(1, 5), 6) == []
    assert len(new) == fewest(edges, between, range(1, 5), 6, at_most=len(new))


@pytest.mark.parametrize("name", sorted(RANDOM.keys() - WIRED.keys()))
@pytest.mark.parametrize("seed", [0, 1])
def test_repaired_graphs_have_the_edges_of_those_that_are_not_and_no_idle_units(name, seed, caplog):
    sparse = {
        "erdos_renyi": lambda **more: UnitGraph.erdos_renyi(*SIZES, 0.02, **more),
        "fixed_in_degree": lambda **more: UnitGraph.fixed_in_degree(*SIZES, 1, **more),
        "small_world": lambda **more: UnitGraph.small_world(*SIZES, 2, 0.5, end_prob=0, **more),
        "scale_free": lambda **more: UnitGraph.scale_free(*SIZES, 2, end_prob=0, **more),
        "modular": lambda **more: UnitGraph.modular(*SIZES, 3, 0.05, 0.05, **more),
        "geometric": lambda **more: UnitGraph.geometric(*SIZES, 0.06, **more),
        "layered": lambda **more: UnitGraph.layered([5, 20, 20, 3], density=0.05, **more),
        "yoked": lambda **more: UnitGraph.yoked([5, 20, 20, 3], density=0.05, **more),
    }[name]
    with pytest.warns(UserWarning, match="of 40 hidden units take no part") as warned:
        plain = sparse(generator=generator(seed))
    num_idle = len(idle(edges_of(plain), plain.hidden, plain.num_units))
    assert str(warned[0].message).startswith(f"{num_idle} of 40 hidden units take no part")
    assert warned[0].filename == __file__
    with caplog.at_level(logging.INFO, "pyg_modules"):
        graph = sparse(generator=generator(seed), repair=True)
    assert set(edges_of(plain)) < set(edges_of(graph))
    added = graph.num_edges - plain.num_edges
    assert f"Added {added} edges" in caplog.text
    assert bool(Reach.of(graph).is_alive()[5:45].all())
    places = {edge: place for place, edge in enumerate(edges_of(UnitGraph.complete(*SIZES)))}
    if name not in ("layered", "yoked"):
        assert [places[edge] for edge in edges_of(graph)] == sorted(
            places[edge] for edge in edges_of(graph)
        )


@pytest.mark.parametrize("seed", range(30))
def test_outputs_without_an_edge_get_one_each_at_most(seed):
    rng, hidden = numpy.random.default_rng(seed), range(1, 3)
    allowed = [(s, t) for s, t in product(range(3), range(1, 6)) if s != t and (s > 0 or t < 3)]
    edges = [edge for edge in allowed if rng.random() < rng.choice([0.05, 0.2, 0.4])]
    unfed = {3, 4, 5} - {target for _, target in edges}
    source, target = numpy.array(edges, dtype=numpy.int64).reshape(-1, 2).T
    added = missing_edges(rng, (source, target), (1, 2, 3), numpy.zeros(6, numpy.int64))
    new = list(zip(*(ends.tolist() for ends in added), strict=True))
    assert set(new) <= set(allowed) - set(edges)
    assert len(set(new)) == len(new)
    assert idle([*edges, *new], hidden, 6) == []
    assert unfed <= {target for _, target in new}
    of_hidden = fewest(edges, allowed, hidden, 6, at_most=len(new))
    assert max(of_hidden, len(unfed)) <= len(new) <= of_hidden + len(unfed)


@pytest.mark.parametrize("seed", range(5))
def test_no_output_of_a_repaired_graph_is_without_an_edge(seed):
    for graph in (
        UnitGraph.erdos_renyi(4, 9, 9, 0.05, generator=generator(seed), repair=True),
        UnitGraph.modular(6, 9, 9, 3, 0.05, 0.1, generator=generator(seed), repair=True),
        UnitGraph.layered([4, 5, 5, 9], density=0.05, generator=generator(seed), repair=True),
        UnitGraph.yoked([4, 5, 5, 9], density=0.05, generator=generator(seed), repair=True),
    ):
        assert set(graph.outputs) <= set(graph.edge_index[1].tolist())
        assert graph.edge_index.unique(dim=1).size(1) == graph.num_edges


def test_every_module_is_repaired_on_its_own():
    sizes, shares = (6, 30, 6), [[2] * 3, [10] * 3, [2] * 3]
    graph = UnitGraph.modular(*sizes, 3, 0.04, 0.1, generator=generator(0), repair=True)
    module = torch.cat([torch.arange(3).repeat_interleave(torch.tensor(it)) for it in shares])
    within = module[graph.edge_index[0]] == module[graph.edge_index[1]]
    assert bool(Reach.of(graph, within).is_alive()[6:36].all())


def test_outputs_without_an_edge_are_warned_of():
    for seed in range(50):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            graph = UnitGraph.erdos_renyi(2, 3, 4, 0.4, generator=generator(seed))
        num_unfed = len(set(graph.outputs) - set(graph.edge_index[1].tolist()))
        said = " ".join(str(one.message) for one in caught)
        assert ("outputs have no edge" in said) == (num_unfed > 0)
        if num_unfed:
            assert f"{num_unfed} of 4 outputs have no edge" in said


def test_a_graph_that_lacks_nothing_gets_no_edges():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = UnitGraph.erdos_renyi(3, 8, 2, 1.0, repair=True)
        none = UnitGraph.erdos_renyi(3, 0, 2, 0.5, repair=True)
        levels = UnitGraph.layered([3, 2], density=0.0, repair=True)
    assert whole == UnitGraph.complete(3, 8, 2)
    assert none.num_edges == levels.num_edges == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnitGraph.erdos_renyi(0, 4, 1, 0.5, repair=True), "Expected an input for repair"),
        (lambda: UnitGraph.erdos_renyi(1, 4, 0, 0.5, repair=True), "Expected an output for repair"),
        (
            lambda: UnitGraph.modular(2, 6, 3, 3, 0.5, 0.5, repair=True),
            "an input in every module for repair=True .got 1 module without",
        ),
        (
            lambda: UnitGraph.layered([2, 3, 0], density=0.5, repair=True),
            r"every level for repair=True .got sizes=\[2, 3, 0\]",
        ),
    ],
)
def test_what_no_edges_bring_to_life_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
