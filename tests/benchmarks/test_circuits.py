import torch

from benchmarks.accuracy.circuits import circuit_shares
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled


def test_a_circuit_is_as_large_as_the_units_that_count_and_the_layer_stays_as_it_is():
    # Input 0 feeds units 1 to 4, those feed outputs 5 and 6: three alike and one alone; 4 nothing.
    edges = torch.tensor([[0, 0, 0, 0, 1, 2, 3], [1, 2, 3, 4, 5, 5, 6]])
    layer = SynchronousGraph(UnitGraph(edges, 7, 1, 2), Unrolled(2))
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    x = torch.rand(20, 1) + 1
    before = layer.weight.clone()

    def losses(outputs):
        targets = torch.cat([2 * x, x], dim=1)
        return (outputs - targets).square().mean(dim=0)

    # Two units of four count alike in the first task, one in the second.
    assert torch.allclose(circuit_shares(layer, x, losses), torch.tensor([0.5, 0.25]))
    assert torch.equal(layer.weight, before)

    def constant(outputs):
        return outputs.new_zeros(2)

    assert torch.equal(circuit_shares(layer, x, constant), torch.zeros(2))
