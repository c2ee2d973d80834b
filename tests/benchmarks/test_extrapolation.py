import json
from collections import deque
from dataclasses import replace
from itertools import accumulate
from operator import xor

import numpy
import pytest
import torch
from scipy import ndimage

from benchmarks.accuracy import recipes
from benchmarks.accuracy.extrapolation import __main__ as extrapolation
from benchmarks.accuracy.extrapolation import training
from benchmarks.accuracy.extrapolation.models import MODELS
from benchmarks.accuracy.extrapolation.tasks import TASKS
from tests.strategies import generator


def test_the_benchmark_of_larger_cases_measures_everything_and_goes_on(
    tmp_path, monkeypatch, capsys
):
    for name in ("VALIDATED", "TESTED", "BATCH"):
        monkeypatch.setattr(training, name, 2)
    out = tmp_path / "extrapolation.json"
    extrapolation.main(["--quick", "--batches", "2", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    both = "synchronous", "residual, tied"
    chains, images = [*both, "GRU", "feed-forward"], [*both, "feed-forward"]
    kinds = {name: chains if task.num_places == 1 else images for name, task in TASKS.items()}
    expected = [(task, model) for task, models in kinds.items() for model in models]
    assert [(one["task"], one["model"]) for one in cells] == expected
    sizes = {name: ["32", "64", "128"] for name in kinds}
    sizes |= {"regions": ["9", "18", "36"], "mazes": ["9", "17"]}
    for cell in cells:
        (one,) = cell["runs"]
        assert list(one["test"]) == sizes[cell["task"]]
        assert all(0 <= part <= 1 for parts in one["test"].values() for part in parts)
        most = TASKS[cell["task"]].max_parameters
        assert 0.75 * most < one["num_parameters"] <= most
    printed = capsys.readouterr().out
    assert all(f"| {name}, {size} |" in printed for name in kinds for size in sizes[name])
    assert "| synchronous | 2 times the updates | residual, tied | 2 times the updates |" in printed
    # What is there is not measured again.
    monkeypatch.setattr(recipes, "run_all", None)
    extrapolation.main(["--out", str(out)])
    assert json.loads(out.read_text())["cells"] == cells


def test_who_learns_nothing_starts_again_with_other_parameters_until_batches_end(monkeypatch):
    for name, number in (("LOOK", 1), ("BATCH", 2)):
        monkeypatch.setattr(training, name, number)
    task, starts = replace(TASKS["prefix sums"], patience=2), []

    def make():
        starts.append(MODELS["GRU"][0](task))
        return starts[-1]

    # With a rate of 0: after 2, 4 and 6 batches, and not after the last one.
    model, found = training._train(make, task, 0.0, 3, 8, grows=True)
    assert (found["starts"], found["batch"], found["learned"]) == (4, 8, 2)
    assert model is starts[-1]
    assert len({one.read.bias.item() for one in starts}) == len(starts) == 4
    # Who has all sizes from the beginning goes on.
    _, found = training._train(make, task, 0.0, 3, 8, grows=False)
    assert (found["starts"], found["batch"], found["learned"]) == (1, 8, 32)


def test_cases_are_a_little_off_in_training_and_their_answers_are_not():
    task = TASKS["prefix sums"]
    x, y = training._noisy(task, 1000, 9, generator(2))
    bits, parities = task.make(1000, 9, generator(2))
    assert torch.equal(y, parities)
    off = x - bits
    assert float(off.std()) == pytest.approx(training.NOISE, rel=0.05)


def test_updates_without_gradient_change_no_output_and_cut_gradients_off():
    task = TASKS["prefix sums"]
    x = task.make(3, 6, generator(0))[0]
    for name, way in (("synchronous", 0), ("synchronous", 1), ("residual, tied", 1)):
        model = MODELS[name][way](task)
        assert torch.allclose(model(x, 9), model(x, 9, 4), rtol=0, atol=1e-6)
        bits = x.clone().requires_grad_()
        # With k updates and the readout, a place hears from k places before it.
        model(bits, 9, 7)[..., 5].sum().backward()
        assert bits.grad.abs().sum(dim=(0, 1)).bool().tolist() == [False, False] + [True] * 4


def test_prefix_sums_are_those_of_a_loop():
    x, y = TASKS["prefix sums"].make(20, 17, generator(1))
    assert x.shape == y.shape == (20, 1, 17)
    for bits, parities in zip(x[:, 0].int().tolist(), y[:, 0].int().tolist(), strict=True):
        assert parities == list(accumulate(bits, xor))
    assert 0 < float(x.mean()) < 1


def test_latest_bits_are_those_of_a_loop():
    x, y = TASKS["latest bits"].make(200, 12, generator(1))
    assert x.shape == (200, 2, 12)
    assert y.shape == (200, 1, 12)
    for case in range(200):
        last = 0.0
        for zero, one, answer in zip(*x[case].tolist(), y[case, 0].tolist(), strict=True):
            assert not (zero and one)
            last = 0.0 if zero else 1.0 if one else last
            assert answer == last
    assert float(x.sum(dim=(1, 2)).mean()) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("size", [1, 5, 40])
def test_binary_addition_is_that_of_integers(size):
    x, y = TASKS["binary addition"].make(100, size, generator(size))
    power = 2 ** torch.arange(size)
    first, second = (x.long() * power).sum(dim=2).T
    assert torch.equal((first + second) % 2**size, (y[:, 0].long() * power).sum(dim=1))


@pytest.mark.parametrize("size", [3, 18])
def test_regions_are_the_components_of_the_start(size):
    x, y = TASKS["regions"].make(100, size, generator(size))
    for (is_open, is_start), answer in zip(x.numpy(), y[:, 0].numpy(), strict=True):
        labels, _ = ndimage.label(is_open)
        assert is_start.sum() == 1
        assert numpy.array_equal(labels == labels[is_start == 1], answer == 1)
    assert float(x[:, 0].mean()) == pytest.approx(0.6, abs=0.1)


def test_a_dilated_stack_sees_all_of_the_largest_case_and_a_plain_one_does_not():
    for name in ("prefix sums", "regions"):
        task = TASKS[name]
        for way, sees_all in ((0, True), (1, False)):
            model = MODELS["feed-forward"][way](task)
            x = task.make(1, max(task.larger), generator(0))[0].requires_grad_()
            model(x, 1).select(-1, -1).sum().backward()
            assert bool(x.grad.select(-1, 0).abs().sum() > 0) == sees_all


@pytest.mark.parametrize("size", [3, 9, 17])
def test_mazes_are_trees_and_their_answer_is_the_shortest_path(size):
    x, y = TASKS["mazes"].make(10, size, generator(size))
    num_rooms = ((size + 1) // 2) ** 2
    for (is_open, starts, ends), (answer,) in zip(x.int(), y.int(), strict=True):
        cells = {tuple(cell) for cell in is_open.nonzero().tolist()}
        (start,), (end,) = starts.nonzero().tolist(), ends.nonzero().tolist()
        assert len(cells) == 2 * num_rooms - 1  # Rooms, and a door less than rooms.
        came_from, queue = {tuple(start): None}, deque([tuple(start)])
        while queue:
            row, column = queue.popleft()
            for cell in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if cell in cells and cell not in came_from:
                    came_from[cell] = row, column
                    queue.append(cell)
        assert came_from.keys() == cells
        path, cell = set(), tuple(end)
        while cell is not None:
            path.add(cell)
            cell = came_from[cell]
        assert path == {tuple(cell) for cell in answer.nonzero().tolist()}
        assert len(path) > 1
    again = TASKS["mazes"].make(10, size, generator(size))
    assert torch.equal(again[0], x)
    assert len({tuple(one.flatten().tolist()) for one in x}) > 1
