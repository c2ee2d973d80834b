import numpy as np
import torch
from hypothesis import given

from pyg_modules import UnitGraph
from pyg_modules.graph.reach import Reach
from pyg_modules.structure.needed_edges import needed_edges
from tests.strategies import generator, seeds, unit_graphs


@given(unit_graphs(), seeds)
def test_without_the_others_no_unit_is_farther_from_inputs_or_outputs(graph, seed):
    score = torch.rand(graph.num_edges, generator=generator(seed)).numpy()
    needed = needed_edges(graph, score)
    assert needed.sum() <= 2 * graph.num_hidden + graph.num_outputs
    before, after = Reach.of(graph), Reach.of(graph, torch.from_numpy(needed))
    inner = slice(graph.num_inputs, None)
    assert np.array_equal(before.from_inputs[inner], after.from_inputs[inner])
    assert np.array_equal(before.to_outputs[inner], after.to_outputs[inner])


def test_of_shortest_paths_the_best_edges_are_needed():
    graph = UnitGraph.complete(2, 3, 1)
    score = np.arange(graph.num_edges, dtype=float)
    kept = graph.edge_index[:, torch.from_numpy(needed_edges(graph, score))]
    # From the second input into every hidden unit, and from there to the output.
    assert kept.tolist() == [[1, 1, 1, 2, 3, 4], [2, 3, 4, 5, 5, 5]]
