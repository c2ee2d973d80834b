import copy
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.ops import ACTIVATIONS
from pyg_modules.solve import (
    ConvergenceError,
    ConvergenceWarning,
    convergence,
    fixed_point,
    iteration,
)
from tests.looks import Looks
from tests.strategies import backends, generator, layers, normal, seeds

EXACT = Equilibrium(tol=1e-13, contraction=0.9)


def iterate(layer, x, steps):
    """States of all units after plain message passing, with weights as the solver scales them."""
    states = torch.cat([x, x.new_zeros(len(x), layer.graph.num_units - x.size(1))], dim=1)
    for _ in range(steps):
        before, states = states, layer.step(states)
        if torch.equal(states, before):  # To the last bit: no further step changes anything.
            break
    return states


def unlimited(layer, solver=EXACT):
    """The same layer with the recurrent weights that the contraction leaves, and without it."""
    scaled = SynchronousGraph(
        layer.graph, Equilibrium(tol=solver.tol), layer.activation, dtype=torch.float64
    )
    matrix = torch.zeros(2 * [layer.graph.num_units], dtype=torch.float64)
    matrix[layer.graph.edge_index[1], layer.graph.edge_index[0]] = layer.weight.detach()
    hidden = layer.graph.hidden
    norm = torch.linalg.matrix_norm(
        matrix[hidden.start : hidden.stop, hidden.start : hidden.stop], 2
    )
    limit = solver.contraction / ACTIVATIONS[layer.activation].lipschitz
    is_recurrent = (layer.graph.edge_index >= hidden.start).all(0) & (
        layer.graph.edge_index < hidden.stop
    ).all(0)
    scale = torch.where(is_recurrent, limit / max(norm, limit), 1.0)
    with torch.no_grad():
        scaled.weight.copy_(layer.weight * scale)
        scaled.bias.copy_(layer.bias)
    return scaled


@given(layers(list(ACTIVATIONS), min_hidden=1, feedback=False), st.integers(0, 3))
def test_the_solution_is_where_message_passing_ends(layer, memory):
    layer.solver = Equilibrium(tol=1e-12, contraction=0.9, memory=memory)
    x = normal(3, layer.graph.num_inputs)
    # What is left of the error after as many steps is 0.9^300, 2e-14.
    expected = iterate(unlimited(layer, layer.solver), x, 300)
    for backend in backends:
        layer.backend = backend
        solution = layer.solve(x)
        assert solution.converged.all()
        torch.testing.assert_close(solution.states, expected, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(layer(x), expected[:, layer.graph.outputs.start :])


@pytest.mark.parametrize("backend", backends)
@given(layer=layers(["tanh", "sigmoid", "gelu", "identity"], min_hidden=1, feedback=False))
@settings(max_examples=20)
def test_gradients_are_those_of_finite_differences(backend, layer):
    layer.backend, layer.solver = backend, EXACT

    def function(x, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, parameters, (x,))

    x = normal(2, layer.graph.num_inputs).requires_grad_()
    assert gradcheck(function, (x, layer.weight, layer.bias), atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "elu"])
def test_implicit_gradients_are_those_of_the_unrolled_updates(activation):
    graph = UnitGraph.erdos_renyi(4, 60, 3, 0.2, generator=generator(0))
    layer = SynchronousGraph(graph, EXACT, activation, dtype=torch.float64)
    layer.reset_parameters(generator(1))
    layer = unlimited(layer)
    x = normal(5, 4)
    gradients = []
    for solver in (Equilibrium(tol=1e-14, memory=3), Unrolled(400)):
        layer.solver = solver
        loss = layer(x).square().sum()
        gradients.append(torch.cat(torch.autograd.grad(loss, list(layer.parameters()))))
    implicit, unrolled = gradients
    assert (implicit - unrolled).norm() <= 1e-9 * unrolled.norm()


@pytest.mark.filterwarnings("ignore:.* Use repair=True")
def test_with_a_contraction_every_one_of_a_thousand_networks_converges():
    # Sizes, densities and weights differ by orders of magnitude; signs and directions are random.
    rand = generator(0)
    for trial in range(1000):
        size = int(torch.randint(1, 40, (), generator=rand))
        density = float(torch.rand((), generator=rand))
        graph = UnitGraph.erdos_renyi(3, size, 2, density, generator=rand)
        names = list(ACTIVATIONS)
        layer = SynchronousGraph(
            graph,
            Equilibrium(tol=1e-4, contraction=0.95, memory=trial % 4, throw=True),
            names[trial % len(names)],
        )
        with torch.no_grad():
            exponent = 6 * float(torch.rand((), generator=rand)) - 2
            layer.weight.normal_(0, 10**exponent, generator=rand)
        inputs = torch.randn(4, 3, generator=rand)
        assert layer.solve(inputs).converged.all()


@given(layers(["tanh", "relu"], min_hidden=1, feedback=False), seeds)
def test_the_residual_is_that_of_the_states(layer, seed):
    layer.solver = Equilibrium(tol=1e-3, contraction=0.9)
    x = normal(3, layer.graph.num_inputs, seed=seed)
    solution = layer.solve(x)
    hidden = slice(layer.graph.hidden.start, layer.graph.hidden.stop)
    before = solution.states.detach()
    after = unlimited(layer, layer.solver).step(before)
    change = (after - before)[:, hidden].norm(dim=1)
    expected = change / before[:, hidden].norm(dim=1).clamp(min=1e-300)
    torch.testing.assert_close(solution.residual, expected, rtol=1e-6, atol=1e-12)
    assert (solution.residual <= 1e-3).all()


def test_samples_stop_on_their_own_and_steps_are_counted():
    # h <- tanh(0.9 h + x): far from 0 tanh is flat and a few updates are enough.
    graph = UnitGraph(torch.tensor([[0, 1, 1], [1, 1, 2]]), 3, 1, 1)
    layer = SynchronousGraph(graph, Equilibrium(tol=1e-6, memory=0), "tanh", dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0.9, 1.0]))
        layer.bias.zero_()
    x = torch.tensor([[5.0], [0.05], [0.0], [-2.0]], dtype=torch.float64)
    solution = layer.solve(x)
    assert solution.steps.shape == (4,)
    assert solution.steps[0] < solution.steps[3] < solution.steps[1]
    assert solution.steps[2] == 1
    alone = [layer.solve(sample) for sample in x]
    assert torch.equal(solution.steps, torch.stack([one.steps for one in alone]))
    torch.testing.assert_close(solution.states, torch.stack([one.states for one in alone]))


def test_anderson_needs_fewer_updates_and_solves_linear_systems_in_as_many_as_units():
    graph = UnitGraph.complete(2, 5, 1)
    layer = SynchronousGraph(graph, activation="identity", dtype=torch.float64)
    layer.reset_parameters(generator(0))
    with torch.no_grad():
        layer.weight.abs_().mul_(10)  # The largest eigenvalue is then about the norm: slow.
    x = normal(3, 2)
    steps = {}
    for memory in (0, 2, 5):
        layer.solver = Equilibrium(tol=1e-8, contraction=0.95, memory=memory)
        steps[memory] = int(layer.solve(x).steps.max())
    assert steps[5] < steps[2] < steps[0]
    assert steps[5] <= iteration.STRIDE + 1 + 5 + 3  # Plain ones come first.


def chain(weight, solver):
    """h <- weight h + x, whose residual shrinks by ``weight`` with every plain update."""
    graph = UnitGraph(torch.tensor([[0, 1, 1], [1, 1, 2]]), 3, 1, 1)
    layer = SynchronousGraph(graph, solver, "identity", dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, weight, 1.0]))
        layer.bias.zero_()
    return layer


@pytest.mark.parametrize(("weight", "is_slow"), [(0.5, False), (0.75, False), (0.85, True)])
def test_only_what_converges_slowly_is_accelerated(weight, is_slow):
    x = normal(4, 1)
    plain, default = (
        chain(weight, Equilibrium(tol=1e-8, memory=memory)).solve(x) for memory in (0, 3)
    )
    if is_slow:
        # One difference says all about a line; two more updates until it is exact, and seen.
        assert (default.steps <= iteration.STRIDE + 1 + 3).all()
        assert (plain.steps > 80).all()
    else:
        assert torch.equal(default.states, plain.states)
        assert torch.equal(default.steps, plain.steps)
    torch.testing.assert_close(default.states[:, 2:], x / (1 - weight), rtol=1e-6, atol=0)


def slow_and_fast_samples():
    """Samples of one tanh network: the larger, the flatter is tanh, and the sooner they stop."""
    layer = SynchronousGraph(
        UnitGraph.complete(2, 6, 1), Equilibrium(tol=1e-9, contraction=0.99), "tanh"
    ).double()
    layer.reset_parameters(generator(0))
    with torch.no_grad():
        layer.weight.abs_()
        layer.bias.zero_()
    return layer, torch.tensor([[5.0], [0.7], [0.01], [0.2], [0.0], [-1.5]]) * normal(6, 2).abs()


def test_samples_are_accelerated_on_their_own():
    layer, x = slow_and_fast_samples()
    together, alone = layer.solve(x), [layer.solve(sample) for sample in x]
    assert len(set(together.steps.tolist())) > 3
    assert together.steps.tolist() == [int(one.steps) for one in alone]
    torch.testing.assert_close(together.states, torch.stack([one.states for one in alone]))


@pytest.mark.parametrize("activation", ["tanh", ["tanh"] * 3 + ["gelu"] * 3])
@pytest.mark.parametrize("memory", [0, 3])
def test_where_looks_cost_the_same_numbers_come_out_with_few(monkeypatch, activation, memory):
    layer, x = slow_and_fast_samples()
    layer = SynchronousGraph(
        layer.graph, replace(layer.solver, memory=memory), activation, dtype=torch.float64
    )
    layer.reset_parameters(generator(0))
    with torch.no_grad():
        layer.weight.abs_()

    def solve():
        layer.zero_grad()
        with Looks() as looks:
            solution = layer.solve(x)
        solution.states.square().sum().backward()
        return solution, layer.weight.grad, looks.count

    often, grad, num_often = solve()
    for module in (iteration, fixed_point):
        monkeypatch.setattr(module, "looks_are_free", lambda _: False)
    seldom, other_grad, num_seldom = solve()
    for name in ("states", "steps", "residual", "converged"):
        torch.testing.assert_close(getattr(seldom, name), getattr(often, name))
    torch.testing.assert_close(seldom.adjoint.steps, often.adjoint.steps)
    torch.testing.assert_close(other_grad, grad)
    num_chunks = -(-int(often.steps.max()) // iteration.STRIDE)
    assert num_often > int(often.steps.max())
    # One to see whether all have stopped, one whether any is slow, one to leave columns out.
    assert num_seldom <= 3 * num_chunks + 6


def test_the_adjoint_is_reported_after_the_backward_pass_and_frees_its_memory():
    layer = SynchronousGraph(UnitGraph.complete(2, 5, 1), EXACT, "tanh", dtype=torch.float64)
    solution = layer.solve(normal(3, 2))
    assert solution.adjoint is None
    solution.states.sum().backward()
    assert solution.adjoint.states.shape == (5, 3)
    assert solution.adjoint.converged.all()
    assert (solution.adjoint.residual <= 1e-13).all()


def test_an_unrolled_solve_reports_the_residual_of_its_last_states():
    layer = SynchronousGraph(UnitGraph.complete(2, 5, 1), Unrolled(3), "tanh", dtype=torch.float64)
    x = normal(4, 2)
    solution = layer.solve(x)
    states = iterate(layer, x, 3)
    change = (layer.step(states) - states)[:, 2:7].norm(dim=1) / states[:, 2:7].norm(dim=1)
    torch.testing.assert_close(solution.residual, change)
    assert (solution.steps, solution.converged, solution.adjoint) == (3, None, None)


def diverging(throw):
    layer = SynchronousGraph(UnitGraph.complete(2, 5, 1), Equilibrium(max_steps=20, throw=throw))
    with torch.no_grad():
        layer.weight.fill_(1.0)
    return layer


def test_divergence_is_an_error_where_asked_for():
    with pytest.raises(ConvergenceError, match=r"3 of 3 samples.*got .*contraction=0\.95"):
        diverging(throw=True)(torch.ones(3, 2))


def test_divergence_is_a_warning_once(monkeypatch):
    monkeypatch.setattr(convergence, "_warned", set())
    layer = diverging(throw=False)
    with pytest.warns(ConvergenceWarning, match=r"max_steps=20.*said once"):
        layer(torch.ones(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = layer.solve(torch.ones(3, 2))
    assert not solution.converged.any()
    assert (solution.steps == 20).all()


def test_inputs_that_are_not_numbers_do_not_converge_and_do_not_harm_others():
    layer = SynchronousGraph(UnitGraph.complete(2, 5, 1), EXACT, dtype=torch.float64)
    x = normal(4, 2)
    expected = layer.solve(x)
    x[1, 0] = torch.nan
    layer.solver = Equilibrium(tol=1e-13, contraction=0.9, max_steps=300)
    with pytest.warns(ConvergenceWarning, match="1 of 4 samples"):
        solution = layer.solve(x)
    assert solution.converged.tolist() == [True, False, True, True]
    torch.testing.assert_close(solution.states[2:], expected.states[2:])
    assert solution.states[1, 2:].isnan().all()


def test_second_derivatives_are_refused():
    for backend in backends:
        layer = SynchronousGraph(
            UnitGraph.complete(2, 5, 1), EXACT, "tanh", backend=backend, dtype=torch.float64
        )
        x = normal(4, 2).requires_grad_()
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(layer(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory", [0, 3])
def test_half_precision_converges_to_its_own_precision(dtype, memory):
    solver = Equilibrium(tol=20 * torch.finfo(dtype).eps, memory=memory, contraction=0.5)
    layer = SynchronousGraph(UnitGraph.complete(2, 6, 1), solver, "tanh")
    layer.reset_parameters(generator(0))
    x = normal(4, 2).float()
    expected = layer(x)
    solution = layer.to(dtype).solve(x.to(dtype))
    assert solution.converged.all()
    outputs = solution.states[:, -1:].float()
    torch.testing.assert_close(outputs, expected, rtol=0.05, atol=0.05)


def test_what_could_help_is_said_where_nothing_converges():
    layer = SynchronousGraph(
        UnitGraph.complete(2, 6, 1), Equilibrium(tol=1e-6, contraction=0.9, throw=True), "tanh"
    )
    x = normal(4, 2).float()
    with pytest.raises(ConvergenceError, match="Look for inputs or weights that are NaN"):
        layer(x * float("nan"))
    layer.solver = Equilibrium(tol=1e-6, max_steps=1, contraction=0.9, throw=True)
    with pytest.raises(ConvergenceError, match="Raise max_steps or tol, or lower contraction"):
        layer(x)


def test_an_empty_batch_and_a_graph_without_recurrent_edges():
    layer = SynchronousGraph(UnitGraph.layered([2, 5, 1]), Equilibrium(contraction=0.9))
    assert layer(torch.rand(0, 2)).shape == (0, 1)
    x = torch.rand(3, 2)
    torch.testing.assert_close(layer(x), SynchronousGraph.forward(layer, x))
    solution = layer.solve(x)
    assert (solution.steps == 1).all()
    assert (solution.residual == 0).all()
    no_hidden = SynchronousGraph(UnitGraph.complete(2, 0, 1), Equilibrium(contraction=0.9))
    assert (no_hidden.solve(x).steps == 1).all()


@pytest.mark.parametrize("size", [2, 3])
def test_yoked_networks_are_expressible(size):
    """n_j = b_j + sum_{k != j} f(n_k) w_kj + f(m_j) w_jj, m = f(x) W (arXiv 2306.02157)."""
    # Units: inputs f(x); for every yoked unit a meta unit f(m_j), then the unit itself f(n_j).
    weights = {2: [[0.5, -0.4], [0.3, 0.2]], 3: [[0.1, -0.3, 0.2], [0.4, 0.2, -0.1], [0, 0.3, 0.5]]}
    w = torch.tensor(weights[size], dtype=torch.float64)  # w[k, j], from k to j
    x = torch.tensor([0.6, -0.2], dtype=torch.float64)
    into_meta = torch.tensor([[1.0, -0.5, 0.3], [0.25, 0.75, -1.0]], dtype=torch.float64)[:, :size]
    b = torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64)[:size]
    edges, values = [], []
    for j in range(size):
        meta, unit = 2 + j, 2 + size + j
        edges += [(0, meta), (1, meta), (meta, unit), (unit, 2 + 2 * size)]
        values += [into_meta[0, j], into_meta[1, j], w[j, j], torch.tensor(1.0 + j)]
        for k in set(range(size)) - {j}:
            edges.append((2 + size + k, unit))
            values.append(w[k, j])
    graph = UnitGraph(torch.tensor(edges).T, 2 + 2 * size + 1, 2, 1)
    layer = SynchronousGraph(graph, Equilibrium(tol=1e-14), "tanh", dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.stack(values))
        layer.bias.zero_()
        layer.bias[size : 2 * size] = b
    states = layer.states(x)
    yoked = states[2 + size : 2 + 2 * size]
    # The published equation, term by term, at n = artanh of the state.
    n, f_meta = torch.atanh(yoked), torch.tanh(x @ into_meta)
    for j in range(size):
        total = b[j] + f_meta[j] * w[j, j]
        for k in range(size):
            if k != j:
                total = total + torch.tanh(n[k]) * w[k, j]
        assert abs(total - n[j]) < 1e-12


@pytest.mark.parametrize("op", ["unroll", "equilibrium"])
def test_opcheck_of_the_registered_operators(op):
    graph = UnitGraph.complete(2, 4, 1)
    layer = SynchronousGraph(graph, backend="sparse", dtype=torch.float64)
    operator = layer._operators("sparse", 1).recurrence
    weight, injected = (0.1 * normal(16)).requires_grad_(), normal(4, 3).requires_grad_()
    index, sizes = list(operator.index), list(operator.sizes)
    counts, numbers = {
        "unroll": ([4, 5, 2], [0.0]),
        "equilibrium": ([4], [1e-10, 100.0, 2.0, 0.9, 1.0]),
    }[op]
    torch.library.opcheck(
        getattr(torch.ops.pyg_modules, op).default,
        (weight, injected, index, sizes, "sparse", "tanh", counts, numbers),
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tol": 0}, ValueError, r"tol > 0 \(got 0\)"),
        ({"tol": -1e-3}, ValueError, r"finite tol >= 0"),
        ({"tol": "small"}, TypeError, r"tol to be a number \(got str"),
        ({"max_steps": 0}, ValueError, r"max_steps >= 1"),
        ({"memory": -1}, ValueError, r"memory >= 0"),
        ({"memory": 2.5}, TypeError, r"memory to be an int"),
        ({"contraction": 1}, ValueError, r"between 0 and 1, e\.g\. 0\.95 \(got 1"),
        ({"contraction": 0}, ValueError, r"between 0 and 1"),
        ({"throw": "yes"}, TypeError, r"throw to be a bool \(got str: "),
        ({"steps": 4}, TypeError, r"unexpected keyword argument 'steps'"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Equilibrium(**arguments)


@given(st.floats(0.1, 0.99), seeds)
@settings(max_examples=20)
def test_a_contraction_scales_only_weights_above_it(contraction, seed):
    layer = SynchronousGraph(UnitGraph.complete(2, 6, 1), activation="tanh", dtype=torch.float64)
    layer.reset_parameters(generator(seed))
    limited = Equilibrium(tol=1e-12, contraction=contraction)
    matrix = layer.weight.detach()[12:48].view(6, 6)
    norm = torch.linalg.matrix_norm(matrix, 2)
    x = normal(3, 2)
    layer.solver = limited
    states = layer.states(x)
    with torch.no_grad():
        layer.weight[12:48] *= min(1.0, contraction / norm)
    layer.solver = Equilibrium(tol=1e-12)
    torch.testing.assert_close(layer.states(x), states, rtol=1e-6, atol=1e-6)


@given(layers(["tanh", "sigmoid"], min_hidden=1))
def test_a_step_leaves_the_states_of_an_equilibrium_where_they_are(layer):
    # Outputs that feed back are read with the same, scaled, weights.
    layer.solver = Equilibrium(tol=1e-13, contraction=0.8)
    states = layer.states(normal(2, layer.graph.num_inputs))
    torch.testing.assert_close(layer.step(states), states, rtol=1e-9, atol=1e-9)
    has_recurrent = bool((layer.graph.edge_index[0] >= layer.graph.hidden.start).any())
    assert torch.equal(layer.scaled_weight(), layer.weight) or has_recurrent


def test_small_gradients_and_large_states_in_half_precision_do_not_stop_early():
    solver = Equilibrium(tol=0.02, contraction=0.9)
    layer = SynchronousGraph(UnitGraph.complete(2, 6, 1), solver, "tanh")
    layer.reset_parameters(generator(0))
    x = normal(4, 2).float()
    (layer(x) * 1e-4).sum().backward()
    expected = layer.weight.grad
    half = copy.deepcopy(layer).half()
    half.weight.grad = None
    (half(x.half()) * 1e-4).sum().backward()
    torch.testing.assert_close(half.weight.grad.float(), expected, rtol=0.1, atol=1e-5)
    wide = SynchronousGraph(UnitGraph.complete(1, 300, 1), solver)
    wide.reset_parameters(generator(0))
    with torch.no_grad():
        wide.bias.fill_(20)
    assert wide.half().solve(torch.ones(1, 1).half()).steps > 2


@pytest.mark.parametrize("solver", [Equilibrium(tol=1e-6), Equilibrium(contraction=0.9, memory=0)])
@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e-22, 1e20])
def test_gradients_of_small_and_large_losses_are_scaled_as_the_losses(solver, scale):
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 3), solver, "tanh")
    layer.reset_parameters(generator(0))
    x = normal(8, 4).float()
    gradients = [
        torch.autograd.grad(factor * layer(x).sum(), layer.weight)[0] for factor in (1.0, scale)
    ]
    torch.testing.assert_close(gradients[1] / scale, gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("memory", [0, 3])
@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e25])
def test_states_of_small_and_large_inputs_are_those_of_double_precision(memory, scale):
    solver = Equilibrium(tol=1e-6, contraction=0.9, memory=memory)
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 3), solver, "relu")
    layer.reset_parameters(generator(0))
    torch.nn.init.zeros_(layer.bias)
    x = scale * normal(8, 4)
    solution = layer.solve(x.float())
    double = copy.deepcopy(layer).double()
    assert solution.converged.all()
    torch.testing.assert_close(
        solution.states.double() / scale, double.states(x) / scale, rtol=1e-4, atol=1e-5
    )
    # Samples of ordinary size beside them are solved as alone.
    both = layer.states(torch.cat([x, x / scale]).float())
    alone = layer.states((x / scale).float())
    torch.testing.assert_close(both[8:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", backends)
def test_scaled_weights_are_the_same_under_autocast(backend):
    solver = Equilibrium(contraction=0.5)
    layer = SynchronousGraph(UnitGraph.complete(4, 12, 3), solver, "tanh", backend=backend)
    with torch.no_grad():
        layer.weight.mul_(5)
    states = torch.rand(2, 19)
    expected = layer.scaled_weight(), layer.step(states), layer.weights_by_edge_set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = layer.scaled_weight(), layer.step(states), layer.weights_by_edge_set()
        gradient = torch.autograd.grad(layer.scaled_weight().square().sum(), layer.weight)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(expected[0].square().sum(), layer.weight)
    )


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_contraction_reckons_with_outputs_that_feed_back(activation):
    # Output 2 is linear, whatever the activation of unit 1.
    graph = UnitGraph(torch.tensor([[0, 1, 2], [1, 2, 2]]), 3, num_inputs=1, num_outputs=1)
    layer = SynchronousGraph(graph, Equilibrium(contraction=0.9, memory=0, throw=True), activation)
    layer.double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0.0, 3.0]))
    slope = max(1.0, ACTIVATIONS[activation].lipschitz)
    assert layer.scaled_weight()[2].item() == pytest.approx(0.9 / slope)
    assert layer.solve(normal(5, 1)).converged.all()


@pytest.mark.filterwarnings("ignore:The states of 2 of 2 samples did not converge")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_states_that_grow_beyond_their_squares_have_not_converged(dtype):
    # Of a norm that is infinite, any finite difference would be no part.
    graph = UnitGraph(torch.tensor([[0, 1, 1], [1, 1, 2]]), 3, 1, 1)
    solver = Equilibrium(memory=0, max_steps=6000)
    layer = SynchronousGraph(graph, solver, "relu", dtype=dtype)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight.copy_(torch.tensor([1.0, 1.17, 1.0]))
    solution = layer.solve(torch.ones(2, 1, dtype=dtype))
    assert not solution.converged.any()
    assert not (solution.residual < 0.1).any()
