"""Layers under autocast on devices where half precision pays; here the CPU is said to be one."""

import copy

import numpy
import pytest
import torch

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.modules import check_independence
from pyg_modules.ops import autocast
from pyg_modules.solve import Solver
from pyg_modules.train import ModularClassifier, ModularRegressor
from tests.strategies import generator, normal

GRAPH = UnitGraph.complete(3, 8, 2)
LABELS = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)
HALF = [torch.bfloat16, torch.float16]
EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])


@pytest.fixture(autouse=True)
def half_precision_pays(monkeypatch):
    monkeypatch.setattr(autocast, "_FAST_IN_HALF", ("cpu",))


def synchronous(**settings):
    return SynchronousGraph(GRAPH, Unrolled(4), generator=generator(0), **settings)


def modules(**settings):
    return cut(synchronous(**settings), LABELS)


#: A layer and what it is called with.
CASES = {
    "dense": lambda: (synchronous(activation="tanh", backend="dense"), [normal(5, 3)]),
    "scatter": lambda: (synchronous(activation="gelu", backend="scatter"), [normal(5, 3)]),
    "block": lambda: (modules(activation="silu", backend="block"), [normal(5, 3)]),
    "checkpoint": lambda: (
        SynchronousGraph(GRAPH, Unrolled(5, checkpoint=True), backend="dense"),
        [normal(2, 5, 3)],
    ),
    "learned": lambda: (
        synchronous(
            activation="prelu",
            update_rate=0.5,
            learn_update_rate=True,
            backend="dense",
            dropout=0.5,
        ),
        [normal(5, 3)],
    ),
    "conv": lambda: (
        SynchronousConv(
            GRAPH, solver=Unrolled(3), activation="prelu", normalize=False, backend="scatter"
        ),
        [normal(4, 3), EDGES, torch.tensor([0.5, 1, 0.25, -2, 1])],
    ),
    "conv2d": lambda: (
        SynchronousConv2d(GRAPH, 3, Unrolled(3), "tanh", update_rate=0.5),
        [normal(2, 3, 4, 5)],
    ),
}


def in_float32(values):
    return [value.float() if value.is_floating_point() else value for value in values]


def outputs_and_gradients(call, parameters, x):
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    outputs = call(x)
    gradients = torch.autograd.grad(outputs.float().square().sum(), [x, *parameters])
    return outputs, gradients


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("case", CASES)
def test_a_layer_computes_as_one_whose_parameters_are_of_that_dtype(case, dtype):
    layer, (x, *others) = CASES[case]()
    layer, x = layer.float(), x.float()
    others = in_float32(others)
    halved = copy.deepcopy(layer).to(dtype)

    def under_autocast(x):
        with torch.autocast("cpu", dtype):
            return layer(x, *others)

    def cast(x):
        return halved(
            x.to(dtype), *(one.to(dtype) if one.is_floating_point() else one for one in others)
        )

    outputs, gradients = outputs_and_gradients(under_autocast, layer.parameters(), x)
    expected, references = outputs_and_gradients(cast, halved.parameters(), x)
    assert outputs.dtype == dtype
    assert torch.equal(outputs, expected)
    # Slopes of nodes are added up in the precision of the parameters.
    tolerance = 2 * torch.finfo(dtype).eps if case == "conv" else 0
    for gradient, reference in zip(gradients, references, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, reference.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("case", CASES)
def test_states_of_all_units_are_of_that_dtype(case, dtype):
    layer, (x, *others) = CASES[case]()
    layer, x = layer.float().eval(), x.float()
    others = in_float32(others)
    with torch.autocast("cpu", dtype):
        states, solution = layer.states(x, *others), layer.solve(x, *others)
        outputs = layer(x, *others)
    assert states.dtype == solution.states.dtype == outputs.dtype == dtype
    assert torch.equal(states, solution.states)
    dim = layer.unit_dim
    assert torch.equal(states.narrow(dim, states.size(dim) - 2, 2), outputs)
    rounding = torch.finfo(dtype).eps
    expected = layer.states(x, *others)
    torch.testing.assert_close(states.float(), expected, rtol=8 * rounding, atol=8 * rounding)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SynchronousGraph(GRAPH, Equilibrium(contraction=0.5), "tanh"),
        lambda: SynchronousGraph(GRAPH, Unrolled(3), "tanh", backend="sparse"),
        lambda: SynchronousGraph(GRAPH, Unrolled(3), "tanh", backend="numba"),
        lambda: SynchronousGraph(GRAPH, Unrolled(3), "tanh").double(),
        lambda: SynchronousConv2d(GRAPH, 1, Equilibrium(contraction=0.5), "tanh"),
    ],
    ids=["equilibrium", "sparse", "numba", "double", "equilibrium of images"],
)
def test_what_half_precision_cannot_do_is_done_in_the_dtype_of_the_layer(make):
    layer = make()
    x = normal(4, 3).to(layer.dtype)
    if isinstance(layer, SynchronousConv2d):
        x = x.view(4, 3, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, states = layer(x), layer.states(x)
    assert outputs.dtype == states.dtype == layer.dtype
    assert torch.equal(outputs, layer(x))


def test_definition_and_weights_stay_in_the_dtype_of_the_layer():
    layer = synchronous()
    states = normal(4, GRAPH.num_units).float()
    with torch.autocast("cpu", torch.bfloat16):
        following, weight = layer.step(states), layer.scaled_weight()
    assert torch.equal(following, layer.step(states))
    assert torch.equal(weight, layer.weight)


@pytest.mark.parametrize("execution", ["batched", "loop"])
def test_parts_compute_in_it_too(execution):
    layer = modules(activation="tanh", backend="dense")
    modular = ModularGraph(split(layer), execution=execution)
    x = normal(5, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = modular(x), layer(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


# As in test_synchronous_graph.py: the compiler warns of what it does itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("case", ["block", "learned", "conv"])
def test_compiled_programs_compute_in_it_too(case):
    layer, (x, *others) = CASES[case]()
    layer, x = layer.float().eval(), x.float()
    others = in_float32(others)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert compiled(x, *others).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = compiled(x, *others), layer(x, *others)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    found.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_compiled_programs_of_backends_without_it_compute_as_without_autocast():
    layer = SynchronousGraph(GRAPH, Unrolled(3), "tanh", backend="sparse")
    x = normal(4, 3).float()
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(outputs, layer(x))


@pytest.mark.parametrize("dtype", HALF)
def test_a_network_trains_as_one_in_float32_does(dtype):
    x = normal(64, 3).float()
    y = (x[:, 0] * x[:, 1] > 0).long()
    losses = []
    for enabled in (True, False):
        layer = synchronous(activation="tanh", backend="dense")
        scaler = torch.amp.GradScaler("cpu", enabled=enabled and dtype == torch.float16)
        optimizer = torch.optim.Adam(layer.parameters(), 0.02)
        for _ in range(150):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=enabled):
                loss = torch.nn.functional.cross_entropy(layer(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        losses.append(loss.item())
    assert max(losses) < 0.2
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


@pytest.mark.parametrize("backend", ["dense", "scatter"])
def test_parameters_of_one_half_precision_compute_in_the_other(backend):
    layer = synchronous(activation="tanh", backend=backend, dtype=torch.bfloat16)
    x = normal(5, 3).float()
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.float16):
        outputs = layer(x)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")(x)
        outputs.sum().backward()
    assert outputs.dtype == torch.float16
    torch.testing.assert_close(compiled, outputs, rtol=1e-2, atol=1e-2)
    assert layer.weight.grad.dtype == torch.bfloat16


def test_a_report_is_of_the_precision_that_is_computed_in():
    layer = synchronous()
    known = {"numba", "sparse"} & set(layer.backend_report(8).choices["recurrence"].seconds)
    assert known
    with torch.autocast("cpu", torch.bfloat16):
        recurrence = layer.backend_report(8).choices["recurrence"]
    assert not known & set(recurrence.seconds)


def test_independence_is_proved_in_the_precision_of_the_layer():
    layer, x = modules(activation="tanh"), normal(5, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = check_independence(layer, x)
    assert found == check_independence(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert check_independence(layer, x.bfloat16()).paths == 0


@pytest.mark.parametrize("dtype", HALF)
def test_estimators_predict_in_the_precision_of_their_network(dtype):
    x = normal(40, 3).float().numpy()
    # Rounded to half precision, these targets are all alike.
    regressor = ModularRegressor(epochs=2, num_hidden=8).fit(x, 2000 + 0.1 * x[:, 0])
    classifier = ModularClassifier(epochs=2, num_hidden=8).fit(x, x[:, 0] > 0)
    with torch.autocast("cpu", dtype):
        found = regressor.predict(x), classifier.predict_proba(x)
    numpy.testing.assert_array_equal(found[0], regressor.predict(x))
    numpy.testing.assert_array_equal(found[1], classifier.predict_proba(x))


class Bounded(Solver):
    """Four updates with weights whose norm times the largest slope is 0.9."""

    num_updates = 4

    def scaled(self, update, weight):
        return weight * (0.9 / (update.norm(weight) * update.lipschitz))

    def solve(self, recurrence):
        self.norm = recurrence.update.norm(recurrence.weight.detach().double())
        return Unrolled(4).solve(recurrence)


def test_weights_are_scaled_in_the_precision_of_the_layer():
    solver = Bounded()
    layer = SynchronousGraph(GRAPH, solver, "prelu", backend="dense", generator=generator(0))
    with torch.no_grad():
        layer.dynamics.slope.fill_(1.0039)  # Rounded, it is 1.
    with torch.autocast("cpu", torch.float16):
        layer(normal(5, 3).float())
    assert float(solver.norm) * 1.0039 == pytest.approx(0.9, rel=1e-3)


def test_sums_of_many_in_half_precision_are_rounded_once():
    graph = UnitGraph(torch.tensor([[*range(3000)], [3000] * 3000]), 3001, 3000, 1)
    layer = SynchronousGraph(graph, Unrolled(1), backend="scatter", dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    x = torch.ones(1, 3000, dtype=torch.bfloat16)
    for of in (layer, lambda x: torch.func.vmap(layer)(x)):
        assert of(x).item() == torch.tensor(3000.0).bfloat16().item()
