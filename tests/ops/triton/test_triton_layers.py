import copy

import pytest
import torch

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.ops import autocast
from tests.dense_graph import DenseGraph
from tests.strategies import generator

CYCLIC = torch.tensor([[0, 1, 2, 3, 4, 2, 3, 0, 4], [2, 2, 3, 4, 2, 5, 5, 4, 6]])
SOLVERS = [
    Unrolled(3),
    Unrolled(5, checkpoint=True),
    Equilibrium(1e-6, contraction=0.8, memory=0),
]
BACKENDS = ["triton", "triton_block"]


def layer_on(device, backend, solver=SOLVERS[0], **kwargs):
    layer = SynchronousGraph(UnitGraph(CYCLIC, 7, 2, 2), solver, "tanh", device=device, **kwargs)
    layer.reset_parameters(torch.Generator(device).manual_seed(0))
    layer.backend = backend
    return layer


def inputs(device):
    return torch.rand(2, 4, generator=generator(1)).to(device).T.requires_grad_()


def assert_like_the_reference(layer, x, called=None, tolerance=1e-5):
    reference = DenseGraph(layer)
    found, expected = (layer if called is None else called)(x), reference(x)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    gradients = torch.autograd.grad(found.square().sum(), [x, *layer.parameters()])
    references = torch.autograd.grad(expected.square().sum(), [x, *reference.parameters()])
    shapes = [gradient.shape for gradient in gradients]
    references = [one.reshape(shape) for one, shape in zip(references, shapes, strict=True)]
    torch.testing.assert_close(list(gradients), references, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_a_layer_computes_what_the_definition_says(backend, solver, device):
    tolerance = 1e-5 if isinstance(solver, Unrolled) else 1e-4
    layer = layer_on(device, backend, solver)
    assert_like_the_reference(layer, inputs(device), tolerance=tolerance)


# As in tests/nn: the compiler warns of what it does itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiler_keeps_the_kernels(backend, device):
    torch._dynamo.reset()
    layer = layer_on(device, backend)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert_like_the_reference(layer, inputs(device), compiled)


def test_transformations_are_refused_or_computed_without_it(device):
    x = inputs(device).detach()
    with pytest.raises(RuntimeError, match=r"cannot look into the backend 'triton'"):
        torch.func.vmap(layer_on(device, "triton"))(x)
    automatic = layer_on(device, "auto")
    torch.testing.assert_close(torch.func.vmap(automatic)(x), automatic(x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives_are_refused(backend, device):
    x = inputs(device)
    with pytest.raises(RuntimeError, match=r"the backend 'triton.*has no second derivatives"):
        torch.autograd.grad(layer_on(device, backend)(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_gradients_are_those_one_by_one(backend, device):
    x, layer = inputs(device), layer_on(device, backend)
    outputs = layer(x)
    to = torch.rand(2, *outputs.shape, generator=generator(2)).to(device)
    (found,) = torch.autograd.grad(outputs, x, to, is_grads_batched=True, retain_graph=True)
    expected = [torch.autograd.grad(outputs, x, one, retain_graph=True)[0] for one in to]
    assert torch.equal(found, torch.stack(expected))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_under_autocast_it_computes_in_that_dtype_where_it_pays(backend, dtype, device):
    layer, x = layer_on(device, backend), inputs(device)
    with torch.autocast(device.type, dtype):
        outputs = layer(x)
    if device.type == "cpu":
        assert torch.equal(outputs, layer(x))
    else:
        assert torch.equal(outputs, copy.deepcopy(layer).to(dtype)(x.to(dtype)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_under_autocast_are_those_of_the_dtype_where_it_pays(
    backend, device, monkeypatch
):
    monkeypatch.setattr(autocast, "_FAST_IN_HALF", (device.type,))
    layer, x = layer_on(device, backend), inputs(device)
    halved = copy.deepcopy(layer).bfloat16()
    with torch.autocast(device.type, torch.bfloat16):
        outputs = layer(x)
    expected = halved(x.bfloat16())
    assert torch.equal(outputs, expected)
    found = torch.autograd.grad(outputs.float().square().sum(), [x, *layer.parameters()])
    references = torch.autograd.grad(expected.float().square().sum(), [x, *halved.parameters()])
    for gradient, reference in zip(found, references, strict=True):
        assert gradient.dtype == torch.float32
        assert torch.equal(gradient, reference.float())


def cut_layer(device, backend):
    graph = UnitGraph.complete(2, 12, 2)
    labels = torch.cat([torch.full((2,), -1), torch.arange(12) % 3, torch.full((2,), -1)])
    whole = SynchronousGraph(graph, Unrolled(4), "tanh", device=device, backend="dense")
    whole.reset_parameters(torch.Generator(device).manual_seed(0))
    layer = cut(whole, labels)
    layer.backend = backend
    return layer


def test_a_cut_layer_and_its_parts_are_computed_in_blocks(device):
    layer = cut_layer(device, "triton_block")
    assert layer.backend_report(4).choices["recurrence"].backend == "triton_block"
    assert_like_the_reference(layer, inputs(device))
    layer.backend = "triton"
    modular = ModularGraph(split(layer))
    whole = modular.execution_report(4).backends[0]
    assert whole.choices["recurrence"].backend == "triton_block"
    x = inputs(device)
    torch.testing.assert_close(modular(x), layer(x), rtol=1e-5, atol=1e-6)


def test_it_is_refused_where_an_output_feeds_back(device):
    graph = UnitGraph(torch.tensor([[0, 1, 2], [1, 2, 1]]), 3, 1, 1)
    layer = SynchronousGraph(graph, Unrolled(3), "silu", device=device, backend="triton")
    x = torch.rand(4, 1, device=device).requires_grad_()
    assert_like_the_reference(layer, x)
    with pytest.raises(ValueError, match=r"outputs without outgoing edges for backend 'triton_b"):
        layer.backend = "triton_block"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_in_half_precision_has_gradients_of_its_dtype(backend, dtype, device):
    layer = layer_on(device, backend, dtype=dtype)
    x = inputs(device).detach().to(dtype).requires_grad_()
    layer(x).sum().backward()
    assert {x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype} == {dtype}
    double = layer_on(device, "dense").double()
    double.load_state_dict(layer.state_dict())
    expected = double(x.double())
    tolerance = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(layer(x).double(), expected, rtol=tolerance, atol=tolerance)
    expected.sum().backward()
    torch.testing.assert_close(
        layer.weight.grad.double(), double.weight.grad, rtol=tolerance, atol=tolerance
    )


def test_double_precision_is_computed_by_another_and_it_is_said(device):
    with pytest.raises(ValueError, match=r"float32, bfloat16, float16 .*torch.float64 on .*'auto'"):
        layer_on(device, "triton", dtype=torch.float64)
    layer = layer_on(device, "auto", dtype=torch.float64)
    report = layer.backend_report(4)
    if device.type == "cuda":
        assert report.choices["recurrence"].refused["triton"] == f"torch.float64 on {layer.device}"
        assert "not possible: triton (torch.float64" in str(report)
    assert_like_the_reference(layer, inputs(device).detach().double().requires_grad_())


def test_auto_on_the_cpu_takes_no_interpreted_kernel():
    choices = layer_on("cpu", "auto", dtype=torch.bfloat16).backend_report(4).choices
    assert not any(name.startswith("triton") for name in choices["recurrence"].seconds)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_on_cuda_considers_it():
    choices = cut_layer(torch.device("cuda"), "auto").backend_report(128).choices
    assert {"triton", "triton_block"} <= set(choices["recurrence"].seconds)
