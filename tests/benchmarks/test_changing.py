import json
from itertools import pairwise

import torch

from benchmarks.accuracy.changing import __main__ as changing
from benchmarks.accuracy.changing.tasks import PROBLEMS
from benchmarks.accuracy.changing.training import AT_FIRST, MODELS
from benchmarks.accuracy.kinds import KINDS


def test_the_benchmark_of_changes_measures_what_is_forgotten(tmp_path, capsys):
    out, (only,) = tmp_path / "changing.json", ["parities, 400 samples"]
    changing.main(["--quick", "--steps", "20", "--only", only, "--out", str(out)])
    cells = {cell["model"]: cell["runs"][0] for cell in json.loads(out.read_text())["cells"]}
    assert list(cells) == [*MODELS, *(kind + AT_FIRST for kind in KINDS)]
    sizes = [run["num_parameters"] for run in cells.values()]
    assert max(sizes) < 1.03 * min(sizes)
    # With one recipe to choose from, the first training is the same.
    for kind in KINDS:
        assert cells[kind + AT_FIRST]["first"] == cells[kind]["first"]
        assert "last" not in cells[kind + AT_FIRST]
    # A module that is trained on leaves the others as they are; one network does not.
    assert cells["true"]["ari"] == 1
    assert cells["true"]["forgotten"] == cells["random"]["forgotten"] == 0
    assert cells["whole"]["forgotten"] != 0
    assert f"| {only} | learned modules |" in capsys.readouterr().out
    assert f"| {only} |" in changing.first(out)


def test_one_task_changes_at_a_time():
    for name, make in PROBLEMS.items():
        problem = make(7)
        assert len(problem.stages) == len(problem.tasks) + 1
        for task, (before, after) in enumerate(pairwise(problem.stages)):
            is_own = problem.owners.inputs == task
            for part in ("train", "test"):
                x, y = getattr(before, f"{part}_x"), getattr(before, f"{part}_y")
                new_x, new_y = getattr(after, f"{part}_x"), getattr(after, f"{part}_y")
                assert torch.equal(x[:, ~is_own], new_x[:, ~is_own])
                others = [other for other in problem.tasks if other != task]
                assert torch.equal(y[:, others], new_y[:, others])
                if "digits" in name:  # The same images, their pixels in another order.
                    assert torch.equal(y, new_y)
                    assert not torch.equal(x[:, is_own], new_x[:, is_own])
                    sorted_x, sorted_new = (one[:, is_own].sort()[0] for one in (x, new_x))
                    assert torch.equal(sorted_x, sorted_new)
                else:
                    assert torch.equal(x, new_x)
                    assert not torch.equal(y[:, task], new_y[:, task])
        outputs = torch.randn(len(problem.stages[0].test_y), len(problem.owners.outputs))
        changed = outputs.clone()
        changed[:, problem.owners.outputs == 0] += torch.randn(len(outputs), problem.num_outputs)
        targets = problem.stages[0].test_y
        losses = [problem.loss([task])(outputs, targets) for task in problem.tasks]
        assert torch.allclose(
            problem.loss(problem.tasks)(outputs, targets), sum(losses) / len(losses)
        )
        assert problem.loss([0])(changed, targets) != losses[0]
        assert problem.loss([1])(changed, targets) == losses[1]
        assert problem.scores(changed, 0)[1:] == problem.scores(outputs, 0)[1:]
        assert problem.scores(changed, 0)[0] != problem.scores(outputs, 0)[0]


def test_parities_need_all_of_their_inputs():
    problem = PROBLEMS["parities, 1,600 samples"](1)
    x, y = problem.stages[0].train_x, problem.stages[0].train_y
    for task in problem.tasks:
        own = x[:, problem.owners.inputs == task]
        table = {
            tuple(row): int(answer)
            for row, answer in zip(own.tolist(), y[:, task].tolist(), strict=True)
        }
        assert len(table) == 32
        assert [table[tuple(row)] for row in own.tolist()] == y[:, task].int().tolist()
        for place in range(5):
            flipped = [
                table[(*row[:place], -row[place], *row[place + 1 :])] != answer
                for row, answer in table.items()
            ]
            assert any(flipped)
