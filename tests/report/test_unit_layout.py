import pytest
import torch

from pyg_modules import UnitGraph
from pyg_modules.report.unit_groups import unit_groups
from pyg_modules.report.unit_layout import place_units


def by_group(groups):
    """The centres of the units of every group."""
    position, _ = place_units(groups)
    return [position[group.units] for group in groups]


@pytest.mark.parametrize("num_modules", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("sizes", [(1, 8, 1), (64, 128, 10), (784, 300, 100)])
def test_units_are_apart_and_groups_do_not_overlap(num_modules, sizes):
    graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), sum(sizes), sizes[0], sizes[2])
    labels = torch.full((graph.num_units,), -1)
    labels[graph.hidden.start : graph.hidden.stop] = torch.arange(sizes[1]) % num_modules
    positions = by_group(unit_groups(graph, labels))
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
    inputs, first, second, outputs = by_group(unit_groups(graph, labels))
    grid = (inputs - inputs[0]).view(3, 3, 2)
    assert grid[..., 0].tolist() == [[0, 1, 2]] * 3
    assert grid[..., 1].tolist() == [[0] * 3, [-1] * 3, [-2] * 3]
    hidden = torch.cat([first, second])
    assert inputs[:, 0].max() < hidden[:, 0].min()
    assert hidden[:, 0].max() < outputs[:, 0].min()


def test_units_of_a_module_are_apart_whatever_their_number():
    for size in range(2, 300):
        graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), size, 0, 0)
        position, radius = place_units(unit_groups(graph, torch.zeros(size, dtype=torch.long)))
        assert torch.nn.functional.pdist(position).min() > 2 * radius.max(), size


def test_without_hidden_units_inputs_and_outputs_are_placed():
    graph = UnitGraph(torch.empty(2, 0, dtype=torch.long), 3, 2, 1)
    inputs, outputs = by_group(unit_groups(graph, torch.tensor([-1, -1, -1])))
    assert inputs[:, 0].max() < 0 < outputs[:, 0].min()
