import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_modules.partition import balance_loss, cost_balance_loss, ncut_loss, sharpness_loss
from tests.references import dense_cost_balance, dense_ncut
from tests.strategies import generator, normal, seeds, unit_graphs


def soft(num_units, num_modules, seed):
    logits = torch.randn(num_units, num_modules, dtype=torch.float64, generator=generator(seed))
    return (3 * logits).softmax(dim=-1)


@given(unit_graphs(min_hidden=1), st.integers(1, 5), st.sampled_from(["abs", "square"]), seeds)
def test_ncut_equals_a_dense_reference(graph, num_modules, affinity, seed):
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=generator(seed))
    assignment = soft(graph.num_units, num_modules, seed)
    loss = ncut_loss(graph.edge_index, weight, assignment, affinity=affinity)
    expected = dense_ncut(graph.edge_index, weight, assignment, affinity)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
    assert -1e-12 <= loss <= 1 + 1e-12


@pytest.mark.parametrize("num_left_out", [0, 1])
def test_all_edges_there_can_be_may_be_listed_in_any_order(num_left_out):
    order = torch.randperm(36, generator=generator(0))[num_left_out:]
    edge_index = torch.stack([order % 6, order // 6])
    weight, assignment = normal(len(order), seed=1), soft(6, 3, seed=2)
    loss = ncut_loss(edge_index, weight, assignment)
    torch.testing.assert_close(loss, dense_ncut(edge_index, weight, assignment, "abs"))


# Directed and asymmetric: 0 -> 1 with 2, 1 -> 0 with -4, 1 -> 2 with 1, self-loop at 2 with -3.
EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 2]])
WEIGHT = torch.tensor([2.0, -4.0, 1.0, -3.0], dtype=torch.float64)


def test_ncut_by_hand_at_a_hard_assignment():
    # A = [[0, 3, 0], [3, 0, .5], [0, .5, 3]]: volumes of {0, 1} and {2}: 6.5 and 3.5; inside: 6, 3.
    assignment = torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.float64)
    expected = ((1 - 6 / 6.5) + (1 - 3 / 3.5)) / 2
    assert ncut_loss(EDGES, WEIGHT, assignment).item() == pytest.approx(expected, abs=1e-15)


def test_ncut_by_hand_at_a_soft_assignment():
    # S_1 = (1/2, 1/2, 0): S A S = 3/2, S A 1 = 1/2 (3 + 3.5); S_2 = (1/2, 1/2, 1):
    # S A S = 3/2 + 2 * 1/4 + 3 = 5, S A 1 = 3.25 + 3.5 = 6.75.
    assignment = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0, 1]], dtype=torch.float64)
    expected = ((1 - 1.5 / 3.25) + (1 - 5 / 6.75)) / 2
    assert ncut_loss(EDGES, WEIGHT, assignment).item() == pytest.approx(expected, abs=1e-15)


def test_ncut_does_not_depend_on_the_scale_or_the_signs_of_the_weights():
    assignment = soft(3, 2, seed=0)
    loss = ncut_loss(EDGES, WEIGHT, assignment)
    torch.testing.assert_close(ncut_loss(EDGES, -1e6 * WEIGHT, assignment), loss)
    torch.testing.assert_close(ncut_loss(EDGES.flip(0), WEIGHT, assignment), loss)


@given(unit_graphs(min_hidden=2), st.integers(2, 4), st.sampled_from(["abs", "square"]), seeds)
def test_ncut_gradients_are_those_of_finite_differences(graph, num_modules, affinity, seed):
    weight = torch.randn(graph.num_edges, dtype=torch.float64, generator=generator(seed))
    # Away from 0, where |w| has no derivative.
    weight = (weight + 0.1 * weight.sign()).requires_grad_()
    logits = normal(graph.num_units, num_modules, seed=seed).requires_grad_()
    assert gradcheck(
        lambda weight, logits: ncut_loss(
            graph.edge_index, weight, logits.softmax(dim=-1), affinity=affinity
        ),
        (weight, logits),
    )


@pytest.mark.parametrize(
    "weight", [torch.zeros(4), torch.tensor([1.0, 0, 0, 0])], ids=["no weight", "lonely units"]
)
def test_ncut_without_volume_is_finite_with_finite_gradients(weight):
    weight = weight.double().requires_grad_()
    assignment = torch.eye(3, dtype=torch.float64).requires_grad_()
    loss = ncut_loss(EDGES, weight, assignment)
    loss.backward()
    assert loss.item() == 1.0
    assert weight.grad.isfinite().all()
    assert assignment.grad.isfinite().all()


def test_ncut_refuses_shapes_that_do_not_fit():
    assignment = soft(3, 2, seed=0)
    with pytest.raises(ValueError, match=r"\[2, num_edges\].*\(got \[4\]\)"):
        ncut_loss(EDGES[0], WEIGHT, assignment)
    with pytest.raises(TypeError, match=r"torch.long \(got torch.float32\)"):
        ncut_loss(EDGES.float(), WEIGHT, assignment)
    with pytest.raises(ValueError, match=r"every edge once \(got 0 -> 1 more than once\)"):
        ncut_loss(torch.tensor([[0, 0], [1, 1]]), WEIGHT[:2], assignment)
    with pytest.raises(ValueError, match=r"one weight per edge, \[4\] \(got \[3\]\)"):
        ncut_loss(EDGES, WEIGHT[:3], assignment)
    with pytest.raises(ValueError, match=r"\[num_units, num_modules\].*got torch.float64, \[3\]"):
        ncut_loss(EDGES, WEIGHT, assignment[:, 0])
    with pytest.raises(ValueError, match=r"unit ids in \[0, 2\).*got 0 to 2"):
        ncut_loss(EDGES, WEIGHT, assignment[:2])
    with pytest.raises(ValueError, match=r"'abs', 'square' \(got 'cube'\)"):
        ncut_loss(EDGES, WEIGHT, assignment, affinity="cube")


def test_balance_by_hand():
    # Shares (3/4, 1/4): 2 * ((1/4)^2 + (1/4)^2).
    assignment = torch.tensor([[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5]])
    assert balance_loss(assignment).item() == pytest.approx(0.25)


@given(st.integers(1, 6), st.integers(1, 5), seeds)
def test_balance_is_zero_at_equal_shares_and_largest_in_one_module(per_module, num_modules, seed):
    balanced = torch.eye(num_modules, dtype=torch.float64).repeat(per_module, 1)
    assert balance_loss(balanced).item() == pytest.approx(0, abs=1e-15)
    alone = torch.zeros_like(balanced)
    alone[:, 0] = 1
    assert balance_loss(alone).item() == pytest.approx(num_modules - 1)
    mixed = soft(per_module * num_modules, num_modules, seed)
    assert 0 <= balance_loss(mixed) <= num_modules - 1


def test_balance_gradients_are_those_of_finite_differences():
    assignment = soft(5, 3, seed=0).requires_grad_()
    assert gradcheck(balance_loss, (assignment,))


def test_balance_refuses_hard_labels():
    with pytest.raises(ValueError, match=r"softmax \(got torch.int64, \[3\]\)"):
        balance_loss(torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("loss", [balance_loss, sharpness_loss])
def test_an_assignment_without_units_is_refused(loss):
    with pytest.raises(ValueError, match=r"\[num_units, num_modules\].*\[0, 3\]"):
        loss(torch.empty(0, 3))


def test_balance_is_zero_at_the_capacities():
    assignment = torch.eye(2).repeat_interleave(torch.tensor([3, 1]), dim=0)
    assert balance_loss(assignment, capacities=[3, 1]).item() == 0
    # Shares (3/4, 1/4) instead of (1/4, 3/4).
    assert balance_loss(assignment, capacities=[1, 3]).item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"add up to 4.*\(got 5: \[2, 3\]\)"):
        balance_loss(assignment, capacities=[2, 3])


def test_cost_balance_by_hand():
    # Hard, {0, 1} and {2}: two edges in the first module, the self-loop in the second.
    assignment = torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.float64)
    loss = cost_balance_loss(EDGES, assignment)
    assert loss.item() == pytest.approx(2 * ((2 / 3 - 1 / 2) ** 2 + (1 / 3 - 1 / 2) ** 2))
    # Soft: 0 and 1 at (1/2, 1/2), 2 at (0, 1): costs 2 / 4 and 2 / 4 + 1 / 2 + 1.
    assignment = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0, 1]], dtype=torch.float64)
    shares = 0.5 / 2.5, 2 / 2.5
    expected = 2 * sum((share - 1 / 2) ** 2 for share in shares)
    assert cost_balance_loss(EDGES, assignment).item() == pytest.approx(expected)


def test_sharpness_by_hand():
    assert sharpness_loss(torch.full((5, 4), 0.25)).item() == pytest.approx(1.0)
    assert sharpness_loss(torch.eye(3)).item() == pytest.approx(0.0, abs=1e-30)
    half = torch.tensor([[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    assert sharpness_loss(half).item() == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match=r"at least two modules \(got 1\)"):
        sharpness_loss(torch.ones(3, 1))


@given(unit_graphs(min_hidden=1), st.integers(1, 5), seeds)
def test_cost_balance_equals_a_dense_reference(graph, num_modules, seed):
    assignment = soft(graph.num_units, num_modules, seed)
    loss = cost_balance_loss(graph.edge_index, assignment)
    expected = dense_cost_balance(graph.edge_index, assignment)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    assert 0 <= loss <= num_modules - 1 + 1e-12


def test_cost_balance_is_largest_when_one_module_has_all_edges():
    assignment = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    edges = EDGES[:, :2]
    assert cost_balance_loss(edges, assignment).item() == pytest.approx(2.0)
    apart = torch.eye(3, dtype=torch.float64)
    assert cost_balance_loss(edges, apart).item() == 0


@given(unit_graphs(min_hidden=2), st.integers(2, 4), seeds)
def test_cost_balance_gradients_are_those_of_finite_differences(graph, num_modules, seed):
    logits = normal(graph.num_units, num_modules, seed=seed).requires_grad_()
    assert gradcheck(
        lambda logits: cost_balance_loss(graph.edge_index, logits.softmax(dim=-1)), (logits,)
    )


def test_cost_balance_refuses_units_that_are_not_there():
    with pytest.raises(ValueError, match=r"unit ids in \[0, 2\).*got 0 to 2"):
        cost_balance_loss(EDGES, torch.eye(2))
    with pytest.raises(TypeError, match=r"assignment to be a Tensor \(got list\)"):
        cost_balance_loss(EDGES, [[1.0, 0.0]])


@given(st.integers(1, 6), st.integers(2, 5), seeds)
def test_sharpness_is_the_mean_entropy_in_units_of_its_largest(num_units, num_modules, seed):
    assignment = soft(num_units, num_modules, seed)
    entropy = torch.distributions.Categorical(assignment).entropy()
    expected = entropy.mean() / torch.tensor(num_modules).double().log()
    torch.testing.assert_close(sharpness_loss(assignment), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "loss",
    [sharpness_loss, lambda assignment: balance_loss(assignment, capacities=[3, 1, 1])],
    ids=["sharpness", "balance with capacities"],
)
def test_gradients_are_those_of_finite_differences(loss):
    assert gradcheck(loss, (soft(5, 3, seed=0).requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("edges", [EDGES, EDGES[:, :3], EDGES[:, :0]], ids=["loop", "cut", "none"])
def test_losses_and_gradients_are_finite_at_hard_assignments_of_a_unit_per_module(edges, dtype):
    logits = (1e4 * torch.eye(3, dtype=dtype)).requires_grad_()
    assignment = logits.softmax(dim=-1)
    assignment.retain_grad()
    assert torch.equal(assignment, torch.eye(3, dtype=dtype))  # Rounded to one-hot rows, K = N.
    weight = torch.ones(edges.size(1), dtype=dtype)
    losses = {
        "ncut": ncut_loss(edges, weight, assignment),
        "balance": balance_loss(assignment, capacities=[1, 1, 1]),
        "cost_balance": cost_balance_loss(edges, assignment),
        "sharpness": sharpness_loss(assignment),
    }
    sum(losses.values()).backward()
    assert assignment.grad.isfinite().all()
    assert logits.grad.isfinite().all()
    values = {name: loss.item() for name, loss in losses.items()}
    has_loop = edges.size(1) == 4
    # Unit 2 has the volume 1 of its loop and half of the edge into it.
    expected = {
        "ncut": (1 + 1 + 0.5 / 1.5) / 3 if has_loop else 1.0,
        "balance": 0.0,
        "cost_balance": 2.0 if has_loop else 0.0,
        "sharpness": 0.0,
    }
    assert values == pytest.approx(expected, abs=1e-6)


def test_weights_that_are_not_a_number_spread_into_the_loss():
    weight = WEIGHT.clone()
    weight[0] = float("nan")
    assert ncut_loss(EDGES, weight, soft(3, 2, seed=0)).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    assignment, weight = soft(3, 2, seed=0).to(dtype), WEIGHT.to(dtype)
    loss = ncut_loss(EDGES, weight, assignment)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, ncut_loss(EDGES, weight.float(), assignment.float()))
    cost = cost_balance_loss(EDGES, assignment)
    torch.testing.assert_close(cost, cost_balance_loss(EDGES, assignment.float()))


@pytest.mark.parametrize(
    "loss",
    [
        lambda assignment: ncut_loss(EDGES, WEIGHT, assignment),
        balance_loss,
        lambda assignment: cost_balance_loss(EDGES, assignment),
        sharpness_loss,
    ],
    ids=["ncut", "balance", "cost_balance", "sharpness"],
)
def test_logits_in_the_place_of_an_assignment_are_refused(loss):
    logits = torch.tensor([[1.0, 0.0], [0.5, 0.5], [3.0, -2.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"row 2 with the sum 1, its least value -2"):
        loss(logits)
    with pytest.raises(ValueError, match=r"row 0 with the sum 2, its least value 1"):
        loss(torch.ones(3, 2, dtype=torch.float64))
    # What has diverged spreads, as of weights.
    assert loss(torch.full((3, 2), torch.nan, dtype=torch.float64)).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_of_a_softmax_sum_to_1_in_every_precision(dtype):
    assignment = (5 * torch.randn(200, 100, generator=generator(0))).softmax(dim=1).to(dtype)
    assert 0 <= balance_loss(assignment).item() < 1


def test_losses_are_transformed_by_torch_func():
    assignments = torch.stack([soft(5, 3, seed) for seed in range(2)])
    together = torch.func.vmap(balance_loss)(assignments)
    torch.testing.assert_close(together, torch.stack([*map(balance_loss, assignments)]))
