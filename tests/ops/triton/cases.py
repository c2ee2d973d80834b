"""Edges, and what kernels have to compute on them, in double precision and by a dense matrix."""

import torch

from pyg_modules.ops import ACTIVATIONS, EdgeSet, Update
from pyg_modules.solve import Recurrence, Unrolled
from tests.strategies import generator

#: Sums of some tens of terms over some updates, relative to the norm of all.
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 5e-2, torch.float16: 6e-3}


def edges_between(chosen):
    """The edges that a boolean matrix [targets, sources] marks."""
    target, source = chosen.nonzero().T
    num_targets, num_sources = chosen.shape
    order = torch.randperm(len(target), generator=generator(0))
    edge_index = torch.stack([source, target + num_sources])[:, order]
    return EdgeSet.between(
        edge_index, range(num_sources), range(num_sources, num_sources + num_targets)
    )


def matrix_of(edges, weight):
    matrix = weight.new_zeros(edges.num_targets, edges.num_sources)
    return matrix.index_put(
        (edges.target.to(weight.device), edges.source.to(weight.device)), weight
    )


def numbers(*shape, seed, device, dtype):
    drawn = torch.randn(*shape, generator=generator(seed)) / max(1, shape[0]) ** 0.5
    return drawn.to(device, dtype).requires_grad_()


def double(tensor):
    return tensor.detach().double().requires_grad_()


def solve(operator, activation, num_activated, weight, injected, solver):
    update = Update(operator, ACTIVATIONS[activation], num_activated)
    return solver.solve(Recurrence(update, weight, injected)).states


def solve_densely(edges, activation, num_activated, weight, injected, steps):
    matrix, function = matrix_of(edges, weight), ACTIVATIONS[activation].function
    state = torch.zeros_like(injected)
    for _ in range(steps):
        sums = matrix @ state + injected
        state = torch.cat([function(sums[:num_activated]), sums[num_activated:]])
    return state


def assert_solved(operator, edges, activation, weight, injected, *, num_activated=None, **settings):
    """The last states, and the gradients of the weights and of what is injected."""
    num_activated = edges.num_targets if num_activated is None else num_activated
    solver = Unrolled(**{"steps": 3, **settings})
    found = solve(operator, activation, num_activated, weight, injected, solver)
    leaves = double(weight), double(injected)
    expected = solve_densely(edges, activation, num_activated, *leaves, solver.steps)
    to = numbers(*injected.shape, seed=9, device=weight.device, dtype=torch.float64).detach()
    assert found.dtype == weight.dtype
    gradients = torch.autograd.grad(found, (weight, injected), to.to(found.dtype))
    references = torch.autograd.grad(expected, leaves, to.to(found.dtype).double())
    tolerance = TOLERANCE[weight.dtype]
    assert_close(found, expected, tolerance)
    for result, reference in zip(gradients, references, strict=True):
        # Where f is flat, its slope is a difference of rounded numbers: 1 - tanh^2.
        assert_close(result, reference, tolerance, scale=to.norm())


def assert_close(result, reference, tolerance, scale=0.0):
    difference = (result.double() - reference).norm()
    size = max(float(reference.detach().norm()), float(scale))
    assert difference <= tolerance * size + torch.finfo(torch.float32).tiny
