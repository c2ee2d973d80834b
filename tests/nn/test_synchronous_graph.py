import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch_geometric.nn import GINConv, MessagePassing

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.ops import ACTIVATIONS
from pyg_modules.parallel import ModularGraph
from tests.references import dense_states
from tests.strategies import backends, generator, layers, normal, seeds, unit_graphs

CONTRACTING = Equilibrium(tol=1e-6, contraction=0.9)


def usable_backends(layer):
    """All but "block" where an output has an outgoing edge."""
    has_feedback = bool((layer.graph.edge_index[0] >= layer.graph.outputs.start).any())
    return [name for name in backends if not (name == "block" and has_feedback)]


def outputs_and_gradients(layer, x):
    x = x.clone().requires_grad_()
    outputs = layer(x)
    gradients = torch.autograd.grad(
        outputs.square().sum(), [x, layer.weight, layer.bias], materialize_grads=True
    )
    return [outputs, *gradients]


@given(layers(list(ACTIVATIONS)), st.integers(0, 3))
def test_forward_and_states_equal_the_definition(layer, batch):
    x = normal(batch, layer.graph.num_inputs)
    expected = dense_states(layer, x)
    for backend in usable_backends(layer):
        layer.backend = backend
        torch.testing.assert_close(layer.states(x), expected, rtol=1e-10, atol=1e-10)
        with torch.no_grad():
            torch.testing.assert_close(
                layer(x), expected[:, layer.graph.outputs.start :], rtol=1e-10, atol=1e-10
            )


@given(layers(list(ACTIVATIONS)), st.integers(0, 3), seeds)
def test_backends_agree_with_all_gradients_in_float64(layer, batch, seed):
    x = normal(batch, layer.graph.num_inputs, seed=seed)
    expected = outputs_and_gradients(layer, x)
    for backend in usable_backends(layer):
        layer.backend = backend
        results = outputs_and_gradients(layer, x)
        torch.testing.assert_close(results, expected, rtol=1e-10, atol=1e-10)


@given(layers(["relu", "tanh", "sigmoid", "gelu"]), seeds)
def test_backends_agree_with_all_gradients_in_float32(layer, seed):
    x = normal(4, layer.graph.num_inputs, seed=seed)
    expected = outputs_and_gradients(layer, x)
    layer = copy.deepcopy(layer).float()
    for backend in usable_backends(layer):
        layer.backend = backend
        for result, value in zip(outputs_and_gradients(layer, x.float()), expected, strict=True):
            scale = max(1.0, *value.detach().abs().reshape(-1).tolist(), 0.0)
            torch.testing.assert_close(result.double(), value, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("backend", backends)
@given(layers(min_hidden=1, min_outputs=1, feedback=False))
def test_gradients_are_those_of_finite_differences(backend, layer):
    def function(x, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, parameters, (x,))

    layer.backend = backend
    x = normal(2, layer.graph.num_inputs).requires_grad_()
    assert gradcheck(function, (x, layer.weight, layer.bias))


@given(layers(list(ACTIVATIONS), min_outputs=1))
def test_checkpointing_changes_no_gradient(layer):
    x = normal(2, layer.graph.num_inputs)
    for backend in usable_backends(layer):
        layer.backend = backend
        layer.solver = Unrolled(layer.solver.steps)
        expected = outputs_and_gradients(layer, x)
        layer.solver = Unrolled(layer.solver.steps, checkpoint=True)
        torch.testing.assert_close(outputs_and_gradients(layer, x), expected, rtol=0, atol=1e-13)


@given(layers())
def test_message_passing_steps_reach_the_same_states(layer):
    x = normal(2, layer.graph.num_inputs)
    hidden_end = layer.graph.outputs.start
    states = torch.cat([x, normal(2, layer.graph.num_units - layer.graph.num_inputs) * 0], dim=1)
    for _ in range(layer.solver.steps):
        states = layer.step(states)
    expected = layer.states(x)
    torch.testing.assert_close(states[:, :hidden_end], expected[:, :hidden_end])
    torch.testing.assert_close(layer.step(states)[:, hidden_end:], expected[:, hidden_end:])


def test_it_is_a_message_passing_whose_messages_can_be_hooked():
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    assert isinstance(layer, MessagePassing)
    seen = []
    layer.register_message_forward_hook(lambda _layer, _inputs, output: seen.append(output.shape))
    layer.step(torch.zeros(5, 6))
    assert seen == [(layer.graph.num_edges, 5)]


@pytest.mark.parametrize("backend", backends)
def test_leading_dimensions_and_strides_do_not_matter(backend):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), backend=backend, dtype=torch.float64)
    x = normal(3, 5, 2).transpose(0, 2)
    assert not x.is_contiguous()
    outputs = layer(x)
    assert outputs.shape == (2, 5, 2)
    torch.testing.assert_close(outputs[1, 2], layer(x[1, 2]))
    assert layer.states(x).shape == (2, 5, 9)
    assert layer(x[:0]).shape == (0, 5, 2)


def test_initial_weights_are_scaled_by_the_in_degree():
    # The hidden units have in-degree 64 + 128, the outputs 128.
    layer = SynchronousGraph(UnitGraph.complete(64, 128, 10))
    layer.reset_parameters(torch.Generator().manual_seed(0))
    into_output = layer.graph.edge_index[1] >= 192
    for weights, degree in ((layer.weight[~into_output], 192), (layer.weight[into_output], 128)):
        bound = degree**-0.5
        assert weights.abs().max() <= bound
        assert abs(weights.std() / (bound / 3**0.5) - 1) < 0.05
    again = SynchronousGraph(layer.graph)
    again.reset_parameters(torch.Generator().manual_seed(0))
    assert torch.equal(again.weight, layer.weight)
    assert torch.equal(again.bias, layer.bias)


def test_parameters_are_weight_and_bias_alone():
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        "weight": (18,),
        "bias": (4,),
    }
    assert set(layer.state_dict()) == {"weight", "bias", "_extra_state"}


def test_state_dict_and_deepcopy_give_the_same_function():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    x = torch.rand(5, 3)
    for backend in backends:
        other = SynchronousGraph(layer.graph, backend=backend)
        other.load_state_dict(layer.state_dict())
        torch.testing.assert_close(other(x), layer(x))
    copied = copy.deepcopy(layer)
    assert torch.equal(copied(x), layer(x))
    with torch.no_grad():
        copied.weight.zero_()
    assert not torch.equal(copied(x), layer(x))


def test_two_layers_share_the_index_structures_of_one_graph():
    graph = UnitGraph.complete(3, 4, 2)
    first, second = SynchronousGraph(graph), SynchronousGraph(graph)
    first(torch.rand(1, 3))
    assert first._wiring() is second._wiring()
    operators = [layer._operators("sparse", 1) for layer in (first, second)]
    assert operators[0] is operators[1]


def test_double_and_float_conversions():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    x = torch.rand(5, 3)
    expected = layer(x)
    outputs = layer.double()(x.double())
    assert outputs.dtype == torch.float64
    torch.testing.assert_close(outputs.float(), expected)
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


# The compiler warns of what it does itself: it instantiates autograd functions and asks
# intermediate tensors for their gradients while it traces.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("solver", [Unrolled(3), Unrolled(5, checkpoint=True), CONTRACTING])
@pytest.mark.parametrize("backend", backends)
def test_compiled_layers_give_the_same_outputs_and_gradients(backend, solver):
    torch._dynamo.reset()
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, backend=backend)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.rand(5, 3)
    results = []
    for function in (layer, compiled):
        outputs = function(x)
        results.append((outputs, *torch.autograd.grad(outputs.sum(), list(layer.parameters()))))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("solver", [Unrolled(3), CONTRACTING])
@pytest.mark.parametrize("backend", backends)
def test_exported_layers_give_the_same_outputs(backend, solver):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, backend=backend)
    x = torch.rand(5, 3)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))


@pytest.mark.parametrize("backend", ["auto", "scatter", "dense", "block"])
def test_transformations_of_torch_func_see_through_composed_backends(backend):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), backend=backend, dtype=torch.float64)
    x = normal(5, 3)
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    jacobian = torch.func.vmap(torch.func.jacrev(layer))(x)
    for row, sample in zip(jacobian, x, strict=True):
        expected = torch.autograd.functional.jacobian(layer, sample)
        torch.testing.assert_close(row, expected)


@pytest.mark.parametrize(
    ("backend", "solver"),
    [("sparse", Unrolled(3)), ("auto", CONTRACTING), ("scatter", CONTRACTING)],
)
def test_transformations_that_cannot_be_done_are_refused(backend, solver):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, backend=backend)
    with pytest.raises(RuntimeError, match=r"vmap or jacrev.*backend='auto', 'dense'"):
        torch.func.vmap(layer)(torch.rand(5, 3))


@pytest.mark.parametrize("backend", backends)
def test_an_exported_layer_takes_batches_of_any_size(backend):
    layer = SynchronousGraph(LAYER.graph, Unrolled(3), "tanh", backend=backend)
    x = torch.rand(5, layer.graph.num_inputs, generator=generator(0))
    dynamic = {"x": {0: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(layer, (x,), dynamic_shapes=dynamic).module()
    for batch in (2, 5, 9):
        x = torch.rand(batch, layer.graph.num_inputs, generator=generator(batch))
        torch.testing.assert_close(exported(x), layer(x))


def test_scatter_layers_have_second_derivatives_and_the_others_say_that_they_have_none():
    layer = SynchronousGraph(UnitGraph.complete(2, 3, 1), activation="tanh", dtype=torch.float64)
    x = normal(2, 2).requires_grad_()
    for backend in backends:
        layer.backend = backend
        if backend == "scatter":
            assert gradgradcheck(layer, (x,))
        else:
            with pytest.raises(RuntimeError, match=r"has no second derivatives.*='scatter'"):
                torch.autograd.grad(layer(x).sum(), x, create_graph=True)


def test_numbers_do_not_depend_on_the_run_nor_on_other_samples():
    layer = SynchronousGraph(UnitGraph.erdos_renyi(8, 200, 4, 0.1, generator=generator(0)))
    x = torch.randn(6, 8, generator=generator(1))
    for backend in backends:
        layer.backend = backend
        first, second = (outputs_and_gradients(layer, x) for _ in range(2))
        assert all(map(torch.equal, first, second))
    layer.backend = "sparse"
    torch.testing.assert_close(layer(x)[2:3], layer(x[2:3]))


def test_the_backend_can_be_changed_but_not_to_an_unknown_one():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    layer.backend = "scatter"
    assert layer.backend == "scatter"
    with pytest.raises(ValueError, match="got 'fast'"):
        layer.backend = "fast"
    assert layer.backend == "scatter"


def test_autocast_computes_in_the_dtype_of_the_parameters():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    x = torch.rand(5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layer(x.bfloat16())
    torch.testing.assert_close(outputs, layer(x.bfloat16().float()), rtol=0, atol=0)


def test_it_works_as_the_network_of_a_gin_convolution():
    convolution = GINConv(SynchronousGraph(UnitGraph.complete(3, 4, 2)), train_eps=True)
    x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]])
    outputs = convolution(x, edge_index)
    outputs.sum().backward()
    assert outputs.shape == (4, 2)
    assert convolution.nn.weight.grad.abs().sum() > 0


@given(unit_graphs())
def test_repr_says_all_settings(graph):
    layer = SynchronousGraph(graph, Unrolled(2), "tanh")
    assert repr(layer) == (
        f"SynchronousGraph({graph!r}, Unrolled(steps=2, checkpoint=False), activation='tanh',"
        " backend='auto')"
    )


LAYER = SynchronousGraph(UnitGraph.complete(3, 4, 2))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(5, 4), ValueError, r"\[\*, 3\], the number of inputs.*got \[5, 4\]"),
        (torch.tensor(1.0), ValueError, r"got \[\]"),
        (torch.rand(5, 3).double(), TypeError, r"dtype torch.float32.*got torch.float64.*x\.to"),
        (torch.ones(5, 3, dtype=torch.long), TypeError, r"got torch.int64\)\. Use x.to\(.*32\)\.$"),
        (torch.rand(5, 3, device="meta"), ValueError, r"device cpu.*got meta.*It has no values"),
        ([[0.0, 0.0, 0.0]], TypeError, r"Tensor \(got list\)"),
    ],
)
def test_bad_inputs_are_refused(x, error, message):
    for method in (LAYER.forward, LAYER.states):
        with pytest.raises(error, match=message):
            method(x)


def test_bad_states_are_refused():
    with pytest.raises(ValueError, match=r"states of shape \[\*, 9\], the number of units"):
        LAYER.step(torch.rand(5, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"graph": "complete"}, TypeError, r"UnitGraph \(got str\).*UnitGraph.complete"),
        ({"solver": 6}, TypeError, r"Solver \(got 6\).*Unrolled\(steps=6\)"),
        ({"activation": "step"}, ValueError, r"'relu', 'tanh'.*got 'step'"),
        ({"activation": torch.relu}, ValueError, r"'relu', 'tanh'"),
        ({"backend": "fast"}, ValueError, r"'auto', 'block', .*'sparse'.* \(got 'fast'\)"),
        ({"step": 4}, TypeError, r"unexpected keyword argument 'step'"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        SynchronousGraph(**{"graph": LAYER.graph, **arguments})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["auto", "sparse", "dense", "block", "scatter"])
@pytest.mark.parametrize("solver", [Unrolled(4), Unrolled(9, checkpoint=True), CONTRACTING])
def test_cuda_gives_the_numbers_of_the_cpu(backend, solver):
    graph = UnitGraph.erdos_renyi(3, 40, 2, 0.3, generator=generator(0))
    layer = SynchronousGraph(graph, solver, "tanh", backend="scatter", dtype=torch.float64)
    layer.reset_parameters(generator(1))
    x = normal(5, 3)
    expected = outputs_and_gradients(layer, x)
    layer = layer.cuda()
    layer.backend = backend
    results = [result.cpu() for result in outputs_and_gradients(layer, x.cuda())]
    tolerance = 1e-10 if isinstance(solver, Unrolled) else 1e-5
    torch.testing.assert_close(results, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", ["auto", *backends])
def test_a_layer_that_was_first_used_in_inference_mode_can_be_trained(backend):
    graph = UnitGraph.erdos_renyi(4, 60, 2, 0.1, generator=generator(0))
    layer = SynchronousGraph(graph, Unrolled(3), backend="scatter")
    with torch.inference_mode():
        layer.backend = backend
        for batch in (1, 3, 300):  # Operators are built for a size of the batch.
            expected = layer(normal(batch, 4).float())
    for batch in (1, 3, 300):
        x = normal(batch, 4).float().requires_grad_()
        outputs = layer(x)
        outputs.square().sum().backward()
        assert x.grad.isfinite().all()
    torch.testing.assert_close(outputs, expected.clone())


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("backend", backends)
def test_a_program_exported_without_gradients_has_them_later(backend, checkpoint):
    solver = Unrolled(4, checkpoint=checkpoint)
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, "tanh", backend=backend)
    with torch.no_grad():
        program = torch.export.export(layer, (torch.rand(5, 3),))
    results = []
    for function in (layer, program.module()):
        x = torch.linspace(-1, 1, 15).view(5, 3).requires_grad_()
        results.append(torch.autograd.grad(function(x).square().sum(), x)[0])
    torch.testing.assert_close(*results)


# Observing ########################################################################################


@pytest.mark.parametrize("solver", [Unrolled(5), CONTRACTING], ids=str)
def test_an_observer_is_told_numbers_without_gradients_after_every_update(solver):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, "tanh", dtype=torch.float64)
    observed = []
    solution = layer.solve(normal(6, 3), observe=observed.append)
    assert len(observed) == int(torch.as_tensor(solution.steps).max())
    assert not any(residual.requires_grad for residual in observed)
    assert all(residual.shape == (6,) for residual in observed)
    torch.testing.assert_close(observed[-1], solution.residual)


@pytest.mark.parametrize("batch", [0, 3])
def test_an_observer_is_told_every_update_of_units_that_stay_at_zero(batch):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), Unrolled(5), "relu")
    torch.nn.init.zeros_(layer.bias)
    observed = []
    layer.solve(torch.zeros(batch, 3), observe=observed.append)
    assert [residual.tolist() for residual in observed] == [[0.0] * batch] * 5


def test_a_compiler_does_not_lose_an_observer_silently():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), CONTRACTING, backend="sparse")
    program = torch.compile(
        lambda x: layer.solve(x, observe=print).states, backend="aot_eager", fullgraph=True
    )
    with pytest.raises(Exception, match=r"no observe= under torch.compile"):
        program(torch.rand(5, 3))


def test_initial_weights_come_from_the_generator_that_is_given():
    graph = UnitGraph.complete(3, 8, 2)
    before = torch.get_rng_state()
    layer = SynchronousGraph(graph, generator=generator(3))
    other = SynchronousGraph(graph, generator=generator(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(layer.weight, other.weight)
    other.reset_parameters(generator(3))
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)
    torch.manual_seed(3)
    assert torch.equal(SynchronousGraph(graph).weight, layer.weight)


@pytest.mark.parametrize("replace", ["instance", "subclass"])
@pytest.mark.parametrize("method", ["forward", "states"])
def test_a_method_that_was_replaced_acts_once_under_autocast(method, replace):
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    plain = getattr(layer, method)
    if replace == "instance":
        setattr(layer, method, lambda x: plain(x) + 1)
    else:
        own = {method: lambda self, x: getattr(SynchronousGraph, method)(self, x) + 1}
        layer.__class__ = type("Mine", (SynchronousGraph,), own)
        plain = getattr(super(type(layer), layer), method)
    x = torch.ones(5, 3)
    expected = plain(x) + 1
    with torch.autocast("cpu"):
        torch.testing.assert_close(getattr(layer, method)(x), expected)


def test_bad_inputs_are_refused_under_autocast_too():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2))
    with torch.autocast("cpu"), pytest.raises(TypeError, match="Expected x to be a Tensor"):
        layer([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("backend", ["auto", "dense", "scatter"])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_forward_mode_and_functional_gradients_are_those_of_a_backward_pass(backend, checkpoint):
    layer = SynchronousGraph(
        UnitGraph.complete(3, 4, 2), Unrolled(5, checkpoint=checkpoint), "tanh", backend=backend
    ).double()
    x = normal(3)
    expected = torch.autograd.functional.jacobian(layer, x)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, normal(3, seed=1)))).tangent
    torch.testing.assert_close(tangent, expected @ normal(3, seed=1))
    torch.testing.assert_close(torch.func.jacrev(layer)(x), expected)
    torch.testing.assert_close(torch.func.jacfwd(layer)(x), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "layer",
    [
        SynchronousGraph(UnitGraph.complete(3, 4, 2), backend="sparse"),
        SynchronousGraph(UnitGraph.complete(3, 4, 2), CONTRACTING),
    ],
    ids=str,
)
def test_kernels_refuse_forward_mode_and_compiled_transformations(layer):
    x = torch.ones(5, 3)
    with (
        forward_ad.dual_level(),
        pytest.raises(RuntimeError, match="no forward-mode derivatives"),
    ):
        layer(forward_ad.make_dual(x, x))
    torch._dynamo.reset()
    with torch.no_grad(), pytest.raises(RuntimeError, match="Expected no transformation"):
        torch.compile(torch.vmap(layer), backend="eager")(x)


@pytest.mark.parametrize("backend", ["auto", "dense", "scatter"])
@pytest.mark.parametrize(
    "solver", [Unrolled(3), Equilibrium(), Equilibrium(contraction=0.9)], ids=str
)
def test_on_meta_there_are_the_shapes_of_outputs_and_gradients(solver, backend):
    graph = UnitGraph.complete(3, 4, 2)
    layer = SynchronousGraph(graph, solver, backend=backend, device="meta")
    x = torch.ones(5, 3, device="meta", requires_grad=True)
    layer(x).sum().backward()
    assert layer.states(x).shape == (5, 9)
    assert layer.solve(x).residual.shape == (5,)
    assert [t.grad.shape for t in (x, layer.weight, layer.bias)] == [(5, 3), (36,), (6,)]


def test_on_meta_an_equilibrium_refuses_what_it_refuses_elsewhere():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), Equilibrium(), device="meta")
    x = torch.ones(5, 3, device="meta", requires_grad=True)
    with pytest.raises(RuntimeError, match="Expected a first derivative"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="Expected no transformation"):
        torch.func.vmap(layer)(x)


def test_a_compiled_layer_refuses_second_derivatives():
    torch._dynamo.reset()
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), backend="sparse")
    x = torch.ones(5, 3, requires_grad=True)
    outputs = torch.compile(layer, backend="eager")(x)
    with pytest.raises(RuntimeError, match="Expected a first derivative"):
        torch.autograd.grad(outputs.sum(), x, create_graph=True)


@pytest.mark.parametrize("backend", ["dense", "block"])
def test_kernels_go_back_under_autocast_of_the_other_half_precision(backend):
    # Without self-loops the recurrent weights are no full matrix, into which they are copied.
    layer = SynchronousGraph(
        UnitGraph.yoked([3, 4, 2]), Unrolled(3), "tanh", backend=backend, dtype=torch.float16
    ).requires_grad_(False)
    x = normal(5, 3).half().requires_grad_()
    outputs = layer(x)
    expected = torch.autograd.grad(outputs.sum(), x, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(outputs.sum(), x)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("backend", ["auto", *backends])
def test_weights_changed_between_the_passes_are_noticed_as_those_of_a_linear_module(backend):
    for make in (
        lambda: torch.nn.Linear(2, 1),
        lambda: SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2)),
    ):
        layer = make()
        if isinstance(layer, SynchronousGraph):
            layer = cut(layer, torch.tensor([-1, -1, 0, 1, 0, 1, -1]))
            layer.backend = backend
        loss = layer(torch.rand(3, 2, requires_grad=True)).sum()
        with torch.no_grad():
            layer.weight.add_(1)
        with pytest.raises(RuntimeError, match=r"modified (by an )?inplace"):
            loss.backward()


@pytest.mark.parametrize("shape", [(2,), (3, 2), (0, 2), (4, 3, 2)])
def test_outputs_can_be_changed_in_place_as_they_are_no_views(shape):
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2))
    x = torch.rand(shape)
    assert not layer(x)._is_view()
    layer(x).add_(1).sum().backward()


@pytest.mark.parametrize("solver", [Unrolled(3), Equilibrium(contraction=0.9)])
@pytest.mark.parametrize("is_modular", [False, True])
def test_a_torch_that_cannot_trace_what_autocast_knows_compiles_it(monkeypatch, solver, is_modular):
    # As torch 2.11, which finds torch._C._is_autocast_available in its way.
    untraceable = torch.compiler.disable(torch.amp.is_autocast_available)
    monkeypatch.setattr(torch.amp, "is_autocast_available", untraceable)
    model = SynchronousGraph(UnitGraph.complete(3, 4, 2), solver, "tanh")
    if is_modular:
        model = ModularGraph(split(cut(model, torch.tensor([-1] * 3 + [0, 1] * 2 + [-1] * 2))))
    x = torch.rand(5, 3)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(compiled(x), model(x))


LABELS = torch.tensor([-1] * 3 + [0, 1] * 8 + [-1] * 2)


def modular(execution):
    return lambda layer, x: ModularGraph(split(cut(layer, LABELS)), execution=execution)(x)


CALLS = {
    "forward": lambda layer, x: layer(x),
    "states": lambda layer, x: layer.states(x),
    "solve": lambda layer, x: layer.solve(x).states,
    "step": lambda layer, x: layer.step(x.repeat(1, 7)),
    "scaled_weight": lambda layer, _: layer.scaled_weight(),
    "split": lambda layer, x: sum(part(x) for part in split(cut(layer, LABELS))),
    "in a loop": modular("loop"),
    "batched": modular("batched"),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("solver", [Unrolled(4), Equilibrium(tol=1e-6, contraction=0.5)])
@pytest.mark.parametrize("call", CALLS)
def test_numbers_under_autocast_are_those_of_double_precision(call, solver, dtype):
    graph = UnitGraph.complete(3, 16, 2)
    for backend in backends:
        layer = SynchronousGraph(graph, solver, "tanh", backend=backend)
        layer.reset_parameters(generator(0))
        with torch.no_grad():
            layer.weight.mul_(3)  # The contraction then scales.
        x = normal(5, 3).to(dtype)
        expected = CALLS[call](copy.deepcopy(layer).double(), x.double())
        with torch.autocast("cpu", dtype):
            found = CALLS[call](layer, x)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", [Unrolled(4), Equilibrium(tol=1e-6, contraction=0.5)])
def test_scaled_losses_of_half_precision_train_it_as_double_precision_does(solver):
    layer = SynchronousGraph(UnitGraph.complete(3, 16, 2), solver, "tanh")
    layer.reset_parameters(generator(0))
    double = copy.deepcopy(layer).double()
    x = normal(5, 3).half()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in (layer, double)]
    with torch.autocast("cpu", torch.float16):
        loss = layer(x).square().mean()
    scaler.scale(loss).backward()
    assert layer.weight.grad.dtype == torch.float32
    scaler.step(optimizers[0])
    double(x.double()).square().mean().backward()
    optimizers[1].step()
    torch.testing.assert_close(layer.weight.double(), double.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.weight.grad.double(), double.weight.grad, rtol=1e-4, atol=1e-6)
