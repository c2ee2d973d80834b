import json
from itertools import product

from benchmarks.accuracy.propagation import __main__ as propagation
from benchmarks.accuracy.propagation.models import MODELS
from benchmarks.accuracy.propagation.tasks import TASKS


def test_the_benchmark_of_what_is_far_away_measures_everything(tmp_path, capsys):
    out = tmp_path / "propagation.json"
    only = ["chains of 10", "trees of radius 2"]
    propagation.main(["--quick", "--epochs", "10", "--only", *only, "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [(one["task"], one["model"]) for one in cells] == list(product(only, MODELS))
    assert all(0 <= run["test"] <= 1 for one in cells for run in one["runs"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in MODELS)


def test_a_task_far_away_has_its_answer_there():
    task = TASKS["trees of radius 2"](0)
    size, num_leaves = 7, 4
    for root in task.test.tolist():
        asked = int(task.x[root].argmax())
        shown = task.x[root + size - num_leaves : root + size]
        leaf = shown[:, :num_leaves].argmax(dim=1).tolist().index(asked)
        assert int(shown[leaf, num_leaves:].argmax()) == int(task.y[root])
    ring = TASKS["rings at distance 6"](0)
    assert bool((ring.x[ring.test + 6].argmax(dim=1) == ring.y[ring.test]).all())
    chain = TASKS["chains of 10"](0)
    assert int((chain.x.sum(dim=1) > 0).sum()) == 40
    assert (chain.train.numel(), chain.val.numel()) == (20, 40)
