import pytest
import torch

from pyg_modules.ops import check_backend, resolve_backend

CPU = torch.device("cpu")


def test_auto_is_sparse_where_torch_has_the_kernels():
    assert resolve_backend("auto", CPU, torch.float32) == "sparse"
    assert resolve_backend("auto", torch.device("cuda"), torch.float64) == "sparse"
    assert resolve_backend("auto", CPU, torch.bfloat16) == "scatter"
    assert resolve_backend("auto", torch.device("meta"), torch.float32) == "scatter"


def test_a_named_backend_is_taken_at_its_word():
    assert resolve_backend("scatter", CPU, torch.float32) == "scatter"


def test_sparse_without_kernels_is_refused():
    with pytest.raises(ValueError, match=r"float32 or float64.*got torch.bfloat16 on cpu.*'auto'"):
        resolve_backend("sparse", CPU, torch.bfloat16)


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match=r"'auto', 'scatter', 'sparse' \(got 'fast'\)"):
        check_backend("fast")
