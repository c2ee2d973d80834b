import pytest
import torch

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.ops import ACTIVATIONS, BACKENDS, EdgeSet, Update
from pyg_modules.solve import Recurrence, Solution, Solver, solver_from_config, solver_to_config
from tests.strategies import backends


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("steps", [1, 2, 7, 10])
def test_it_updates_as_often_as_it_says(backend, steps, checkpoint):
    # h <- 2 h + 1 from 0 is 2^t - 1 after t updates; its derivative in the 1 is the same.
    block = EdgeSet.between(torch.tensor([[0], [0]]), range(1), range(1))
    injected = torch.ones(1, 3, requires_grad=True)
    update = Update(BACKENDS[backend].build(block), ACTIVATIONS["identity"], 1)
    recurrence = Recurrence(update, torch.tensor([2.0]), injected)
    solution = Unrolled(steps, checkpoint=checkpoint).solve(recurrence)
    assert solution.states.tolist() == [[2.0**steps - 1] * 3]
    assert solution.steps == steps
    solution.states.sum().backward()
    assert injected.grad.tolist() == [[2.0**steps - 1] * 3]


@pytest.mark.parametrize("backend", sorted(set(backends) - {"scatter"}))
def test_checkpointing_keeps_fewer_states(backend):
    block = EdgeSet.between(torch.tensor([[0], [0]]), range(1), range(1))
    operator = BACKENDS[backend].build(block)
    injected, weight = torch.ones(1, 3, requires_grad=True), torch.ones(1)
    recurrence = Recurrence(Update(operator, ACTIVATIONS["tanh"], 1), weight, injected)
    for checkpoint, num_kept in ((False, 16), (True, 4)):
        states = Unrolled(16, checkpoint=checkpoint).solve(recurrence).states
        assert states.grad_fn.saved_tensors[2].shape == (num_kept, 1, 3)


def test_it_is_an_immutable_value():
    assert Unrolled(3) == Unrolled(steps=3)
    assert Unrolled() == Unrolled(6)
    with pytest.raises(AttributeError):
        Unrolled(3).steps = 4


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (0, ValueError, r"steps >= 1 \(got 0\)"),
        (-2, ValueError, r"got -2"),
        (2.0, TypeError, r"steps to be an int \(got float: 2.0\)"),
        (True, TypeError, r"got bool"),
    ],
)
def test_bad_steps_are_refused(steps, error, message):
    with pytest.raises(error, match=message):
        Unrolled(steps)


def test_config_round_trip():
    config = solver_to_config(Unrolled(4))
    assert config == {"name": "unrolled", "steps": 4, "checkpoint": False}
    assert solver_from_config(config) == Unrolled(4)
    equilibrium = Equilibrium(tol=1e-3, contraction=0.9)
    assert solver_from_config(solver_to_config(equilibrium)) == equilibrium


def test_solvers_of_ones_own_compute_but_have_no_config():
    class Mine(Solver):
        def solve(self, recurrence):
            update = recurrence.bind()
            return Solution(update(update(torch.zeros_like(recurrence.injected))), 2)

    graph = UnitGraph.complete(3, 4, 2)
    layer = SynchronousGraph(graph, Mine())
    expected = SynchronousGraph(graph, Unrolled(2))
    expected.load_state_dict(layer.state_dict())
    x = torch.rand(5, 3)
    torch.testing.assert_close(layer(x), expected(x))
    with pytest.raises(TypeError, match=r"equilibrium, unrolled \(got Mine\).*state_dict"):
        solver_to_config(Mine())
    with pytest.raises(ValueError, match=r"'equilibrium', 'unrolled' \(got 'magic'\)"):
        solver_from_config({"name": "magic"})


@pytest.mark.parametrize(
    "solver", [Unrolled(3), Unrolled(5, checkpoint=True), Equilibrium(tol=1e-9)]
)
@pytest.mark.parametrize("sizes", [[90, 80, 41, 40], [137, 130, 127, 118], [100, 60, 59, 3, 2]])
def test_padded_blocks_in_several_batches_have_the_gradients_of_a_dense_matrix(sizes, solver):
    graph = UnitGraph.complete(3, sum(sizes), 2)
    labels = torch.full((graph.num_units,), -1)
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    order = torch.randperm(len(owners), generator=torch.Generator().manual_seed(0))
    labels[graph.hidden.start : graph.hidden.stop] = owners[order]
    layer = cut(SynchronousGraph(graph, solver, "tanh", dtype=torch.float64), labels)
    layer.reset_parameters(torch.Generator().manual_seed(1))
    x = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = {}
    for backend in ("dense", "block"):
        layer.backend = backend
        outputs = layer(x)
        gradients = torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))
        found[backend] = outputs, *gradients
    packing = EdgeSet.between(layer.graph.edge_index, graph.hidden, graph.hidden).packing
    assert len(packing.batches) > 1
    assert packing.num_rows > sum(sizes)
    for one, other in zip(found["dense"], found["block"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
