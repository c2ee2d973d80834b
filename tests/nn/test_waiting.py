"""A training step reads no number of a tensor: a device would be waited for, and graphs break."""

import pytest
import torch

from pyg_modules import (
    ModularGraph,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from tests.looks import Looks
from tests.strategies import backends, normal

GRAPH = UnitGraph.complete(3, 8, 2)
LABELS = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)


def layer_with(backend="auto", **settings):
    layer = SynchronousGraph(GRAPH, Unrolled(5), **{"activation": "tanh"} | settings)
    if backend == "block":
        layer = cut(layer, LABELS)
    layer.backend = backend
    return layer


CASES = {
    **{backend: (lambda backend=backend: layer_with(backend)) for backend in backends},
    "checkpoint": lambda: SynchronousGraph(GRAPH, Unrolled(5, checkpoint=True), "gelu"),
    "learned": lambda: layer_with(
        activation="prelu", dropout=0.5, update_rate=0.5, learn_update_rate=True
    ),
    "batched": lambda: ModularGraph(split(cut(layer_with(), LABELS)), execution="batched"),
    "loop": lambda: ModularGraph(split(cut(layer_with(), LABELS)), execution="loop"),
    "images": lambda: SynchronousConv2d(GRAPH, 3, Unrolled(3)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_of_unrolled_layers_waits_for_nothing(case):
    layer = CASES[case]()
    x = normal(2, 3, 4, 5) if case == "images" else normal(4, 3)
    x = x.float().requires_grad_()
    layer(x).sum().backward()  # What is kept for later calls is built.
    with Looks() as looks:
        layer(x).sum().backward()
    assert looks.count == 0
