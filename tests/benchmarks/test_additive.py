import json
from itertools import product

import pytest
import torch

from benchmarks.accuracy.additive import __main__ as additive
from benchmarks.accuracy.additive.tasks import TASKS
from benchmarks.accuracy.kinds import KINDS


def test_the_benchmark_of_sums_measures_everything_with_as_many_parameters(tmp_path, capsys):
    out = tmp_path / "additive.json"
    only = ["retina, or, 64 samples", "teachers, 400 samples"]
    additive.main(["--quick", "--steps", "20", "--only", *only, "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [(one["task"], one["model"]) for one in cells] == list(product(only, KINDS))
    for task in only:
        sizes = [one["runs"][0]["num_parameters"] for one in cells if one["task"] == task]
        assert max(sizes) < 1.03 * min(sizes)
    (true,) = (cell["runs"][0] for cell in cells[:5] if cell["model"] == "true")
    assert true["ari"] == 1
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in only)


@pytest.mark.parametrize("name", ["retina, and, 64 samples", "retina, or, 64 samples"])
def test_an_object_is_seen_by_the_rule_and_by_no_side_alone(name):
    task = TASKS[name](0)
    x = torch.cat([task.train_x, task.test_x]) > 0
    y = torch.cat([task.train_y, task.test_y]).flatten() > 0.5
    objects = []
    for pixels in x.tolist():
        sides = ((pixels[:2], pixels[2:4]), (pixels[6:], pixels[4:6]))
        objects.append(
            [sum(outer + inner) >= 3 or (any(outer) and not any(inner)) for outer, inner in sides]
        )
    expected = [all(one) if "and" in name else any(one) for one in objects]
    assert y.tolist() == expected
    assert len({tuple(pixels) for pixels in x.tolist()}) == 256
    for pixels in (x[:, :4], x[:, 4:]):
        codes = (pixels.long() * torch.tensor([1, 2, 4, 8])).sum(dim=1)
        rates = torch.stack([y[codes == code].float().mean() for code in range(16)])
        assert float(torch.maximum(rates, 1 - rates).mean()) == 0.75


def test_sums_have_terms_of_three_inputs_and_of_equal_variance():
    for name in ("sines, 400 samples", "teachers, 400 samples"):
        task = TASKS[name](3)
        x = torch.cat([task.train_x, task.test_x])
        assert task.owner.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
        assert float(torch.cat([task.train_y, task.test_y]).var()) == pytest.approx(1, abs=0.2)
        assert float(x.std()) == pytest.approx(1, abs=0.02)
        other = TASKS[name](4)
        assert not torch.equal(other.train_y, task.train_y)
