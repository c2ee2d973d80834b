import numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.graph.batched_reach import BatchedReach
from pyg_modules.graph.reach import Reach
from tests.strategies import seeds, unit_graphs


@given(unit_graphs(), st.sampled_from([1, 2, 63, 64, 65, 200]), st.data(), seeds)
def test_it_says_of_every_graph_what_reach_says_of_it_alone(graph, num_graphs, data, seed):
    steps = data.draw(st.none() | st.integers(1, 8))
    rand = numpy.random.default_rng(seed)
    has = rand.random((graph.num_edges, num_graphs)) < rand.random(num_graphs)
    source, target = graph.edge_index.numpy()
    reach = BatchedReach(source, target, graph.num_units, graph.inputs, graph.outputs)
    alive = reach.is_alive(has, steps)
    assert alive.shape == (graph.num_units, num_graphs)
    for number, kept in enumerate(has.T):
        alone = Reach.of(graph, torch.from_numpy(kept))
        numpy.testing.assert_array_equal(alive[:, number], alone.is_alive(steps))
