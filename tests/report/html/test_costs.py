import torch

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.report.html.costs import Cost, cost, part_costs


def test_costs_are_counted_by_hand():
    # 3 inputs, 4 hidden units, 2 outputs: 12 edges in, 16 between, 8 out.
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), Unrolled(5))
    assert cost(layer, 5) == Cost(4, 36, 36 + 6, 12 + 4 * 16 + 8)


def test_modules_cost_what_is_left_of_them():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), Unrolled(5))
    modular = cut(layer, torch.tensor([-1, -1, -1, 0, 1, 1, 1, -1, -1]))
    first, second = part_costs(modular, 5)
    # Each part has biases of the two outputs.
    assert first == Cost(1, 3 + 1 + 2, 6 + 1 + 2, 3 + 4 * 1 + 2)
    assert second == Cost(3, 9 + 9 + 6, 24 + 3 + 2, 9 + 4 * 9 + 6)
