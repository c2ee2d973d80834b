import pytest
import torch

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.ops import BACKENDS, EdgeSet, TritonOperator, choose, dispatch
from pyg_modules.ops.sparse import SparseOperator
from tests.strategies import generator

CUDA = torch.device("cuda")


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def random_edges(num_units, density):
    chosen = torch.rand(num_units, num_units, generator=generator(0)) < density
    target, source = chosen.nonzero().T
    return EdgeSet.between(torch.stack([source, target]), *2 * [range(num_units)])


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(
    ("density", "batch", "chosen"),
    [(1.0, 128, "dense"), (0.5, 1024, "dense"), (0.001, 1, "scatter")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_auto_times_nothing_and_takes_no_backend_that_may_differ(
    density, batch, chosen, dtype, monkeypatch
):
    monkeypatch.setattr(dispatch, "measure", None)
    monkeypatch.setattr(TritonOperator, "missing", classmethod(lambda _: "triton"))
    choice = choose(random_edges(200, density), batch, CUDA, dtype)
    assert choice.backend == chosen
    assert choice.seconds == {}


@pytest.mark.usefixtures("deterministic")
def test_auto_still_batches_the_modules_of_a_cut_layer(monkeypatch):
    monkeypatch.setattr(dispatch, "measure", None)
    monkeypatch.setattr(TritonOperator, "missing", classmethod(lambda _: "triton"))
    blocks = torch.block_diag(*4 * [torch.ones(50, 50)]).nonzero().T
    edges = EdgeSet.between(blocks, *2 * [range(200)])
    assert choose(edges, 128, CUDA, torch.float32, can_permute=True).backend == "block"
    assert choose(edges, 128, CUDA, torch.float32).backend == "dense"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_choice_for_a_cpu_is_the_same(dtype):
    edges, cpu = random_edges(300, 0.02), torch.device("cpu")
    usual = choose(edges, 128, cpu, dtype)
    torch.use_deterministic_algorithms(True)
    try:
        assert choose(edges, 128, cpu, dtype) == usual
    finally:
        torch.use_deterministic_algorithms(False)


def layer_and_x(solver, backend="sparse", device="cpu"):
    graph = UnitGraph.erdos_renyi(4, 60, 2, 0.2, generator=generator(0))
    layer = SynchronousGraph(graph, solver, "tanh", backend=backend, generator=generator(1))
    return layer.to(device), torch.randn(64, 4, generator=generator(2)).to(device)


SOLVERS = pytest.mark.parametrize(
    "solver", [Unrolled(4), Unrolled(4, checkpoint=True), Equilibrium(contraction=0.9)]
)


@pytest.mark.usefixtures("deterministic")
@SOLVERS
def test_a_backend_that_may_differ_raises_as_torch_does(solver, monkeypatch):
    layer, x = layer_and_x(solver)
    outputs = layer(x)  # On the CPU it does not.
    monkeypatch.setattr(SparseOperator, "nondeterministic_devices", ("cpu",))
    message = "The backend 'sparse' on cpu does not have a deterministic.*Use backend='auto'"
    with pytest.raises(RuntimeError, match=message):
        layer(x)
    with pytest.raises(RuntimeError, match=message):
        outputs.sum().backward()
    torch.use_deterministic_algorithms(True, warn_only=True)
    with pytest.warns(UserWarning, match=message):
        repeated = layer(x)
    assert torch.equal(repeated, outputs)


@pytest.mark.usefixtures("deterministic")
def test_every_kernel_of_it_raises(monkeypatch):
    edges = random_edges(20, 0.3)
    operator = SparseOperator.build(edges)
    weight, state = torch.ones(edges.num_edges), torch.ones(20, 3)
    values, out = operator.prepare(weight), torch.empty(20, 3)
    monkeypatch.setattr(SparseOperator, "nondeterministic_devices", ("cpu",))
    for run in (
        lambda: operator.matmul(values, state, out),
        lambda: operator.matmul_transposed(operator.prepare_transposed(weight), state, out),
        lambda: operator.accumulate(operator.new_gradient(weight), state, state),
    ):
        with pytest.raises(RuntimeError, match="deterministic"):
            run()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.usefixtures("deterministic")
@SOLVERS
def test_cuda_gives_the_same_bits_or_an_error(solver, backend, monkeypatch):
    if backend == "numba":
        pytest.skip("is for the CPU")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    whole, x = layer_and_x(solver, backend, "cuda")
    labels = torch.tensor([-1] * 4 + [0, 1, 2] * 20 + [-1] * 2)
    for layer in (whole, cut(whole, labels)):
        if backend == "sparse":
            with pytest.raises(RuntimeError, match="The backend 'sparse' on cuda"):
                layer(x)
            continue
        runs = []
        for _ in range(20):
            layer.zero_grad()
            outputs = layer(x)
            outputs.square().sum().backward()
            runs.append(torch.cat([outputs.detach().flatten(), layer.weight.grad, layer.bias.grad]))
        assert all(torch.equal(run, runs[0]) for run in runs)
