"""Where kernels in Triton are tested: interpreted on the CPU, or on a CUDA device if there."""

import pytest
import torch

pytest.importorskip("triton")

HAS_CUDA = torch.cuda.is_available()
needs_cuda = [pytest.mark.gpu, pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")]
interpreted = pytest.mark.skipif(HAS_CUDA, reason="is not interpreted where there is a CUDA device")


@pytest.fixture(
    scope="session",
    params=[pytest.param("cpu", marks=interpreted), pytest.param("cuda", marks=needs_cuda)],
)
def device(request):
    return torch.device(request.param)
