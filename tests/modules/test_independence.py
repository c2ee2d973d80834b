import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut
from pyg_modules.modules import check_independence

LABELS = torch.tensor([-1, -1, 0, 1, 0, 1, -1])


def complete_layer():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), activation="tanh")
    layer.reset_parameters(torch.Generator().manual_seed(0))
    return layer


def with_edge(layer, source, target, weight):
    """The same layer with one more edge, and the labels of the cut."""
    graph = layer.graph
    edge_index = torch.cat([graph.edge_index, torch.tensor([[source], [target]])], dim=1)
    other = SynchronousGraph(UnitGraph(edge_index, 7, 2, 1), layer.solver, layer.activation)
    with torch.no_grad():
        other.weight.copy_(torch.cat([layer.weight, torch.tensor([weight])]))
        other.bias.copy_(layer.bias)
    other.labels = layer.labels
    return other


def test_a_cut_layer_is_independent():
    evidence = check_independence(cut(complete_layer(), LABELS), torch.rand(3, 2))
    assert evidence.paths == 0
    assert evidence.max_cross_jacobian == 0
    assert evidence.max_split_difference <= 1e-6


def test_one_edge_between_modules_is_found_in_every_proof():
    leaking = with_edge(cut(complete_layer(), LABELS), source=2, target=3, weight=0.5)
    with pytest.raises(RuntimeError, match=r"got 1 pairs of .*, 0\.\d*[1-9]\d*\).*cut\(layer"):
        check_independence(leaking, torch.rand(3, 2))


def test_an_edge_of_weight_zero_is_still_a_path():
    leaking = with_edge(cut(complete_layer(), LABELS), source=2, target=3, weight=0.0)
    with pytest.raises(RuntimeError, match=r"got 1 pairs of .*, 0\)"):
        check_independence(leaking, torch.rand(3, 2))


def test_feedback_from_a_shared_output_is_a_path_from_every_other_module():
    leaking = with_edge(cut(complete_layer(), LABELS), source=6, target=3, weight=0.5)
    with pytest.raises(RuntimeError, match=r"got 1 pairs of .*, 0\.\d*[1-9]\d*\)"):
        check_independence(leaking, torch.rand(3, 2))


def test_inputs_and_outputs_of_their_own_are_partitioned_too():
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 2), activation="tanh")
    modular = cut(layer, torch.tensor([0, 1, 0, 1, 0, 1, 1, 0]))
    evidence = check_independence(modular, torch.rand(3, 2))
    assert (evidence.paths, evidence.max_cross_jacobian) == (0, 0)


def test_no_samples_prove_nothing():
    for x in (torch.rand(0, 2), torch.rand(2)):
        with pytest.raises(ValueError, match=r"\[B, 2\] with B >= 1"):
            check_independence(cut(complete_layer(), LABELS), x)


def test_no_updates_prove_nothing():
    with pytest.raises(ValueError, match=r"steps >= 1 \(got 0\)"):
        check_independence(cut(complete_layer(), LABELS), torch.rand(3, 2), steps=0)


def test_an_uncut_layer_is_refused():
    with pytest.raises(ValueError, match="made by cut"):
        check_independence(complete_layer(), torch.rand(1, 2))


def test_parts_that_do_not_add_up_are_an_error():
    with pytest.raises(RuntimeError, match=r"add up.*within -1.*got a difference of"):
        check_independence(cut(complete_layer(), LABELS), torch.rand(3, 2), tolerance=-1)


def test_it_is_proved_where_gradients_are_off_too():
    layer, x = cut(complete_layer(), LABELS), torch.rand(3, 2)
    expected = check_independence(layer, x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert check_independence(layer, x) == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parts_in_half_precision_add_up_to_its_rounding(dtype):
    layer = SynchronousGraph(UnitGraph.complete(2, 40, 3), Unrolled(2))
    labels = torch.tensor([-1] * 2 + [0, 1] * 20 + [-1] * 3)
    proof = check_independence(cut(layer, labels).to(dtype), torch.rand(50, 2, dtype=dtype))
    assert 1e-5 < proof.max_split_difference <= 10 * torch.finfo(dtype).eps
