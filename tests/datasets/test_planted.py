import itertools

import numpy
import pytest
import torch
from scipy.optimize import linprog

from pyg_modules.datasets import planted_problem


def owned(problem, task):
    """The inputs of a sub-task, [S, width], and its targets, [S]."""
    x = torch.cat([problem.train_x, problem.test_x])
    y = torch.cat([problem.train_y, problem.test_y])
    return x[:, problem.input_owner == task], y[:, task]


def truth_table(x, y):
    """The target of every row that occurs; equal rows have equal targets."""
    table = {}
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        assert table.setdefault(tuple(row), target) == target
    return table


def informs(table, column):
    """Whether two rows that differ in this input alone have different targets."""
    flipped = [(row, (*row[:column], -row[column], *row[column + 1 :])) for row in table]
    return any(table[a] != table[b] for a, b in flipped if b in table)


def test_shapes_and_owners():
    problem = planted_problem(3, sizes=[1, 2, 4], num_noise=5, num_train=70, num_test=30)
    # 4 + 2 r inputs that inform, two more each that do not, and the noise.
    counts = [int((problem.input_owner == owner).sum()) for owner in (-1, 0, 1, 2)]
    assert counts == [3 * 2 + 5, 6, 8, 12]
    assert problem.train_x.shape == (70, 37)
    assert problem.test_x.shape == (30, 37)
    assert problem.train_y.shape == (70, 3)
    assert problem.num_inputs == 37
    assert problem.num_outputs == 3
    owners = problem.owners(num_hidden=10)
    assert torch.equal(owners[:37], problem.input_owner)
    assert owners[37:].tolist() == [-1] * 10 + [0, 1, 2]


def test_the_first_problem_is_the_one_of_the_design():
    problem = planted_problem()
    assert problem.train_x.shape == (6000, 32)
    assert problem.test_x.shape == (2000, 32)
    assert set(problem.train_x.unique().tolist()) == {-1.0, 1.0}
    assert set(problem.train_y.unique().tolist()) == {0.0, 1.0}
    assert (problem.input_owner >= 0).sum() == 24


def test_a_target_is_the_parity_of_three_inputs_xor_the_majority_of_the_others():
    problem = planted_problem(num_train=500, num_test=1)
    for task in range(4):
        x, y = owned(problem, task)
        matches = 0
        for three in itertools.combinations(range(6), 3):
            others = [i for i in range(6) if i not in three]
            is_odd = x[:, list(three)].prod(dim=1) > 0
            matches += torch.equal((is_odd ^ (x[:, others].sum(dim=1) > 0)).float(), y)
        assert matches == 1


@pytest.mark.parametrize("kind", ["parity-majority", "linear-threshold", "product"])
def test_widths_grow_with_the_sizes(kind):
    problem = planted_problem(2, kind, sizes=[1, 3], num_noise=4, num_train=5, num_test=3)
    width = {"parity-majority": (6, 10), "linear-threshold": (5, 17), "product": (4, 12)}[kind]
    counts = [int((problem.input_owner == owner).sum()) for owner in (-1, 0, 1)]
    assert counts == [2 * 2 + 4, *width]
    assert problem.train_x.shape == (5, sum(counts))
    assert problem.test_y.shape == (3, 2)
    assert problem.output_owner.tolist() == [0, 1]
    assert problem.is_regression == (kind == "product")
    assert problem.train_x.dtype == problem.train_y.dtype == torch.float32


def test_a_threshold_is_one_of_a_linear_function_of_its_inputs():
    problem = planted_problem(2, "linear-threshold", sizes=[1, 2], num_train=2000, num_test=1)
    for task in range(2):
        x, y = owned(problem, task)
        signed = (x * (2 * y - 1)[:, None]).double().numpy()
        # Weights w with y (x w) >= 1 for every sample; random targets have none.
        separating = linprog(
            numpy.zeros(x.size(1)), A_ub=-signed, b_ub=-numpy.ones(len(x)), bounds=(None, None)
        )
        assert separating.status == 0
        assert 0.4 < y.mean() < 0.6


@pytest.mark.parametrize("seed", range(12))
def test_every_input_of_a_threshold_informs_for_any_seed(seed):
    problem = planted_problem(4, "linear-threshold", num_train=3000, num_test=1, seed=seed)
    for task in range(4):
        table = truth_table(*owned(problem, task))
        assert len(table) == 2**5
        assert all(informs(table, column) for column in range(5))


@pytest.mark.parametrize("kind", ["parity-majority", "linear-threshold"])
def test_a_target_depends_on_each_of_its_inputs_and_on_nothing_else(kind):
    problem = planted_problem(3, kind, num_train=6000, num_test=1, seed=1)
    for task in range(3):
        x, y = owned(problem, task)
        table = truth_table(x, y)
        assert all(informs(table, column) for column in range(x.size(1)))


def test_a_product_is_a_sum_of_products_of_variance_one():
    problem = planted_problem(2, "product", num_train=4000, num_test=1)
    assert problem.is_regression
    for task in range(2):
        x, y = owned(problem, task)
        assert y.var().item() == pytest.approx(1, abs=0.15)
        pairings = [((0, a), tuple(sorted({1, 2, 3} - {a}))) for a in (1, 2, 3)]
        sums = [
            (x[:, first].prod(dim=1) + x[:, second].prod(dim=1)) / 2**0.5
            for first, second in pairings
        ]
        assert sum(torch.allclose(total, y, atol=1e-5) for total in sums) == 1


def test_a_product_pairs_each_of_its_inputs_once():
    problem = planted_problem(1, "product", sizes=[2], num_train=4000, num_test=1)
    x, y = owned(problem, 0)
    # Independent normal inputs: y x_i x_j has the mean 1 / sqrt(4) for a pair, else 0.
    moments = torch.einsum("s,si,sj->ij", y, x, x) / len(x)
    is_pair = (moments > 0.25).fill_diagonal_(False)
    assert (is_pair.sum(dim=1) == 1).all()
    pairs = is_pair.triu().nonzero()
    torch.testing.assert_close(x[:, pairs].prod(dim=2).sum(dim=1) / 2, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["parity-majority", "linear-threshold", "product"])
def test_other_inputs_are_independent_of_all_targets(kind):
    problem = planted_problem(2, kind, num_noise=3, num_train=20_000, num_test=1)
    others = problem.train_x[:, problem.input_owner == -1].double()
    assert others.size(1) == 7
    samples = torch.cat([others, problem.train_y.double()], dim=1).T
    covariance = samples.corrcoef()
    # Five standard errors of a correlation of independent samples.
    assert covariance.fill_diagonal_(0).abs().max() < 5 / 20_000**0.5


def test_a_seed_fixes_everything():
    first, second, other = (planted_problem(num_train=50, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.train_x, second.train_x)
    assert torch.equal(first.test_y, second.test_y)
    assert torch.equal(first.input_owner, second.input_owner)
    assert not torch.equal(first.input_owner, other.input_owner)


@pytest.mark.parametrize("kind", ["parity-majority", "linear-threshold", "product"])
def test_it_is_the_same_whatever_the_default_dtype_is(kind):
    expected = planted_problem(2, kind, num_train=20)
    torch.set_default_dtype(torch.float64)
    try:
        found = planted_problem(2, kind, num_train=20)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.train_x, expected.train_x)
    assert torch.equal(found.train_y, expected.train_y)


def test_scores_by_hand():
    problem = planted_problem(2, num_train=4, num_test=4)
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert problem.score(torch.tensor([[2.0, -1.0], [3.0, -1.0]]), targets) == 0.75
    expected = torch.nn.functional.softplus(torch.tensor([-2.0, -1.0, 3.0, -1.0])).mean()
    loss = problem.loss(torch.tensor([[2.0, -1.0], [3.0, -1.0]]), targets)
    assert loss.item() == pytest.approx(expected.item())
    regression = planted_problem(1, "product", num_train=4, num_test=4)
    targets = torch.tensor([[0.0], [2.0]])
    assert regression.score(torch.tensor([[1.0], [2.0]]), targets) == pytest.approx(0.5)
    assert regression.loss(torch.tensor([[1.0], [2.0]]), targets).item() == pytest.approx(0.5)
    constant = torch.ones(2, 1)
    assert regression.score(constant, constant) == 1.0
    assert regression.score(targets, constant) == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_tasks": 0}, ValueError, r"num_tasks >= 1 \(got 0\)"),
        ({"kind": "chess"}, ValueError, r"'linear-threshold', 'product' \(got 'chess'\)"),
        ({"sizes": [1, 2]}, ValueError, r"one size per sub-task, 4 \(got 2\)"),
        ({"sizes": [1, 2, 0, 1]}, ValueError, r"sizes\[2\] >= 1 \(got 0\)"),
        ({"num_noise": -1}, ValueError, r"num_noise >= 0 \(got -1\)"),
        ({"num_train": 1.5}, TypeError, r"num_train to be an int"),
        ({"seed": -1}, ValueError, r"seed >= 0 \(got -1\)"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        planted_problem(**arguments)
