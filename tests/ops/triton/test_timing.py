import torch

from pyg_modules.ops import TritonBlockOperator, cost_model
from tests.ops.triton.test_triton_block_operator import blocks


def test_blocks_are_timed_as_they_are_computed(device, monkeypatch):
    calls = []
    kernel = TritonBlockOperator.unroll_backward

    def counted(*args):
        calls.append(args[2].size(0))
        return kernel(*args)

    monkeypatch.setattr(TritonBlockOperator, "unroll_backward", counted)
    monkeypatch.setattr(TritonBlockOperator, "update", None)
    edges = blocks(4, 4)
    operator = TritonBlockOperator.build(edges).to(device)
    assert cost_model.measure(operator, edges.num_edges, 3, torch.float32) > 0
    assert calls == 6 * [8]
