"""Layers under what looks into a call: torch.func, vectorized gradients, torch.jit and torch.fx."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, jacrev, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.partition import ncut_loss
from tests.strategies import backends, generator, normal

LABELS = torch.tensor([-1] * 3 + [0, 1] * 3 + [-1] * 2)
REFUSED = r"no transformation of torch.func.* no torch.jit.trace .*Unrolled solver"
trace = pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")


def new_layer(backend="auto", solver=None):
    layer = SynchronousGraph(
        UnitGraph.complete(3, 6, 2), solver or Unrolled(3), "tanh", dtype=torch.float64
    )
    layer.reset_parameters(generator(0))
    layer = cut(layer, LABELS) if backend == "block" else layer
    layer.backend = backend
    return layer


def models():
    for backend in ("auto", *backends):
        yield pytest.param(new_layer(backend), id=backend)
    yield pytest.param(new_layer(solver=Equilibrium(1e-13, contraction=0.8)), id="equilibrium")
    yield pytest.param(ModularGraph(split(cut(new_layer(), LABELS))), id="modules")


@pytest.mark.parametrize("model", list(models()))
def test_vectorized_jacobians_are_those_row_by_row(model):
    x = normal(4, 3)
    parameters = dict(model.named_parameters())
    name, weight = next((name, value) for name, value in parameters.items() if "weight" in name)

    def of_both(x, weight):
        return functional_call(model, {name: weight}, (x,)).sum(dim=0)

    inputs = x, weight.detach()
    jacobian = torch.autograd.functional.jacobian
    torch.testing.assert_close(jacobian(of_both, inputs, vectorize=True), jacobian(of_both, inputs))


@pytest.mark.parametrize("model", list(models()))
@pytest.mark.parametrize("way", ["is_grads_batched", "vmap", "vmap in vmap"])
def test_batches_of_gradients_are_those_one_by_one(model, way):
    x = normal(4, 3).requires_grad_()
    inputs = [x, *model.parameters()]
    outputs = model(x)
    grads = normal(2, 3, 4, 2)

    def backward(grad, **settings):
        return torch.autograd.grad(outputs, inputs, grad, retain_graph=True, **settings)

    expected = [backward(grad) for grad in grads.flatten(0, 1)]
    expected = [torch.stack(values) for values in zip(*expected, strict=True)]
    if way == "is_grads_batched":
        found = backward(grads.flatten(0, 1), is_grads_batched=True)
    elif way == "vmap":
        found = vmap(backward)(grads.flatten(0, 1))
    else:
        found = [value.flatten(0, 1) for value in vmap(vmap(backward))(grads)]
    torch.testing.assert_close(list(found), expected)


@pytest.mark.parametrize("backend", ["auto", "dense", "block", "scatter"])
def test_composed_backends_work_under_torch_func(backend):
    layer, x = new_layer(backend), normal(4, 3)
    expected = torch.autograd.functional.jacobian(layer, x)
    torch.testing.assert_close(vmap(layer)(x), layer(x))
    torch.testing.assert_close(jacrev(layer)(x), expected)
    jacobian = torch.autograd.functional.jacobian
    torch.testing.assert_close(
        jacobian(layer, x, vectorize=True, strategy="forward-mode"), expected
    )
    tangent = normal(4, 3, seed=1)
    along = torch.einsum("bocj,cj->bo", expected, tangent)
    torch.testing.assert_close(jvp(layer, (x,), (tangent,))[1], along)
    stacked = {name: torch.stack([p, 2 * p]) for name, p in layer.named_parameters()}
    found = vmap(lambda parameters: functional_call(layer, parameters, (x,)))(stacked)
    doubled = {name: values[1] for name, values in stacked.items()}
    torch.testing.assert_close(found[1], functional_call(layer, doubled, (x,)))


@trace
@pytest.mark.parametrize(
    "layer",
    [new_layer("numba"), new_layer("sparse"), new_layer(solver=Equilibrium())],
    ids=["numba", "sparse", "equilibrium"],
)
def test_what_cannot_be_looked_into_is_refused_with_a_remedy(layer):
    x = normal(4, 3)
    for call in (layer, layer.states):
        with pytest.raises(RuntimeError, match=REFUSED):
            vmap(call)(x)
    with pytest.raises(RuntimeError, match=REFUSED):
        jacrev(layer)(x)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match=REFUSED):
        layer(forward_ad.make_dual(x, x))
    with pytest.raises(RuntimeError, match=REFUSED):
        torch.jit.trace(layer, x)


@trace
@pytest.mark.parametrize("kind", ["auto", "dense", "block", "scatter", "modules", "sequential"])
def test_a_trace_computes_any_batch(kind):
    model = new_layer("auto" if kind in ("modules", "sequential") else kind)
    if kind == "modules":
        model = ModularGraph(split(cut(model, LABELS)))
    if kind == "sequential":
        model = torch.nn.Sequential(torch.nn.Linear(3, 3, dtype=torch.float64), model)
    traced = torch.jit.trace(model, normal(5, 3))
    for batch in (1, 7):
        torch.testing.assert_close(traced(normal(batch, 3)), model(normal(batch, 3)))
    traced(normal(5, 3)).sum().backward()
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(normal(5, 3)).sum().backward()
    torch.testing.assert_close(found, [parameter.grad for parameter in model.parameters()])


@pytest.mark.parametrize("backend", ["auto", "dense", "block", "scatter"])
@pytest.mark.parametrize("trains", [True, False])
def test_a_graph_that_make_fx_records_computes_what_it_is_given(backend, trains):
    layer = new_layer(backend).requires_grad_(trains)
    recorded = make_fx(layer)(normal(4, 3))
    x = normal(4, 3, seed=1)
    torch.testing.assert_close(recorded(x), layer(x))


def test_make_fx_takes_no_kernel_of_a_sparse_graph_either():
    graph = UnitGraph.erdos_renyi(3, 200, 2, 0.05, generator=generator(0), repair=True)
    layer = SynchronousGraph(graph, dtype=torch.float64).requires_grad_(False)
    recorded = make_fx(layer)(normal(64, 3))
    x = normal(64, 3, seed=1)
    torch.testing.assert_close(recorded(x), layer(x))
    for refused in (new_layer("numba"), new_layer(solver=Equilibrium())):
        with pytest.raises(RuntimeError, match=REFUSED):
            make_fx(refused)(normal(4, 3))


@pytest.mark.parametrize(
    "module", [new_layer(), ModularGraph(split(cut(new_layer(), LABELS)))], ids=["layer", "modules"]
)
def test_replicas_of_data_parallel_are_refused_in_models_too(module):
    name = type(module).__name__
    for model in (module, torch.nn.Sequential(torch.nn.Linear(3, 3), module)):
        parts = list(model.modules())
        with pytest.raises(RuntimeError, match=rf"no DataParallel.*{name}\).*DistributedDataPar"):
            # As torch.nn.parallel.replicate does.
            [part._replicate_for_data_parallel() for part in parts]


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_complex_weights_are_refused_and_nothing_changes():
    layer = new_layer()
    before = layer.weight.detach().clone()
    with pytest.raises(TypeError, match=r"real floating type of a SynchronousGraph.*complex64"):
        layer.to(torch.complex64)
    assert torch.equal(layer.weight, before)


@trace
@pytest.mark.parametrize(
    "module",
    [
        new_layer(),
        ModularGraph(split(cut(new_layer(), LABELS))),
        PartitionRegularizer(new_layer(), 2),
    ],
)
def test_a_script_is_refused_in_models_too(module):
    name = type(module).__name__
    for model in (module, torch.nn.Sequential(torch.nn.Linear(3, 3), module)):
        with pytest.raises(RuntimeError, match=rf"no torch.jit.script.*{name}\).*torch.export"):
            torch.jit.script(model)


@pytest.mark.parametrize("kind", ["layer", "modules"])
def test_symbolic_tracing_calls_a_layer_as_it_calls_modules_of_torch(kind):
    model = new_layer() if kind == "layer" else ModularGraph(split(cut(new_layer(), LABELS)))
    whole = torch.nn.Sequential(torch.nn.Linear(3, 3, dtype=torch.float64), model)
    traced = torch.fx.symbolic_trace(whole)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["0", "1"]
    for shape in ((4, 3), (2, 4, 3)):
        assert torch.equal(traced(normal(*shape)), whole(normal(*shape)))
    with pytest.raises(RuntimeError, match=r"a model with the .* alone.*torch.nn.Sequential of it"):
        torch.fx.symbolic_trace(model)


def test_symbolic_tracing_of_a_regularizer_is_refused():
    regularizer = PartitionRegularizer(new_layer(), 2)
    with pytest.raises(RuntimeError, match=r"outside of torch.fx.symbolic_trace"):
        torch.fx.symbolic_trace(regularizer)


@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
@pytest.mark.parametrize("density", [0.02, 1.0])
def test_penalties_work_under_torch_func_whatever_the_density(density):
    graph = UnitGraph.erdos_renyi(3, 40, 2, density, generator=generator(0))
    layer = SynchronousGraph(graph, dtype=torch.float64)
    regularizer = PartitionRegularizer(layer, 2, cost_balance=1.0, generator=generator(1))
    logits = regularizer.logits.detach()

    def penalty(logits):
        return functional_call(regularizer, {"logits": logits}, ())

    expected = torch.autograd.functional.jacobian(penalty, logits)
    torch.testing.assert_close(jacrev(penalty)(logits), expected)
    along = (expected * logits).sum()
    torch.testing.assert_close(jvp(penalty, (logits,), (logits,))[1], along)
    several = torch.stack([logits, 2 * logits])
    torch.testing.assert_close(vmap(penalty)(several), torch.stack(list(map(penalty, several))))
    weight = layer.weight.detach()

    def loss(weight):
        return ncut_loss(graph.edge_index, weight, normal(45, 2).softmax(dim=1))

    torch.testing.assert_close(
        jacrev(loss)(weight), torch.autograd.functional.jacobian(loss, weight)
    )
