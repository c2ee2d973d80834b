"""How exactly the code follows its definitions: ``python -m benchmarks.accuracy.exactness``.

Largest differences in double precision over many random problems. The tests assert bounds on the
same quantities; this measures their values.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.options import parse_none
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.ops import BACKENDS, is_available
from pyg_modules.partition import ncut_loss
from pyg_modules.train import seeded
from tests.references import dense_ncut, dense_states

RESULTS = Path(__file__).with_suffix(".json")
_NUM_PROBLEMS = 200
_BATCH = 33
_NUM_GRADCHECKS = 5


def run() -> None:
    """Measure all differences."""
    with seeded(0):
        problems = [_random_layer() for _ in range(_NUM_PROBLEMS)]
        results = {
            "num_problems": _NUM_PROBLEMS,
            "from_mlp_outputs_and_gradients": max(map(_from_mlp_difference, range(1, 5))),
            "backends_against_scatter": max(map(_backend_difference, problems)),
            "forward_against_dense": max(map(_dense_difference, problems)),
            "ncut_against_dense": max(map(_ncut_difference, problems)),
            "ncut_gradcheck": all(map(_ncut_gradients_are_right, problems[:_NUM_GRADCHECKS])),
        }
    write_json(RESULTS, results)
    for name, value in results.items():
        print(f"{name:32} {value}")


def _random_layer() -> SynchronousGraph:
    """A cyclic graph with self-loops, feedback, isolated units and weights of both signs."""
    num_inputs, num_hidden, num_outputs = torch.randint(1, 25, (3,)).tolist()
    num_units = num_inputs + num_hidden + num_outputs
    allowed = torch.cartesian_prod(torch.arange(num_units), torch.arange(num_inputs, num_units)).T
    edge_index = allowed[:, torch.rand(allowed.size(1)) < torch.rand(1) ** 2]
    for unit in torch.randint(num_inputs, num_units, (2,)):
        edge_index = edge_index[:, (edge_index != unit).all(dim=0)]
    graph = UnitGraph(edge_index, num_units, num_inputs, num_outputs)
    return SynchronousGraph(graph, Unrolled(4), "tanh", dtype=torch.float64)


def _outputs_and_gradients(model: nn.Module, x: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    x = x.clone().requires_grad_()
    outputs = model(x)
    loss = outputs.square().sum()
    return [outputs, *torch.autograd.grad(loss, [x, *parameters], materialize_grads=True)]


def _difference(first: list[Tensor], second: list[Tensor]) -> float:
    pairs = zip(first, second, strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs if a.numel())


def _from_mlp_difference(num_hidden_levels: int) -> float:
    sizes = [64, *[35] * num_hidden_levels, 10]
    linears = [nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes)]
    modules = [module for linear in linears for module in (linear, nn.ReLU())][:-1]
    mlp = nn.Sequential(*modules)
    layer = SynchronousGraph.from_mlp(mlp)
    x = torch.randn(_BATCH, 64, dtype=torch.float64)
    outputs, grad_x, *grads = _outputs_and_gradients(mlp, x, list(mlp.parameters()))
    weight = torch.cat([grad.reshape(-1) for grad in grads[0::2]])
    bias = torch.cat(grads[1::2])
    return _difference(
        [outputs, grad_x, weight, bias],
        _outputs_and_gradients(layer, x, [layer.weight, layer.bias]),
    )


def _backend_difference(layer: SynchronousGraph) -> float:
    x = torch.randn(_BATCH, layer.graph.num_inputs, dtype=torch.float64)
    has_feedback = bool((layer.graph.edge_index[0] >= layer.graph.outputs.start).any())
    results = {}
    for name, backend in BACKENDS.items():
        fits = is_available(name, x.device, x.dtype)
        if fits and not (backend.permutes_units and has_feedback):
            layer.backend = name
            results[name] = _outputs_and_gradients(layer, x, [layer.weight, layer.bias])
    return max(_difference(result, results["scatter"]) for result in results.values())


def _dense_difference(layer: SynchronousGraph) -> float:
    x = torch.randn(_BATCH, layer.graph.num_inputs, dtype=torch.float64)
    return _difference([layer.states(x)], [dense_states(layer, x)])


def _ncut_difference(layer: SynchronousGraph) -> float:
    graph, weight = layer.graph, layer.weight.detach()
    assignment = torch.randn(graph.num_units, 4, dtype=torch.float64).softmax(dim=-1)
    arguments = graph.edge_index, weight, assignment
    return _difference([ncut_loss(*arguments)], [dense_ncut(*arguments)])


def _ncut_gradients_are_right(layer: SynchronousGraph) -> bool:
    edge_index, weight = layer.graph.edge_index, layer.weight.detach()
    # Away from 0, where a magnitude has no derivative.
    weight = (weight + 0.01 * weight.sign()).requires_grad_()
    logits = torch.randn(layer.graph.num_units, 3, dtype=torch.float64).requires_grad_()
    return torch.autograd.gradcheck(
        lambda weight, logits: ncut_loss(edge_index, weight, logits.softmax(dim=-1)),
        (weight, logits),
    )


if __name__ == "__main__":
    parse_none(__doc__)
    run()
