import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.report.html.groups import unit_groups
from pyg_modules.report.html.layout import group_positions


@pytest.mark.parametrize("num_modules", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("sizes", [(1, 8, 1), (64, 128, 10), (784, 300, 100)])
def test_units_are_apart_and_groups_do_not_overlap(num_modules, sizes):
    graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), sum(sizes), sizes[0], sizes[2])
    labels = torch.full((graph.num_units,), -1)
    labels[graph.hidden.start : graph.hidden.stop] = torch.arange(sizes[1]) % num_modules
    positions = group_positions(unit_groups(graph, labels))
    assert len(positions) == num_modules + 2
    everything = torch.cat(positions)
    assert everything.shape == (graph.num_units, 2)
    assert torch.nn.functional.pdist(everything).min() > 0.8
    boxes = [(each.min(0).values, each.max(0).values) for each in positions]
    for number, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:number]:
            assert ((low > other_high + 1) | (other_low > high + 1)).any()


def test_inputs_stand_as_the_pixels_of_an_image_left_of_all_and_outputs_right():
    graph = UnitGraph.complete(9, 4, 3)
    labels = torch.tensor([-1] * 9 + [0, 0, 1, 1] + [-1] * 3)
    inputs, first, second, outputs = group_positions(unit_groups(graph, labels))
    grid = (inputs - inputs[0]).view(3, 3, 2)
    assert grid[..., 0].tolist() == [[0, 1, 2]] * 3
    assert grid[..., 1].tolist() == [[0] * 3, [-1] * 3, [-2] * 3]
    hidden = torch.cat([first, second])
    assert inputs[:, 0].max() < hidden[:, 0].min()
    assert hidden[:, 0].max() < outputs[:, 0].min()
