"""A state_dict says which edges its weights belong to, and is refused by a layer of others."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pyg_modules import (
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
)
from pyg_modules.nn.edge_fingerprint import edge_fingerprint

KINDS = {"graph": SynchronousGraph, "conv": SynchronousConv, "conv2d": SynchronousConv2d}


def ring(step, flipped=False):
    """A graph of one input, six hidden units in a ring of steps, and one output."""
    hidden = torch.arange(6)
    edges = torch.stack([hidden + 1, (hidden + step) % 6 + 1])
    ends = torch.tensor([[0, 6], [1, 7]])
    edge_index = torch.cat([edges, ends], dim=1)
    return UnitGraph(edge_index.flip(1) if flipped else edge_index, 8, 1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("other", [ring(5), ring(1, flipped=True)])
def test_weights_of_as_many_other_edges_are_refused(kind, strict, other):
    layer = KINDS[kind](other, solver=Unrolled(8))
    state = {f"0.{k}": v for k, v in KINDS[kind](ring(1), solver=Unrolled(8)).state_dict().items()}
    with pytest.raises(RuntimeError, match=r"weights of the edges of the layer .*0\.weight"):
        nn.Sequential(layer).load_state_dict(state, strict=strict)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_equal_edges_takes_the_state_of_this_and_of_earlier_versions(kind):
    layer, state = (
        KINDS[kind](ring(1), solver=Unrolled(8)),
        KINDS[kind](ring(1), solver=Unrolled(8)).state_dict(),
    )
    assert not torch.equal(layer.weight, state["weight"])
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, state["weight"])
    del state["_extra_state"]
    KINDS[kind](ring(5), solver=Unrolled(8)).load_state_dict(state)  # It cannot be told.


def test_the_fingerprint_is_that_of_the_edges_and_their_order():
    assert torch.equal(edge_fingerprint(ring(1)), edge_fingerprint(ring(1)))
    graphs = ring(1), ring(5), ring(1, flipped=True)
    prints = {tuple(edge_fingerprint(graph).tolist()) for graph in graphs}
    assert len(prints) == 3
    ends = UnitGraph(ring(1).edge_index, 8, 1, 2)  # The same weights, of which more is read out.
    assert torch.equal(edge_fingerprint(ends), edge_fingerprint(ring(1)))


@pytest.mark.parametrize(
    "way",
    [
        lambda state: {name: value.half() if value.is_floating_point() else value
                       for name, value in state.items()},
        lambda state: {name: (value + value + value) / 3 for name, value in state.items()},
        lambda state: {name: 0.3 * value + 0.7 * value for name, value in state.items()},
        lambda state: {name: (0.999 * value + 0.001 * value).to(value.dtype)
                       for name, value in state.items()},
        lambda state: {name: value.half() for name, value in state.items()},
        lambda state: {name: value.bfloat16().float() for name, value in state.items()},
    ],
    ids=["half", "mean", "weighted", "rounded", "all half", "all bfloat16"],
)  # fmt: skip
def test_states_are_cast_and_averaged_as_everywhere(way):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        graph = UnitGraph.erdos_renyi(2, 9, 2, 0.5, generator=generator)
        layer = SynchronousGraph(graph, Unrolled(8))
        again = SynchronousGraph(graph, Unrolled(8))
        again.load_state_dict(way(layer.state_dict()))
        assert torch.allclose(again.weight, layer.weight, atol=2e-3)
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    modular = cut(layer, partition_units(layer, 3))
    again = copy.deepcopy(modular)
    again.load_state_dict(way(modular.state_dict()))
    assert torch.equal(again.labels, modular.labels)


def test_an_average_of_different_modules_is_refused():
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    one = cut(layer, torch.tensor([-1] * 3 + [0] * 4 + [1] * 4 + [-1] * 2))
    state = one.state_dict()
    state["labels"] = (state["labels"] + state["labels"].flip(0)) / 2
    with pytest.raises(RuntimeError, match="got means of different modules"):
        one.load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_other_edges_weights_in_half_precision_are_refused(dtype):
    graph = UnitGraph.complete(4, 6, 2)
    state = SynchronousGraph(graph, Unrolled(2)).state_dict()
    state = {name: value.to(dtype) for name, value in state.items()}
    SynchronousGraph(graph, Unrolled(2)).load_state_dict(state)
    for seed in range(50):
        order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(seed))
        other = SynchronousGraph(UnitGraph(graph.edge_index[:, order], 12, 4, 2), Unrolled(2))
        with pytest.raises(RuntimeError, match="as many others"):
            other.load_state_dict(state)


def test_states_of_earlier_versions_say_it_in_one_number():
    low, high = edge_fingerprint(ring(1)).tolist()
    state = SynchronousGraph(ring(1), Unrolled(8)).state_dict()
    for number in (torch.tensor(low + 1024 * high), torch.tensor(low + 1024.0 * high)):
        SynchronousGraph(ring(1), Unrolled(8)).load_state_dict(state | {"_extra_state": number})
        with pytest.raises(RuntimeError, match="as many others"):
            SynchronousGraph(ring(5), Unrolled(8)).load_state_dict(state | {"_extra_state": number})


def test_what_is_written_into_a_state_does_not_reach_the_graph():
    layer = SynchronousGraph(ring(1), Unrolled(8))
    state = copy.copy(layer.state_dict())
    for value in state.values():
        value.zero_()
    assert torch.equal(edge_fingerprint(layer.graph), edge_fingerprint(ring(1)))


def test_safetensors_keep_it(tmp_path):
    save_file(SynchronousGraph(ring(1), Unrolled(8)).state_dict(), tmp_path / "state.safetensors")
    state = load_file(tmp_path / "state.safetensors")
    SynchronousGraph(ring(1), Unrolled(8)).load_state_dict(state)
    with pytest.raises(RuntimeError, match="as many others"):
        SynchronousGraph(ring(5), Unrolled(8)).load_state_dict(state)
