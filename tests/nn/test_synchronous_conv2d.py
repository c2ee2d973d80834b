import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.export import Dim
from torch.func import functional_call, jacrev, vmap

from pyg_modules import Equilibrium, SynchronousConv2d, SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.ops import ACTIVATIONS, spectral_norm
from tests.strategies import generator, normal, seeds, smooth_activations, unit_graphs

COMPLETE = UnitGraph.complete(2, 5, 3)
#: An input, three hidden units, two outputs; all edges into the last five, from all.
FEEDBACK = UnitGraph(torch.cartesian_prod(torch.arange(6), torch.arange(1, 6)).T, 6, 1, 2)
TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}
SOLVERS = [Unrolled(3), Equilibrium(tol=1e-12, contraction=0.8)]
both_solvers = pytest.mark.parametrize("solver", SOLVERS, ids=["unrolled", "equilibrium"])


def double(graph=COMPLETE, kernel_size=3, solver=None, activation="tanh", seed=0, **kwargs):
    return SynchronousConv2d(
        graph,
        kernel_size,
        solver or Unrolled(3),
        activation,
        dtype=torch.float64,
        generator=generator(seed),
        **kwargs,
    )


def by_definition(layer, x, steps):
    """The outputs after so many updates of all units, pixel by pixel in loops over the edges."""
    graph, size = layer.graph, layer.kernel_size
    function, weight = ACTIVATIONS[layer.activation].function, layer.scaled_weight()
    batch, _, height, width = x.shape
    reach = size // 2
    states = x.new_zeros(graph.num_units, batch, height, width)
    states = states.index_put((torch.arange(graph.num_inputs),), x.transpose(0, 1))
    for time in range(steps + 1):
        padded = nn.functional.pad(states, [reach] * 4)
        following = [states[unit] for unit in graph.inputs]
        for unit in range(graph.num_inputs, graph.num_units):
            total = x.new_zeros(batch, height, width)
            for kernel, (source, target) in zip(weight, graph.edge_index.T.tolist(), strict=True):
                if target != unit:
                    continue
                for dy in range(size):
                    for dx in range(size):
                        seen = padded[source, :, dy : dy + height, dx : dx + width]
                        total = total + kernel[dy, dx] * seen
            if layer.bias is not None:
                total = total + layer.bias[unit - graph.num_inputs]
            following.append(function(total) if unit in graph.hidden else total)
        if time == steps:
            break
        states = torch.stack(following)
    return torch.stack(following[graph.outputs.start :], dim=1)


@given(
    unit_graphs(min_inputs=1, min_outputs=1),
    st.sampled_from([1, 3, 5]),
    st.sampled_from(smooth_activations),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([0, 1, 2]),
    seeds,
)
def test_it_computes_its_definition(graph, kernel_size, activation, image, batch, seed):
    layer = double(graph, kernel_size, Unrolled(2), activation, seed)
    x = normal(batch, graph.num_inputs, *image, seed=seed)
    expected = by_definition(layer, x, 2)
    torch.testing.assert_close(layer(x), expected, **TOLERANCE)
    states = normal(batch, graph.num_units, *image, seed=seed)
    states[:, : graph.num_inputs] = x
    states[:, graph.num_inputs :] = 0
    for _ in range(2):
        states = layer.step(states)
    torch.testing.assert_close(layer.step(states)[:, graph.outputs.start :], expected, **TOLERANCE)


@both_solvers
@pytest.mark.parametrize("graph", [COMPLETE, FEEDBACK], ids=["complete", "feedback"])
def test_gradients_are_those_of_the_definition(solver, graph):
    layer = double(graph, solver=solver)
    x = normal(2, graph.num_inputs, 3, 4).requires_grad_()
    steps = solver.num_updates or 60
    trained = (x, layer.weight, layer.bias)
    found, expected = (
        (outputs, *torch.autograd.grad(outputs.square().sum(), trained))
        for outputs in (layer(x), by_definition(layer, x, steps))
    )
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


def test_gradients_are_those_of_finite_differences():
    layer = double(UnitGraph.complete(1, 2, 1))

    def outputs(x, weight, bias):
        return functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert gradcheck(outputs, (normal(1, 1, 2, 3).requires_grad_(), layer.weight, layer.bias))


@both_solvers
def test_one_image_and_channels_last_give_the_same(solver):
    layer, x = double(solver=solver), normal(3, 2, 4, 5)
    expected = layer(x)
    torch.testing.assert_close(layer(x[1]), expected[1], **TOLERANCE)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(last), expected, **TOLERANCE)
    assert layer(x).is_contiguous()
    for images in (layer(last), layer.states(last), layer.step(layer.states(last))):
        assert images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x.flip(0)[:, :, :, ::2]), layer(x.flip(0)[..., ::2].clone()))


@both_solvers
def test_states_and_solutions_have_the_shape_of_images(solver):
    layer, x = double(solver=solver), normal(3, 2, 4, 5)
    states = layer.states(x)
    assert states.shape == (3, 10, 4, 5)
    assert torch.equal(states[:, :2], x)
    torch.testing.assert_close(states[:, -3:], layer(x), rtol=0, atol=0)
    torch.testing.assert_close(layer.states(x[0]), states[0], **TOLERANCE)
    solution = layer.solve(x)
    assert torch.equal(solution.states, states)
    assert solution.residual.shape == (3,)
    assert layer.solve(x[0]).residual.shape == ()
    following = layer.step(states)[:, 2:7]
    norms = [(part - states[:, 2:7]).flatten(1).norm(dim=1) for part in (following, 0)]
    torch.testing.assert_close(solution.residual, norms[0] / norms[1], rtol=1e-4, atol=1e-12)


def test_residuals_of_every_update_are_told():
    layer, seen = double(solver=Equilibrium(tol=1e-8, contraction=0.5)), []
    solution = layer.solve(normal(3, 2, 4, 5), observe=seen.append)
    assert bool(solution.converged.all())
    assert [residual.shape for residual in seen] == [(3,)] * int(solution.steps.max())


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": ["tanh", "relu", "relu", "gelu", "tanh"]},
        {"activation": "prelu"},
        {"update_rate": 0.5},
        {"learn_update_rate": True, "update_rate": 0.7},
    ],
    ids=str,
)
@both_solvers
def test_what_units_make_of_their_sums_holds_at_all_pixels(settings, solver):
    layer = double(solver=solver, **settings)
    with torch.no_grad():  # A parameter of its own for every unit.
        for parameter in layer.dynamics.parameters():
            parameter.mul_(torch.linspace(0.5, 1, 5, dtype=torch.float64))
    x = normal(2, 2, 3, 4)
    states = torch.cat([x, x.new_zeros(2, 8, 3, 4)], dim=1)
    for _ in range(solver.num_updates or 200):
        states = layer.step(states)
    torch.testing.assert_close(layer(x), layer.step(states)[:, -3:], rtol=1e-7, atol=1e-8)
    # An image with the kernels of a single pixel is a sample of a SynchronousGraph.
    flat = double(kernel_size=1, solver=Unrolled(3), **settings)
    graph = SynchronousGraph(
        COMPLETE, Unrolled(3), dtype=torch.float64, **{"activation": "tanh", **settings}
    )
    graph.load_state_dict(
        {
            name: value.flatten() if name == "weight" else value
            for name, value in flat.state_dict().items()
        }
    )
    expected = graph(x.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(flat(x), expected, **TOLERANCE)


def test_dropout_removes_units_from_all_pixels():
    layer = double(dropout=0.5, solver=Unrolled(2))
    states = layer.train().states(normal(40, 2, 3, 4))[:, 2:7]
    is_off = states.flatten(2).abs().amax(dim=2) == 0
    assert 60 < int(is_off.sum()) < 140
    assert bool(((states == 0).flatten(2).all(dim=2) == is_off).all())
    x = normal(2, 2, 3, 4)
    assert torch.equal(layer.eval()(x), layer(x))


def test_without_biases_nothing_comes_of_nothing():
    layer = double(bias=False)
    assert layer.bias is None
    assert not layer(torch.zeros(2, 2, 3, 4, dtype=torch.float64)).any()
    torch.testing.assert_close(
        layer(normal(2, 2, 3, 4)), by_definition(layer, normal(2, 2, 3, 4), 3), **TOLERANCE
    )
    assert sum(parameter.numel() for parameter in layer.parameters()) == 9 * COMPLETE.num_edges


def test_weights_begin_as_those_of_a_convolution():
    layer = SynchronousConv2d(UnitGraph.layered([4, 30, 2]), 5)
    bound = (4 * 25) ** -0.5
    hidden = layer.weight[: 4 * 30].detach()
    assert bound * 0.99 < float(hidden.abs().max()) <= bound
    assert float(layer.bias[:30].detach().abs().max()) <= bound


# The contraction ############################################################################


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_contraction_holds_on_images_of_any_size(kernel_size):
    layer = double(kernel_size=kernel_size, solver=Equilibrium(contraction=0.9), activation="tanh")
    with torch.no_grad():
        layer.weight.abs_()  # Whose norm grows with the size of the image.
        layer.weight *= 10
    weight = layer.weights_by_edge_set()[1].detach()
    for length in (1, 4, 20):
        operator = layer._convolutions().at(length, length).recurrence
        norm = float(spectral_norm(operator, weight))
        assert norm <= 0.9 * (1 + 1e-12)
    assert norm > 0.8
    # A small one is left as it is.
    with torch.no_grad():
        layer.weight *= 1e-3
    assert torch.equal(layer.scaled_weight(), layer.weight)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_norm_is_bounded_between_the_points_at_which_it_is_read(kernel_size):
    graph, degree = UnitGraph.complete(1, 2, 1), kernel_size // 2
    layer = double(graph, kernel_size, Equilibrium(contraction=0.97))
    # Rotations: the symbol is largest right between the points, by as much as that can be.
    rotation = torch.linalg.matrix_exp(
        torch.tensor([[0, -1], [1, 0]], dtype=torch.float64) * torch.pi / 16
    )
    turns = [torch.linalg.matrix_power(rotation, turn) for turn in (-2, 0, 0, 2)]
    kernels = torch.zeros(2, 2, kernel_size, kernel_size, dtype=torch.float64)
    for corner, (row, column) in zip(turns, ((0, 0), (0, -1), (-1, 0), (-1, -1)), strict=True):
        kernels[:, :, row, column] = 5 * corner
    edges = layer._wiring().edge_sets["recurrence"]
    with torch.no_grad():
        layer.weight[layer._wiring().recurrent_edges] = kernels[edges.target, edges.source]
    kernels[edges.target, edges.source] = layer.weights_by_edge_set()[1].detach()
    symbol = torch.fft.fft2(kernels, s=(32 * max(1, degree),) * 2).permute(2, 3, 0, 1)
    largest = torch.linalg.matrix_norm(symbol, ord=2).max()
    torch.testing.assert_close(largest, largest.new_tensor(0.97), rtol=1e-12, atol=0)


# As any layer of torch #######################################################################


@both_solvers
def test_it_is_compiled_as_a_whole(solver):
    layer, x = double(solver=solver), normal(3, 2, 4, 5)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    found, expected = (
        (outputs, *torch.autograd.grad(outputs.square().sum(), layer.parameters()))
        for outputs in (compiled(x), layer(x))
    )
    torch.testing.assert_close(found, expected, **TOLERANCE)


@both_solvers
@pytest.mark.parametrize("graph", [COMPLETE, FEEDBACK], ids=["complete", "feedback"])
def test_it_is_exported_for_any_batch_and_any_image(graph, solver):
    layer = double(graph, solver=solver)
    inputs = graph.num_inputs
    sizes = {0: Dim("batch"), 2: Dim("height", min=2), 3: Dim("width", min=2)}
    program = torch.export.export(layer, (normal(3, inputs, 4, 5),), dynamic_shapes={"x": sizes})
    x = normal(7, inputs, 9, 6)
    torch.testing.assert_close(program.module()(x), layer(x), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@both_solvers
def test_under_autocast_it_computes_in_its_own_dtype(dtype, solver):
    layer = SynchronousConv2d(COMPLETE, 3, solver if solver.num_updates else Equilibrium())
    x = torch.randn(3, 2, 4, 5)
    with torch.autocast("cpu", dtype=dtype):
        outputs = layer(x.to(dtype))
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(x.to(dtype).float()))


def test_copies_compute_the_same():
    layer, x = double(), normal(3, 2, 4, 5)
    expected = layer(x)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), expected)
    other = double(seed=1)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), expected)
    single = copy.deepcopy(layer).float()
    torch.testing.assert_close(single(x.float()).double(), expected, rtol=1e-5, atol=1e-5)
    assert layer.to("meta")(x.to("meta")).shape == expected.shape


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_transformations_look_into_it():
    layer, x = double(), normal(3, 2, 2, 3)
    torch.testing.assert_close(vmap(layer)(x), layer(x), **TOLERANCE)
    assert jacrev(layer)(x[0]).shape == (3, 2, 3, 2, 2, 3)
    traced = torch.jit.trace(layer, x)
    torch.testing.assert_close(traced(x), layer(x), **TOLERANCE)


def test_a_model_around_it_is_traced_symbolically():
    model = nn.Sequential(double(), nn.Flatten())
    x = normal(3, 2, 2, 3)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x), **TOLERANCE)


def test_its_representation_says_how_it_is_made():
    layer = SynchronousConv2d(COMPLETE, 5, Unrolled(2), "tanh", bias=False)
    assert repr(layer) == (
        "SynchronousConv2d(UnitGraph(num_inputs=2, num_hidden=5, num_outputs=3, num_edges=64),"
        " Unrolled(steps=2, checkpoint=False), kernel_size=5, activation='tanh', bias=False)"
    ).replace("64", str(COMPLETE.num_edges))


# Bad input ###################################################################################


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(4, 3, 5, 5), ValueError, r"\[B, 2, H, W\] or \[2, H, W\].*kernel_size=1"),
        (torch.rand(3, 5, 5), ValueError, r"got \[3, 5, 5\]"),
        (torch.rand(4, 5, 6, 2), ValueError, r"x.movedim\(-1, -3\)"),
        (torch.rand(4, 50), ValueError, r"x.unflatten\(1, \(2, height, width\)\)"),
        (torch.rand(4, 5), ValueError, "height and width"),
        (torch.rand(1, 4, 2, 5, 5), ValueError, r"got \[1, 4, 2, 5, 5\]"),
        (torch.rand(4, 2, 0, 5), ValueError, "a pixel at least"),
        (torch.rand(4, 2, 5, 5).double(), TypeError, r"x.to\(torch.float32\)"),
        (torch.zeros(4, 2, 5, 5, dtype=torch.uint8), TypeError, "torch.uint8"),
        (torch.rand(4, 2, 5, 5, device="meta"), ValueError, "on device cpu"),
        ([[0.0]], TypeError, "got list"),
        (torch.rand(4, 2, 5, 5).to_sparse(), TypeError, "to_dense"),
    ],
)
def test_other_input_is_refused_with_what_to_do(x, error, message):
    with pytest.raises(error, match=message):
        SynchronousConv2d(COMPLETE)(x)


def test_images_without_channels_are_told_from_those_of_one():
    layer = SynchronousConv2d(UnitGraph.complete(1, 3, 1))
    with pytest.raises(ValueError, match=r"Use x.unsqueeze\(1\)"):
        layer(torch.rand(8, 5, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kernel_size": 4}, ValueError, "odd kernel_size .* Use 5"),
        ({"kernel_size": 0}, ValueError, "kernel_size >= 1"),
        ({"kernel_size": 3.0}, TypeError, "kernel_size to be an int"),
        ({"kernel_size": (3, 5)}, ValueError, "as wide as high"),
        ({"kernel_size": Unrolled(3)}, TypeError, "kernel_size to be an int"),
        ({"bias": 1}, TypeError, "bias to be a bool"),
        ({"solver": 3}, TypeError, "solver to be a Solver"),
    ],
    ids=str,
)
def test_other_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        SynchronousConv2d(COMPLETE, **arguments)
    assert SynchronousConv2d(COMPLETE, (3, 3)).kernel_size == 3


def test_edges_of_the_data_are_refused():
    with pytest.raises(TypeError, match="pixels have no others"):
        SynchronousConv2d(COMPLETE)(torch.rand(1, 2, 3, 3), torch.zeros(2, 0))


@pytest.mark.parametrize(
    "graph",
    [
        UnitGraph(torch.zeros(2, 0, dtype=torch.long), 6, 2, 1),
        UnitGraph(torch.tensor([[0], [2]]), 3, 2, 1),
        UnitGraph(torch.tensor([[2, 3], [3, 4]]), 5, 2, 1),
    ],
    ids=["no edges", "no hidden", "inputs without edges"],
)
@both_solvers
def test_units_without_edges_have_their_biases(graph, solver):
    layer, x = double(graph, solver=solver), normal(2, 2, 3, 4)
    expected = by_definition(layer, x, 5)
    torch.testing.assert_close(layer(x), expected, **TOLERANCE)
    layer(x).sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


@pytest.mark.parametrize(
    "shortage", [torch.OutOfMemoryError("CUDA"), RuntimeError("you can't allocate memory")]
)
def test_what_does_not_fit_says_how_much_is_needed(shortage, monkeypatch):
    def solve(*_):
        raise shortage

    monkeypatch.setattr(Unrolled, "solve", solve)
    # 5 hidden units, 2 * 4 * 4 pixels, 8 bytes each.
    with pytest.raises(
        torch.OutOfMemoryError, match=r"5 units on images \[2, 2, 4, 4\].* 1.19e-06"
    ):
        double()(normal(2, 2, 4, 4))


def test_other_errors_are_left_as_they_are(monkeypatch):
    def solve(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(Unrolled, "solve", solve)
    with pytest.raises(RuntimeError, match=r"^something else$"):
        double()(normal(2, 2, 4, 4))
