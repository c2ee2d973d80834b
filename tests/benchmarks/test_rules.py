import json
from math import log

import pytest
import torch

from benchmarks.accuracy.rules import __main__ as rules
from benchmarks.accuracy.rules.specialization import (
    activity,
    collapse,
    inverse_information,
    maladaptation,
    misalignment,
)
from benchmarks.accuracy.rules.tasks import mixture
from benchmarks.accuracy.rules.training import MODELS, Routed


def test_the_benchmark_of_rules_measures_everything_with_as_many_parameters(tmp_path, capsys):
    out = tmp_path / "rules.json"
    rules.main(["--quick", "--steps", "20", "--only", "400 samples", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [cell["model"] for cell in cells] == list(MODELS)
    sizes = [cell["runs"][0]["num_parameters"] for cell in cells]
    assert max(sizes) < 1.07 * min(sizes)
    assert all("shares" in cell["runs"][0] for cell in cells[2:])
    printed = capsys.readouterr().out
    assert all(f"| 400 samples | {meaning} |" in printed for meaning in MODELS.values())


def test_a_sample_is_answered_by_its_rule_alone():
    task = mixture(400, seed=3)
    assert torch.equal(task.test_x[:, 3:].argmax(dim=1), task.rule)
    assert torch.equal(task.test_x[:, 3:].sum(dim=1), torch.ones(1000))
    network = Routed(3000, seed=0)
    answers = torch.cat([part(task.test_x[:, :3]) for part in network.parts], dim=1)
    expected = answers.gather(1, task.rule.unsqueeze(1))
    assert torch.allclose(network(task.test_x), expected)


def test_the_measures_tell_modules_of_rules_from_modules_of_all():
    rule = torch.arange(4).repeat(100)
    answers = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    # A module for each rule, in another order; what a module adds to all samples alike is nothing.
    owner = torch.tensor([2, 0, 3, 1])
    own = answers * (owner[rule].unsqueeze(1) == torch.arange(4)) + torch.arange(4)
    shares = activity(own, rule)
    assert torch.allclose(shares, torch.eye(4)[owner])
    assert (collapse(shares), misalignment(shares)) == (0, 0)
    assert inverse_information(shares) == pytest.approx(0, abs=1e-6)
    assert maladaptation(shares) == pytest.approx(0, abs=1e-6)
    # All modules answer all rules alike.
    even = torch.full((4, 4), 0.25)
    assert (collapse(even), misalignment(even), inverse_information(even)) == (0, 0.75, 1)
    # One module answers everything.
    one = torch.eye(4)[[0, 0, 0, 0]]
    assert (collapse(one), misalignment(one), inverse_information(one)) == (1, 0.75, 1)


def test_information_is_that_of_the_joint_distribution():
    shares = torch.rand(3, 3, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
    joint = shares / 3
    entropies = [-(p * p.log()).sum() for p in (joint.sum(dim=0), joint.sum(dim=1), joint)]
    information = entropies[0] + entropies[1] - entropies[2]
    assert inverse_information(shares) == pytest.approx(float(1 - information / log(3)), abs=1e-6)


def test_adaptation_is_how_far_modules_are_from_the_frequencies_of_rules():
    # Of two rules, p is uniform on [0, 1]. Even modules are |p - 1/2| away, 1/4 on average; one
    # module for all is min(p, 1 - p) away, 1/4 too; halfway to one for each is half as far.
    even, one = torch.full((2, 2), 0.5), torch.tensor([[1.0, 0], [1, 0]])
    half = (torch.eye(2) + even) / 2
    assert maladaptation(even) == pytest.approx(0.25, abs=0.01)
    assert maladaptation(one) == pytest.approx(0.25, abs=0.01)
    assert maladaptation(half) == pytest.approx(maladaptation(even) / 2, abs=1e-6)
