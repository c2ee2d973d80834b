from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.func import jacfwd, jacrev, vmap

from pyg_modules import Equilibrium, Unrolled
from pyg_modules.ops import (
    ACTIVATIONS,
    BACKENDS,
    ConvolutionOperator,
    EdgeSet,
    Update,
    bind,
    spectral_norm,
)
from pyg_modules.ops.convolution_operator import TorusOperator
from pyg_modules.solve.recurrence import Recurrence
from tests.strategies import normal, seeds, unit_graphs

TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}


def kronecker(edges, weight, height, width):
    """The matrix of all units and pixels, ``[targets * P, sources * P]``: a Kronecker product."""
    size, pixels = weight.size(-1), height * width
    # What pixel sees what other one at every place of a kernel.
    sees = weight.new_zeros(size, size, pixels, pixels)
    for y, x, dy, dx in product(range(height), range(width), range(size), range(size)):
        row, column = y + dy - size // 2, x + dx - size // 2
        if 0 <= row < height and 0 <= column < width:
            sees[dy, dx, y * width + x, row * width + column] = 1
    units = weight.new_zeros(edges.num_targets, edges.num_sources, size, size)
    units = units.index_put((edges.target, edges.source), weight)
    cells = torch.einsum("tsyx,yxpq->tpsq", units, sees)
    return cells.reshape(edges.num_targets * pixels, edges.num_sources * pixels)


def modular_edges(num_modules, size, seed=0):
    """Interleaved sets of units without an edge between them, and not all edges within."""
    labels = torch.arange(num_modules * size) % num_modules
    everything = torch.cartesian_prod(torch.arange(len(labels)), torch.arange(len(labels))).T
    inside = labels[everything[0]] == labels[everything[1]]
    ring = (everything[0] + num_modules) % len(labels) == everything[1]
    kept = torch.rand(inside.size(0), generator=torch.Generator().manual_seed(seed)) < 0.7
    edge_index = everything[:, inside & (kept | ring)]
    return EdgeSet.between(edge_index, range(len(labels)), range(len(labels)))


def grouped(num_modules=2, size=8, kernel_size=3, image=(3, 4)):
    edges = modular_edges(num_modules, size)
    operator = ConvolutionOperator.build(edges, kernel_size, groups=True).on_images(*image)
    assert operator.num_rows == num_modules * 8 * image[0] * image[1]
    return edges, operator


images = st.tuples(st.integers(1, 4), st.integers(1, 4))
kernel_sizes = st.sampled_from([1, 3, 5])


@given(unit_graphs(), kernel_sizes, images, st.integers(0, 3), seeds)
def test_sums_equal_a_dense_matrix(graph, kernel_size, image, batch, seed):
    edges = EdgeSet.between(graph.edge_index, range(graph.num_units), graph.hidden)
    weight = normal(edges.num_edges, kernel_size, kernel_size, seed=seed)
    state = normal(edges.num_sources * image[0] * image[1], batch, seed=seed)
    operator = ConvolutionOperator.build(edges, kernel_size).on_images(*image)
    assert (operator.num_targets, operator.num_sources) == (
        edges.num_targets * image[0] * image[1],
        len(state),
    )
    matrix = kronecker(edges, weight, *image)
    torch.testing.assert_close(bind(operator, weight)(state), matrix @ state, **TOLERANCE)
    # The kernels, from states in whatever layout.
    out = operator.new_states(state, operator.num_rows, batch)
    operator.matmul(operator.prepare(weight), operator.enter(state), out)
    torch.testing.assert_close(operator.leave(out), matrix @ state, **TOLERANCE)
    grad = normal(operator.num_targets, batch, seed=seed + 1)
    out = operator.new_states(state, operator.num_columns, batch)
    values = operator.prepare_transposed(weight)
    operator.matmul_transposed(values, operator.enter(grad), out)
    torch.testing.assert_close(out, matrix.T @ grad, **TOLERANCE)


@given(unit_graphs(min_hidden=1), kernel_sizes, images, st.integers(0, 2), seeds)
def test_gradients_are_those_of_a_dense_matrix(graph, kernel_size, image, batch, seed):
    edges = EdgeSet.between(graph.edge_index, graph.hidden, graph.hidden)
    weight = normal(edges.num_edges, kernel_size, kernel_size, seed=seed).requires_grad_()
    rows = edges.num_targets * image[0] * image[1]
    state = normal(rows, batch, seed=seed).requires_grad_()
    grad = normal(rows, batch, seed=seed + 1)
    operator = ConvolutionOperator.build(edges, kernel_size).on_images(*image)
    results = []
    for sums in (
        bind(operator, weight)(state),
        kronecker(edges, weight, *image) @ state,
    ):
        found = torch.autograd.grad(sums, (weight, state), grad, materialize_grads=True)
        results.append((sums, *found))
    torch.testing.assert_close(*results, **TOLERANCE)
    gradient = operator.new_gradient(weight.detach())
    operator.accumulate(gradient, operator.enter(grad), operator.enter(state.detach()))
    torch.testing.assert_close(operator.edge_gradient(gradient), results[1][1], **TOLERANCE)


@pytest.mark.parametrize(("num_modules", "size"), [(2, 8), (4, 7)])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_groups_are_the_cells_within_modules(num_modules, size, kernel_size):
    edges, operator = grouped(num_modules, size, kernel_size)
    weight = normal(edges.num_edges, kernel_size, kernel_size)
    assert operator.prepare(weight).shape == (num_modules * 8, 8, kernel_size, kernel_size)
    state = normal(edges.num_sources * 12, 2)
    torch.testing.assert_close(operator.leave(operator.enter(state)), state, rtol=0, atol=0)
    matrix = kronecker(edges, weight, 3, 4)
    torch.testing.assert_close(bind(operator, weight)(state), matrix @ state, **TOLERANCE)


def test_groups_of_unequal_sets_are_padded_in_one_convolution():
    # 24 units in a ring, 23 in another, one alone with a loop: the last two fit beside each other.
    ring = [torch.stack([torch.arange(n), (torch.arange(n) + 1) % n]) for n in (24, 23, 1)]
    edge_index = torch.cat(
        [edges + start for edges, start in zip(ring, (0, 24, 47), strict=True)], 1
    )
    edges = EdgeSet.between(edge_index, range(48), range(48))
    operator = ConvolutionOperator.build(edges, 3, groups=True).on_images(2, 3)
    weight = normal(48, 3, 3).requires_grad_()
    assert operator.prepare(weight).shape == (48, 24, 3, 3)
    state, matrix = normal(288, 2), kronecker(edges, weight, 2, 3)
    torch.testing.assert_close(bind(operator, weight)(state), matrix @ state, **TOLERANCE)


@pytest.mark.parametrize(
    "edges",
    [
        EdgeSet.between(torch.tensor([[0, 1], [1, 0]]), range(16), range(16)),  # Tiny sets.
        EdgeSet.between(torch.cartesian_prod(*[torch.arange(16)] * 2).T, range(16), range(16)),
        EdgeSet.between(torch.zeros(2, 0, dtype=torch.long), range(16), range(16)),
        EdgeSet.between(torch.zeros(2, 0, dtype=torch.long), range(0), range(0)),
    ],
    ids=["tiny", "one", "no_edges", "no_units"],
)
def test_groups_that_do_not_pay_are_one_matrix(edges):
    operator = ConvolutionOperator.build(edges, 3, groups=True).on_images(2, 2)
    weight = normal(edges.num_edges, 3, 3)
    assert operator.prepare(weight).shape == (edges.num_targets, edges.num_sources, 3, 3)
    state = normal(edges.num_sources * 4, 1)
    expected = kronecker(edges, weight, 2, 2) @ state
    torch.testing.assert_close(bind(operator, weight)(state), expected, **TOLERANCE)


def problem(groups, activation, seed=0):
    """A recurrence, and the same one in dense matrices of units and pixels."""
    if groups:
        edges, operator = grouped(2, 8)
    else:
        edges = modular_edges(1, 4, seed)
        operator = ConvolutionOperator.build(edges, 3).on_images(3, 4)
    rows = edges.num_targets * 12
    # Some units without an activation, as outputs that feed back are.
    num_activated = rows if groups else rows - 12
    update = Update(operator, ACTIVATIONS[activation], num_activated)
    scale = 0.1 / edges.num_edges**0.5
    weight = (scale * normal(edges.num_edges, 3, 3, seed=seed)).requires_grad_()
    return edges, update, weight, normal(rows, 2, seed=seed + 1).requires_grad_()


def by_matrix(edges, update, weight, injected, steps):
    matrix, state = kronecker(edges, weight, 3, 4), torch.zeros_like(injected)
    for _ in range(steps):
        state = update.f(matrix @ state + injected)
    return state


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu", "identity"])
@pytest.mark.parametrize(
    "solver",
    [Unrolled(4), Unrolled(5, checkpoint=True), Unrolled(1), Equilibrium(tol=1e-13)],
    ids=["unrolled", "checkpoint", "one", "equilibrium"],
)
def test_solvers_find_the_states_and_gradients_of_a_dense_matrix(groups, activation, solver):
    edges, update, weight, injected = problem(groups, activation)
    states = solver.solve(Recurrence(update, weight, injected)).states
    steps = solver.num_updates or 60
    grad = normal(*states.shape, seed=5)
    found, expected = (
        (value, *torch.autograd.grad(value, (weight, injected), grad))
        for value in (states, by_matrix(edges, update, weight, injected, steps))
    )
    if solver.num_updates == 1:
        assert not found[1].any()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("groups", [False, True])
def test_an_equilibrium_accelerates_images_that_converge_slowly(groups):
    edges, update, weight, injected = problem(groups, "identity")
    operator = update.operator
    with torch.no_grad():
        weight *= 0.99 / spectral_norm(operator, weight)
        injected[:, 0] = 0  # A column that stops at once, and is left out.
    solver = Equilibrium(tol=1e-12, max_steps=400)
    solution = solver.solve(Recurrence(update, weight, injected))
    matrix = kronecker(edges, weight, 3, 4)
    expected = torch.linalg.solve(torch.eye(len(matrix), dtype=matrix.dtype) - matrix, injected)
    torch.testing.assert_close(solution.states, expected, rtol=1e-7, atol=1e-9)
    assert solution.steps[0] < solution.steps[1]


@pytest.mark.parametrize("groups", [False, True])
def test_the_spectral_norm_is_that_of_a_dense_matrix(groups):
    edges, update, weight, _ = problem(groups, "tanh")
    norm = spectral_norm(update.operator, weight)
    expected = torch.linalg.matrix_norm(kronecker(edges, weight, 3, 4), ord=2)
    torch.testing.assert_close(norm, expected, rtol=1e-3, atol=0)
    found = torch.autograd.grad(norm, weight)[0]
    # The gradient is u v^T on the kernels, so its product with the weights is the norm.
    torch.testing.assert_close((found * weight).sum(), norm, rtol=1e-10, atol=0)


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_the_norm_on_a_torus_is_that_of_the_symbol(groups, kernel_size):
    edges = modular_edges(2 if groups else 1, 8)
    operator = TorusOperator.build(edges, kernel_size, groups=groups)
    weight = normal(edges.num_edges, kernel_size, kernel_size).abs().requires_grad_()
    kernels = weight.new_zeros(edges.num_targets, edges.num_sources, kernel_size, kernel_size)
    kernels = kernels.index_put((edges.target, edges.source), weight)
    symbol = torch.fft.fft2(kernels, s=(16, 16)).permute(2, 3, 0, 1)
    found, expected = (
        (norm, torch.autograd.grad(norm, weight)[0])
        for norm in (
            spectral_norm(operator, weight),
            torch.linalg.matrix_norm(symbol, ord=2).max(),
        )
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", [Unrolled(3), Equilibrium(tol=1e-12)], ids=["T", "fixed"])
def test_gradients_are_those_of_finite_differences(solver):
    _, update, weight, injected = problem(False, "tanh")

    def solve(weight, injected):
        return solver.solve(Recurrence(update, weight, injected)).states

    assert gradcheck(solve, (weight, injected))


@pytest.mark.parametrize("groups", [False, True])
def test_transformations_look_into_it(groups):
    _, update, weight, injected = problem(groups, "tanh")
    weight, injected = weight.detach(), injected.detach()

    def states(injected, weight=weight):
        return Unrolled(3).solve(Recurrence(update, weight, injected)).states

    jacobian = jacrev(states)(injected)
    torch.testing.assert_close(jacfwd(states)(injected), jacobian, **TOLERANCE)
    several = torch.stack([weight, 2 * weight])
    mapped = vmap(lambda w: states(injected, w))(several)
    torch.testing.assert_close(mapped[1], states(injected, 2 * weight), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_compute(dtype):
    edges, update, weight, injected = problem(False, "tanh")
    expected = by_matrix(edges, update, weight, injected, 3)
    states = Unrolled(3).solve(Recurrence(update, weight.to(dtype), injected.to(dtype))).states
    assert states.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(states.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("solver", [Unrolled(3), Equilibrium(contraction=0.9)], ids=["T", "fixed"])
def test_shapes_are_known_on_meta(solver):
    _, update, weight, injected = problem(True, "tanh")
    update = update._replace(operator=update.operator.to(torch.device("meta")))
    recurrence = Recurrence(update, weight.to("meta"), injected.to("meta"))
    states = solver.solve(recurrence).states
    assert states.is_meta
    assert states.shape == injected.shape


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize(
    "solver", [Unrolled(3), Equilibrium(contraction=0.9)], ids=["unrolled", "equilibrium"]
)
def test_a_compiler_finds_the_same(groups, solver):
    _, update, weight, injected = problem(groups, "tanh")

    def solve(weight, injected):
        scaled = solver.scaled(update, weight)
        return solver.solve(Recurrence(update, scaled, injected)).states

    compiled = torch.compile(solve, backend="aot_eager", fullgraph=True)
    found, expected = (
        (states, *torch.autograd.grad(states.square().sum(), (weight, injected)))
        for states in (compiled(weight, injected), solve(weight, injected))
    )
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_second_derivatives_are_refused_with_what_to_do():
    _, update, weight, injected = problem(False, "tanh")
    states = Unrolled(3).solve(Recurrence(update, weight, injected)).states
    with pytest.raises(RuntimeError, match=r"operator 'convolution' .* Use torch.func"):
        torch.autograd.grad(states.sum(), weight, create_graph=True)


def test_it_is_no_backend_that_layers_of_vectors_choose():
    assert "convolution" not in BACKENDS
