import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph
from pyg_modules.ops import EdgeSet, TritonOperator, check_available, choose
from pyg_modules.ops.triton import support

CUDA = torch.device("cuda")


@pytest.fixture
def compiled(monkeypatch):
    """Triton is installed, and kernels are compiled."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(TritonOperator, "missing", classmethod(lambda _: None))


def a_device_of(monkeypatch, *capability):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)


@pytest.mark.parametrize("backend", ["triton", "triton_block"])
def test_without_triton_it_is_said_how_to_install_it(backend, monkeypatch):
    monkeypatch.setattr(support, "missing", lambda: "triton")
    with pytest.raises(ImportError, match=r"pip install 'pyg-modules\[triton\]'.*backend='auto'"):
        SynchronousGraph(UnitGraph.complete(3, 4, 2), backend=backend)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("backend", ["triton", "triton_block"])
def test_on_the_cpu_it_is_refused(backend):
    message = (
        rf"float32, bfloat16, float16 on cuda for backend '{backend}' \(got a device of type cpu\)"
    )
    with pytest.raises(ValueError, match=message):
        SynchronousGraph(UnitGraph.complete(3, 4, 2), backend=backend)


@pytest.mark.usefixtures("compiled")
def test_devices_that_cannot_run_it_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"got no CUDA device on this machine.*Use backend='auto'"):
        check_available("triton", CUDA, torch.float32)
    a_device_of(monkeypatch, 7, 5)
    with pytest.raises(ValueError, match=r"compute capability 7\.5, below 8\.0"):
        check_available("triton_block", CUDA, torch.bfloat16)
    a_device_of(monkeypatch, 8, 0)
    check_available("triton", CUDA, torch.float16)
    with pytest.raises(ValueError, match=r"got torch.float64 on cuda"):
        check_available("triton", CUDA, torch.float64)


def test_interpreted_it_is_for_the_cpu(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert support.obstacle(torch.device("cpu")) is None
    assert support.obstacle(CUDA) == "TRITON_INTERPRET=1, which is for the CPU"


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("capability", "chosen", "refused"),
    [((9, 0), "triton", set()), ((7, 0), "scatter", {"triton"})],
)
def test_auto_on_cuda_takes_it_where_it_can(capability, chosen, refused, monkeypatch):
    a_device_of(monkeypatch, *capability)
    edges = EdgeSet.between(torch.tensor([[0], [1]]), range(20), range(20))
    torch.use_deterministic_algorithms(True)  # Where none is timed.
    try:
        choice = choose(edges, 4, CUDA, torch.float32)
    finally:
        torch.use_deterministic_algorithms(False)
    assert (choice.backend, set(choice.refused)) == (chosen, refused)
